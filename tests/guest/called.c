/* SPDX-License-Identifier: MIT */
/* System instructions that a translator does without leaving for its main loop, done so often that it does, and
 * then where it must not: at CPL 3, with operands that fault, with an interrupt that waits, behind STI, with TF
 * and breakpoints. MOV to CR, INVLPG, WRMSR, CPUID, IN and OUT; WRFSBASE and WRGSBASE. SDM vol. 2; vol. 3, 6.8.3. */
#include "guest.h"

#define OFTEN 100 /* more than it takes to be translated */

#define TSC_AUX 0xc0000103
#define FS_BASE 0xc0000100
#define GS_BASE 0xc0000101
#define CR4_FSGSBASE UINT64_C(0x10000)
#define CR4_TSD UINT64_C(4)
#define TF UINT64_C(0x100)

extern char load_cr3[], load_cr3_at[], load_cr3_behind[], write_cr4[], drop_page[], write_msr[], write_msr_at[],
    ask_cpuid[], ports[], ports_at[], write_bases[], write_bases_at[], write_base32[], shadowed[], shadowed_end[],
    waiting[], waiting_end[], lowered[], lowered_end[];

__asm__(".text; .balign 4096\n"
        "load_cr3:     mov %cr3, %rax\n"
        "load_cr3_at:  mov %rax, %cr3\n"
        "load_cr3_behind: mov $7, %eax; ret\n"
        "write_cr4:    mov %rdi, %cr4; mov %cr4, %rax; ret\n"
        "drop_page:    mov (%rdi), %rdx; mov %rsi, (%rcx); invlpg (%rdi); mov (%rdi), %rax; ret\n"
        "write_msr:    mov %edi, %ecx; mov %esi, %eax; mov %rsi, %rdx; shr $32, %rdx; stc\n"
        "write_msr_at: wrmsr; sbb %eax, %eax; ret\n"
        "ask_cpuid:    push %rbx; mov %edi, %eax; xor %ecx, %ecx; stc; cpuid; sbb %ecx, %ecx; pop %rbx; ret\n"
        "ports:        mov $0x3ff, %edx; mov %edi, %eax\n"
        "ports_at:     out %al, %dx; xor %eax, %eax; in %dx, %al; movzbl %al, %eax; ret\n"
        "write_bases:  mov %rsi, %r11\n"
        "write_bases_at: wrfsbase %rdi; mov %fs:0, %rax; wrgsbase %r11; add %gs:8, %rax; ret\n"
        "write_base32: wrgsbase %edi; rdgsbase %rax; ret\n"
        /* an interrupt waits from before STI */
        "shadowed:     cli; mov $0x44061, %eax; movabs %eax, 0xfee00300; mov %cr3, %rax; sti; mov %rax, %cr3\n"
        "shadowed_end: cli; ret\n"
        /* or comes, IF being set, before the instruction or behind it */
        "waiting:      mov %cr3, %rcx; sti; nop; mov $0x44061, %eax; movabs %eax, 0xfee00300; mov %rcx, %cr3\n"
        "waiting_end:  nop; nop; cli; ret\n"
        /* or is let in by the instruction behind STI itself */
        "lowered:      cli; mov $15, %eax; mov %rax, %cr8; mov $0x44061, %eax; mov %eax, 0xfee00300\n"
        "              xor %eax, %eax; sti; mov %rax, %cr8\n"
        "lowered_end:  cli; ret\n"
        ".balign 4096\n");

typedef uint64_t fn(uint64_t a, uint64_t b);
#define RUN(name, a, b) ((fn *)(name))((uint64_t)(a), (uint64_t)(b))

static void control(void)
{
    unsigned wrong = 0;
    struct frame f;

    for (unsigned n = 0; n < OFTEN; n++) {
        uint64_t cr4 = READ_CR(4) ^ CR4_TSD;

        wrong += RUN(load_cr3, 0, 0) != 7 || RUN(write_cr4, cr4, 0) != cr4;
    }
    CHECK_EQ("CR3 and CR4 written", wrong, 0);
    CHECK_EQ("CR3 read by user code", run_user((void (*)(void *))load_cr3, NULL, &f), 13);
    CHECK_EQ("  and written", run_user((void (*)(void *))load_cr3_at, NULL, &f), 13);
    CHECK_EQ("  where it is", f.rip, (uint64_t)load_cr3_at);
}

static void bad_cr4(void *arg)
{
    RUN(write_cr4, READ_CR(4) | UINT64_C(1) << 63, 0);
}

/* A page is mapped elsewhere and its old translation dropped: what is read behind that is the new one's. */
static void pages(void)
{
    uint64_t *page[2] = {alloc_page(), alloc_page()}, *at = (uint64_t *)UINT64_C(0x8000000000);
    uint64_t *entry = page_entry((uint64_t)at), got;
    unsigned wrong = 0;

    *page[0] = 100;
    *page[1] = 101;
    *entry = (uint64_t)page[0] | 3;
    for (unsigned n = 1; n < OFTEN; n++) {
        __asm__ volatile("call drop_page"
                         : "=a"(got) : "D"(at), "S"((uint64_t)page[n % 2] | 3), "c"(entry) : "rdx", "memory");
        wrong += got != 100 + n % 2;
    }
    CHECK_EQ("INVLPG between two reads", wrong, 0);
}

static void bad_msr(void *arg)
{
    RUN(write_msr, 0x12345, 0);
}

static void registers(void)
{
    unsigned wrong = 0;
    struct frame f;

    for (uint64_t n = 0; n < OFTEN; n++) {
        wrong += RUN(write_msr, TSC_AUX, n * 77) != UINT32_MAX;
        wrong += rdmsr(TSC_AUX) != n * 77;
        wrong += RUN(write_msr, GS_BASE, n << 40 | 9) != UINT32_MAX;
        wrong += rdmsr(GS_BASE) != (n << 40 | 9);
        wrong += RUN(ask_cpuid, n & 1 ? 0 : 0x40000000, 0) == 0;
    }
    CHECK_EQ("WRMSR and CPUID, over which CF stays", wrong, 0);
    CHECK_EQ("an MSR that is not there", catch_exception(bad_msr, NULL, &f), 13);
    CHECK_EQ("  where it is", f.rip, (uint64_t)write_msr_at);
    CHECK_EQ("  with CF as it was", f.rflags & 1, 1);
    CHECK_EQ("WRMSR by user code", run_user((void (*)(void *))write_msr, NULL, &f), 13);
    CHECK_EQ("a bit of CR4 that is not there", catch_exception(bad_cr4, NULL, &f), 13);
    CHECK_EQ("  where it is", f.rip, (uint64_t)write_cr4);
    wrmsr(GS_BASE, 0);
}

static void in_and_out(void)
{
    unsigned wrong = 0;
    struct frame f;

    for (unsigned n = 0; n < OFTEN; n++)
        wrong += RUN(ports, n, 0) != n; /* the scratch register of a serial port */
    CHECK_EQ("OUT and IN", wrong, 0);
    CHECK_EQ("OUT by user code", run_user((void (*)(void *))ports, NULL, &f), 13);
    CHECK_EQ("  where it is", f.rip, (uint64_t)ports_at);
}

/* ---- WRFSBASE and WRGSBASE ---- */

struct bases {
    uint64_t fs, gs;
};

static void write_both(void *arg)
{
    const struct bases *b = arg;

    RUN(write_bases, b->fs, b->gs);
}

static void bases(void)
{
    static uint64_t words[4] = {1, 20, 300, 4000};
    struct bases b = {(uint64_t)words, UINT64_C(1) << 47};
    uint32_t eax = 7, ebx, ecx = 0;
    unsigned wrong = 0;
    struct frame f;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx) : : "rdx");
    if (!(ebx & 1))
        return;
    WRITE_CR(4, READ_CR(4) | CR4_FSGSBASE);
    for (unsigned n = 0; n < OFTEN; n++) {
        wrong += RUN(write_bases, words + n % 4, words + n % 3) != words[n % 4] + words[n % 3 + 1];
        wrong += rdmsr(FS_BASE) != (uint64_t)(words + n % 4) || rdmsr(GS_BASE) != (uint64_t)(words + n % 3);
        wrong += RUN(write_base32, UINT64_C(0x123456789abcdef0) + n, 0) != UINT64_C(0x9abcdef0) + n;
    }
    CHECK_EQ("bases written, and used", wrong, 0);
    CHECK_EQ("a base that is not canonical", catch_exception(write_both, &b, &f), 13);
    CHECK_EQ("  is not taken", rdmsr(GS_BASE), UINT64_C(0x9abcdef0) + OFTEN - 1);
    CHECK_EQ("  the one before it is", rdmsr(FS_BASE), (uint64_t)words);
    b = (struct bases){UINT64_C(0xffff7fffffffffff), 0};
    CHECK_EQ("the last that is not", catch_exception(write_both, &b, &f), 13);
    CHECK_EQ("  where it is", f.rip, (uint64_t)write_bases_at);
    WRITE_CR(4, READ_CR(4) & ~CR4_FSGSBASE);
    CHECK_EQ("without CR4.FSGSBASE", catch_exception(write_both, &b, &f), 6);
    CHECK_EQ("  where it is", f.rip, (uint64_t)write_bases_at);
    wrmsr(FS_BASE, 0);
    wrmsr(GS_BASE, 0);
}

/* ---- events ---- */

static unsigned arrived;
static uint64_t arrived_at;

static void on_event(struct frame *f)
{
    arrived++;
    arrived_at = f->rip;
    apic_write(0xb0, 0);
}

static void events(void)
{
    unsigned wrong = 0;

    apic_enable();
    set_handler(0x61, on_event);
    for (unsigned n = 0; n < OFTEN; n++) {
        RUN(shadowed, 0, 0);
        wrong += arrived != n + 1 || arrived_at != (uint64_t)shadowed_end;
    }
    CHECK_EQ("an interrupt that waits comes behind the instruction after STI", wrong, 0);
    arrived = wrong = 0;
    for (unsigned n = 0; n < OFTEN; n++) {
        RUN(waiting, 0, 0);
        wrong += arrived != n + 1 || arrived_at > (uint64_t)waiting_end + 2;
    }
    CHECK_EQ("one that comes is not lost over MOV to CR3", wrong, 0);
    arrived = wrong = 0;
    for (unsigned n = 0; n < OFTEN; n++) {
        RUN(lowered, 0, 0);
        wrong += arrived != n + 1 || arrived_at != (uint64_t)lowered_end;
    }
    CHECK_EQ("one that MOV to CR8 lets in behind STI comes before CLI", wrong, 0);
}

static void step(void *arg)
{
    __asm__ volatile("pushf; orq %0, (%%rsp); popf; call load_cr3" : : "i"(TF) : "rax", "memory");
}

static void behind(void *arg)
{
    RUN(load_cr3, 0, 0);
}

static uint64_t stepped[8];
static unsigned steps;

static void on_step(struct frame *f)
{
    if (steps < 8)
        stepped[steps++] = f->rip;
    if (f->rip == (uint64_t)load_cr3_behind)
        f->rflags &= ~TF;
}

static void steps_and_breakpoints(void)
{
    struct frame f;

    set_handler(1, on_step);
    uncaught = 1u << 1;
    step(NULL);
    CHECK_EQ("steps to and over MOV to CR3", steps, 3);
    CHECK_EQ("  its beginning", stepped[1], (uint64_t)load_cr3_at);
    CHECK_EQ("  and its end", stepped[2], (uint64_t)load_cr3_behind);
    uncaught = 0;
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7" : : "r"(load_cr3_behind), "r"(UINT64_C(0x402)));
    CHECK_EQ("a breakpoint behind it", catch_exception(behind, NULL, &f), 1);
    CHECK_EQ("  before anything is done there", f.rip, (uint64_t)load_cr3_behind);
    __asm__ volatile("mov %0, %%dr7" : : "r"(UINT64_C(0x400)));
    CHECK_EQ("  and no more", catch_exception(behind, NULL, &f), -1);
}

int guest_main(void)
{
    control();
    pages();
    registers();
    in_and_out();
    bases();
    events();
    steps_and_breakpoints();
    return check_failures();
}
