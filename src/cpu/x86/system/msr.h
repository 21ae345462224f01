/* SPDX-License-Identifier: MIT */
/* Model-specific registers: which there are, and what may be written. docs/cpu-policy.md; SDM vol. 4.
 * False: no such register, or not such a value: #GP(0), which the caller raises. */
#ifndef VZ_CPU_X86_MSR_H
#define VZ_CPU_X86_MSR_H

#include "cpu/x86/cpu.h"

bool msr_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret) must_check;
bool msr_write(struct x86_cpu *c, uint32_t msr, uint64_t value) must_check;

/* May these registers hold these values? Also for loads of a saved state. */
bool msr_pat_valid(uint64_t value);
bool msr_mtrr_def_type_valid(uint64_t value);
bool msr_mtrr_fixed_valid(uint64_t value);
bool msr_mtrr_phys_valid(uint64_t base, uint64_t mask);

#endif
