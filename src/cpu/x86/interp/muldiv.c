/* SPDX-License-Identifier: MIT */
/* Multiplication and division: MUL IMUL DIV IDIV MULX. Divisions are checked first: the host must
 * never raise #DE. All run with the guest's flags loaded, for the sake of the undefined ones. */
#include "cpu/x86/interp/interp.h"

/* hi:lo = OP on hi:lo and src, through the registers that the host's instruction fixes. */
#define EXEC_WIDE(op, sfx, areg)                                                                   \
    __asm__(FLAGS_LOAD "mov %[lo], %%" areg "\n\t" op sfx " %[s]\n\tmov %%" areg ", %[lo]"         \
            FLAGS_SAVE                                                                             \
            : "+&a"(f), [lo] "+&r"(lo), "+&d"(hi)                                                  \
            : [s] "r"(s))
/* The 8-bit forms have AX for both. */
#define EXEC_BYTE(op)                                                                              \
    __asm__(FLAGS_LOAD "movw %[lo], %%ax\n\t" op "b %[s]\n\tmovw %%ax, %[lo]" FLAGS_SAVE           \
            : "+&a"(f), [lo] "+&r"(lo)                                                             \
            : [s] "r"(s))

static always_inline bool div_ok8(uint16_t n, uint8_t s)
{
    return s > n >> 8;
}

static always_inline bool idiv_ok8(int16_t n, int8_t s)
{
    int32_t q;

    if (s == 0)
        return false;
    q = (int32_t)n / s;
    return q == (int8_t)q;
}

#define DIV_OK(bits)                                                                               \
    static always_inline bool div_ok##bits(uint##bits##_t hi, uint##bits##_t lo, uint##bits##_t s) \
    {                                                                                              \
        return s > hi;                                                                             \
    }
DIV_OK(16) DIV_OK(32) DIV_OK(64)

static always_inline bool idiv_ok16(uint16_t hi, uint16_t lo, uint16_t s)
{
    int64_t n = (int32_t)((uint32_t)hi << 16 | lo), q;

    if (s == 0)
        return false;
    q = n / (int16_t)s;
    return q == (int16_t)q;
}

static always_inline bool idiv_ok32(uint32_t hi, uint32_t lo, uint32_t s)
{
    int64_t n = (int64_t)((uint64_t)hi << 32 | lo), q;

    if (s == 0 || (n == INT64_MIN && s == UINT32_MAX))
        return false;
    q = n / (int32_t)s;
    return q == (int32_t)q;
}

/* By magnitudes: the quotient fits when it is below 2^63, or 2^63 itself and negative. */
static always_inline bool idiv_ok64(uint64_t hi, uint64_t lo, uint64_t s)
{
    bool negative = (hi ^ s) >> 63;
    uint64_t abs_s = s >> 63 ? -s : s, q, r;

    if (hi >> 63) {
        hi = ~hi + (lo == 0);
        lo = -lo;
    }
    if (hi >= abs_s)
        return false;
    __asm__("divq %[s]" : "=a"(q), "=d"(r) : "a"(lo), "d"(hi), [s] "r"(abs_s));
    return q < BIT(63) || (q == BIT(63) && negative);
}

#define ALWAYS_OK(hi, lo, s) true
#define ALWAYS_OK8(n, s) true

/* One operand, the rest in rDX:rAX. */
#define WIDE_BODY(op, bits, areg, OK)                                                              \
    uint##bits##_t lo = R##bits(X86_RAX), hi = R##bits(X86_RDX);                                   \
    uint16_t f = c->af;                                                                            \
                                                                                                   \
    if (unlikely(!OK(hi, lo, s)))                                                                  \
        INSN_FAULT(X86_DE, false, 0);                                                              \
    EXEC_WIDE(#op, SFX##bits, areg);                                                               \
    SET_R##bits(X86_RAX, lo);                                                                      \
    SET_R##bits(X86_RDX, hi);                                                                      \
    c->af = f;                                                                                     \
    NEXT
#define WIDE(op, bits, areg, OK)                                                                   \
    INSN(op##bits##_r)                                                                             \
    {                                                                                              \
        uint##bits##_t s = R##bits(i->rm);                                                         \
        WIDE_BODY(op, bits, areg, OK);                                                             \
    }                                                                                              \
    INSN(op##bits##_m)                                                                             \
    {                                                                                              \
        uint##bits##_t s;                                                                          \
        LOAD(bits, s);                                                                             \
        WIDE_BODY(op, bits, areg, OK);                                                             \
    }
#define BYTE_BODY(op, OK)                                                                          \
    uint16_t lo = R16(X86_RAX);                                                                    \
    uint16_t f = c->af;                                                                            \
                                                                                                   \
    if (unlikely(!OK))                                                                             \
        INSN_FAULT(X86_DE, false, 0);                                                              \
    EXEC_BYTE(#op);                                                                                \
    SET_R16(X86_RAX, lo);                                                                          \
    c->af = f;                                                                                     \
    NEXT
#define BYTE(op, OK)                                                                               \
    INSN(op##8_r)                                                                                  \
    {                                                                                              \
        uint8_t s = R8(i->rm);                                                                     \
        BYTE_BODY(op, OK);                                                                         \
    }                                                                                              \
    INSN(op##8_m)                                                                                  \
    {                                                                                              \
        uint8_t s;                                                                                 \
        LOAD(8, s);                                                                                \
        BYTE_BODY(op, OK);                                                                         \
    }

WIDE(mul, 16, "ax", ALWAYS_OK) WIDE(mul, 32, "eax", ALWAYS_OK) WIDE(mul, 64, "rax", ALWAYS_OK)
WIDE(imul, 16, "ax", ALWAYS_OK) WIDE(imul, 32, "eax", ALWAYS_OK) WIDE(imul, 64, "rax", ALWAYS_OK)
WIDE(div, 16, "ax", div_ok16) WIDE(div, 32, "eax", div_ok32) WIDE(div, 64, "rax", div_ok64)
WIDE(idiv, 16, "ax", idiv_ok16) WIDE(idiv, 32, "eax", idiv_ok32) WIDE(idiv, 64, "rax", idiv_ok64)
BYTE(mul, true) BYTE(imul, true)
BYTE(div, div_ok8(lo, s)) BYTE(idiv, idiv_ok8((int16_t)lo, (int8_t)s))

#define ONE_OPERAND(op)                                                                            \
    static insn_fn *const op##_fn[2][4] = {                                                        \
        { op##8_r, op##16_r, op##32_r, op##64_r }, { op##8_m, op##16_m, op##32_m, op##64_m },      \
    };
ONE_OPERAND(mul) ONE_OPERAND(imul) ONE_OPERAND(div) ONE_OPERAND(idiv)

/* IMUL r, r/m and IMUL r, r/m, imm. */
#define EXEC_IMUL(bits, d, s)                                                                      \
    __asm__(FLAGS_LOAD "imul" SFX##bits " %[s_], %[d_]" FLAGS_SAVE                                 \
            : [d_] "+&r"(d), "+&a"(f)                                                              \
            : [s_] "r"(s))
#define IMUL(bits)                                                                                 \
    INSN(imul##bits##_rr)                                                                          \
    {                                                                                              \
        uint##bits##_t d = R##bits(i->rm), s = R##bits(i->reg);                                    \
        uint16_t f = c->af;                                                                        \
                                                                                                   \
        EXEC_IMUL(bits, d, s);                                                                     \
        SET_R##bits(i->rm, d);                                                                     \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(imul##bits##_rm)                                                                          \
    {                                                                                              \
        uint##bits##_t d, s;                                                                       \
        uint16_t f = c->af;                                                                        \
                                                                                                   \
        LOAD(bits, s);                                                                             \
        d = R##bits(i->reg);                                                                       \
        EXEC_IMUL(bits, d, s);                                                                     \
        SET_R##bits(i->reg, d);                                                                    \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(imul##bits##_rri)                                                                         \
    {                                                                                              \
        uint##bits##_t d = (uint##bits##_t)i->imm, s = R##bits(i->reg);                            \
        uint16_t f = c->af;                                                                        \
                                                                                                   \
        EXEC_IMUL(bits, d, s);                                                                     \
        SET_R##bits(i->rm, d);                                                                     \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(imul##bits##_rmi)                                                                         \
    {                                                                                              \
        uint##bits##_t d = (uint##bits##_t)i->imm, s;                                              \
        uint16_t f = c->af;                                                                        \
                                                                                                   \
        LOAD(bits, s);                                                                             \
        EXEC_IMUL(bits, d, s);                                                                     \
        SET_R##bits(i->reg, d);                                                                    \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
IMUL(16) IMUL(32) IMUL(64)

static bool bind_imul(const struct x86_decoded *d, struct insn *i)
{
#define SIZES(form) { imul16_##form, imul32_##form, imul64_##form }
    static insn_fn *const two[2][3] = { SIZES(rr), SIZES(rm) };
    static insn_fn *const three[2][3] = { SIZES(rri), SIZES(rmi) };
#undef SIZES
    enum form form = insn_form(d, i);
    bool has_imm = d->operand_count >= 3 && d->operand[2].kind == X86_OPERAND_IMM;

    i->fn = (has_imm ? three : two)[form == FORM_RM][size_index(d->operand[0].size) - 1];
    return form == FORM_RR || form == FORM_RM;
}

/* MULX r1, r2, r/m: rDX times the third; high half to r1, low half to r2 (r1 wins if equal). */
#define MULX_BODY(bits, wide)                                                                      \
    wide product = (wide)R##bits(X86_RDX) * s;                                                     \
                                                                                                   \
    SET_R##bits(i->vreg, (uint##bits##_t)product);                                                 \
    SET_R##bits(i->reg, (uint##bits##_t)(product >> bits));                                        \
    NEXT
#define MULX(bits, wide)                                                                           \
    INSN(mulx##bits##_r)                                                                           \
    {                                                                                              \
        uint##bits##_t s = R##bits(i->rm);                                                         \
        MULX_BODY(bits, wide);                                                                     \
    }                                                                                              \
    INSN(mulx##bits##_m)                                                                           \
    {                                                                                              \
        uint##bits##_t s;                                                                          \
        LOAD(bits, s);                                                                             \
        MULX_BODY(bits, wide);                                                                     \
    }
MULX(32, uint64_t) MULX(64, unsigned __int128)

/* The explicit operand is the only one, or the first in front of implicit ones. */
static bool bind_one(const struct x86_decoded *d, struct insn *i, insn_fn *const fn[2][4])
{
    const struct x86_operand *o = &d->operand[0];

    if (!d->has_mem)
        i->rm = reg_code(o);
    i->fn = fn[d->has_mem][size_index(o->size)];
    return true;
}

bool muldiv_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
                 struct insn *i)
{
    static insn_fn *const mulx[2][2] = { { mulx32_r, mulx64_r }, { mulx32_m, mulx64_m } };

    switch (d->op) {
    case X86_OP_MUL: return bind_one(d, i, mul_fn);
    case X86_OP_DIV: return bind_one(d, i, div_fn);
    case X86_OP_IDIV: return bind_one(d, i, idiv_fn);
    case X86_OP_IMUL: /* F6 and F7 are the one-operand forms */
        return (d->opcode & 0xfe) == 0xf6 && d->map == X86_MAP_1 ? bind_one(d, i, imul_fn)
                                                                  : bind_imul(d, i);
    case X86_OP_MULX:
        i->fn = mulx[d->has_mem][d->rex_w];
        return true;
    default:
        return false;
    }
}
