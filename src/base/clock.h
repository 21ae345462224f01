/* SPDX-License-Identifier: MIT */
/* Host time. */
#ifndef VZ_BASE_CLOCK_H
#define VZ_BASE_CLOCK_H

#include <time.h>

#include "base/compiler.h"

#define NS_PER_SEC UINT64_C(1000000000)
#define NS_PER_MS  UINT64_C(1000000)

/* CLOCK_MONOTONIC in nanoseconds. Any thread. */
uint64_t clock_mono_ns(void);

/* CLOCK_REALTIME in nanoseconds since 1970. Any thread. */
uint64_t clock_real_ns(void);

/* How long the calling thread has run, in nanoseconds of a CPU's time. */
uint64_t clock_thread_ns(void);

/* The same as the kernel has it, of either clock or of a time in between. */
static inline struct timespec clock_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_SEC), .tv_nsec = (long)(ns % NS_PER_SEC)};
}

static inline uint64_t clock_tsc(void)
{
    return __builtin_ia32_rdtsc();
}

/* v * num / den without overflow in between; den is not 0; saturates. */
static inline uint64_t mul_div_u64(uint64_t v, uint64_t num, uint64_t den)
{
    unsigned __int128 r = (unsigned __int128)v * num / den;

    return r > UINT64_MAX ? UINT64_MAX : (uint64_t)r;
}

#endif
