/* SPDX-License-Identifier: MIT */
/* From decoded system instructions to their functions. See insn.h and operand.h. */
#include "cpu/x86/system/operand.h"
#include "cpu/x86/system/ops.h"

#include "cpu/x86/decode/optable.h"

static insn_fn *const table[X86_OP_COUNT] = {
    [X86_OP_JMP_FAR] = op_jmp_far, [X86_OP_JMP_FAR_IND] = op_jmp_far_ind,
    [X86_OP_CALL_FAR] = op_call_far, [X86_OP_CALL_FAR_IND] = op_call_far_ind,
    [X86_OP_RET_FAR] = op_ret_far, [X86_OP_IRET] = op_iret,
    [X86_OP_INT] = op_int, [X86_OP_INT1] = op_int1, [X86_OP_INT3] = op_int3,
    [X86_OP_INTO] = op_into,
    [X86_OP_SYSCALL] = op_syscall, [X86_OP_SYSRET] = op_sysret,
    [X86_OP_SYSENTER] = op_sysenter, [X86_OP_SYSEXIT] = op_sysexit,

    [X86_OP_MOV_TO_SEG] = op_mov_to_seg, [X86_OP_MOV_FROM_SEG] = op_mov_from_seg,
    [X86_OP_PUSH_SEG] = op_push_seg, [X86_OP_POP_SEG] = op_pop_seg,
    [X86_OP_LES] = op_load_far, [X86_OP_LDS] = op_load_far, [X86_OP_LSS] = op_load_far,
    [X86_OP_LFS] = op_load_far, [X86_OP_LGS] = op_load_far,
    [X86_OP_SWAPGS] = op_swapgs,
    [X86_OP_RDFSBASE] = op_rdbase, [X86_OP_RDGSBASE] = op_rdbase,
    [X86_OP_WRFSBASE] = op_wrbase, [X86_OP_WRGSBASE] = op_wrbase,

    [X86_OP_LGDT] = op_lgdt, [X86_OP_LIDT] = op_lidt, [X86_OP_SGDT] = op_sgdt,
    [X86_OP_SIDT] = op_sidt, [X86_OP_LLDT] = op_lldt, [X86_OP_LTR] = op_ltr,
    [X86_OP_SLDT] = op_sldt, [X86_OP_STR] = op_str, [X86_OP_LAR] = op_lar,
    [X86_OP_LSL] = op_lsl, [X86_OP_VERR] = op_verr, [X86_OP_VERW] = op_verw,
    [X86_OP_ARPL] = op_arpl,

    [X86_OP_MOV_TO_CR] = op_mov_to_cr, [X86_OP_MOV_FROM_CR] = op_mov_from_cr,
    [X86_OP_MOV_TO_DR] = op_mov_to_dr, [X86_OP_MOV_FROM_DR] = op_mov_from_dr,
    [X86_OP_CLTS] = op_clts, [X86_OP_LMSW] = op_lmsw, [X86_OP_SMSW] = op_smsw,
    [X86_OP_INVLPG] = op_invlpg, [X86_OP_INVPCID] = op_invpcid,
    [X86_OP_INVD] = op_wbinvd, [X86_OP_WBINVD] = op_wbinvd, [X86_OP_HLT] = op_hlt,
    [X86_OP_CLI] = op_cli, [X86_OP_STI] = op_sti, [X86_OP_STAC] = op_stac,
    [X86_OP_CLAC] = op_clac, [X86_OP_XGETBV] = op_xgetbv, [X86_OP_XSETBV] = op_xsetbv,

    [X86_OP_CPUID] = op_cpuid, [X86_OP_RDTSC] = op_rdtsc, [X86_OP_RDTSCP] = op_rdtscp,
    [X86_OP_RDPID] = op_rdpid, [X86_OP_RDPMC] = op_rdpmc, [X86_OP_RDMSR] = op_rdmsr,
    [X86_OP_WRMSR] = op_wrmsr,

    [X86_OP_IN] = op_in, [X86_OP_OUT] = op_out, [X86_OP_INS] = op_ins, [X86_OP_OUTS] = op_outs,
    [X86_OP_VMCALL] = op_vmcall, [X86_OP_VMMCALL] = op_vmcall,
    [X86_OP_RSM] = op_rsm,
    /* Not offered, #UD: MONITOR, MWAIT. */
};

/* The explicit operand of a kind, or NULL. */
static const struct x86_operand *find(const struct x86_decoded *d, unsigned kind)
{
    for (unsigned n = 0; n < d->operand_count; n++)
        if (d->operand[n].kind == kind)
            return &d->operand[n];
    return NULL;
}

static void take_reg(const struct x86_decoded *d, unsigned kind, uint8_t *ret)
{
    const struct x86_operand *o = find(d, kind);

    if (o)
        *ret = o->reg;
}

static unsigned io_size(const struct x86_decoded *d)
{
    if (d->op == X86_OP_INS || d->op == X86_OP_OUTS || d->op == X86_OP_IN || d->op == X86_OP_OUT)
        return d->opcode & 1 ? (d->osize == 2 ? 2 : 4) : 1;
    return d->osize;
}

static uint8_t segment_of(unsigned op)
{
    switch (op) {
    case X86_OP_LES: return X86_ES;
    case X86_OP_LDS: return X86_DS;
    case X86_OP_LSS: return X86_SS;
    case X86_OP_LFS: case X86_OP_RDFSBASE: case X86_OP_WRFSBASE: return X86_FS;
    default: return X86_GS;
    }
}

bool bind_system(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
                 struct insn *i)
{
    if (d->op >= X86_OP_COUNT || !table[d->op])
        return false;
    i->fn = table[d->op];
    i->aux = (uint8_t)io_size(d);
    i->vreg = d->has_mem;
    i->reg = d->reg;
    i->rm = d->rm;
    switch (d->op) {
    case X86_OP_JMP_FAR: case X86_OP_CALL_FAR:
        i->disp = (int32_t)(d->imm2 & 0xffff);
        break;
    case X86_OP_MOV_TO_SEG: case X86_OP_MOV_FROM_SEG: case X86_OP_PUSH_SEG: case X86_OP_POP_SEG:
        take_reg(d, X86_OPERAND_SEG, &i->reg);
        break;
    case X86_OP_MOV_TO_CR: case X86_OP_MOV_FROM_CR:
        take_reg(d, X86_OPERAND_CR, &i->reg);
        take_reg(d, X86_OPERAND_GPR, &i->rm);
        break;
    case X86_OP_MOV_TO_DR: case X86_OP_MOV_FROM_DR:
        take_reg(d, X86_OPERAND_DR, &i->reg);
        take_reg(d, X86_OPERAND_GPR, &i->rm);
        break;
    case X86_OP_LES: case X86_OP_LDS: case X86_OP_LSS: case X86_OP_LFS: case X86_OP_LGS:
        i->imm = segment_of(d->op);
        break;
    case X86_OP_RDFSBASE: case X86_OP_RDGSBASE: case X86_OP_WRFSBASE: case X86_OP_WRGSBASE:
        i->imm = segment_of(d->op);
        i->aux = d->rex_w ? 8 : 4;
        break;
    case X86_OP_SYSRET: case X86_OP_SYSEXIT:
        i->aux = d->rex_w ? 8 : 4;
        break;
    case X86_OP_INS: case X86_OP_OUTS:
        i->disp = d->asize;
        break;
    case X86_OP_IN: case X86_OP_OUT:
        i->vreg = d->opcode & 8; /* EC-EF: DX */
        break;
    default:
        break;
    }
    return true;
}
