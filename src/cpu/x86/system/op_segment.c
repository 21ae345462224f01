/* SPDX-License-Identifier: MIT */
/* Instructions that load and store segment registers and their bases. SDM vol. 2. */
#include "cpu/x86/system/operand.h"
#include "cpu/x86/system/ops.h"
#include "cpu/x86/system/segment.h"

/* After SS has been loaded nothing may come between this instruction and the next, which is
 * going to load SP. */
static void after_load(struct x86_cpu *c, const struct insn *i, unsigned seg)
{
    if (seg != X86_SS) {
        insn_next_block(c, i);
        return;
    }
    c->mov_ss_shadow = true;
    insn_end(c, i);
}

void op_mov_to_seg(struct x86_cpu *c, const struct insn *i)
{
    struct loaded v = op_load(c, i, 2);

    if (!v.ok)
        return;
    OR_FAULT(seg_load(c, i->reg, (uint16_t)v.value));
    after_load(c, i, i->reg);
}

void op_mov_from_seg(struct x86_cpu *c, const struct insn *i)
{
    if (!op_store16(c, i, c->seg[i->reg].selector))
        return;
    NEXT;
}

static noinline bool push_selector(struct x86_cpu *c, unsigned size, uint16_t selector)
{
    struct stack s = stack_current(c);
    uint64_t sp = (s.sp - size) & s.mask;

    /* Only the selector is written where the slot is wider, as current CPUs do. */
    s.sp = (s.sp & ~s.mask) | ((sp + 2) & s.mask);
    if (!stack_push(c, &s, 2, selector))
        return false;
    stack_commit(c, &s);
    return true;
}

static noinline bool pop_selector(struct x86_cpu *c, unsigned size, unsigned seg)
{
    struct stack s = stack_current(c);
    uint64_t selector;

    if (!stack_pop(c, &s, 2, &selector))
        return false;
    s.sp = (s.sp & ~s.mask) | ((s.sp + size - 2) & s.mask);
    if (!seg_load(c, seg, (uint16_t)selector))
        return false;
    /* SP moves by the width of the stack it was popped from. */
    stack_commit(c, &s);
    return true;
}

void op_push_seg(struct x86_cpu *c, const struct insn *i)
{
    OR_FAULT(push_selector(c, i->aux, c->seg[i->reg].selector));
    NEXT;
}

void op_pop_seg(struct x86_cpu *c, const struct insn *i)
{
    OR_FAULT(pop_selector(c, i->aux, i->reg));
    after_load(c, i, i->reg);
}

/* LDS, LES, LFS, LGS, LSS. imm: the segment register (bind_system.c). */
void op_load_far(struct x86_cpu *c, const struct insn *i)
{
    enum x86_seg seg = (enum x86_seg)i->imm;
    struct loaded va = op_address(c, i, i->aux + 2u, false);
    struct loaded off, sel;

    if (!va.ok)
        return;
    off = insn_load_slow(c, i, va.value, i->aux);
    if (!off.ok)
        return;
    sel = insn_load_slow(c, i, va.value + i->aux, 2);
    if (!sel.ok)
        return;
    OR_FAULT(seg_load(c, seg, (uint16_t)sel.value));
    reg_write(c, i->reg, i->aux, off.value);
    insn_end(c, i);
}

void op_swapgs(struct x86_cpu *c, const struct insn *i)
{
    uint64_t base = c->seg[X86_GS].base;

    REQUIRE_CPL0();
    c->seg[X86_GS].base = c->ea_base[X86_GS] = c->kernel_gs_base;
    c->kernel_gs_base = base;
    insn_next_block(c, i);
}

/* RD/WR FS/GS BASE. imm: the segment register. */
void op_rdbase(struct x86_cpu *c, const struct insn *i)
{
    if (!(c->cr4 & X86_CR4_FSGSBASE))
        INSN_UD();
    reg_write(c, i->rm, i->aux, c->seg[i->imm].base);
    NEXT;
}

void op_wrbase(struct x86_cpu *c, const struct insn *i)
{
    uint64_t base = i->aux == 8 ? c->reg[i->rm] : (uint32_t)c->reg[i->rm];

    if (!(c->cr4 & X86_CR4_FSGSBASE))
        INSN_UD();
    if (!is_canonical(base))
        INSN_GP0();
    c->seg[i->imm].base = c->ea_base[i->imm] = base;
    insn_next_block(c, i);
}
