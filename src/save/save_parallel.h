/* SPDX-License-Identifier: MIT */
/* Work in pieces by as many threads as the host has CPUs, while the caller looks after progress. */
#ifndef VZ_SAVE_SAVE_PARALLEL_H
#define VZ_SAVE_SAVE_PARALLEL_H

#include "base/compiler.h"

#define SAVE_WORKERS_MAX 8u

struct save_progress {
    /* Optional. On the caller's thread, some ten times a second and at the end. Another value than
     * 0 ends the work with it. */
    int (*tick)(void *arg, uint64_t done, uint64_t total);
    void *arg;
};

/* How many threads there will be. */
unsigned save_workers(void);

/* Call piece(arg, worker, n) for all n below count, with worker below save_workers(), each on one
 * thread at a time. piece returns 0 or -errno. 0, or what the first piece or tick that failed gave;
 * then some were not called. progress may be NULL. */
int save_parallel(uint64_t count, int (*piece)(void *arg, unsigned worker, uint64_t n), void *arg,
                  const struct save_progress *progress) must_check;

#endif
