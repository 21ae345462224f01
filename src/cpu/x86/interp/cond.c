/* SPDX-License-Identifier: MIT */
/* Conditions and flags: SETcc CMOVcc LAHF SAHF CMC CLC STC CLD STD SALC. */
#include "cpu/x86/interp/interp.h"

#define SETCC_R(cond, cc)                                                                          \
    INSN(set##cond##_r)                                                                            \
    {                                                                                              \
        SET_R8(i->rm, cond_true(c->af, cc));                                                       \
        NEXT;                                                                                      \
    }
FOR_CONDITIONS(SETCC_R)

INSN(setcc_m)
{
    uint8_t v = cond_true(c->af, i->aux);

    STORE(8, v);
    NEXT;
}

/* A 32-bit CMOV clears the upper half whether it moves or not. */
#define CMOV_RR(bits, cond, cc)                                                                    \
    INSN(cmov##cond##bits##_rr)                                                                    \
    {                                                                                              \
        SET_R##bits(i->rm, cond_true(c->af, cc) ? R##bits(i->reg) : R##bits(i->rm));               \
        NEXT;                                                                                      \
    }
#define CMOV32_RR(cond, cc) CMOV_RR(32, cond, cc)
#define CMOV64_RR(cond, cc) CMOV_RR(64, cond, cc)
FOR_CONDITIONS(CMOV32_RR)
FOR_CONDITIONS(CMOV64_RR)

INSN(cmovcc16_rr)
{
    if (cond_true(c->af, i->aux))
        SET_R16(i->rm, R16(i->reg));
    NEXT;
}

#define CMOV_RM(bits)                                                                              \
    INSN(cmovcc##bits##_rm)                                                                        \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
                                                                                                   \
        LOAD(bits, v);                                                                             \
        if (!cond_true(c->af, i->aux))                                                             \
            v = R##bits(i->reg);                                                                   \
        SET_R##bits(i->reg, v);                                                                    \
        NEXT;                                                                                      \
    }
CMOV_RM(16) CMOV_RM(32) CMOV_RM(64)

#define FLAG_INSN(name, statement)                                                                 \
    INSN(name)                                                                                     \
    {                                                                                              \
        statement;                                                                                 \
        NEXT;                                                                                      \
    }
FLAG_INSN(cmc, c->af ^= AF_CF)
FLAG_INSN(clc, c->af &= (uint16_t)~AF_CF)
FLAG_INSN(stc, c->af |= AF_CF)
FLAG_INSN(cld, c->rflags &= ~(uint64_t)X86_FLAG_DF)
FLAG_INSN(std, c->rflags |= X86_FLAG_DF)
FLAG_INSN(lahf, SET_R8(REG8_AH, (af_to_rflags(c->af) & 0xd5) | X86_FLAG_1))
FLAG_INSN(sahf, c->af = (uint16_t)((c->af & AF_OF) | (R8(REG8_AH) & 0xd5u) << 8))
FLAG_INSN(salc, SET_R8(REG8_AL, c->af & AF_CF ? 0xff : 0))

#define SET_ENTRY(cond, cc) [cc] = set##cond##_r,
#define CMOV32_ENTRY(cond, cc) [cc] = cmov##cond##32_rr,
#define CMOV64_ENTRY(cond, cc) [cc] = cmov##cond##64_rr,

static bool cond_bind_setcc(const struct x86_decoded *d, struct insn *i)
{
    static insn_fn *const reg[16] = { FOR_CONDITIONS(SET_ENTRY) };

    i->aux = d->opcode & 15;
    i->fn = insn_form(d, i) == FORM_M ? setcc_m : reg[i->aux];
    return true;
}

static bool cond_bind_cmov(const struct x86_decoded *d, struct insn *i)
{
    static insn_fn *const r32[16] = { FOR_CONDITIONS(CMOV32_ENTRY) };
    static insn_fn *const r64[16] = { FOR_CONDITIONS(CMOV64_ENTRY) };
    static insn_fn *const mem[] = { cmovcc16_rm, cmovcc32_rm, cmovcc64_rm };
    unsigned size = d->operand[0].size;

    i->aux = d->opcode & 15;
    if (insn_form(d, i) == FORM_RM)
        i->fn = mem[size_index(size) - 1];
    else
        i->fn = size == 8 ? r64[i->aux] : size == 4 ? r32[i->aux] : cmovcc16_rr;
    return true;
}

bool cond_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
               struct insn *i)
{
    switch (d->op) {
    case X86_OP_SETCC: return cond_bind_setcc(d, i);
    case X86_OP_CMOVCC: return cond_bind_cmov(d, i);
    case X86_OP_CMC: i->fn = cmc; return true;
    case X86_OP_CLC: i->fn = clc; return true;
    case X86_OP_STC: i->fn = stc; return true;
    case X86_OP_CLD: i->fn = cld; return true;
    case X86_OP_STD: i->fn = std; return true;
    case X86_OP_LAHF: i->fn = lahf; return true;
    case X86_OP_SAHF: i->fn = sahf; return true;
    case X86_OP_SALC: i->fn = salc; return true;
    default: return false;
    }
}
