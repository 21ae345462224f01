/* SPDX-License-Identifier: MIT */
/* Code that changes under the CPU: the next instruction, another page, through an alias. */
#include "guest.h"

typedef int fn(void);

/* mov eax, imm32; ret */
static void emit(uint8_t *at, uint32_t value)
{
    at[0] = 0xb8;
    *(volatile uint32_t *)(at + 1) = value;
    at[5] = 0xc3;
}

static void rewrite_often(void)
{
    uint8_t *code = alloc_page();
    bool ok = true;

    for (uint32_t n = 0; n < 2000; n++) {
        emit(code, n);
        ok &= ((fn *)code)() == (int)n;
    }
    CHECK("a function rewritten between calls", ok);
}

/* The store changes the immediate of the instruction right behind it. */
static void rewrite_next(void)
{
    uint32_t v;

    __asm__ volatile("movl $2, 1f+1(%%rip); 1: mov $1, %%eax; mov %%eax, %0" : "=r"(v) : : "rax");
    CHECK_EQ("the next instruction", v, 2);
}

static void through_alias(void)
{
    uint8_t *code = alloc_page(), *alias = (uint8_t *)0x50000000;
    bool ok = true;

    *page_entry((uint64_t)alias) = (uint64_t)code | 3;
    flush_page(alias);
    for (uint32_t n = 0; n < 500; n++) {
        emit(alias, n);
        ok &= ((fn *)code)() == (int)n;
    }
    CHECK("through an alias", ok);
}

static void across_pages(void)
{
    uint8_t *code = alloc_page(), *at = code + 4094;
    bool ok = true;

    alloc_page();
    for (uint32_t n = 0; n < 500; n++) {
        emit(at, n);
        ok &= ((fn *)at)() == (int)n;
        at[3] ^= 1; /* second page only */
        ok &= ((fn *)at)() == (int)(n ^ 0x10000);
    }
    CHECK("an instruction across two pages", ok);
}

static void remapped(void)
{
    uint8_t *a = alloc_page(), *b = alloc_page(), *at = (uint8_t *)0x51000000;
    bool ok = true;

    emit(a, 1);
    emit(b, 2);
    for (int n = 0; n < 200; n++) {
        *page_entry((uint64_t)at) = (uint64_t)(n & 1 ? a : b) | 3;
        flush_page(at);
        ok &= ((fn *)at)() == (n & 1 ? 1 : 2);
    }
    CHECK("another page at the same address", ok);
}

/* An instruction, jumped to in its own page, whose last bytes are in a page that is replaced. */
static void second_page_remapped(void)
{
    uint8_t *first = alloc_page(), *second[2] = {alloc_page(), alloc_page()};
    uint8_t *at = (uint8_t *)0x52000000;
    bool ok = true;

    *page_entry((uint64_t)at) = (uint64_t)first | 3;
    flush_page(at);
    first[4000] = 0xeb; /* jmp to */
    first[4001] = 4094 - 4002;
    first[4094] = 0xb8; /* mov eax, 7 + a multiple of 256 */
    first[4095] = 7;
    for (int n = 0; n < 2; n++) {
        second[n][0] = (uint8_t)(n + 1);
        second[n][1] = second[n][2] = 0;
        second[n][3] = 0xc3;
    }
    for (int n = 0; n < 6; n++) {
        *page_entry((uint64_t)at + 4096) = (uint64_t)second[n & 1] | 3;
        flush_page(at + 4096);
        for (int k = 0; k < 100; k++)
            ok &= ((fn *)(at + 4000))() == 7 + 256 * ((n & 1) + 1);
    }
    CHECK("an instruction whose second page is replaced", ok);
}

static void by_string(void)
{
    uint8_t *code = alloc_page(), *other = alloc_page();
    bool ok = true;

    for (uint32_t n = 0; n < 200; n++) {
        uint8_t *d = code, *s = other;
        uint64_t len = 6;

        emit(other, n);
        __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(len) : : "memory");
        ok &= ((fn *)code)() == (int)n;
    }
    CHECK("by a string instruction", ok);
}

int guest_main(void)
{
    rewrite_often();
    rewrite_next();
    through_alias();
    across_pages();
    remapped();
    second_page_remapped();
    by_string();
    return check_failures();
}
