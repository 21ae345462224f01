/* SPDX-License-Identifier: MIT */
/* System Management Mode (SDM vol. 3, chapter 32): a CPU leaves what it does, and runs firmware in memory
 * that only CPUs in this mode see (mem_hide()), until RSM. */
#ifndef VZ_CPU_X86_SMM_H
#define VZ_CPU_X86_SMM_H

#include "cpu/x86/cpu.h"

/* Take an SMI between two instructions. False: the CPU is in shutdown, and shutdown_text says why. */
bool smm_enter(struct x86_cpu *c) must_check;

/* A CPU waits for another one's firmware there, as it does at each SMI: many of them on a busy host would
 * else keep that one from running. */
void smm_pause(struct x86_cpu *c);

/* vcpu_state.c: x86_cpu_set() without what is not the CPU's own doing: its clock, the floating-point
 * registers, and events that are pending. */
int cpu_set_registers(struct x86_cpu *c, const struct x86_cpu_state *s) must_check;

#endif
