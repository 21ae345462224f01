/* SPDX-License-Identifier: MIT */
/* Inside fpu/: what a bound vector or x87 instruction looks like, and how it is run.
 *
 * In struct insn of such an instruction:
 *   imm   address of its thunk; x87 instructions have the opcode for FOP in the upper 16 bits
 *   vreg  enum fpu_form
 *   aux   enum fpu_slow: the reasons that make this instruction look closer
 *   rm    bytes of the memory operand, 0 without one
 *   reg   the general register that it reads or writes, for FORM_GPR_*
 * The forms that do not run through fpu_generic() say at their handlers what they use instead.
 *
 * A thunk takes its memory operand's host address in RAX (FORM_ESTR: RSI) and a general register
 * in RCX. */
#ifndef VZ_CPU_X86_FPU_EXEC_H
#define VZ_CPU_X86_FPU_EXEC_H

#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/fpu/thunk.h"
#include "cpu/x86/insn.h"
#include "cpu/x86/mmu.h"

enum fpu_form {
    FORM_WRITE = 1,    /* the memory operand is written, not read */
    FORM_ALIGNED = 2,  /* and must be aligned to its size */
    FORM_GPR_IN = 4,
    FORM_GPR_OUT = 8,
    FORM_FLAGS = 16,   /* writes arithmetic flags; x87 ones read them too */
    FORM_X87 = 32,     /* leaves its address and that of its operand in FIP and FDP */
    FORM_MMX = 64,     /* CR0.EM is #UD */
    FORM_ESTR = 128,   /* PCMPESTRx: reads RAX and RDX */
};

#define FPU_THUNK_MASK UINT64_C(0xffffffffffff)

/* Layout of the XSAVE area, SDM vol. 1, 13.4; AVX has had this offset on every processor. */
enum {
    XSAVE_FCW = 0, XSAVE_FSW = 2, XSAVE_FTW = 4, XSAVE_FOP = 6, XSAVE_FIP = 8, XSAVE_FCS = 12,
    XSAVE_FDP = 16, XSAVE_FDS = 20, XSAVE_MXCSR = 24, XSAVE_MXCSR_MASK = 28, XSAVE_ST = 32,
    XSAVE_XMM = 160, XSAVE_LEGACY_END = 416, XSAVE_BV = 512, XSAVE_COMP_BV = 520,
    XSAVE_RESERVED = 528, XSAVE_AVX = 576, XSAVE_END = 832,
};
#define XCR0_KNOWN (X86_XCR0_X87 | X86_XCR0_SSE | X86_XCR0_AVX)

#define MXCSR_DEFAULT 0x1f80u
#define MXCSR_FLAGS   0x003fu
#define MXCSR_MASKS   0x1f80u
#define MXCSR_VALID   0xffffu /* what the guest's MXCSR_MASK says */
#define FCW_DEFAULT   0x037fu
#define FCW_MASKS     0x003fu
#define FSW_ES        0x0080u

typedef uint16_t area_u16 __attribute__((may_alias, aligned(1)));
typedef uint32_t area_u32 __attribute__((may_alias, aligned(1)));
typedef uint64_t area_u64 __attribute__((may_alias, aligned(1)));
#define AREA16(p, off) (*(area_u16 *)((uint8_t *)(p) + (off)))
#define AREA32(p, off) (*(area_u32 *)((uint8_t *)(p) + (off)))
#define AREA64(p, off) (*(area_u64 *)((uint8_t *)(p) + (off)))

/* Functions in which the guest's state is in the registers: no calls of a sanitizer's library. */
#if VZ_HIDDEN_CALLS
#define FPU_LIVE_CODE                                                                              \
    __attribute__((__noinline__, no_sanitize("address"), no_sanitize("thread"),                    \
                   no_sanitize("undefined")))
#else
#define FPU_LIVE_CODE
#endif

/* libc's memcpy() and memset() use vector registers. */
static always_inline void fpu_copy(void *to, const void *from, uint64_t len)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

static always_inline void fpu_zero(void *to, uint64_t len)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(0) : "memory");
}

static always_inline void fpu_need_live(struct x86_cpu *c)
{
    if (c->fpu_slow & FPU_NOT_LIVE)
        fpu_make_live(c);
}

/* Behind every stretch of live code outside the handlers' fast paths. */
static always_inline void fpu_live_done(struct x86_cpu *c)
{
    if (VZ_HIDDEN_CALLS)
        fpu_park_slow(c);
}

/* Registers of a thunk's call. */
struct fpu_regs {
    uint64_t rax, rcx, rdx, rsi, rdi, flags; /* flags: the arithmetic ones of RFLAGS */
};

/* Run a thunk on the guest's state, wherever that is. */
void fpu_call(struct x86_cpu *c, uint64_t thunk, struct fpu_regs *r);

/* May the instruction run now? False: #UD, #NM or #MF was raised, rip set. */
bool fpu_may_run(struct x86_cpu *c, const struct insn *i) must_check;

/* Linear address of the memory operand, checked; ok false: raised, rip set. */
struct loaded fpu_ea(struct x86_cpu *c, const struct insn *i, unsigned size, bool write);

/* Raise at instruction i; always false. */
bool fpu_fault(struct x86_cpu *c, const struct insn *i, uint8_t vector, bool has_error);

/* Copies of the memory operand at va, SS-relative or not as the instruction says; rip set. */
bool fpu_read(struct x86_cpu *c, const struct insn *i, uint64_t va, void *buf,
              unsigned len) must_check;
bool fpu_write(struct x86_cpu *c, const struct insn *i, uint64_t va, const void *buf,
               unsigned len) must_check;
bool fpu_probe_write(struct x86_cpu *c, const struct insn *i, uint64_t va,
                     unsigned len) must_check;

/* The guest's control words have changed (or may have): set FPU_X87_UNMASKED accordingly. */
void fpu_x87_control_changed(struct x86_cpu *c);
void fpu_set_mxcsr_masks(struct x86_cpu *c, uint32_t mxcsr);

/* Address of a thunk made by hand, at run time; 0: none left, the caller ends the block at i. */
static inline uint64_t fpu_thunk_at_run_time(struct x86_cpu *c, uint64_t bytes, unsigned len)
{
    return thunk_get(c->thunks, bytes, len);
}

/* ---- handlers that bind_fpu() hands out ---- */

insn_fn fpu_generic;
/* The same for PCMPESTRx and PCMPISTRx, which use RAX, RDX and RCX by their nature, but PCMPISTRM, which uses none. */
insn_fn fpu_string_compare;
/* fast.c */
insn_fn fpu_fast_reg, fpu_fast_gpr_in, fpu_fast_gpr_out, fpu_fast_flags;
insn_fn fpu_fast_load4, fpu_fast_load8, fpu_fast_load16, fpu_fast_load32;
insn_fn fpu_fast_load16_aligned, fpu_fast_load32_aligned;
insn_fn fpu_fast_load4_flags, fpu_fast_load8_flags;
insn_fn fpu_fast_store2, fpu_fast_store4, fpu_fast_store8, fpu_fast_store16, fpu_fast_store32;
insn_fn fpu_fast_store16_aligned, fpu_fast_store32_aligned;
insn_fn fpu_fast_x87, fpu_fast_x87_flags, fpu_fast_x87_load, fpu_fast_x87_store;
/* control.c */
insn_fn fpu_fldcw, fpu_fnstsw_ax, fpu_fninit, fpu_fwait, fpu_ldmxcsr, fpu_stmxcsr, fpu_vzero_low;
/* environment.c */
insn_fn fpu_fnstenv, fpu_fldenv, fpu_fnsave, fpu_frstor;
/* masked.c */
insn_fn fpu_maskmov_string, fpu_maskmov_load, fpu_maskmov_store, fpu_gather;
/* xsave.c */
insn_fn fpu_fxsave, fpu_fxrstor, fpu_xsave, fpu_xsavec, fpu_xsaveopt, fpu_xrstor;
/* Leaves the block at the instruction, for the thunks to be emptied. */
insn_fn fpu_thunks_full;

#endif
