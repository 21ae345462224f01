/* SPDX-License-Identifier: MIT */
/* Rates: see rate_bucket.h. */
#include "base/rate_bucket.h"

#include "base/clock.h"

static void fill_up(struct rate_bucket *b, uint64_t now_ns)
{
    __int128 full = (__int128)b->burst * NS_PER_SEC;

    if (now_ns > b->now_ns) {
        b->level += (__int128)(now_ns - b->now_ns) * b->rate;
        b->now_ns = now_ns;
    }
    if (b->level > full)
        b->level = full;
}

void rate_bucket_init(struct rate_bucket *b, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
    *b = (struct rate_bucket){.rate = rate, .burst = MAX(burst, UINT64_C(1)), .now_ns = now_ns};
    b->level = (__int128)b->burst * NS_PER_SEC;
}

void rate_bucket_change(struct rate_bucket *b, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
    fill_up(b, now_ns);
    b->rate = rate;
    b->burst = MAX(burst, UINT64_C(1));
    fill_up(b, now_ns);
}

uint64_t rate_bucket_when(struct rate_bucket *b, uint64_t units, uint64_t now_ns)
{
    __int128 want = (__int128)MIN(units, b->burst) * NS_PER_SEC;

    if (!b->rate)
        return now_ns;
    fill_up(b, now_ns);
    if (b->level >= want)
        return now_ns;
    return now_ns + (uint64_t)((want - b->level + b->rate - 1) / b->rate);
}

void rate_bucket_take(struct rate_bucket *b, uint64_t units)
{
    if (b->rate)
        b->level -= (__int128)units * NS_PER_SEC;
}
