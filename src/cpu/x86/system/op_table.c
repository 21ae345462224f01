/* SPDX-License-Identifier: MIT */
/* Descriptor tables and the instructions that look at descriptors: LGDT and kin, LLDT, LTR, LAR,
 * LSL, VERR, VERW, ARPL. SDM vol. 2. */
#include "cpu/x86/system/operand.h"
#include "cpu/x86/system/ops.h"
#include "cpu/x86/system/segment.h"

static bool load_table(struct x86_cpu *c, const struct insn *i, struct x86_table *ret)
{
    unsigned size = in_64bit(c) ? 8 : 4;
    struct loaded va = op_address(c, i, 2 + size, false);
    struct loaded limit, base;

    if (!va.ok)
        return false;
    limit = insn_load_slow(c, i, va.value, 2);
    if (!limit.ok)
        return false;
    base = insn_load_slow(c, i, va.value + 2, size);
    if (!base.ok)
        return false;
    if (!is_canonical(base.value) && size == 8) {
        c->rip = insn_rip(c, i);
        return fault_code(c, X86_GP, 0);
    }
    ret->limit = (uint16_t)limit.value;
    ret->base = i->aux == 2 && size == 4 ? base.value & 0xffffff : base.value;
    return true;
}

static bool store_table(struct x86_cpu *c, const struct insn *i, const struct x86_table *t)
{
    unsigned size = in_64bit(c) ? 8 : 4;
    struct loaded va = op_address(c, i, 2 + size, true);

    return va.ok && insn_store_slow(c, i, va.value, 2, t->limit) &&
           insn_store_slow(c, i, va.value + 2, size, t->base);
}

void op_lgdt(struct x86_cpu *c, const struct insn *i)
{
    REQUIRE_CPL0();
    if (load_table(c, i, &c->gdtr))
        insn_end(c, i);
}

void op_lidt(struct x86_cpu *c, const struct insn *i)
{
    REQUIRE_CPL0();
    if (load_table(c, i, &c->idtr))
        insn_end(c, i);
}

void op_sgdt(struct x86_cpu *c, const struct insn *i)
{
    if (umip_forbids(c))
        INSN_GP0();
    if (!store_table(c, i, &c->gdtr))
        return;
    NEXT;
}

void op_sidt(struct x86_cpu *c, const struct insn *i)
{
    if (umip_forbids(c))
        INSN_GP0();
    if (!store_table(c, i, &c->idtr))
        return;
    NEXT;
}

static bool load_ldt(struct x86_cpu *c, uint16_t selector)
{
    struct descriptor d;
    uint64_t upper = 0;

    if (selector_is_null(selector)) {
        seg_set_null(c, X86_LDTR, selector);
        return true;
    }
    if (selector & 4)
        return fault_code(c, X86_GP, selector & 0xfffc);
    if (!seg_read_descriptor(c, selector, X86_GP, &d))
        return false;
    if (in_long_mode(c) && !seg_read_upper(c, selector, X86_GP, &d, &upper))
        return false;
    if (desc_is_segment(d.raw) || desc_type(d.raw) != SYS_LDT || (upper >> 40 & 0x1f))
        return fault_code(c, X86_GP, selector & 0xfffc);
    if (!desc_present(d.raw))
        return fault_code(c, X86_NP, selector & 0xfffc);
    if (!is_canonical(upper << 32))
        return fault_code(c, X86_GP, selector & 0xfffc);
    c->seg[X86_LDTR] = seg_parse(selector, d.raw);
    c->seg[X86_LDTR].base |= upper << 32;
    return true;
}

static bool load_tr(struct x86_cpu *c, uint16_t selector)
{
    struct descriptor d;
    uint64_t upper = 0;
    unsigned type;

    if (selector_is_null(selector))
        return fault_code(c, X86_GP, 0);
    if (selector & 4)
        return fault_code(c, X86_GP, selector & 0xfffc);
    if (!seg_read_descriptor(c, selector, X86_GP, &d))
        return false;
    if (in_long_mode(c) && !seg_read_upper(c, selector, X86_GP, &d, &upper))
        return false;
    type = desc_type(d.raw);
    if (desc_is_segment(d.raw) || (upper >> 40 & 0x1f) ||
        (type != SYS_TSS_AVAIL && (type != SYS_TSS16_AVAIL || in_long_mode(c))))
        return fault_code(c, X86_GP, selector & 0xfffc);
    if (!desc_present(d.raw))
        return fault_code(c, X86_NP, selector & 0xfffc);
    if (!is_canonical(upper << 32))
        return fault_code(c, X86_GP, selector & 0xfffc);
    d.raw |= BIT(41); /* busy */
    if (!mmu_store(c, d.va + 5, 1, d.raw >> 40 & 0xff, MMU_IMPLICIT, false))
        return false;
    c->seg[X86_TR] = seg_parse(selector, d.raw);
    c->seg[X86_TR].base |= upper << 32;
    return true;
}

void op_lldt(struct x86_cpu *c, const struct insn *i)
{
    struct loaded v;

    if (in_real_or_v86(c))
        INSN_UD();
    REQUIRE_CPL0();
    v = op_load(c, i, 2);
    if (!v.ok)
        return;
    OR_FAULT(load_ldt(c, (uint16_t)v.value));
    insn_end(c, i);
}

void op_ltr(struct x86_cpu *c, const struct insn *i)
{
    struct loaded v;

    if (in_real_or_v86(c))
        INSN_UD();
    REQUIRE_CPL0();
    v = op_load(c, i, 2);
    if (!v.ok)
        return;
    OR_FAULT(load_tr(c, (uint16_t)v.value));
    insn_end(c, i);
}

void op_sldt(struct x86_cpu *c, const struct insn *i)
{
    if (in_real_or_v86(c))
        INSN_UD();
    if (umip_forbids(c))
        INSN_GP0();
    if (!op_store16(c, i, c->seg[X86_LDTR].selector))
        return;
    NEXT;
}

void op_str(struct x86_cpu *c, const struct insn *i)
{
    if (in_real_or_v86(c))
        INSN_UD();
    if (umip_forbids(c))
        INSN_GP0();
    if (!op_store16(c, i, c->seg[X86_TR].selector))
        return;
    NEXT;
}

/* ---- looking at descriptors ---- */

enum peek { PEEK_NO, PEEK_YES, PEEK_FAULT };

struct peeked {
    uint64_t raw;
    uint64_t found; /* enum peek */
};

/* The descriptor of selector, if there is one that CPL and RPL may see. system_types: which system
 * descriptors count, a bit per type. */
static noinline struct peeked peek(struct x86_cpu *c, uint16_t selector, unsigned system_types)
{
    struct loaded v;
    unsigned dpl;
    uint64_t va;

    if (selector_is_null(selector) || !seg_find_descriptor(c, selector, 8, &va))
        return (struct peeked){0, PEEK_NO};
    v = mmu_load(c, va, 8, MMU_IMPLICIT, false);
    if (!v.ok)
        return (struct peeked){0, PEEK_FAULT};
    dpl = desc_dpl(v.value);
    if (!desc_is_segment(v.value) && !(system_types >> desc_type(v.value) & 1))
        return (struct peeked){0, PEEK_NO};
    if (!(desc_is_code(v.value) && desc_is_conforming(v.value)) &&
        (c->cpl > dpl || (selector & 3u) > dpl))
        return (struct peeked){0, PEEK_NO};
    return (struct peeked){v.value, PEEK_YES};
}

static struct peeked peek_operand(struct x86_cpu *c, const struct insn *i, unsigned system_types)
{
    struct loaded v = op_load(c, i, 2);

    if (!v.ok)
        return (struct peeked){0, PEEK_FAULT};
    c->rip = insn_rip(c, i);
    return peek(c, (uint16_t)v.value, system_types);
}

static uint32_t limit_of(uint64_t raw)
{
    return seg_parse(0, raw).limit;
}

void op_lar(struct x86_cpu *c, const struct insn *i)
{
    struct peeked p;

    if (in_real_or_v86(c))
        INSN_UD();
    p = peek_operand(c, i, in_long_mode(c) ? 0x1a04 : 0x1a3e);
    if (p.found == PEEK_FAULT)
        return;
    if (p.found == PEEK_YES)
        reg_write(c, i->reg, i->aux, p.raw >> 32 & (i->aux == 2 ? 0xff00 : 0xffff00));
    set_zf(c, p.found == PEEK_YES);
    NEXT;
}

void op_lsl(struct x86_cpu *c, const struct insn *i)
{
    struct peeked p;

    if (in_real_or_v86(c))
        INSN_UD();
    p = peek_operand(c, i, in_long_mode(c) ? 0x0a04 : 0x0a0e);
    if (p.found == PEEK_FAULT)
        return;
    if (p.found == PEEK_YES)
        reg_write(c, i->reg, i->aux, limit_of(p.raw));
    set_zf(c, p.found == PEEK_YES);
    NEXT;
}

void op_verr(struct x86_cpu *c, const struct insn *i)
{
    struct peeked p;

    if (in_real_or_v86(c))
        INSN_UD();
    p = peek_operand(c, i, 0);
    if (p.found == PEEK_FAULT)
        return;
    /* Data is always readable. */
    set_zf(c, p.found == PEEK_YES && (!desc_is_code(p.raw) || (p.raw & BIT(41))));
    NEXT;
}

void op_verw(struct x86_cpu *c, const struct insn *i)
{
    struct peeked p;

    if (in_real_or_v86(c))
        INSN_UD();
    p = peek_operand(c, i, 0);
    if (p.found == PEEK_FAULT)
        return;
    set_zf(c, p.found == PEEK_YES && desc_is_writable_data(p.raw));
    NEXT;
}

void op_arpl(struct x86_cpu *c, const struct insn *i)
{
    uint16_t dst, rpl = c->reg[i->reg] & 3;
    struct loaded va = {0}, v;

    if (in_real_or_v86(c))
        INSN_UD();
    if (op_in_memory(i)) {
        va = op_address(c, i, 2, true);
        if (!va.ok)
            return;
        v = insn_load_rmw_slow(c, i, va.value, 2);
    } else {
        v = op_load(c, i, 2);
    }
    if (!v.ok)
        return;
    dst = (uint16_t)v.value;
    if ((dst & 3) < rpl) {
        dst = (uint16_t)((dst & 0xfffc) | rpl);
        if (!op_in_memory(i))
            reg_write(c, i->rm, 2, dst);
        else if (!insn_store_slow(c, i, va.value, 2, dst))
            return;
        set_zf(c, true);
    } else {
        set_zf(c, false);
    }
    NEXT;
}
