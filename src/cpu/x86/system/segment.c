/* SPDX-License-Identifier: MIT */
/* Descriptors, and the rules by which segment registers are loaded. See segment.h. */
#include "cpu/x86/system/segment.h"

struct x86_segment seg_parse(uint16_t selector, uint64_t raw)
{
    uint32_t hi = (uint32_t)(raw >> 32);
    struct x86_segment s = {
        .base = (raw >> 16 & 0xffffff) | (hi & 0xff000000u),
        .limit = (uint32_t)(raw & 0xffff) | (hi & 0xf0000u),
        .selector = selector,
        .attr = (uint16_t)(hi >> 8 & 0xf0ff),
    };

    if (s.attr & SEG_ATTR_G)
        s.limit = s.limit << 12 | 0xfff;
    return s;
}

static bool is_expand_down(const struct x86_segment *s)
{
    return (s->attr & (SEG_ATTR_S | SEG_TYPE_CODE | SEG_TYPE_CONFORMING)) ==
           (SEG_ATTR_S | SEG_TYPE_CONFORMING);
}

bool seg_covers(const struct x86_segment *seg, uint32_t off, unsigned size)
{
    uint64_t last = (uint64_t)off + size - 1;

    if (is_expand_down(seg))
        return off > seg->limit && last <= (seg->attr & SEG_ATTR_DB ? 0xffffffffu : 0xffffu);
    return last <= seg->limit;
}

bool seg_find_descriptor(const struct x86_cpu *c, uint16_t selector, unsigned size,
                         uint64_t *ret_va)
{
    uint32_t off = selector & 0xfff8u;
    uint64_t base = c->gdtr.base;
    uint32_t limit = c->gdtr.limit;

    if (selector & 4) {
        if (!(c->seg[X86_LDTR].attr & SEG_ATTR_P))
            return false;
        base = c->seg[X86_LDTR].base;
        limit = c->seg[X86_LDTR].limit;
    }
    if (off + size - 1 > limit)
        return false;
    *ret_va = base + off;
    if (!in_long_mode(c))
        *ret_va = (uint32_t)*ret_va;
    return true;
}

bool seg_read_descriptor(struct x86_cpu *c, uint16_t selector, uint8_t vector,
                         struct descriptor *ret)
{
    struct loaded l;

    if (!seg_find_descriptor(c, selector, 8, &ret->va))
        return fault_code(c, vector, selector & 0xfffc);
    l = mmu_load(c, ret->va, 8, MMU_IMPLICIT, false);
    ret->raw = l.value;
    return l.ok;
}

bool seg_read_upper(struct x86_cpu *c, uint16_t selector, uint8_t vector,
                    const struct descriptor *d, uint64_t *ret)
{
    struct loaded l;
    uint64_t va;

    if (!seg_find_descriptor(c, selector, 16, &va))
        return fault_code(c, vector, selector & 0xfffc);
    l = mmu_load(c, d->va + 8, 8, MMU_IMPLICIT, false);
    *ret = l.value;
    return l.ok;
}

bool seg_mark_accessed(struct x86_cpu *c, struct descriptor *d)
{
    if (d->raw & BIT(40))
        return true;
    d->raw |= BIT(40);
    return mmu_store(c, d->va + 5, 1, d->raw >> 40 & 0xff, MMU_IMPLICIT, false);
}

void seg_set_null(struct x86_cpu *c, enum x86_seg seg, uint16_t selector)
{
    c->seg[seg] = (struct x86_segment){.selector = selector};
}

void seg_load_real(struct x86_cpu *c, enum x86_seg seg, uint16_t selector)
{
    struct x86_segment *s = &c->seg[seg];

    s->selector = selector;
    s->base = (uint64_t)selector << 4;
    /* Limit and size are not touched: that is what "unreal" mode lives on. */
    s->attr = (uint16_t)((s->attr & (SEG_ATTR_DB | SEG_ATTR_G)) | 0x93);
}

void seg_load_v86(struct x86_cpu *c, enum x86_seg seg, uint16_t selector)
{
    c->seg[seg] = (struct x86_segment){
        .base = (uint64_t)selector << 4, .limit = 0xffff, .selector = selector, .attr = 0xf3};
}

bool seg_read_stack(struct x86_cpu *c, uint16_t selector, unsigned cpl, uint8_t vector,
                    bool null_ok, struct x86_segment *ret)
{
    struct descriptor d;

    if (selector_is_null(selector)) {
        if (!null_ok || cpl == 3 || (selector & 3) != cpl)
            return fault_code(c, vector, 0);
        /* Not usable, but its DPL still says what CPL is. */
        *ret = (struct x86_segment){.selector = selector,
                                    .attr = (uint16_t)(cpl << SEG_ATTR_DPL_SHIFT)};
        return true;
    }
    if (!seg_read_descriptor(c, selector, vector, &d))
        return false;
    if ((selector & 3) != cpl || desc_dpl(d.raw) != cpl || !desc_is_writable_data(d.raw))
        return fault_code(c, vector, selector & 0xfffc);
    if (!desc_present(d.raw))
        return fault_code(c, X86_SS_FAULT, selector & 0xfffc);
    if (!seg_mark_accessed(c, &d))
        return false;
    *ret = seg_parse(selector, d.raw);
    return true;
}

static bool load_data(struct x86_cpu *c, enum x86_seg seg, uint16_t selector)
{
    struct descriptor d;
    unsigned type;

    if (selector_is_null(selector)) {
        seg_set_null(c, seg, selector);
        return true;
    }
    if (!seg_read_descriptor(c, selector, X86_GP, &d))
        return false;
    type = desc_type(d.raw);
    if (!desc_is_segment(d.raw) || (type & (SEG_TYPE_CODE | SEG_TYPE_WRITE)) == SEG_TYPE_CODE)
        return fault_code(c, X86_GP, selector & 0xfffc);
    if ((type & (SEG_TYPE_CODE | SEG_TYPE_CONFORMING)) != (SEG_TYPE_CODE | SEG_TYPE_CONFORMING) &&
        ((selector & 3u) > desc_dpl(d.raw) || c->cpl > desc_dpl(d.raw)))
        return fault_code(c, X86_GP, selector & 0xfffc);
    if (!desc_present(d.raw))
        return fault_code(c, X86_NP, selector & 0xfffc);
    if (!seg_mark_accessed(c, &d))
        return false;
    c->seg[seg] = seg_parse(selector, d.raw);
    return true;
}

bool seg_load(struct x86_cpu *c, enum x86_seg seg, uint16_t selector)
{
    struct x86_segment ss;

    if (!(c->cr0 & X86_CR0_PE)) {
        seg_load_real(c, seg, selector);
    } else if (c->rflags & X86_FLAG_VM) {
        seg_load_v86(c, seg, selector);
    } else if (seg == X86_SS) {
        if (!seg_read_stack(c, selector, c->cpl, X86_GP, in_64bit(c), &ss))
            return false;
        c->seg[X86_SS] = ss;
    } else if (!load_data(c, seg, selector)) {
        return false;
    }
    cpu_recompute(c);
    return true;
}

void seg_invalidate(struct x86_cpu *c, enum x86_seg seg)
{
    c->seg[seg].selector = 0;
    c->seg[seg].attr &= (uint16_t)~SEG_ATTR_P;
}

void seg_drop_inner(struct x86_cpu *c)
{
    static const uint8_t data[] = {X86_ES, X86_DS, X86_FS, X86_GS};

    for (unsigned n = 0; n < ARRAY_SIZE(data); n++) {
        const struct x86_segment *s = &c->seg[data[n]];
        bool conforming = (s->attr & (SEG_TYPE_CODE | SEG_TYPE_CONFORMING)) ==
                          (SEG_TYPE_CODE | SEG_TYPE_CONFORMING);

        if (!(s->attr & SEG_ATTR_P) ||
            (!conforming && (s->attr & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT < c->cpl))
            seg_invalidate(c, data[n]);
    }
}

/* ---- derived state ---- */

static bool is_flat(const struct x86_segment *s)
{
    return !s->base && s->limit == 0xffffffffu && (s->attr & SEG_ATTR_P);
}

static enum x86_code_size current_code_size(const struct x86_cpu *c)
{
    uint16_t attr = c->seg[X86_CS].attr;

    if (in_long_mode(c) && (attr & SEG_ATTR_L))
        return X86_CODE_64;
    return attr & SEG_ATTR_DB ? X86_CODE_32 : X86_CODE_16;
}

static bool is_flat_data(const struct x86_segment *s)
{
    return is_flat(s) && (s->attr & (SEG_TYPE_CODE | SEG_TYPE_CONFORMING | SEG_TYPE_WRITE)) ==
                               SEG_TYPE_WRITE;
}

static bool is_flat32(const struct x86_cpu *c)
{
    return c->code_size == X86_CODE_32 && !in_real_or_v86(c) && c->cs_flat && c->stack32 &&
           is_flat_data(&c->seg[X86_SS]) && is_flat_data(&c->seg[X86_DS]) &&
           is_flat_data(&c->seg[X86_ES]);
}

void cpu_recompute(struct x86_cpu *c)
{
    c->code_size = (uint8_t)current_code_size(c);
    c->cs_flat = is_flat(&c->seg[X86_CS]);
    c->ss_flat = is_flat(&c->seg[X86_SS]) && !is_expand_down(&c->seg[X86_SS]);
    c->stack32 = c->seg[X86_SS].attr & SEG_ATTR_DB;
    c->flat32 = is_flat32(c);
    for (unsigned n = 0; n < EA_BASE_COUNT; n++)
        c->ea_base[n] = in_64bit(c) && n < X86_FS ? 0 : c->seg[n].base;
    if (in_64bit(c))
        mmu_privilege_changed(c);
    else
        mmu_mode_changed(c); /* the base of CS may have moved */
}

void cpu_recompute_flat(struct x86_cpu *c, unsigned cpl, enum x86_code_size size)
{
    c->cpl = (uint8_t)cpl;
    if (size != X86_CODE_64 || c->code_size != X86_CODE_64) {
        cpu_recompute(c);
        return;
    }
    c->cs_flat = c->ss_flat = c->stack32 = true;
    mmu_privilege_changed(c);
}
