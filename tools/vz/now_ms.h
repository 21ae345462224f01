/* SPDX-License-Identifier: MIT */
#ifndef VZ_TOOL_NOW_MS_H
#define VZ_TOOL_NOW_MS_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in milliseconds. Any thread. */
static inline uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

#endif
