/* SPDX-License-Identifier: MIT */
#include "user.h"

#define CR0_AM       (UINT64_C(1) << 18)
#define CR4_PGE      (UINT64_C(1) << 7)
#define CR4_UMIP     (UINT64_C(1) << 11)
#define CR4_FSGSBASE (UINT64_C(1) << 16)
#define CR4_OSXSAVE  (UINT64_C(1) << 18)
#define CR4_SMEP     (UINT64_C(1) << 20)

struct user_cpu user_cpus[USER_CPUS];
bool has_avx, has_fsgsbase, has_pcid, has_invpcid, has_smep, has_umip;

void user_enter(void *kernel_rsp, struct frame *f);
void user_enter_sysret(void *kernel_rsp, struct frame *f);
_Noreturn void user_back(void *kernel_rsp);
extern char user_syscall[], user_syscall32[];

/* FS and GS bases stay the user's in the kernel: nothing here uses them but SYSCALL's first steps. */
__asm__(".macro pop_all\n"
        "  pop %r15; pop %r14; pop %r13; pop %r12; pop %r11; pop %r10; pop %r9; pop %r8\n"
        "  pop %rdi; pop %rsi; pop %rbp; pop %rbx; pop %rdx; pop %rcx; pop %rax\n"
        ".endm\n"
        ".macro save_kernel\n"
        "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; pushfq; cli\n"
        "  mov %rsp, (%rdi); mov %rsi, %rsp\n"
        ".endm\n"
        "user_enter: save_kernel; pop_all; add $16, %rsp; iretq\n"
        "user_enter_sysret: save_kernel; pop_all; mov 16(%rsp), %rcx; mov 32(%rsp), %r11\n"
        "  mov 40(%rsp), %rsp; sysretq\n"
        "user_back: mov (%rdi), %rsp; popfq; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp\n"
        "  pop %rbx; ret\n"
        "user_syscall: swapgs; mov %rsp, %gs:8; mov %gs:16, %rsp; push $0x2b; push %gs:8; push %r11\n"
        "  push $0x33; push %rcx; push $0; push $0x100; swapgs; jmp exception_common\n"
        "user_syscall32: swapgs; mov %rsp, %gs:8; mov %gs:16, %rsp; push $0x2b; push %gs:8; push %r11\n"
        "  push $0x23; push %rcx; push $0; push $0x100; swapgs; jmp exception_common\n");

static void on_user_event(struct frame *f)
{
    struct user_cpu *u =
        (struct user_cpu *)((uint8_t *)(f + 1) - offsetof(struct user_cpu, kernel_rsp));

    *u->frame = *f;
    user_back(&u->kernel_rsp);
}

unsigned user_run(unsigned index, struct frame *f)
{
    struct user_cpu *u = &user_cpus[index];

    u->frame = f;
    if (u->sysret)
        user_enter_sysret(&u->kernel_rsp, f);
    else
        user_enter(&u->kernel_rsp, f);
    return (unsigned)f->vector;
}

struct frame user_frame(const void *rip, void *stack_top)
{
    return (struct frame){
        .rip = (uint64_t)rip,
        .cs = USER_CS,
        .rflags = USER_FLAGS,
        .rsp = (uint64_t)stack_top,
        .ss = USER_SS,
    };
}

static void look_around(void)
{
    uint32_t eax = 1, ebx, ecx = 0, edx;

    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    has_avx = (ecx >> 26 & 1) && (ecx >> 28 & 1);
    has_pcid = ecx >> 17 & 1;
    eax = 7;
    ecx = 0;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    has_fsgsbase = ebx & 1;
    has_smep = ebx >> 7 & 1;
    has_invpcid = ebx >> 10 & 1;
    has_umip = ecx >> 2 & 1;
}

void user_setup(unsigned index)
{
    struct user_cpu *u = &user_cpus[index];
    uint64_t tss = (uint64_t)&u->tss, *slot = &gdt[9 + 2 * index];

    if (!index)
        look_around();
    u->self = (uint64_t)&u->kernel_rsp;
    u->tss.rsp[0] = u->self;
    u->tss.iomap = offsetof(struct user_tss, ports);
    memset(u->tss.ports, 0xff, sizeof(u->tss.ports));
    slot[0] = (sizeof(u->tss) - 1) | (tss & 0xffffff) << 16 | UINT64_C(0x89) << 40 |
              (tss >> 24 & 0xff) << 56;
    slot[1] = tss >> 32;
    __asm__ volatile("ltr %w0" : : "r"(72 + 16 * index));
    wrmsr(0xc0000081, UINT64_C(0x0023000800000000));
    wrmsr(0xc0000082, (uint64_t)user_syscall);
    wrmsr(0xc0000083, (uint64_t)user_syscall32);
    wrmsr(0xc0000084, 0x257fd5); /* all flags, as Linux */
    wrmsr(0xc0000102, u->self);
    WRITE_CR(0, READ_CR(0) | CR0_AM);
    WRITE_CR(4, READ_CR(4) | CR4_PGE | (has_fsgsbase ? CR4_FSGSBASE : 0) | (has_smep ? CR4_SMEP : 0) |
                    (has_umip ? CR4_UMIP : 0) | (has_avx ? CR4_OSXSAVE : 0));
    if (has_avx)
        __asm__ volatile("xsetbv" : : "c"(0), "a"(7), "d"(0));
    set_gate(3, 14, 3, 0);
    set_gate(0x80, 14, 3, 0);
    user_event = on_user_event;
}

void *user_pages(unsigned count)
{
    uint8_t *p = alloc_page();

    for (unsigned n = 1; n < count; n++)
        alloc_page();
    map_user(p, count * 4096);
    return p;
}

uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed * UINT64_C(0x2545f4914f6cdd1d);
}
