/* SPDX-License-Identifier: MIT */
/* The policy: what a machine's CPUs claim to be, on every host and backend. Written down in
 * docs/cpu-policy.md. cpu/x86 is such a CPU; hv/kvm makes the host's one look like it. Which MSRs
 * there are is in msrs.h. */
#ifndef VZ_ARCH_X86_POLICY_H
#define VZ_ARCH_X86_POLICY_H

#include "arch/x86/features.h"
#include "base/compiler.h"

struct tsc_rate;
struct x86_cpu_state;

/* MAXPHYADDR: the width of guest-physical addresses, of page table entries and MTRRs. */
#define X86_PHYS_BITS 46u

/* CPUID leaf of KVM's name and features, behind our own: guests look in steps of 100h. */
#define X86_POLICY_KVM_BASE 0x40000100u

#define X86_EFER_OFFERED (X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE)

/* Bits of ARCH_CAPABILITIES: what we are not vulnerable to, so that kernels leave out their
 * mitigations. Bit names: SDM vol. 4, table 2-2. */
#define MSR_ARCH_CAPABILITIES_VALUE                                                                \
    (BIT(0)    /* RDCL_NO */ | BIT(1)   /* IBRS_ALL */ | BIT(3)   /* SKIP_L1DFL_VMENTRY */ |       \
     BIT(4)    /* SSB_NO */ | BIT(5)    /* MDS_NO */ | BIT(6)     /* IF_PSCHANGE_MC_NO */ |        \
     BIT(8)    /* TAA_NO */ | BIT(13)   /* SBDR_SSDP_NO */ | BIT(14) /* FBSDP_NO */ |              \
     BIT(15)   /* PSDP_NO */ | BIT(20)  /* BHI_NO */ | BIT(24)    /* PBRSB_NO */ |                 \
     BIT(26)   /* GDS_NO */ | BIT(27)   /* RFDS_NO */ | BIT(62)   /* ITS_NO */)

struct x86_cpuid_policy {
    bool feature[X86_FEATURE_COUNT]; /* offered: in the allow-list and, where native, on the host */
    bool hidden[X86_FEATURE_COUNT];  /* CPUID does not say so: there, for who knows it from elsewhere */
    struct tsc_rate *tsc;
    unsigned cpu_count;
    bool no_apic;
    unsigned phys_bits;       /* width of guest-physical addresses */
    uint64_t xcr0;            /* components offered */
    uint32_t xsave_size[64];  /* of each component, and its offset, from the host */
    uint32_t xsave_offset[64];
};

/* tsc is asked when a leaf is that says its rate, and stays the caller's. */
void cpuid_policy_init(struct x86_cpuid_policy *p, struct tsc_rate *tsc, unsigned cpu_count);

/* What is offered, bit n: enum x86_feature n. */
uint64_t cpuid_policy_features(const struct x86_cpuid_policy *p);

/* Where CPUID tells of a feature; reg counts EAX, EBX, ECX, EDX. False: nowhere. */
bool x86_feature_place(unsigned feature, uint32_t *ret_leaf, uint32_t *ret_subleaf,
                       unsigned *ret_reg, unsigned *ret_bit);

/* For CPUs without local APIC: leaf 1 says so. */
void cpuid_policy_no_apic(struct x86_cpuid_policy *p);

/* Where RDTSCP and RDPID take long: guests have other ways, which they choose by CPUID. */
void cpuid_policy_hide_tsc_aux(struct x86_cpuid_policy *p);

/* Bits of CR4 that may be set; the others are reserved. */
uint64_t cpuid_cr4_offered(const struct x86_cpuid_policy *p);

/* What of a CPU's state shows through CPUID. */
struct cpuid_view {
    unsigned index; /* the vCPU's, and its APIC id */
    bool osxsave, in_64bit;
    bool apic_off;     /* by IA32_APIC_BASE */
    bool leaf_limit;   /* by IA32_MISC_ENABLE, and the next */
    bool no_nx;
    uint64_t xcr0;
};

/* The values CPUID gives by the policy for leaf eax, subleaf ecx, in eax, ebx, ecx, edx order. */
void cpuid_policy_query(const struct x86_cpuid_policy *p, const struct cpuid_view *view,
                        uint32_t leaf, uint32_t subleaf, uint32_t ret[4]);

/* Can a CPU with these bits of CR4 and XCR0 hold it? */
bool x86_state_valid(const struct x86_cpu_state *s, uint64_t cr4_offered, uint64_t xcr0_offered);

#endif
