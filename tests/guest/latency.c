/* SPDX-License-Identifier: MIT */
/* How soon an interrupt is taken, in loops that never leave translated code by themselves: from the
 * deadline of the local APIC's timer to the handler's first look at the TSC. The host may be busy
 * and be late now and then; but of many, one must be on time. */
#include "guest.h"

#define SHOTS    64u
#define SOON_US  2000u /* idle hosts need some tens */
#define LATE_S   30u   /* and none may be lost */
#define FOREVER  UINT64_C(0x4000000000000000)

static volatile uint64_t deadline, best;
static volatile unsigned shots;
static uint64_t tsc_hz;
static uint8_t *code, *data;

static void arm(void)
{
    deadline = rdtsc() + tsc_hz / 2000; /* half a millisecond: the loop is under way by then */
    wrmsr(0x6e0, deadline);
}

/* All loops count RAX down to 0. What comes outside of one does not count. */
static void on_timer(struct frame *f)
{
    uint64_t late = rdtsc() - deadline;

    apic_write(0xb0, 0);
    if (f->rax > FOREVER / 2) {
        if (late < best)
            best = late;
        shots++;
        f->rax = 1;
    } else {
        arm();
    }
}

static uint64_t read_tsc_hz(void)
{
    uint32_t eax = 0x15, ebx, ecx = 0, edx;

    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    return (uint64_t)ecx * ebx / eax;
}

#define LOOP(name, body)                                                                           \
    static void name(void)                                                                         \
    {                                                                                              \
        uint64_t rax = FOREVER, rcx = 0, rdx = (uint64_t)code, rdi = (uint64_t)data;               \
                                                                                                   \
        __asm__ volatile(body : "+a"(rax), "+c"(rcx), "+d"(rdx), "+D"(rdi) : : "cc", "memory");    \
    }

LOOP(one_block, "1: dec %%rax; jnz 1b")
LOOP(in_memory, "1: add %%rax, (%%rdi); adc %%rcx, 8(%%rdi); dec %%rax; jnz 1b")
LOOP(some_blocks, "1: test $1, %%al; jz 2f; inc %%rcx; jmp 3f; 2: dec %%rcx; 3: dec %%rax; jnz 1b")
LOOP(calls, "1: call *%%rdx; dec %%rax; jnz 1b")
LOOP(crossing, "1: add %%rax, 4093(%%rdi); dec %%rax; jnz 1b")
LOOP(strings, "1: mov $0x100000, %%ecx; rep stosb; sub $0x100000, %%rdi; dec %%rax; jnz 1b")
LOOP(flags_off, "1: cli; dec %%rax; mov $200, %%ecx; 2: dec %%ecx; jnz 2b; sti; test %%rax, %%rax;"
                "jnz 1b")

static void measure(const char *name, void (*loop)(void))
{
    uint64_t end = rdtsc() + LATE_S * tsc_hz;
    unsigned n = 0;

    best = UINT64_MAX;
    shots = 0;
    for (; n < SHOTS && rdtsc() < end; n++) {
        arm();
        __asm__ volatile("sti");
        loop();
        __asm__ volatile("cli");
    }
    CHECK_EQ(name, shots, n);
    print("   in %u us at best\n", (unsigned)(best / (tsc_hz / 1000000)));
    CHECK("  and soon", best < tsc_hz / 1000000 * SOON_US);
}

int guest_main(void)
{
    tsc_hz = read_tsc_hz();
    code = alloc_page();
    code[0] = 0xc3;
    data = alloc_page();
    for (unsigned n = 1; n < 300; n++)
        alloc_page(); /* they follow each other */
    apic_enable();
    set_handler(0x60, on_timer);
    apic_write(0x320, 0x40060); /* TSC deadline */
    __asm__ volatile("mfence" : : : "memory");
    measure("a loop of one block", one_block);
    measure("a loop in memory", in_memory);
    measure("a loop of some blocks", some_blocks);
    measure("a loop of calls", calls);
    measure("a loop of accesses that cross pages", crossing);
    measure("a loop of string instructions", strings);
    measure("a loop with interrupts off most of the time", flags_off);
    return check_failures();
}
