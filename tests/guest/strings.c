/* SPDX-License-Identifier: MIT */
/* String instructions that are stopped in the middle: RCX, RSI and RDI must say exactly how far
 * they came, and going on must do the rest. SDM vol. 2, REP; vol. 1, 7.3.9.3. */
#include "guest.h"

#define VA UINT64_C(0x8000000000)

static uint8_t *page[3];
static volatile unsigned faults, ticks;
static uint64_t at_rcx, at_rsi, at_rdi, at_cr2;

/* Map what was missing and go on. */
static void on_fault(struct frame *f)
{
    uint64_t va = READ_CR(2) & ~UINT64_C(4095);

    if (!faults++) {
        at_rcx = f->rcx;
        at_rsi = f->rsi;
        at_rdi = f->rdi;
        at_cr2 = READ_CR(2);
    }
    *page_entry(va) = (uint64_t)page[(va - VA) >> 12 & 1] | 3;
}

static void map(bool first, bool second)
{
    *page_entry(VA) = (uint64_t)page[0] | first | 2;
    *page_entry(VA + 4096) = (uint64_t)page[1] | second | 2;
    flush_page((void *)VA);
    flush_page((void *)(VA + 4096));
    faults = 0;
}

static void stores(void)
{
    uint64_t rdi = VA + 4096 - 100, rcx = 300;

    map(true, false);
    __asm__ volatile("rep stosb" : "+D"(rdi), "+c"(rcx) : "a"(0x5a) : "memory");
    CHECK_EQ("REP STOSB into nothing", faults, 1);
    CHECK_EQ("  RCX", at_rcx, 200);
    CHECK_EQ("  RDI", at_rdi, VA + 4096);
    CHECK_EQ("  CR2", at_cr2, VA + 4096);
    CHECK("  all stored", page[0][3996] == 0x5a && page[1][199] == 0x5a && !page[1][200]);
    rdi = VA + 4096 - 6;
    rcx = 4;
    map(true, false);
    __asm__ volatile("rep stosl" : "+D"(rdi), "+c"(rcx) : "a"(0x11223344) : "memory");
    CHECK_EQ("REP STOSD across the boundary: RCX", at_rcx, 3);
    CHECK_EQ("  RDI", at_rdi, VA + 4096 - 2);
    CHECK_EQ("  CR2", at_cr2, VA + 4096);
    CHECK_EQ("  stored", *(uint32_t *)(VA + 4096 - 2), 0x11223344);
}

static void moves(void)
{
    static uint8_t source[600];
    uint64_t rdi, rsi, rcx = 600;
    bool ok = true;

    for (unsigned n = 0; n < 600; n++)
        source[n] = (uint8_t)(n * 7);
    rdi = VA + 4096 + 200 - 1; /* downwards, into the page below */
    rsi = (uint64_t)source + 599;
    map(false, true);
    __asm__ volatile("std; rep movsb; cld" : "+D"(rdi), "+S"(rsi), "+c"(rcx) : : "memory");
    CHECK_EQ("REP MOVSB downwards: RCX", at_rcx, 400);
    CHECK_EQ("  RDI", at_rdi, VA + 4095);
    CHECK_EQ("  RSI", at_rsi, (uint64_t)source + 399);
    for (unsigned n = 0; n < 600; n++)
        ok &= ((uint8_t *)(VA + 4096 - 400))[n] == (uint8_t)(n * 7);
    CHECK("  all moved", ok);
    for (unsigned n = 0; n < 16; n++)
        source[n] = (uint8_t)n;
    rsi = (uint64_t)source;
    rdi = rsi + 3;
    rcx = 100;
    __asm__ volatile("rep movsb" : "+D"(rdi), "+S"(rsi), "+c"(rcx) : : "memory");
    ok = true;
    for (unsigned n = 0; n < 103; n++)
        ok &= source[n] == n % 3;
    CHECK("an overlap repeats its pattern", ok);
    rsi = (uint64_t)source;
    rdi = rsi + 300;
    rcx = UINT64_C(0xffffffff00000004);
    __asm__ volatile("addr32 rep movsb" : "+D"(rdi), "+S"(rsi), "+c"(rcx) : : "memory");
    CHECK_EQ("with 32-bit addresses: RCX", rcx, 0);
    CHECK_EQ("  RSI", rsi, (uint64_t)source + 4);
    rsi = 8;
    rdi = (uint64_t)source + 400;
    rcx = 1;
    wrmsr(0xc0000100, (uint64_t)source);
    __asm__ volatile("rep movsb %%fs:(%%rsi), (%%rdi)" : "+D"(rdi), "+S"(rsi), "+c"(rcx)
                     : : "memory");
    CHECK_EQ("from FS", source[400], source[8]);
}

static void compares(void)
{
    uint64_t rdi = VA + 4096 - 50, rsi = VA, rcx = 100;
    bool equal;

    map(true, true);
    memset(page[0], 1, 4096);
    memset(page[1], 1, 4096);
    page[1][20] = 2;
    map(true, false);
    __asm__ volatile("repe cmpsb" : "+D"(rdi), "+S"(rsi), "+c"(rcx), "=@ccz"(equal) : : "memory");
    CHECK_EQ("REPE CMPSB stops in the second page: RCX", rcx, 100 - 71);
    CHECK("  not equal", !equal);
    CHECK_EQ("  faulted with RCX", at_rcx, 50);
    rdi = VA + 4096 - 50;
    rcx = 1000;
    map(true, false);
    __asm__ volatile("repne scasb" : "+D"(rdi), "+c"(rcx), "=@ccz"(equal) : "a"(2) : "memory");
    CHECK_EQ("REPNE SCASB: RDI", rdi, VA + 4096 + 21);
    CHECK("  found", equal);
    rcx = 0;
    __asm__ volatile("repne scasb" : "+D"(rdi), "+c"(rcx), "=@ccz"(equal) : "a"(2) : "memory");
    CHECK("no iteration leaves the flags", rcx == 0);
}

static void on_tick(struct frame *f)
{
    ticks++;
    at_rcx = f->rcx;
    apic_write(0xb0, 0);
}

/* A long one lets the timer's interrupts in. */
static void interrupted(void)
{
    uint64_t rdi = 0x4000000, rcx = 64 << 20;

    set_handler(0x50, on_tick);
    apic_enable();
    apic_write(0x3e0, 0xb);
    apic_write(0x320, 0x20050);
    apic_write(0x380, 100000);
    /* On a busy host the ticks may come late: give them more than one chance. */
    for (unsigned n = 0; n < 200 && !(ticks > 1 && at_rcx > 0); n++) {
        rdi = 0x4000000;
        rcx = 64 << 20;
        __asm__ volatile("sti; rep stosb; cli" : "+D"(rdi), "+c"(rcx) : "a"(0x77) : "memory");
    }
    apic_write(0x380, 0);
    CHECK("a long REP STOSB is interrupted", ticks > 1 && at_rcx > 0);
    CHECK_EQ("  and ends", rdi, 0x8000000);
    CHECK_EQ("  completely", *(uint64_t *)0x7fffff8, UINT64_C(0x7777777777777777));
}

int guest_main(void)
{
    set_handler(14, on_fault);
    page[0] = alloc_page();
    page[1] = alloc_page();
    stores();
    moves();
    compares();
    interrupted();
    return check_failures();
}
