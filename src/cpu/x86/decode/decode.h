/* SPDX-License-Identifier: MIT */
/* The instruction decoder: bytes in, one struct x86_decoded out. It knows the encoding of every
 * instruction the software CPU offers (x86-64-v3 and what is listed in optable.h) and nothing of
 * how they are executed. Intel SDM vol. 2, chapter 2 and appendix A.
 *
 * One table (optable.h) gives names, operands, flags used and set, and attributes; enum x86_op is
 * made from it. Pure function, any thread, no vector or x87 registers used. */
#ifndef VZ_CPU_X86_DECODE_H
#define VZ_CPU_X86_DECODE_H

#include "arch/x86/features.h"
#include "base/compiler.h"

#define X86_INSN_MAX 15 /* bytes; one more is #GP(0) */

enum x86_opmap { X86_MAP_1, X86_MAP_0F, X86_MAP_0F38, X86_MAP_0F3A };

enum x86_code_size { X86_CODE_16, X86_CODE_32, X86_CODE_64 }; /* by CS.D and CS.L */

/* Encodings of the operand that ModRM, opcode, immediate or nothing selects. */
enum x86_operand_kind {
    X86_OPERAND_NONE,
    X86_OPERAND_GPR,    /* reg: 0..15; size 1 with high_byte: AH, CH, DH, BH for reg 0..3 */
    X86_OPERAND_SEG,    /* reg: enum x86_seg order */
    X86_OPERAND_CR,
    X86_OPERAND_DR,
    X86_OPERAND_MEM,    /* base, index, scale, disp, seg of the instruction */
    X86_OPERAND_IMM,    /* imm (already sign- or zero-extended as the instruction says) */
    X86_OPERAND_REL,    /* imm: displacement from the next instruction */
    X86_OPERAND_FAR,    /* imm: offset, imm2: selector */
    X86_OPERAND_ST,     /* x87 stack register */
    X86_OPERAND_MMX,
    X86_OPERAND_XMM,    /* size 16 or less used; */
    X86_OPERAND_YMM,
    X86_OPERAND_STR_SRC, /* string operations: [rSI] in the segment of the instruction */
    X86_OPERAND_STR_DST, /* string operations: ES:[rDI] */
};

struct x86_operand {
    uint8_t kind; /* enum x86_operand_kind */
    uint8_t reg;
    uint8_t size; /* bytes accessed; 0 where it makes no sense (LEA, INVLPG) or varies (XSAVE) */
    bool high_byte;
    bool read, written;
    bool implicit; /* fixed by the opcode, not encoded (rAX of MUL, CL of SHL) */
    bool modrm_reg; /* a general register that ModRM.reg names */
};

enum x86_prefix_bits {
    X86_PREFIX_LOCK = 1, X86_PREFIX_REP = 2 /* F3 */, X86_PREFIX_REPNE = 4 /* F2 */,
    X86_PREFIX_OPSIZE = 8, X86_PREFIX_ADDRSIZE = 16, X86_PREFIX_REX = 32, X86_PREFIX_VEX = 64,
};

/* base and index: 0..15, or one of */
#define X86_NO_REG   0xff
#define X86_BASE_RIP 0xfe

struct x86_decoded {
    uint16_t op;           /* enum x86_op */
    uint8_t feature;       /* enum x86_feature this form needs (info->feature is the usual one) */
    uint8_t len;           /* bytes */
    uint8_t prefixes;      /* enum x86_prefix_bits; F2/F3/66 also where they select the opcode */
    uint8_t map, opcode;   /* as encoded */
    uint8_t opcode_off;    /* where the opcode byte (after escapes and prefixes) is in the bytes */
    bool has_modrm, has_mem;
    uint8_t modrm, mod;
    uint8_t reg, rm;       /* extended by REX/VEX: 0..15; rm is the register when mod == 3 */
    uint8_t rex_w, vex_l;  /* 0 or 1 */
    uint8_t vvvv;          /* VEX.vvvv, un-inverted */
    uint8_t osize, asize;  /* effective sizes in bytes: 2, 4, 8 */
    /* The memory operand, when has_mem. */
    uint8_t seg;           /* effective segment: enum x86_seg */
    bool seg_override;
    uint8_t base, index;   /* X86_NO_REG, X86_BASE_RIP (relative to the next instruction) */
    uint8_t scale;         /* log2: 0..3 */
    uint8_t vsib;          /* index is a vector register: gathers */
    int64_t disp;          /* sign-extended (moffs: zero-extended 64 bits) */
    uint64_t imm, imm2;
    uint8_t operand_count;
    struct x86_operand operand[5]; /* explicit ones first, in Intel order */
    const struct x86_op_info *info;
};

/* Attributes of a table row, struct x86_op_info.attr. */
enum x86_op_attr {
    X86_ATTR_LOCK = BIT(0),      /* LOCK allowed with a memory destination */
    X86_ATTR_BRANCH = BIT(1),    /* ends a block: any transfer of control */
    X86_ATTR_PRIV = BIT(2),      /* CPL 0 only */
    X86_ATTR_X87 = BIT(3), X86_ATTR_MMX = BIT(4), X86_ATTR_SSE = BIT(5), X86_ATTR_AVX = BIT(6),
    X86_ATTR_NO64 = BIT(7), X86_ATTR_ONLY64 = BIT(8),
    X86_ATTR_SYSTEM = BIT(9),    /* may change what the following bytes mean or where they are:
                                    ends a block (MOV CR, WRMSR, IRET, INVLPG, CPUID, ...) */
    X86_ATTR_STRING = BIT(10), X86_ATTR_REP = BIT(11), /* REP/REPE/REPNE has a meaning */
    X86_ATTR_ALIGNED = BIT(12),  /* a memory operand of 16 or more bytes must be aligned to its
                                    size: else #GP(0) */
    X86_ATTR_YMM_AVX2 = BIT(13), /* the 256-bit form needs AVX2 */
    /* What the manuals leave open, besides flags_undefined. */
    X86_ATTR_UNDEF_COUNT = BIT(14),  /* the count decides which of flags_undefined are */
    X86_ATTR_UNDEF_RESULT = BIT(15), /* so is the result with some operands */
    X86_ATTR_PARTIAL = BIT(16),      /* if it faults, it may have done a part of its work */
    /* Memory. */
    X86_ATTR_MEMORY = BIT(17),       /* accessed besides an operand's: the stack, strings, XLAT */
    X86_ATTR_ADDRESS = BIT(18),      /* a memory operand is not accessed: LEA, prefetches */
    X86_ATTR_MINDS_MEMORY = BIT(19), /* with a memory operand it locks, or is done otherwise */
    X86_ATTR_MINDS_IMM = BIT(29),    /* with an immediate it leaves other undefined flags there */
    X86_ATTR_BIT_STRING = BIT(20),   /* with a bit's number in a register, a memory operand is a
                                        string of bits that begins there */
    X86_ATTR_UNALIGNED = BIT(21),    /* legacy encoding, but 16 bytes may lie anywhere */
    /* For the translator (jit/jit_ops.c): the host's own instruction does it, */
    X86_ATTR_COPY = BIT(22),         /* with other registers and another memory operand; */
    X86_ATTR_FIXED = BIT(23),        /* on the registers that its opcode names */
    X86_ATTR_MAY_KEEP = BIT(24),     /* the destination, though only written, may keep its value */
    /* For what runs on the host's vector registers (fpu/bind_fpu.c). */
    X86_ATTR_SIMD = BIT(25),         /* may raise a SIMD floating-point exception */
    X86_ATTR_WIDE = BIT(26),         /* VEX.W widens a general register, or what could be one */
    X86_ATTR_STRING_COMPARE = BIT(27), /* PCMPESTRI and so on: result in ECX or XMM0 */
    X86_ATTR_IMM_REG = BIT(28),      /* the immediate's upper half names a register */
};

/* Who executes an operation: the file of interp/, or system/ or fpu/. */
enum x86_family {
    X86_FAMILY_MOV, X86_FAMILY_ALU, X86_FAMILY_FLOW, X86_FAMILY_STACK, X86_FAMILY_COND,
    X86_FAMILY_SHIFT, X86_FAMILY_MULDIV, X86_FAMILY_BIT, X86_FAMILY_BMI, X86_FAMILY_ATOMIC,
    X86_FAMILY_STRING, X86_FAMILY_MISC, X86_FAMILY_BCD, X86_FAMILY_SYSTEM,
    X86_FAMILY_FPU,       /* x87, MMX, SSE, AVX */
    X86_FAMILY_FPU_STATE, /* FXSAVE, XSAVE and so on */
    X86_FAMILY_COUNT,
};

struct x86_op_info {
    const char *name;           /* Intel mnemonic, lower case */
    uint32_t attr;              /* enum x86_op_attr */
    uint8_t feature;            /* enum x86_feature */
    uint8_t family;             /* enum x86_family */
    uint16_t flags_used;        /* X86_FLAG_* arithmetic flags read */
    uint16_t flags_set;         /* arithmetic flags written with a defined value */
    uint16_t flags_undefined;   /* arithmetic flags that may be left undefined */
};

enum x86_decode_result {
    X86_DECODE_OK,
    X86_DECODE_MORE,    /* the bytes given end inside the instruction */
    X86_DECODE_INVALID, /* #UD; ret->len says how many bytes were looked at */
    X86_DECODE_LONG,    /* longer than 15 bytes: #GP(0) */
};

/* Decode one instruction from at most avail bytes. #UD conditions that the encoding alone decides
 * (reserved opcode, LOCK where not allowed, register where memory is needed, VEX.vvvv or VEX.L
 * wrong, not valid in this mode) give X86_DECODE_INVALID; those that depend on CPU state (CR0,
 * CR4, XCR0, CPUID policy, CPL) are left to execution. ret is filled in completely on OK. */
enum x86_decode_result x86_decode(const uint8_t *bytes, unsigned avail, enum x86_code_size size,
                                  struct x86_decoded *ret);

const struct x86_op_info *x86_op_info(unsigned op);

/* What Intel's or AMD's manual leaves undefined, so that processors differ and programs may not
 * care. We leave there what the host does, which may depend on the encoding; who compares two ways
 * of executing an instruction masks exactly this.
 *
 * Arithmetic flags undefined after d completes. cl: of before, NULL: not known, which gives all
 * that may be. */
uint16_t x86_undefined_flags(const struct x86_decoded *d, const uint8_t *cl);

/* Bits of the first operand (a register: all 64) undefined after d completes; flags: after it. With
 * a source of 0, BSF and BSR leave the destination alone by AMD's manual and in all processors, but
 * for the upper half in 32-bit form. */
uint64_t x86_undefined_result(const struct x86_decoded *d, uint8_t cl, uint64_t flags);

/* Does d itself mean different things to the two makers, and neither manual say what? */
bool x86_undefined_encoding(const struct x86_decoded *d);

/* A printable form for traces and error messages, Intel syntax; not meant to be assembled. */
void x86_format(const struct x86_decoded *d, uint64_t rip, char *buf, unsigned len);

#endif
