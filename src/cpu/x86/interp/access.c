/* SPDX-License-Identifier: MIT */
/* The slow halves of memory operands: segment checks, TLB misses, faults. The fast halves are the
 * macros in insn.h. SDM vol. 3, 5.3 (limits), 5.5 (types); vol. 1, 3.3.7 (wrapping). */
#include "cpu/x86/interp/interp.h"
#include "cpu/x86/mmu/mmu_space.h"

static struct loaded segment_fault(struct x86_cpu *c, unsigned seg)
{
    cpu_raise(c, seg == X86_SS ? X86_SS_FAULT : X86_GP, true, 0);
    return (struct loaded){0, 0};
}

/* Does [offset, offset + size) lie within the limit? Expand-down segments (data, E set) hold what
 * lies above it. */
static bool within_limit(const struct x86_segment *s, uint64_t offset, unsigned size)
{
    uint64_t last = offset + (size ? size - 1 : 0);

    if ((s->attr & 0x1c) == 0x14) { /* data, expand-down */
        uint64_t top = s->attr & SEG_ATTR_DB ? UINT32_MAX : UINT16_MAX;

        return offset > s->limit && last <= top;
    }
    return last <= s->limit;
}

static bool type_allows(const struct x86_segment *s, bool write)
{
    bool code = s->attr & 8, readable_or_writable = s->attr & 2;

    if (!(s->attr & SEG_ATTR_P))
        return false;
    if (write)
        return !code && readable_or_writable;
    return !code || readable_or_writable;
}

struct loaded segment_linear(struct x86_cpu *c, unsigned seg, uint64_t offset, unsigned size,
                             bool write)
{
    const struct x86_segment *s = &c->seg[seg];

    if (in_64bit(c))
        return (struct loaded){offset + c->ea_base[seg], 1};
    if (!in_real_or_v86(c) && unlikely(!type_allows(s, write)))
        return segment_fault(c, seg);
    if (unlikely(!within_limit(s, offset, size)))
        return segment_fault(c, seg);
    return (struct loaded){(uint32_t)(offset + s->base), 1};
}

uint64_t insn_ea_offset(const struct x86_cpu *c, const struct insn *i)
{
    uint64_t off = c->reg[i->base] + (c->reg[i->index] << i->scale) + (uint64_t)(int64_t)i->disp;

    if ((i->flags & INSN_EA_ABS) == INSN_EA_ABS)
        return i->imm;
    if (i->flags & INSN_EA_RIP)
        off += (uint64_t)i->off + i->len;
    if (i->flags & INSN_EA_ADDR16)
        return (uint16_t)off;
    return i->flags & INSN_EA_ADDR32 ? (uint32_t)off : off;
}

SLOW_ENTRY struct loaded insn_ea_entry(struct x86_cpu *c, const struct insn *i, unsigned size,
                                       bool write)
{
    struct loaded r = segment_linear(c, i->seg, insn_ea_offset(c, i), size, write);

    if (unlikely(!r.ok))
        c->rip = insn_rip(c, i);
    return r;
}

SLOW_ENTRY struct loaded insn_ea_plus_entry(struct x86_cpu *c, const struct insn *i, uint64_t plus,
                                            unsigned size_and_write)
{
    uint64_t off = insn_ea_offset(c, i) + plus;

    if ((i->flags & INSN_EA_ABS) == INSN_EA_ADDR32)
        off = (uint32_t)off;
    else if ((i->flags & INSN_EA_ABS) == INSN_EA_ADDR16)
        off = (uint16_t)off;
    return seg_linear(c, i, i->seg, off, size_and_write & 0xff, size_and_write >> 8);
}

SLOW_ENTRY struct loaded insn_load_entry(struct x86_cpu *c, const struct insn *i, uint64_t va,
                                         unsigned size)
{
    struct loaded r = mmu_load(c, va, size, MMU_CURRENT, i->flags & INSN_EA_STACK);

    if (unlikely(!r.ok))
        c->rip = insn_rip(c, i);
    return r;
}

SLOW_ENTRY struct loaded insn_load_rmw_entry(struct x86_cpu *c, const struct insn *i, uint64_t va,
                                             unsigned size)
{
    struct loaded r = mmu_load_for_write(c, va, size, MMU_CURRENT, i->flags & INSN_EA_STACK);

    if (unlikely(!r.ok))
        c->rip = insn_rip(c, i);
    return r;
}

SLOW_ENTRY struct loaded insn_store_entry(struct x86_cpu *c, const struct insn *i, uint64_t va,
                                          unsigned size, uint64_t value)
{
    bool ok = mmu_store(c, va, size, value, MMU_CURRENT, i->flags & INSN_EA_STACK);

    if (unlikely(!ok))
        c->rip = insn_rip(c, i);
    return (struct loaded){0, ok};
}

SLOW_ENTRY struct loaded insn_locked_host_entry(struct x86_cpu *c, const struct insn *i, uint64_t va,
                                                unsigned size)
{
    struct xlat x;

    if (!is_canonical(va) || (!in_long_mode(c) && va > UINT32_MAX) ||
        tlb_page(va) != tlb_page(va + size - 1) || c->dr7 & 0xff || mmu_checks_alignment(c) ||
        !mmu_translate(c, va, MMU_WRITE, MMU_CURRENT, true, &x) || !x.host || x.rom)
        return (struct loaded){0, false};
    return (struct loaded){(uint64_t)(uintptr_t)x.host, x.plain};
}

SLOW_ENTRY struct loaded insn_locked_tell_entry(struct x86_cpu *c, const struct insn *i,
                                                uint64_t host, unsigned size)
{
    smc_written(c, (const uint8_t *)(uintptr_t)host, size);
    return (struct loaded){0, true};
}

SLOW_ENTRY struct loaded insn_locked_load_entry(struct x86_cpu *c, const struct insn *i,
                                                uint64_t va, unsigned size)
{
    struct loaded r = {0, false};

    if (c->fault.pending) { /* insn_locked_host() has found out already */
        c->rip = insn_rip(c, i);
        return r;
    }
    sync_exclusive_begin(c);
    r = mmu_load_for_write(c, va, size, MMU_CURRENT, i->flags & INSN_EA_STACK);
    if (unlikely(!r.ok)) {
        sync_exclusive_end(c);
        c->rip = insn_rip(c, i);
    }
    return r;
}

SLOW_ENTRY struct loaded insn_locked_store_entry(struct x86_cpu *c, const struct insn *i,
                                                 uint64_t va, unsigned size, uint64_t value)
{
    bool ok = mmu_store(c, va, size, value, MMU_CURRENT, i->flags & INSN_EA_STACK);

    sync_exclusive_end(c);
    if (unlikely(!ok))
        c->rip = insn_rip(c, i);
    return (struct loaded){0, ok};
}

void insn_undefined(struct x86_cpu *c, const struct insn *i)
{
    INSN_UD();
}
