/* SPDX-License-Identifier: MIT */
/* Control words: FLDCW, FNSTSW AX, FNINIT, FWAIT, LDMXCSR, STMXCSR; VZEROUPPER
 * and VZEROALL in 32-bit code. FNSTCW, FNSTSW to memory and
 * FNCLEX need nothing of their own. struct insn as in fpu_exec.h. */
#include "cpu/x86/fpu/fpu_exec.h"

/* Handlers run a function that says whether the instruction is done; so none has locals of its own
 * alive where it jumps on. */
#define HANDLER(name)                                                                              \
    void name(struct x86_cpu *c, const struct insn *i)                                             \
    {                                                                                              \
        if (do_##name(c, i))                                                                       \
            NEXT;                                                                                  \
    }

#define BODY(name) static noinline bool do_##name(struct x86_cpu *c, const struct insn *i)

static FPU_LIVE_CODE void load_fcw(struct x86_cpu *c, uint16_t fcw)
{
    fpu_need_live(c);
    __asm__ volatile("fldcw %0" : : "m"(fcw));
    fpu_live_done(c);
}

BODY(fpu_fldcw)
{
    struct loaded ea;
    uint16_t fcw;

    if (!fpu_may_run(c, i))
        return false;
    ea = fpu_ea(c, i, 2, false);
    if (!ea.ok || !fpu_read(c, i, ea.value, &fcw, 2))
        return false;
    load_fcw(c, fcw);
    fpu_x87_control_changed(c);
    return true;
}
HANDLER(fpu_fldcw)

static FPU_LIVE_CODE uint16_t store_fsw(struct x86_cpu *c)
{
    uint16_t fsw;

    fpu_need_live(c);
    __asm__ volatile("fnstsw %0" : "=a"(fsw));
    fpu_live_done(c);
    return fsw;
}

BODY(fpu_fnstsw_ax)
{
    if (!fpu_may_run(c, i))
        return false;
    c->reg[X86_RAX] = (c->reg[X86_RAX] & ~UINT64_C(0xffff)) | store_fsw(c);
    return true;
}
HANDLER(fpu_fnstsw_ax)

static FPU_LIVE_CODE void native_fninit(struct x86_cpu *c)
{
    fpu_need_live(c);
    __asm__ volatile("fninit");
    fpu_live_done(c);
}

BODY(fpu_fninit)
{
    if (!fpu_may_run(c, i))
        return false;
    native_fninit(c);
    c->x87_ip = c->x87_dp = 0;
    c->x87_op = 0;
    fpu_x87_control_changed(c);
    return true;
}
HANDLER(fpu_fninit)

BODY(fpu_fwait)
{
    return fpu_may_run(c, i);
}
HANDLER(fpu_fwait)

static FPU_LIVE_CODE void load_mxcsr(struct x86_cpu *c, uint32_t mxcsr)
{
    fpu_need_live(c);
    mxcsr |= MXCSR_MASKS;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    fpu_live_done(c);
}

static FPU_LIVE_CODE uint32_t read_mxcsr(struct x86_cpu *c)
{
    uint32_t mxcsr;

    fpu_need_live(c);
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    fpu_live_done(c);
    return (mxcsr & ~MXCSR_MASKS) | (c->mxcsr & MXCSR_MASKS);
}

BODY(fpu_ldmxcsr)
{
    struct loaded ea;
    uint32_t mxcsr;

    if (!fpu_may_run(c, i))
        return false;
    ea = fpu_ea(c, i, 4, false);
    if (!ea.ok || !fpu_read(c, i, ea.value, &mxcsr, 4))
        return false;
    if (mxcsr & ~MXCSR_VALID)
        return fpu_fault(c, i, X86_GP, true);
    load_mxcsr(c, mxcsr);
    fpu_set_mxcsr_masks(c, mxcsr);
    return true;
}
HANDLER(fpu_ldmxcsr)

BODY(fpu_stmxcsr)
{
    struct loaded ea;
    uint32_t mxcsr;

    if (!fpu_may_run(c, i))
        return false;
    ea = fpu_ea(c, i, 4, true);
    if (!ea.ok)
        return false;
    mxcsr = read_mxcsr(c);
    return fpu_write(c, i, ea.value, &mxcsr, 4);
}
HANDLER(fpu_stmxcsr)

/* Outside 64-bit mode VZEROUPPER and VZEROALL (vreg 1) leave registers 8 to 15 alone. */
BODY(fpu_vzero_low)
{
    if (!fpu_may_run(c, i))
        return false;
    fpu_park(c);
    fpu_zero(c->xsave + XSAVE_AVX, 128);
    if (i->vreg)
        fpu_zero(c->xsave + XSAVE_XMM, 128);
    return true;
}
HANDLER(fpu_vzero_low)
