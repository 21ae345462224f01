/* SPDX-License-Identifier: MIT */
/* What happens between two instructions: single steps, breakpoints, the shadows of STI and MOV SS,
 * interrupts by priority, NMIs. SDM vol. 3, 6.7, 6.8, 10.8, 17.2 and 17.3. */
#include "guest.h"

static uint64_t log_rip[64], log_dr6[64], log_flags[64];
static volatile unsigned log_count;
static uint64_t stop_at;

static void on_debug(struct frame *f)
{
    uint64_t dr6;

    __asm__ volatile("mov %%dr6, %0; mov %1, %%dr6" : "=&r"(dr6) : "r"(UINT64_C(0xffff0ff0)));
    if (log_count < 64) {
        log_rip[log_count] = f->rip;
        log_dr6[log_count] = dr6;
        log_flags[log_count++] = f->rflags;
    }
    f->rflags |= 0x10000; /* RF: go past an instruction breakpoint */
    if (f->rip == stop_at || log_count >= 64)
        f->rflags &= ~UINT64_C(0x100);
}

extern char step_a[], step_b[], step_c[], step_d[], step_e[], step_f[], step_end[];

static void single_steps(void)
{
    uint64_t buf[2];

    log_count = 0;
    stop_at = (uint64_t)step_end;
    __asm__ volatile("mov %%ss, %%edx; pushf; orl $0x100, (%%rsp); popf\n"
                     "step_a: nop\n step_b: mov %%edx, %%ss\n step_c: nop\n step_d: jmp step_e\n nop\n"
                     "step_e: rep stosb\n step_f: nop\n step_end: nop"
                     : : "D"(buf), "c"(3UL), "a"(0) : "rdx", "memory");
    CHECK_EQ("single steps", log_count, 7);
    CHECK_EQ("  after a NOP", log_rip[0], (uint64_t)step_b);
    CHECK_EQ("  not after MOV SS", log_rip[1], (uint64_t)step_d);
    CHECK_EQ("  after a branch", log_rip[2], (uint64_t)step_e);
    CHECK_EQ("  after an iteration", log_rip[3], (uint64_t)step_e);
    CHECK_EQ("  after the last but one", log_rip[4], (uint64_t)step_e);
    CHECK_EQ("  after the last", log_rip[5], (uint64_t)step_f);
    CHECK_EQ("  DR6", log_dr6[0], 0xffff4ff0);
}

static void set_dr(uint64_t dr0, uint64_t dr7)
{
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7" : : "r"(dr0), "r"(dr7));
}

extern char brk_at[], watch_at[], watch_read[], gd_at[];

static void breakpoints(void)
{
    static volatile uint64_t watched[2];
    uint64_t v;

    stop_at = 0;
    log_count = 0;
    set_dr((uint64_t)brk_at, 0x402);
    __asm__ volatile("nop; brk_at: nop; nop");
    set_dr(0, 0x400);
    CHECK_EQ("an instruction breakpoint", log_count, 1);
    CHECK_EQ("  before the instruction", log_rip[0], (uint64_t)brk_at);
    CHECK_EQ("  DR6", log_dr6[0], 0xffff0ff1);
    log_count = 0;
    set_dr((uint64_t)&watched[1], 0x402 | 1 << 16 | 3 << 18); /* writes, 4 bytes */
    __asm__ volatile("movq $5, %0; watch_at: nop; mov %0, %%rax" : "=m"(watched[1]) : : "rax");
    watched[0] = 6;
    set_dr(0, 0x400);
    CHECK_EQ("a write breakpoint", log_count, 1);
    CHECK_EQ("  after the instruction", log_rip[0], (uint64_t)watch_at);
    CHECK_EQ("  DR6", log_dr6[0], 0xffff0ff1);
    log_count = 0;
    set_dr((uint64_t)&watched[1], 0x402 | 3 << 16); /* any access, 1 byte */
    __asm__ volatile("mov %1, %0; watch_read: nop" : "=r"(v) : "m"(watched[1]));
    set_dr(0, 0x400);
    CHECK_EQ("an access breakpoint", log_count, 1);
    CHECK_EQ("  after the instruction", log_rip[0], (uint64_t)watch_read);
    log_count = 0;
    set_dr(0, 0x2400);
    __asm__ volatile("gd_at: mov %%dr0, %0" : "=r"(v));
    CHECK_EQ("general detect", log_count, 1);
    CHECK_EQ("  before the instruction", log_rip[0], (uint64_t)gd_at);
    CHECK_EQ("  DR6", log_dr6[0], 0xffff2ff0);
    log_count = 0;
    __asm__ volatile(".byte 0xf1");
    CHECK_EQ("INT1", log_count, 1);
}

/* ---- shadows and priorities ---- */

static volatile unsigned taken[64], taken_count;

static void on_interrupt(struct frame *f)
{
    log_rip[0] = f->rip;
    taken[taken_count++ & 63] = (unsigned)f->vector;
    apic_write(0xb0, 0);
}

static void self_ipi(unsigned vector)
{
    apic_write(0x300, 0x44000 | vector);
    while (apic_read(0x300) & 0x1000)
        ;
}

extern char sti_at[], sti_none[], pop_at[];

static void shadows(void)
{
    set_handler(0x60, on_interrupt);
    taken_count = 0;
    self_ipi(0x60);
    __asm__ volatile("sti; cli; sti_none: nop");
    CHECK_EQ("STI, CLI lets nothing in", taken_count, 0);
    __asm__ volatile("sti; nop; sti_at: cli");
    CHECK_EQ("STI, NOP, CLI lets an interrupt in", taken_count, 1);
    CHECK_EQ("  after the NOP", log_rip[0], (uint64_t)sti_at);
    self_ipi(0x60);
    __asm__ volatile("pushf; orl $0x200, (%%rsp); popf; pop_at: cli" : : : "memory");
    CHECK_EQ("POPF has no shadow", log_rip[0], (uint64_t)pop_at);
    CHECK_EQ("  and lets it in", taken_count, 2);
    self_ipi(0x60);
    __asm__ volatile("sti; hlt; cli");
    CHECK_EQ("STI, HLT wakes up", taken_count, 3);
}

static unsigned ppr_seen[16];

static void on_nested(struct frame *f)
{
    unsigned class = (unsigned)f->vector >> 4;

    taken[taken_count++ & 63] = (unsigned)f->vector;
    ppr_seen[class] = apic_read(0xa0);
    if (class < 15) {
        self_ipi(((class - 1) << 4) + 3); /* lower: must wait */
        self_ipi((class << 4) + 9);       /* same class: must wait */
        self_ipi(((class + 1) << 4) + 5); /* higher: comes at once */
    }
    __asm__ volatile("sti; nop; nop; cli");
    apic_write(0xb0, 0);
}

static void on_waiting(struct frame *f)
{
    taken[taken_count++ & 63] = (unsigned)f->vector;
    apic_write(0xb0, 0);
}

static void priorities(void)
{
    bool up = true, down = true;
    unsigned n;

    taken_count = 0;
    for (unsigned v = 0x30; v < 0x100; v++)
        set_handler(v, (v & 15) == 5 ? on_nested : on_waiting);
    self_ipi(0x45);
    __asm__ volatile("sti; nop; nop; cli");
    for (n = 0; n < 12; n++)
        up &= taken[n] == 0x45 + n * 16 && ppr_seen[4 + n] == 0x40 + n * 16;
    CHECK("nested by every class", up);
    for (n = 13; n < taken_count; n++)
        down &= taken[n] <= taken[n - 1];
    CHECK("the rest from the top down", down && taken[12] == 0xe9);
    CHECK_EQ("all taken", taken_count, 12 + 11 + 11);
    taken_count = 0;
    WRITE_CR(8, 6);
    CHECK_EQ("CR8 is the TPR's upper half", apic_read(0x80), 0x60);
    self_ipi(0x63);
    self_ipi(0x73);
    __asm__ volatile("sti; nop; nop; cli");
    CHECK_EQ("TPR holds back its class", taken_count, 1);
    CHECK_EQ("  what came", taken[0], 0x73);
    CHECK_EQ("  IRR", apic_read(0x230) >> 3 & 1, 1);
    __asm__ volatile("sti; mov %0, %%cr8; nop; cli" : : "r"(UINT64_C(0)));
    CHECK_EQ("TPR lets it in", taken_count, 2);
    CHECK_EQ("  ISR is empty", apic_read(0x130), 0);
}

/* ---- NMI ---- */

static volatile unsigned nmis, nmis_inside;

static void send_nmi(void)
{
    apic_write(0x310, apic_read(0x20) & 0xff000000);
    apic_write(0x300, 0x4400);
    for (unsigned n = 0; n < 1000; n++)
        __asm__ volatile("nop");
}

static void on_nmi(struct frame *f)
{
    if (++nmis == 1) {
        send_nmi();
        nmis_inside = nmis;
    }
}

static void nmi(void)
{
    set_handler(2, on_nmi);
    send_nmi();
    CHECK_EQ("an NMI waits for IRET", nmis_inside, 1);
    CHECK_EQ("  and comes then", nmis, 2);
}

int guest_main(void)
{
    set_handler(1, on_debug);
    apic_enable();
    single_steps();
    breakpoints();
    shadows();
    priorities();
    nmi();
    return check_failures();
}
