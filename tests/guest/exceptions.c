/* SPDX-License-Identifier: MIT */
/* Every exception a 64-bit kernel meets: vector, error code, saved RIP, RFLAGS. */
#include "guest.h"

static void divide_by_zero(void *arg)
{
    __asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx"
                     : : : "rax", "rcx", "rdx");
}

static void divide_overflow(void *arg)
{
    __asm__ volatile("mov $0x80000000, %%eax; cltd; mov $-1, %%ecx; idiv %%ecx"
                     : : : "rax", "rcx", "rdx");
}

static void breakpoint(void *arg)
{
    __asm__ volatile("int3");
}

static void undefined(void *arg)
{
    __asm__ volatile("ud2");
}

static void null_selector(void *arg)
{
    __asm__ volatile("mov %w0, %%ss" : : "r"(0x1000));
}

static void not_present(void *arg)
{
    gdt[12] = gdt[2] & ~(UINT64_C(0x80) << 40);
    __asm__ volatile("mov %w0, %%ds" : : "r"(0x60));
}

static void bad_gate(void *arg)
{
    __asm__ volatile("int $0x55");
}

static void read_unmapped(void *arg)
{
    *(volatile uint64_t *)UINT64_C(0x8000000000);
}

static void write_unmapped(void *arg)
{
    *(volatile uint64_t *)UINT64_C(0x8000000ffc) = 1;
}

static void cross_page(void *arg)
{
    *page_entry(0x40001000) = 0;
    flush_page((void *)0x40001000);
    *(volatile uint64_t *)0x40000ffc = 1;
}

static void non_canonical(void *arg)
{
    *(volatile uint64_t *)UINT64_C(0x800000000000);
}

static void non_canonical_stack(void *arg)
{
    __asm__ volatile("push %%rbp; mov %0, %%rbp; mov (%%rbp), %%rax; pop %%rbp"
                     : : "r"(UINT64_C(0x900000000000)) : "rax");
}

static void bad_msr(void *arg)
{
    rdmsr(0x12345678);
}

static void lock_register(void *arg)
{
    __asm__ volatile(".byte 0xf0, 0x01, 0xc0"); /* lock add eax, eax */
}

static void too_long(void *arg)
{
    __asm__ volatile(".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,"
                     "0x90,0x90");
}

static void single_step(void *arg)
{
    __asm__ volatile("pushf; orl $0x100, (%rsp); popf; nop; nop");
}

static void overflow_gate(void *arg)
{
    __asm__ volatile("mov %0, %%cr8" : : "r"(UINT64_C(16)));
}

static const struct {
    const char *name;
    void (*fn)(void *arg);
    int vector;
    uint64_t error, cr2;
} cases[] = {
    {"divide by zero", divide_by_zero, 0, 0, 0},
    {"divide overflow", divide_overflow, 0, 0, 0},
    {"single step", single_step, 1, 0, 0},
    {"breakpoint", breakpoint, 3, 0, 0},
    {"undefined opcode", undefined, 6, 0, 0},
    {"lock on a register", lock_register, 6, 0, 0},
    {"selector beyond the GDT", null_selector, 13, 0x1000, 0},
    {"segment not present", not_present, 11, 0x60, 0},
    {"gate not present", bad_gate, 11, 0x55 * 8 + 2, 0},
    {"read of an unmapped page", read_unmapped, 14, 0, UINT64_C(0x8000000000)},
    {"write that crosses into nothing", write_unmapped, 14, 2, UINT64_C(0x8000000ffc)},
    {"write that crosses into an unmapped page", cross_page, 14, 2, 0x40001000},
    {"non-canonical address", non_canonical, 13, 0, 0},
    {"non-canonical address by RBP", non_canonical_stack, 12, 0, 0},
    {"unknown MSR", bad_msr, 13, 0, 0},
    {"instruction of 16 bytes", too_long, 13, 0, 0},
    {"CR8 out of range", overflow_gate, 13, 0, 0},
};

int guest_main(void)
{
    struct frame f;

    set_gate(0x55, 14, 0, 0);
    for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        if (cases[n].vector == 11 && cases[n].error != 0x60) {
            uint8_t *gate = (uint8_t *)(uintptr_t)0; /* the IDT entry's P bit, found by SIDT */
            struct {
                uint16_t limit;
                uint64_t base;
            } __attribute__((packed)) idtr;

            __asm__ volatile("sidt %0" : "=m"(idtr));
            gate = (uint8_t *)(idtr.base + 16 * 0x55 + 5);
            *gate &= 0x7f;
        }
        CHECK_EQ(cases[n].name, catch_exception(cases[n].fn, NULL, &f), cases[n].vector);
        CHECK_EQ("  error code", f.error, cases[n].error);
        if (cases[n].vector == 14)
            CHECK_EQ("  CR2", READ_CR(2), cases[n].cr2);
    }
    return check_failures();
}
