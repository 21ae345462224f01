/* SPDX-License-Identifier: MIT */
/* A rate that is kept to exactly: a bucket that fills with time and that requests empty. One that is larger than
 * the bucket goes when that is full, and what it took too much is waited for afterwards. */
#ifndef VZ_BASE_RATE_BUCKET_H
#define VZ_BASE_RATE_BUCKET_H

#include "base/compiler.h"

struct rate_bucket {
    uint64_t rate;   /* units a second; 0: no limit */
    uint64_t burst;  /* units that fit in, at least 1 */
    uint64_t now_ns; /* when level was true */
    __int128 level;  /* in units / 10^9, so that nothing is rounded off; below 0: debt */
};

/* Full. */
void rate_bucket_init(struct rate_bucket *b, uint64_t rate, uint64_t burst, uint64_t now_ns);
/* Another rate; a debt stays, and is waited for at the new rate. */
void rate_bucket_change(struct rate_bucket *b, uint64_t rate, uint64_t burst, uint64_t now_ns);

/* When may a request of so many units go? now_ns or later. */
uint64_t rate_bucket_when(struct rate_bucket *b, uint64_t units, uint64_t now_ns);
/* It goes. */
void rate_bucket_take(struct rate_bucket *b, uint64_t units);

#endif
