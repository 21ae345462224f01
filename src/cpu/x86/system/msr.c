/* SPDX-License-Identifier: MIT */
/* Model-specific registers. See msr.h. */
#include "cpu/x86/system/msr.h"

#include "base/clock.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/system/segment.h"

#define MTRR_COUNT 8u
#define MTRRCAP_VALUE (MTRR_COUNT | BIT(8) | BIT(10)) /* fixed ranges, write-combining */
#define SPEC_CTRL_OFFERED 0x407u /* IBRS, STIBP, SSBD, BHI_DIS_S */
/* Fast strings, thermal control, SpeedStep, MONITOR, xTPR messages: kept, without an effect here.
 * The limit of CPUID's leaves and the end of NX: cpuid.c. */
#define MISC_ENABLE_WRITABLE                                                                       \
    (BIT(0) | BIT(3) | BIT(16) | BIT(18) | BIT(23) | X86_MISC_LIMIT_CPUID | X86_MISC_NO_NX)
#define EFER_OFFERED (X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE)

static bool is_apic_msr(uint32_t msr)
{
    return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE ||
           (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST);
}

/* The eleven fixed-range registers are not next to each other. Their index, or -1. */
static int fixed_index(uint32_t msr)
{
    if (msr == MSR_MTRR_FIX64K)
        return 0;
    if (msr == MSR_MTRR_FIX16K_80000 || msr == MSR_MTRR_FIX16K_A0000)
        return (int)(msr - MSR_MTRR_FIX16K_80000) + 1;
    if (msr >= MSR_MTRR_FIX4K_C0000 && msr < MSR_MTRR_FIX4K_C0000 + 8)
        return (int)(msr - MSR_MTRR_FIX4K_C0000) + 3;
    return -1;
}

static bool is_phys_mtrr(uint32_t msr)
{
    return msr >= MSR_MTRR_PHYS_BASE0 && msr < MSR_MTRR_PHYS_BASE0 + 2 * MTRR_COUNT;
}

/* Memory types, SDM vol. 3, table 11-8: UC, WC, WT, WP, WB; PAT also knows UC-. */
static bool type_valid(uint64_t type)
{
    return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

bool msr_pat_valid(uint64_t value)
{
    for (unsigned n = 0; n < 8; n++) {
        uint64_t type = value >> (8 * n) & 0xff;

        if (!type_valid(type) && type != 7)
            return false;
    }
    return true;
}

bool msr_mtrr_fixed_valid(uint64_t value)
{
    for (unsigned n = 0; n < 8; n++)
        if (!type_valid(value >> (8 * n) & 0xff))
            return false;
    return true;
}

bool msr_mtrr_def_type_valid(uint64_t value)
{
    return !(value & ~UINT64_C(0xcff)) && type_valid(value & 0xff);
}

bool msr_mtrr_phys_valid(uint64_t base, uint64_t mask)
{
    return !(base >> MMU_PHYS_BITS) && !(base & 0xf00) && type_valid(base & 0xff) &&
           !(mask >> MMU_PHYS_BITS) && !(mask & 0x7ff);
}

/* A flag of 4 bytes, aligned. Like KVM, look no closer while it is off. */
bool msr_kvm_pv_eoi_valid(uint64_t value)
{
    return !(value & 2);
}

/* ---- reading ---- */

static bool read_mtrr(const struct x86_cpu *c, uint32_t msr, uint64_t *ret)
{
    unsigned n = (msr - MSR_MTRR_PHYS_BASE0) / 2;

    if (is_phys_mtrr(msr))
        *ret = msr & 1 ? c->mtrr_phys_mask[n] : c->mtrr_phys_base[n];
    else if (fixed_index(msr) >= 0)
        *ret = c->mtrr_fixed[fixed_index(msr)];
    else
        return false;
    return true;
}

static bool read_apic(struct x86_cpu *c, uint32_t msr, uint64_t *ret)
{
    uint64_t value = 0;

    fpu_park(c);
    if (c->vm->host->apic_msr_read(c->vm->host_arg, c->index, msr, &value))
        return false;
    *ret = value;
    return true;
}

bool msr_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret)
{
    switch (msr) {
    case MSR_PLATFORM_ID: *ret = 0; return true;
    case MSR_TSC: *ret = clock_tsc() + c->tsc_offset; return true;
    case MSR_FEATURE_CONTROL: *ret = 1; return true; /* locked */
    case MSR_TSC_ADJUST: *ret = c->tsc_adjust; return true;
    case MSR_SPEC_CTRL: *ret = c->spec_ctrl; return true;
    case MSR_BIOS_SIGN_ID: *ret = BIT(32); return true; /* microcode revision 1 */
    case MSR_MTRRCAP: *ret = MTRRCAP_VALUE; return true;
    case MSR_ARCH_CAPABILITIES: *ret = MSR_ARCH_CAPABILITIES_VALUE; return true;
    case MSR_SYSENTER_CS: *ret = c->sysenter_cs; return true;
    case MSR_SYSENTER_ESP: *ret = c->sysenter_esp; return true;
    case MSR_SYSENTER_EIP: *ret = c->sysenter_eip; return true;
    case MSR_MCG_CAP: *ret = 0; return true; /* no banks */
    case MSR_MCG_STATUS: *ret = 0; return true;
    case MSR_MISC_ENABLE: *ret = c->misc_enable; return true;
    case MSR_PAT: *ret = c->pat; return true;
    case MSR_MTRR_DEF_TYPE: *ret = c->mtrr_def_type; return true;
    case MSR_KVM_PV_EOI: *ret = c->kvm_pv_eoi; return !c->vm->cpuid->no_apic;
    case MSR_EFER: *ret = c->efer; return true;
    case MSR_STAR: *ret = c->star; return true;
    case MSR_LSTAR: *ret = c->lstar; return true;
    case MSR_CSTAR: *ret = c->cstar; return true;
    case MSR_FMASK: *ret = c->fmask; return true;
    case MSR_FS_BASE: *ret = c->seg[X86_FS].base; return true;
    case MSR_GS_BASE: *ret = c->seg[X86_GS].base; return true;
    case MSR_KERNEL_GS_BASE: *ret = c->kernel_gs_base; return true;
    case MSR_TSC_AUX: *ret = c->tsc_aux; return true;
    default:
        return is_apic_msr(msr) ? read_apic(c, msr, ret) : read_mtrr(c, msr, ret);
    }
}

/* ---- writing ---- */

static void move_tsc(struct x86_cpu *c, uint64_t delta)
{
    cpu_set_tsc_offset(c, c->tsc_offset + delta);
    c->tsc_adjust += delta;
    fpu_park(c);
    c->vm->host->tsc_changed(c->vm->host_arg, c->index, c->tsc_offset);
}

static bool write_efer(struct x86_cpu *c, uint64_t value)
{
    if (value & ~(uint64_t)EFER_OFFERED)
        return false;
    if ((c->cr0 & X86_CR0_PG) && ((value ^ c->efer) & X86_EFER_LME))
        return false;
    if ((value & ~c->efer & X86_EFER_NXE) && (c->misc_enable & X86_MISC_NO_NX))
        return false;
    c->efer = (value & ~(uint64_t)X86_EFER_LMA) | (c->efer & X86_EFER_LMA);
    mmu_mode_changed(c);
    return true;
}

static bool write_base(struct x86_cpu *c, enum x86_seg seg, uint64_t value)
{
    if (!is_canonical(value))
        return false;
    c->seg[seg].base = c->ea_base[seg] = value;
    return true;
}

static bool set_if(bool valid, uint64_t *reg, uint64_t value)
{
    if (valid)
        *reg = value;
    return valid;
}

static bool write_mtrr(struct x86_cpu *c, uint32_t msr, uint64_t value)
{
    unsigned n = (msr - MSR_MTRR_PHYS_BASE0) / 2;

    if (fixed_index(msr) >= 0)
        return set_if(msr_mtrr_fixed_valid(value), &c->mtrr_fixed[fixed_index(msr)], value);
    if (!is_phys_mtrr(msr))
        return false;
    if (msr & 1)
        return set_if(msr_mtrr_phys_valid(0, value), &c->mtrr_phys_mask[n], value);
    return set_if(msr_mtrr_phys_valid(value, 0), &c->mtrr_phys_base[n], value);
}

/* KVM may set the flag when it delivers an interrupt, and then the guest clears it instead of
 * telling the local APIC of the interrupt's end. We never set it: here that would save nothing. */
static bool write_kvm_pv_eoi(struct x86_cpu *c, uint64_t value)
{
    if (c->vm->cpuid->no_apic || !msr_kvm_pv_eoi_valid(value) ||
        ((value & 1) && !mem_find(c->vm->mem, value & ~UINT64_C(1))))
        return false;
    c->kvm_pv_eoi = value;
    return true;
}

static bool write_apic(struct x86_cpu *c, uint32_t msr, uint64_t value)
{
    fpu_park(c);
    return !c->vm->host->apic_msr_write(c->vm->host_arg, c->index, msr, value);
}

bool msr_write(struct x86_cpu *c, uint32_t msr, uint64_t value)
{
    switch (msr) {
    case MSR_TSC: move_tsc(c, value - (clock_tsc() + c->tsc_offset)); return true;
    case MSR_TSC_ADJUST: move_tsc(c, value - c->tsc_adjust); return true;
    case MSR_SPEC_CTRL: return set_if(!(value & ~(uint64_t)SPEC_CTRL_OFFERED), &c->spec_ctrl, value);
    case MSR_PRED_CMD: return !(value & ~UINT64_C(1)); /* nothing to do: no predictor is shared */
    case MSR_BIOS_SIGN_ID: return true; /* written before CPUID tells the revision */
    case MSR_SYSENTER_CS: c->sysenter_cs = (uint32_t)value; return true;
    case MSR_SYSENTER_ESP: return set_if(is_canonical(value), &c->sysenter_esp, value);
    case MSR_SYSENTER_EIP: return set_if(is_canonical(value), &c->sysenter_eip, value);
    case MSR_MCG_STATUS: return value == 0;
    case MSR_MISC_ENABLE:
        return set_if(!((value ^ c->misc_enable) & ~(uint64_t)MISC_ENABLE_WRITABLE),
                      &c->misc_enable, value);
    case MSR_PAT: return set_if(msr_pat_valid(value), &c->pat, value);
    case MSR_MTRR_DEF_TYPE:
        return set_if(msr_mtrr_def_type_valid(value), &c->mtrr_def_type, value);
    case MSR_KVM_PV_EOI: return write_kvm_pv_eoi(c, value);
    case MSR_EFER: return write_efer(c, value);
    case MSR_STAR: c->star = value; return true;
    case MSR_LSTAR: return set_if(is_canonical(value), &c->lstar, value);
    case MSR_CSTAR: return set_if(is_canonical(value), &c->cstar, value);
    case MSR_FMASK: return set_if(!(value >> 32), &c->fmask, value);
    case MSR_FS_BASE: return write_base(c, X86_FS, value);
    case MSR_GS_BASE: return write_base(c, X86_GS, value);
    case MSR_KERNEL_GS_BASE: return set_if(is_canonical(value), &c->kernel_gs_base, value);
    case MSR_TSC_AUX: return set_if(!(value >> 32), &c->tsc_aux, value);
    default:
        return is_apic_msr(msr) ? write_apic(c, msr, value) : write_mtrr(c, msr, value);
    }
}
