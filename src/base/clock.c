/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <time.h>

static uint64_t read_clock(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_real_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

/* A pair of readings as close together as a few tries can make them: the two reads may be split
 * by a preemption, so keep the pair whose TSC reads lie closest around the clock's. */
static void read_pair(uint64_t *ret_tsc, uint64_t *ret_ns)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < 16; i++) {
        uint64_t before = clock_tsc(), ns = clock_mono_ns(), after = clock_tsc();

        if (after - before < best) {
            best = after - before;
            *ret_tsc = before + best / 2;
            *ret_ns = ns;
        }
    }
}

uint32_t clock_measure_tsc_khz(void)
{
    uint64_t tsc0 = 0, ns0 = 0, tsc1 = 0, ns1 = 0;
    struct timespec nap = {.tv_nsec = 10 * (long)NS_PER_MS};

    read_pair(&tsc0, &ns0);
    nanosleep(&nap, NULL);
    read_pair(&tsc1, &ns1);
    return (uint32_t)mul_div_u64(tsc1 - tsc0, NS_PER_MS, ns1 - ns0);
}
