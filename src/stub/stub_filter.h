/* SPDX-License-Identifier: MIT */
/* What a thread of a stub may ask of the kernel: two seccomp filters, of which the stricter verdict
 * counts. Pure functions. */
#ifndef VZ_STUB_STUB_FILTER_H
#define VZ_STUB_STUB_FILTER_H

#include <linux/filter.h>

#include "base/compiler.h"

/* Addresses of instructions behind a SYSCALL, as the kernel tells them; and of an empty set of signals.
 * All in one 4 GiB. */
struct filter_sites {
    uint64_t event, report, map, unmap, open, no_signals;
};

/* Hand-overs are told to the listener; all else is for the other filter to judge. Returns the
 * number of instructions, at most max; 0: there is no room. */
unsigned filter_listen(struct sock_filter *ret, unsigned max, const struct filter_sites *at);

/* Four calls, each from its own instruction. rt_sigprocmask does nothing but let all signals in. mmap
 * and munmap want `secret` in the upper halves of the flags' and the descriptor's registers (lower and
 * upper half of it), which the kernel does not look at; and mmap what stub_map() asks for, no more. A
 * wrong secret kills: that is one guess. Anything else is SIGSYS, so an event: a program's own system
 * calls are. */
unsigned filter_rule(struct sock_filter *ret, unsigned max, const struct filter_sites *at,
                     uint64_t secret);

#endif
