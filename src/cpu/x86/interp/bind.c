/* SPDX-License-Identifier: MIT */
/* From a decoded instruction to a bound one: fills in what all forms share, checks that the CPU
 * offers the instruction, and asks the operation's family for the function. And the analysis of
 * operands that the families of interp/ share. */
#include "cpu/x86/cpuid.h"
#include "cpu/x86/interp/interp.h"

/* The address is computed by insn_ea_offset(). */
static void bind_slow_address(const struct x86_decoded *d, struct insn *i)
{
    i->flags |= INSN_EA_SLOW;
    if (d->base == X86_BASE_RIP) {
        i->flags |= INSN_EA_RIP;
        i->base = REG_BLOCK_RIP;
    }
    if (d->asize == 4)
        i->flags |= INSN_EA_ADDR32;
    else if (d->asize == 2)
        i->flags |= INSN_EA_ADDR16;
    /* Narrow addresses wrap, so the low half of disp says it all. */
    i->disp = (int32_t)d->disp;
    if (d->asize == 8 && d->disp != i->disp) { /* moffs64 */
        i->flags |= INSN_EA_ABS;
        i->imm = (uint64_t)d->disp;
    }
}

static void bind_address(const struct x86_cpu *c, const struct x86_decoded *d, struct insn *i)
{
    int64_t disp = d->disp;

    if (d->seg == X86_SS)
        i->flags |= INSN_EA_STACK;
    if (d->base < 16)
        i->base = d->base;
    if (d->index < 16 && !d->vsib)
        i->index = d->index;
    i->scale = d->scale;
    if (d->base == X86_BASE_RIP)
        disp += i->off + i->len;
    if (!in_64bit(c) || d->asize != 8 || disp != (int32_t)disp) {
        bind_slow_address(d, i);
        return;
    }
    i->disp = (int32_t)disp;
    if (d->base == X86_BASE_RIP)
        i->base = REG_BLOCK_RIP;
}

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

static insn_bind_fn *const families[X86_FAMILY_COUNT] = {
    [X86_FAMILY_MOV] = mov_bind,       [X86_FAMILY_ALU] = alu_bind,
    [X86_FAMILY_FLOW] = flow_bind,     [X86_FAMILY_STACK] = stack_bind,
    [X86_FAMILY_COND] = cond_bind,     [X86_FAMILY_SHIFT] = shift_bind,
    [X86_FAMILY_MULDIV] = muldiv_bind, [X86_FAMILY_BIT] = bit_bind,
    [X86_FAMILY_BMI] = bmi_bind,       [X86_FAMILY_ATOMIC] = atomic_bind,
    [X86_FAMILY_STRING] = string_bind, [X86_FAMILY_MISC] = misc_bind,
    [X86_FAMILY_BCD] = bcd_bind,       [X86_FAMILY_SYSTEM] = bind_system,
    [X86_FAMILY_FPU] = bind_fpu,       [X86_FAMILY_FPU_STATE] = bind_fpu,
};

bool insn_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
               struct insn *i)
{
    i->fn = insn_undefined;
    i->imm = d->imm;
    i->disp = 0;
    i->base = REG_ZERO;
    i->index = REG_ZERO;
    i->scale = 0;
    i->seg = d->seg < EA_BASE_COUNT ? d->seg : X86_DS;
    i->reg = d->reg;
    i->rm = d->rm;
    i->vreg = d->vvvv;
    i->flags = 0;
    i->len = d->len;
    i->aux = 0;
    if (d->prefixes & X86_PREFIX_LOCK)
        i->flags |= INSN_LOCK;
    if (d->prefixes & X86_PREFIX_REP)
        i->flags |= INSN_REP;
    if (d->prefixes & X86_PREFIX_REPNE)
        i->flags |= INSN_REPNE;
    if (d->has_mem)
        bind_address(c, d, i);
    if (!c->vm->cpuid->feature[d->feature] && d->feature != X86_FEATURE_BASE)
        return true; /* not offered: #UD, as bound above */
    if (families[d->info->family](c, d, bytes, i))
        return true;
    i->fn = insn_undefined;
    return false;
}
