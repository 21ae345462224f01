/* SPDX-License-Identifier: MIT */
/* Children that somebody else may wait for, too: a program that waits for any of its children reaps ours, and its next
 * child may get the number. So who waits for one of ours does it by a descriptor. */
#ifndef VZ_BASE_PIDFD_H
#define VZ_BASE_PIDFD_H

#include <sys/types.h>

#include "base/compiler.h"

/* Of a child that was just made. A descriptor, closed by exec(); or -errno: -ESRCH where it has ended already, and was
 * reaped. */
int pidfd_of(pid_t pid) must_check;

/* Has it ended within ms? Else it is killed, where it has a descriptor. */
void pidfd_kill_late(int pidfd, int ms);

/* Wait until it has ended, unless somebody else has; by its number where pidfd is an error of a host that has no such
 * descriptors, or had none left. pidfd is closed. */
void pidfd_reap(int pidfd, pid_t pid);

#endif
