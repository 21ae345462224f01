/* SPDX-License-Identifier: MIT */
/* A library of the host that is loaded when it is first needed, and then stays. Linked it would be a part of each start
 * of every program that makes virtual machines, with all that it needs itself. Who uses one lists its functions once, and
 * makes a struct of pointers to them from the list: see block/nbd_library.h. */
#ifndef VZ_BASE_LATE_LIBRARY_H
#define VZ_BASE_LATE_LIBRARY_H

#include <pthread.h>

#include "base/compiler.h"
#include "base/error.h"

struct late_library {
    const char *file;         /* "libnbd.so.0" */
    const char *needed;       /* for what, and what to install, as an error begins */
    const char *const *names; /* of the functions, */
    void *functions;          /* and the struct that gets them: as many pointers, all NULL until all are there */
    size_t count;
    size_t optional;      /* so many of them at the end may be missing in older ones: they stay NULL */
    void (*loaded)(void); /* called once, before any other caller goes on; NULL: nothing to do */
    pthread_mutex_t lock; /* PTHREAD_MUTEX_INITIALIZER */
};

/* Any thread, any number of times: the first one loads. 0, or -ENOTSUP with err (may be NULL), which says what is
 * missing; it may be tried again. A struct that is filled in already, as by a test, stays as it is. */
int late_library_load(struct late_library *l, struct vz_error *err) must_check;

#endif
