/* SPDX-License-Identifier: MIT */
#include "base/tsc_rate.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"

#define LEAST_NS (2 * NS_PER_MS)
/* After more than that the host may have slept, or moved to another processor. */
#define MOST_NS  (10 * NS_PER_SEC)

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

static void nap_until(uint64_t ns)
{
    const struct timespec at = clock_timespec(ns);

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        continue;
}

/* A program that starts a machine at once, or whose parent made ready for it, has nothing to wait for then. */
static struct tsc_rate loaded;

static __attribute__((constructor)) void at_load(void)
{
    read_pair(&loaded.tsc, &loaded.ns);
}

void tsc_rate_start(struct tsc_rate *r)
{
    *r = (struct tsc_rate){.tsc = loaded.tsc, .ns = loaded.ns};
    if (clock_mono_ns() - r->ns > MOST_NS / 2)
        read_pair(&r->tsc, &r->ns);
}

/* Since these readings. 0: they are useless, or the TSC is. */
static uint32_t measure(uint64_t tsc, uint64_t ns)
{
    uint64_t tsc1 = 0, ns1 = 0;

    if (clock_mono_ns() - ns > MOST_NS)
        return 0;
    nap_until(ns + LEAST_NS);
    read_pair(&tsc1, &ns1);
    return ns1 <= ns || tsc1 <= tsc ? 0 : (uint32_t)mul_div_u64(tsc1 - tsc, NS_PER_MS, ns1 - ns);
}

static uint32_t measure_anew(void)
{
    uint64_t tsc = 0, ns = 0; /* not those of before, which were useless */
    uint32_t khz;

    read_pair(&tsc, &ns);
    khz = measure(tsc, ns);
    return khz ? khz : 1;
}

uint32_t tsc_rate_khz(struct tsc_rate *r)
{
    uint32_t khz = r->khz, none = 0;

    if (khz)
        return khz;
    khz = measure(r->tsc, r->ns);
    if (!khz)
        khz = measure_anew();
    /* Of several threads that ask at first one decides. */
    return __atomic_compare_exchange_n((uint32_t *)&r->khz, &none, khz, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE)
               ? khz
               : none;
}
