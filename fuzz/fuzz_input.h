/* SPDX-License-Identifier: MIT */
/* For fuzz programs that act: their input is taken from its front, a few bytes a decision. */
#ifndef VZ_FUZZ_INPUT_H
#define VZ_FUZZ_INPUT_H

#include "base/compiler.h"

struct input {
    const uint8_t *p;
    size_t len;
};

/* The next bytes (1 to 8) as one number, the first one highest; zeroes behind the end. */
static inline uint64_t take(struct input *in, unsigned bytes)
{
    uint64_t v = 0;

    while (bytes-- && in->len) {
        v = v << 8 | *in->p++;
        in->len--;
    }
    return v;
}

/* One of the numbers in edge (fewer than 192), which are more telling than any; or any. */
static inline uint64_t take_edge(struct input *in, const uint64_t *edge, size_t count)
{
    uint8_t kind = (uint8_t)take(in, 1);

    return kind < 192 ? edge[kind % count] : take(in, kind < 224 ? 2 : 8);
}

#endif
