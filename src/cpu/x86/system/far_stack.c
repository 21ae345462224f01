/* SPDX-License-Identifier: MIT */
/* The stacks of far transfers and event delivery: segmented or 64 bits wide, the current one or one
 * that the TSS names. See segment.h. */
#include "cpu/x86/insn.h"
#include "cpu/x86/system/segment.h"

struct stack stack_on(const struct x86_segment *ss, uint64_t sp)
{
    struct stack s = {
        .ss = *ss,
        .sp = sp,
        .mask = ss->attr & SEG_ATTR_DB ? 0xffffffffu : 0xffffu,
        .who = MMU_CURRENT,
    };

    return s;
}

struct stack stack_current(const struct x86_cpu *c)
{
    struct stack s = stack_on(&c->seg[X86_SS], c->reg[X86_RSP]);

    if (in_64bit(c)) {
        s.wide = true;
        s.mask = UINT64_MAX;
    }
    return s;
}

static bool linear(struct x86_cpu *c, const struct stack *s, uint64_t off, unsigned size,
                   uint64_t *ret)
{
    *ret = off;
    if (s->wide)
        return true;
    if (!(s->ss.attr & SEG_ATTR_P) || !seg_covers(&s->ss, (uint32_t)off, size))
        return fault_code(c, X86_SS_FAULT, s->error);
    *ret = (uint32_t)(s->ss.base + off);
    return true;
}

/* What kernels do all day: a hit in the TLB's tables for who accesses will do. */
static always_inline bool is_plain64(const struct x86_cpu *c, const struct stack *s, unsigned size)
{
    return s->wide && size == 8 && (s->who == MMU_CURRENT || !c->check);
}

static always_inline struct tlb_entry *entry_for(struct x86_cpu *c, const struct stack *s, uint64_t sp)
{
    return tlb_slot(s->who == MMU_CURRENT ? c->tlb : c->tlb_for[TLB_FOR_KERNEL], sp);
}

bool stack_push(struct x86_cpu *c, struct stack *s, unsigned size, uint64_t value)
{
    uint64_t sp = (s->sp - size) & s->mask;
    struct tlb_entry *e = entry_for(c, s, sp);
    uint64_t va;

    if (likely(is_plain64(c, s, size) && e->write == tlb_page(sp + 7))) {
        *(guest_u64 *)(uintptr_t)(sp + e->addend) = value;
        s->sp = sp;
        return true;
    }
    if (!linear(c, s, sp, size, &va) || !mmu_store(c, va, size, value, s->who, true))
        return false;
    s->sp = (s->sp & ~s->mask) | sp;
    return true;
}

bool stack_pop(struct x86_cpu *c, struct stack *s, unsigned size, uint64_t *ret)
{
    uint64_t sp = s->sp & s->mask;
    struct tlb_entry *e = entry_for(c, s, sp);
    struct loaded l;
    uint64_t va;

    if (likely(is_plain64(c, s, size) && e->read == tlb_page(sp + 7))) {
        *ret = *(const guest_u64 *)(uintptr_t)(sp + e->addend);
        s->sp = sp + 8;
        return true;
    }
    if (!linear(c, s, sp, size, &va))
        return false;
    l = mmu_load(c, va, size, s->who, true);
    if (!l.ok)
        return false;
    *ret = l.value;
    s->sp = (s->sp & ~s->mask) | ((sp + size) & s->mask);
    return true;
}

void stack_commit(struct x86_cpu *c, const struct stack *s)
{
    uint64_t sp = (c->reg[X86_RSP] & ~s->mask) | (s->sp & s->mask);

    /* Writing a 32-bit register clears the upper half. */
    c->reg[X86_RSP] = s->mask == 0xffffffffu ? (uint32_t)sp : sp;
}

static bool tss_load(struct x86_cpu *c, uint32_t off, unsigned size, uint64_t *ret)
{
    struct loaded l = mmu_load(c, c->seg[X86_TR].base + off, size, MMU_IMPLICIT, false);

    *ret = l.value;
    return l.ok;
}

/* SDM vol. 3, figure 8-11 */
static bool tss64_stack(struct x86_cpu *c, unsigned cpl, unsigned ist, struct stack *ret)
{
    uint32_t off = ist ? 36 + (ist - 1) * 8 : 4 + cpl * 8;
    uint64_t rsp;

    if (off + 7 > c->seg[X86_TR].limit)
        return fault_code(c, X86_TS, c->seg[X86_TR].selector & 0xfffc);
    if (!tss_load(c, off, 8, &rsp))
        return false;
    if (!is_canonical(rsp))
        return fault_code(c, X86_SS_FAULT, 0);
    *ret = (struct stack){.sp = rsp, .mask = UINT64_MAX, .wide = true, .who = MMU_IMPLICIT};
    ret->ss.selector = (uint16_t)cpl;
    ret->ss.attr = (uint16_t)(cpl << SEG_ATTR_DPL_SHIFT);
    return true;
}

bool tss_stack(struct x86_cpu *c, unsigned cpl, unsigned ist, struct stack *ret)
{
    const struct x86_segment *tr = &c->seg[X86_TR];
    bool is32 = (tr->attr & SEG_ATTR_TYPE) & 8;
    uint32_t off = is32 ? 4 + cpl * 8 : 2 + cpl * 4;
    struct x86_segment ss;
    uint64_t sp, sel;

    if (in_long_mode(c))
        return tss64_stack(c, cpl, ist, ret);
    if (off + (is32 ? 5 : 3) > tr->limit)
        return fault_code(c, X86_TS, tr->selector & 0xfffc);
    if (!tss_load(c, off, is32 ? 4 : 2, &sp) || !tss_load(c, off + (is32 ? 4 : 2), 2, &sel))
        return false;
    if (!seg_read_stack(c, (uint16_t)sel, cpl, X86_TS, false, &ss))
        return false;
    *ret = stack_on(&ss, sp);
    ret->who = MMU_IMPLICIT;
    ret->error = (uint16_t)sel & 0xfffc;
    return true;
}
