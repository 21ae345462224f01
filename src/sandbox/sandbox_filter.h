/* SPDX-License-Identifier: MIT */
/* The table of sandbox_calls.h as a program for the kernel. A pure function. */
#ifndef VZ_SANDBOX_SANDBOX_FILTER_H
#define VZ_SANDBOX_SANDBOX_FILTER_H

#include <linux/filter.h>

#include "base/thread.h"

#define SANDBOX_FILTER_MAX 1024u

struct sandbox_filter_options {
    enum thread_kind kind;
    uint32_t features; /* enum sandbox_feature */
    uint32_t self;     /* this process' number */
    uint64_t gate;     /* calls that return to this address are allowed; 0: none */
    uint32_t children; /* not 0: clone() is let through, as it cannot be repeated for who logs */
};

/* What is not in the table ends in SECCOMP_RET_TRAP, or for SERVE, WATCH and CONTROL in EPERM; other architectures' calls
 * in the death of the process.
 * Returns the number of instructions, at most max; 0: there is no room. */
unsigned sandbox_filter(struct sock_filter *ret, unsigned max, const struct sandbox_filter_options *o);

#endif
