/* SPDX-License-Identifier: MIT */
/* A program that means harm, on a kernel that watches it: random bytes and every opcode as user code,
 * jumps and stores everywhere, system calls of every number the host may know. Each must come to the
 * kernel with the registers as they were; memory that the program has no right to must stay as it
 * is, what is not in the page tables must not be there; and the next tick must come.
 *
 * An engine may keep something of its own in an address space of the program: what answers there
 * though the tables have nothing is counted, attacked in turn, and must be of no use.
 *
 * Words of the command line: rounds=N, seed=N. */
#include "user.h"

#define TIMER    0xf0
#define SPURIOUS 0xff
#define PAGES    16u                       /* that the program may write and run */
#define CANARIES 64u                       /* that it may not */
#define NOWHERE  UINT64_C(0x330000000000)  /* is in no table */

static uint8_t *page, *stack, *scratch;
static uint64_t seed, canary[CANARIES], odd[64];
static unsigned odd_count, wrong;

__asm__(".pushsection .text; .balign 4096; huser_text:\n"
        "h_syscall: syscall\n"
        "h_int80: int $0x80\n"
        "h_read: mov (%rdi), %rax; ud2\n"
        "h_write: mov %rax, (%rdi); ud2\n"
        "h_jump: jmp *%rdi\n"
        "h_spin: jmp h_spin\n"
        /* Stores over [RDI, RDI + 8 RCX) again and again. */
        "h_storm: mov %rdi, %rbx; mov %rcx, %rdx\n"
        "1: mov %rax, (%rbx); rol $7, %rax; add $8, %rbx; dec %rdx; jnz 1b; jmp h_storm\n"
        ".balign 4096; huser_end: .popsection\n");
extern char huser_text[], huser_end[], h_syscall[], h_int80[], h_read[], h_write[], h_jump[], h_spin[], h_storm[];

static uint64_t rnd(uint64_t below)
{
    return next_random(&seed) % below;
}

static void timer(uint32_t count)
{
    apic_write(0xf0, 0x100 | SPURIOUS);
    apic_write(0x3e0, 0xb);
    apic_write(0x320, count ? TIMER : 0x10000); /* one shot */
    apic_write(0x380, count);
    if (!count)
        __asm__ volatile("sti; nop; nop; cli");
}

/* ---- what must not change ---- */

static uint64_t *canary_page(unsigned n)
{
    return (uint64_t *)(UINT64_C(0x4000000) + n * UINT64_C(4096) * 5);
}

static uint64_t sum_of(const uint64_t *p, unsigned count)
{
    uint64_t sum = 0;

    while (count--)
        sum = sum * 31 + *p++;
    return sum;
}

static void fill_canaries(void)
{
    for (unsigned n = 0; n < CANARIES; n++) {
        for (unsigned i = 0; i < 512; i++)
            canary_page(n)[i] = rnd(UINT64_MAX);
        canary[n] = sum_of(canary_page(n), 512);
    }
}

static uint64_t sum_of_kernel(void)
{
    return sum_of((const uint64_t *)0x100000, 512 * 2);
}

static void canaries(const char *name, uint64_t kernel)
{
    unsigned changed = 0;

    for (unsigned n = 0; n < CANARIES; n++)
        changed += sum_of(canary_page(n), 512) != canary[n];
    print("# after %s\n", name);
    CHECK_EQ("the kernel's pages are as they were", changed, 0);
    CHECK("and its code", kernel == sum_of_kernel());
}

/* ---- runs ---- */

static uint64_t an_address(void)
{
    switch (rnd(8)) {
    case 0: return (uint64_t)page + rnd(PAGES * 4096);
    case 1: return (uint64_t)canary_page((unsigned)rnd(CANARIES)) + rnd(4096);
    case 2: return rnd(UINT64_C(1) << 47);
    case 3: return rnd(UINT64_MAX);
    case 4: return (uint64_t)scratch + rnd(4096);
    case 5: return rnd(4096);
    case 6: return UINT64_C(0xffffffffff600000) + rnd(4096);
    default: return odd_count ? odd[rnd(odd_count)] + rnd(4096) : NOWHERE;
    }
}

static struct frame random_frame(const void *rip)
{
    struct frame f = user_frame(rip, stack + 2048);

    for (unsigned n = 0; n < 15; n++)
        ((uint64_t *)&f)[n] = an_address();
    return f;
}

/* One stretch of hostile code, and whether what it comes back with is a state of user mode at all. */
static unsigned one_run(struct frame *f, uint32_t ticks)
{
    unsigned vector;

    timer(ticks);
    vector = user_run(0, f);
    if (vector == TIMER)
        apic_write(0xb0, 0);
    if ((f->cs & 3) != 3 || (f->ss & 3) != 3 || (!(f->rflags & 0x200)) || (f->rflags & 0x3000)) {
        if (wrong++ < 8)
            print("FAIL came back with CS %lx SS %lx flags %lx\n", f->cs, f->ss, f->rflags);
    }
    return vector;
}

static void is_interrupted(void)
{
    struct frame f = user_frame(h_spin, stack + 2048);
    uint64_t end = rdtsc() + UINT64_C(20000000000);
    unsigned vector = 0;

    while (rdtsc() < end && vector != TIMER)
        vector = one_run(&f, 100000);
    CHECK("the next tick comes", vector == TIMER && f.rip == (uint64_t)h_spin);
}

/* ---- random bytes, every opcode ---- */

static void run_from(uint64_t at, unsigned faults)
{
    struct frame f = random_frame((void *)at);

    while (faults--) {
        unsigned vector = one_run(&f, 20000);

        if (vector == TIMER || f.rip < (uint64_t)page || f.rip >= (uint64_t)page + PAGES * 4096)
            break;
        f.rip++;
        f.cs = USER_CS;
        f.ss = USER_SS;
        f.rflags = USER_FLAGS;
        f.rsp = (uint64_t)stack + 2048;
    }
}

static void random_bytes(unsigned rounds)
{
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned n = 0; n < PAGES * 512; n++)
            ((uint64_t *)page)[n] = rnd(UINT64_MAX);
        for (unsigned n = 0; n < 40; n++)
            run_from((uint64_t)page + rnd(PAGES * 4096 - 64), 12);
    }
}

static void opcodes(unsigned rounds)
{
    static const uint8_t prefix[] = {0x90, 0x66, 0xf2, 0xf3, 0x48, 0x41, 0x64, 0x65, 0xf0, 0x67};

    for (unsigned r = 0; r < rounds; r++)
        for (unsigned op = 0; op < 1024; op++) {
            uint8_t *p = page + rnd(PAGES * 4096 - 64);
            unsigned n = 0;

            p[n++] = prefix[rnd(sizeof(prefix))];
            if (op >= 256)
                p[n++] = 0x0f;
            if (op >= 512)
                p[n++] = op < 768 ? 0x38 : 0x3a;
            p[n++] = (uint8_t)op;
            *(uint64_t *)(p + n) = rnd(UINT64_MAX);
            memcpy(p + n + 8, "\x0f\x0b\x0f\x0b", 4);
            run_from((uint64_t)p, 2);
        }
}

/* ---- system calls ---- */

/* All of them are the guest's. What is asked of the host by these numbers and arguments would end it,
 * map things, open files, block signals, return from a signal. */
static void calls(const char *name, const char *at, unsigned want, unsigned length)
{
    unsigned bad = 0;

    for (unsigned n = 0; n < 1200; n++) {
        struct frame f = random_frame(at), was;

        f.rax = n < 600 ? n : n < 700 ? 0x40000000 + rnd(600) : n < 1000 ? rnd(480) : rnd(UINT64_MAX);
        if (n & 1) { /* mmap, writable and executable, of descriptors that may be there */
            f.rdi = n & 2 ? NOWHERE : (uint64_t)page & ~UINT64_C(0xfff);
            f.rsi = 4096 << rnd(4);
            f.rdx = 7;
            f.r10 = n & 4 ? 0x11 : 0x32;
            f.r8 = rnd(8);
            f.r9 = rnd(64) * 4096;
        }
        if (f.rax == 15 || n % 7 == 0) { /* a signal frame at RSP */
            for (unsigned i = 0; i < 256; i++)
                ((uint64_t *)(scratch))[i] = an_address();
            f.rsp = (uint64_t)scratch + 8 * rnd(64);
        }
        was = f;
        timer(0);
        if (want == 0x80) /* a host that takes it for a 32-bit call keeps no more of RAX */
            f.rax = was.rax = (uint32_t)was.rax;
        if (user_run(0, &f) != want || f.rip != (uint64_t)at + length || f.rax != was.rax || f.rdi != was.rdi ||
            f.rsi != was.rsi || f.rdx != was.rdx || f.r10 != was.r10 || f.r8 != was.r8 || f.r9 != was.r9 ||
            f.rsp != was.rsp) {
            if (bad++ < 4)
                print("FAIL call %lx: vector %lx at %lx, RAX %lx\n", was.rax, f.vector, f.rip, f.rax);
        }
    }
    CHECK_EQ(name, bad, 0);
}

/* ---- addresses ---- */

static bool answers(uint64_t at)
{
    struct frame f = user_frame(h_read, stack + 2048);

    f.rdi = at;
    return user_run(0, &f) != 14;
}

/* Nothing is above the first 4 GiB: user pages are all below. */
static void look_everywhere(void)
{
    odd_count = 0;
    timer(0);
    for (unsigned slot = 1; slot < 256; slot++)
        for (unsigned n = 0; n < 24; n++) {
            uint64_t at = (uint64_t)slot << 39 | (n < 16 ? n * UINT64_C(4096) : rnd(UINT64_C(1) << 39) & ~UINT64_C(4095));

            if (answers(at) && odd_count < 64)
                odd[odd_count++] = at;
        }
    print("# %u pages that are in no table answer\n", odd_count);
    for (unsigned n = 0; n < odd_count && n < 4; n++)
        print("#   %lx\n", odd[n]);
}

/* Into every byte of what answered, with all that a call of the host might want in registers. */
static void jump_into_it(unsigned step)
{
    for (unsigned n = 0; n < odd_count; n++)
        for (unsigned at = (unsigned)rnd(step); at < 4096; at += step) {
            struct frame f = random_frame((void *)(odd[n] + at));

            f.rax = rnd(2) ? 9 : rnd(400);
            f.rdi = NOWHERE;
            f.rsi = 4096;
            f.rdx = 7;
            f.r10 = 0x11;
            f.r8 = rnd(8);
            f.r9 = (uint64_t)canary_page(0);
            f.rcx = rnd(2) ? rnd(256) : f.rcx;
            one_run(&f, 20000);
        }
    timer(0);
    CHECK("and there is still nothing where nothing is", !answers(NOWHERE));
}

/* ---- another CPU that writes into what answers while this one comes and goes ---- */

static volatile bool here, begin, stop, stopped;

void guest_ap_main(void)
{
    load_idt();
    user_setup(1);
    apic_write(0xf0, 0x100 | SPURIOUS);
    here = true;
    while (!begin)
        __asm__ volatile("pause");
    for (uint64_t own = 99; !stop;) {
        struct frame f = user_frame(h_storm, stack + 4000);
        unsigned vector;

        f.rdi = odd[next_random(&own) % odd_count];
        f.rcx = 512;
        f.rax = next_random(&own);
        apic_write(0x3e0, 0xb);
        apic_write(0x320, TIMER);
        apic_write(0x380, 50000);
        vector = user_run(1, &f);
        if (vector == TIMER)
            apic_write(0xb0, 0);
    }
    stopped = true;
}

static void from_two_sides(unsigned rounds)
{
    uint64_t end;

    begin = true;
    for (unsigned n = 0; n < rounds; n++) {
        struct frame f = random_frame(n & 1 ? h_syscall : h_write);

        one_run(&f, 20000);
    }
    stop = true;
    for (end = rdtsc() + UINT64_C(60000000000); !stopped && rdtsc() < end;)
        ;
    CHECK("the other CPU came back", stopped);
}

static void ignore(struct frame *f)
{
    (void)f;
    apic_write(0xb0, 0);
}

int guest_main(void)
{
    unsigned rounds = (unsigned)guest_option("rounds", 6);
    uint64_t kernel;

    seed = guest_option("seed", 11) | 1;
    take_from_user();
    user_setup(0);
    apic_enable();
    set_handler(TIMER, ignore);
    map_user(huser_text, (size_t)(huser_end - huser_text));
    for (uint64_t at = (uint64_t)huser_text; at < (uint64_t)huser_end; at += 4096)
        *page_entry(at) &= ~UINT64_C(2);
    WRITE_CR(3, READ_CR(3));
    page = user_pages(PAGES);
    stack = user_pages(1);
    scratch = user_pages(2);
    if (guest_option("cpus", 1) > 1) {
        start_cpus(1);
        while (!here)
            __asm__ volatile("pause");
    }
    fill_canaries();
    kernel = sum_of_kernel();
    look_everywhere();
    calls("SYSCALL with every number", h_syscall, USER_SYSCALL, 2);
    calls("INT 80h with every number", h_int80, 0x80, 2);
    is_interrupted();
    random_bytes(rounds);
    canaries("random bytes", kernel);
    is_interrupted();
    opcodes(rounds);
    canaries("every opcode", kernel);
    is_interrupted();
    if (odd_count) {
        jump_into_it(rounds > 100 ? 1 : 7);
        canaries("jumps into what answered", kernel);
        is_interrupted();
        if (here)
            from_two_sides(rounds * 100);
        canaries("stores into it from the other CPU", kernel);
        is_interrupted();
    }
    look_everywhere();
    calls("SYSCALL with every number, at last", h_syscall, USER_SYSCALL, 2);
    CHECK_EQ("it was always user mode that came back", wrong, 0);
    return check_failures();
}
