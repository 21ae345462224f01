/* SPDX-License-Identifier: MIT */
/* JMP and CALL far: code segments, call gates, tasks. See far.h. */
#include "cpu/x86/system/far.h"

#include "cpu/x86/system/segment.h"
#include "cpu/x86/system/task.h"

static void enter_code(struct x86_cpu *c, const struct descriptor *d, uint16_t selector,
                       unsigned cpl, uint64_t rip)
{
    c->seg[X86_CS] = seg_parse((uint16_t)((selector & 0xfffc) | cpl), d->raw);
    c->cpl = (uint8_t)cpl;
    c->rip = rip;
    cpu_recompute(c);
}

/* Is rip a place the code segment has? It is cut to 32 bits where the segment is not 64-bit. */
static bool check_target(struct x86_cpu *c, const struct descriptor *d, uint64_t *rip)
{
    if (in_long_mode(c) && desc_is_long(d->raw)) {
        if (!is_canonical(*rip))
            return fault_code(c, X86_GP, 0);
        return true;
    }
    *rip = (uint32_t)*rip;
    if (*rip > seg_parse(0, d->raw).limit)
        return fault_code(c, X86_GP, 0);
    return true;
}

static bool far_real(struct x86_cpu *c, uint16_t selector, uint64_t offset)
{
    if (offset > c->seg[X86_CS].limit)
        return fault_code(c, X86_GP, 0);
    if (c->cr0 & X86_CR0_PE)
        seg_load_v86(c, X86_CS, selector);
    else
        seg_load_real(c, X86_CS, selector);
    c->rip = offset;
    cpu_recompute(c);
    return true;
}

/* A code segment named directly: privilege stays. */
static bool check_direct_code(struct x86_cpu *c, const struct descriptor *d, uint16_t selector)
{
    unsigned dpl = desc_dpl(d->raw), rpl = selector & 3;
    bool bad = desc_is_conforming(d->raw) ? dpl > c->cpl : rpl > c->cpl || dpl != c->cpl;

    if (bad || (in_long_mode(c) && desc_is_long(d->raw) && desc_is_big(d->raw)))
        return fault_code(c, X86_GP, selector & 0xfffc);
    if (!desc_present(d->raw))
        return fault_code(c, X86_NP, selector & 0xfffc);
    return true;
}

struct call_gate {
    uint16_t selector;
    uint64_t offset;
    unsigned params, size;
    struct descriptor code;
};

static bool read_gate(struct x86_cpu *c, const struct descriptor *d, uint16_t selector,
                      struct call_gate *ret)
{
    uint64_t upper = 0;
    unsigned dpl = desc_dpl(d->raw);

    if (dpl < c->cpl || dpl < (selector & 3u))
        return fault_code(c, X86_GP, selector & 0xfffc);
    if (in_long_mode(c)) {
        if (!seg_read_upper(c, selector, X86_GP, d, &upper))
            return false;
        if (upper >> 40 & 0x1f)
            return fault_code(c, X86_GP, selector & 0xfffc);
    }
    if (!desc_present(d->raw))
        return fault_code(c, X86_NP, selector & 0xfffc);
    ret->selector = (uint16_t)(d->raw >> 16);
    ret->offset = (d->raw & 0xffff) | (d->raw >> 32 & 0xffff0000u) | upper << 32;
    ret->params = d->raw >> 32 & 0x1f;
    ret->size = in_long_mode(c) ? 8 : desc_type(d->raw) == SYS_CALL ? 4 : 2;
    if (ret->size == 2)
        ret->offset &= 0xffff;
    return true;
}

static bool read_gate_code(struct x86_cpu *c, struct call_gate *g, bool is_jump)
{
    uint16_t error = g->selector & 0xfffc;
    unsigned dpl;

    if (selector_is_null(g->selector))
        return fault_code(c, X86_GP, 0);
    if (!seg_read_descriptor(c, g->selector, X86_GP, &g->code))
        return false;
    dpl = desc_dpl(g->code.raw);
    if (!desc_is_code(g->code.raw) || dpl > c->cpl ||
        (is_jump && !desc_is_conforming(g->code.raw) && dpl != c->cpl))
        return fault_code(c, X86_GP, error);
    if (in_long_mode(c) && (!desc_is_long(g->code.raw) || desc_is_big(g->code.raw)))
        return fault_code(c, X86_GP, error);
    if (!desc_present(g->code.raw))
        return fault_code(c, X86_NP, error);
    return check_target(c, &g->code, &g->offset);
}

static bool push_params(struct x86_cpu *c, struct stack *s, const struct call_gate *g)
{
    struct stack from = stack_current(c);
    uint64_t value[31];

    for (unsigned n = 0; n < g->params; n++)
        if (!stack_pop(c, &from, g->size, &value[n]))
            return false;
    for (unsigned n = g->params; n-- > 0;)
        if (!stack_push(c, s, g->size, value[n]))
            return false;
    return true;
}

static bool call_through_gate(struct x86_cpu *c, struct call_gate *g, uint64_t next_rip)
{
    unsigned dpl = desc_dpl(g->code.raw);
    bool inner = !desc_is_conforming(g->code.raw) && dpl < c->cpl;
    unsigned cpl = inner ? dpl : c->cpl;
    struct stack s;

    if (!inner)
        s = stack_current(c);
    else if (!tss_stack(c, cpl, 0, &s))
        return false;
    if (inner && (!stack_push(c, &s, g->size, c->seg[X86_SS].selector) ||
                  !stack_push(c, &s, g->size, c->reg[X86_RSP]) ||
                  (g->size != 8 && !push_params(c, &s, g))))
        return false;
    if (!stack_push(c, &s, g->size, c->seg[X86_CS].selector) ||
        !stack_push(c, &s, g->size, next_rip) || !seg_mark_accessed(c, &g->code))
        return false;
    if (inner)
        c->seg[X86_SS] = s.ss;
    stack_commit(c, &s);
    enter_code(c, &g->code, g->selector, cpl, g->offset);
    return true;
}

/* Anything but a code segment: gates and tasks. */
static bool to_system(struct x86_cpu *c, const struct descriptor *d, uint16_t selector,
                      bool is_jump, uint64_t next_rip)
{
    unsigned type = desc_type(d->raw), dpl = desc_dpl(d->raw);
    enum task_how how = is_jump ? TASK_JMP : TASK_CALL;
    struct call_gate g;

    if (desc_is_segment(d->raw))
        return fault_code(c, X86_GP, selector & 0xfffc);
    if (type == SYS_CALL || (type == SYS_CALL16 && !in_long_mode(c))) {
        if (!read_gate(c, d, selector, &g) || !read_gate_code(c, &g, is_jump))
            return false;
        if (!is_jump)
            return call_through_gate(c, &g, next_rip);
        if (!seg_mark_accessed(c, &g.code))
            return false;
        enter_code(c, &g.code, g.selector, c->cpl, g.offset);
        return true;
    }
    if (in_long_mode(c) || (type != SYS_TASK_GATE && (type & 5) != 1))
        return fault_code(c, X86_GP, selector & 0xfffc);
    if (dpl < c->cpl || dpl < (selector & 3u))
        return fault_code(c, X86_GP, selector & 0xfffc);
    if (type == SYS_TASK_GATE) {
        if (!desc_present(d->raw))
            return fault_code(c, X86_NP, selector & 0xfffc);
        selector = (uint16_t)(d->raw >> 16);
    }
    return task_switch(c, selector, how, next_rip, cpu_rflags(c));
}

bool far_jump(struct x86_cpu *c, uint16_t selector, uint64_t offset, uint64_t next_rip)
{
    struct descriptor d;

    if (in_real_or_v86(c))
        return far_real(c, selector, offset);
    if (selector_is_null(selector))
        return fault_code(c, X86_GP, 0);
    if (!seg_read_descriptor(c, selector, X86_GP, &d))
        return false;
    if (!desc_is_code(d.raw))
        return to_system(c, &d, selector, true, next_rip);
    if (!check_direct_code(c, &d, selector) || !check_target(c, &d, &offset) ||
        !seg_mark_accessed(c, &d))
        return false;
    enter_code(c, &d, selector, c->cpl, offset);
    return true;
}

static bool push_return(struct x86_cpu *c, unsigned osize, uint64_t next_rip, struct stack *ret)
{
    *ret = stack_current(c);
    return stack_push(c, ret, osize, c->seg[X86_CS].selector) &&
           stack_push(c, ret, osize, next_rip);
}

bool far_call(struct x86_cpu *c, uint16_t selector, uint64_t offset, unsigned osize,
              uint64_t next_rip)
{
    struct descriptor d;
    struct stack s;

    if (in_real_or_v86(c)) {
        if (!push_return(c, osize, next_rip, &s) || !far_real(c, selector, offset))
            return false;
        stack_commit(c, &s);
        return true;
    }
    if (selector_is_null(selector))
        return fault_code(c, X86_GP, 0);
    if (!seg_read_descriptor(c, selector, X86_GP, &d))
        return false;
    if (!desc_is_code(d.raw))
        return to_system(c, &d, selector, false, next_rip);
    if (!check_direct_code(c, &d, selector) || !push_return(c, osize, next_rip, &s) ||
        !check_target(c, &d, &offset) || !seg_mark_accessed(c, &d))
        return false;
    stack_commit(c, &s);
    enter_code(c, &d, selector, c->cpl, offset);
    return true;
}
