/* SPDX-License-Identifier: MIT */
/* Sums, products and ranges of numbers that a guest or a file chose. */
#ifndef VZ_BASE_CHECKED_H
#define VZ_BASE_CHECKED_H

#include "base/compiler.h"

/* *ret = a + b; false, with *ret untouched in meaning, when it does not fit. */
static inline must_check bool add_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
    return !__builtin_add_overflow(a, b, ret);
}

static inline must_check bool mul_u64(uint64_t a, uint64_t b, uint64_t *ret)
{
    return !__builtin_mul_overflow(a, b, ret);
}

/* Does [off, off + len) lie inside [0, size)? Empty ranges do, up to off == size. */
static inline must_check bool range_fits(uint64_t off, uint64_t len, uint64_t size)
{
    return off <= size && len <= size - off;
}

/* Do [a, a + a_len) and [b, b + b_len) share a byte? Neither may wrap. */
static inline bool ranges_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a_len && b_len && a <= b + (b_len - 1) && b <= a + (a_len - 1);
}

static inline bool is_power_of_two(uint64_t v)
{
    return v && !(v & (v - 1));
}

/* align is a power of two; align_up may wrap for v near the end of the number range. */
static inline uint64_t align_down(uint64_t v, uint64_t align)
{
    return v & ~(align - 1);
}

static inline uint64_t align_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

#endif
