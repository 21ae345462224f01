/* SPDX-License-Identifier: MIT */
/* What CPUID says: the policy (arch/x86/policy.h), and a CPU's view of it. */
#ifndef VZ_CPU_X86_CPUID_H
#define VZ_CPU_X86_CPUID_H

#include "arch/x86/policy.h"

struct x86_cpu;

/* The values CPUID gives to c as it is now, as cpuid_policy_query() does. */
void cpuid_query(const struct x86_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t ret[4]);

#endif
