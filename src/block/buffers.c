/* SPDX-License-Identifier: MIT */
/* Memory that is used again: see buffers.h. */
#include "block/buffers.h"

#include <stdlib.h>

#include "base/checked.h"

#define LEAST    (64 * KIB) /* malloc() keeps smaller ones itself */
#define KEPT_MAX (16 * MIB)

struct buffer {
    struct buffer *next;
};

/* Of what is kept; BUFFERS_CLASSES: this is not. */
static unsigned class_of(uint64_t len)
{
    unsigned i = 0;

    if (len < LEAST)
        return BUFFERS_CLASSES;
    while (i < BUFFERS_CLASSES && LEAST << i < len)
        i++;
    return i;
}

void *buffers_get(struct buffers *b, uint64_t len)
{
    unsigned i = class_of(len);
    struct buffer *found;

    if (i == BUFFERS_CLASSES)
        return malloc(len);
    found = b->free[i];
    if (!found)
        return malloc(LEAST << i);
    b->free[i] = found->next;
    b->kept -= LEAST << i;
    return found;
}

void buffers_put(struct buffers *b, void *data, uint64_t len)
{
    struct buffer *back = data;
    unsigned i = class_of(len);

    if (!data || i == BUFFERS_CLASSES || b->kept + (LEAST << i) > KEPT_MAX) {
        free(data);
        return;
    }
    back->next = b->free[i];
    b->free[i] = back;
    b->kept += LEAST << i;
}

void buffers_fini(struct buffers *b)
{
    for (unsigned i = 0; i < BUFFERS_CLASSES; i++) {
        struct buffer *p;

        while ((p = b->free[i])) {
            b->free[i] = p->next;
            free(p);
        }
    }
    b->kept = 0;
}
