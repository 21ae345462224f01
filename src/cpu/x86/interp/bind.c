/* SPDX-License-Identifier: MIT */
/* From a decoded instruction to a bound one: fills in what all forms share, checks that the CPU
 * offers the instruction, and asks the operation's family for the function. */
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

static insn_bind_fn *family(const struct x86_decoded *d)
{
    if (d->info->attr & (X86_ATTR_X87 | X86_ATTR_MMX | X86_ATTR_SSE | X86_ATTR_AVX))
        return bind_fpu;
#define SYSTEM_CASE(id, name, feature, family, attr, used, set, undefined) case X86_OP_##id:
    switch (d->op) {
    case X86_OP_XSAVE: case X86_OP_XRSTOR: case X86_OP_XSAVEOPT: case X86_OP_XSAVEC:
    case X86_OP_FXSAVE: case X86_OP_FXRSTOR:
        return bind_fpu;
    default:
        break;
    }
    switch (d->op) {
    X86_OPS_SYSTEM(SYSTEM_CASE)
    case X86_OP_PUSH_SEG: case X86_OP_POP_SEG: case X86_OP_MOV_TO_SEG: case X86_OP_MOV_FROM_SEG:
    case X86_OP_LES: case X86_OP_LDS: case X86_OP_LSS: case X86_OP_LFS: case X86_OP_LGS:
    case X86_OP_ARPL: case X86_OP_IN: case X86_OP_OUT: case X86_OP_INS: case X86_OP_OUTS:
    case X86_OP_JMP_FAR: case X86_OP_JMP_FAR_IND: case X86_OP_CALL_FAR:
    case X86_OP_CALL_FAR_IND: case X86_OP_RET_FAR: case X86_OP_INT: case X86_OP_INT1:
    case X86_OP_INT3: case X86_OP_INTO: case X86_OP_IRET: case X86_OP_SYSCALL:
    case X86_OP_SYSRET: case X86_OP_SYSENTER: case X86_OP_SYSEXIT: case X86_OP_RSM:
        return bind_system;
    default:
        return bind_integer;
    }
#undef SYSTEM_CASE
}

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
    if (family(d)(c, d, bytes, i))
        return true;
    i->fn = insn_undefined;
    return false;
}
