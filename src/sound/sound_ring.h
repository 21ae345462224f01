/* SPDX-License-Identifier: MIT */
/* A ring of bytes between two threads: one puts in, one takes out. */
#ifndef VZ_SOUND_SOUND_RING_H
#define VZ_SOUND_SOUND_RING_H

#include <stdatomic.h>

#include "base/compiler.h"

struct sound_ring {
    uint8_t *data;
    size_t size;         /* a power of two; 0: none */
    _Atomic uint64_t head, tail; /* bytes put in and taken out so far */
};

/* At least len bytes, empty. 0 or -ENOMEM. As the next two: while nobody else uses it. */
int sound_ring_resize(struct sound_ring *r, size_t len) must_check;
void sound_ring_fini(struct sound_ring *r);

static inline void sound_ring_empty(struct sound_ring *r)
{
    atomic_store(&r->head, 0);
    atomic_store(&r->tail, 0);
}

static inline size_t sound_ring_used(const struct sound_ring *r)
{
    uint64_t tail = atomic_load(&r->tail); /* first: head only grows */

    return (size_t)(atomic_load(&r->head) - tail);
}

/* Return how many bytes they moved. to NULL: they are dropped. */
size_t sound_ring_put(struct sound_ring *r, const void *data, size_t len);
size_t sound_ring_take(struct sound_ring *r, void *to, size_t len);

#endif
