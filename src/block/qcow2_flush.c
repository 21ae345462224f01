/* SPDX-License-Identifier: MIT */
/* Tables on their way to stable storage, in the order that qcow2_impl.h says. The image's lock is not
 * held while the host syncs, so that others go on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2_impl.h"

/* What is written behind the first sync, as it was before: what is changed meanwhile refers to
 * clusters whose refcounts are not stable yet. */
struct stage {
    struct qcow2_slice **slice;
    unsigned count;
    uint8_t *data;               /* of the slices, one after the other */
    uint8_t *l1;
    uint32_t l1_first, l1_end;
    struct qcow2_ranges freed;
    bool must_sync_first;
};

static int take_l2_locked(struct qcow2 *q, struct stage *st)
{
    struct qcow2_slice *s;

    st->slice = calloc(q->l2.dirty + 1, sizeof(st->slice[0]));
    st->data = malloc((size_t)(q->l2.dirty + 1) * q->slice_size);
    if (!st->slice || !st->data)
        return -ENOMEM;
    TAILQ_FOREACH (s, &q->l2.used, link) {
        if (!s->dirty)
            continue;
        memcpy(st->data + (size_t)st->count * q->slice_size, s->data, q->slice_size);
        st->slice[st->count++] = s;
        s->dirty = false;
        s->busy = true;
    }
    q->l2.dirty = 0;
    return 0;
}

static int take_l1_locked(struct qcow2 *q, struct stage *st)
{
    st->l1_first = q->l1_dirty_first;
    st->l1_end = q->l1_dirty_end;
    st->l1 = malloc((st->l1_end - st->l1_first + 1) * sizeof(uint64_t));
    if (!st->l1)
        return -ENOMEM;
    for (uint32_t i = st->l1_first; i < st->l1_end; i++)
        store_be64(st->l1 + (i - st->l1_first) * 8, q->l1[i]);
    q->l1_dirty_first = q->l1_dirty_end = 0;
    return 0;
}

static int begin_locked(struct qcow2 *q, struct stage *st)
{
    bool write_refs = !q->info.lazy_refcounts || q->refs.dirty > q->refs.max / 2;
    int r = take_l1_locked(q, st);

    st->must_sync_first = (write_refs && q->refs.dirty) || q->data_unsynced;
    if (!r && write_refs)
        r = qcow2_cache_write(q, &q->refs);
    if (!r)
        r = take_l2_locked(q, st);
    if (r < 0)
        return r;
    st->freed = q->freed;
    q->freed = (struct qcow2_ranges){0};
    q->data_unsynced = false;
    q->flushing = true;
    return 0;
}

static int write_stage(struct qcow2 *q, const struct stage *st)
{
    bool has_l1 = st->l1_first != st->l1_end;
    int r = st->must_sync_first && (st->count || has_l1) ? qcow2_sync(q) : 0;

    for (unsigned i = 0; !r && i < st->count; i++)
        r = qcow2_pwrite(q, st->data + (size_t)i * q->slice_size, q->slice_size,
                         st->slice[i]->offset);
    /* New L2 tables were written when they were made, so what L1 names is a table in any case. */
    if (!r && has_l1)
        r = qcow2_pwrite(q, st->l1, (st->l1_end - st->l1_first) * UINT64_C(8),
                         q->l1_offset + st->l1_first * UINT64_C(8));
    return r < 0 ? r : qcow2_sync(q);
}

static void merge(struct qcow2_ranges *into, struct qcow2_ranges *from)
{
    for (size_t i = 0; i < from->count; i++)
        (void)!qcow2_ranges_add(into, from->range[i].first, from->range[i].count);
    free(from->range);
    *from = (struct qcow2_ranges){0};
}

/* What was freed may rest until what is under way now has ended; if that is taken, it waits for the
 * next flush. */
static void rest_locked(struct qcow2 *q, struct stage *st)
{
    if (q->has_resting || !st->freed.count) {
        merge(&q->freed, &st->freed);
        return;
    }
    q->resting = st->freed;
    q->has_resting = true;
    q->resting_turn = q->turn;
    q->turn ^= 1;
    st->freed = (struct qcow2_ranges){0};
}

static void end_locked(struct qcow2 *q, struct stage *st, int err)
{
    for (unsigned i = 0; i < st->count; i++) {
        st->slice[i]->busy = false;
        if (err)
            qcow2_cache_dirty(&q->l2, st->slice[i]);
    }
    if (err && st->l1_first != st->l1_end)
        qcow2_l1_dirty_locked(q, st->l1_first, st->l1_end);
    if (err) {
        q->data_unsynced = true;
        merge(&q->freed, &st->freed);
    } else {
        rest_locked(q, st);
    }
    q->flushing = false;
    free(st->slice);
    free(st->data);
    free(st->l1);
}

int qcow2_flush(struct qcow2 *q)
{
    struct stage st = {0};
    int r;

    if (q->read_only)
        return 0;
    pthread_mutex_lock(&q->flush_lock);
    pthread_mutex_lock(&q->lock);
    r = q->broken ? -EIO : qcow2_release_locked(q);
    if (!r)
        r = begin_locked(q, &st);
    pthread_mutex_unlock(&q->lock);
    if (!r)
        r = write_stage(q, &st);
    pthread_mutex_lock(&q->lock);
    end_locked(q, &st, r);
    if (!r)
        r = qcow2_release_locked(q);
    pthread_mutex_unlock(&q->lock);
    pthread_mutex_unlock(&q->flush_lock);
    return r;
}
