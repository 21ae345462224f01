/* SPDX-License-Identifier: MIT */
/* Who holds the guest's vector state: see fpu.h. The area c->xsave[] is in the standard format of
 * the 64-bit XSAVE; its MXCSR has all exceptions masked (c->mxcsr has the guest's masks) and its
 * x87 pointers mean nothing (c->x87_ip and so on have the guest's). */
#include "cpu/x86/fpu/fpu.h"

#include <cpuid.h>
#include <errno.h>

#include "cpu/x86/fpu/fpu_exec.h"

/* Hosts too old for XSAVE have no AVX: FXSAVE's image is the first part of XSAVE's. */
static always_inline bool has_xsave(const struct x86_cpu *c)
{
    return c->host_xcr0 & BIT(63);
}

FPU_LIVE_CODE void fpu_make_live(struct x86_cpu *c)
{
    if (has_xsave(c))
        __asm__ volatile("xrstor64 %0"
                         :
                         : "m"(*(uint8_t(*)[X86_XSAVE_MAX])c->xsave),
                           "a"((uint32_t)c->host_xcr0 & XCR0_KNOWN), "d"(0));
    else
        __asm__ volatile("fxrstor64 %0" : : "m"(*(uint8_t(*)[X86_XSAVE_MAX])c->xsave));
    c->fpu_slow &= (uint8_t)~FPU_NOT_LIVE;
}

FPU_LIVE_CODE void fpu_park_slow(struct x86_cpu *c)
{
    uint32_t mxcsr = MXCSR_DEFAULT;
    uint64_t in_use;

    if (has_xsave(c))
        __asm__ volatile("xsave64 %0"
                         : "+m"(*(uint8_t(*)[X86_XSAVE_MAX])c->xsave)
                         : "a"((uint32_t)c->host_xcr0 & XCR0_KNOWN), "d"(0));
    else
        __asm__ volatile("fxsave64 %0" : "+m"(*(uint8_t(*)[X86_XSAVE_MAX])c->xsave));
    in_use = has_xsave(c) ? AREA64(c->xsave, XSAVE_BV) : X86_XCR0_X87;
    if (in_use & X86_XCR0_X87)
        __asm__ volatile("fninit");
    if (in_use & X86_XCR0_AVX)
        __asm__ volatile("vzeroupper");
    if (AREA32(c->xsave, XSAVE_MXCSR) != mxcsr)
        __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    c->fpu_slow |= FPU_NOT_LIVE;
}

uint64_t fpu_supported_xcr0(const struct x86_cpu *c)
{
    return c->host_xcr0 & XCR0_KNOWN;
}

static uint64_t read_host_xcr0(void)
{
    uint32_t a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return X86_XCR0_X87 | X86_XCR0_SSE;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & XCR0_KNOWN) | BIT(63);
}

static void clear_area(struct x86_cpu *c)
{
    fpu_zero(c->xsave, sizeof(c->xsave));
    AREA16(c->xsave, XSAVE_FCW) = FCW_DEFAULT;
    AREA32(c->xsave, XSAVE_MXCSR) = MXCSR_DEFAULT;
    AREA32(c->xsave, XSAVE_MXCSR_MASK) = MXCSR_VALID;
}

void fpu_init(struct x86_cpu *c)
{
    c->host_xcr0 = read_host_xcr0();
    fpu_reset(c);
}

void fpu_reset(struct x86_cpu *c)
{
    fpu_park(c);
    clear_area(c);
    c->fpu_slow = FPU_NOT_LIVE;
    c->x87_ip = c->x87_dp = 0;
    c->x87_op = 0;
    c->mxcsr = MXCSR_DEFAULT;
    /* Power-up: FCW 0040h, all exceptions unmasked but none pending, FTW 5555h (SDM 3, 10-1). */
    AREA16(c->xsave, XSAVE_FCW) = 0x0040;
    AREA16(c->xsave, XSAVE_FTW) = 0x00ff;
    AREA64(c->xsave, XSAVE_BV) = X86_XCR0_X87;
    c->fpu_slow |= FPU_X87_UNMASKED;
    fpu_mode_changed(c);
}

void fpu_mode_changed(struct x86_cpu *c)
{
    bool em = c->cr0 & X86_CR0_EM, ts = c->cr0 & X86_CR0_TS;
    uint64_t avx = X86_XCR0_SSE | X86_XCR0_AVX;
    unsigned trap = 0;

    if (em || ts)
        trap |= FPU_TRAP_X87;
    if (em || ts || !(c->cr4 & X86_CR4_OSFXSR))
        trap |= FPU_TRAP_SSE;
    if (ts || !(c->cr4 & X86_CR4_OSXSAVE) || (c->xcr0 & avx) != avx)
        trap |= FPU_TRAP_AVX;
    if (ts && (c->cr0 & X86_CR0_MP))
        trap |= FPU_TRAP_WAIT;
    c->fpu_slow = (uint8_t)((c->fpu_slow & ~FPU_TRAPS) | trap);
}

void fpu_set_mxcsr_masks(struct x86_cpu *c, uint32_t mxcsr)
{
    c->mxcsr = mxcsr & MXCSR_MASKS;
    c->fpu_slow &= (uint8_t)~FPU_MXCSR_UNMASKED;
    if (c->mxcsr != MXCSR_MASKS)
        c->fpu_slow |= FPU_MXCSR_UNMASKED;
}

/* FNSTCW of the guest's state; live or not. */
static FPU_LIVE_CODE uint16_t read_fcw(struct x86_cpu *c)
{
    uint16_t fcw;

    if (c->fpu_slow & FPU_NOT_LIVE)
        return AREA64(c->xsave, XSAVE_BV) & X86_XCR0_X87 ? AREA16(c->xsave, XSAVE_FCW)
                                                         : FCW_DEFAULT;
    __asm__ volatile("fnstcw %0" : "=m"(fcw));
    return fcw;
}

void fpu_x87_control_changed(struct x86_cpu *c)
{
    c->fpu_slow &= (uint8_t)~FPU_X87_UNMASKED;
    if ((read_fcw(c) & FCW_MASKS) != FCW_MASKS)
        c->fpu_slow |= FPU_X87_UNMASKED;
}

void fpu_get(struct x86_cpu *c, uint8_t *ret_xsave)
{
    fpu_park(c);
    fpu_zero(ret_xsave, X86_XSAVE_MAX);
    fpu_copy(ret_xsave, c->xsave, XSAVE_END);
    if (!has_xsave(c))
        AREA64(ret_xsave, XSAVE_BV) = X86_XCR0_X87 | X86_XCR0_SSE;
    AREA32(ret_xsave, XSAVE_MXCSR) =
        (AREA32(c->xsave, XSAVE_MXCSR) & ~MXCSR_MASKS) | (c->mxcsr & MXCSR_MASKS);
    AREA32(ret_xsave, XSAVE_MXCSR_MASK) = MXCSR_VALID;
    AREA16(ret_xsave, XSAVE_FOP) = c->x87_op;
    AREA64(ret_xsave, XSAVE_FIP) = c->x87_ip;
    AREA64(ret_xsave, XSAVE_FDP) = c->x87_dp;
    if (c->mxcsr != MXCSR_MASKS)
        AREA64(ret_xsave, XSAVE_BV) |= X86_XCR0_SSE;
    if (!(AREA64(ret_xsave, XSAVE_BV) & X86_XCR0_X87))
        AREA16(ret_xsave, XSAVE_FCW) = FCW_DEFAULT;
}

int fpu_set(struct x86_cpu *c, const uint8_t *xsave)
{
    uint64_t bv = AREA64(xsave, XSAVE_BV);
    uint32_t mxcsr = AREA32(xsave, XSAVE_MXCSR);

    if (bv & ~fpu_supported_xcr0(c))
        return -EINVAL;
    for (unsigned k = XSAVE_COMP_BV; k < XSAVE_AVX; k++) {
        if (xsave[k])
            return -EINVAL;
    }
    if (mxcsr & ~MXCSR_VALID)
        return -EINVAL;
    fpu_park(c);
    fpu_zero(c->xsave, sizeof(c->xsave));
    fpu_copy(c->xsave, xsave, XSAVE_END);
    AREA32(c->xsave, XSAVE_MXCSR) = mxcsr | MXCSR_MASKS;
    fpu_set_mxcsr_masks(c, mxcsr);
    c->x87_op = AREA16(xsave, XSAVE_FOP) & 0x7ff;
    c->x87_ip = AREA64(xsave, XSAVE_FIP);
    c->x87_dp = AREA64(xsave, XSAVE_FDP);
    AREA64(c->xsave, XSAVE_FIP) = AREA64(c->xsave, XSAVE_FDP) = 0;
    if (!has_xsave(c)) /* FXRSTOR knows no initial state; a state that says so is all zero */
        AREA16(c->xsave, XSAVE_FCW) = bv & X86_XCR0_X87 ? AREA16(xsave, XSAVE_FCW) : FCW_DEFAULT;
    fpu_x87_control_changed(c);
    return 0;
}
