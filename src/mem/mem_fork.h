/* SPDX-License-Identifier: MIT */
/* Memory as it is at a moment, for somebody who takes longer: a child process, which the kernel lets see it as it was. */
#ifndef VZ_MEM_MEM_FORK_H
#define VZ_MEM_MEM_FORK_H

#include <sys/types.h>

#include "base/compiler.h"

struct mem;

/* Not where memory is a file, which both would see change, nor of the host's pool of huge pages, which has no more. */
bool mem_can_fork(const struct mem *mem);

/* Call child(arg) in a process of its own, which has no descriptor but keep. It is a copy of one thread of many: it makes system
 * calls and computes, and takes no locks, so it allocates nothing. Nobody writes the memory until this returns; that takes
 * some milliseconds for each GiB in use. The program is not told of its end (SIGCHLD). 0, with the process for
 * mem_fork_wait(); or -errno. */
int mem_fork(struct mem *mem, int keep, int (*child)(void *arg), void *arg, pid_t *ret) must_check;
/* Wait until it has ended. 0; what child() returned, if that was -errno; -EIO: it was killed. */
int mem_fork_wait(pid_t pid) must_check;

#endif
