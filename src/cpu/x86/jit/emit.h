/* SPDX-License-Identifier: MIT */
/* Bytes of host instructions: opcodes by name, and one function for each form of operands. Nothing
 * here knows the guest. SDM vol. 2, chapter 2 and appendix A.
 *
 *   emit_rm(e, XO_ADD, W64, H_RSI, host_mem(H_R15, 16))      add rsi, [r15 + 16]
 *   emit_rm(e, XO_ADD_M, W64, H_RSI, host_mem(H_R15, 16))    add [r15 + 16], rsi
 *   emit_mi(e, XO_CMP8_I, W32, host_mem(H_R15, 16), 0)       cmp byte [r15 + 16], 0
 *   emit_ri(e, XO_AND_I, W32, H_R10, 0xd5)             and r10d, 0xd5
 *
 * `make check` decodes what all of this has emitted over a boot (tests/oracle/translate.c). */
#ifndef VZ_CPU_X86_EMIT_H
#define VZ_CPU_X86_EMIT_H

#include "base/compiler.h"

/* Code is written at w and runs at w + run_offset. */
struct emit {
    uint8_t *w;
    int64_t run_offset;
};

enum {
    H_RAX, H_RCX, H_RDX, H_RBX, H_RSP, H_RBP, H_RSI, H_RDI,
    H_R8, H_R9, H_R10, H_R11, H_R12, H_R13, H_R14, H_R15, H_NONE = 255,
};

/* Conditions of Jcc and the like. */
enum emit_cc { CC_AE = 3, CC_E = 4, CC_NE = 5, CC_BE = 6, CC_A = 7 };

enum emit_prefix {
    ESCAPE_0F = 0x0f, ESCAPE_38 = 0x38, /* to other maps of opcodes */
    PREFIX_OPSIZE = 0x66, PREFIX_LOCK = 0xf0, PREFIX_REPNE = 0xf2, PREFIX_REP = 0xf3,
};

/* Of general registers; operations on bytes are opcodes of their own and go with W32. */
enum emit_width { W32, W64, W16 };

static inline enum emit_width emit_width(bool wide)
{
    return wide ? W64 : W32;
}

/* An opcode: its byte, the map it is in (0 or 0F), what ModRM.reg has to be where that is part of
 * the opcode, and how many bytes of immediate belong to it. */
#define XO_(map, byte, digit, imm) ((byte) | (map) << 8 | (digit) << 12 | (imm) << 16)
#define OP1(byte)              XO_(0, byte, 0, 0)
#define OP2(byte)              XO_(1, byte, 0, 0)   /* behind 0F */
#define OP1G(byte, digit)      XO_(0, byte, digit, 0)
#define OP2G(byte, digit)      XO_(1, byte, digit, 0)
#define OP1GI(byte, digit, imm) XO_(0, byte, digit, imm)

/* Named as the SDM does; _M: to ModRM.rm, where there is a form for either direction; _I: with an
 * immediate as wide as the operand, up to 32 bits; _I8: one that is extended from 8 bits; a number
 * behind the name: of operands that wide. */
enum emit_opcode {
    XO_ADD = OP1(0x03), XO_OR = OP1(0x0b), XO_SUB = OP1(0x2b), XO_CMP = OP1(0x3b),
    XO_ADD_M = OP1(0x01), XO_OR_M = OP1(0x09), XO_SUB_M = OP1(0x29), XO_XOR_M = OP1(0x31),
    XO_CMP_M = OP1(0x39), XO_TEST = OP1(0x85),
    XO_AND = OP1(0x23), XO_AND_M = OP1(0x21), XO_AND8_M = OP1(0x20),
    XO_MOV = OP1(0x8b), XO_MOV_M = OP1(0x89), XO_MOV8_M = OP1(0x88),
    XO_LEA = OP1(0x8d), XO_XCHG8 = OP1(0x86),
    XO_MOVZX8 = OP2(0xb6), XO_MOVZX16 = OP2(0xb7), XO_MOVSXD = OP1(0x63),
    XO_AND_I = OP1GI(0x81, 4, 4), XO_CMP_I = OP1GI(0x81, 7, 4), XO_MOV_I = OP1GI(0xc7, 0, 4),
    XO_MOV16_I = OP1GI(0xc7, 0, 2),
    XO_ADD_I8 = OP1GI(0x83, 0, 1), XO_AND_I8 = OP1GI(0x83, 4, 1), XO_SUB_I8 = OP1GI(0x83, 5, 1),
    XO_CMP_I8 = OP1GI(0x83, 7, 1), XO_OR_I8 = OP1GI(0x83, 1, 1),
    XO_OR8_I = OP1GI(0x80, 1, 1), XO_AND8_I = OP1GI(0x80, 4, 1), XO_CMP8_I = OP1GI(0x80, 7, 1),
    XO_TEST8_I = OP1GI(0xf6, 0, 1), XO_TEST_I = OP1GI(0xf7, 0, 4), XO_MOV8_I = OP1GI(0xc6, 0, 1),
    XO_SHL_I8 = OP1GI(0xc1, 4, 1), XO_SHR_I8 = OP1GI(0xc1, 5, 1), XO_SAR_I8 = OP1GI(0xc1, 7, 1),
    XO_NOT = OP1G(0xf7, 2), XO_DIV = OP1G(0xf7, 6), XO_IDIV = OP1G(0xf7, 7),
    XO_INCDEC = OP1G(0xff, 0), XO_CALL = OP1G(0xff, 2), XO_JMP = OP1G(0xff, 4),
    XO_CMPXCHG8B = OP2G(0xc7, 1), XO_SETO = OP2G(0x90, 0),
    XO_LFENCE = OP2G(0xae, 5), XO_MFENCE = OP2G(0xae, 6), XO_SFENCE = OP2G(0xae, 7), /* of rm 0 */
    /* the register is in the opcode: emit_o() */
    XO_PUSH = OP1(0x50), XO_POP = OP1(0x58), XO_MOV8_O = OP1(0xb0), XO_MOV_O = OP1(0xb8),
    XO_BSWAP = OP2(0xc8),
    /* no operands, or fixed ones: emit_op() */
    XO_RDTSC = OP2(0x31), XO_LAHF = OP1(0x9f), XO_SAHF = OP1(0x9e), XO_RET = OP1(0xc3), XO_NOP = OP1(0x90),
    XO_ADD_AL = OP1GI(0x04, 0, 1), XO_JMP_REL = OP1(0xe9), XO_JRCXZ = OP1(0xe3), XO_JCC = OP2(0x80),
    XO_MOVS8 = OP1(0xa4), XO_STOS8 = OP1(0xaa), /* the wider ones come behind them: emit_rep() */
};

/* [base + index << scale + disp]; base and index may be H_NONE. */
struct host_mem {
    uint8_t base, index, scale;
    int32_t disp;
};

static inline struct host_mem host_mem(unsigned base, int32_t disp)
{
    return (struct host_mem){(uint8_t)base, H_NONE, 0, disp};
}

static inline struct host_mem host_mem_indexed(unsigned base, unsigned index, unsigned scale,
                                               int32_t disp)
{
    return (struct host_mem){(uint8_t)base, (uint8_t)index, (uint8_t)scale, disp};
}

/* ---- pieces ---- */

static inline void emit8(struct emit *e, unsigned v)
{
    *e->w++ = (uint8_t)v;
}

static inline void emit_bytes(struct emit *e, const void *bytes, unsigned len)
{
    for (unsigned n = 0; n < len; n++)
        emit8(e, ((const uint8_t *)bytes)[n]);
}

static inline void emit32(struct emit *e, uint32_t v)
{
    emit_bytes(e, &v, 4);
}

static inline uint8_t *emit_here(const struct emit *e)
{
    return e->w + e->run_offset;
}

/* The opcode itself: escape and byte; plus is added to the latter. */
static inline void emit_op_plus(struct emit *e, unsigned op, unsigned plus)
{
    if (op >> 8 & 15)
        emit8(e, ESCAPE_0F);
    emit8(e, (op & 0xff) + plus);
}

static inline void emit_op(struct emit *e, unsigned op)
{
    emit_op_plus(e, op, 0);
}

static inline unsigned emit_digit(unsigned op)
{
    return op >> 12 & 7;
}

/* What belongs to op; what is above is dropped. */
static inline void emit_imm(struct emit *e, unsigned op, uint64_t imm)
{
    emit_bytes(e, &imm, op >> 16);
}

static inline void emit_rex(struct emit *e, bool always, enum emit_width w, unsigned reg,
                            unsigned index, unsigned base)
{
    unsigned rex = (w == W64) << 3 | (reg > 7) << 2 | (index != H_NONE && index > 7) << 1 |
                   (base != H_NONE && base > 7);

    if (rex || always)
        emit8(e, 0x40 | rex);
}

static inline void emit_modrm_reg(struct emit *e, unsigned reg, unsigned rm)
{
    emit8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

/* ModRM, SIB and displacement, the shortest that there is */
static inline void emit_modrm(struct emit *e, unsigned reg, struct host_mem a)
{
    unsigned r = (reg & 7) << 3, index = a.index == H_NONE ? 4 : a.index & 7;

    if (a.base == H_NONE) {
        emit8(e, r | 4);
        emit8(e, (unsigned)a.scale << 6 | index << 3 | 5);
        emit32(e, (uint32_t)a.disp);
        return;
    }
    unsigned base = a.base & 7;
    unsigned mod = a.disp == 0 && base != 5 ? 0 : a.disp == (int8_t)a.disp ? 0x40 : 0x80;

    if (a.index != H_NONE || base == 4) {
        emit8(e, mod | r | 4);
        emit8(e, (unsigned)a.scale << 6 | index << 3 | base);
    } else {
        emit8(e, mod | r | base);
    }
    if (mod == 0x40)
        emit8(e, (uint8_t)a.disp);
    else if (mod == 0x80)
        emit32(e, (uint32_t)a.disp);
}

/* ---- forms ---- */

/* Register and memory. */
static inline void emit_rm(struct emit *e, unsigned op, enum emit_width w, unsigned reg,
                           struct host_mem a)
{
    if (w == W16)
        emit8(e, PREFIX_OPSIZE);
    emit_rex(e, false, w, reg, a.index, a.base);
    emit_op(e, op);
    emit_modrm(e, reg, a);
}

/* Memory alone. */
static inline void emit_m(struct emit *e, unsigned op, enum emit_width w, struct host_mem a)
{
    emit_rm(e, op, w, emit_digit(op), a);
}

/* Memory and an immediate. */
static inline void emit_mi(struct emit *e, unsigned op, enum emit_width w, struct host_mem a,
                           uint64_t imm)
{
    emit_m(e, op, w, a);
    emit_imm(e, op, imm);
}

/* Two registers, ModRM.reg and ModRM.rm. There is a REX prefix in any case. */
static inline void emit_rr(struct emit *e, unsigned op, enum emit_width w, unsigned reg,
                           unsigned rm)
{
    emit_rex(e, true, w, reg, H_NONE, rm);
    emit_op(e, op);
    emit_modrm_reg(e, reg, rm);
}

/* A register alone. */
static inline void emit_r(struct emit *e, unsigned op, enum emit_width w, unsigned rm)
{
    emit_rex(e, false, w, 0, H_NONE, rm);
    emit_op(e, op);
    emit_modrm_reg(e, emit_digit(op), rm);
}

/* A register and an immediate. */
static inline void emit_ri(struct emit *e, unsigned op, enum emit_width w, unsigned rm,
                           uint64_t imm)
{
    emit_r(e, op, w, rm);
    emit_imm(e, op, imm);
}

/* A register that the opcode names. */
static inline void emit_o(struct emit *e, unsigned op, enum emit_width w, unsigned reg)
{
    emit_rex(e, false, w, 0, H_NONE, reg);
    emit_op_plus(e, op, reg & 7);
}

/* AL and an immediate. */
static inline void emit_al_imm(struct emit *e, unsigned op, unsigned imm)
{
    emit_op(e, op);
    emit_imm(e, op, imm);
}

/* XO_MOVS8 or XO_STOS8, or what they are for this size (1 to 8), RCX times. */
static inline void emit_rep(struct emit *e, unsigned op, unsigned size)
{
    if (size == 2)
        emit8(e, PREFIX_OPSIZE);
    emit8(e, PREFIX_REP);
    emit_rex(e, false, emit_width(size == 8), 0, H_NONE, 0);
    emit_op_plus(e, op, size > 1);
}

/* A VEX prefix of three bytes and the opcode; base is a register or part of an address. */
static inline void emit_vex(struct emit *e, unsigned map, unsigned pp, bool w, unsigned opcode,
                            unsigned reg, unsigned vvvv, unsigned base, unsigned index)
{
    unsigned x = index != H_NONE && index > 7;

    emit8(e, 0xc4);
    emit8(e, (reg < 8) << 7 | !x << 6 | (base < 8) << 5 | map);
    emit8(e, (unsigned)w << 7 | (~vvvv & 15) << 3 | pp);
    emit8(e, opcode);
}

/* ---- often used ---- */

static inline void emit_load(struct emit *e, unsigned reg, unsigned base, int32_t disp)
{
    emit_rm(e, XO_MOV, W64, reg, host_mem(base, disp));
}

static inline void emit_store(struct emit *e, unsigned reg, unsigned base, int32_t disp)
{
    emit_rm(e, XO_MOV_M, W64, reg, host_mem(base, disp));
}

static inline void emit_lea(struct emit *e, unsigned reg, unsigned base, unsigned index,
                            unsigned scale, int32_t disp)
{
    emit_rm(e, XO_LEA, W64, reg, host_mem_indexed(base, index, scale, disp));
}

/* 32 bits: the sum wraps, and the upper half is cleared */
static inline void emit_lea32(struct emit *e, unsigned reg, unsigned base, unsigned index,
                              unsigned scale, int32_t disp)
{
    emit_rm(e, XO_LEA, W32, reg, host_mem_indexed(base, index, scale, disp));
}

/* mov to, from */
static inline void emit_move_sized(struct emit *e, unsigned to, unsigned from, enum emit_width w)
{
    emit_rr(e, XO_MOV_M, w, from, to);
}

static inline void emit_move(struct emit *e, unsigned to, unsigned from)
{
    emit_move_sized(e, to, from, W64);
}

/* mov reg, value, the shortest way; flags stay */
static inline void emit_const(struct emit *e, unsigned reg, uint64_t value)
{
    if (value == (uint32_t)value) {
        emit_o(e, XO_MOV_O, W32, reg);
        emit32(e, (uint32_t)value);
    } else if (value == (uint64_t)(int64_t)(int32_t)value) {
        emit_ri(e, XO_MOV_I, W64, reg, value);
    } else {
        emit_o(e, XO_MOV_O, W64, reg);
        emit_bytes(e, &value, 8);
    }
}

/* mov reg, value, 8 bits; with a REX prefix 4 to 7 are SPL to DIL. */
static inline void emit_const8(struct emit *e, unsigned reg, unsigned value)
{
    emit_rex(e, true, W32, 0, H_NONE, reg);
    emit_op_plus(e, XO_MOV8_O, reg & 7);
    emit8(e, value);
}

static inline void emit_bswap(struct emit *e, unsigned reg, enum emit_width w)
{
    emit_rex(e, true, w, 0, H_NONE, reg);
    emit_op_plus(e, XO_BSWAP, reg & 7);
}

static inline void emit_pause(struct emit *e)
{
    emit8(e, PREFIX_REP);
    emit_op(e, XO_NOP);
}

static inline void emit_push(struct emit *e, unsigned reg)
{
    emit_o(e, XO_PUSH, W32, reg);
}

static inline void emit_pop(struct emit *e, unsigned reg)
{
    emit_o(e, XO_POP, W32, reg);
}

/* Arithmetic flags to AX in the form of x86_cpu.af, and back; the rest of rax is lost. */
static inline void emit_ax_from_flags(struct emit *e)
{
    emit_op(e, XO_LAHF);
    emit_r(e, XO_SETO, W32, H_RAX); /* al */
}

static inline void emit_flags_from_ax(struct emit *e)
{
    emit_al_imm(e, XO_ADD_AL, 0x7f); /* OF */
    emit_op(e, XO_SAHF);             /* the others */
}

/* mov [base + disp], ax; movzx eax, word [base + disp]. base is r8 to r15. */
static inline void emit_store_ax(struct emit *e, unsigned base, int32_t disp)
{
    emit_rm(e, XO_MOV_M, W16, H_RAX, host_mem(base, disp));
}

static inline void emit_load_ax(struct emit *e, unsigned base, int32_t disp)
{
    emit_rm(e, XO_MOVZX16, W32, H_RAX, host_mem(base, disp));
}

/* ---- jumps, and addresses relative to RIP ---- */

static inline void emit_rel32(struct emit *e, const uint8_t *target)
{
    emit32(e, (uint32_t)(int32_t)(target - (emit_here(e) + 4)));
}

/* lea reg, [rip + ...]: the address of what is within 2 GiB of the code */
static inline void emit_lea_rip(struct emit *e, unsigned reg, const void *of)
{
    emit_rex(e, false, W64, reg, H_NONE, 0);
    emit_op(e, XO_LEA);
    emit8(e, (reg & 7) << 3 | 5);
    emit_rel32(e, of);
}

static inline void emit_jmp(struct emit *e, const uint8_t *target)
{
    emit_op(e, XO_JMP_REL);
    emit_rel32(e, target);
}

static inline void emit_jmp_mem(struct emit *e, unsigned base, int32_t disp)
{
    emit_m(e, XO_JMP, W32, host_mem(base, disp));
}

/* Forward branches return where their displacement is, emit_patch() aims it at here. */
static inline uint8_t *emit_jmp_forward(struct emit *e)
{
    emit_op(e, XO_JMP_REL);
    emit32(e, 0);
    return e->w - 4;
}

static inline uint8_t *emit_jcc_forward(struct emit *e, unsigned cc)
{
    emit_op_plus(e, XO_JCC, cc);
    emit32(e, 0);
    return e->w - 4;
}

static inline void emit_patch(struct emit *e, uint8_t *where)
{
    int32_t rel = (int32_t)(e->w - (where + 4));

    __builtin_memcpy(where, &rel, 4);
}

/* The same for JRCXZ, which leaves the flags alone and reaches 127 bytes. */
static inline uint8_t *emit_jrcxz_forward(struct emit *e)
{
    emit_op(e, XO_JRCXZ);
    emit8(e, 0);
    return e->w - 1;
}

static inline void emit_patch8(struct emit *e, uint8_t *where)
{
    *where = (uint8_t)(e->w - (where + 1));
}

#endif
