/* SPDX-License-Identifier: MIT */
/* Decimal adjustment: AAA AAS AAM AAD DAA DAS. Not in 64-bit mode, so the host cannot do them;
 * SDM vol. 2A. Undefined flags: those of the last addition or test. */
#include "cpu/x86/interp/interp.h"

/* SF, ZF and PF of a byte, the others clear. */
static uint16_t flags_of(uint8_t v)
{
    uint16_t f;

    __asm__("testb %[v], %[v]" FLAGS_SAVE : "=&a"(f) : [v] "r"(v));
    return f & (AF_SF | AF_ZF | AF_PF);
}

static void ascii_adjust(struct x86_cpu *c, int sign)
{
    uint8_t al = R8(REG8_AL);
    uint16_t f = 0;

    if ((al & 15) > 9 || (c->af & AF_AF)) {
        SET_R16(X86_RAX, R16(X86_RAX) + sign * 6);
        SET_R8(REG8_AH, R8(REG8_AH) + sign);
        f = AF_AF | AF_CF;
    }
    SET_R8(REG8_AL, R8(REG8_AL) & 15);
    c->af = f | flags_of(R8(REG8_AL));
}

static void decimal_adjust(struct x86_cpu *c, int sign)
{
    uint8_t old_al = R8(REG8_AL), al = old_al;
    bool carry = c->af & AF_CF, out = false;
    uint16_t f = 0;

    if ((al & 15) > 9 || (c->af & AF_AF)) {
        out = carry || (sign > 0 ? al > 0xf9 : al < 6);
        al = (uint8_t)(al + sign * 6);
        f |= AF_AF;
    }
    if (old_al > 0x99 || carry) {
        al = (uint8_t)(al + sign * 0x60);
        out = true;
    }
    SET_R8(REG8_AL, al);
    c->af = f | (out ? AF_CF : 0) | flags_of(al);
}

INSN(aaa)
{
    ascii_adjust(c, 1);
    NEXT;
}

INSN(aas)
{
    ascii_adjust(c, -1);
    NEXT;
}

INSN(daa)
{
    decimal_adjust(c, 1);
    NEXT;
}

INSN(das)
{
    decimal_adjust(c, -1);
    NEXT;
}

INSN(aam)
{
    uint8_t base = (uint8_t)i->imm, al = R8(REG8_AL);

    if (base == 0)
        INSN_FAULT(X86_DE, false, 0);
    SET_R8(REG8_AH, al / base);
    SET_R8(REG8_AL, al % base);
    c->af = flags_of(R8(REG8_AL));
    NEXT;
}

INSN(aad)
{
    SET_R8(REG8_AL, R8(REG8_AL) + R8(REG8_AH) * (uint8_t)i->imm);
    SET_R8(REG8_AH, 0);
    c->af = flags_of(R8(REG8_AL));
    NEXT;
}

bool bcd_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
              struct insn *i)
{
    switch (d->op) {
    case X86_OP_AAA: i->fn = aaa; return true;
    case X86_OP_AAS: i->fn = aas; return true;
    case X86_OP_DAA: i->fn = daa; return true;
    case X86_OP_DAS: i->fn = das; return true;
    case X86_OP_AAM: i->fn = aam; return true;
    case X86_OP_AAD: i->fn = aad; return true;
    default: return false;
    }
}
