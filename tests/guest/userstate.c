/* SPDX-License-Identifier: MIT */
/* What user code must not notice, and what its kernel must be able to do to it: registers of every
 * kind through thousands of interrupts and system calls, loops that never come to the kernel by
 * themselves, single steps, breakpoints, 32-bit code and back, and code that changes. */
#include "user.h"

#define TIMER    0xf0
#define SPURIOUS 0xff
#define TF       UINT64_C(0x100)
#define RF       UINT64_C(0x10000)
#define NX       (UINT64_C(1) << 63)
#define DR6_BS   UINT64_C(0x4000)
#define PATIENCE UINT64_C(60000000000) /* cycles: only against hanging */

#define READ_DR(n)                                                                                 \
    ({                                                                                             \
        uint64_t v_;                                                                               \
        __asm__ volatile("mov %%dr" #n ", %0" : "=r"(v_));                                         \
        v_;                                                                                        \
    })
#define WRITE_DR(n, v) __asm__ volatile("mov %0, %%dr" #n : : "r"((uint64_t)(v)) : "memory")

#define LCG(r) "imul %r8, %" #r "; add %r9, %" #r "; "

__asm__(".pushsection .text; .balign 4096; ustate_text:\n"
        /* Round and round; R10 counts down, R12 is SYSCALL's turn. Everything depends on the round
         * before: general registers, XMM, x87, flags. */
        "mill: dec %r12; jnz 1f; mov %r15, %r12; syscall\n"
        "1: " LCG(rax) LCG(rbx) LCG(rdx) LCG(rsi) LCG(rdi) LCG(rbp) LCG(r13) LCG(r14)
        "  paddq %xmm1, %xmm0; paddd %xmm2, %xmm15; addps %xmm3, %xmm4; fadd %st(1), %st\n"
        "  dec %r10; jnz mill; ud2\n"
        "mill_avx: dec %r12; jnz 1f; mov %r15, %r12; syscall\n"
        "1: vaddpd %ymm5, %ymm6, %ymm6; vaddpd %ymm5, %ymm14, %ymm14; dec %r10; jnz mill_avx; ud2\n"
        "spin: jmp spin; .byte 0x0f, 0x0b\n"
        "busy: inc %rax; jmp busy\n"
        "watched: nop; watched_at: mov $5, %eax; mov %rax, (%rdi); watched_behind: nop; syscall\n"
        "to32: ljmp *far32(%rip); far32: .long code32; .word 0x23\n"
        ".code32\n"
        "code32: mov $-1, %eax; inc %eax; mov $0x40, %ecx; 1: inc %ebx; loop 1b\n"
        "  push %ebx; pop %esi; int $0x80\n"
        "  ljmp $0x33, $back64\n"
        "spin32: inc %eax; jmp spin32\n"
        "fault32: mov $0x2b, %ecx; mov %ecx, %ds; fault32_at: mov (%edi), %eax\n"
        ".code64\n"
        "back64: mov $-1, %rax; syscall\n"
        /* To be stepped: a step ends at each label but where it says so. In a page of its own, as
         * there are engines that shun pages with CPUID. */
        ".balign 4096; steps: mov $3, %ecx; s1: rep stosb; s2: xor %eax, %eax; s3: jz s5; s4: ud2\n"
        "s5: pushfq; s6: pop %rbx; s7: cpuid; s8: rdtsc; s9: call s11; s10: jmp s12; s11: ret\n"
        "s12: mov $7, %eax; s13: pushfq; s14: andq $~0x100, (%rsp); s15: popfq; s16: nop; syscall\n"
        ".balign 4096; ustate_text_end: .popsection\n");
extern char ustate_text[], ustate_text_end[], mill[], mill_avx[], spin[], busy[], steps[], s1[], s2[], s3[], s5[],
    s6[], s7[], s8[], s9[], s10[], s11[], s12[], s13[], s14[], s15[], s16[], watched[], watched_at[],
    watched_behind[], to32[], code32[], spin32[], fault32[], fault32_at[], back64[];

static uint8_t *stack, *data;
static uint64_t seed = 77;
static unsigned ticks;

static void timer(uint32_t count)
{
    apic_write(0xf0, 0x100 | SPURIOUS);
    apic_write(0x3e0, 0xb);
    apic_write(0x320, count ? 0x20000 | TIMER : 0x10000);
    apic_write(0x380, count);
    if (!count)
        __asm__ volatile("sti; nop; nop; cli"); /* a last one may wait */
}

/* What a kernel does that uses the vector unit itself meanwhile. */
static uint8_t area[4096] __attribute__((aligned(64)));

static void use_vector_unit(void)
{
    if (has_avx)
        __asm__ volatile("xsave64 %0; fninit; vzeroall; vpcmpeqd %%xmm0, %%xmm0, %%xmm0; vmovdqa %%xmm0, %%xmm15\n"
                         "vmovdqa %%xmm0, %%xmm1; fldpi; xrstor64 %0"
                         : "+m"(area) : "a"(-1), "d"(-1));
    else
        __asm__ volatile("fxsave64 %0; fninit; pcmpeqd %%xmm0, %%xmm0; movdqa %%xmm0, %%xmm15; fldpi; fxrstor64 %0"
                         : "+m"(area));
}

/* Until something other than a tick comes. */
static unsigned run_on(struct frame *f, bool vectors)
{
    for (;;) {
        unsigned vector = user_run(0, f);

        user_cpus[0].sysret = false;
        if (vector != TIMER && vector != SPURIOUS)
            return vector;
        apic_write(0xb0, 0);
        ticks++;
        if (vectors && ticks % 3 == 0)
            use_vector_unit();
    }
}

/* ---- registers ---- */

static const uint64_t multiplier = UINT64_C(6364136223846793005), increment = UINT64_C(1442695040888963407);

static uint64_t lcg(uint64_t v, unsigned rounds)
{
    while (rounds--)
        v = v * multiplier + increment;
    return v;
}

static bool are_general(const struct frame *f, const struct frame *first, unsigned rounds)
{
    const uint64_t is[] = {f->rax, f->rbx, f->rdx, f->rsi, f->rdi, f->rbp, f->r13, f->r14};
    const uint64_t was[] = {first->rax, first->rbx, first->rdx, first->rsi,
                            first->rdi, first->rbp, first->r13, first->r14};

    for (unsigned n = 0; n < 8; n++)
        if (is[n] != lcg(was[n], rounds))
            return false;
    return f->r8 == multiplier && f->r9 == increment;
}

static unsigned mill_round(const char *start, unsigned rounds, unsigned every, struct frame *f)
{
    unsigned calls = 0, vector;

    f->rip = (uint64_t)start;
    f->r10 = rounds;
    f->r12 = f->r15 = every;
    while ((vector = run_on(f, true)) == USER_SYSCALL) {
        calls++;
        user_cpus[0].sysret = calls & 1; /* back by SYSRET and by IRET */
        if (calls % 5 == 0)
            use_vector_unit();
    }
    CHECK_EQ("the mill ends where it should", vector, 6);
    CHECK_EQ("  calls", calls, rounds / every);
    return calls;
}

static void general_and_sse_once(void)
{
    static const float one[4] = {1, 1, 1, 1};
    static const uint64_t pairs[2] = {3, UINT64_C(1) << 40};
    const unsigned rounds = 600000;
    struct frame f = user_frame(mill, stack + 4000), first;
    uint64_t sum[2];
    uint32_t words[4], mxcsr = 0x1fa0 | 0x6000, got; /* rounds to zero, denormals are zero; a sticky bit */
    float floats[4];
    uint16_t fcw = 0xc7f, sw;
    double st;

    for (unsigned n = 0; n < 15; n++)
        ((uint64_t *)&f)[n] = next_random(&seed);
    f.r8 = multiplier;
    f.r9 = increment;
    first = f;
    __asm__ volatile("pxor %%xmm0, %%xmm0; movdqu %0, %%xmm1; pxor %%xmm15, %%xmm15; movdqu %0, %%xmm2\n"
                     "movups %1, %%xmm3; pxor %%xmm4, %%xmm4; ldmxcsr %2; fninit; fldcw %3; fld1; fldz"
                     : : "m"(pairs), "m"(one), "m"(mxcsr), "m"(fcw));
    ticks = 0;
    timer(40000);
    mill_round(mill, rounds, 37, &f);
    timer(0);
    __asm__ volatile("fstl %0; fnstsw %1; movdqu %%xmm0, %2; movdqu %%xmm15, %3; movups %%xmm4, %4; stmxcsr %5"
                     : "=m"(st), "=m"(sw), "=m"(sum), "=m"(words), "=m"(floats), "=m"(got));
    CHECK("general registers", are_general(&f, &first, rounds));
    CHECK_EQ("XMM0, low", sum[0], 3u * rounds);
    CHECK_EQ("  high", sum[1], (UINT64_C(1) << 40) * rounds);
    CHECK_EQ("XMM15", words[0], 3u * rounds);
    CHECK_EQ("XMM4", *(uint32_t *)&floats[3], 0x49127c00); /* 600000.0 */
    CHECK_EQ("x87", *(uint64_t *)&st, UINT64_C(0x41224f8000000000));
    CHECK_EQ("  top of the stack", sw >> 11 & 7, 6);
    CHECK_EQ("MXCSR", got, mxcsr);
    __asm__ volatile("fnstcw %0" : "=m"(fcw));
    CHECK_EQ("the x87 control word", fcw, 0xc7f);
    mxcsr = 0x1f80;
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
}

/* On a busy host all of it can pass before the first tick: then that has shown nothing, so again. */
static void general_and_sse(void)
{
    unsigned tries = 0;

    do
        general_and_sse_once();
    while (!ticks && ++tries < 100);
    CHECK("ticks came meanwhile", ticks > 0);
}

static void avx(void)
{
    static const uint64_t one = UINT64_C(0x3ff0000000000000);
    const unsigned rounds = 40000;
    struct frame f = user_frame(mill_avx, stack + 4000);
    uint64_t low[4], high[4];

    if (!has_avx)
        return;
    __asm__ volatile("vbroadcastsd %0, %%ymm5; vxorps %%ymm6, %%ymm6, %%ymm6; vxorps %%ymm14, %%ymm14, %%ymm14"
                     : : "m"(one));
    timer(40000);
    mill_round(mill_avx, rounds, 41, &f);
    timer(0);
    __asm__ volatile("vmovupd %%ymm6, %0; vmovupd %%ymm14, %1; vzeroupper" : "=m"(low), "=m"(high));
    CHECK_EQ("YMM6, the upper half", low[3], UINT64_C(0x40e3880000000000)); /* 40000.0 */
    CHECK_EQ("YMM14", high[2], UINT64_C(0x40e3880000000000));
}

/* ---- time ---- */

static void spins(const char *name, const char *at, uint64_t cs, bool counts)
{
    struct frame f = user_frame(at, stack + 4000);
    bool ok = true;
    uint64_t end = rdtsc() + PATIENCE, last = 0;
    unsigned n = 0;

    f.cs = cs;
    timer(150000);
    for (; n < 200 && ok && rdtsc() < end; n++) {
        unsigned vector = user_run(0, &f);

        ok &= vector == TIMER && f.cs == cs && f.rsp == (uint64_t)stack + 4000 && f.rip >= (uint64_t)at &&
              f.rip < (uint64_t)at + 8 && (f.rflags & 0x200) && (f.rax >= last || !counts);
        last = f.rax;
        apic_write(0xb0, 0);
    }
    timer(0);
    ok &= !counts || last > 1000;
    CHECK_EQ(name, ok ? n : 1000 + n, 200);
}

/* An interrupt that is already waiting is taken before the first instruction, at it. */
static void waiting(void)
{
    struct frame f = user_frame(busy, stack + 4000);
    unsigned wrong = 0;

    apic_write(0xf0, 0x100 | SPURIOUS);
    for (unsigned n = 0; n < 300; n++) {
        f.rax = 0;
        f.rip = (uint64_t)busy;
        apic_write(0x310, 0);
        apic_write(0x300, 0x44000 | 0x71); /* to ourselves */
        wrong += user_run(0, &f) != 0x71 || f.rax > 1000000000;
        apic_write(0xb0, 0);
    }
    CHECK_EQ("an interrupt that waits for user mode", wrong, 0);
}

/* ---- single steps ---- */

static void stepped(void)
{
    const char *const path[] = {s1, s1, s1, s2, s3, s5, s6, s7, s8, s9, s11, s10, s12, s13, s14, s15, s16};
    unsigned wrong = 0, saw_tf = 0;

    for (unsigned round = 0; round < 20; round++) {
        struct frame f = user_frame(steps, stack + 4000);

        f.rdi = (uint64_t)data;
        f.rflags |= TF;
        for (unsigned n = 0; n < sizeof(path) / sizeof(path[0]); n++) {
            unsigned vector;

            WRITE_DR(6, 0);
            vector = user_run(0, &f);
            if (vector != 1 || f.rip != (uint64_t)path[n] || !(READ_DR(6) & DR6_BS)) {
                if (wrong++ < 4)
                    print("FAIL step %u: vector %u at %lx, expected %lx, DR6 %lx\n", n, vector, f.rip,
                          (uint64_t)path[n], READ_DR(6));
                break;
            }
            saw_tf += path[n] == s7 && (f.rbx & TF);
        }
        if (!wrong && user_run(0, &f) != USER_SYSCALL)
            wrong++;
        wrong += f.rax != 7;
    }
    CHECK_EQ("single steps, each in its place", wrong, 0);
    CHECK_EQ("  PUSHF shows TF", saw_tf, 20);
}

/* A step to a system call, and on behind it. */
static void step_over_call(void)
{
    struct frame f = user_frame(s16, stack + 4000); /* nop; syscall */
    unsigned wrong = 0;

    for (unsigned n = 0; n < 10; n++) {
        f = user_frame(s16, stack + 4000);
        f.rflags |= TF;
        wrong += user_run(0, &f) != 1 || f.rip != (uint64_t)s16 + 1;
        wrong += user_run(0, &f) != USER_SYSCALL || !(f.r11 & TF) || f.rip != (uint64_t)s16 + 3;
    }
    CHECK_EQ("a step into SYSCALL", wrong, 0);
}

/* ---- breakpoints ---- */

static void breakpoints(void)
{
    unsigned wrong = 0;

    for (unsigned n = 0; n < 20; n++) {
        struct frame f = user_frame(watched, stack + 4000);
        unsigned vector;

        f.rdi = (uint64_t)data + 128;
        WRITE_DR(0, (uint64_t)watched_at);
        WRITE_DR(1, (uint64_t)data + 128);
        WRITE_DR(6, 0);
        WRITE_DR(7, n & 1 ? 0x400 : 0x402 | 0x8 | UINT64_C(0x90000) << 4); /* 0: code; 1: 8 bytes, stores */
        vector = user_run(0, &f);
        if (n & 1) {
            wrong += vector != USER_SYSCALL;
            continue;
        }
        wrong += vector != 1 || f.rip != (uint64_t)watched_at || !(READ_DR(6) & 1);
        f.rflags |= RF;
        WRITE_DR(6, 0);
        vector = user_run(0, &f);
        wrong += vector != 1 || f.rip != (uint64_t)watched_behind || !(READ_DR(6) & 2) || f.rax != 5;
        wrong += user_run(0, &f) != USER_SYSCALL;
    }
    WRITE_DR(7, 0x400);
    CHECK_EQ("breakpoints on user code and data, on and off", wrong, 0);
}

/* ---- 32-bit code ---- */

static void compatibility(void)
{
    unsigned wrong = 0;

    for (unsigned n = 0; n < 20; n++) {
        struct frame f = user_frame(to32, stack + 4000);

        f.rbx = 0;
        wrong += user_run(0, &f) != 0x80 || f.cs != USER_CS32 || (uint32_t)f.rax != 0 || (uint32_t)f.rsi != 0x40;
        wrong += user_run(0, &f) != USER_SYSCALL || f.cs != USER_CS || f.rax != UINT64_MAX;
        f = user_frame(code32, stack + 4000);
        f.cs = USER_CS32;
        f.rbx = 0xffffffff;
        wrong += user_run(0, &f) != 0x80 || (uint32_t)f.rsi != 0x3f;
        f = user_frame(fault32, stack + 4000);
        f.cs = USER_CS32;
        f.rdi = 0xdead0000; /* the kernel's */
        wrong += user_run(0, &f) != 14 || f.rip != (uint64_t)fault32_at || READ_CR(2) != 0xdead0000 || f.error != 5;
    }
    CHECK_EQ("32-bit code and back", wrong, 0);
    spins("32-bit code that spins", spin32, USER_CS32, true);
}

/* ---- code that changes ---- */

/* mov imm32(value), %(at + 1); call at; syscall: user code that writes code. */
static void emit_writer(uint8_t *p, uint64_t store_at, uint64_t call_at, bool serialize)
{
    unsigned n = 0;

    p[n++] = 0x48, p[n++] = 0xbf; /* mov store_at, %rdi */
    memcpy(p + n, &store_at, 8), n += 8;
    p[n++] = 0x89, p[n++] = 0x37; /* mov %esi, (%rdi) */
    p[n++] = 0xff, p[n++] = 0x45, p[n++] = 0; /* incl (%rbp): data in the same page */
    if (serialize)
        p[n++] = 0x31, p[n++] = 0xc0, p[n++] = 0x0f, p[n++] = 0xa2; /* xor %eax, %eax; cpuid */
    p[n++] = 0x48, p[n++] = 0xb8; /* mov call_at, %rax */
    memcpy(p + n, &call_at, 8), n += 8;
    memcpy(p + n, "\xff\xd0\x49\x01\xc6\xff\xc6\x49\xff\xcf", 10), n += 10; /* call *%rax; add %rax, %r14; inc %esi; dec %r15 */
    p[n] = 0x0f, p[n + 1] = 0x85; /* jnz to the start */
    *(int32_t *)(p + n + 2) = -(int32_t)(n + 6);
    memcpy(p + n + 6, "\x0f\x05", 2);
}

static uint64_t sum_of(uint32_t from, uint32_t count)
{
    uint64_t sum = 0;

    for (uint32_t n = 0; n < count; n++)
        sum += from + n;
    return sum;
}

static bool writes_code(uint8_t *writer, uint64_t store, uint64_t call, bool serialize, uint8_t *beside)
{
    struct frame f = user_frame(writer, stack + 4000);
    uint32_t before = *(volatile uint32_t *)beside;
    unsigned vector;

    emit_writer(writer, store, call, serialize);
    f.rsi = 1000;
    f.r14 = 0;
    f.r15 = 700;
    f.rbp = (uint64_t)beside;
    vector = run_on(&f, false);
    return vector == USER_SYSCALL && f.r14 == sum_of(1000, 700) && *(volatile uint32_t *)beside == before + 700;
}

static void changing(void)
{
    uint8_t *page = user_pages(3), *alias = (uint8_t *)UINT64_C(0x550000400000), *writer = user_pages(1);

    *page_entry((uint64_t)alias) = (uint64_t)page | 7;
    flush_page(alias);
    page[256] = 0xb8; /* mov imm32, %eax; ret */
    page[261] = 0xc3;
    page[4095] = 0xb8;
    page[4100] = 0xc3;
    timer(100000);
    for (unsigned n = 0; n < 6; n++) {
        CHECK("code written beside data", writes_code(writer, (uint64_t)page + 257, (uint64_t)page + 256, false, page));
        CHECK("code written through another address",
              writes_code(writer, (uint64_t)alias + 257, (uint64_t)page + 256, true, page + 512));
        CHECK("called through another address",
              writes_code(writer, (uint64_t)page + 257, (uint64_t)alias + 256, true, page + 512));
        CHECK("an instruction over the edge of a page",
              writes_code(writer, (uint64_t)page + 4096, (uint64_t)page + 4095, false, page + 8));
        CHECK("a program that counts in its own page",
              writes_code(page + 2048, (uint64_t)page + 257, (uint64_t)page + 256, false, page + 3000));
    }
    timer(0);
}

/* As a translator in the guest does it: writable, then executable, by system calls. */
static void written_then_run(void)
{
    uint8_t *page = user_pages(1);
    uint64_t *entry = page_entry((uint64_t)page);
    unsigned wrong = 0;

    for (uint32_t n = 0; n < 400; n++) {
        struct frame f = user_frame(page, stack + 4000);

        *entry = (*entry | 2) | NX;
        flush_page(page);
        wrong += user_run(0, &f) != 14 || f.error != 0x15;
        page[0] = 0xb8;
        memcpy(page + 1, &n, 4);
        memcpy(page + 5, "\x0f\x05", 2);
        *entry = *entry & ~(NX | 2);
        flush_page(page);
        f = user_frame(page, stack + 4000);
        wrong += user_run(0, &f) != USER_SYSCALL || f.rax != n;
    }
    CHECK_EQ("written, then run, by turns", wrong, 0);
}

static void ignore(struct frame *f)
{
    (void)f;
    apic_write(0xb0, 0);
}

int guest_main(void)
{
    take_from_user();
    user_setup(0);
    apic_enable();
    set_handler(TIMER, ignore);
    map_user(ustate_text, (size_t)(ustate_text_end - ustate_text));
    stack = user_pages(1);
    data = user_pages(1);
    for (uint64_t n = 0; n < guest_option("rounds", 1); n++) {
        general_and_sse();
        avx();
        spins("a loop that does nothing", spin, USER_CS, false);
        spins("a loop that counts", busy, USER_CS, true);
        waiting();
        stepped();
        step_over_call();
        breakpoints();
        compatibility();
        changing();
        written_then_run();
    }
    return check_failures();
}
