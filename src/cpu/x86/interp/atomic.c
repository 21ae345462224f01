/* SPDX-License-Identifier: MIT */
/* Exchanges: XCHG XADD CMPXCHG CMPXCHG8B CMPXCHG16B, LOCKed or not. */
#include "cpu/x86/interp/interp.h"

/* XCHG with memory is always locked. */
#define EXEC_XCHG(bits)                                                                            \
    __asm__("xchg" SFX##bits " %[s_], %[p_]" : [p_] "+m"(*p), [s_] "=r"(old) : "1"(s))
#define XCHG(bits)                                                                                 \
    INSN(xchg##bits##_rr)                                                                          \
    {                                                                                              \
        uint##bits##_t a = R##bits(i->rm), b = R##bits(i->reg);                                    \
                                                                                                   \
        SET_R##bits(i->rm, b);                                                                     \
        SET_R##bits(i->reg, a);                                                                    \
        NEXT;                                                                                      \
    }                                                                                              \
    INSN(xchg##bits##_mr)                                                                          \
    {                                                                                              \
        uint##bits##_t s = R##bits(i->reg), old;                                                   \
        uint64_t va;                                                                               \
                                                                                                   \
        INSN_EA(va, bits / 8, true);                                                               \
        LOCKED_AT(bits, va, EXEC_XCHG(bits), (old = v, v = s));                                    \
        SET_R##bits(i->reg, old);                                                                  \
        NEXT;                                                                                      \
    }
XCHG(8) XCHG(16) XCHG(32) XCHG(64)

#define EXEC_XADD(lock, bits, dst, con, s)                                                         \
    __asm__(lock "xadd" SFX##bits " %[s_], %[d]" FLAGS_SAVE                                        \
            : [d] con(dst), [s_] "+r"(s), "=&a"(f))
#define XADD_M(name, bits, HOW, lock)                                                              \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint##bits##_t s = R##bits(i->reg);                                                        \
        uint64_t va;                                                                               \
        uint16_t f;                                                                                \
                                                                                                   \
        INSN_EA(va, bits / 8, true);                                                               \
        HOW(bits, va, EXEC_XADD(lock, bits, *p, "+m", s), EXEC_XADD("", bits, v, "+r", s));        \
        SET_R##bits(i->reg, s);                                                                    \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
#define XADD(bits)                                                                                 \
    INSN(xadd##bits##_rr)                                                                          \
    {                                                                                              \
        uint##bits##_t d = R##bits(i->rm), s = R##bits(i->reg);                                    \
        uint16_t f;                                                                                \
                                                                                                   \
        EXEC_XADD("", bits, d, "+r", s);                                                           \
        SET_R##bits(i->reg, s);                                                                    \
        SET_R##bits(i->rm, d);                                                                     \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }                                                                                              \
    XADD_M(xadd##bits##_mr, bits, RMW_AT, "")                                                      \
    XADD_M(xadd##bits##_lmr, bits, LOCKED_AT, "lock ")
XADD(8) XADD(16) XADD(32) XADD(64)

/* The host gets all of RAX and gives all of it back, so that what happens to its upper half (and
 * that of a register destination) is right for each outcome. */
#define EXEC_CMPXCHG(lock, bits, dst, con, s)                                                      \
    __asm__(lock "cmpxchg" SFX##bits " %[s_], %[d]\n\tmovq %%rax, %[rax]" FLAGS_SAVE               \
            : [d] con(dst), "+&a"(acc), [rax] "=&r"(rax)                                           \
            : [s_] "r"(s))
#define CMPXCHG_M(name, bits, HOW, lock)                                                           \
    INSN(name)                                                                                     \
    {                                                                                              \
        uint##bits##_t s = R##bits(i->reg);                                                        \
        uint64_t va, acc, rax;                                                                     \
                                                                                                   \
        INSN_EA(va, bits / 8, true);                                                               \
        acc = c->reg[X86_RAX];                                                                     \
        HOW(bits, va, EXEC_CMPXCHG(lock, bits, *p, "+m", s),                                       \
            EXEC_CMPXCHG("", bits, v, "+&r", s));                                                  \
        c->reg[X86_RAX] = rax;                                                                     \
        c->af = (uint16_t)acc;                                                                     \
        NEXT;                                                                                      \
    }
/* d is a register of 64 bits, of which the instruction uses the part that sel names. */
#define CMPXCHG_R(bits, sel)                                                                       \
    INSN(cmpxchg##bits##_rr)                                                                       \
    {                                                                                              \
        uint64_t d = c->reg[i->rm], acc = c->reg[X86_RAX], rax;                                    \
        uint##bits##_t s = R##bits(i->reg);                                                        \
                                                                                                   \
        __asm__("cmpxchg" SFX##bits " %[s_], %" sel "[d_]\n\tmovq %%rax, %[rax_]" FLAGS_SAVE       \
                : [d_] "+&r"(d), "+&a"(acc), [rax_] "=&r"(rax)                                     \
                : [s_] "r"(s));                                                                    \
        /* With rAX itself as the destination both views are of one register. */                   \
        if (i->rm == X86_RAX) {                                                                    \
            d = acc_is_destination(bits, s, c->reg[X86_RAX]);                                      \
            rax = d;                                                                               \
        }                                                                                          \
        c->reg[X86_RAX] = rax;                                                                     \
        c->reg[i->rm] = d;                                                                         \
        c->af = (uint16_t)acc;                                                                     \
        NEXT;                                                                                      \
    }

/* CMPXCHG rAX, r compares equal always, so r is stored. */
static always_inline uint64_t acc_is_destination(unsigned bits, uint64_t s, uint64_t rax)
{
    return bits == 16 ? (rax & ~(uint64_t)UINT16_MAX) | s : s;
}

CMPXCHG_R(16, "w") CMPXCHG_R(32, "k") CMPXCHG_R(64, "q")

INSN(cmpxchg8_rr)
{
    uint8_t d = R8(i->rm), s = R8(i->reg);
    uint64_t acc = c->reg[X86_RAX], rax;

    EXEC_CMPXCHG("", 8, d, "+&r", s);
    c->reg[X86_RAX] = rax;
    SET_R8(i->rm, d); /* AL as destination: equal, so the new value goes over the old */
    c->af = (uint16_t)acc;
    NEXT;
}

#define CMPXCHG(bits)                                                                              \
    CMPXCHG_M(cmpxchg##bits##_mr, bits, RMW_AT, "")                                                \
    CMPXCHG_M(cmpxchg##bits##_lmr, bits, LOCKED_AT, "lock ")
CMPXCHG(8) CMPXCHG(16) CMPXCHG(32) CMPXCHG(64)

/* CMPXCHG8B is CMPXCHG of 64 bits, but for where the operands are and for the flags. Always locked:
 * nobody can tell. */
INSN(cmpxchg8b)
{
    uint64_t va, old, expected, desired = (c->reg[X86_RCX] << 32) | R32(X86_RBX);

    INSN_EA(va, 8, true);
    expected = (c->reg[X86_RDX] << 32) | R32(X86_RAX);
    old = expected;
    LOCKED_AT(64, va,
              __asm__("lock cmpxchgq %[s], %[p]" : [p] "+m"(*p), "+a"(old) : [s] "r"(desired)),
              old = v; v = old == expected ? desired : old);
    if (old == expected) {
        c->af |= AF_ZF;
    } else {
        c->af &= (uint16_t)~AF_ZF;
        c->reg[X86_RAX] = (uint32_t)old;
        c->reg[X86_RDX] = old >> 32;
    }
    NEXT;
}

/* The exchange through the MMU, with the other vCPUs standing still. False: a fault. */
static noinline bool cmpxchg16b_slow(struct x86_cpu *c, const struct insn *i, uint64_t va,
                                     uint64_t old[2])
{
    bool stack = i->flags & INSN_EA_STACK, ok = false;
    struct loaded lo, hi = {0, 0};

    if (c->fault.pending) {
        c->rip = insn_rip(c, i);
        return false;
    }
    sync_exclusive_begin(c);
    lo = mmu_load_for_write(c, va, 8, MMU_CURRENT, stack);
    if (lo.ok)
        hi = mmu_load_for_write(c, va + 8, 8, MMU_CURRENT, stack);
    if (lo.ok && hi.ok) {
        bool equal = lo.value == c->reg[X86_RAX] && hi.value == c->reg[X86_RDX];

        old[0] = lo.value;
        old[1] = hi.value;
        ok = mmu_store(c, va, 8, equal ? c->reg[X86_RBX] : lo.value, MMU_CURRENT, stack) &&
             mmu_store(c, va + 8, 8, equal ? c->reg[X86_RCX] : hi.value, MMU_CURRENT, stack);
    }
    sync_exclusive_end(c);
    if (!ok)
        c->rip = insn_rip(c, i);
    return ok;
}

static noinline bool cmpxchg16b_run(struct x86_cpu *c, const struct insn *i, uint64_t va)
{
    struct tlb_entry *e = tlb_slot(c->tlb, va);
    uint64_t old[2] = { c->reg[X86_RAX], c->reg[X86_RDX] };
    struct loaded at = {va + e->addend, true};

    if (unlikely(e->write != tlb_page(va))) /* aligned: never crosses a page */
        at = insn_locked_host(c, i, va, 16);
    if (likely(at.value)) {
        guest_u8 *p = (guest_u8 *)(uintptr_t)at.value;

        __asm__ volatile("lock cmpxchg16b %[p]"
                         : [p] "+m"(*(unsigned __int128 *)p), "+a"(old[0]), "+d"(old[1])
                         : "b"(c->reg[X86_RBX]), "c"(c->reg[X86_RCX]));
        if (unlikely(!at.ok))
            insn_locked_tell(c, i, at.value, 16);
    } else if (!cmpxchg16b_slow(c, i, va, old)) {
        return false;
    }
    if (old[0] == c->reg[X86_RAX] && old[1] == c->reg[X86_RDX])
        c->af |= AF_ZF;
    else
        c->af &= (uint16_t)~AF_ZF;
    c->reg[X86_RAX] = old[0];
    c->reg[X86_RDX] = old[1];
    return true;
}

INSN(cmpxchg16b)
{
    uint64_t va;

    INSN_EA(va, 16, true);
    if (unlikely(va & 15))
        INSN_GP0();
    if (unlikely(!cmpxchg16b_run(c, i, va)))
        return;
    NEXT;
}

#define FORM_SIZES(op, form) { op##8_##form, op##16_##form, op##32_##form, op##64_##form }

bool atomic_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
                 struct insn *i)
{
    static insn_fn *const xchg[2][4] = { FORM_SIZES(xchg, rr), FORM_SIZES(xchg, mr) };
    static insn_fn *const xadd[3][4] = {
        FORM_SIZES(xadd, rr), FORM_SIZES(xadd, mr), FORM_SIZES(xadd, lmr),
    };
    static insn_fn *const cmpxchg[3][4] = {
        FORM_SIZES(cmpxchg, rr), FORM_SIZES(cmpxchg, mr), FORM_SIZES(cmpxchg, lmr),
    };
    enum form form = insn_form(d, i);
    unsigned size = size_index(d->operand[0].size);
    unsigned row = form == FORM_RR ? 0 : i->flags & INSN_LOCK ? 2 : 1;

    switch (d->op) {
    case X86_OP_XCHG: i->fn = xchg[form != FORM_RR][size]; return true;
    case X86_OP_XADD: i->fn = xadd[row][size]; return true;
    case X86_OP_CMPXCHG: i->fn = cmpxchg[row][size]; return true;
    case X86_OP_CMPXCHG8B: i->fn = cmpxchg8b; return true;
    case X86_OP_CMPXCHG16B: i->fn = cmpxchg16b; return true;
    default: return false;
    }
}
