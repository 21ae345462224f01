/* SPDX-License-Identifier: MIT */
#include "stub/stub_frame.h"

#include <linux/audit.h>
#include <signal.h>

#define VSYSCALL_PAGE UINT64_C(0xffffffffff600000)

#define FLAG_ALWAYS   (BIT(1) | BIT(9)) /* and IF */
/* CF PF AF ZF SF DF OF ID: what a program changes and the processor may keep. Not TF, NT and AC. */
#define FLAGS_KEPT    (BIT(0) | BIT(2) | BIT(4) | BIT(6) | BIT(7) | BIT(10) | BIT(11) | BIT(21))

#define TRAP_DEBUG      1
#define TRAP_OVERFLOW   4
#define TRAP_PAGE_FAULT 14

static void get_regs(const struct stub_frame *f, struct stub_regs *r)
{
    const uint64_t gpr[16] = {f->rax, f->rcx, f->rdx, f->rbx, f->rsp, f->rbp, f->rsi, f->rdi,
                              f->r8,  f->r9,  f->r10, f->r11, f->r12, f->r13, f->r14, f->r15};

    for (unsigned i = 0; i < 16; i++)
        r->gpr[i] = gpr[i];
    r->rip = f->rip;
    r->rflags = f->rflags;
    r->cs = f->cs;
    r->ss = f->ss;
}

static enum stub_event system_call(const struct stub_frame *f, struct stub_regs *r)
{
    if (f->call_address - VSYSCALL_PAGE < 4096) {
        /* Linux has returned for it; the return address is still where it was. */
        r->rip = f->call_address;
        r->gpr[4] -= 8;
        return STUB_VSYSCALL;
    }
    r->rip -= 2;
    return f->arch == AUDIT_ARCH_X86_64 ? STUB_SYSCALL : STUB_INT80;
}

static enum stub_event trap(const struct stub_frame *f, const struct frame_ways *ways,
                            struct stub_regs *r)
{
    if (f->code == TRAP_TRACE)
        return STUB_SINGLE_STEP;
    r->rip -= f->trap == TRAP_DEBUG ? ways->icebp_length : 1;
    return STUB_BREAKPOINT;
}

enum stub_event frame_event(const struct stub_frame *f, int signal, const struct frame_ways *ways,
                            struct stub_regs *regs, uint64_t *address)
{
    get_regs(f, regs);
    if (signal == ways->kick)
        return STUB_KICKED;
    switch (signal) {
    case SIGSYS:
        return system_call(f, regs);
    case SIGTRAP:
        return trap(f, ways, regs);
    case SIGSEGV:
        if (f->trap == TRAP_PAGE_FAULT) {
            *address = f->address;
            return STUB_PAGE_FAULT;
        }
        if (f->trap == TRAP_OVERFLOW) /* INT 4, whose gate lets programs in: behind it */
            regs->rip -= 2;
        return STUB_FAULT;
    default:
        return STUB_FAULT;
    }
}

void frame_set(struct stub_frame *f, const struct stub_frame *first, const struct stub_regs *r)
{
    f->uc_flags = first->uc_flags;
    f->uc_link = 0;
    f->stack_at = first->stack_at;
    f->stack_flags = first->stack_flags;
    f->stack_size = first->stack_size;
    f->rax = r->gpr[0];
    f->rcx = r->gpr[1];
    f->rdx = r->gpr[2];
    f->rbx = r->gpr[3];
    f->rsp = r->gpr[4];
    f->rbp = r->gpr[5];
    f->rsi = r->gpr[6];
    f->rdi = r->gpr[7];
    f->r8 = r->gpr[8];
    f->r9 = r->gpr[9];
    f->r10 = r->gpr[10];
    f->r11 = r->gpr[11];
    f->r12 = r->gpr[12];
    f->r13 = r->gpr[13];
    f->r14 = r->gpr[14];
    f->r15 = r->gpr[15];
    f->rip = r->rip;
    f->rflags = (r->rflags & FLAGS_KEPT) | FLAG_ALWAYS;
    f->cs = first->cs;
    f->ss = first->ss;
    f->gs = f->fs = 0;
    f->fpstate = first->fpstate;
    f->mask = 0;
    f->signo = 0; /* the kernel writes it with each signal: so a hand-over without one shows */
}
