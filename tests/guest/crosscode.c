/* SPDX-License-Identifier: MIT */
/* Two CPUs and code that changes: announced by an interrupt, patched under the running CPU as Linux
 * does it (INT3 first, then the rest, then the first byte), replaced by one store without a word,
 * and rewritten by both at once beside each other's. SDM vol. 3, 8.1.3. */
#include "guest.h"

#define PATIENCE UINT64_C(40000000000) /* cycles: only against hanging */

enum { IDLE, RUN_SITE, REWRITE_BESIDE, COUNT_BESIDE, STOP };

static volatile unsigned command, done, acks, calls, traps, seen, wrong;
static volatile bool stop;
static uint8_t *page, *site, *site_target;
static uint32_t other_apic;

typedef unsigned fn(void);

/* mov eax, imm32; ret */
static void emit(uint8_t *at, uint32_t value)
{
    at[0] = 0xb8;
    *(volatile uint32_t *)(at + 1) = value;
    at[5] = 0xc3;
}

static void run_site(void)
{
    while (!stop) {
        unsigned r = ((fn *)site)();

        wrong += r != 1 && r != 2;
        seen = r;
        calls++;
    }
}

/* Rewrite and call, at every so many bytes from first on: each CPU its own. */
static bool rewrite_beside(unsigned first, unsigned step, unsigned rounds)
{
    bool ok = true;

    for (uint32_t n = 0; n < rounds; n++)
        for (unsigned at = first; at + 6 <= 4096; at += step) {
            if ((n + at / step) % 3 == 0)
                emit(page + at, n * 4096 + at);
            for (unsigned k = 0; k < 2; k++) {
                unsigned r = ((fn *)(page + at))();

                ok &= r % 4096 == at && r / 4096 <= n && r / 4096 + 3 > n;
            }
        }
    return ok;
}

void guest_ap_main(void)
{
    unsigned last = IDLE;

    load_idt();
    other_apic = apic_read(0x20) & 0xff000000;
    apic_write(0xf0, 0x1ff);
    __asm__ volatile("sti");
    while (last != STOP) {
        unsigned now = command;

        if (now == last) {
            __asm__ volatile("pause");
            continue;
        }
        last = now;
        if (now % 16 == RUN_SITE)
            run_site();
        else if (now % 16 == REWRITE_BESIDE)
            wrong += !rewrite_beside(now / 16 / 2, now / 16, 200);
        else if (now % 16 == COUNT_BESIDE)
            for (unsigned n = 0; n < 100000; n++)
                (*(volatile uint64_t *)(page + now / 16))++;
        done = now;
    }
}

static bool wait_for(volatile unsigned *what, unsigned value)
{
    for (uint64_t end = rdtsc() + PATIENCE; rdtsc() < end;)
        if ((int)(*what - value) >= 0)
            return true;
    return false;
}

static bool wait_done(unsigned value)
{
    for (uint64_t end = rdtsc() + PATIENCE; rdtsc() < end;)
        if (done == value)
            return true;
    return false;
}

static void on_sync(struct frame *f)
{
    acks++; /* and the IRET serializes */
    apic_write(0xb0, 0);
}

/* As Linux's poke_int3_handler(), which does what the instruction does that is being patched in;
 * here either will do. */
static void on_int3(struct frame *f)
{
    if (f->rip != (uint64_t)site + 1) {
        print("FAIL a stray INT3 at %lx\n", f->rip);
        guest_exit(1);
    }
    f->rip = traps++ & 1 ? (uint64_t)site_target : (uint64_t)site + 5;
}

static bool sync_other(void)
{
    unsigned before = acks;

    while (apic_read(0x300) & 0x1000)
        ;
    apic_write(0x310, other_apic);
    apic_write(0x300, 0x4070);
    return wait_for(&acks, before + 1);
}

/* The site: five bytes that are a no-op or a jump over the first return. */
static void make_site(void)
{
    static const uint8_t bytes[] = {0x0f, 0x1f, 0x44, 0, 0, 0xb8, 1, 0, 0, 0, 0xc3,
                                    0xb8, 2, 0, 0, 0, 0xc3};

    site = (uint8_t *)alloc_page() + 0x100;
    site_target = site + 11;
    for (unsigned n = 0; n < sizeof(bytes); n++)
        site[n] = bytes[n];
}

static const uint8_t nop5[] = {0x0f, 0x1f, 0x44, 0, 0}, jump5[] = {0xe9, 6, 0, 0, 0};

/* In the end the other CPU must run what is there. */
static bool other_sees(unsigned value)
{
    unsigned before = calls;

    return wait_for(&calls, before + 2) && seen == value;
}

static void start(unsigned what)
{
    stop = false;
    wrong = 0;
    command = what;
}

static void poked(void)
{
    bool ok = true;

    make_site();
    start(RUN_SITE);
    for (unsigned n = 0; n < 60 && ok; n++) {
        const uint8_t *to = n & 1 ? nop5 : jump5;

        ok &= other_sees(n & 1 ? 2 : 1);
        *(volatile uint8_t *)site = 0xcc;
        ok &= sync_other();
        for (unsigned k = 1; k < 5; k++)
            ((volatile uint8_t *)site)[k] = to[k];
        ok &= sync_other();
        *(volatile uint8_t *)site = to[0];
        ok &= sync_other() && other_sees(n & 1 ? 1 : 2);
    }
    stop = true;
    CHECK("the other CPU came to its end", wait_done(RUN_SITE));
    CHECK("patched with INT3 under the running CPU", ok && !wrong);
    print("   %u traps, %u calls\n", traps, calls);
}

/* One aligned store; the other CPU runs the one or the other, and in the end the new one. */
static void replaced(void)
{
    bool ok = true;
    uint64_t nop, jump;

    make_site();
    nop = jump = *(uint64_t *)site;
    for (unsigned k = 0; k < 5; k++)
        ((uint8_t *)&jump)[k] = jump5[k];
    start(RUN_SITE + 16);
    for (unsigned n = 0; n < 200 && ok; n++) {
        *(volatile uint64_t *)site = n & 1 ? nop : jump;
        ok &= n % 10 || (sync_other() && other_sees(n & 1 ? 1 : 2));
    }
    stop = true;
    CHECK("the other CPU came to its end", wait_done(RUN_SITE + 16));
    CHECK("replaced by one store", ok && !wrong);
}

/* Written, announced by an interrupt, run. */
static void announced(void)
{
    bool ok = true;

    page = alloc_page();
    site = page;
    for (unsigned n = 0; n < 150 && ok; n++) {
        emit(site, 1 + (n & 1));
        if (!n)
            start(RUN_SITE + 32);
        ok &= sync_other() && other_sees(1 + (n & 1));
    }
    stop = true;
    CHECK("the other CPU came to its end", wait_done(RUN_SITE + 32));
    CHECK("announced by an interrupt", ok && !wrong);
}

/* Each CPU has functions of its own in the page; step: how close they are to the other's. */
static void beside(unsigned step)
{
    bool ok;

    page = alloc_page();
    for (unsigned at = 0; at + 6 <= 4096; at += step / 2)
        emit(page + at, at);
    start(REWRITE_BESIDE + 16 * step);
    ok = rewrite_beside(0, step, 200);
    CHECK("the other CPU came to its end", wait_done(REWRITE_BESIDE + 16 * step));
    print("   every %u bytes: ", step);
    CHECK("each its own functions", ok && !wrong);
}

/* The other CPU counts in the page whose code we rewrite and run. */
static void counted(unsigned at)
{
    bool ok = true;

    page = alloc_page();
    start(COUNT_BESIDE + 16 * at);
    for (uint32_t n = 0; n < 3000; n++) {
        emit(page, n);
        ok &= ((fn *)page)() == n;
    }
    CHECK("the other CPU came to its end", wait_done(COUNT_BESIDE + 16 * at));
    CHECK("and lost no count", *(volatile uint64_t *)(page + at) == 100000);
    CHECK("code rewritten beside its data", ok);
}

int guest_main(void)
{
    CHECK_EQ("the other CPU came", start_cpus(1), 1);
    while (!*(volatile uint32_t *)&other_apic)
        __asm__ volatile("pause");
    set_handler(0x70, on_sync);
    set_handler(3, on_int3);
    poked();
    replaced();
    announced();
    beside(128);
    beside(32);
    counted(2048);
    counted(8);
    command = STOP;
    CHECK("it stops", wait_done(STOP));
    return check_failures();
}
