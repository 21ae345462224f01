/* SPDX-License-Identifier: MIT */
#ifndef VZ_CPU_X86_CHECK_PRIV_H
#define VZ_CPU_X86_CHECK_PRIV_H

#include "cpu/x86/block.h"
#include "cpu/x86/jit/check_aside.h"
#include "cpu/x86/jit/jit_priv.h"

/* check_report.c. fpu parked. */
bool check_same_state(const struct x86_cpu *c, uint16_t flags);
void check_report(struct x86_cpu *c);

#endif
