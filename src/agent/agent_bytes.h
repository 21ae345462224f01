/* SPDX-License-Identifier: MIT */
/* A queue of bytes in one piece of memory: appended at its end, taken from its front. Who uses one
 * bounds it; it grows by what is really put in, never by a length that somebody announces. */
#ifndef VZ_AGENT_AGENT_BYTES_H
#define VZ_AGENT_AGENT_BYTES_H

#include "base/compiler.h"

struct agent_bytes { /* starts as zero */
    uint8_t *data;
    size_t start, len, room; /* what is in it: data[start], for len */
};

static inline uint8_t *agent_bytes_front(const struct agent_bytes *b)
{
    return b->data + b->start;
}

/* Room for n more at the end, to be filled and then counted with agent_bytes_added(). NULL: no
 * memory. */
uint8_t *agent_bytes_reserve(struct agent_bytes *b, size_t n) must_check;
void agent_bytes_added(struct agent_bytes *b, size_t n);
/* false: no memory, nothing was added. */
bool agent_bytes_append(struct agent_bytes *b, const void *data, size_t n) must_check;
/* n of them at most len. */
void agent_bytes_drop(struct agent_bytes *b, size_t n);
/* Up to n, from the front. */
size_t agent_bytes_take(struct agent_bytes *b, void *to, size_t n);
void agent_bytes_fini(struct agent_bytes *b);

#endif
