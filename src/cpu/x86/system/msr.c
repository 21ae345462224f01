/* SPDX-License-Identifier: MIT */
/* Model-specific registers. See msr.h. */
#include "cpu/x86/system/msr.h"

#include "arch/x86/msrs.h"
#include "base/clock.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/system/segment.h"

#define SPEC_CTRL_OFFERED 0x407u /* IBRS, STIBP, SSBD, BHI_DIS_S */
/* Fast strings, thermal control, SpeedStep, MONITOR, xTPR messages: kept, without an effect here.
 * The limit of CPUID's leaves and the end of NX: cpuid.c. */
#define MISC_ENABLE_WRITABLE                                                                       \
    (BIT(0) | BIT(3) | BIT(16) | BIT(18) | BIT(23) | X86_MISC_LIMIT_CPUID | X86_MISC_NO_NX)

static bool is_apic_msr(uint32_t msr)
{
    return msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE ||
           (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST);
}

/* ---- reading ---- */

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
    if (msr == MSR_KVM_PV_EOI && c->vm->cpuid->no_apic)
        return false;
    switch (msr) {
#define READ(msr, member, rule)                                                                    \
    case msr: *ret = c->member; return true;
    X86_MSRS(READ)
#undef READ
    case MSR_EFER: *ret = c->efer; return true;
    case MSR_FS_BASE: *ret = c->seg[X86_FS].base; return true;
    case MSR_GS_BASE: *ret = c->seg[X86_GS].base; return true;
    case MSR_TSC: *ret = clock_tsc() + c->tsc_offset; return true;
#define READ(msr, value)                                                                           \
    case msr: *ret = value; return true;
    X86_MSRS_CONSTANT(READ)
#undef READ
    default: return is_apic_msr(msr) && read_apic(c, msr, ret);
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
    if (value & ~(uint64_t)X86_EFER_OFFERED)
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
    if (!x86_is_canonical(value))
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

/* KVM may set the flag when it delivers an interrupt, and then the guest clears it instead of
 * telling the local APIC of the interrupt's end. We never set it: here that would save nothing. */
static bool write_kvm_pv_eoi(struct x86_cpu *c, uint64_t value)
{
    if (c->vm->cpuid->no_apic || !x86_msr_valid(X86_MSR_EOI_FLAG, value) ||
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

/* Those of which the value alone decides. */
static bool write_plain(struct x86_cpu *c, uint32_t msr, uint64_t value)
{
    switch (msr) {
#define WRITE(msr, member, rule)                                                                   \
    case msr: return set_if(x86_msr_valid(X86_MSR_##rule, value), &c->member, value);
    X86_MSRS(WRITE)
#undef WRITE
    default: return is_apic_msr(msr) && write_apic(c, msr, value);
    }
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
    case MSR_MCG_STATUS: return value == 0;
    case MSR_MISC_ENABLE:
        return set_if(!((value ^ c->misc_enable) & ~(uint64_t)MISC_ENABLE_WRITABLE),
                      &c->misc_enable, value);
    case MSR_KVM_PV_EOI: return write_kvm_pv_eoi(c, value);
    case MSR_EFER: return write_efer(c, value);
    case MSR_FS_BASE: return write_base(c, X86_FS, value);
    case MSR_GS_BASE: return write_base(c, X86_GS, value);
    default: return write_plain(c, msr, value);
    }
}
