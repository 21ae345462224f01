/* SPDX-License-Identifier: MIT */
/* Threads that see no signals: those come to the main thread. */
#ifndef VZ_TOOLS_QUIET_THREAD_H
#define VZ_TOOLS_QUIET_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* pthread_create() with all signals blocked. False: there is none. */
bool quiet_thread_start(pthread_t *ret, void *(*fn)(void *), void *arg);

#endif
