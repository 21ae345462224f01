/* SPDX-License-Identifier: MIT */
#ifndef VZ_SANDBOX_SANDBOX_IMPL_H
#define VZ_SANDBOX_SANDBOX_IMPL_H

#include "sandbox/sandbox.h"

/* sandbox_report.c: SIGSYS, for the whole process. 0 or -errno. */
int sandbox_report_begin(enum sandbox_mode mode) must_check;
/* Where a call of who only logs returns to: see struct sandbox_filter_options. */
uint64_t sandbox_gate(void);

#endif
