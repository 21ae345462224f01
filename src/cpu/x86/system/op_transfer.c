/* SPDX-License-Identifier: MIT */
/* Far jumps, calls and returns as instructions, software interrupts, and the fast system calls.
 * SDM vol. 2; SYSCALL and SYSRET as Intel has them. */
#include "cpu/x86/system/far.h"
#include "cpu/x86/system/operand.h"
#include "cpu/x86/system/ops.h"
#include "cpu/x86/system/segment.h"

/* Go on at c->rip without the main loop, unless new flags want it: they may let in an interrupt
 * that is held back; or another engine, which may want what follows. */
static always_inline void go_on(struct x86_cpu *c, const struct insn *i)
{
    if (unlikely(event_must_step(c) || c->fault.pending ||
                 (c->intr_held && (c->rflags & X86_FLAG_IF)) ||
                 c->user_ends))
        insn_done(c, i);
    else
        insn_goto_indirect(c, i, c->rip);
}

/* imm: offset; disp: selector (bind_system.c). */
void op_jmp_far(struct x86_cpu *c, const struct insn *i)
{
    OR_FAULT(far_jump(c, (uint16_t)i->disp, i->imm, insn_next_rip(c, i)));
    insn_done(c, i);
}

void op_call_far(struct x86_cpu *c, const struct insn *i)
{
    OR_FAULT(far_call(c, (uint16_t)i->disp, i->imm, i->aux, insn_next_rip(c, i)));
    insn_done(c, i);
}

struct far_pointer {
    uint64_t offset;
    uint16_t selector;
    bool ok;
};

static struct far_pointer load_far_pointer(struct x86_cpu *c, const struct insn *i)
{
    struct far_pointer p = {.ok = false};
    struct loaded va = op_address(c, i, i->aux + 2u, false);
    struct loaded v;

    if (!va.ok)
        return p;
    v = insn_load_slow(c, i, va.value, i->aux);
    if (!v.ok)
        return p;
    p.offset = v.value;
    v = insn_load_slow(c, i, va.value + i->aux, 2);
    p.selector = (uint16_t)v.value;
    p.ok = v.ok;
    return p;
}

void op_jmp_far_ind(struct x86_cpu *c, const struct insn *i)
{
    struct far_pointer p = load_far_pointer(c, i);

    if (!p.ok)
        return;
    OR_FAULT(far_jump(c, p.selector, p.offset, insn_next_rip(c, i)));
    insn_done(c, i);
}

void op_call_far_ind(struct x86_cpu *c, const struct insn *i)
{
    struct far_pointer p = load_far_pointer(c, i);

    if (!p.ok)
        return;
    OR_FAULT(far_call(c, p.selector, p.offset, i->aux, insn_next_rip(c, i)));
    insn_done(c, i);
}

void op_ret_far(struct x86_cpu *c, const struct insn *i)
{
    OR_FAULT(far_return(c, i->aux, (uint16_t)i->imm));
    insn_done(c, i);
}

void op_iret(struct x86_cpu *c, const struct insn *i)
{
    OR_FAULT(far_iret(c, i->aux, insn_next_rip(c, i)));
    go_on(c, i);
}

/* ---- software interrupts ---- */

static void raise_soft(struct x86_cpu *c, const struct insn *i, uint8_t vector)
{
    c->rip = insn_rip(c, i);
    cpu_raise(c, vector, false, 0);
    c->fault.soft = true;
    c->fault.soft_len = i->len;
}

void op_int(struct x86_cpu *c, const struct insn *i)
{
    if ((c->rflags & X86_FLAG_VM) && (c->rflags & X86_FLAG_IOPL) != X86_FLAG_IOPL)
        INSN_GP0();
    raise_soft(c, i, (uint8_t)i->imm);
}

void op_int3(struct x86_cpu *c, const struct insn *i)
{
    raise_soft(c, i, X86_BP);
}

void op_into(struct x86_cpu *c, const struct insn *i)
{
    if (c->af & AF_OF)
        raise_soft(c, i, X86_OF);
    else
        insn_next_block(c, i);
}

/* A privileged software exception: delivered as a trap, without the check of the gate's DPL. */
void op_int1(struct x86_cpu *c, const struct insn *i)
{
    insn_end(c, i);
    cpu_raise(c, X86_DB, false, 0);
}

/* ---- fast system calls ---- */

static void set_flat(struct x86_cpu *c, enum x86_seg seg, unsigned selector, unsigned attr,
                     unsigned dpl)
{
    c->seg[seg] = (struct x86_segment){
        .limit = 0xffffffffu, .selector = (uint16_t)selector,
        .attr = (uint16_t)(attr | dpl << SEG_ATTR_DPL_SHIFT)};
}

static void enter_flat(struct x86_cpu *c, unsigned cs, unsigned ss, unsigned cpl, bool is_long)
{
    set_flat(c, X86_CS, cs, is_long ? SEG_ATTR_CODE64 : SEG_ATTR_CODE32, cpl);
    set_flat(c, X86_SS, ss, SEG_ATTR_DATA32, cpl);
    cpu_recompute_flat(c, cpl, is_long ? X86_CODE_64 : X86_CODE_32);
}

void op_syscall(struct x86_cpu *c, const struct insn *i)
{
    unsigned cs = (unsigned)(c->star >> 32) & 0xfffc;
    uint64_t flags = cpu_rflags(c) & ~(uint64_t)X86_FLAG_RF;

    if (!(c->efer & X86_EFER_SCE) || !in_64bit(c))
        INSN_UD();
    c->count.syscalls++;
    c->reg[X86_RCX] = insn_next_rip(c, i);
    c->reg[X86_R11] = flags;
    if (unlikely(flags & c->fmask & X86_FLAG_TF))
        c->watch_hits |= EVENT_NO_STEP_TRAP;
    cpu_set_rflags(c, flags & ~c->fmask, ~UINT64_C(0));
    c->rip = c->lstar;
    enter_flat(c, cs, cs + 8, 0, true);
    go_on(c, i);
}

/* TF counts as SYSRET leaves it, not as it finds it: the trap comes at once, as if the SYSCALL that it answers had just
 * ended. (Both makers' processors; Linux therefore returns by IRET where TF is set.) */
static void step_after_sysret(struct x86_cpu *c, bool tf_was_set)
{
    if (c->rflags & X86_FLAG_TF) {
        c->dr6 |= X86_DR6_BS;
        cpu_raise(c, X86_DB, false, 0);
    } else if (tf_was_set) {
        c->watch_hits |= EVENT_NO_STEP_TRAP;
    }
}

void op_sysret(struct x86_cpu *c, const struct insn *i)
{
    bool tf = c->rflags & X86_FLAG_TF;
    unsigned base = (unsigned)(c->star >> 48);
    bool is_long = i->aux == 8;

    if (!(c->efer & X86_EFER_SCE) || !in_64bit(c))
        INSN_UD();
    REQUIRE_CPL0();
    if (is_long && !is_canonical(c->reg[X86_RCX]))
        INSN_GP0();
    c->rip = is_long ? c->reg[X86_RCX] : (uint32_t)c->reg[X86_RCX];
    cpu_set_rflags(c, c->reg[X86_R11] & 0x3c7fd7, ~UINT64_C(0));
    enter_flat(c, (is_long ? base + 16 : base) | 3, (base + 8) | 3, 3, is_long);
    if (unlikely(tf || (c->rflags & X86_FLAG_TF)))
        step_after_sysret(c, tf);
    go_on(c, i);
}

void op_sysenter(struct x86_cpu *c, const struct insn *i)
{
    unsigned cs = (unsigned)c->sysenter_cs & 0xfffc;
    bool is_long = in_long_mode(c);

    if (!(c->cr0 & X86_CR0_PE) || !cs)
        INSN_GP0();
    c->reg[X86_RSP] = is_long ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
    c->rip = is_long ? c->sysenter_eip : (uint32_t)c->sysenter_eip;
    cpu_set_rflags(c, 0, X86_FLAG_VM | X86_FLAG_IF | X86_FLAG_RF);
    enter_flat(c, cs, cs + 8, 0, is_long);
    insn_done(c, i);
}

void op_sysexit(struct x86_cpu *c, const struct insn *i)
{
    unsigned base = (unsigned)c->sysenter_cs & 0xfffc;
    bool is_long = i->aux == 8;
    uint64_t rsp = c->reg[X86_RCX], rip = c->reg[X86_RDX];

    if (!(c->cr0 & X86_CR0_PE) || !base || c->cpl != 0)
        INSN_GP0();
    if (is_long && !(is_canonical(rsp) && is_canonical(rip)))
        INSN_GP0();
    c->reg[X86_RSP] = is_long ? rsp : (uint32_t)rsp;
    c->rip = is_long ? rip : (uint32_t)rip;
    base += is_long ? 32 : 16;
    enter_flat(c, base | 3, (base + 8) | 3, 3, is_long);
    insn_done(c, i);
}
