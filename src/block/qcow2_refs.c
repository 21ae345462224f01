/* SPDX-License-Identifier: MIT */
/* Refcounts, and who gets a cluster: see qcow2_impl.h.
 *
 * A freed cluster keeps its refcount until the tables that named it are stable without it and
 * everything that was under way is done; then its content is given back to the host, and only then
 * can somebody else have it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2_impl.h"

/* ---- Numbers of 1 to 64 bits ---------------------------------------------------------------- */

uint64_t qcow2_ref_load(const uint8_t *data, unsigned order, uint64_t index)
{
    switch (order) {
    case 6: return load_be64(data + index * 8);
    case 5: return load_be32(data + index * 4);
    case 4: return load_be16(data + index * 2);
    default: {
        unsigned width = 1u << order, per_byte = 8 / width;

        return (data[index / per_byte] >> (index % per_byte * width)) & ((1u << width) - 1);
    }
    }
}

void qcow2_ref_store(uint8_t *data, unsigned order, uint64_t index, uint64_t v)
{
    switch (order) {
    case 6: store_be64(data + index * 8, v); break;
    case 5: store_be32(data + index * 4, (uint32_t)v); break;
    case 4: store_be16(data + index * 2, (uint32_t)v); break;
    default: {
        unsigned width = 1u << order, per_byte = 8 / width;
        unsigned shift = (unsigned)(index % per_byte) * width;
        unsigned mask = ((1u << width) - 1) << shift;
        uint8_t *at = &data[index / per_byte];

        *at = (uint8_t)((*at & ~mask) | ((unsigned)v << shift & mask));
    }
    }
}

/* ---- Refcounts ------------------------------------------------------------------------------ */

/* Of refcounts in a block, log2. */
static unsigned block_bits(const struct qcow2 *q)
{
    return q->cluster_bits + 3 - q->refcount_order;
}

/* The slice that has cluster's, or NULL; and its place there. */
static int ref_slice(struct qcow2 *q, uint64_t cluster, struct qcow2_slice **ret, uint64_t *ret_index)
{
    uint64_t table = cluster >> block_bits(q), index = cluster & (BIT(block_bits(q)) - 1);
    unsigned slice_refs = q->slice_size * 8 >> q->refcount_order;
    uint64_t block;

    *ret = NULL;
    block = table < q->reftable_size ? q->reftable[table] : 0;
    if (!block)
        return 0;
    *ret_index = index % slice_refs;
    return qcow2_cache_get(q, &q->refs, block + index / slice_refs * q->slice_size, false, ret);
}

/* 0 where there is no table. */
static int ref_get_locked(struct qcow2 *q, uint64_t cluster, uint64_t *ret)
{
    struct qcow2_slice *s;
    uint64_t index;
    int r = ref_slice(q, cluster, &s, &index);

    *ret = !r && s ? qcow2_ref_load(s->data, q->refcount_order, index) : 0;
    return r;
}

static int ref_set(struct qcow2 *q, uint64_t cluster, uint64_t v)
{
    struct qcow2_slice *s;
    uint64_t index;
    int r = ref_slice(q, cluster, &s, &index);

    if (r < 0)
        return r;
    if (!s)
        return -EIO;
    qcow2_ref_store(s->data, q->refcount_order, index, v);
    qcow2_cache_dirty(&q->refs, s);
    return 0;
}

/* ---- Growing the tables of refcounts -------------------------------------------------------- */

bool qcow2_is_table_locked(const struct qcow2 *q, uint64_t cluster)
{
    return qcow2_set_has(&q->tables, cluster);
}

void qcow2_add_table_locked(struct qcow2 *q, uint64_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (qcow2_set_add(&q->tables, first + i) < 0)
            q->broken = true; /* without it the guest could write there */
    }
}

/* A block for a range of the file that has none. It takes the range's first cluster and counts
 * itself, so it is right the moment the table names it. */
static int add_block(struct qcow2 *q, uint64_t table)
{
    uint64_t cluster = table << block_bits(q), offset = cluster << q->cluster_bits;
    uint8_t *data = calloc(1, q->cluster_size);
    int r;

    if (!data)
        return -ENOMEM;
    if (qcow2_is_table_locked(q, cluster)) {
        free(data);
        return qcow2_corrupt_locked(q, "a table without a refcount", offset);
    }
    qcow2_ref_store(data, q->refcount_order, 0, 1);
    r = qcow2_pwrite(q, data, q->cluster_size, offset);
    if (!r)
        r = qcow2_sync(q);
    if (!r)
        r = qcow2_write_be64(q, offset, q->reftable_offset + table * 8);
    if (!r) {
        q->reftable[table] = offset;
        qcow2_add_table_locked(q, cluster, 1);
    }
    free(data);
    return r;
}

/* What a table of more entries looks like: blocks for itself at the first range that the present
 * one cannot name, then the table. */
struct bigger_table {
    uint64_t first;          /* cluster */
    uint64_t blocks, clusters;
    uint8_t *data;           /* of all that */
};

static int plan_table(struct qcow2 *q, struct bigger_table *t)
{
    uint64_t entries = q->reftable_size + q->reftable_size / 2, per_block = BIT(block_bits(q));

    t->first = q->reftable_size << block_bits(q);
    for (t->blocks = 1;; t->blocks++) {
        t->clusters = qcow2_clusters(q, MAX(entries, q->reftable_size + t->blocks) * 8);
        if (t->blocks * per_block >= t->blocks + t->clusters)
            break;
    }
    if (t->clusters << q->cluster_bits > QCOW2_REFTABLE_MAX)
        return -EFBIG;
    t->data = calloc(t->blocks + t->clusters, q->cluster_size);
    if (!t->data)
        return -ENOMEM;
    for (uint64_t i = 0; i < t->blocks + t->clusters; i++)
        qcow2_ref_store(t->data, q->refcount_order, i, 1);
    return 0;
}

static int use_table(struct qcow2 *q, const struct bigger_table *t)
{
    uint64_t offset = (t->first + t->blocks) << q->cluster_bits;
    uint64_t size = (t->clusters << q->cluster_bits) / 8, old_size = q->reftable_size;
    uint64_t old_first = q->reftable_offset >> q->cluster_bits;
    uint64_t *table = calloc(size, sizeof(*table));
    uint8_t head[12];
    int r;

    if (!table)
        return -ENOMEM;
    memcpy(table, q->reftable, old_size * sizeof(*table));
    for (uint64_t i = 0; i < t->blocks; i++)
        table[old_size + i] = (t->first + i) << q->cluster_bits;
    for (uint64_t i = 0; i < size; i++)
        store_be64(t->data + (t->blocks << q->cluster_bits) + i * 8, table[i]);
    store_be64(head, offset);
    store_be32(head + 8, (uint32_t)t->clusters);
    r = qcow2_pwrite(q, t->data, (t->blocks + t->clusters) << q->cluster_bits,
                     t->first << q->cluster_bits);
    if (!r)
        r = qcow2_sync(q);
    if (!r)
        r = qcow2_pwrite(q, head, sizeof(head), QCOW2_H_REFTABLE_OFFSET);
    if (!r)
        r = qcow2_sync(q);
    if (r < 0) {
        free(table);
        return r;
    }
    free(q->reftable);
    q->reftable = table;
    q->reftable_size = size;
    q->reftable_offset = offset;
    qcow2_add_table_locked(q, t->first, t->blocks + t->clusters);
    qcow2_free_locked(q, old_first, qcow2_clusters(q, old_size * 8));
    return 0;
}

static int grow_table(struct qcow2 *q)
{
    struct bigger_table t = {0};
    int r = plan_table(q, &t);

    for (uint64_t i = 0; !r && i < t.blocks + t.clusters; i++) {
        if (qcow2_is_table_locked(q, t.first + i))
            r = qcow2_corrupt_locked(q, "a table without a refcount", t.first << q->cluster_bits);
    }
    if (!r)
        r = use_table(q, &t);
    free(t.data);
    return r;
}

/* Have a refcount for cluster. */
static int reach(struct qcow2 *q, uint64_t cluster)
{
    uint64_t table = cluster >> block_bits(q);
    int r = 0;

    while (!r && table >= q->reftable_size)
        r = grow_table(q);
    if (!r && !q->reftable[table])
        r = add_block(q, table);
    return r;
}

/* ---- Allocating ----------------------------------------------------------------------------- */

/* Is it free? Then it is ours. */
static int take(struct qcow2 *q, uint64_t cluster, bool *ret)
{
    uint64_t refs = 0;
    int r = cluster < QCOW2_FILE_MAX >> q->cluster_bits ? reach(q, cluster) : -EFBIG;

    *ret = false;
    if (!r)
        r = ref_get_locked(q, cluster, &refs);
    if (r < 0 || refs)
        return r;
    if (qcow2_is_table_locked(q, cluster))
        return qcow2_corrupt_locked(q, "a table without a refcount", cluster << q->cluster_bits);
    r = ref_set(q, cluster, 1);
    *ret = !r;
    return r;
}

int qcow2_alloc_locked(struct qcow2 *q, uint64_t max, uint64_t *ret_first, uint64_t *ret_count)
{
    uint64_t at = q->free_hint, count = 0;
    bool taken = false;
    int r = qcow2_begin_change_locked(q);

    while (!r && !taken)
        r = take(q, at++, &taken);
    if (r < 0)
        return r;
    *ret_first = at - 1;
    for (count = 1; count < max; count++) {
        if (take(q, at, &taken) < 0 || !taken)
            break; /* what there is will do */
        at++;
    }
    q->free_hint = at;
    *ret_count = count;
    return 0;
}

int qcow2_alloc_row_locked(struct qcow2 *q, uint64_t count, uint64_t *ret_first)
{
    uint64_t got, first, hint = q->free_hint;
    int r = qcow2_alloc_locked(q, count, &first, &got);

    while (!r && got < count) {
        qcow2_unalloc_locked(q, first, got);
        q->free_hint = first + got; /* look behind it */
        r = qcow2_alloc_locked(q, count, &first, &got);
    }
    q->free_hint = hint; /* the gaps are still free */
    if (!r)
        *ret_first = first;
    return r;
}

void qcow2_unalloc_locked(struct qcow2 *q, uint64_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        (void)!ref_set(q, first + i, 0); /* else it is a leak */
    q->free_hint = MIN(q->free_hint, first);
}

/* ---- Freeing -------------------------------------------------------------------------------- */

void qcow2_free_locked(struct qcow2 *q, uint64_t first, uint64_t count)
{
    (void)!qcow2_ranges_add(&q->freed, first, count); /* else it is a leak */
}

/* One reference less, but for the last one: that is given up when the host has the room back. */
static int drop(struct qcow2 *q, uint64_t cluster, struct qcow2_ranges *last)
{
    uint64_t refs;
    int r = ref_get_locked(q, cluster, &refs);

    if (r < 0)
        return r;
    if (!refs)
        return qcow2_corrupt_locked(q, "a cluster in use without a refcount",
                                    cluster << q->cluster_bits);
    if (refs == 1)
        return qcow2_ranges_add(last, cluster, 1) ? 0 : -ENOMEM;
    return ref_set(q, cluster, refs - 1);
}

static void give_away(struct qcow2 *q, const struct qcow2_range *r)
{
    for (uint64_t i = 0; i < r->count; i++) {
        if (qcow2_is_table_locked(q, r->first + i)) {
            qcow2_cache_forget(&q->l2, (r->first + i) << q->cluster_bits, q->cluster_size);
            qcow2_set_remove(&q->tables, r->first + i);
        }
        (void)!ref_set(q, r->first + i, 0);
    }
    q->free_hint = MIN(q->free_hint, r->first);
}

/* The flush lock is held too, so nobody else changes refcounts above 0. */
int qcow2_release_locked(struct qcow2 *q)
{
    struct qcow2_ranges now = q->resting, last = {0};
    int r = 0;

    if (!q->has_resting || atomic_load(&q->under_way[q->resting_turn]))
        return 0;
    q->has_resting = false;
    q->resting = (struct qcow2_ranges){0};
    for (size_t i = 0; i < now.count; i++) {
        for (uint64_t k = 0; !r && k < now.range[i].count; k++)
            r = drop(q, now.range[i].first + k, &last);
    }
    pthread_mutex_unlock(&q->lock);
    for (size_t i = 0; i < last.count; i++)
        qcow2_punch(q, last.range[i].first << q->cluster_bits,
                    last.range[i].count << q->cluster_bits);
    pthread_mutex_lock(&q->lock);
    for (size_t i = 0; i < last.count; i++)
        give_away(q, &last.range[i]);
    free(now.range);
    free(last.range);
    return r;
}
