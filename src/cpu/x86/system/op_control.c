/* SPDX-License-Identifier: MIT */
/* Control and debug registers, TLB and cache control, HLT and the interrupt flag. SDM vol. 2; vol.
 * 3, 2.5, 4.10.4, 17.2. */
#include "cpu/x86/cpuid.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/system/operand.h"
#include "cpu/x86/system/ops.h"
#include "cpu/x86/system/segment.h"

#define CR0_WRITABLE                                                                               \
    (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM |    \
     X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)

static bool uses_pae(const struct x86_cpu *c, uint64_t cr0, uint64_t cr4)
{
    return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) && !in_long_mode(c) &&
           !(c->efer & X86_EFER_LME);
}

/* May paging be turned on or off like this? */
static bool paging_switch_valid(const struct x86_cpu *c, uint64_t value)
{
    if (value & X86_CR0_PG) {
        if (!(c->efer & X86_EFER_LME))
            return true;
        return (c->cr4 & X86_CR4_PAE) && !(c->seg[X86_CS].attr & SEG_ATTR_L);
    }
    return !in_64bit(c) && !(c->cr4 & X86_CR4_PCIDE);
}

static bool write_cr0(struct x86_cpu *c, uint64_t value)
{
    uint64_t changed;

    if (value >> 32)
        return fault_code(c, X86_GP, 0);
    value = (value & CR0_WRITABLE) | X86_CR0_ET;
    changed = value ^ c->cr0;
    if ((value & (X86_CR0_PG | X86_CR0_PE)) == X86_CR0_PG ||
        (value & (X86_CR0_NW | X86_CR0_CD)) == X86_CR0_NW)
        return fault_code(c, X86_GP, 0);
    if ((changed & X86_CR0_PG) && !paging_switch_valid(c, value))
        return fault_code(c, X86_GP, 0);
    if ((changed & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)) && uses_pae(c, value, c->cr4) &&
        !mmu_load_pdptes(c, c->cr3))
        return fault_code(c, X86_GP, 0);
    c->cr0 = value;
    if (changed & X86_CR0_PG)
        c->efer = (value & X86_CR0_PG) && (c->efer & X86_EFER_LME) ? c->efer | X86_EFER_LMA
                                                                  : c->efer & ~(uint64_t)X86_EFER_LMA;
    if (changed & X86_CR0_PE)
        c->cpl = 0;
    fpu_mode_changed(c);
    if (changed & (X86_CR0_PG | X86_CR0_PE))
        cpu_recompute(c);
    if (changed & (X86_CR0_PG | X86_CR0_PE | X86_CR0_WP | X86_CR0_AM))
        mmu_mode_changed(c);
    return true;
}

static bool write_cr3(struct x86_cpu *c, uint64_t value)
{
    bool keep = false;

    if (c->cr4 & X86_CR4_PCIDE) {
        keep = value & X86_CR3_NOFLUSH;
        value &= ~X86_CR3_NOFLUSH;
    }
    if (value >> X86_PHYS_BITS)
        return fault_code(c, X86_GP, 0);
    if (uses_pae(c, c->cr0, c->cr4) && !mmu_load_pdptes(c, value))
        return fault_code(c, X86_GP, 0);
    mmu_cr3_written(c, value, keep);
    return true;
}

static bool write_cr4(struct x86_cpu *c, uint64_t value)
{
    uint64_t changed = value ^ c->cr4;

    if (value & ~cpuid_cr4_offered(c->vm->cpuid))
        return fault_code(c, X86_GP, 0);
    if (in_long_mode(c) && !(value & X86_CR4_PAE))
        return fault_code(c, X86_GP, 0);
    if ((changed & value & X86_CR4_PCIDE) && (!in_long_mode(c) || (c->cr3 & X86_CR3_PCID)))
        return fault_code(c, X86_GP, 0);
    if ((changed & (X86_CR4_PAE | X86_CR4_PSE | X86_CR4_PGE | X86_CR4_SMEP)) &&
        uses_pae(c, c->cr0, value) && !mmu_load_pdptes(c, c->cr3))
        return fault_code(c, X86_GP, 0);
    c->cr4 = value;
    fpu_mode_changed(c);
    if (changed)
        mmu_mode_changed(c);
    return true;
}

static bool write_cr8(struct x86_cpu *c, uint64_t value)
{
    if (value > 15)
        return fault_code(c, X86_GP, 0);
    fpu_park(c);
    c->vm->host->cr8_write(c->vm->host_arg, c->index, value);
    return true;
}

static bool write_cr(struct x86_cpu *c, unsigned cr, uint64_t value)
{
    switch (cr) {
    case 0: return write_cr0(c, value);
    case 2: c->cr2 = value; return true;
    case 3: return write_cr3(c, value);
    case 4: return write_cr4(c, value);
    case 8: return write_cr8(c, value);
    default: cpu_raise(c, X86_UD, false, 0); return false;
    }
}

static bool is_cr(unsigned cr)
{
    return cr == 0 || (cr >= 2 && cr <= 4) || cr == 8;
}

static uint64_t operand_value(const struct x86_cpu *c, unsigned reg)
{
    return in_64bit(c) ? c->reg[reg] : (uint32_t)c->reg[reg];
}

void op_mov_to_cr(struct x86_cpu *c, const struct insn *i)
{
    if (!is_cr(i->reg))
        INSN_UD();
    REQUIRE_CPL0();
    OR_FAULT(write_cr(c, i->reg, operand_value(c, i->rm)));
    insn_end(c, i);
}

static uint64_t read_cr8(struct x86_cpu *c)
{
    fpu_park(c);
    return c->vm->host->cr8_read(c->vm->host_arg, c->index);
}

void op_mov_from_cr(struct x86_cpu *c, const struct insn *i)
{
    uint64_t v = 0;

    if (!is_cr(i->reg))
        INSN_UD();
    REQUIRE_CPL0();
    switch (i->reg) {
    case 0: v = c->cr0; break;
    case 2: v = c->cr2; break;
    case 3: v = c->cr3; break;
    case 4: v = c->cr4; break;
    case 8: v = read_cr8(c); break;
    }
    c->reg[i->rm] = in_64bit(c) ? v : (uint32_t)v;
    NEXT;
}

void op_clts(struct x86_cpu *c, const struct insn *i)
{
    REQUIRE_CPL0();
    c->cr0 &= ~(uint64_t)X86_CR0_TS;
    fpu_mode_changed(c);
    insn_end(c, i);
}

void op_lmsw(struct x86_cpu *c, const struct insn *i)
{
    struct loaded v;
    uint64_t bits;

    REQUIRE_CPL0();
    v = op_load(c, i, 2);
    if (!v.ok)
        return;
    bits = (v.value & 15) | (c->cr0 & X86_CR0_PE); /* PE can be set, not cleared */
    OR_FAULT(write_cr0(c, (c->cr0 & ~UINT64_C(15)) | bits));
    insn_end(c, i);
}

void op_smsw(struct x86_cpu *c, const struct insn *i)
{
    if (umip_forbids(c))
        INSN_GP0();
    if (!op_store16(c, i, c->cr0))
        return;
    NEXT;
}

/* ---- debug registers ---- */

/* DR4 and DR5 are names of DR6 and DR7, unless CR4.DE takes them away. 8: #UD. */
static unsigned dr_number(const struct x86_cpu *c, unsigned dr)
{
    if (dr >= 8 || ((dr == 4 || dr == 5) && (c->cr4 & X86_CR4_DE)))
        return 8;
    return dr == 4 || dr == 5 ? dr + 2 : dr;
}

static bool may_access_dr(struct x86_cpu *c, unsigned dr)
{
    if (dr >= 8) {
        cpu_raise(c, X86_UD, false, 0);
        return false;
    }
    if (c->cpl != 0)
        return fault_code(c, X86_GP, 0);
    if (c->dr7 & X86_DR7_GD) {
        c->dr6 |= X86_DR6_BD;
        cpu_raise(c, X86_DB, false, 1); /* a fault */
        return false;
    }
    return true;
}

void op_mov_to_dr(struct x86_cpu *c, const struct insn *i)
{
    unsigned dr = dr_number(c, i->reg);
    uint64_t v = operand_value(c, i->rm);

    OR_FAULT(may_access_dr(c, dr));
    if (dr >= 6 && v >> 32)
        INSN_GP0();
    if (dr == 6)
        c->dr6 = (v & 0xe00f) | X86_DR6_FIXED;
    else if (dr == 7)
        c->dr7 = (v & 0xffff23ff) | X86_DR7_FIXED;
    else
        c->dr[dr] = v;
    /* Watched pages stay out of the TLB from now on; those that are in it must go. */
    if (dr != 6 && (c->dr7 & 0xff))
        mmu_flush_all(c);
    /* RF lasted until this instruction at the latest; where no breakpoint was armed nobody has
     * cleared it. */
    c->rflags &= ~(uint64_t)X86_FLAG_RF;
    insn_end(c, i);
}

void op_mov_from_dr(struct x86_cpu *c, const struct insn *i)
{
    unsigned dr = dr_number(c, i->reg);
    uint64_t v;

    OR_FAULT(may_access_dr(c, dr));
    v = dr == 6 ? c->dr6 : dr == 7 ? c->dr7 : c->dr[dr];
    c->reg[i->rm] = in_64bit(c) ? v : (uint32_t)v;
    NEXT;
}

/* ---- TLB and caches ---- */

void op_invlpg(struct x86_cpu *c, const struct insn *i)
{
    uint64_t va = insn_ea_offset(c, i) + c->ea_base[i->seg];

    REQUIRE_CPL0();
    if (!in_64bit(c))
        va = (uint32_t)va;
    if (is_canonical(va))
        mmu_flush_page(c, va);
    insn_end(c, i);
}

static bool invpcid(struct x86_cpu *c, uint64_t type, uint64_t pcid, uint64_t va)
{
    if (type > 3 || pcid >> 12)
        return fault_code(c, X86_GP, 0);
    if (type < 2 && pcid && !(c->cr4 & X86_CR4_PCIDE))
        return fault_code(c, X86_GP, 0);
    if (type == 0 && !is_canonical(va))
        return fault_code(c, X86_GP, 0);
    switch (type) {
    case 0: mmu_flush_pcid_page(c, (uint16_t)pcid, va); break;
    case 1: mmu_flush_pcid(c, (uint16_t)pcid); break;
    case 2: mmu_flush_all(c); break;
    case 3: mmu_flush_non_global(c); break;
    }
    return true;
}

void op_invpcid(struct x86_cpu *c, const struct insn *i)
{
    struct loaded va, pcid, addr;

    if (in_real_or_v86(c) && (c->cr0 & X86_CR0_PE))
        INSN_GP0();
    REQUIRE_CPL0();
    va = op_address(c, i, 16, false);
    if (!va.ok)
        return;
    pcid = insn_load_slow(c, i, va.value, 8);
    if (!pcid.ok)
        return;
    addr = insn_load_slow(c, i, va.value + 8, 8);
    if (!addr.ok)
        return;
    OR_FAULT(invpcid(c, operand_value(c, i->reg), pcid.value, addr.value));
    insn_end(c, i);
}

/* INVD, WBINVD: all caches are coherent. */
void op_wbinvd(struct x86_cpu *c, const struct insn *i)
{
    REQUIRE_CPL0();
    insn_end(c, i);
}

/* ---- interrupt flag, halt, AC ---- */

void op_hlt(struct x86_cpu *c, const struct insn *i)
{
    REQUIRE_CPL0();
    c->sti_shadow = false; /* over, even if the STI did not come by the main loop */
    c->run_state = X86_HALTED;
    insn_end(c, i);
}

static bool may_change_if(const struct x86_cpu *c)
{
    return c->cpl <= (c->rflags & X86_FLAG_IOPL) >> 12 || !(c->cr0 & X86_CR0_PE);
}

void op_cli(struct x86_cpu *c, const struct insn *i)
{
    if (unlikely(!may_change_if(c)))
        INSN_GP0();
    c->rflags &= ~(uint64_t)X86_FLAG_IF;
    insn_next_block(c, i);
}

void op_sti(struct x86_cpu *c, const struct insn *i)
{
    if (unlikely(!may_change_if(c)))
        INSN_GP0();
    if (c->rflags & X86_FLAG_IF) {
        insn_next_block(c, i);
        return;
    }
    c->rflags |= X86_FLAG_IF;
    c->sti_shadow = true;
    insn_end(c, i);
}

void op_stac(struct x86_cpu *c, const struct insn *i)
{
    if (c->cpl != 0)
        INSN_UD();
    c->rflags |= X86_FLAG_AC;
    mmu_privilege_changed(c);
    insn_next_block(c, i);
}

void op_clac(struct x86_cpu *c, const struct insn *i)
{
    if (c->cpl != 0)
        INSN_UD();
    c->rflags &= ~(uint64_t)X86_FLAG_AC;
    mmu_privilege_changed(c);
    insn_next_block(c, i);
}

/* ---- XCR0 ---- */

/* XCR1 as read: the components that are not in their initial state. */
static noinline uint64_t components_in_use(struct x86_cpu *c)
{
    uint64_t in_use = 0;

    fpu_park(c);
    __builtin_memcpy(&in_use, c->xsave + 512, 8);
    return in_use & c->xcr0;
}

void op_xgetbv(struct x86_cpu *c, const struct insn *i)
{
    uint32_t index = (uint32_t)c->reg[X86_RCX];
    uint64_t v;

    if (!(c->cr4 & X86_CR4_OSXSAVE))
        INSN_UD();
    if (index > 1 || (index == 1 && !c->vm->cpuid->feature[X86_FEATURE_XSAVEC]))
        INSN_GP0();
    v = index ? components_in_use(c) : c->xcr0;
    c->reg[X86_RAX] = (uint32_t)v;
    c->reg[X86_RDX] = v >> 32;
    NEXT;
}

void op_xsetbv(struct x86_cpu *c, const struct insn *i)
{
    uint64_t v = (uint32_t)c->reg[X86_RAX] | c->reg[X86_RDX] << 32;

    if (!(c->cr4 & X86_CR4_OSXSAVE))
        INSN_UD();
    REQUIRE_CPL0();
    if ((uint32_t)c->reg[X86_RCX] != 0 || !(v & X86_XCR0_X87) || (v & ~c->vm->cpuid->xcr0) ||
        (v & (X86_XCR0_SSE | X86_XCR0_AVX)) == X86_XCR0_AVX)
        INSN_GP0();
    c->xcr0 = v;
    fpu_mode_changed(c);
    insn_end(c, i);
}
