/* SPDX-License-Identifier: MIT */
/* The stack: PUSH POP PUSHA POPA PUSHF POPF ENTER LEAVE. The functions named 64 are for 64-bit
 * mode, the others for all; there vreg holds the operand size in bytes. RSP changes last. */
#include "cpu/x86/event.h"
#include "cpu/x86/interp/interp.h"

/* Linear address of a stack access. */
static struct loaded stack_linear(struct x86_cpu *c, const struct insn *i, uint64_t sp,
                                  unsigned size, bool write)
{
    sp &= stack_mask(c);
    if (in_64bit(c))
        return (struct loaded){sp, true};
    return seg_linear(c, i, X86_SS, sp, size, write);
}

SLOW_ENTRY struct loaded stack_load_entry(struct x86_cpu *c, const struct insn *i, uint64_t sp,
                                          unsigned size)
{
    struct loaded l = stack_linear(c, i, sp, size, false);

    if (likely(l.ok)) {
        l = load_linear(c, l.value, size, true);
        if (unlikely(!l.ok))
            c->rip = insn_rip(c, i);
    }
    return l;
}

SLOW_ENTRY struct loaded stack_store_entry(struct x86_cpu *c, const struct insn *i, uint64_t sp,
                                           unsigned size, uint64_t value)
{
    struct loaded l = stack_linear(c, i, sp, size, true);

    if (likely(l.ok)) {
        l.ok = store_linear(c, l.value, size, value, true);
        if (unlikely(!l.ok))
            c->rip = insn_rip(c, i);
    }
    return l;
}

/* ---- PUSH and POP in 64-bit mode ---- */

#define PUSH_POP_64(bits)                                                                          \
    INSN(push##bits##_64_r)                                                                        \
    {                                                                                              \
        PUSH64(bits, R##bits(i->rm));                                                              \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(push##bits##_64_i)                                                                        \
    {                                                                                              \
        PUSH64(bits, i->imm);                                                                      \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(push##bits##_64_m)                                                                        \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
                                                                                                   \
        LOAD(bits, v);                                                                             \
        PUSH64(bits, v);                                                                           \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(pop##bits##_64_r)                                                                         \
    {                                                                                              \
        uint64_t sp = c->reg[X86_RSP];                                                             \
        uint##bits##_t v;                                                                          \
                                                                                                   \
        STACK_LOAD_AT(bits, v, sp);                                                                \
        c->reg[X86_RSP] = sp + bits / 8;                                                           \
        SET_R##bits(i->rm, v);                                                                     \
        NEXT;                                                                                      \
    }
PUSH_POP_64(16) PUSH_POP_64(64)

/* ---- PUSH and POP in any mode ---- */

#define PUSH_ANY(value)                                                                            \
    do {                                                                                           \
        uint64_t sp_ = c->reg[X86_RSP] - i->vreg;                                                  \
        if (unlikely(!stack_store(c, i, sp_, i->vreg, value)))                                     \
            return;                                                                                \
        stack_set(c, sp_);                                                                         \
    } while (0)

INSN(push_r)
{
    PUSH_ANY(c->reg[i->rm]);
    NEXT;
}

INSN(push_i)
{
    PUSH_ANY(i->imm);
    NEXT;
}

INSN(push_m)
{
    struct loaded l;
    const void *host;
    uint64_t va;

    INSN_EA(va, i->vreg, false);
    host = tlb_read_host(c, va, i->vreg);
    l = likely(host) ? (struct loaded){host_load(host, i->vreg), true}
                     : insn_load_slow(c, i, va, i->vreg);
    if (unlikely(!l.ok))
        return;
    PUSH_ANY(l.value);
    NEXT;
}

/* Write a general register of the operand's size. */
static always_inline void set_sized(struct x86_cpu *c, unsigned reg, unsigned size, uint64_t v)
{
    if (size == 2)
        SET_R16(reg, v);
    else
        c->reg[reg] = size == 4 ? (uint32_t)v : v;
}

INSN(pop_r)
{
    uint64_t sp = c->reg[X86_RSP];
    struct loaded l = stack_load(c, i, sp, i->vreg);

    if (unlikely(!l.ok))
        return;
    stack_set(c, sp + i->vreg);
    set_sized(c, i->rm, i->vreg, l.value);
    NEXT;
}

/* An address with RSP as base is computed after RSP has been incremented (SDM vol. 2, POP). */
INSN(pop_m)
{
    uint64_t sp = c->reg[X86_RSP];
    struct loaded l = stack_load(c, i, sp, i->vreg), ea;
    void *host;

    if (unlikely(!l.ok))
        return;
    stack_set(c, sp + i->vreg);
    ea = insn_ea_slow(c, i, i->vreg, true);
    host = tlb_write_host(c, ea.value, i->vreg);
    if (likely(ea.ok && host)) {
        host_store(host, i->vreg, l.value);
    } else if (unlikely(!ea.ok || !insn_store_slow(c, i, ea.value, i->vreg, l.value))) {
        c->reg[X86_RSP] = sp;
        return;
    }
    NEXT;
}

INSN(pusha)
{
    uint64_t sp = c->reg[X86_RSP];

    for (unsigned n = 0; n < 8; n++) {
        sp -= i->vreg;
        if (unlikely(!stack_store(c, i, sp, i->vreg, c->reg[n])))
            return;
    }
    stack_set(c, sp);
    NEXT;
}

/* Every word is read before a register changes; that of rSP is skipped. */
INSN(popa)
{
    uint64_t sp = c->reg[X86_RSP];
    unsigned size = i->vreg;
    struct loaded di = stack_load(c, i, sp, size), si, bp, bx, dx, cx, ax;

    if (unlikely(!di.ok))
        return;
#define POPA_LOAD(var, n)                                                                          \
    (var) = stack_load(c, i, sp + (n) * size, size);                                               \
    if (unlikely(!(var).ok))                                                                       \
        return
    POPA_LOAD(si, 1);
    POPA_LOAD(bp, 2);
    POPA_LOAD(bx, 4);
    POPA_LOAD(dx, 5);
    POPA_LOAD(cx, 6);
    POPA_LOAD(ax, 7);
#undef POPA_LOAD
    stack_set(c, sp + 8 * size);
    set_sized(c, X86_RDI, size, di.value);
    set_sized(c, X86_RSI, size, si.value);
    set_sized(c, X86_RBP, size, bp.value);
    set_sized(c, X86_RBX, size, bx.value);
    set_sized(c, X86_RDX, size, dx.value);
    set_sized(c, X86_RCX, size, cx.value);
    set_sized(c, X86_RAX, size, ax.value);
    NEXT;
}

/* ---- flags, SDM vol. 2, PUSHF and POPF ---- */

static always_inline unsigned iopl(const struct x86_cpu *c)
{
    return (c->rflags & X86_FLAG_IOPL) >> 12;
}

/* In virtual-8086 mode with IOPL below 3 the instructions fault, or with CR4.VME, and 16 bits,
 * see VIF in place of IF. */
static always_inline bool v86_limited(const struct x86_cpu *c)
{
    return (c->rflags & X86_FLAG_VM) && iopl(c) < 3;
}

INSN(pushf)
{
    uint64_t f = cpu_rflags(c) & ~(uint64_t)(X86_FLAG_VM | X86_FLAG_RF);

    if (unlikely(v86_limited(c))) {
        if (!(c->cr4 & X86_CR4_VME) || i->vreg != 2)
            INSN_GP0();
        f = (f & ~(uint64_t)X86_FLAG_IF) | X86_FLAG_IOPL | (f & X86_FLAG_VIF ? X86_FLAG_IF : 0);
    }
    PUSH_ANY(f);
    NEXT;
}

/* Which flags POPF may change here. */
static uint64_t popf_mask(const struct x86_cpu *c, unsigned size)
{
    uint64_t mask = X86_FLAGS_ARITH | X86_FLAG_TF | X86_FLAG_DF | X86_FLAG_NT;

    if (size > 2)
        mask |= X86_FLAG_AC | X86_FLAG_ID | X86_FLAG_RF;
    if (c->cpl == 0)
        mask |= X86_FLAG_IOPL;
    if (c->cpl <= iopl(c))
        mask |= X86_FLAG_IF;
    return mask;
}

INSN(popf)
{
    uint64_t sp = c->reg[X86_RSP], mask, value, old = c->rflags, changed;
    struct loaded l = stack_load(c, i, sp, i->vreg);

    if (unlikely(!l.ok))
        return;
    value = l.value & ~(uint64_t)X86_FLAG_RF; /* POPF clears RF */
    mask = popf_mask(c, i->vreg);
    if (unlikely(v86_limited(c))) {
        if (!(c->cr4 & X86_CR4_VME) || i->vreg != 2 || (value & X86_FLAG_TF) ||
            ((value & X86_FLAG_IF) && (old & X86_FLAG_VIP)))
            INSN_GP0();
        mask = (mask & ~(uint64_t)(X86_FLAG_IF | X86_FLAG_IOPL)) | X86_FLAG_VIF;
        value = (value & ~(uint64_t)X86_FLAG_VIF) | (value & X86_FLAG_IF ? X86_FLAG_VIF : 0);
    }
    stack_set(c, sp + i->vreg);
    cpu_set_rflags(c, value, mask);
    changed = old ^ c->rflags;
    /* Only these need the main loop: interrupts may be due, single steps, other mappings. */
    if (((changed & X86_FLAG_IF) && (c->rflags & X86_FLAG_IF)) || (c->rflags & X86_FLAG_TF) ||
        (changed & (X86_FLAG_AC | X86_FLAG_VIF))) {
        insn_end(c, i);
        return;
    }
    insn_goto(c, i, 0, insn_next_rip(c, i));
}

/* ---- frames ---- */

INSN(leave_64)
{
    uint64_t bp = c->reg[X86_RBP], v;

    STACK_LOAD_AT(64, v, bp);
    c->reg[X86_RSP] = bp + 8;
    c->reg[X86_RBP] = v;
    NEXT;
}

INSN(leave)
{
    uint64_t bp = c->reg[X86_RBP];
    struct loaded l = stack_load(c, i, bp, i->vreg);

    if (unlikely(!l.ok))
        return;
    stack_set(c, bp + i->vreg);
    set_sized(c, X86_RBP, i->vreg, l.value);
    NEXT;
}

/* ENTER faults where a write at the final stack pointer would, SDM vol. 2. */
static noinline bool stack_writable(struct x86_cpu *c, const struct insn *i, uint64_t sp,
                                    unsigned size)
{
    struct loaded l = stack_linear(c, i, sp, size, true);

    if (l.ok && (tlb_slot(c->tlb, l.value)->write == tlb_page(l.value + size - 1) ||
                 mmu_probe(c, l.value, size, MMU_WRITE, MMU_CURRENT, true)))
        return true;
    c->rip = insn_rip(c, i);
    return false;
}

/* imm: bytes to reserve, aux: nesting level 0..31. */
INSN(enter)
{
    uint64_t sp = c->reg[X86_RSP] - i->vreg, bp = c->reg[X86_RBP], frame = sp;

    if (unlikely(!stack_store(c, i, sp, i->vreg, bp)))
        return;
    for (unsigned n = 1; n < i->aux; n++) {
        struct loaded l;

        bp -= i->vreg;
        sp -= i->vreg;
        l = stack_load(c, i, bp, i->vreg);
        if (unlikely(!l.ok || !stack_store(c, i, sp, i->vreg, l.value)))
            return;
    }
    if (i->aux > 0) {
        sp -= i->vreg;
        if (unlikely(!stack_store(c, i, sp, i->vreg, frame)))
            return;
    }
    if (unlikely(!stack_writable(c, i, sp - i->imm, i->vreg)))
        return;
    set_sized(c, X86_RBP, i->vreg, frame);
    stack_set(c, sp - i->imm);
    NEXT;
}

/* ---- binding ---- */

static bool bind_push(const struct x86_cpu *c, const struct x86_decoded *d, struct insn *i)
{
    static insn_fn *const any[3] = { push_r, push_i, push_m };
    static insn_fn *const in64[2][3] = {
        { push16_64_r, push16_64_i, push16_64_m }, { push64_64_r, push64_64_i, push64_64_m },
    };
    unsigned kind = d->operand[0].kind;
    unsigned form = kind == X86_OPERAND_GPR ? 0 : kind == X86_OPERAND_IMM ? 1 : 2;

    if (form == 0)
        i->rm = d->operand[0].reg;
    i->fn = in_64bit(c) ? in64[i->vreg == 8][form] : any[form];
    return true;
}

static bool bind_pop(const struct x86_cpu *c, const struct x86_decoded *d, struct insn *i)
{
    if (d->has_mem) {
        i->fn = pop_m;
        return true;
    }
    i->rm = d->operand[0].reg;
    i->fn = !in_64bit(c) ? pop_r : i->vreg == 8 ? pop64_64_r : pop16_64_r;
    return true;
}

bool stack_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
                struct insn *i)
{
    /* Stack operations have no 32-bit form in 64-bit mode. */
    unsigned size = in_64bit(c) && d->osize == 4 ? 8 : d->osize;

    switch (d->op) {
    case X86_OP_PUSH:
        i->vreg = size;
        return bind_push(c, d, i);
    case X86_OP_POP:
        i->vreg = size;
        return bind_pop(c, d, i);
    case X86_OP_PUSHA: i->fn = pusha; break;
    case X86_OP_POPA: i->fn = popa; break;
    case X86_OP_PUSHF: i->fn = pushf; break;
    case X86_OP_POPF: i->fn = popf; break;
    case X86_OP_LEAVE:
        i->fn = in_64bit(c) && size == 8 ? leave_64 : leave;
        break;
    case X86_OP_ENTER:
        i->aux = d->imm2 & 31;
        i->imm = (uint16_t)d->imm;
        i->fn = enter;
        break;
    default:
        return false;
    }
    i->vreg = size;
    return true;
}
