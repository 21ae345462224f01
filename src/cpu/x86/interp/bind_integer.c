/* SPDX-License-Identifier: MIT */
/* Which file of the integer interpreter knows an operation, and the analysis of operands that
 * they share. */
#include "cpu/x86/interp/interp.h"

enum form insn_form(const struct x86_decoded *d, struct insn *i)
{
    const struct x86_operand *a = &d->operand[0], *b = &d->operand[1];
    bool a_reg = a->kind == X86_OPERAND_GPR, a_mem = a->kind == X86_OPERAND_MEM;

    if (!a_reg && !a_mem)
        return FORM_OTHER;
    if (d->operand_count < 2 || b->kind == X86_OPERAND_NONE) {
        if (a_reg)
            i->rm = reg_code(a);
        return a_reg ? FORM_R : FORM_M;
    }
    switch (b->kind) {
    case X86_OPERAND_GPR:
        i->reg = reg_code(b);
        if (a_reg)
            i->rm = reg_code(a);
        return a_reg ? FORM_RR : FORM_MR;
    case X86_OPERAND_MEM:
        i->reg = reg_code(a);
        return a_reg ? FORM_RM : FORM_OTHER;
    case X86_OPERAND_IMM:
        if (a_reg)
            i->rm = reg_code(a);
        return a_reg ? FORM_RI : FORM_MI;
    default:
        return FORM_OTHER;
    }
}

bool bind_integer(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
                  struct insn *i)
{
    static family_bind_fn *const families[] = {
        mov_bind, alu_bind, flow_bind, stack_bind, cond_bind, shift_bind, muldiv_bind, bit_bind,
        bmi_bind, atomic_bind, string_bind, misc_bind, bcd_bind,
    };

    for (unsigned n = 0; n < ARRAY_SIZE(families); n++) {
        if (families[n](c, d, i))
            return true;
    }
    return false;
}
