/* SPDX-License-Identifier: MIT */
/* Sets and lists of cluster numbers: see qcow2_impl.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2_impl.h"

static size_t slot_of(const struct qcow2_set *s, uint64_t v)
{
    size_t i = (size_t)(((v + 1) * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (s->size - 1);

    while (s->slot[i] && s->slot[i] != v + 1)
        i = (i + 1) & (s->size - 1);
    return i;
}

bool qcow2_set_has(const struct qcow2_set *s, uint64_t v)
{
    return s->size && s->slot[slot_of(s, v)];
}

static int grow(struct qcow2_set *s)
{
    struct qcow2_set bigger = {.size = s->size ? s->size * 2 : 64, .count = s->count};

    bigger.slot = calloc(bigger.size, sizeof(bigger.slot[0]));
    if (!bigger.slot)
        return -ENOMEM;
    for (size_t i = 0; i < s->size; i++) {
        if (s->slot[i])
            bigger.slot[slot_of(&bigger, s->slot[i] - 1)] = s->slot[i];
    }
    free(s->slot);
    *s = bigger;
    return 0;
}

int qcow2_set_add(struct qcow2_set *s, uint64_t v)
{
    size_t i;

    if (s->count * 2 >= s->size && grow(s) < 0)
        return -ENOMEM;
    i = slot_of(s, v);
    s->count += !s->slot[i];
    s->slot[i] = v + 1;
    return 0;
}

/* Those behind it that a look-up would find through its slot move up. */
void qcow2_set_remove(struct qcow2_set *s, uint64_t v)
{
    size_t i;

    if (!qcow2_set_has(s, v))
        return;
    i = slot_of(s, v);
    s->slot[i] = 0;
    s->count--;
    for (size_t k = (i + 1) & (s->size - 1); s->slot[k]; k = (k + 1) & (s->size - 1)) {
        uint64_t moved = s->slot[k];

        s->slot[k] = 0;
        s->slot[slot_of(s, moved - 1)] = moved;
    }
}

bool qcow2_ranges_add(struct qcow2_ranges *r, uint64_t first, uint64_t count)
{
    struct qcow2_range *last = r->count ? &r->range[r->count - 1] : NULL;

    if (last && last->first + last->count == first) {
        last->count += count;
        return true;
    }
    if (r->count == r->room) {
        size_t room = r->room ? r->room * 2 : 16;
        struct qcow2_range *range = reallocarray(r->range, room, sizeof(*range));

        if (!range)
            return false;
        r->range = range;
        r->room = room;
    }
    r->range[r->count++] = (struct qcow2_range){first, count};
    return true;
}
