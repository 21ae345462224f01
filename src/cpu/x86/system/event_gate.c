/* SPDX-License-Identifier: MIT */
/* Event delivery through the real-mode vector table and the 8-byte gates of protected mode,
 * entry from virtual-8086 mode included. SDM vol. 2, INT n; vol. 3, 6.12, 20.1.4, 20.3. */
#include "cpu/x86/system/event_gate.h"

#include "cpu/x86/event.h"
#include "cpu/x86/system/segment.h"
#include "cpu/x86/system/task.h"

bool event_through_ivt(struct x86_cpu *c, const struct event *e)
{
    struct stack s = stack_current(c);
    struct loaded vector;

    if (e->vector * 4u + 3 > c->idtr.limit)
        return fault_code(c, X86_GP, e->vector * 8u + 2);
    vector = mmu_load(c, c->idtr.base + e->vector * 4u, 4, MMU_IMPLICIT, false);
    if (!vector.ok || !stack_push(c, &s, 2, e->rflags) ||
        !stack_push(c, &s, 2, c->seg[X86_CS].selector) || !stack_push(c, &s, 2, e->rip))
        return false;
    stack_commit(c, &s);
    seg_load_real(c, X86_CS, (uint16_t)(vector.value >> 16));
    c->rip = vector.value & 0xffff;
    cpu_set_rflags(c, 0, X86_FLAG_IF | X86_FLAG_TF | X86_FLAG_AC | X86_FLAG_RF);
    cpu_recompute(c);
    return true;
}

struct gate {
    uint64_t raw;
    unsigned size; /* of what is pushed: 2 or 4 */
    bool is_interrupt;
};

static uint16_t gate_selector(uint64_t raw)
{
    return (uint16_t)(raw >> 16);
}

static uint32_t gate_offset(const struct gate *g)
{
    uint32_t off = (uint32_t)(g->raw & 0xffff);

    return g->size == 4 ? off | (uint32_t)(g->raw >> 32 & 0xffff0000u) : off;
}

static bool read_gate(struct x86_cpu *c, const struct event *e, struct gate *ret)
{
    uint32_t index = e->vector * 8u + 2;
    struct loaded l;
    unsigned type;

    if (e->vector * 8u + 7 > c->idtr.limit)
        return fault_code(c, X86_GP, index);
    l = mmu_load(c, (uint32_t)(c->idtr.base + e->vector * 8u), 8, MMU_IMPLICIT, false);
    if (!l.ok)
        return false;
    ret->raw = l.value;
    type = l.value >> 40 & 0x1f;
    if (type != SYS_TASK_GATE && (type & 0x16) != SYS_INT16)
        return fault_code(c, X86_GP, index);
    if (e->soft && desc_dpl(l.value) < c->cpl)
        return fault_code(c, X86_GP, index);
    if (!desc_present(l.value))
        return fault_code(c, X86_NP, index);
    ret->size = type & 8 ? 4 : 2;
    ret->is_interrupt = !(type & 1);
    return true;
}

static bool read_handler_code(struct x86_cpu *c, uint16_t selector, struct descriptor *ret)
{
    if (selector_is_null(selector))
        return fault_code(c, X86_GP, 0);
    if (!seg_read_descriptor(c, selector, X86_GP, ret))
        return false;
    if (!desc_is_code(ret->raw) || desc_dpl(ret->raw) > c->cpl)
        return fault_code(c, X86_GP, selector & 0xfffc);
    if (!desc_present(ret->raw))
        return fault_code(c, X86_NP, selector & 0xfffc);
    return true;
}

static bool push_data_segments(struct x86_cpu *c, struct stack *s, unsigned size)
{
    return stack_push(c, s, size, c->seg[X86_GS].selector) &&
           stack_push(c, s, size, c->seg[X86_FS].selector) &&
           stack_push(c, s, size, c->seg[X86_DS].selector) &&
           stack_push(c, s, size, c->seg[X86_ES].selector);
}

static bool push_frame(struct x86_cpu *c, struct stack *s, const struct event *e, unsigned size,
                       bool switched)
{
    if (switched && (c->rflags & X86_FLAG_VM) && !push_data_segments(c, s, size))
        return false;
    if (switched && (!stack_push(c, s, size, c->seg[X86_SS].selector) ||
                     !stack_push(c, s, size, c->reg[X86_RSP])))
        return false;
    return stack_push(c, s, size, e->rflags) &&
           stack_push(c, s, size, c->seg[X86_CS].selector) && stack_push(c, s, size, e->rip) &&
           (!e->has_error || stack_push(c, s, size, e->error));
}

static void enter_handler(struct x86_cpu *c, const struct gate *g, const struct x86_segment *cs,
                          const struct stack *s, unsigned cpl, bool switched)
{
    if (switched && (c->rflags & X86_FLAG_VM)) {
        seg_invalidate(c, X86_ES);
        seg_invalidate(c, X86_DS);
        seg_invalidate(c, X86_FS);
        seg_invalidate(c, X86_GS);
    }
    if (switched)
        c->seg[X86_SS] = s->ss;
    stack_commit(c, s);
    c->seg[X86_CS] = *cs;
    c->cpl = (uint8_t)cpl;
    c->rip = gate_offset(g);
    cpu_set_rflags(c, 0, X86_FLAG_TF | X86_FLAG_NT | X86_FLAG_RF | X86_FLAG_VM |
                             (g->is_interrupt ? X86_FLAG_IF : 0));
    cpu_recompute(c);
}

static bool through_code_gate(struct x86_cpu *c, const struct event *e, const struct gate *g)
{
    uint16_t selector = gate_selector(g->raw);
    struct x86_segment cs;
    struct descriptor d;
    struct stack s;
    unsigned cpl;
    bool switched;

    if (!read_handler_code(c, selector, &d))
        return false;
    cpl = desc_is_conforming(d.raw) ? c->cpl : desc_dpl(d.raw);
    if ((c->rflags & X86_FLAG_VM) && cpl != 0)
        return fault_code(c, X86_GP, selector & 0xfffc);
    switched = cpl < c->cpl;
    if (!switched)
        s = stack_current(c);
    else if (!tss_stack(c, cpl, 0, &s))
        return false;
    cs = seg_parse((uint16_t)((selector & 0xfffc) | cpl), d.raw | BIT(40));
    if (gate_offset(g) > cs.limit)
        return fault_code(c, X86_GP, 0);
    if (!push_frame(c, &s, e, g->size, switched) || !seg_mark_accessed(c, &d))
        return false;
    enter_handler(c, g, &cs, &s, cpl, switched);
    return true;
}

/* The task was switched: what goes wrong from here on belongs to the new task. */
static bool through_task_gate(struct x86_cpu *c, const struct event *e, const struct gate *g)
{
    struct stack s;
    unsigned size;

    if (!task_switch(c, gate_selector(g->raw), TASK_BY_EVENT, e->rip, e->rflags))
        return false;
    if (!e->has_error)
        return true;
    s = stack_current(c);
    size = c->seg[X86_TR].attr & 8 ? 4 : 2;
    if (!stack_push(c, &s, size, e->error))
        return false;
    stack_commit(c, &s);
    return true;
}

bool event_through_idt(struct x86_cpu *c, const struct event *e)
{
    struct gate g;

    if (!read_gate(c, e, &g))
        return false;
    if ((g.raw >> 40 & 0x1f) == SYS_TASK_GATE)
        return through_task_gate(c, e, &g);
    return through_code_gate(c, e, &g);
}
