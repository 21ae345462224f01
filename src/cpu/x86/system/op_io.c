/* SPDX-License-Identifier: MIT */
/* IN, OUT, INS, OUTS. SDM vol. 2; vol. 1, chapter 19 (who may).
 *
 * aux: bytes accessed; disp of INS and OUTS: the address size in bytes (bind_system.c). */
#include <stdatomic.h>

#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/system/operand.h"
#include "cpu/x86/system/ops.h"
#include "cpu/x86/system/segment.h"

/* How many iterations of REP INS and OUTS are done before the main loop looks at events. */
#define REP_CHUNK 256u

/* The permission bitmap of the TSS, SDM vol. 1, 19.5.2. */
static noinline bool bitmap_allows(struct x86_cpu *c, uint16_t port, unsigned size)
{
    const struct x86_segment *tr = &c->seg[X86_TR];
    unsigned mask = ((1u << size) - 1) << (port & 7);
    struct loaded v;
    uint32_t at;

    if (!(tr->attr & SEG_ATTR_P) || !(tr->attr & 8) || tr->limit < 103)
        return fault_code(c, X86_GP, 0);
    v = mmu_load(c, tr->base + 102, 2, MMU_IMPLICIT, false);
    if (!v.ok)
        return false;
    at = (uint32_t)v.value + port / 8u;
    if (at + 1 > tr->limit)
        return fault_code(c, X86_GP, 0);
    v = mmu_load(c, tr->base + at, 2, MMU_IMPLICIT, false);
    if (!v.ok)
        return false;
    return !(v.value & mask) || fault_code(c, X86_GP, 0);
}

static bool port_allowed(struct x86_cpu *c, uint16_t port, unsigned size)
{
    if (likely(!(c->cr0 & X86_CR0_PE) ||
               (!(c->rflags & X86_FLAG_VM) && c->cpl <= (c->rflags & X86_FLAG_IOPL) >> 12)))
        return true;
    return bitmap_allows(c, port, size);
}

static uint32_t port_read(struct x86_cpu *c, uint16_t port, unsigned size)
{
    c->count.port_io++;
    if (unlikely(c->dr7 & 0xff))
        event_watch_ports(c, port, size);
    fpu_park(c);
    return c->vm->host->port_read(c->vm->host_arg, c->index, port, size);
}

static void port_write(struct x86_cpu *c, uint16_t port, unsigned size, uint32_t value)
{
    c->count.port_io++;
    if (unlikely(c->dr7 & 0xff))
        event_watch_ports(c, port, size);
    fpu_park(c);
    c->vm->host->port_write(c->vm->host_arg, c->index, port, size, value);
}

/* imm: the port; vreg set: it is in DX. */
static uint16_t port_of(const struct x86_cpu *c, const struct insn *i)
{
    return (uint16_t)(i->vreg ? c->reg[X86_RDX] : i->imm & 0xff);
}

void op_in(struct x86_cpu *c, const struct insn *i)
{
    uint16_t port = port_of(c, i);
    uint32_t v;

    OR_FAULT(port_allowed(c, port, i->aux)); /* which sets rip, for an embedder to look at */
    v = port_read(c, port, i->aux);
    if (i->aux == 1)
        c->reg[X86_RAX] = (c->reg[X86_RAX] & ~UINT64_C(0xff)) | (v & 0xff);
    else
        reg_write(c, X86_RAX, i->aux, v);
    insn_end(c, i);
}

void op_out(struct x86_cpu *c, const struct insn *i)
{
    uint16_t port = port_of(c, i);
    uint32_t v = (uint32_t)c->reg[X86_RAX];

    OR_FAULT(port_allowed(c, port, i->aux));
    port_write(c, port, i->aux, i->aux == 4 ? v : v & ((1u << i->aux * 8) - 1));
    insn_end(c, i);
}

/* ---- strings ---- */

static uint64_t address_mask(const struct insn *i)
{
    return i->disp == 8 ? UINT64_MAX : i->disp == 4 ? 0xffffffffu : 0xffffu;
}

/* Write an address or counter register with the address size. */
static void set_index(struct x86_cpu *c, const struct insn *i, unsigned reg, uint64_t value)
{
    reg_write(c, reg, (unsigned)i->disp, value);
}

static void advance(struct x86_cpu *c, const struct insn *i, unsigned reg)
{
    uint64_t step = c->rflags & X86_FLAG_DF ? -(uint64_t)i->aux : i->aux;

    set_index(c, i, reg, c->reg[reg] + step);
}

static bool ins_once(struct x86_cpu *c, const struct insn *i, uint16_t port)
{
    struct loaded va =
        segment_linear(c, X86_ES, c->reg[X86_RDI] & address_mask(i), i->aux, true);

    /* The port may only be read once the write is sure to succeed. */
    if (!va.ok || !mmu_probe(c, va.value, i->aux, MMU_WRITE, MMU_CURRENT, false))
        return false;
    if (!mmu_store(c, va.value, i->aux, port_read(c, port, i->aux), MMU_CURRENT, false))
        return false;
    advance(c, i, X86_RDI);
    return true;
}

static bool outs_once(struct x86_cpu *c, const struct insn *i, uint16_t port)
{
    struct loaded v =
        segment_linear(c, i->seg, c->reg[X86_RSI] & address_mask(i), i->aux, false);

    if (!v.ok)
        return false;
    v = mmu_load(c, v.value, i->aux, MMU_CURRENT, i->seg == X86_SS);
    if (!v.ok)
        return false;
    port_write(c, port, i->aux, (uint32_t)v.value);
    advance(c, i, X86_RSI);
    return true;
}

typedef bool string_io_fn(struct x86_cpu *c, const struct insn *i, uint16_t port);

static always_inline void string_io(struct x86_cpu *c, const struct insn *i, string_io_fn *once)
{
    uint16_t port = (uint16_t)c->reg[X86_RDX];
    bool rep = i->flags & (INSN_REP | INSN_REPNE);
    unsigned budget = c->rflags & X86_FLAG_TF ? 1 : REP_CHUNK;
    uint64_t left;

    OR_FAULT(port_allowed(c, port, i->aux));
    if (!rep) {
        OR_FAULT(once(c, i, port));
        insn_end(c, i);
        return;
    }
    while ((left = c->reg[X86_RCX] & address_mask(i)) && budget--) {
        OR_FAULT(once(c, i, port));
        set_index(c, i, X86_RCX, left - 1);
        if (atomic_load_explicit(&c->pending, memory_order_relaxed) || unlikely(c->watch_hits))
            budget = 0;
    }
    if (c->reg[X86_RCX] & address_mask(i))
        c->rip = insn_rip(c, i); /* once more, after the main loop has looked around */
    else
        insn_end(c, i);
}

void op_ins(struct x86_cpu *c, const struct insn *i)
{
    string_io(c, i, ins_once);
}

void op_outs(struct x86_cpu *c, const struct insn *i)
{
    string_io(c, i, outs_once);
}
