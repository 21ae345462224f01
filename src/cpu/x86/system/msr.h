/* SPDX-License-Identifier: MIT */
/* Model-specific registers of the software CPU (arch/x86/msrs.h); SDM vol. 4.
 * False: no such register, or not such a value: #GP(0), which the caller raises. */
#ifndef VZ_CPU_X86_MSR_H
#define VZ_CPU_X86_MSR_H

#include "cpu/x86/cpu.h"

bool msr_read(struct x86_cpu *c, uint32_t msr, uint64_t *ret) must_check;
bool msr_write(struct x86_cpu *c, uint32_t msr, uint64_t value) must_check;

#endif
