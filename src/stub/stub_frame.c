/* SPDX-License-Identifier: MIT */
#include "stub/stub_frame.h"

#include <linux/audit.h>
#include <signal.h>

#define VSYSCALL_PAGE UINT64_C(0xffffffffff600000)

#define FLAG_ALWAYS   (BIT(1) | BIT(9)) /* and IF */
/* CF PF AF ZF SF DF OF ID: what a program changes and the processor may keep. Not TF, NT and AC. */
#define FLAGS_KEPT    (BIT(0) | BIT(2) | BIT(4) | BIT(6) | BIT(7) | BIT(10) | BIT(11) | BIT(21))

/* TF NT RF AC: what else may be set when it comes out. */
#define FLAGS_SEEN    (FLAGS_KEPT | FLAG_ALWAYS | BIT(8) | BIT(14) | BIT(16) | BIT(18))

#define TRAP_DEBUG      1
#define TRAP_OVERFLOW   4
#define TRAP_PAGE_FAULT 14

static void get_regs(const struct stub_frame *f, const uint64_t arg[6], struct stub_regs *r)
{
    const uint64_t gpr[16] = {f->rax, f->rcx, f->rdx, f->rbx, f->rsp, f->rbp, f->rsi, f->rdi,
                              f->r8,  f->r9,  f->r10, f->r11, f->r12, f->r13, f->r14, f->r15};

    for (unsigned i = 0; i < 16; i++)
        r->gpr[i] = gpr[i];
    r->rip = f->rip;
    r->rflags = (f->rflags & FLAGS_SEEN) | FLAG_ALWAYS;
    r->fs_base = arg[FRAME_FS_BASE];
    r->gs_base = arg[FRAME_GS_BASE];
    r->cs = f->cs;
    r->ss = f->ss;
    r->ds = (uint16_t)arg[FRAME_SELECTORS];
    r->es = (uint16_t)(arg[FRAME_SELECTORS] >> 16);
    r->fs = (uint16_t)(arg[FRAME_SELECTORS] >> 32);
    r->gs = (uint16_t)(arg[FRAME_SELECTORS] >> 48);
}

bool frame_is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* Of those in Linux' GDT, which a program can load. */
static bool is_selector(uint16_t v)
{
    v |= 3;
    return v == 3 || v == 0x23 || v == 0x2b || v == 0x33 || v == 0x7b;
}

static bool is_possible(const struct stub_regs *r)
{
    return frame_is_canonical(r->rip) && frame_is_canonical(r->fs_base) &&
           frame_is_canonical(r->gs_base) && (r->cs == 0x33 || r->cs == 0x23) && r->ss == 0x2b &&
           is_selector(r->ds) && is_selector(r->es) && is_selector(r->fs) && is_selector(r->gs);
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

static enum stub_event page_fault_or_other(const struct stub_frame *f, struct stub_regs *r,
                                           uint64_t *address)
{
    if (f->trap == TRAP_PAGE_FAULT) {
        *address = f->address;
        return STUB_PAGE_FAULT;
    }
    if (f->trap == TRAP_OVERFLOW) /* INT 4, whose gate lets programs in: behind it */
        r->rip -= 2;
    return STUB_FAULT;
}

bool frame_read(const struct stub_frame *f, const uint64_t arg[6], const struct frame_ways *ways,
                struct stub_regs *regs, enum stub_event *event, uint64_t *address)
{
    struct stub_regs r;

    get_regs(f, arg, &r);
    if (arg[FRAME_SIGNAL] == (uint64_t)ways->kick)
        *event = STUB_KICKED;
    else if (arg[FRAME_SIGNAL] == SIGSYS)
        *event = system_call(f, &r);
    else if (arg[FRAME_SIGNAL] == SIGTRAP)
        *event = trap(f, ways, &r);
    else if (arg[FRAME_SIGNAL] == SIGSEGV)
        *event = page_fault_or_other(f, &r, address);
    else
        *event = STUB_FAULT;
    if (!is_possible(&r))
        return false;
    *regs = r;
    return true;
}

uint64_t frame_flags(uint64_t rflags)
{
    return (rflags & FLAGS_KEPT) | FLAG_ALWAYS;
}
