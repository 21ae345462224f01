/* SPDX-License-Identifier: MIT */
/* Model-specific registers: which there are, and what may be written. docs/cpu-policy.md; SDM vol.
 * 4.
 * False: no such register, or not such a value: #GP(0), which the caller raises. */
#ifndef VZ_CPU_X86_MSR_H
#define VZ_CPU_X86_MSR_H

#include "cpu/x86/cpu.h"

/* Bits of ARCH_CAPABILITIES: what we are not vulnerable to, so that kernels leave out their
 * mitigations. Bit names: SDM vol. 4, table 2-2. */
#define MSR_ARCH_CAPABILITIES_VALUE                                                                \
    (BIT(0)    /* RDCL_NO */ | BIT(1)   /* IBRS_ALL */ | BIT(3)   /* SKIP_L1DFL_VMENTRY */ |       \
     BIT(4)    /* SSB_NO */ | BIT(5)    /* MDS_NO */ | BIT(6)     /* IF_PSCHANGE_MC_NO */ |        \
     BIT(8)    /* TAA_NO */ | BIT(13)   /* SBDR_SSDP_NO */ | BIT(14) /* FBSDP_NO */ |              \
     BIT(15)   /* PSDP_NO */ | BIT(20)  /* BHI_NO */ | BIT(24)    /* PBRSB_NO */ |                 \
     BIT(26)   /* GDS_NO */ | BIT(27)   /* RFDS_NO */ | BIT(62)   /* ITS_NO */)

bool msr_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret) must_check;
bool msr_write(struct x86_cpu *c, uint32_t msr, uint64_t value) must_check;

/* May these registers hold these values? Also for loads of a saved state. */
bool msr_pat_valid(uint64_t value);
bool msr_mtrr_def_type_valid(uint64_t value);
bool msr_mtrr_fixed_valid(uint64_t value);
bool msr_kvm_pv_eoi_valid(uint64_t value);
bool msr_mtrr_phys_valid(uint64_t base, uint64_t mask);

#endif
