/* SPDX-License-Identifier: MIT */
/* How the system instructions reach their operands. bind_system() prepares every struct insn so:
 * aux is the operand size in bytes, vreg whether the operand is in memory, reg and rm the plain
 * numbers of ModRM (general, segment, control or debug register). */
#ifndef VZ_CPU_X86_OPERAND_H
#define VZ_CPU_X86_OPERAND_H

#include "cpu/x86/event.h"
#include "cpu/x86/insn.h"
#include "cpu/x86/mmu.h"

/* Record a #GP(0) and leave unless CPL is 0. */
#define REQUIRE_CPL0()                                                                             \
    do {                                                                                           \
        if (unlikely(c->cpl != 0))                                                                 \
            INSN_GP0();                                                                            \
    } while (0)

/* For functions that record a fault and return false: rip is then made the instruction's. */
#define OR_FAULT(call)                                                                             \
    do {                                                                                           \
        c->rip = insn_rip(c, i);                                                                   \
        if (unlikely(!(call)))                                                                     \
            return;                                                                                \
    } while (0)

/* End a block whose last instruction has set rip itself. */
static always_inline void insn_done(struct x86_cpu *c, const struct insn *i)
{
    c->count.insns_interpreted += insn_block_end(i)->insns;
}

/* End the block of an instruction after which the next one may follow directly, unless something is
 * pending: it changed neither how bytes decode nor whether interrupts are let in. */
static always_inline void insn_next_block(struct x86_cpu *c, const struct insn *i)
{
    insn_goto(c, i, 0, insn_next_rip(c, i));
}

static inline bool op_in_memory(const struct insn *i)
{
    return i->vreg;
}

static inline void reg_write(struct x86_cpu *c, unsigned reg, unsigned size, uint64_t value)
{
    if (size == 2)
        c->reg[reg] = (c->reg[reg] & ~UINT64_C(0xffff)) | (value & 0xffff);
    else
        c->reg[reg] = size == 4 ? (uint32_t)value : value;
}

/* Address of the memory operand, checked for size bytes. */
static inline struct loaded op_address(struct x86_cpu *c, const struct insn *i, unsigned size,
                                       bool write)
{
    if (i->flags & INSN_EA_SLOW)
        return insn_ea_slow(c, i, size, write);
    return (struct loaded){insn_ea_fast(c, i), true};
}

static inline struct loaded op_load(struct x86_cpu *c, const struct insn *i, unsigned size)
{
    struct loaded va;

    if (!op_in_memory(i))
        return (struct loaded){c->reg[i->rm] & (size == 8 ? UINT64_MAX : BIT(size * 8) - 1), true};
    va = op_address(c, i, size, false);
    return va.ok ? insn_load_slow(c, i, va.value, size) : va;
}

/* A 16-bit result: to memory as it is, to a register zero-extended to the operand size. */
static inline bool op_store16(struct x86_cpu *c, const struct insn *i, uint64_t value)
{
    struct loaded va;

    if (!op_in_memory(i)) {
        reg_write(c, i->rm, i->aux, value);
        return true;
    }
    va = op_address(c, i, 2, true);
    return va.ok && insn_store_slow(c, i, va.value, 2, value & 0xffff);
}

static inline bool umip_forbids(const struct x86_cpu *c)
{
    return c->cpl != 0 && (c->cr4 & X86_CR4_UMIP);
}

static inline void set_zf(struct x86_cpu *c, bool zf)
{
    c->af = (uint16_t)((c->af & ~AF_ZF) | (zf ? AF_ZF : 0));
}

#endif
