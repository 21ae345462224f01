/* SPDX-License-Identifier: MIT */
/* Two CPUs in user mode in one address space, whose pages the kernel on one of them exchanges,
 * protects and takes away under the other: once the other has flushed and said so, not one more of
 * its stores may land in the page that was there before. Each CPU takes either part.
 *
 * Words of the command line: rounds=N, seed=N; leave=flush: say so without having flushed, which has
 * to fail. */
#include "user.h"

#define KEEP     (UINT64_C(1) << 63)
#define PGE      (UINT64_C(1) << 7)
#define PCIDE    (UINT64_C(1) << 17)
#define SHOOT    0x71
#define LEAVE    0x72 /* comes back from user mode to be given something else */
#define SPURIOUS 0xff
#define PATIENCE (left_out ? UINT64_C(1000000000) : UINT64_C(60000000000)) /* cycles */
#define COUNTERS 4u
#define AREA     UINT64_C(0x550000000000) /* where the pages are seen */

/* Adds one to the first word of each page in turn, reads it back, and calls what the page holds. */
extern char user_storm[], user_storm_end[], user_add[];
__asm__(".pushsection .text; .balign 4096\n"
        "user_storm: mov %rdi, %rbx; mov %rcx, %r12\n"
        "1: lock incq (%rbx); mov 8(%rbx), %rdx; mov %r13, 8(%rbx); inc %r13; lea 64(%rbx), %rax\n"
        "   call *%rax; add %rax, %r14; add $4096, %rbx; dec %r12; jnz 1b; jmp user_storm\n"
        "user_add: lock incq (%rdi); dec %rcx; jnz user_add; syscall\n"
        ".balign 4096; user_storm_end: .popsection\n");

static bool left_out;
static uint8_t *stacks[2];
static uint64_t *entries[COUNTERS], *pages[COUNTERS][2]; /* seen by turns at AREA + n * 4096 */
static uint64_t seed;

static struct {
    volatile unsigned command, done, acks, faults;
    volatile bool here, leave;
    volatile uint64_t flush_va;
    volatile unsigned flush_how;
} other;

static void send(unsigned vector)
{
    while (apic_read(0x300) & 0x1000)
        ;
    apic_write(0x310, (apic_read(0x20) ^ 1 << 24) & 0xff000000);
    apic_write(0x300, 0x4000 | vector);
}

static void wait_until(volatile unsigned *what, unsigned value, const char *name)
{
    for (uint64_t end = rdtsc() + PATIENCE; rdtsc() < end;)
        if (*what == value)
            return;
    print("FAIL %s: the other CPU does not answer\n", name);
    guest_exit(1);
}

/* ---- the CPU that is shot at ---- */

static void flush(void)
{
    uint64_t va = other.flush_va, d[2] = {has_pcid ? 1 : 0, va};

    switch (other.flush_how) {
    case 0: flush_page((void *)va); break;
    case 1: WRITE_CR(3, READ_CR(3)); break;
    case 2:
        WRITE_CR(4, READ_CR(4) ^ PGE);
        WRITE_CR(4, READ_CR(4) ^ PGE);
        break;
    default: __asm__ volatile("invpcid %0, %1" : : "m"(d), "r"((uint64_t)(other.flush_how - 3)) : "memory");
    }
}

/* In user mode until told to leave. A page that is not there, or not to be written, is waited for
 * in user mode, as it is by a program whose kernel has just nothing better. */
static void be_shot_at(unsigned cpu)
{
    struct frame f = user_frame(user_storm, stacks[cpu] + 4000);

    f.rdi = AREA;
    f.rcx = COUNTERS;
    while (!other.leave) {
        unsigned vector = user_run(cpu, &f);

        if (vector == 14) {
            other.faults++;
            continue;
        }
        if (vector != SHOOT && vector != LEAVE) {
            print("FAIL vector %u at %lx\n", vector, f.rip);
            guest_exit(1);
        }
        apic_write(0xb0, 0);
        if (vector == SHOOT) {
            if (!left_out)
                flush();
            other.acks++;
        }
    }
}

/* ---- the one that shoots ---- */

static void shoot(unsigned n)
{
    unsigned before = other.acks;

    other.flush_va = AREA + n * UINT64_C(4096);
    do
        other.flush_how = (unsigned)(next_random(&seed) % 7);
    while (other.flush_how > 2 && !(has_invpcid && has_pcid));
    send(SHOOT);
    wait_until(&other.acks, before + 1, "a shoot-down");
    flush_page((void *)other.flush_va);
}

/* It must move again, or stay as it is while the others go on. */
static bool moves(const volatile uint64_t *word)
{
    uint64_t before = *word;

    for (uint64_t end = rdtsc() + PATIENCE; rdtsc() < end;)
        if (*word != before)
            return true;
    return false;
}

static bool stays(const volatile uint64_t *word, uint64_t value)
{
    for (unsigned n = 0; n < 200; n++) {
        if (*word != value)
            return false;
        __asm__ volatile("pause");
    }
    return true;
}

static bool exchanged(unsigned n, unsigned *shown)
{
    uint64_t *from = pages[n][*shown], *to = pages[n][*shown ^ 1], was;

    *(volatile uint64_t *)entries[n] = (uint64_t)to | 7;
    shoot(n);
    was = *(volatile uint64_t *)from;
    *shown ^= 1;
    return moves(to) && stays(from, was);
}

static bool protected(unsigned n, unsigned shown, uint64_t rights)
{
    uint64_t *page = pages[n][shown], was;
    unsigned faults;
    bool ok;

    *(volatile uint64_t *)entries[n] = (uint64_t)page | rights;
    shoot(n);
    was = *(volatile uint64_t *)page;
    faults = other.faults;
    for (uint64_t end = rdtsc() + PATIENCE; other.faults == faults && rdtsc() < end;)
        ;
    if (rights & 2)
        was = *(volatile uint64_t *)page; /* it may still store, but not call */
    ok = other.faults != faults && stays(page, was);
    *(volatile uint64_t *)entries[n] = (uint64_t)page | 7; /* more rights need no flush */
    return ok && moves(page);
}

static void leave(void)
{
    other.leave = true;
    send(LEAVE);
}

/* A few instructions of its own in the same space, so that both CPUs are at it. */
static void own_user_code(unsigned cpu)
{
    struct frame f = user_frame(user_add, stacks[cpu] + 4000);
    unsigned vector;

    f.rdi = (uint64_t)stacks[cpu];
    f.rcx = 50;
    while ((vector = user_run(cpu, &f)) == SHOOT || vector == LEAVE)
        apic_write(0xb0, 0);
    if (vector != USER_SYSCALL) {
        print("FAIL vector %u at %lx\n", vector, f.rip);
        guest_exit(1);
    }
}

static void storm(const char *name, unsigned cpu, unsigned rounds)
{
    static const uint64_t fewer[] = {5, 0, 3, 7 | UINT64_C(1) << 63};
    unsigned shown[COUNTERS] = {0}, wrong = 0;

    for (unsigned n = 0; n < COUNTERS; n++)
        *(volatile uint64_t *)entries[n] = (uint64_t)pages[n][0] | 7;
    for (unsigned n = 0; n < COUNTERS; n++)
        shoot(n);
    for (unsigned r = 0; r < rounds && !wrong; r++) {
        unsigned n = (unsigned)(next_random(&seed) % COUNTERS);

        if (next_random(&seed) % 3)
            wrong += !exchanged(n, &shown[n]);
        else
            wrong += !protected(n, shown[n], fewer[next_random(&seed) % 4]);
        if (r % 4 == 0)
            own_user_code(cpu);
        if (wrong)
            print("# round %u, page %u\n", r, n);
    }
    leave();
    CHECK_EQ(name, wrong, 0);
}

/* ---- both ---- */

static void give(unsigned what)
{
    other.leave = false;
    other.command = what;
}

enum { REST, BE_SHOT_AT, SHOOT_AT_ME, ADD, END };

static uint64_t *sum;

static void add(unsigned cpu)
{
    struct frame f = user_frame(user_add, stacks[cpu] + 4000);

    f.rdi = (uint64_t)sum;
    f.rcx = 200000;
    if (user_run(cpu, &f) != USER_SYSCALL)
        guest_exit(1);
}

static void enter_space(void)
{
    if (!has_pcid)
        return;
    WRITE_CR(4, READ_CR(4) | PCIDE);
    WRITE_CR(3, READ_CR(3) | 1);
}

static unsigned rounds;

void guest_ap_main(void)
{
    unsigned last = REST;

    load_idt();
    user_setup(1);
    enter_space();
    apic_write(0xf0, 0x100 | SPURIOUS);
    other.here = true;
    while (last != END) {
        unsigned now = other.command;

        if (now == last) {
            __asm__ volatile("pause");
            continue;
        }
        last = now;
        if (now == BE_SHOT_AT)
            be_shot_at(1);
        else if (now == SHOOT_AT_ME)
            storm("shot at by the second CPU", 1, rounds);
        else if (now == ADD)
            add(1);
        other.done = now;
    }
}

static void make_pages(void)
{
    for (unsigned n = 0; n < COUNTERS; n++) {
        entries[n] = page_entry(AREA + n * 4096);
        for (unsigned k = 0; k < 2; k++) {
            pages[n][k] = alloc_page();
            memcpy((uint8_t *)pages[n][k] + 64, "\xb8\x01\x00\x00\x00\xc3", 6);
        }
        *entries[n] = (uint64_t)pages[n][0] | 7;
    }
}

static void ignore(struct frame *f)
{
    (void)f;
    apic_write(0xb0, 0);
}

int guest_main(void)
{
    rounds = (unsigned)guest_option("rounds", 400);
    seed = guest_option("seed", 5) | 1;
    left_out = guest_option_is("leave", "flush");
    take_from_user();
    user_setup(0);
    enter_space();
    map_user(user_storm, (size_t)(user_storm_end - user_storm));
    stacks[0] = user_pages(1);
    stacks[1] = user_pages(1);
    sum = user_pages(1);
    make_pages();
    set_handler(SHOOT, ignore);
    set_handler(LEAVE, ignore);
    CHECK_EQ("the other CPU came", start_cpus(1), 1);
    while (!other.here)
        __asm__ volatile("pause");
    give(BE_SHOT_AT);
    storm("shot at by the first CPU", 0, rounds);
    wait_until(&other.done, BE_SHOT_AT, "the end");
    give(SHOOT_AT_ME);
    be_shot_at(0);
    wait_until(&other.done, SHOOT_AT_ME, "the end");
    give(ADD);
    add(0);
    wait_until(&other.done, ADD, "the sum");
    CHECK_EQ("locked additions by both", *sum, 400000);
    give(END);
    return check_failures();
}
