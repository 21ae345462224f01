/* SPDX-License-Identifier: MIT */
/* Event delivery in long mode: 16-byte gates, IST, and a frame of 64-bit words.
 * SDM vol. 3, 6.14; vol. 2, INT n. The page faults of every guest kernel come through here. */
#include "cpu/x86/system/event_gate.h"

#include "cpu/x86/event.h"
#include "cpu/x86/system/segment.h"

struct long_gate {
    uint64_t offset;
    uint16_t selector;
    uint8_t type, dpl, ist;
};

static bool read_gate(struct x86_cpu *c, const struct event *e, struct long_gate *ret)
{
    uint32_t index = e->vector * 8u + 2; /* error code: IDT bit */
    uint32_t off = e->vector * 16u;
    struct loaded lo, hi;

    if (off + 15 > c->idtr.limit)
        return fault_code(c, X86_GP, index);
    lo = mmu_load(c, c->idtr.base + off, 8, MMU_IMPLICIT, false);
    if (!lo.ok)
        return false;
    hi = mmu_load(c, c->idtr.base + off + 8, 8, MMU_IMPLICIT, false);
    if (!hi.ok)
        return false;
    ret->type = lo.value >> 40 & 0x1f;
    ret->dpl = lo.value >> 45 & 3;
    if ((ret->type & 0x1e) != SYS_INT)
        return fault_code(c, X86_GP, index);
    if (e->soft && ret->dpl < c->cpl)
        return fault_code(c, X86_GP, index);
    if (!desc_present(lo.value))
        return fault_code(c, X86_NP, index);
    ret->offset = (lo.value & 0xffff) | (lo.value >> 32 & 0xffff0000u) | hi.value << 32;
    ret->selector = (uint16_t)(lo.value >> 16);
    ret->ist = lo.value >> 32 & 7;
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
    if (!desc_is_long(ret->raw) || desc_is_big(ret->raw))
        return fault_code(c, X86_GP, selector & 0xfffc);
    if (!desc_present(ret->raw))
        return fault_code(c, X86_NP, selector & 0xfffc);
    return true;
}

static bool choose_stack(struct x86_cpu *c, const struct long_gate *g, unsigned cpl,
                         struct stack *ret)
{
    if (cpl < c->cpl || g->ist)
        return tss_stack(c, cpl, g->ist, ret);
    *ret = (struct stack){.sp = c->reg[X86_RSP], .mask = UINT64_MAX, .wide = true,
                          .who = MMU_CURRENT};
    return true;
}

static bool push_frame(struct x86_cpu *c, struct stack *s, const struct event *e)
{
    s->sp &= ~UINT64_C(15);
    return stack_push(c, s, 8, c->seg[X86_SS].selector) &&
           stack_push(c, s, 8, c->reg[X86_RSP]) && stack_push(c, s, 8, e->rflags) &&
           stack_push(c, s, 8, c->seg[X86_CS].selector) && stack_push(c, s, 8, e->rip) &&
           (!e->has_error || stack_push(c, s, 8, e->error));
}

bool event_through_long_idt(struct x86_cpu *c, const struct event *e)
{
    struct long_gate g;
    struct descriptor cs;
    struct stack s;
    unsigned cpl;

    if (!read_gate(c, e, &g) || !read_handler_code(c, g.selector, &cs))
        return false;
    cpl = desc_is_conforming(cs.raw) ? c->cpl : desc_dpl(cs.raw);
    if (!choose_stack(c, &g, cpl, &s))
        return false;
    if (!is_canonical(g.offset))
        return fault_code(c, X86_GP, 0);
    if (!push_frame(c, &s, e) || !seg_mark_accessed(c, &cs))
        return false;
    if (cpl < c->cpl)
        c->seg[X86_SS] = s.ss;
    c->seg[X86_CS] = seg_parse((uint16_t)((g.selector & 0xfffc) | cpl), cs.raw);
    c->reg[X86_RSP] = s.sp;
    c->rip = g.offset;
    cpu_set_rflags(c, 0, X86_FLAG_TF | X86_FLAG_NT | X86_FLAG_RF | X86_FLAG_VM |
                             (g.type == SYS_INT ? X86_FLAG_IF : 0));
    cpu_recompute_flat(c, cpl, X86_CODE_64);
    return true;
}
