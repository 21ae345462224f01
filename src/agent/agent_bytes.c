/* SPDX-License-Identifier: MIT */
#include "agent/agent_bytes.h"

#include <stdlib.h>
#include <string.h>

uint8_t *agent_bytes_reserve(struct agent_bytes *b, size_t n)
{
    size_t room = b->room ? b->room : 4096;
    uint8_t *data;

    if (b->start && (b->start >= b->len || b->start + b->len + n > b->room)) {
        memmove(b->data, b->data + b->start, b->len);
        b->start = 0;
    }
    if (b->start + b->len + n <= b->room)
        return b->data + b->start + b->len;
    while (room < b->len + n)
        room *= 2;
    data = realloc(b->data, room);
    if (!data)
        return NULL;
    b->data = data;
    b->room = room;
    return data + b->start + b->len;
}

void agent_bytes_added(struct agent_bytes *b, size_t n)
{
    b->len += n;
}

bool agent_bytes_append(struct agent_bytes *b, const void *data, size_t n)
{
    uint8_t *to;

    if (!n)
        return true;
    to = agent_bytes_reserve(b, n);
    if (!to)
        return false;
    memcpy(to, data, n);
    b->len += n;
    return true;
}

void agent_bytes_drop(struct agent_bytes *b, size_t n)
{
    b->start += n;
    b->len -= n;
    if (b->len)
        return;
    b->start = 0;
    if (b->room > 65536) { /* a burst's memory does not stay */
        free(b->data);
        *b = (struct agent_bytes){NULL};
    }
}

size_t agent_bytes_take(struct agent_bytes *b, void *to, size_t n)
{
    n = MIN(n, b->len);
    if (n) {
        memcpy(to, agent_bytes_front(b), n);
        agent_bytes_drop(b, n);
    }
    return n;
}

void agent_bytes_fini(struct agent_bytes *b)
{
    free(b->data);
    *b = (struct agent_bytes){NULL};
}
