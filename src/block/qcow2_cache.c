/* SPDX-License-Identifier: MIT */
/* Pieces of L2 tables and refcount blocks in memory: see qcow2_impl.h. Those that must be written
 * are kept whatever their number; who makes many flushes (qcow2_write.c). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2_impl.h"

static struct qcow2_slice **bucket_of(struct qcow2_cache *c, uint64_t offset)
{
    uint64_t hash = (offset >> 9) * UINT64_C(0x9e3779b97f4a7c15);

    return &c->bucket[hash >> 54];
}

void qcow2_cache_init(struct qcow2_cache *c, unsigned max)
{
    *c = (struct qcow2_cache){.max = max};
    TAILQ_INIT(&c->used);
}

static void forget(struct qcow2_cache *c, struct qcow2_slice *s)
{
    struct qcow2_slice **at = bucket_of(c, s->offset);

    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    TAILQ_REMOVE(&c->used, s, link);
    c->count--;
    c->dirty -= s->dirty;
    free(s);
}

void qcow2_cache_fini(struct qcow2_cache *c)
{
    struct qcow2_slice *s;

    while ((s = TAILQ_FIRST(&c->used)))
        forget(c, s);
}

static void make_room(struct qcow2_cache *c)
{
    struct qcow2_slice *s = TAILQ_FIRST(&c->used);

    while (s && c->count >= c->max) {
        struct qcow2_slice *next = TAILQ_NEXT(s, link);

        if (!s->dirty && !s->busy)
            forget(c, s);
        s = next;
    }
}

static struct qcow2_slice *find(struct qcow2_cache *c, uint64_t offset)
{
    struct qcow2_slice *s = *bucket_of(c, offset);

    while (s && s->offset != offset)
        s = s->next;
    return s;
}

static int load(struct qcow2 *q, struct qcow2_cache *c, uint64_t offset, struct qcow2_slice **ret)
{
    struct qcow2_slice *s, **bucket = bucket_of(c, offset);
    int r;

    make_room(c);
    s = malloc(sizeof(*s) + q->slice_size);
    if (!s)
        return -ENOMEM;
    r = qcow2_pread(q, s->data, q->slice_size, offset);
    if (r < 0) {
        free(s);
        return r;
    }
    s->offset = offset;
    s->dirty = s->busy = false;
    s->next = *bucket;
    *bucket = s;
    TAILQ_INSERT_TAIL(&c->used, s, link);
    c->count++;
    *ret = s;
    return 0;
}

int qcow2_cache_get(struct qcow2 *q, struct qcow2_cache *c, uint64_t offset, bool cached_only,
                    struct qcow2_slice **ret)
{
    struct qcow2_slice *s = find(c, offset);

    if (!s)
        return cached_only ? -EAGAIN : load(q, c, offset, ret);
    if (TAILQ_LAST(&c->used, qcow2_slices) != s) {
        TAILQ_REMOVE(&c->used, s, link);
        TAILQ_INSERT_TAIL(&c->used, s, link);
    }
    *ret = s;
    return 0;
}

void qcow2_cache_dirty(struct qcow2_cache *c, struct qcow2_slice *s)
{
    c->dirty += !s->dirty;
    s->dirty = true;
}

int qcow2_cache_write(struct qcow2 *q, struct qcow2_cache *c)
{
    struct qcow2_slice *s;
    int r;

    if (!c->dirty)
        return 0;
    TAILQ_FOREACH (s, &c->used, link) {
        if (!s->dirty)
            continue;
        r = qcow2_pwrite(q, s->data, q->slice_size, s->offset);
        if (r < 0)
            return r;
        s->dirty = false;
        c->dirty--;
    }
    return 0;
}

/* The clusters are something else from now on. */
void qcow2_cache_forget(struct qcow2_cache *c, uint64_t offset, uint64_t len)
{
    struct qcow2_slice *s = TAILQ_FIRST(&c->used);

    while (s) {
        struct qcow2_slice *next = TAILQ_NEXT(s, link);

        if (s->offset >= offset && s->offset - offset < len)
            forget(c, s);
        s = next;
    }
}
