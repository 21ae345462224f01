/* SPDX-License-Identifier: MIT */
/* Locking a whole process of ours (sandbox_options.is_child) by its first thread, when it has opened all that it needs:
 * threads that it makes later are what that one is. */
#ifndef VZ_SANDBOX_SANDBOX_PROCESS_H
#define VZ_SANDBOX_SANDBOX_PROCESS_H

#include "base/thread.h"
#include "sandbox/sandbox.h"

/* Before it has made any thread, and before sandbox_init(). 0 or -errno. */
int sandbox_process_begin(void) must_check;

/* The calling thread is of this kind from now on, with namespaces of its own of these (enum sandbox_world), as far as
 * the host allows, unless it only logs. what: for the log, "WHAT a process of its own". 0 or -errno. */
int sandbox_process_lock(struct sandbox *s, enum thread_kind kind, unsigned own, const char *what) must_check;

#endif
