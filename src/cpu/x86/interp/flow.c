/* SPDX-License-Identifier: MIT */
/* Near transfers of control: JMP CALL RET Jcc LOOPcc JCXZ. In struct insn: imm is the target's
 * distance from the block's start, aux the condition, vreg the operand size in bytes, scale the
 * size of the counter. */
#include "cpu/x86/interp/interp.h"

/* Is rip a place to jump to? It is as wide as the operand size already. */
static always_inline bool target_ok(const struct x86_cpu *c, uint64_t rip)
{
    return in_64bit(c) ? is_canonical(rip) : rip <= c->seg[X86_CS].limit;
}

static always_inline uint64_t narrow(const struct insn *i, uint64_t rip)
{
    return i->vreg == 8 ? rip : i->vreg == 4 ? (uint32_t)rip : (uint16_t)rip;
}

static always_inline uint64_t direct_target(const struct x86_cpu *c, const struct insn *i)
{
    return c->reg[REG_BLOCK_RIP] + i->imm;
}

static always_inline uint64_t next64(const struct x86_cpu *c, const struct insn *i)
{
    return c->reg[REG_BLOCK_RIP] + i->off + i->len;
}

/* insn_goto() in 64-bit mode; a block that is linked is at a canonical address. */
static always_inline void jump64(struct x86_cpu *c, const struct insn *i, unsigned slot,
                                 uint64_t rip)
{
    struct block_end *end = insn_block_end(i);
    struct block_link *link = &end->link[slot];

    if (insn_may_chain(c) && likely(link->ctx == c->code_ctx[rip >> 63])) {
        c->count.insns_interpreted += end->insns;
        c->rip = rip;
        insn_enter(c, block_link_to(link), rip);
        return;
    }
    if (unlikely(!is_canonical(rip)))
        INSN_GP0();
    c->count.insns_interpreted += end->insns;
    c->rip = rip;
    c->link = link;
}

/* ---- 64-bit mode ---- */

#define JCC64(cond, cc)                                                                            \
    INSN(j##cond##_64)                                                                             \
    {                                                                                              \
        if (cond_true(c->af, cc))                                                                  \
            jump64(c, i, 0, direct_target(c, i));                                                  \
        else                                                                                       \
            jump64(c, i, 1, next64(c, i));                                                         \
    }
FOR_CONDITIONS(JCC64)

INSN(jmp_64)
{
    jump64(c, i, 0, direct_target(c, i));
}

INSN(call_64)
{
    uint64_t rip = direct_target(c, i);

    if (unlikely(!is_canonical(rip)))
        INSN_GP0();
    PUSH64(64, next64(c, i));
    jump64(c, i, 0, rip);
}

INSN(ret_64)
{
    uint64_t sp = c->reg[X86_RSP], rip;

    STACK_LOAD_AT(64, rip, sp);
    if (unlikely(!is_canonical(rip)))
        INSN_GP0();
    c->reg[X86_RSP] = sp + 8 + i->imm;
    insn_goto_indirect(c, i, rip);
}

#define INDIRECT64(form, GET)                                                                      \
    INSN(jmp_ind_64_##form)                                                                        \
    {                                                                                              \
        uint64_t rip;                                                                              \
                                                                                                   \
        GET;                                                                                       \
        if (unlikely(!is_canonical(rip)))                                                          \
            INSN_GP0();                                                                            \
        insn_goto_indirect(c, i, rip);                                                             \
    }                                                                                              \
    INSN(call_ind_64_##form)                                                                       \
    {                                                                                              \
        uint64_t rip;                                                                              \
                                                                                                   \
        GET;                                                                                       \
        if (unlikely(!is_canonical(rip)))                                                          \
            INSN_GP0();                                                                            \
        PUSH64(64, next64(c, i));                                                                  \
        insn_goto_indirect(c, i, rip);                                                             \
    }
INDIRECT64(r, rip = c->reg[i->rm])
INDIRECT64(m, LOAD(64, rip))

/* ---- 16 and 32 bits ---- */

/* Take a conditional branch or not. */
static always_inline void branch(struct x86_cpu *c, const struct insn *i, bool taken)
{
    uint64_t rip = narrow(i, direct_target(c, i));

    if (!taken) {
        insn_goto(c, i, 1, insn_next_rip(c, i));
        return;
    }
    if (unlikely(!target_ok(c, rip)))
        INSN_GP0();
    insn_goto(c, i, 0, rip);
}

INSN(jcc_any)
{
    branch(c, i, cond_true(c->af, i->aux));
}

INSN(jmp_any)
{
    branch(c, i, true);
}

INSN(call_any)
{
    uint64_t rip = narrow(i, direct_target(c, i)), sp = c->reg[X86_RSP] - i->vreg;

    if (unlikely(!target_ok(c, rip)))
        INSN_GP0();
    if (unlikely(!stack_store(c, i, sp, i->vreg, insn_next_rip(c, i))))
        return;
    stack_set(c, sp);
    insn_goto(c, i, 0, rip);
}

INSN(ret_any)
{
    uint64_t sp = c->reg[X86_RSP], rip;
    struct loaded l = stack_load(c, i, sp, i->vreg);

    if (unlikely(!l.ok))
        return;
    rip = l.value;
    if (unlikely(!target_ok(c, rip)))
        INSN_GP0();
    stack_set(c, sp + i->vreg + i->imm);
    insn_goto_indirect(c, i, rip);
}

#define LOAD_NARROW(dst)                                                                           \
    do {                                                                                           \
        if (i->vreg == 4) {                                                                        \
            uint32_t v_;                                                                           \
            LOAD(32, v_);                                                                          \
            (dst) = v_;                                                                            \
        } else {                                                                                   \
            uint16_t v_;                                                                           \
            LOAD(16, v_);                                                                          \
            (dst) = v_;                                                                            \
        }                                                                                          \
    } while (0)

#define INDIRECT_ANY(form, GET)                                                                    \
    INSN(jmp_ind_any_##form)                                                                       \
    {                                                                                              \
        uint64_t rip;                                                                              \
                                                                                                   \
        GET;                                                                                       \
        if (unlikely(!target_ok(c, rip)))                                                          \
            INSN_GP0();                                                                            \
        insn_goto_indirect(c, i, rip);                                                             \
    }                                                                                              \
    INSN(call_ind_any_##form)                                                                      \
    {                                                                                              \
        uint64_t rip, sp = c->reg[X86_RSP] - i->vreg;                                              \
                                                                                                   \
        GET;                                                                                       \
        if (unlikely(!target_ok(c, rip)))                                                          \
            INSN_GP0();                                                                            \
        if (unlikely(!stack_store(c, i, sp, i->vreg, insn_next_rip(c, i))))                        \
            return;                                                                                \
        stack_set(c, sp);                                                                          \
        insn_goto_indirect(c, i, rip);                                                             \
    }
INDIRECT_ANY(r, rip = narrow(i, c->reg[i->rm]))
INDIRECT_ANY(m, LOAD_NARROW(rip))

/* ---- counted loops, any mode ---- */

static always_inline uint64_t counter_mask(const struct insn *i)
{
    return i->scale == 8 ? UINT64_MAX : i->scale == 4 ? UINT32_MAX : UINT16_MAX;
}

static always_inline void loop_while(struct x86_cpu *c, const struct insn *i, bool condition)
{
    uint64_t mask = counter_mask(i), count = (c->reg[X86_RCX] - 1) & mask;
    bool taken = count != 0 && condition;

    if (taken && unlikely(!target_ok(c, narrow(i, direct_target(c, i)))))
        INSN_GP0();
    /* A 32-bit counter clears the upper half, a 16-bit one leaves the rest alone. */
    c->reg[X86_RCX] = mask == UINT16_MAX ? (c->reg[X86_RCX] & ~mask) | count : count;
    branch(c, i, taken);
}

INSN(loop)
{
    loop_while(c, i, true);
}

INSN(loope)
{
    loop_while(c, i, c->af & AF_ZF);
}

INSN(loopne)
{
    loop_while(c, i, !(c->af & AF_ZF));
}

INSN(jcxz)
{
    branch(c, i, (c->reg[X86_RCX] & counter_mask(i)) == 0);
}

/* ---- binding ---- */

#define JCC_ENTRY(cond, cc) [cc] = j##cond##_64,

static bool bind_direct(const struct x86_decoded *d, struct insn *i, insn_fn *fn)
{
    i->imm = d->imm + i->off + i->len;
    i->fn = fn;
    return true;
}

static bool bind_indirect(const struct x86_decoded *d, struct insn *i, insn_fn *reg, insn_fn *mem)
{
    if (!d->has_mem)
        i->rm = d->operand[0].reg;
    i->fn = d->has_mem ? mem : reg;
    return true;
}

bool flow_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
               struct insn *i)
{
    static insn_fn *const jcc64[16] = { FOR_CONDITIONS(JCC_ENTRY) };
    bool is64 = in_64bit(c);

    i->vreg = is64 ? 8 : d->osize;
    switch (d->op) {
    case X86_OP_JCC:
        i->aux = d->opcode & 15;
        return bind_direct(d, i, is64 ? jcc64[i->aux] : jcc_any);
    case X86_OP_JMP:
        return bind_direct(d, i, is64 ? jmp_64 : jmp_any);
    case X86_OP_CALL:
        return bind_direct(d, i, is64 ? call_64 : call_any);
    case X86_OP_LOOP: case X86_OP_LOOPE: case X86_OP_LOOPNE: case X86_OP_JCXZ:
        i->scale = d->asize;
        return bind_direct(d, i, d->op == X86_OP_LOOP ? loop : d->op == X86_OP_LOOPE ? loope :
                                 d->op == X86_OP_LOOPNE ? loopne : jcxz);
    case X86_OP_JMP_IND:
        return is64 ? bind_indirect(d, i, jmp_ind_64_r, jmp_ind_64_m)
                    : bind_indirect(d, i, jmp_ind_any_r, jmp_ind_any_m);
    case X86_OP_CALL_IND:
        return is64 ? bind_indirect(d, i, call_ind_64_r, call_ind_64_m)
                    : bind_indirect(d, i, call_ind_any_r, call_ind_any_m);
    case X86_OP_RET:
        i->imm = (uint16_t)d->imm;
        i->fn = is64 ? ret_64 : ret_any;
        return true;
    case X86_OP_UD0: case X86_OP_UD1: case X86_OP_UD2:
        i->fn = insn_undefined;
        return true;
    default:
        return false;
    }
}
