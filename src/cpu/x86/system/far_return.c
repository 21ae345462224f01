/* SPDX-License-Identifier: MIT */
/* RET far and IRET in all their forms. See far.h. */
#include "cpu/x86/event.h"
#include "cpu/x86/system/far.h"
#include "cpu/x86/system/segment.h"
#include "cpu/x86/system/task.h"

struct frame {
    uint64_t rip, cs, rflags;
    struct descriptor code;
    struct x86_segment ss;
    uint64_t sp;
};

static bool return_real(struct x86_cpu *c, const struct frame *f)
{
    if (f->rip > c->seg[X86_CS].limit)
        return fault_code(c, X86_GP, 0);
    if (c->cr0 & X86_CR0_PE)
        seg_load_v86(c, X86_CS, (uint16_t)f->cs);
    else
        seg_load_real(c, X86_CS, (uint16_t)f->cs);
    c->rip = f->rip;
    return true;
}

/* The code segment to return to, at its RPL; not to an inner level. */
static bool check_code(struct x86_cpu *c, struct frame *f)
{
    uint16_t selector = (uint16_t)f->cs;
    unsigned rpl = selector & 3, dpl;

    if (selector_is_null(selector))
        return fault_code(c, X86_GP, 0);
    if (!seg_read_descriptor(c, selector, X86_GP, &f->code))
        return false;
    dpl = desc_dpl(f->code.raw);
    if (!desc_is_code(f->code.raw) || rpl < c->cpl ||
        (desc_is_conforming(f->code.raw) ? dpl > rpl : dpl != rpl) ||
        (in_long_mode(c) && desc_is_long(f->code.raw) && desc_is_big(f->code.raw)))
        return fault_code(c, X86_GP, selector & 0xfffc);
    if (!desc_present(f->code.raw))
        return fault_code(c, X86_NP, selector & 0xfffc);
    return true;
}

static bool to_long(const struct x86_cpu *c, const struct frame *f)
{
    return in_long_mode(c) && desc_is_long(f->code.raw);
}

static bool check_rip(struct x86_cpu *c, struct frame *f)
{
    if (to_long(c, f))
        return is_canonical(f->rip) || fault_code(c, X86_GP, 0);
    f->rip = (uint32_t)f->rip;
    return f->rip <= seg_parse(0, f->code.raw).limit || fault_code(c, X86_GP, 0);
}

/* SS:SP of the level returned to. */
static bool pop_stack(struct x86_cpu *c, struct stack *s, unsigned osize, struct frame *f)
{
    uint64_t selector;

    return stack_pop(c, s, osize, &f->sp) && stack_pop(c, s, osize, &selector) &&
           seg_read_stack(c, (uint16_t)selector, f->cs & 3, X86_GP, to_long(c, f), &f->ss);
}

static void set_code(struct x86_cpu *c, const struct frame *f)
{
    c->seg[X86_CS] = seg_parse((uint16_t)f->cs, f->code.raw);
    c->rip = f->rip;
}

/* SP of the outer stack; a 16-bit one keeps the upper half of ESP. */
static void set_stack(struct x86_cpu *c, const struct frame *f, uint64_t sp)
{
    c->seg[X86_SS] = f->ss;
    if (to_long(c, f))
        c->reg[X86_RSP] = sp;
    else if (f->ss.attr & SEG_ATTR_DB)
        c->reg[X86_RSP] = (uint32_t)sp;
    else
        c->reg[X86_RSP] = (c->reg[X86_RSP] & ~UINT64_C(0xffff)) | (sp & 0xffff);
}

static void add_to_stack(struct stack *s, uint16_t bytes)
{
    s->sp = (s->sp & ~s->mask) | ((s->sp + bytes) & s->mask);
}

static bool return_outer(struct x86_cpu *c, struct stack *s, struct frame *f, unsigned osize,
                         uint16_t pop_bytes)
{
    add_to_stack(s, pop_bytes);
    if (!pop_stack(c, s, osize, f) || !check_rip(c, f) || !seg_mark_accessed(c, &f->code))
        return false;
    set_code(c, f);
    c->cpl = f->cs & 3;
    set_stack(c, f, f->sp + pop_bytes);
    seg_drop_inner(c);
    cpu_recompute(c);
    return true;
}

bool far_return(struct x86_cpu *c, unsigned osize, uint16_t pop_bytes)
{
    struct stack s = stack_current(c);
    struct frame f;

    if (!stack_pop(c, &s, osize, &f.rip) || !stack_pop(c, &s, osize, &f.cs))
        return false;
    if (in_real_or_v86(c)) {
        if (!return_real(c, &f))
            return false;
    } else {
        if (!check_code(c, &f))
            return false;
        if ((f.cs & 3) > c->cpl)
            return return_outer(c, &s, &f, osize, pop_bytes);
        if (!check_rip(c, &f) || !seg_mark_accessed(c, &f.code))
            return false;
        set_code(c, &f);
    }
    add_to_stack(&s, pop_bytes);
    stack_commit(c, &s);
    cpu_recompute(c);
    return true;
}

/* Which flags IRET may change, at the privilege it was executed with. */
static uint64_t iret_mask(const struct x86_cpu *c, unsigned osize)
{
    uint64_t mask = X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_NT;

    if (osize != 2)
        mask |= X86_FLAG_RF | X86_FLAG_AC | X86_FLAG_ID;
    if (c->cpl <= (c->rflags & X86_FLAG_IOPL) >> 12)
        mask |= X86_FLAG_IF;
    if (c->cpl == 0) {
        mask |= X86_FLAG_IOPL;
        if (osize != 2)
            mask |= X86_FLAG_VIF | X86_FLAG_VIP;
    }
    return mask;
}

static bool iret_real(struct x86_cpu *c, unsigned osize)
{
    struct stack s = stack_current(c);
    uint64_t mask = iret_mask(c, osize) & ~(uint64_t)(X86_FLAG_VIF | X86_FLAG_VIP);
    struct frame f;

    if (c->rflags & X86_FLAG_VM) {
        if ((c->rflags & X86_FLAG_IOPL) != X86_FLAG_IOPL)
            return fault_code(c, X86_GP, 0);
        mask &= ~(uint64_t)X86_FLAG_IOPL;
    }
    if (!stack_pop(c, &s, osize, &f.rip) || !stack_pop(c, &s, osize, &f.cs) ||
        !stack_pop(c, &s, osize, &f.rflags) || !return_real(c, &f))
        return false;
    stack_commit(c, &s);
    cpu_set_rflags(c, f.rflags, mask);
    c->nmi_blocked = false;
    cpu_recompute(c);
    return true;
}

static bool iret_to_v86(struct x86_cpu *c, struct stack *s, struct frame *f)
{
    static const uint8_t order[] = {X86_SS, X86_ES, X86_DS, X86_FS, X86_GS};
    uint64_t sel[5];

    if (!stack_pop(c, s, 4, &f->sp))
        return false;
    for (unsigned n = 0; n < 5; n++)
        if (!stack_pop(c, s, 4, &sel[n]))
            return false;
    if ((f->rip & 0xffffffff) > 0xffff)
        return fault_code(c, X86_GP, 0);
    cpu_set_rflags(c, f->rflags, 0x3f7fd5);
    for (unsigned n = 0; n < 5; n++)
        seg_load_v86(c, order[n], (uint16_t)sel[n]);
    seg_load_v86(c, X86_CS, (uint16_t)f->cs);
    c->reg[X86_RSP] = (uint32_t)f->sp;
    c->rip = f->rip & 0xffff;
    c->cpl = 3;
    cpu_recompute(c);
    return true;
}

static bool iret_protected(struct x86_cpu *c, struct stack *s, struct frame *f, unsigned osize)
{
    uint64_t mask = iret_mask(c, osize);
    unsigned rpl = f->cs & 3;
    bool same_size = in_64bit(c);
    bool pops_stack;

    if (!check_code(c, f))
        return false;
    pops_stack = rpl > c->cpl || in_64bit(c);
    if (pops_stack && !pop_stack(c, s, osize, f))
        return false;
    if (!check_rip(c, f) || !seg_mark_accessed(c, &f->code))
        return false;
    set_code(c, f);
    if (pops_stack)
        set_stack(c, f, f->sp);
    else
        stack_commit(c, s);
    cpu_set_rflags(c, f->rflags, mask);
    if (rpl > c->cpl) {
        c->cpl = (uint8_t)rpl;
        seg_drop_inner(c);
    }
    if (same_size && to_long(c, f))
        cpu_recompute_flat(c, rpl, X86_CODE_64);
    else
        cpu_recompute(c);
    return true;
}

bool far_iret(struct x86_cpu *c, unsigned osize, uint64_t next_rip)
{
    struct stack s = stack_current(c);
    struct frame f;

    if (in_real_or_v86(c))
        return iret_real(c, osize);
    /* NMIs are let in again even when this IRET faults. */
    c->nmi_blocked = false;
    if (c->rflags & X86_FLAG_NT) {
        if (in_long_mode(c))
            return fault_code(c, X86_GP, 0);
        return task_return(c, next_rip);
    }
    if (!stack_pop(c, &s, osize, &f.rip) || !stack_pop(c, &s, osize, &f.cs) ||
        !stack_pop(c, &s, osize, &f.rflags))
        return false;
    if (osize == 4 && !in_long_mode(c) && (f.rflags & X86_FLAG_VM) && c->cpl == 0)
        return iret_to_v86(c, &s, &f);
    return iret_protected(c, &s, &f, osize);
}
