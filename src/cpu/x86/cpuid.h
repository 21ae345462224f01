/* SPDX-License-Identifier: MIT */
/* The CPUID policy: what the machine's CPUs claim to be. Written down in docs/cpu-policy.md. */
#ifndef VZ_CPU_X86_CPUID_H
#define VZ_CPU_X86_CPUID_H

#include "base/compiler.h"
#include "cpu/x86/decode/decode.h"

struct tsc_rate;
struct x86_cpu;

struct x86_cpuid_policy {
    bool feature[X86_FEATURE_COUNT]; /* offered: in the allow-list and, where native, on the host */
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

/* For CPUs without local APIC: leaf 1 says so. */
void cpuid_policy_no_apic(struct x86_cpuid_policy *p);

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

/* The same for c as it is now. */
void cpuid_query(const struct x86_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t ret[4]);

#endif
