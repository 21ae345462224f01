/* SPDX-License-Identifier: MIT */
#include "sound/sound_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int sound_ring_resize(struct sound_ring *r, size_t len)
{
    size_t size = 4096;
    uint8_t *data;

    while (size < len)
        size *= 2;
    if (size != r->size) {
        data = malloc(size);
        if (!data)
            return -ENOMEM;
        free(r->data);
        r->data = data;
        r->size = size;
    }
    sound_ring_empty(r);
    return 0;
}

void sound_ring_fini(struct sound_ring *r)
{
    free(r->data);
    r->data = NULL;
    r->size = 0;
    sound_ring_empty(r);
}

size_t sound_ring_put(struct sound_ring *r, const void *data, size_t len)
{
    uint64_t head = atomic_load(&r->head);
    size_t at = r->size ? head & (r->size - 1) : 0, first;

    len = MIN(len, r->size - sound_ring_used(r));
    first = MIN(len, r->size - at);
    if (!len)
        return 0;
    memcpy(r->data + at, data, first);
    memcpy(r->data, (const uint8_t *)data + first, len - first);
    atomic_store(&r->head, head + len);
    return len;
}

size_t sound_ring_take(struct sound_ring *r, void *to, size_t len)
{
    uint64_t tail = atomic_load(&r->tail);
    size_t at = r->size ? tail & (r->size - 1) : 0, first;

    len = MIN(len, sound_ring_used(r));
    first = MIN(len, r->size - at);
    if (to && len) {
        memcpy(to, r->data + at, first);
        memcpy((uint8_t *)to + first, r->data, len - first);
    }
    atomic_store(&r->tail, tail + len);
    return len;
}
