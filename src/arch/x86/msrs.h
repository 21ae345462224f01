/* SPDX-License-Identifier: MIT */
/* The MSRs of the policy's CPU that hold something (docs/cpu-policy.md): one list for whoever has
 * them, reads them or writes them. SDM vol. 4. */
#ifndef VZ_ARCH_X86_MSRS_H
#define VZ_ARCH_X86_MSRS_H

#include "arch/x86/policy.h"
#include "arch/x86/regs.h"
#include "base/compiler.h"

struct x86_cpu_state;

/* What may be written to an MSR, anything else being #GP(0). */
enum x86_msr_rule {
    X86_MSR_ANY,
    X86_MSR_LOW,        /* the upper half is reserved */
    X86_MSR_CANONICAL,
    X86_MSR_PAT,
    X86_MSR_DEF_TYPE,   /* MTRRs: the default type and what is on, */
    X86_MSR_FIXED,      /* eight types, */
    X86_MSR_RANGE_BASE, /* an address and a type, */
    X86_MSR_RANGE_MASK, /* which addresses */
    X86_MSR_DEBUG,      /* which parts of debugging are on */
    X86_MSR_EOI_FLAG,   /* where KVM's PV EOI flag is */
    X86_MSR_OWN,        /* more than the value decides, or something follows: the CPU's own code */
};

#define X86_MTRR_RANGE_(X, n)                                                                      \
    X(MSR_MTRR_PHYS_BASE0 + 2 * (n), mtrr_phys_base[n], RANGE_BASE)                                \
    X(MSR_MTRR_PHYS_BASE0 + 2 * (n) + 1, mtrr_phys_mask[n], RANGE_MASK)

/* X(number, member of struct x86_cpu_state, rule). struct x86_cpu has members of the same names. */
#define X86_MSRS(X)                                                                                \
    X(MSR_TSC_ADJUST, tsc_adjust, OWN)                                                             \
    X(MSR_SPEC_CTRL, spec_ctrl, OWN)                                                               \
    X(MSR_SYSENTER_CS, sysenter_cs, OWN)                                                           \
    X(MSR_SYSENTER_ESP, sysenter_esp, CANONICAL)                                                   \
    X(MSR_SYSENTER_EIP, sysenter_eip, CANONICAL)                                                   \
    X(MSR_MISC_ENABLE, misc_enable, OWN)                                                           \
    X(MSR_DEBUGCTL, debugctl, DEBUG)                                                               \
    X(MSR_PAT, pat, PAT)                                                                           \
    X(MSR_STAR, star, ANY)                                                                         \
    X(MSR_LSTAR, lstar, CANONICAL)                                                                 \
    X(MSR_CSTAR, cstar, CANONICAL)                                                                 \
    X(MSR_FMASK, fmask, LOW)                                                                       \
    X(MSR_KERNEL_GS_BASE, kernel_gs_base, CANONICAL)                                               \
    X(MSR_TSC_AUX, tsc_aux, LOW)                                                                   \
    X(MSR_KVM_PV_EOI, kvm_pv_eoi, EOI_FLAG)                                                        \
    X(MSR_MTRR_DEF_TYPE, mtrr_def_type, DEF_TYPE)                                                  \
    X(MSR_MTRR_FIX64K, mtrr_fixed[0], FIXED)                                                       \
    X(MSR_MTRR_FIX16K_80000, mtrr_fixed[1], FIXED)                                                 \
    X(MSR_MTRR_FIX16K_A0000, mtrr_fixed[2], FIXED)                                                 \
    X(MSR_MTRR_FIX4K_C0000, mtrr_fixed[3], FIXED)                                                  \
    X(MSR_MTRR_FIX4K_C0000 + 1, mtrr_fixed[4], FIXED)                                              \
    X(MSR_MTRR_FIX4K_C0000 + 2, mtrr_fixed[5], FIXED)                                              \
    X(MSR_MTRR_FIX4K_C0000 + 3, mtrr_fixed[6], FIXED)                                              \
    X(MSR_MTRR_FIX4K_C0000 + 4, mtrr_fixed[7], FIXED)                                              \
    X(MSR_MTRR_FIX4K_C0000 + 5, mtrr_fixed[8], FIXED)                                              \
    X(MSR_MTRR_FIX4K_C0000 + 6, mtrr_fixed[9], FIXED)                                              \
    X(MSR_MTRR_FIX4K_C0000 + 7, mtrr_fixed[10], FIXED)                                             \
    X86_MTRR_RANGE_(X, 0) X86_MTRR_RANGE_(X, 1) X86_MTRR_RANGE_(X, 2) X86_MTRR_RANGE_(X, 3)        \
    X86_MTRR_RANGE_(X, 4) X86_MTRR_RANGE_(X, 5) X86_MTRR_RANGE_(X, 6) X86_MTRR_RANGE_(X, 7)

/* Those of struct x86_cpu_state that are something else as well: the clock, the local APIC's, or
 * parts of what control and segment registers are. */
#define X86_MSRS_ELSEWHERE(X)                                                                      \
    X(MSR_TSC, tsc, OWN)                                                                           \
    X(MSR_APIC_BASE, apic_base, OWN)                                                               \
    X(MSR_TSC_DEADLINE, tsc_deadline, OWN)                                                         \
    X(MSR_EFER, efer, OWN)                                                                         \
    X(MSR_FS_BASE, seg[X86_FS].base, OWN)                                                          \
    X(MSR_GS_BASE, seg[X86_GS].base, OWN)

#define X86_MTRR_RANGES 8u

/* X(number, value): those that are read only, by the policy. Writes of some have a meaning. */
#define X86_MSRS_CONSTANT(X)                                                                       \
    X(MSR_PLATFORM_ID, 0)                                                                          \
    X(MSR_FEATURE_CONTROL, 1) /* locked */                                                         \
    X(MSR_BIOS_SIGN_ID, BIT(32)) /* microcode revision 1 */                                        \
    X(MSR_MTRRCAP, X86_MTRR_RANGES | BIT(8) | BIT(10)) /* fixed ranges, write-combining */         \
    X(MSR_ARCH_CAPABILITIES, MSR_ARCH_CAPABILITIES_VALUE)                                          \
    X(MSR_MCG_CAP, 0) /* no banks */                                                               \
    X(MSR_MCG_STATUS, 0)

/* May such an MSR hold value? OWN: yes, as far as is known here. */
bool x86_msr_valid(enum x86_msr_rule rule, uint64_t value);
/* The same of all of X86_MSRS. */
bool x86_msrs_valid(const struct x86_cpu_state *s);

static inline bool x86_is_canonical(uint64_t va)
{
    return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

#endif
