/* SPDX-License-Identifier: MIT */
/* The rest: NOP PAUSE prefetches, fences, cache line flushes, RDRAND RDSEED, BOUND. */
#include "cpu/x86/interp/interp.h"
#include "cpu/x86/system/smm.h"

INSN(nop)
{
    NEXT;
}

INSN(pause)
{
    if (unlikely(c->smm))
        smm_pause(c);
    __asm__ volatile("pause");
    NEXT;
}

INSN(lfence)
{
    __asm__ volatile("lfence" ::: "memory");
    NEXT;
}

INSN(mfence)
{
    __asm__ volatile("mfence" ::: "memory");
    NEXT;
}

INSN(sfence)
{
    __asm__ volatile("sfence" ::: "memory");
    NEXT;
}

/* Flushing a line has no effect here, but it faults as a load of a byte would. */
INSN(clflush)
{
    uint64_t va;

    INSN_EA(va, 1, false);
    if (unlikely(tlb_slot(c->tlb, va)->read != tlb_page(va)) &&
        !mmu_probe(c, va, 1, MMU_READ, MMU_CURRENT, i->flags & INSN_EA_STACK)) {
        c->rip = insn_rip(c, i);
        return;
    }
    NEXT;
}

#define RANDOM(name, bits)                                                                         \
    INSN(name##bits)                                                                               \
    {                                                                                              \
        uint##bits##_t v;                                                                          \
        uint16_t f;                                                                                \
                                                                                                   \
        __asm__ volatile(#name " %[v_]" FLAGS_SAVE : [v_] "=&r"(v), "=&a"(f));                     \
        SET_R##bits(i->rm, v);                                                                     \
        c->af = f;                                                                                 \
        NEXT;                                                                                      \
    }
RANDOM(rdrand, 16) RANDOM(rdrand, 32) RANDOM(rdrand, 64)
RANDOM(rdseed, 16) RANDOM(rdseed, 32) RANDOM(rdseed, 64)

/* The index, signed, must lie between the two bounds in memory. Not in 64-bit mode. */
#define BOUND(bits)                                                                                \
    INSN(bound##bits)                                                                              \
    {                                                                                              \
        uint64_t va, va2;                                                                          \
        uint##bits##_t lower, upper;                                                               \
        int##bits##_t index = (int##bits##_t)R##bits(i->reg);                                      \
                                                                                                   \
        INSN_EA(va, bits / 4, false);                                                              \
        va2 = (uint32_t)(va + bits / 8);                                                           \
        LOAD_AT(bits, lower, va);                                                                  \
        LOAD_AT(bits, upper, va2);                                                                 \
        if (index < (int##bits##_t)lower || index > (int##bits##_t)upper)                          \
            INSN_FAULT(X86_BR, false, 0);                                                          \
        NEXT;                                                                                      \
    }
BOUND(16) BOUND(32)

bool misc_bind(const struct x86_cpu *c, const struct x86_decoded *d, const uint8_t *bytes,
               struct insn *i)
{
    static insn_fn *const rdrand[] = { rdrand16, rdrand32, rdrand64 };
    static insn_fn *const rdseed[] = { rdseed16, rdseed32, rdseed64 };

    switch (d->op) {
    case X86_OP_NOP: case X86_OP_ENDBR32: case X86_OP_ENDBR64:
    case X86_OP_PREFETCHT0: case X86_OP_PREFETCHT1: case X86_OP_PREFETCHT2:
    case X86_OP_PREFETCHNTA: case X86_OP_PREFETCHW: case X86_OP_PREFETCHWT1: case X86_OP_PREFETCH:
        i->fn = nop;
        return true;
    case X86_OP_PAUSE: i->fn = pause; return true;
    case X86_OP_LFENCE: i->fn = lfence; return true;
    case X86_OP_MFENCE: i->fn = mfence; return true;
    case X86_OP_SFENCE: i->fn = sfence; return true;
    case X86_OP_CLFLUSH: case X86_OP_CLFLUSHOPT: case X86_OP_CLWB: i->fn = clflush; return true;
    case X86_OP_RDRAND: case X86_OP_RDSEED:
        i->rm = d->operand[0].reg;
        i->fn = (d->op == X86_OP_RDRAND ? rdrand : rdseed)[size_index(d->operand[0].size) - 1];
        return true;
    case X86_OP_BOUND:
        i->reg = d->operand[0].reg;
        i->fn = d->osize == 2 ? bound16 : bound32;
        return true;
    default:
        return false;
    }
}
