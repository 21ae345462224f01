/* SPDX-License-Identifier: MIT */
/* A thread that waits until another one has done something for it, once. */
#ifndef VZ_MACHINE_WAITER_H
#define VZ_MACHINE_WAITER_H

#include <pthread.h>

#include <vz/error.h>

#include "base/compiler.h"

struct waiter {
    pthread_mutex_t lock; /* a leaf, for what follows */
    pthread_cond_t changed;
    bool done, failed;
    struct vz_error err;
};
#define WAITER_INIT {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}

/* It is done; err NULL is success. Once, on any thread; then *w is the waiting thread's, and may be
 * gone. */
void waiter_done(struct waiter *w, const struct vz_error *err);

/* Wait for that. 0, or -1 with the error in *err (may be NULL). Nothing is left to free. */
int waiter_wait(struct waiter *w, struct vz_error *err) must_check;

#endif
