/* SPDX-License-Identifier: MIT */
/* Hardware task switching. SDM vol. 3, 8.3: the steps are numbered as there. */
#include "cpu/x86/system/task.h"

#include "cpu/x86/event.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/system/segment.h"

/* Where the dynamic fields are, figures 8-2 and 8-10. Segment selectors are in enum x86_seg
 * order. */
struct tss_layout {
    uint8_t size;   /* of a register */
    uint8_t eip;    /* then EFLAGS, 8 GPRs, segments, LDT */
    uint8_t segs, seg_count, ldt;
    uint8_t min_limit;
};

static const struct tss_layout tss32 = {4, 0x20, 0x48, 6, 0x60, 0x67};
static const struct tss_layout tss16 = {2, 0x0e, 0x22, 4, 0x2a, 0x2b};

struct task_image {
    uint32_t eip, eflags, gpr[8], cr3;
    uint16_t seg[6], ldt;
    bool trap;
};

static const struct tss_layout *layout_of(unsigned type)
{
    return type & 8 ? &tss32 : &tss16;
}

static bool save(struct x86_cpu *c, uint64_t rip, uint64_t rflags)
{
    const struct tss_layout *l = layout_of(c->seg[X86_TR].attr & SEG_ATTR_TYPE);
    uint64_t base = c->seg[X86_TR].base;
    unsigned len = l->segs + l->seg_count * l->size - l->eip;
    unsigned at = l->eip;

    if (!mmu_probe(c, base + at, len, MMU_WRITE, MMU_IMPLICIT, false))
        return false;
    if (!mmu_store(c, base + at, l->size, rip, MMU_IMPLICIT, false) ||
        !mmu_store(c, base + at + l->size, l->size, rflags, MMU_IMPLICIT, false))
        return false;
    at += 2u * l->size;
    for (unsigned n = 0; n < 8; n++, at += l->size)
        if (!mmu_store(c, base + at, l->size, c->reg[n], MMU_IMPLICIT, false))
            return false;
    for (unsigned n = 0; n < l->seg_count; n++)
        if (!mmu_store(c, base + l->segs + n * l->size, 2, c->seg[n].selector, MMU_IMPLICIT,
                       false))
            return false;
    return true;
}

static bool read_field(struct x86_cpu *c, uint64_t va, unsigned size, uint32_t *ret)
{
    struct loaded v = mmu_load(c, va, size, MMU_IMPLICIT, false);

    *ret = (uint32_t)v.value;
    return v.ok;
}

static bool read_image(struct x86_cpu *c, uint64_t base, const struct tss_layout *l,
                       struct task_image *ret)
{
    uint32_t v = 0;
    unsigned at = l->eip;

    *ret = (struct task_image){0};
    if (!read_field(c, base + at, l->size, &ret->eip) ||
        !read_field(c, base + at + l->size, l->size, &ret->eflags))
        return false;
    at += 2u * l->size;
    for (unsigned n = 0; n < 8; n++, at += l->size)
        if (!read_field(c, base + at, l->size, &ret->gpr[n]))
            return false;
    for (unsigned n = 0; n < l->seg_count; n++) {
        if (!read_field(c, base + l->segs + n * l->size, 2, &v))
            return false;
        ret->seg[n] = (uint16_t)v;
    }
    if (!read_field(c, base + l->ldt, 2, &v))
        return false;
    ret->ldt = (uint16_t)v;
    if (l->size == 2)
        return true;
    if (!read_field(c, base + 0x1c, 4, &ret->cr3) || !read_field(c, base + 0x64, 2, &v))
        return false;
    ret->trap = v & 1;
    return true;
}

static bool set_busy(struct x86_cpu *c, uint64_t va, bool busy)
{
    struct loaded v = mmu_load_for_write(c, va + 5, 1, MMU_IMPLICIT, false);
    uint64_t type = busy ? v.value | 2 : v.value & ~UINT64_C(2);

    return v.ok && mmu_store(c, va + 5, 1, type, MMU_IMPLICIT, false);
}

static bool load_ldt(struct x86_cpu *c, uint16_t selector)
{
    struct descriptor d;

    seg_set_null(c, X86_LDTR, selector);
    if (selector_is_null(selector))
        return true;
    if ((selector & 4) || !seg_find_descriptor(c, selector, 8, &d.va))
        return fault_code(c, X86_TS, selector & 0xfffc);
    if (!seg_read_descriptor(c, selector, X86_TS, &d))
        return false;
    if (desc_is_segment(d.raw) || desc_type(d.raw) != SYS_LDT || !desc_present(d.raw))
        return fault_code(c, X86_TS, selector & 0xfffc);
    c->seg[X86_LDTR] = seg_parse(selector, d.raw);
    return true;
}

static bool load_code(struct x86_cpu *c, uint16_t selector)
{
    struct descriptor d;
    unsigned rpl = selector & 3, dpl;

    if (selector_is_null(selector))
        return fault_code(c, X86_TS, 0);
    if (!seg_read_descriptor(c, selector, X86_TS, &d))
        return false;
    dpl = desc_dpl(d.raw);
    if (!desc_is_code(d.raw) || (desc_is_conforming(d.raw) ? dpl > rpl : dpl != rpl))
        return fault_code(c, X86_TS, selector & 0xfffc);
    if (!desc_present(d.raw))
        return fault_code(c, X86_NP, selector & 0xfffc);
    if (!seg_mark_accessed(c, &d))
        return false;
    c->seg[X86_CS] = seg_parse(selector, d.raw);
    return true;
}

/* Step 12 and after: exceptions are the new task's, and #TS rather than #GP. */
static bool load_segments(struct x86_cpu *c, const struct task_image *t)
{
    static const uint8_t data[] = {X86_ES, X86_DS, X86_FS, X86_GS};
    struct x86_segment ss;

    if (!load_ldt(c, t->ldt))
        return false;
    if (c->rflags & X86_FLAG_VM) {
        for (unsigned n = 0; n < 6; n++)
            seg_load_v86(c, n, t->seg[n]);
        cpu_recompute(c);
        return true;
    }
    if (!load_code(c, t->seg[X86_CS]) ||
        !seg_read_stack(c, t->seg[X86_SS], c->cpl, X86_TS, false, &ss))
        return false;
    c->seg[X86_SS] = ss;
    cpu_recompute(c);
    for (unsigned n = 0; n < ARRAY_SIZE(data); n++)
        if (!seg_load(c, data[n], t->seg[data[n]])) {
            if (c->fault.vector == X86_GP)
                c->fault.vector = X86_TS;
            return false;
        }
    if (c->rip > c->seg[X86_CS].limit)
        return fault_code(c, X86_GP, 0);
    return true;
}

static bool enter(struct x86_cpu *c, const struct task_image *t, const struct tss_layout *l,
                  enum task_how how)
{
    uint64_t flags = t->eflags;
    bool pages = true;

    c->cr0 |= X86_CR0_TS;
    fpu_mode_changed(c);
    if (l->size == 4 && (c->cr0 & X86_CR0_PG)) {
        pages = !(c->cr4 & X86_CR4_PAE) || mmu_load_pdptes(c, t->cr3);
        mmu_cr3_written(c, t->cr3, false);
    }
    if (how == TASK_CALL || how == TASK_BY_EVENT)
        flags |= X86_FLAG_NT;
    cpu_set_rflags(c, flags, l->size == 4 ? 0x3f7fd5 : 0x7fd5);
    c->rip = t->eip;
    for (unsigned n = 0; n < 8; n++)
        c->reg[n] = l->size == 4 ? t->gpr[n] : t->gpr[n] | 0xffff0000u;
    c->dr7 &= ~UINT64_C(0x155); /* local breakpoints */
    for (unsigned n = 0; n < 6; n++)
        seg_set_null(c, n, t->seg[n]);
    c->cpl = c->rflags & X86_FLAG_VM ? 3 : t->seg[X86_CS] & 3;
    cpu_recompute(c);
    if (!pages)
        return fault_code(c, X86_GP, 0);
    if (!load_segments(c, t))
        return false;
    if (t->trap) {
        c->dr6 |= X86_DR6_BT;
        cpu_raise(c, X86_DB, false, 0);
    }
    return true;
}

static bool read_tss(struct x86_cpu *c, uint16_t selector, enum task_how how,
                     struct descriptor *ret)
{
    uint8_t vector = how == TASK_IRET ? X86_TS : X86_GP;
    unsigned type;

    if ((selector & 4) || selector_is_null(selector))
        return fault_code(c, vector, selector & 0xfffc);
    if (!seg_read_descriptor(c, selector, vector, ret))
        return false;
    type = desc_type(ret->raw);
    if (desc_is_segment(ret->raw) || (type & 5) != 1 || !!(type & 2) != (how == TASK_IRET))
        return fault_code(c, vector, selector & 0xfffc);
    if (!desc_present(ret->raw))
        return fault_code(c, X86_NP, selector & 0xfffc);
    return true;
}

bool task_switch(struct x86_cpu *c, uint16_t selector, enum task_how how, uint64_t rip,
                 uint64_t rflags)
{
    uint16_t old = c->seg[X86_TR].selector;
    const struct tss_layout *l;
    struct task_image image;
    struct x86_segment tr;
    struct descriptor d;
    uint64_t old_va = 0;
    bool nested = how == TASK_CALL || how == TASK_BY_EVENT;

    if (!read_tss(c, selector, how, &d))
        return false;
    l = layout_of(desc_type(d.raw));
    tr = seg_parse(selector, d.raw | BIT(41));
    if (tr.limit < l->min_limit)
        return fault_code(c, X86_TS, selector & 0xfffc);
    if (how == TASK_IRET)
        rflags &= ~(uint64_t)X86_FLAG_NT;
    if (!read_image(c, tr.base, l, &image) || !save(c, rip, rflags))
        return false;
    if (!nested && seg_find_descriptor(c, old, 8, &old_va) && !set_busy(c, old_va, false))
        return false;
    if (nested && !mmu_store(c, tr.base, 2, old, MMU_IMPLICIT, false))
        return false;
    if (how != TASK_IRET && !set_busy(c, d.va, true))
        return false;
    c->seg[X86_TR] = tr;
    return enter(c, &image, l, how);
}

bool task_return(struct x86_cpu *c, uint64_t rip)
{
    struct loaded link = mmu_load(c, c->seg[X86_TR].base, 2, MMU_IMPLICIT, false);

    return link.ok && task_switch(c, (uint16_t)link.value, TASK_IRET, rip, cpu_rflags(c));
}
