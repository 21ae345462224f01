/* SPDX-License-Identifier: MIT */
/* The long way through a vector or x87 instruction, complete: is it allowed now, operands in any
 * memory, exceptions that the guest has unmasked. Also what the handlers of special instructions
 * share. SDM vol. 1, 8.7, 11.5; vol. 3, 2.5 and 13.1; vol. 2, 2.4. */
#include "cpu/x86/fpu/fpu_exec.h"

bool fpu_fault(struct x86_cpu *c, const struct insn *i, uint8_t vector, bool has_error)
{
    c->rip = insn_rip(c, i);
    cpu_raise(c, vector, has_error, 0);
    return false;
}

struct loaded fpu_ea(struct x86_cpu *c, const struct insn *i, unsigned size, bool write)
{
    if (unlikely(i->flags & INSN_EA_SLOW))
        return insn_ea_slow(c, i, size, write);
    return (struct loaded){insn_ea_fast(c, i), 1};
}

bool fpu_read(struct x86_cpu *c, const struct insn *i, uint64_t va, void *buf, unsigned len)
{
    void *host = len > 8 ? mmu_direct(c, va, len, MMU_READ) : NULL;

    c->rip = insn_rip(c, i);
    if (!host)
        return mmu_read_bytes(c, va, buf, len, MMU_CURRENT, i->flags & INSN_EA_STACK);
    fpu_copy(buf, host, len);
    return true;
}

bool fpu_write(struct x86_cpu *c, const struct insn *i, uint64_t va, const void *buf, unsigned len)
{
    void *host = len > 8 ? mmu_direct(c, va, len, MMU_WRITE) : NULL;

    c->rip = insn_rip(c, i);
    if (!host)
        return mmu_write_bytes(c, va, buf, len, MMU_CURRENT, i->flags & INSN_EA_STACK);
    fpu_copy(host, buf, len);
    return true;
}

bool fpu_probe_write(struct x86_cpu *c, const struct insn *i, uint64_t va, unsigned len)
{
    c->rip = insn_rip(c, i);
    return mmu_probe(c, va, len, MMU_WRITE, MMU_CURRENT, i->flags & INSN_EA_STACK);
}

/* ---- is the instruction allowed? ---- */

static bool avx_allowed(const struct x86_cpu *c)
{
    uint64_t need = X86_XCR0_SSE | X86_XCR0_AVX;

    return (c->cr4 & X86_CR4_OSXSAVE) && (c->xcr0 & need) == need;
}

/* #UD before #NM. Returns the vector, or -1. */
static int state_trap(const struct x86_cpu *c, const struct insn *i)
{
    bool em = c->cr0 & X86_CR0_EM, ts = c->cr0 & X86_CR0_TS;

    if (i->aux & FPU_TRAP_AVX)
        return !avx_allowed(c) ? X86_UD : ts ? X86_NM : -1;
    if (i->aux & FPU_TRAP_SSE)
        return em || !(c->cr4 & X86_CR4_OSFXSR) ? X86_UD : ts ? X86_NM : -1;
    if (i->aux & FPU_TRAP_WAIT)
        return ts && (c->cr0 & X86_CR0_MP) ? X86_NM : -1;
    if ((i->aux & FPU_TRAP_X87) && (em || ts))
        return em && (i->vreg & FORM_MMX) ? X86_UD : X86_NM;
    return -1;
}

static FPU_LIVE_CODE bool x87_exception_pending(struct x86_cpu *c)
{
    uint16_t fsw;

    fpu_need_live(c); /* the unit computes ES from flags and masks */
    __asm__ volatile("fnstsw %0" : "=a"(fsw));
    fpu_live_done(c);
    return fsw & FSW_ES;
}

bool fpu_may_run(struct x86_cpu *c, const struct insn *i)
{
    unsigned slow = c->fpu_slow & i->aux;

    if (slow & FPU_TRAPS) {
        int vector = state_trap(c, i);

        if (vector >= 0)
            return fpu_fault(c, i, (uint8_t)vector, false);
    }
    /* CR0.NE clear would mean an interrupt of the board; #MF is what every system of today asks
     * for. */
    if ((slow & FPU_X87_UNMASKED) && x87_exception_pending(c))
        return fpu_fault(c, i, X86_MF, false);
    return true;
}

/* ---- running ---- */

FPU_LIVE_CODE void fpu_call(struct x86_cpu *c, uint64_t thunk, struct fpu_regs *r)
{
    uint64_t rax = r->rax, rcx = r->rcx, rdx = r->rdx, rsi = r->rsi, rdi = r->rdi;
    uint64_t flags = (r->flags & X86_FLAGS_ARITH) | 0x202;

    fpu_need_live(c);
    __asm__ volatile("push %[f]\n\t"
                     "popfq\n\t"
                     "call *%[t]\n\t"
                     "pushfq\n\t"
                     "pop %[f]"
                     : "+a"(rax), "+c"(rcx), "+d"(rdx), "+S"(rsi), "+D"(rdi), [f] "+r"(flags)
                     : [t] "r"(thunk)
                     : "cc", "memory");
    fpu_live_done(c);
    r->rax = rax;
    r->rcx = rcx;
    r->flags = flags & X86_FLAGS_ARITH;
}

/* Conditions found before the operation is computed (invalid, denormal, zero divide) keep it from
 * being computed when unmasked, so then no flag of its result is set (SDM vol. 1, 11.5.2). */
static uint32_t flags_to_report(uint32_t raised, uint32_t unmasked)
{
    return raised & unmasked & 7 ? raised & 7 : raised;
}

/* Run with all exceptions masked, as always, and undo it all if the guest wanted one of those that
 * came up. */
static bool call_checked(struct x86_cpu *c, const struct insn *i, uint64_t thunk,
                         struct fpu_regs *r)
{
    uint8_t before[XSAVE_END];
    uint32_t old, raised, unmasked = ~(c->mxcsr >> 7) & MXCSR_FLAGS;

    fpu_park(c);
    fpu_copy(before, c->xsave, XSAVE_END);
    old = AREA32(before, XSAVE_MXCSR);
    AREA32(c->xsave, XSAVE_MXCSR) = old & ~MXCSR_FLAGS;
    fpu_call(c, thunk, r);
    fpu_park(c);
    raised = AREA32(c->xsave, XSAVE_MXCSR) & MXCSR_FLAGS;
    if (!(raised & unmasked)) {
        AREA32(c->xsave, XSAVE_MXCSR) |= old & MXCSR_FLAGS;
        return true;
    }
    fpu_copy(c->xsave, before, XSAVE_END);
    AREA32(c->xsave, XSAVE_MXCSR) |= flags_to_report(raised, unmasked);
    return fpu_fault(c, i, c->cr4 & X86_CR4_OSXMMEXCPT ? X86_XM : X86_UD, false);
}

/* The memory operand of an instruction being run. */
struct operand {
    uint64_t va;
    void *host;       /* NULL: through bounce */
    uint8_t bounce[32] __attribute__((aligned(32))); /* as the guest's operand may have to be */
};

static bool operand_open(struct x86_cpu *c, const struct insn *i, struct operand *o, bool direct)
{
    bool write = i->vreg & FORM_WRITE;
    unsigned size = i->rm;
    struct loaded ea = fpu_ea(c, i, size, write);

    if (!ea.ok)
        return false;
    o->va = ea.value;
    if ((i->vreg & FORM_ALIGNED) && (o->va & (size - 1)))
        return fpu_fault(c, i, X86_GP, true);
    o->host = direct ? mmu_direct(c, o->va, size, write ? MMU_WRITE : MMU_READ) : NULL;
    if (o->host)
        return true;
    return write ? fpu_probe_write(c, i, o->va, size) : fpu_read(c, i, o->va, o->bounce, size);
}

static bool operand_close(struct x86_cpu *c, const struct insn *i, struct operand *o)
{
    return o->host || !(i->vreg & FORM_WRITE) || fpu_write(c, i, o->va, o->bounce, i->rm);
}

static void record_x87(struct x86_cpu *c, const struct insn *i, const struct operand *o)
{
    c->x87_ip = insn_rip(c, i);
    c->x87_op = (uint16_t)(i->imm >> 48);
    if (i->rm)
        c->x87_dp = o->va - c->ea_base[i->seg];
}

static bool run(struct x86_cpu *c, const struct insn *i)
{
    bool checked = c->fpu_slow & i->aux & FPU_MXCSR_UNMASKED, ok = true;
    uint64_t thunk = i->imm & FPU_THUNK_MASK;
    struct fpu_regs r = {.flags = af_to_rflags(c->af)};
    struct operand o;

    if (!fpu_may_run(c, i))
        return false;
    if (i->rm && !operand_open(c, i, &o, !checked || !(i->vreg & FORM_WRITE)))
        return false;
    if (i->vreg & FORM_GPR_IN)
        r.rcx = c->reg[i->reg];
    if (i->rm)
        r.rax = r.rsi = (uint64_t)(uintptr_t)(o.host ? o.host : o.bounce);
    if (i->vreg & FORM_ESTR) {
        r.rax = c->reg[X86_RAX];
        r.rdx = c->reg[X86_RDX];
    }
    if (checked)
        ok = call_checked(c, i, thunk, &r);
    else
        fpu_call(c, thunk, &r);
    if (!ok || (i->rm && !operand_close(c, i, &o)))
        return false;
    if (i->vreg & FORM_GPR_OUT)
        c->reg[i->reg] = r.rcx;
    if (i->vreg & FORM_FLAGS)
        c->af = af_from_rflags(r.flags);
    if (i->vreg & FORM_X87)
        record_x87(c, i, &o);
    return true;
}

static noinline bool run_generic(struct x86_cpu *c, const struct insn *i)
{
    return run(c, i);
}

void fpu_generic(struct x86_cpu *c, const struct insn *i)
{
    if (run_generic(c, i))
        NEXT;
}

void fpu_string_compare(struct x86_cpu *c, const struct insn *i)
{
    if (run_generic(c, i))
        NEXT;
}

void fpu_thunks_full(struct x86_cpu *c, const struct insn *i)
{
    c->rip = insn_rip(c, i);
    x86_cpu_post(c, X86_PENDING_FLUSH);
}
