/* SPDX-License-Identifier: MIT */
/* Addition, subtraction and logic: ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NEG NOT. */
#include "cpu/x86/interp/interp.h"

/* dst = dst OP src on the host; f: the flags. con is "+r" or "+m". */
#define EXEC2(lock, op, bits, K, dst, con, src)                                                    \
    __asm__(K##_PRE lock #op SFX##bits " %[s], %[d]" FLAGS_SAVE                                    \
            : [d] con(dst), "=&a"(f)                                                               \
            : [s] "r"(src) K##_IN)
#define EXEC1(lock, op, bits, K, dst, con)                                                         \
    __asm__(K##_PRE lock #op SFX##bits " %[d]" FLAGS_SAVE                                          \
            : [d] con(dst), "=&a"(f)                                                               \
            : [unused] "i"(0) K##_IN)
#define EXEC_NOT(lock, bits, dst, con) __asm__(lock "not" SFX##bits " %[d]" : [d] con(dst))

#define REG_SRC(bits) R##bits(i->reg)
#define IMM_SRC(bits) ((uint##bits##_t)i->imm)

/* register OP= SRC */
#define ALU_R(name, op, bits, K, SRC)                                                              \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint##bits##_t d = R##bits(i->rm), s = SRC(bits);                                          \
        uint16_t f;                                                                                \
                                                                                                   \
        EXEC2("", op, bits, K, d, "+r", s);                                                        \
        SET_R##bits(i->rm, d);                                                                     \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
/* register OP= memory */
#define ALU_RM(op, bits, K)                                                                        \
    INSN(op##bits##_rm)                                                                            \
    {                                                                                              \
        uint##bits##_t d, s;                                                                       \
        uint16_t f;                                                                                \
                                                                                                   \
        LOAD(bits, s);                                                                             \
        d = R##bits(i->reg);                                                                       \
        EXEC2("", op, bits, K, d, "+r", s);                                                        \
        SET_R##bits(i->reg, d);                                                                    \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
/* memory OP= SRC; HOW is RMW_AT or LOCKED_AT */
#define ALU_M(name, op, bits, K, SRC, HOW, lock)                                                   \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint##bits##_t s;                                                                          \
        uint64_t va;                                                                               \
        uint16_t f;                                                                                \
                                                                                                   \
        INSN_EA(va, bits / 8, true);                                                               \
        s = SRC(bits);                                                                             \
        HOW(bits, va, EXEC2(lock, op, bits, K, *p, "+m", s),                                       \
            EXEC2("", op, bits, K, v, "+r", s));                                                   \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
#define ALU_WRITE(op, bits, K)                                                                     \
    ALU_R(op##bits##_rr, op, bits, K, REG_SRC)                                                     \
    ALU_RM(op, bits, K)                                                                            \
    ALU_M(op##bits##_mr, op, bits, K, REG_SRC, RMW_AT, "")                                         \
    ALU_R(op##bits##_ri, op, bits, K, IMM_SRC)                                                     \
    ALU_M(op##bits##_mi, op, bits, K, IMM_SRC, RMW_AT, "")                                         \
    ALU_M(op##bits##_lmr, op, bits, K, REG_SRC, LOCKED_AT, "lock ")                                \
    ALU_M(op##bits##_lmi, op, bits, K, IMM_SRC, LOCKED_AT, "lock ")

/* The same where only the flags are wanted. */
#define ALU_CMP_R(name, op, bits, SRC)                                                             \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint##bits##_t d = R##bits(i->rm), s = SRC(bits);                                          \
        uint16_t f;                                                                                \
                                                                                                   \
        EXEC2("", op, bits, PLAIN, d, "+r", s);                                                    \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
#define ALU_CMP_M(name, op, bits, SRC)                                                             \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint##bits##_t d, s;                                                                       \
        uint16_t f;                                                                                \
                                                                                                   \
        LOAD(bits, d);                                                                             \
        s = SRC(bits);                                                                             \
        EXEC2("", op, bits, PLAIN, d, "+r", s);                                                    \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
#define ALU_CMP_RM(op, bits)                                                                       \
    INSN(op##bits##_rm)                                                                            \
    {                                                                                              \
        uint##bits##_t d, s;                                                                       \
        uint16_t f;                                                                                \
                                                                                                   \
        LOAD(bits, s);                                                                             \
        d = R##bits(i->reg);                                                                       \
        EXEC2("", op, bits, PLAIN, d, "+r", s);                                                    \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
#define ALU_CMP(op, bits, unused)                                                                  \
    ALU_CMP_R(op##bits##_rr, op, bits, REG_SRC)                                                    \
    ALU_CMP_RM(op, bits)                                                                           \
    ALU_CMP_M(op##bits##_mr, op, bits, REG_SRC)                                                    \
    ALU_CMP_R(op##bits##_ri, op, bits, IMM_SRC)                                                    \
    ALU_CMP_M(op##bits##_mi, op, bits, IMM_SRC)

#define SIZES(KIND, op, K) KIND(op, 8, K) KIND(op, 16, K) KIND(op, 32, K) KIND(op, 64, K)

SIZES(ALU_WRITE, add, PLAIN)
SIZES(ALU_WRITE, or, PLAIN)
SIZES(ALU_WRITE, adc, CARRY)
SIZES(ALU_WRITE, sbb, CARRY)
SIZES(ALU_WRITE, and, PLAIN)
SIZES(ALU_WRITE, sub, PLAIN)
SIZES(ALU_WRITE, xor, PLAIN)
SIZES(ALU_CMP, cmp, PLAIN)
SIZES(ALU_CMP, test, PLAIN)

/* One operand. INC and DEC keep CF: it goes in by the carry and comes out again. */
#define ALU1_M(name, op, bits, K, HOW, lock)                                                       \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint64_t va;                                                                               \
        uint16_t f;                                                                                \
                                                                                                   \
        INSN_EA(va, bits / 8, true);                                                               \
        HOW(bits, va, EXEC1(lock, op, bits, K, *p, "+m"), EXEC1("", op, bits, K, v, "+r"));        \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
#define ALU1(op, bits, K)                                                                          \
    INSN(op##bits##_r)                                                                             \
    {                                                                                              \
        uint##bits##_t d = R##bits(i->rm);                                                         \
        uint16_t f;                                                                                \
                                                                                                   \
        EXEC1("", op, bits, K, d, "+r");                                                           \
        SET_R##bits(i->rm, d);                                                                     \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    ALU1_M(op##bits##_m, op, bits, K, RMW_AT, "")                                                  \
    ALU1_M(op##bits##_lm, op, bits, K, LOCKED_AT, "lock ")

SIZES(ALU1, inc, CARRY)
SIZES(ALU1, dec, CARRY)
SIZES(ALU1, neg, PLAIN)

#define NOT_M(name, bits, HOW, lock)                                                               \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint64_t va;                                                                               \
                                                                                                   \
        INSN_EA(va, bits / 8, true);                                                               \
        HOW(bits, va, EXEC_NOT(lock, bits, *p, "+m"), v = (uint##bits##_t)~v);                     \
        NEXT;                                                                                      \
    }
#define NOT(bits)                                                                                  \
    INSN(not##bits##_r)                                                                            \
    {                                                                                              \
        SET_R##bits(i->rm, ~R##bits(i->rm));                                                       \
        NEXT;                                                                                      \
    }                                                                                              \
    NOT_M(not##bits##_m, bits, RMW_AT, "")                                                         \
    NOT_M(not##bits##_lm, bits, LOCKED_AT, "lock ")

NOT(8) NOT(16) NOT(32) NOT(64)

/* ---- tables: by operation, form (with LOCK: the two rows behind) and size ---- */

enum { LOCKED_MR = FORM_MI + 1, LOCKED_MI, ALU2_FORMS };
enum { ALU1_R, ALU1_MEM, ALU1_LOCKED, ALU1_FORMS };

#define FORM_SIZES(op, form) { op##8_##form, op##16_##form, op##32_##form, op##64_##form }
#define CMP_ROW(op)                                                                                \
    [FORM_RR] = FORM_SIZES(op, rr), [FORM_RM] = FORM_SIZES(op, rm),                                \
    [FORM_MR] = FORM_SIZES(op, mr), [FORM_RI] = FORM_SIZES(op, ri),                                \
    [FORM_MI] = FORM_SIZES(op, mi)
#define WRITE_ROW(op)                                                                              \
    CMP_ROW(op), [LOCKED_MR] = FORM_SIZES(op, lmr), [LOCKED_MI] = FORM_SIZES(op, lmi)
#define ONE_ROW(op)                                                                                \
    [ALU1_R] = FORM_SIZES(op, r), [ALU1_MEM] = FORM_SIZES(op, m),                                  \
    [ALU1_LOCKED] = FORM_SIZES(op, lm)

static insn_fn *const add_fn[ALU2_FORMS][4] = { WRITE_ROW(add) };
static insn_fn *const or_fn[ALU2_FORMS][4] = { WRITE_ROW(or) };
static insn_fn *const adc_fn[ALU2_FORMS][4] = { WRITE_ROW(adc) };
static insn_fn *const sbb_fn[ALU2_FORMS][4] = { WRITE_ROW(sbb) };
static insn_fn *const and_fn[ALU2_FORMS][4] = { WRITE_ROW(and) };
static insn_fn *const sub_fn[ALU2_FORMS][4] = { WRITE_ROW(sub) };
static insn_fn *const xor_fn[ALU2_FORMS][4] = { WRITE_ROW(xor) };
static insn_fn *const cmp_fn[ALU2_FORMS][4] = { CMP_ROW(cmp) };
static insn_fn *const test_fn[ALU2_FORMS][4] = { CMP_ROW(test) };
static insn_fn *const inc_fn[ALU1_FORMS][4] = { ONE_ROW(inc) };
static insn_fn *const dec_fn[ALU1_FORMS][4] = { ONE_ROW(dec) };
static insn_fn *const neg_fn[ALU1_FORMS][4] = { ONE_ROW(neg) };
static insn_fn *const not_fn[ALU1_FORMS][4] = { ONE_ROW(not) };

static bool bind2(const struct x86_decoded *d, struct insn *i, insn_fn *const table[][4])
{
    unsigned form = insn_form(d, i);

    if (form > FORM_MI)
        return false;
    if (i->flags & INSN_LOCK)
        form = form == FORM_MR ? LOCKED_MR : LOCKED_MI;
    i->fn = table[form][size_index(d->operand[0].size)];
    return i->fn != NULL;
}

static bool bind1(const struct x86_decoded *d, struct insn *i, insn_fn *const table[][4])
{
    unsigned form = insn_form(d, i);

    if (form != FORM_R && form != FORM_M)
        return false;
    form = form == FORM_R ? ALU1_R : i->flags & INSN_LOCK ? ALU1_LOCKED : ALU1_MEM;
    i->fn = table[form][size_index(d->operand[0].size)];
    return true;
}

bool alu_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
              struct insn *i)
{
    switch (d->op) {
    case X86_OP_ADD: return bind2(d, i, add_fn);
    case X86_OP_OR: return bind2(d, i, or_fn);
    case X86_OP_ADC: return bind2(d, i, adc_fn);
    case X86_OP_SBB: return bind2(d, i, sbb_fn);
    case X86_OP_AND: return bind2(d, i, and_fn);
    case X86_OP_SUB: return bind2(d, i, sub_fn);
    case X86_OP_XOR: return bind2(d, i, xor_fn);
    case X86_OP_CMP: return bind2(d, i, cmp_fn);
    case X86_OP_TEST: return bind2(d, i, test_fn);
    case X86_OP_INC: return bind1(d, i, inc_fn);
    case X86_OP_DEC: return bind1(d, i, dec_fn);
    case X86_OP_NEG: return bind1(d, i, neg_fn);
    case X86_OP_NOT: return bind1(d, i, not_fn);
    default: return false;
    }
}
