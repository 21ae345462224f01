/* SPDX-License-Identifier: MIT */
/* The guest's x87, MMX, SSE and AVX state, and who holds it.
 *
 * While guest code runs, that state lives in the host's own registers (no FPU_NOT_LIVE), and the
 * guest's vector instructions run natively, one at a time, through generated thunks (thunk.h). So
 * nothing else on the vCPU thread may touch those registers: src/cpu/x86 is compiled with
 * -mgeneral-regs-only, and every call out of it (host ops, libc, locks) is preceded by fpu_park().
 * The next vector instruction of the guest loads the state again. Signal handlers are harmless: the
 * kernel saves and restores the registers around them.
 *
 * In builds by Clang or with a sanitizer, where calls that the compiler adds may use vector
 * registers anywhere, every thunk parks behind itself (VZ_HIDDEN_CALLS). */
#ifndef VZ_CPU_X86_FPU_H
#define VZ_CPU_X86_FPU_H

#include "cpu/x86/cpu.h"

/* Why an instruction may not just run: bits of x86_cpu.fpu_slow. Each instruction knows which of
 * them concern it, so that the fast path has one test. */
enum fpu_slow {
    FPU_NOT_LIVE = 1,       /* the state is in xsave[], not in the host's registers */
    FPU_TRAP_X87 = 2,       /* CR0.EM or CR0.TS: x87 and MMX */
    FPU_TRAP_SSE = 4,       /* CR0.EM, CR0.TS, no CR4.OSFXSR */
    FPU_TRAP_AVX = 8,       /* CR0.TS, no CR4.OSXSAVE, AVX not enabled in XCR0 */
    FPU_MXCSR_UNMASKED = 16, /* the guest wants some SIMD exception */
    FPU_X87_UNMASKED = 32,  /* an x87 exception may be pending: look before waiting ones */
    FPU_TRAP_WAIT = 64,     /* CR0.MP and CR0.TS: FWAIT */
};
#define FPU_TRAPS (FPU_TRAP_X87 | FPU_TRAP_SSE | FPU_TRAP_AVX | FPU_TRAP_WAIT)

/* Move the state from host registers to c->xsave[] and give the host's registers the values that
 * C code expects (default control words). Cheap when it is not live. */
static always_inline void fpu_park(struct x86_cpu *c);

/* Move it to host registers, if it is not there. */
void fpu_make_live(struct x86_cpu *c);
void fpu_park_slow(struct x86_cpu *c);

static always_inline void fpu_park(struct x86_cpu *c)
{
    if (!(c->fpu_slow & FPU_NOT_LIVE))
        fpu_park_slow(c);
}

/* Power-up and INIT state of everything fpu_* in struct x86_cpu; host_xcr0 is set once. */
void fpu_init(struct x86_cpu *c);
void fpu_reset(struct x86_cpu *c);

/* CR0, CR4 or XCR0 changed: recompute the FPU_TRAP_* bits. */
void fpu_mode_changed(struct x86_cpu *c);

/* To and from the architectural form (standard XSAVE layout, guest's MXCSR and x87 pointers). The
 * state is parked. fpu_set: -EINVAL for an area that XRSTOR would refuse. */
void fpu_get(struct x86_cpu *c, uint8_t *ret_xsave);
int fpu_set(struct x86_cpu *c, const uint8_t *xsave) must_check;

/* XCR0 components the guest may enable: what the host has, of x87, SSE, AVX. */
uint64_t fpu_supported_xcr0(const struct x86_cpu *c);

#endif
