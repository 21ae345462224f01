/* SPDX-License-Identifier: MIT */
/* The encoding tables' form, private to the decoder. A map has 256 entries indexed by opcode; an
 * entry is either an instruction form (operation, operand specifications, flags) or a selector
 * that picks one of its sub-entries by prefix, a ModRM field, mode, VEX.W or VEX.L.
 *
 * Operand names follow SDM vol. 2, appendix A.2 as far as it goes: first the place, then the
 * size. E: GPR or memory by ModRM; G: GPR by ModRM.reg; B: GPR by VEX.vvvv; Z: GPR by the opcode's
 * low bits; M: memory only; R: GPR by ModRM.rm only; V, W, U, H, L: vector register by ModRM.reg,
 * by ModRM (or memory), by ModRM.rm only, by VEX.vvvv, by immediate; P, Q, N: the same for MMX. */
#ifndef VZ_CPU_X86_DECODE_TABLES_H
#define VZ_CPU_X86_DECODE_TABLES_H

#include "cpu/x86/decode/decode.h"
#include "cpu/x86/decode/optable.h"

enum enc_select {
    SEL_NONE,
    SEL_PREFIX, /* none, 66, F3, F2: the last F2/F3 wins over 66 */
    SEL_REP,    /* without, with F3; for opcodes where 66 and F2 have no such meaning */
    SEL_MODE64, /* 16- and 32-bit, 64-bit */
    SEL_W, SEL_L,
    SEL_NOP,    /* opcode 90: XCHG with r8, NOP, PAUSE */
    SEL_MODRM,  /* from here on ModRM is needed: */
    SEL_REG = SEL_MODRM, /* 8 by ModRM.reg */
    SEL_MOD,    /* memory, register */
    SEL_RM,     /* 8 by ModRM.rm */
};

enum enc_flags {
    F_N64 = 1, F_O64 = 2, /* not in 64-bit mode, only there */
    F_D64 = 4,            /* operand size 64 by default in 64-bit mode */
    F_F64 = 8,            /* operand size 64 always in 64-bit mode; prefix 66 is ignored */
    F_W0 = 0x10, F_W1 = 0x20, F_L0 = 0x40, F_L1 = 0x80,
    F_VSIB = 0x100,
    F_REGFORM = 0x200,    /* ModRM.mod is ignored: always the register form (MOV CR, DR) */
    F_FEATURE_SHIFT = 16, /* enum x86_feature, where the form needs another than the operation */
};
#define F_FEATURE(x) (X86_FEATURE_##x << F_FEATURE_SHIFT)

/* Where an operand is. */
enum spec_place {
    AT_NONE, AT_REG, AT_RM, AT_MEM, AT_RM_REG, AT_VVVV, AT_OPCODE, AT_FIXED, AT_SEG, AT_SEG_FIXED,
    AT_CR, AT_DR, AT_IMM, AT_IMM_ZX, AT_ONE, AT_REL, AT_FAR, AT_MOFFS, AT_STR_SRC, AT_STR_DST,
    AT_ST0, AT_STI, AT_MMX_REG, AT_MMX_RM, AT_MMX_RM_REG,
    AT_VEC_REG, AT_VEC_RM, AT_VEC_RM_REG, AT_VEC_VVVV, AT_VEC_IS4, AT_VEC_XMM0,
};

/* Sizes that depend on something; below 0x40 the number of bytes. */
enum spec_size {
    SZ_V = 0x40,           /* operand size */
    SZ_Z,                  /* operand size, 4 at most */
    SZ_Y,                  /* 8 with REX.W/VEX.W in 64-bit mode, else 4 */
    SZ_P,                  /* far pointer: operand size and 2 */
    SZ_A,                  /* two operand sizes: BOUND */
    SZ_S,                  /* descriptor table register: 10 in 64-bit mode, else 6 */
    SZ_N,                  /* 8 in 64-bit mode, else 4 */
    SZ_X, SZ_XH, SZ_XQ, SZ_XE, /* vector by L: whole, half, quarter, eighth */
    SZ_DDUP,               /* MOVDDUP: 8 or 32 */
    SZ_ENV, SZ_FSTATE,     /* x87: 14/28, 94/108 */
};

/* X(name, place, register number of fixed ones, size of register or value, size of memory) */
#define ENC_OPERANDS(X)                                                                            \
    X(NO, AT_NONE, 0, 0, 0)                                                                        \
    X(Eb, AT_RM, 0, 1, 1) X(Ew, AT_RM, 0, 2, 2) X(Ed, AT_RM, 0, 4, 4) X(Eq, AT_RM, 0, 8, 8)        \
    X(Ev, AT_RM, 0, SZ_V, SZ_V) X(Ey, AT_RM, 0, SZ_Y, SZ_Y) X(En, AT_RM, 0, SZ_N, SZ_N)            \
    X(EvMw, AT_RM, 0, SZ_V, 2) X(EzMw, AT_RM, 0, SZ_Z, 2)                                          \
    X(EdMb, AT_RM, 0, 4, 1) X(EdMw, AT_RM, 0, 4, 2)                                                \
    X(Ez, AT_RM, 0, SZ_Z, SZ_Z)                                                                    \
    X(Gb, AT_REG, 0, 1, 1) X(Gw, AT_REG, 0, 2, 2) X(Gd, AT_REG, 0, 4, 4) X(Gv, AT_REG, 0, SZ_V, 0) \
    X(Gy, AT_REG, 0, SZ_Y, 0) X(Gn, AT_REG, 0, SZ_N, 0) X(Gz, AT_REG, 0, SZ_Z, 0)                  \
    X(Rd, AT_RM_REG, 0, 4, 0) X(Rv, AT_RM_REG, 0, SZ_V, 0) X(Ry, AT_RM_REG, 0, SZ_Y, 0)            \
    X(Rn, AT_RM_REG, 0, SZ_N, 0)                                                                   \
    X(By, AT_VVVV, 0, SZ_Y, 0)                                                                     \
    X(Zb, AT_OPCODE, 0, 1, 0) X(Zv, AT_OPCODE, 0, SZ_V, 0)                                         \
    X(M, AT_MEM, 0, 0, 0) X(Mb, AT_MEM, 0, 0, 1) X(Mw, AT_MEM, 0, 0, 2) X(Md, AT_MEM, 0, 0, 4)     \
    X(Mq, AT_MEM, 0, 0, 8) X(Mt, AT_MEM, 0, 0, 10) X(Mdq, AT_MEM, 0, 0, 16)                        \
    X(My, AT_MEM, 0, 0, SZ_Y) X(Mv, AT_MEM, 0, 0, SZ_V) X(Mp, AT_MEM, 0, 0, SZ_P)                  \
    X(Ma, AT_MEM, 0, 0, SZ_A) X(Ms, AT_MEM, 0, 0, SZ_S) X(Mx, AT_MEM, 0, 0, SZ_X)                  \
    X(Menv, AT_MEM, 0, 0, SZ_ENV) X(Mfst, AT_MEM, 0, 0, SZ_FSTATE)                                 \
    X(AL, AT_FIXED, 0, 1, 0) X(CL, AT_FIXED, 1, 1, 0) X(AX, AT_FIXED, 0, 2, 0)                     \
    X(DX, AT_FIXED, 2, 2, 0)                                                                       \
    X(rAX, AT_FIXED, 0, SZ_V, 0) X(zAX, AT_FIXED, 0, SZ_Z, 0)                                      \
    X(Sw, AT_SEG, 0, 2, 0)                                                                         \
    X(sES, AT_SEG_FIXED, 0, 2, 0) X(sCS, AT_SEG_FIXED, 1, 2, 0) X(sSS, AT_SEG_FIXED, 2, 2, 0)      \
    X(sDS, AT_SEG_FIXED, 3, 2, 0) X(sFS, AT_SEG_FIXED, 4, 2, 0) X(sGS, AT_SEG_FIXED, 5, 2, 0)      \
    X(Cn, AT_CR, 0, SZ_N, 0) X(Dn, AT_DR, 0, SZ_N, 0)                                              \
    X(Ib, AT_IMM, 0, 1, 0) X(Iz, AT_IMM, 0, SZ_Z, 0) X(Iv, AT_IMM, 0, SZ_V, 0)                     \
    X(Iw, AT_IMM_ZX, 0, 2, 0) X(Iub, AT_IMM_ZX, 0, 1, 0) X(One, AT_ONE, 0, 1, 0)                   \
    X(Jb, AT_REL, 0, 1, 0) X(Jz, AT_REL, 0, SZ_Z, 0) X(Ap, AT_FAR, 0, SZ_Z, 0)                     \
    X(Ob, AT_MOFFS, 0, 0, 1) X(Ov, AT_MOFFS, 0, 0, SZ_V)                                           \
    X(Xb, AT_STR_SRC, 6, 0, 1) X(Xv, AT_STR_SRC, 6, 0, SZ_V) X(Xz, AT_STR_SRC, 6, 0, SZ_Z)         \
    X(Yb, AT_STR_DST, 7, 0, 1) X(Yv, AT_STR_DST, 7, 0, SZ_V) X(Yz, AT_STR_DST, 7, 0, SZ_Z)         \
    X(ST0, AT_ST0, 0, 10, 0) X(STi, AT_STI, 0, 10, 0)                                              \
    X(Pq, AT_MMX_REG, 0, 8, 0) X(Qq, AT_MMX_RM, 0, 8, 8) X(Qd, AT_MMX_RM, 0, 8, 4)                 \
    X(Nq, AT_MMX_RM_REG, 0, 8, 0)                                                                  \
    X(Vx, AT_VEC_REG, 0, SZ_X, 0) X(Vo, AT_VEC_REG, 0, 16, 0)                                      \
    X(Wx, AT_VEC_RM, 0, SZ_X, SZ_X) X(Wo, AT_VEC_RM, 0, 16, 16) X(Wq, AT_VEC_RM, 0, 16, 8)         \
    X(Wd, AT_VEC_RM, 0, 16, 4) X(Ww, AT_VEC_RM, 0, 16, 2) X(Wb, AT_VEC_RM, 0, 16, 1)               \
    X(Wxh, AT_VEC_RM, 0, 16, SZ_XH) X(Wxq, AT_VEC_RM, 0, 16, SZ_XQ)                                \
    X(Wxe, AT_VEC_RM, 0, 16, SZ_XE) X(Wddup, AT_VEC_RM, 0, SZ_X, SZ_DDUP)                          \
    X(Ux, AT_VEC_RM_REG, 0, SZ_X, 0) X(Uo, AT_VEC_RM_REG, 0, 16, 0)                                \
    X(Hx, AT_VEC_VVVV, 0, SZ_X, 0) X(Ho, AT_VEC_VVVV, 0, 16, 0) X(Lx, AT_VEC_IS4, 0, SZ_X, 0)      \
    X(X0, AT_VEC_XMM0, 0, 16, 0)

enum enc_operand {
#define SPEC_ENUM(name, place, reg, size, mem_size) name,
    ENC_OPERANDS(SPEC_ENUM)
#undef SPEC_ENUM
    ENC_OPERAND_COUNT,
};

struct enc {
    union {
        const struct enc *sub;
        uint32_t flags; /* enum enc_flags */
    };
    uint16_t op;        /* X86_OP_INVALID (0): nothing here, unless there is a selector */
    uint8_t select;     /* enum enc_select */
    uint8_t access;     /* two bits an operand: 1 read, 2 written */
    uint8_t operand[4]; /* enum enc_operand */
};

#define ACCESS_R 0x55
#define ACCESS_W 0x56
#define ACCESS_U 0x57  /* first operand read and written */
#define ACCESS_X 0x5f  /* both */
#define ACCESS_WW 0x5a

/* Rows: R reads all operands, W writes the first, U updates the first; with F: flags first. */
#define ENC_(fl, acc, name, ...)                                                                   \
    { .flags = (fl), .op = X86_OP_##name, .access = (acc), .operand = { __VA_ARGS__ } }
#define R(...) ENC_(0, ACCESS_R, __VA_ARGS__, NO)
#define W(...) ENC_(0, ACCESS_W, __VA_ARGS__, NO)
#define U(...) ENC_(0, ACCESS_U, __VA_ARGS__, NO)
#define RF(fl, ...) ENC_(fl, ACCESS_R, __VA_ARGS__, NO)
#define WF(fl, ...) ENC_(fl, ACCESS_W, __VA_ARGS__, NO)
#define UF(fl, ...) ENC_(fl, ACCESS_U, __VA_ARGS__, NO)
/* Four operands leave no room for the filler above. */
#define W4(name, a, b, c, d) ENC_(0, ACCESS_W, name, a, b, c, d)
#define WF4(fl, name, a, b, c, d) ENC_(fl, ACCESS_W, name, a, b, c, d)

#define NONE { .op = X86_OP_INVALID }
#define SUB_(n, sel, ...) { .sub = (const struct enc[n]){ __VA_ARGS__ }, .select = (sel) }
#define PFX(none, p66, pf3, pf2) SUB_(4, SEL_PREFIX, none, p66, pf3, pf2)
#define P66(x) SUB_(4, SEL_PREFIX, NONE, x, NONE, NONE)
#define PNP(x) SUB_(4, SEL_PREFIX, x, NONE, NONE, NONE)
#define REP(without, with) SUB_(2, SEL_REP, without, with)
#define MODE(legacy, long64) SUB_(2, SEL_MODE64, legacy, long64)
#define BYW(w0, w1) SUB_(2, SEL_W, w0, w1)
#define BYL(l0, l1) SUB_(2, SEL_L, l0, l1)
#define GRP_OF(array) { .sub = (array), .select = SEL_REG }
#define GRP(...) SUB_(8, SEL_REG, __VA_ARGS__)
#define MOD(mem, reg) SUB_(2, SEL_MOD, mem, reg)
#define RM(...) SUB_(8, SEL_RM, __VA_ARGS__)

extern const struct enc x86_map_1[256], x86_map_0f[256], x86_map_0f38[256], x86_map_0f3a[256];
extern const struct enc x86_vex_0f[256], x86_vex_0f38[256], x86_vex_0f3a[256];
extern const struct enc x86_map_x87[8];

#endif
