/* SPDX-License-Identifier: MIT */
/* See block_beside.h. */
#include "cpu/x86/block_beside.h"

#include <string.h>

void beside_empty(struct beside *b)
{
    memset(b->chain, 0, sizeof(b->chain));
    b->node[0] = (struct beside_node){0};
}

static uint32_t new_node(struct beside *b)
{
    struct beside_node *none = &b->node[0];
    uint32_t n = none->next;

    if (n)
        none->next = b->node[n].next;
    else if (none->count < BESIDE_NODES - 1)
        n = ++none->count;
    return n;
}

static void drop_first(struct beside *b, uint32_t *chain)
{
    uint32_t n = *chain;

    *chain = b->node[n].next;
    b->node[n].next = b->node[0].next;
    b->node[0].next = n;
}

void beside_add(struct beside *b, uint32_t *chain, uint32_t place)
{
    struct beside_node *first = &b->node[*chain];

    if (!*chain || first->count == BESIDE_ROOM) {
        uint32_t n = new_node(b);

        if (!n)
            return;
        first = &b->node[n];
        first->next = *chain;
        first->count = 0;
        *chain = n;
    }
    first->place[first->count++] = place;
}

void beside_remove(struct beside *b, uint32_t *chain, uint32_t place)
{
    struct beside_node *first = &b->node[*chain];

    for (uint32_t n = *chain; n; n = b->node[n].next) {
        for (uint32_t at = 0; at < b->node[n].count; at++) {
            if (b->node[n].place[at] != place)
                continue;
            b->node[n].place[at] = first->place[--first->count];
            if (!first->count)
                drop_first(b, chain);
            return;
        }
    }
}

bool beside_take(struct beside *b, uint32_t *chain, struct beside_node *ret)
{
    if (!*chain)
        return false;
    *ret = b->node[*chain];
    drop_first(b, chain);
    return true;
}
