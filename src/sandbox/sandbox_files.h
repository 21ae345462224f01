/* SPDX-License-Identifier: MIT */
/* Landlock: which files a thread may open from now on, and whether it may make TCP connections. */
#ifndef VZ_SANDBOX_SANDBOX_FILES_H
#define VZ_SANDBOX_SANDBOX_FILES_H

#include "base/compiler.h"

enum sandbox_right { SANDBOX_READ, SANDBOX_WRITE /* and read, make, rename, remove */ };

/* The kernel's level of it, from 1; 0: it has none. */
int sandbox_files_level(void);

/* A set of rules that allows nothing; tcp: but TCP. A descriptor, or -errno; -ENOSYS, -EOPNOTSUPP: there is no
 * Landlock here. */
int sandbox_files_new(bool tcp) must_check;

/* path, and what is below it. What is not there is no error, and cannot be made. 0 or -errno. */
int sandbox_files_add(int rules, const char *path, enum sandbox_right right) must_check;

/* All that there is, to read and to write, but what the kernel shows of processes and of itself (/proc, /sys). */
int sandbox_files_add_all(int rules) must_check;

/* The calling thread opens nothing else from now on, and neither do threads that it makes. Wants no_new_privs.
 * 0 or -errno. */
int sandbox_files_enter(int rules) must_check;

#endif
