/* SPDX-License-Identifier: MIT */
/* As tests/guest/smc.c, in 32-bit code with flat segments, often enough for it to be translated;
 * and by another address that segmentation makes. */
#include "guest32.h"

#define ROUNDS 300u

static uint8_t page[2 * 4096] __attribute__((aligned(4096)));

static unsigned call(const uint8_t *code)
{
    return ((unsigned (*)(void))code)();
}

/* mov eax, imm32; ret */
static void emit(uint8_t *at, uint32_t value)
{
    at[0] = 0xb8;
    *(volatile uint32_t *)(at + 1) = value;
    at[5] = 0xc3;
}

static void rewrite_often(void)
{
    bool ok = true;

    for (uint32_t n = 0; n < 2000; n++) {
        emit(page, n);
        ok &= call(page) == n;
    }
    CHECK("a function rewritten between calls", ok);
}

/* mov [the immediate], ecx; nops; mov eax, imm32; ret */
static void rewrite_ahead(void)
{
    static const unsigned distances[] = {0, 7, 40, 58, 60, 64, 200};
    bool ok = true;

    for (unsigned d = 0; d < sizeof(distances) / sizeof(distances[0]); d++) {
        unsigned nops = distances[d];

        memset(page, 0x90, 1024);
        page[0] = 0x89, page[1] = 0x0d;
        *(uint32_t *)(page + 2) = (uint32_t)(page + 6 + nops + 1);
        emit(page + 6 + nops, 0);
        for (uint32_t n = 1; n < ROUNDS; n++) {
            uint32_t eax;

            __asm__ volatile("call *%2" : "=a"(eax) : "c"(n), "r"(page) : "memory", "cc");
            ok &= eax == n;
        }
    }
    CHECK("an instruction ahead", ok);
}

static void one_of_many(void)
{
    uint32_t value[64];
    bool ok = true;

    for (unsigned n = 0; n < 64; n++)
        emit(page + 64 * n + n % 59, value[n] = n);
    for (uint32_t n = 0; n < 2 * ROUNDS; n++) {
        unsigned which = n * 7 % 64;

        emit(page + 64 * which + which % 59, value[which] = n + 1000);
        for (unsigned k = 0; k < 64; k++)
            ok &= call(page + 64 * k + k % 59) == value[k];
    }
    CHECK("one of many functions in a page", ok);
}

static void across_pages(void)
{
    bool ok = true;

    for (uint32_t n = 0; n < ROUNDS; n++) {
        emit(page + 4094, n);
        ok &= call(page + 4094) == n;
        page[4097] ^= 1;
        ok &= call(page + 4094) == (n ^ 0x10000);
    }
    CHECK("an instruction across two pages", ok);
}

static void on_the_stack(void)
{
    bool ok = true;

    for (uint32_t n = 0; n < 2 * ROUNDS; n++) {
        volatile uint8_t code[24];

        emit((uint8_t *)code + n % 16, n);
        ok &= call((const uint8_t *)code + n % 16) == n;
    }
    CHECK("on the stack", ok);
}

/* Through a segment that does not begin at 0, and by a string instruction. */
static void through_a_segment(void)
{
    bool ok = true;

    gdt[SEL_FREE / 8] = descriptor((uint32_t)page - 0x100, 0xfffff, 0x93, 0xc);
    emit(page, 0);
    for (uint32_t n = 1; n < ROUNDS; n++) {
        uint32_t edi = 0x101;

        if (n & 1)
            __asm__ volatile("push %%es; mov %2, %%es; stosl; pop %%es"
                             : "+D"(edi) : "a"(n), "r"(SEL_FREE) : "memory");
        else
            __asm__ volatile("mov %1, %%fs; mov %0, %%fs:0x101" : : "r"(n), "r"(SEL_FREE) : "memory");
        ok &= call(page) == n;
    }
    CHECK("through another segment", ok);
}

int guest_main(void)
{
    rewrite_often();
    rewrite_ahead();
    one_of_many();
    across_pages();
    on_the_stack();
    through_a_segment();
    return check_failures();
}
