/* SPDX-License-Identifier: MIT */
/* Instructions that access only some elements of their memory operand, and may fault only on
 * those: MASKMOVQ, MASKMOVDQU, VMASKMOV, VPMASKMOV and the gathers. They run natively on a buffer,
 * and the elements that count are moved one by one. SDM vol. 2. */
#include "cpu/x86/fpu/fpu_exec.h"

/* VEX-encoded helpers, as fpu_thunk_at_run_time() wants them: least significant byte first. */
static uint64_t vex_bytes(bool reg_high, bool rm_high, bool l, unsigned pp, unsigned opcode,
                          unsigned modrm)
{
    uint64_t b1 = (reg_high ? 0u : 0x80u) | 0x40u | (rm_high ? 0u : 0x20u) | 1u;
    uint64_t b2 = 0x78u | (l ? 4u : 0u) | pp;

    return 0xc4u | b1 << 8 | b2 << 16 | (uint64_t)opcode << 24 | (uint64_t)modrm << 32;
}

/* VMOVDQU between vector register n and [RAX]. */
static uint64_t thunk_move(struct x86_cpu *c, unsigned n, bool l, bool store)
{
    return fpu_thunk_at_run_time(
        c, vex_bytes(n & 8, false, l, 2, store ? 0x7f : 0x6f, (n & 7) << 3), 5);
}

static void move(struct x86_cpu *c, uint64_t thunk, void *buf)
{
    struct fpu_regs r = {.rax = (uint64_t)(uintptr_t)buf};

    fpu_call(c, thunk, &r);
}

/* Run a thunk with its memory operand (RAX or RDI) at buf. */
static void call_on(struct x86_cpu *c, uint64_t thunk, void *buf)
{
    struct fpu_regs r = {.rax = (uint64_t)(uintptr_t)buf, .rdi = (uint64_t)(uintptr_t)buf};

    fpu_call(c, thunk, &r);
}

/* Write the parts of buf whose unit-sized elements are set in mask; all or nothing. */
static bool write_selected(struct x86_cpu *c, const struct insn *i, uint64_t va, const uint8_t *buf,
                           uint32_t mask, unsigned unit, unsigned count)
{
    for (unsigned k = 0; k < count; k++) {
        if ((mask & BIT(k)) && !fpu_probe_write(c, i, va + k * unit, unit))
            return false;
    }
    for (unsigned k = 0; k < count; k++) {
        if ((mask & BIT(k)) && !fpu_write(c, i, va + k * unit, buf + k * unit, unit))
            return false;
    }
    return true;
}

/* ---- MASKMOVQ, MASKMOVDQU: rm bytes at the address of the instruction, which is DS:rDI ---- */

static noinline bool do_maskmov_string(struct x86_cpu *c, const struct insn *i)
{
    uint8_t zeros[16], ones[16];
    uint32_t mask = 0;
    struct loaded ea;

    if (!fpu_may_run(c, i))
        return false;
    ea = fpu_ea(c, i, i->rm, true);
    if (!ea.ok)
        return false;
    for (unsigned k = 0; k < 16; k++) {
        zeros[k] = 0;
        ones[k] = 0xff;
    }
    /* A byte that it writes comes out the same in both. */
    call_on(c, i->imm, zeros);
    call_on(c, i->imm, ones);
    for (unsigned k = 0; k < i->rm; k++)
        mask |= zeros[k] == ones[k] ? 1u << k : 0;
    return write_selected(c, i, ea.value, zeros, mask, 1, i->rm);
}

void fpu_maskmov_string(struct x86_cpu *c, const struct insn *i)
{
    if (do_maskmov_string(c, i))
        NEXT;
}

/* ---- VMASKMOVPS/PD, VPMASKMOVD/Q. rm: bytes; vreg: mask register, 0x10: 8-byte elements ---- */

static bool read_mask(struct x86_cpu *c, const struct insn *i, uint32_t *ret)
{
    unsigned n = i->vreg & 15;
    bool wide = i->vreg & 0x10; /* VMOVMSKPD, else VMOVMSKPS ECX, n */
    uint64_t thunk = fpu_thunk_at_run_time(
        c, vex_bytes(false, n & 8, i->rm == 32, wide ? 1 : 0, 0x50, 0xc8u | (n & 7)), 5);
    struct fpu_regs r = {0};

    if (!thunk) {
        fpu_thunks_full(c, i);
        return false;
    }
    fpu_call(c, thunk, &r);
    *ret = (uint32_t)r.rcx;
    return true;
}

static bool load_selected(struct x86_cpu *c, const struct insn *i, uint64_t va, uint8_t *buf)
{
    unsigned unit = i->vreg & 0x10 ? 8 : 4;
    uint32_t mask;

    if (!read_mask(c, i, &mask))
        return false;
    fpu_zero(buf, 32);
    for (unsigned k = 0; k < i->rm / unit; k++) {
        if ((mask & BIT(k)) && !fpu_read(c, i, va + k * unit, buf + k * unit, unit))
            return false;
    }
    return true;
}

static noinline bool do_maskmov_load(struct x86_cpu *c, const struct insn *i)
{
    uint8_t bounce[32];
    struct loaded ea;
    void *host;

    if (!fpu_may_run(c, i))
        return false;
    ea = fpu_ea(c, i, i->rm, false);
    if (!ea.ok)
        return false;
    host = mmu_direct(c, ea.value, i->rm, MMU_READ);
    if (!host && !load_selected(c, i, ea.value, bounce))
        return false;
    call_on(c, i->imm, host ? host : bounce);
    return true;
}

void fpu_maskmov_load(struct x86_cpu *c, const struct insn *i)
{
    if (do_maskmov_load(c, i))
        NEXT;
}

static noinline bool do_maskmov_store(struct x86_cpu *c, const struct insn *i)
{
    unsigned unit = i->vreg & 0x10 ? 8 : 4;
    uint8_t bounce[32];
    struct loaded ea;
    uint32_t mask;
    void *host;

    if (!fpu_may_run(c, i))
        return false;
    ea = fpu_ea(c, i, i->rm, true);
    if (!ea.ok)
        return false;
    host = mmu_direct(c, ea.value, i->rm, MMU_WRITE);
    if (host) {
        call_on(c, i->imm, host);
        return true;
    }
    if (!read_mask(c, i, &mask))
        return false;
    call_on(c, i->imm, bounce);
    return write_selected(c, i, ea.value, bounce, mask, unit, i->rm / unit);
}

void fpu_maskmov_store(struct x86_cpu *c, const struct insn *i)
{
    if (do_maskmov_store(c, i))
        NEXT;
}

/* ---- gathers. reg: destination; rm: index register; vreg: mask register and these ---- */

enum { GATHER_ELEMENT8 = 0x10, GATHER_INDEX8 = 0x20, GATHER_L = 0x40 };

struct gather {
    unsigned count, unit, len; /* elements, bytes of each, and of all */
    uint64_t get_dest, get_mask, get_index, put_dest, put_mask;
    uint8_t dest[32], mask[32], index[32];
};

static bool gather_open(struct x86_cpu *c, const struct insn *i, struct gather *g)
{
    unsigned index_unit = i->vreg & GATHER_INDEX8 ? 8 : 4, mask = i->vreg & 15;
    bool l = i->vreg & GATHER_L, wide;

    g->unit = i->vreg & GATHER_ELEMENT8 ? 8 : 4;
    g->count = (l ? 32 : 16) / MAX(index_unit, g->unit);
    g->len = g->count * g->unit;
    wide = g->len == 32;
    g->get_dest = thunk_move(c, i->reg, wide, true);
    g->get_mask = thunk_move(c, mask, wide, true);
    g->get_index = thunk_move(c, i->rm, l, true);
    g->put_dest = thunk_move(c, i->reg, wide, false);
    g->put_mask = thunk_move(c, mask, wide, false);
    if (!g->get_dest || !g->get_mask || !g->get_index || !g->put_dest || !g->put_mask) {
        fpu_thunks_full(c, i);
        return false;
    }
    move(c, g->get_dest, g->dest);
    move(c, g->get_mask, g->mask);
    move(c, g->get_index, g->index);
    if (g->len == 8)
        AREA64(g->dest, 8) = AREA64(g->mask, 8) = 0;
    return true;
}

static bool gather_element(struct x86_cpu *c, const struct insn *i, struct gather *g, unsigned k)
{
    uint64_t index = i->vreg & GATHER_INDEX8 ? AREA64(g->index, 8 * k)
                                             : (uint64_t)(int32_t)AREA32(g->index, 4 * k);
    uint64_t off = insn_ea_offset(c, i) + (index << i->scale);
    struct loaded r;

    if (!in_64bit(c) || (i->flags & INSN_EA_ADDR32))
        off = (uint32_t)off;
    r = segment_linear(c, i->seg, off, g->unit, false);
    if (r.ok)
        r = mmu_load(c, r.value, g->unit, MMU_CURRENT, i->flags & INSN_EA_STACK);
    if (!r.ok)
        return false;
    if (g->unit == 8)
        AREA64(g->dest, 8 * k) = r.value;
    else
        AREA32(g->dest, 4 * k) = (uint32_t)r.value;
    return true;
}

static noinline bool do_gather(struct x86_cpu *c, const struct insn *i)
{
    struct gather g;
    bool ok = true;

    if (!fpu_may_run(c, i) || !gather_open(c, i, &g))
        return false;
    c->rip = insn_rip(c, i);
    for (unsigned k = 0; k < g.count && ok; k++) {
        if (g.mask[(k + 1) * g.unit - 1] & 0x80)
            ok = gather_element(c, i, &g, k);
        if (ok)
            fpu_zero(g.mask + k * g.unit, g.unit); /* done: it is not loaded again on a restart */
    }
    move(c, g.put_dest, g.dest);
    move(c, g.put_mask, g.mask);
    return ok;
}

void fpu_gather(struct x86_cpu *c, const struct insn *i)
{
    if (do_gather(c, i))
        NEXT;
}
