/* SPDX-License-Identifier: MIT */
/* From a decoded vector or x87 instruction to its handler: which class of state checks, which form,
 * which thunk. fpu_exec.h says what goes where in struct insn. */
#include "cpu/x86/cpuid.h"
#include "cpu/x86/decode/optable.h"
#include "cpu/x86/fpu/encode.h"
#include "cpu/x86/fpu/fpu_exec.h"

struct form {
    const struct x86_operand *mem, *gpr;
    bool xmm, mmx;
};

static struct form find_operands(const struct x86_decoded *d)
{
    struct form f = {0};

    for (unsigned k = 0; k < d->operand_count; k++) {
        const struct x86_operand *o = &d->operand[k];

        if (o->kind == X86_OPERAND_MEM)
            f.mem = o;
        if (o->kind == X86_OPERAND_GPR && !o->implicit)
            f.gpr = o;
        if (o->kind == X86_OPERAND_XMM || o->kind == X86_OPERAND_YMM)
            f.xmm = true;
        if (o->kind == X86_OPERAND_MMX)
            f.mmx = true;
    }
    return f;
}

/* FPU_* that this instruction has to look at. */
static uint8_t slow_mask(const struct x86_decoded *d, const struct form *f)
{
    uint32_t attr = d->info->attr;
    unsigned mask = FPU_NOT_LIVE;

    if (attr & X86_ATTR_AVX)
        mask |= FPU_TRAP_AVX;
    else if (f->xmm || (attr & X86_ATTR_SSE && !f->mmx))
        mask |= FPU_TRAP_SSE;
    if (f->mmx || attr & X86_ATTR_X87 || (attr & X86_ATTR_MMX))
        mask |= FPU_TRAP_X87 | FPU_X87_UNMASKED;
    if (f->xmm && attr & X86_ATTR_SIMD)
        mask |= FPU_MXCSR_UNMASKED;
    return (uint8_t)mask;
}

/* Legacy instructions fault on the host when a 16-byte operand is misaligned, but for those that
 * the table names: a row that says nothing must not become a fault of ours. */
static bool needs_alignment(const struct x86_decoded *d, const struct x86_operand *mem)
{
    if (mem->size < 16)
        return false;
    return d->info->attr & X86_ATTR_ALIGNED ||
           !(d->prefixes & X86_PREFIX_VEX || d->info->attr & X86_ATTR_UNALIGNED);
}

static uint8_t form_bits(const struct x86_decoded *d, const struct form *f)
{
    const struct x86_op_info *info = d->info;
    unsigned form = 0;

    if (f->mem && f->mem->written)
        form |= FORM_WRITE;
    if (f->mem && needs_alignment(d, f->mem))
        form |= FORM_ALIGNED;
    if (f->gpr)
        form |= f->gpr->written ? FORM_GPR_OUT : FORM_GPR_IN;
    if (info->flags_set || (info->attr & X86_ATTR_X87 && info->flags_used))
        form |= FORM_FLAGS;
    if (info->attr & X86_ATTR_X87)
        form |= FORM_X87;
    if (f->mmx || info->attr & X86_ATTR_MMX)
        form |= FORM_MMX;
    if (info->attr & X86_ATTR_STRING_COMPARE) {
        if (d->opcode & 1)
            form |= FORM_GPR_OUT;
        if (d->opcode <= 0x61)
            form |= FORM_ESTR;
    }
    return (uint8_t)form;
}

/* Short ways for the forms that have one. */
static insn_fn *fast_load(unsigned size)
{
    return size == 4 ? fpu_fast_load4 : size == 8 ? fpu_fast_load8 :
           size == 16 ? fpu_fast_load16 : size == 32 ? fpu_fast_load32 : fpu_generic;
}

static insn_fn *fast_store(unsigned size)
{
    return size == 2 ? fpu_fast_store2 : size == 4 ? fpu_fast_store4 :
           size == 8 ? fpu_fast_store8 : size == 16 ? fpu_fast_store16 :
           size == 32 ? fpu_fast_store32 : fpu_generic;
}

static insn_fn *fast_x87(unsigned form, unsigned size)
{
    if (size)
        return form & FORM_WRITE ? fpu_fast_x87_store : fpu_fast_x87_load;
    return form & FORM_FLAGS ? fpu_fast_x87_flags : fpu_fast_x87;
}

static insn_fn *choose_handler(unsigned form, unsigned size)
{
    if (form & FORM_X87)
        return fast_x87(form, size);
    switch (form & ~(unsigned)FORM_MMX) {
    case 0:
        return size ? fast_load(size) : fpu_fast_reg;
    case FORM_WRITE:
        return fast_store(size);
    case FORM_ALIGNED:
        return size == 16 ? fpu_fast_load16_aligned : fpu_fast_load32_aligned;
    case FORM_ALIGNED | FORM_WRITE:
        return size == 16 ? fpu_fast_store16_aligned : fpu_fast_store32_aligned;
    case FORM_GPR_IN:
        return size ? fpu_generic : fpu_fast_gpr_in;
    case FORM_GPR_OUT:
        return size ? fpu_generic : fpu_fast_gpr_out;
    case FORM_FLAGS:
        return !size ? fpu_fast_flags : size == 4 ? fpu_fast_load4_flags :
               size == 8 ? fpu_fast_load8_flags : fpu_generic;
    case FORM_ESTR | FORM_FLAGS: case FORM_ESTR | FORM_FLAGS | FORM_GPR_OUT: case FORM_FLAGS | FORM_GPR_OUT:
        return fpu_string_compare;
    default:
        return fpu_generic;
    }
}

/* Make the thunk of d for i->imm. When there is no room, i becomes one that makes some. */
static bool make_thunk(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
                       enum encode_gpr gpr, bool at_rsi, struct insn *i)
{
    struct encoded e;

    if (!c->thunks || !encode_thunk(d, bytes, gpr, at_rsi, &e))
        return false;
    if (c->code_size != X86_CODE_64 && d->info->attr & X86_ATTR_IMM_REG)
        e.bytes &= ~(UINT64_C(0x80) << (8 * (e.len - 1))); /* there are eight */
    i->imm = thunk_get(c->thunks, e.bytes, e.len);
    if (!i->imm)
        i->fn = fpu_thunks_full;
    return true;
}

/* Outside 64-bit mode VEX.W does not widen general registers (rex_w is 0), but for other
 * instructions it still is part of the opcode. */
static bool raw_vex_w(const struct x86_decoded *d, const uint8_t *bytes)
{
    return bytes[d->opcode_off - 2] != 0xc5 && bytes[d->opcode_off - 1] >> 7;
}

static uint64_t fop(const struct x86_decoded *d)
{
    return (uint64_t)((d->opcode & 7u) << 8 | d->modrm) << 48;
}

static bool bind_data(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
                      struct insn *i)
{
    struct form f = find_operands(d);
    enum encode_gpr gpr = !f.gpr ? ENCODE_NO_GPR :
                          f.gpr->modrm_reg ? ENCODE_GPR_REG : ENCODE_GPR_RM;
    struct x86_decoded plain = *d;

    if (d->prefixes & X86_PREFIX_VEX)
        plain.rex_w = raw_vex_w(d, bytes) &&
                      !(c->code_size != X86_CODE_64 && d->info->attr & X86_ATTR_WIDE);
    i->aux = slow_mask(d, &f);
    i->vreg = form_bits(d, &f);
    i->rm = f.mem ? f.mem->size : 0;
    i->reg = f.gpr ? f.gpr->reg : X86_RCX;
    if (i->rm > 32)
        return false;
    i->fn = choose_handler(i->vreg, i->rm);
    if (!make_thunk(c, &plain, bytes, gpr, i->vreg & FORM_ESTR, i))
        return false;
    if (i->vreg & FORM_X87)
        i->imm |= fop(d);
    return true;
}

/* ---- x87 control instructions ---- */

enum { WAITING = FPU_NOT_LIVE | FPU_TRAP_X87 | FPU_X87_UNMASKED,
       NOT_WAITING = FPU_NOT_LIVE | FPU_TRAP_X87 };

static bool bind_as(struct insn *i, insn_fn *fn, unsigned aux, unsigned vreg)
{
    i->fn = fn;
    i->aux = (uint8_t)aux;
    i->vreg = (uint8_t)vreg;
    return true;
}

/* Run as it is, but without waiting and without being recorded in FIP. */
static bool bind_plain_control(const struct x86_cpu *c, const struct x86_decoded *d,
                               const uint8_t *bytes, struct insn *i)
{
    i->rm = d->has_mem ? 2 : 0;
    bind_as(i, d->has_mem ? fpu_fast_store2 : fpu_fast_reg, NOT_WAITING,
            d->has_mem ? FORM_WRITE : 0);
    return make_thunk(c, d, bytes, ENCODE_NO_GPR, false, i);
}

/* False: not a control instruction. *ok: what bind_fpu() returns. */
static bool bind_control(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
                         struct insn *i, bool *ok)
{
    bool is16 = d->osize == 2;

    *ok = true;
    switch (d->op) {
    case X86_OP_FLDCW:   return bind_as(i, fpu_fldcw, WAITING, 0);
    case X86_OP_FNINIT:  return bind_as(i, fpu_fninit, NOT_WAITING, 0);
    case X86_OP_FNSTENV: return bind_as(i, fpu_fnstenv, NOT_WAITING, is16);
    case X86_OP_FLDENV:  return bind_as(i, fpu_fldenv, WAITING, is16);
    case X86_OP_FNSAVE:  return bind_as(i, fpu_fnsave, NOT_WAITING, is16);
    case X86_OP_FRSTOR:  return bind_as(i, fpu_frstor, WAITING, is16);
    case X86_OP_FWAIT:   return bind_as(i, fpu_fwait, FPU_TRAP_WAIT | FPU_X87_UNMASKED, 0);
    case X86_OP_FNSTSW:
        if (!d->has_mem)
            return bind_as(i, fpu_fnstsw_ax, NOT_WAITING, 0);
        break;
    case X86_OP_FNSTCW: case X86_OP_FNCLEX: case X86_OP_FNENI: case X86_OP_FNDISI:
    case X86_OP_FNSETPM:
        break;
    default:
        return false;
    }
    *ok = bind_plain_control(c, d, bytes, i);
    return true;
}

/* ---- masked accesses ---- */

/* The implied operand DS:rDI. Without 64-bit addresses it goes through all checks. */
static bool bind_maskmov_string(const struct x86_cpu *c, const struct x86_decoded *d,
                                const uint8_t *bytes, struct insn *i)
{
    struct form f = find_operands(d);

    i->base = X86_RDI;
    i->index = REG_ZERO;
    i->scale = 0;
    i->disp = 0;
    i->seg = d->seg;
    if (d->asize != 8)
        i->flags |= INSN_EA_SLOW | (d->asize == 4 ? INSN_EA_ADDR32 : INSN_EA_ADDR16);
    if (d->seg == X86_SS)
        i->flags |= INSN_EA_STACK;
    i->rm = f.mmx ? 8 : 16;
    bind_as(i, fpu_maskmov_string, slow_mask(d, &f), f.mmx ? FORM_MMX : 0);
    return make_thunk(c, d, bytes, ENCODE_NO_GPR, false, i);
}

static bool bind_vmaskmov(const struct x86_cpu *c, const struct x86_decoded *d,
                          const uint8_t *bytes, struct insn *i)
{
    bool wide = d->op == X86_OP_VMASKMOVPD || d->op == X86_OP_VPMASKMOVQ;
    bool store = d->operand[0].kind == X86_OPERAND_MEM;
    struct x86_decoded plain = *d;

    i->rm = d->vex_l ? 32 : 16;
    bind_as(i, store ? fpu_maskmov_store : fpu_maskmov_load, FPU_NOT_LIVE | FPU_TRAP_AVX,
            d->vvvv | (wide ? 0x10u : 0));
    plain.rex_w = raw_vex_w(d, bytes);
    return make_thunk(c, &plain, bytes, ENCODE_NO_GPR, false, i);
}

/* See masked.c for the bits of vreg. */
static bool bind_gather(const struct x86_decoded *d, const uint8_t *bytes, struct insn *i)
{
    i->reg = d->reg;
    i->rm = d->index;
    i->index = REG_ZERO;
    i->scale = d->scale;
    return bind_as(i, fpu_gather, FPU_NOT_LIVE | FPU_TRAP_AVX,
                   d->vvvv | (raw_vex_w(d, bytes) ? 0x10u : 0) | (d->opcode & 1 ? 0x20u : 0) |
                       (d->vex_l ? 0x40u : 0));
}

/* ---- the entry ---- */

/* Instructions that no attribute of the table marks as vector or x87, and those that have one but
 * are not plain data operations. False: not one of them. */
static bool bind_special(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
                         struct insn *i, bool *ok)
{
    unsigned w = d->rex_w;

    *ok = true;
    switch (d->op) {
    case X86_OP_FXSAVE:   return bind_as(i, fpu_fxsave, NOT_WAITING, w);
    case X86_OP_FXRSTOR:  return bind_as(i, fpu_fxrstor, NOT_WAITING, w);
    case X86_OP_XSAVE:    return bind_as(i, fpu_xsave, FPU_NOT_LIVE, w);
    case X86_OP_XSAVEC:   return bind_as(i, fpu_xsavec, FPU_NOT_LIVE, w);
    case X86_OP_XSAVEOPT: return bind_as(i, fpu_xsaveopt, FPU_NOT_LIVE, w);
    case X86_OP_XRSTOR:   return bind_as(i, fpu_xrstor, FPU_NOT_LIVE, w);
    case X86_OP_LDMXCSR:  return bind_as(i, fpu_ldmxcsr, FPU_NOT_LIVE | FPU_TRAP_SSE, 0);
    case X86_OP_STMXCSR:  return bind_as(i, fpu_stmxcsr, FPU_NOT_LIVE | FPU_TRAP_SSE, 0);
    case X86_OP_VLDMXCSR: return bind_as(i, fpu_ldmxcsr, FPU_NOT_LIVE | FPU_TRAP_AVX, 0);
    case X86_OP_VZEROUPPER: case X86_OP_VZEROALL:
        *ok = bind_as(i, fpu_vzero_low, FPU_TRAP_AVX, d->op == X86_OP_VZEROALL);
        return c->code_size != X86_CODE_64; /* all registers: as any other */
    case X86_OP_VSTMXCSR: return bind_as(i, fpu_stmxcsr, FPU_NOT_LIVE | FPU_TRAP_AVX, 0);
    case X86_OP_MASKMOVQ: case X86_OP_MASKMOVDQU: case X86_OP_VMASKMOVDQU:
        *ok = bind_maskmov_string(c, d, bytes, i);
        return true;
    case X86_OP_VMASKMOVPS: case X86_OP_VMASKMOVPD: case X86_OP_VPMASKMOVD: case X86_OP_VPMASKMOVQ:
        *ok = bind_vmaskmov(c, d, bytes, i);
        return true;
    case X86_OP_VPGATHERDD: case X86_OP_VPGATHERDQ: case X86_OP_VPGATHERQD: case X86_OP_VPGATHERQQ:
    case X86_OP_VGATHERDPS: case X86_OP_VGATHERDPD: case X86_OP_VGATHERQPS: case X86_OP_VGATHERQPD:
        *ok = bind_gather(d, bytes, i);
        return true;
    default:
        return bind_control(c, d, bytes, i, ok);
    }
}

/* Only what the policy offers, which it only does for what the host has, may run on the host. */
static bool is_offered(const struct x86_cpu *c, const struct x86_decoded *d)
{
    return d->feature == X86_FEATURE_BASE || c->vm->cpuid->feature[d->feature];
}

bool bind_fpu(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
              struct insn *i)
{
    bool ok;

    if (!is_offered(c, d))
        return false;
    if ((d->prefixes & X86_PREFIX_VEX) && in_real_or_v86(c))
        return false;
    if (bind_special(c, d, bytes, i, &ok))
        return ok;
    return d->info->family == X86_FAMILY_FPU && bind_data(c, d, bytes, i);
}
