/* SPDX-License-Identifier: MIT */
/* What CPUID says to a running CPU: the policy, by what of its state shows. */
#include "cpu/x86/cpuid.h"

#include "cpu/x86/cpu.h"

static bool apic_is_off(const struct x86_cpu *c)
{
    uint64_t base;

    return c->vm->host->apic_msr_read(c->vm->host_arg, c->index, MSR_APIC_BASE, &base) == 0 &&
           !(base & APIC_BASE_ENABLE);
}

void cpuid_query(const struct x86_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t ret[4])
{
    const struct cpuid_view view = {
        .index = c->index,
        .osxsave = c->cr4 & X86_CR4_OSXSAVE,
        .in_64bit = in_64bit(c),
        .apic_off = leaf == 1 && apic_is_off(c),
        .leaf_limit = c->misc_enable & X86_MISC_LIMIT_CPUID,
        .no_nx = c->misc_enable & X86_MISC_NO_NX,
        .xcr0 = c->xcr0,
    };

    cpuid_policy_query(c->vm->cpuid, &view, leaf, subleaf, ret);
}
