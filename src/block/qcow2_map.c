/* SPDX-License-Identifier: MIT */
/* From a place on the disk to one in the file: see qcow2_impl.h.
 *
 * An entry is checked whenever it is used: one that points to a table of the image, or to its
 * header, would let the guest write there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2_impl.h"

/* ---- Entries -------------------------------------------------------------------------------- */

static uint8_t *entry_at(const struct qcow2 *q, const struct qcow2_slice *s, uint64_t cluster)
{
    uint64_t per_slice = q->slice_size >> q->entry_shift;

    return (uint8_t *)s->data + ((cluster & (per_slice - 1)) << q->entry_shift);
}

struct qcow2_entry qcow2_entry_load(const struct qcow2 *q, const struct qcow2_slice *s,
                                    uint64_t cluster)
{
    const uint8_t *p = entry_at(q, s, cluster);

    return (struct qcow2_entry){load_be64(p), qcow2_is_extended(q) ? load_be64(p + 8) : 0};
}

void qcow2_entry_store_locked(struct qcow2 *q, struct qcow2_slice *s, uint64_t cluster,
                              struct qcow2_entry e)
{
    uint8_t *p = entry_at(q, s, cluster);

    store_be64(p, e.l2);
    if (qcow2_is_extended(q))
        store_be64(p + 8, e.bitmap);
    qcow2_cache_dirty(&q->l2, s);
}

static bool offset_is_good(const struct qcow2 *q, uint64_t l2)
{
    uint64_t offset = l2 & QCOW2_OFFSET_MASK;

    return !(offset & (q->cluster_size - 1)) && offset <= QCOW2_FILE_MAX &&
           !qcow2_is_table_locked(q, offset >> q->cluster_bits);
}

void qcow2_compressed_range(const struct qcow2 *q, uint64_t entry, uint64_t *ret_offset,
                            uint64_t *ret_len)
{
    unsigned bits = QCOW2_COMPRESSED_OFFSET_BITS(q->cluster_bits);
    uint64_t sectors = (entry & (BIT(62) - 1)) >> bits;

    *ret_offset = entry & (BIT(bits) - 1);
    *ret_len = (sectors + 1) * QCOW2_SECTOR - (*ret_offset & (QCOW2_SECTOR - 1));
}

static bool compressed_is_good(const struct qcow2 *q, uint64_t entry)
{
    uint64_t offset, len;

    qcow2_compressed_range(q, entry, &offset, &len);
    for (uint64_t c = offset >> q->cluster_bits; c <= (offset + len - 1) >> q->cluster_bits; c++) {
        if (qcow2_is_table_locked(q, c))
            return false;
    }
    return offset <= QCOW2_FILE_MAX;
}

static int kind_extended(const struct qcow2 *q, struct qcow2_entry e, unsigned unit,
                         enum qcow2_kind *ret)
{
    bool has = e.bitmap & BIT(unit), zero = e.bitmap & BIT(32 + unit);

    if ((has && (zero || !(e.l2 & QCOW2_OFFSET_MASK))) || (e.l2 & QCOW2_L2_ZERO))
        return -EIO;
    *ret = has ? QCOW2_DATA : zero ? QCOW2_ZEROES : QCOW2_NOTHING;
    return 0;
}

int qcow2_entry_kind(const struct qcow2 *q, struct qcow2_entry e, unsigned unit,
                     enum qcow2_kind *ret)
{
    if (e.l2 & QCOW2_L2_COMPRESSED) {
        *ret = QCOW2_COMPRESSED;
        return e.l2 & QCOW2_COPIED || !compressed_is_good(q, e.l2) ? -EIO : 0;
    }
    if ((e.l2 & QCOW2_OFFSET_MASK) && !offset_is_good(q, e.l2))
        return -EIO;
    if (qcow2_is_extended(q))
        return kind_extended(q, e, unit, ret);
    if (e.l2 & QCOW2_L2_ZERO) {
        *ret = QCOW2_ZEROES;
        return q->info.version < 3 ? -EIO : 0;
    }
    *ret = e.l2 & QCOW2_OFFSET_MASK ? QCOW2_DATA : QCOW2_NOTHING;
    return 0;
}

static void free_data(struct qcow2 *q, uint64_t cluster)
{
    if (qcow2_is_table_locked(q, cluster))
        qcow2_corrupt_locked(q, "data where a table is", cluster << q->cluster_bits);
    else
        qcow2_free_locked(q, cluster, 1);
}

void qcow2_entry_free_locked(struct qcow2 *q, struct qcow2_entry e)
{
    uint64_t offset, len;

    if (e.l2 & QCOW2_L2_COMPRESSED) {
        qcow2_compressed_range(q, e.l2, &offset, &len);
        for (uint64_t c = offset >> q->cluster_bits; c <= (offset + len - 1) >> q->cluster_bits; c++)
            free_data(q, c);
    } else if (e.l2 & QCOW2_OFFSET_MASK) {
        free_data(q, (e.l2 & QCOW2_OFFSET_MASK) >> q->cluster_bits);
    }
}

/* ---- Tables --------------------------------------------------------------------------------- */

static uint64_t slice_offset(const struct qcow2 *q, uint64_t table, uint64_t cluster)
{
    uint64_t index = cluster & (BIT(q->l2_bits) - 1);

    return table + align_down(index << q->entry_shift, q->slice_size);
}

int qcow2_l2_get_locked(struct qcow2 *q, uint64_t cluster, bool cached_only,
                        struct qcow2_slice **ret)
{
    uint64_t i = cluster >> q->l2_bits, table = i < q->l1_size ? q->l1[i] & QCOW2_OFFSET_MASK : 0;

    *ret = NULL;
    return table ? qcow2_cache_get(q, &q->l2, slice_offset(q, table, cluster), cached_only, ret) : 0;
}

void qcow2_l1_dirty_locked(struct qcow2 *q, uint32_t first, uint32_t end)
{
    if (q->l1_dirty_first == q->l1_dirty_end)
        q->l1_dirty_first = first, q->l1_dirty_end = end;
    q->l1_dirty_first = MIN(q->l1_dirty_first, first);
    q->l1_dirty_end = MAX(q->l1_dirty_end, end);
}

/* The old table's newest content is partly in the cache. */
static int read_table(struct qcow2 *q, uint64_t table, uint8_t *data)
{
    for (uint64_t at = 0; at < q->cluster_size; at += q->slice_size) {
        struct qcow2_slice *s;
        int r = qcow2_cache_get(q, &q->l2, table + at, false, &s);

        if (r < 0)
            return r;
        memcpy(data + at, s->data, q->slice_size);
    }
    return 0;
}

/* A table of our own for L1 entry i. It is written now, while nothing names it. */
static int make_table(struct qcow2 *q, uint64_t i)
{
    uint64_t old = q->l1[i] & QCOW2_OFFSET_MASK, first, count;
    uint8_t *data = calloc(1, q->cluster_size);
    int r = data ? 0 : -ENOMEM;

    if (!r && old)
        r = read_table(q, old, data);
    if (!r)
        r = qcow2_alloc_locked(q, 1, &first, &count);
    if (r < 0)
        goto out;
    r = qcow2_pwrite(q, data, q->cluster_size, first << q->cluster_bits);
    if (r < 0) {
        qcow2_unalloc_locked(q, first, 1);
        goto out;
    }
    qcow2_add_table_locked(q, first, 1);
    q->l1[i] = first << q->cluster_bits | QCOW2_COPIED;
    qcow2_l1_dirty_locked(q, (uint32_t)i, (uint32_t)i + 1);
    q->data_unsynced = true;
    if (old)
        qcow2_free_locked(q, old >> q->cluster_bits, 1);
out:
    free(data);
    return r;
}

int qcow2_l2_own_locked(struct qcow2 *q, uint64_t cluster, struct qcow2_slice **ret)
{
    uint64_t i = cluster >> q->l2_bits;
    int r = q->broken ? -EIO : 0;

    if (!r && i >= q->l1_size)
        r = qcow2_corrupt_locked(q, "an L1 table that is too short", i);
    if (!r && !(q->l1[i] & QCOW2_COPIED))
        r = make_table(q, i);
    if (!r)
        r = qcow2_begin_change_locked(q);
    return r < 0 ? r : qcow2_l2_get_locked(q, cluster, false, ret);
}

/* ---- Runs ----------------------------------------------------------------------------------- */

/* One step: how much of the run is in the unit at offset, and what is it? */
static int look(struct qcow2 *q, const struct qcow2_slice *s, uint64_t offset, struct qcow2_run *ret)
{
    uint64_t cluster = offset >> q->cluster_bits, inside = offset & (q->cluster_size - 1);
    struct qcow2_entry e = qcow2_entry_load(q, s, cluster);
    int r = qcow2_entry_kind(q, e, (unsigned)(inside >> q->unit_bits), &ret->kind);

    if (r < 0)
        return qcow2_corrupt_locked(q, "a wrong entry of an L2 table",
                                    s->offset);
    ret->len = BIT(q->unit_bits) - (inside & (BIT(q->unit_bits) - 1));
    ret->in_place = ret->kind == QCOW2_DATA && (e.l2 & QCOW2_COPIED);
    ret->host = 0;
    if (ret->kind == QCOW2_DATA)
        ret->host = (e.l2 & QCOW2_OFFSET_MASK) + inside;
    else if (ret->kind == QCOW2_COMPRESSED)
        ret->host = e.l2;
    if (ret->kind == QCOW2_COMPRESSED)
        ret->len = q->cluster_size - inside;
    return 0;
}

static bool continues(const struct qcow2_run *run, const struct qcow2_run *next)
{
    if (run->kind != next->kind || run->in_place != next->in_place)
        return false;
    return run->kind == QCOW2_DATA ? run->host + run->len == next->host
                                   : run->kind != QCOW2_COMPRESSED;
}

int qcow2_map_locked(struct qcow2 *q, uint64_t offset, uint64_t len, bool cached_only,
                     struct qcow2_run *ret)
{
    uint64_t cluster = offset >> q->cluster_bits;
    uint64_t per_slice = q->slice_size >> q->entry_shift;
    uint64_t slice_end = (align_down(cluster, per_slice) + per_slice) << q->cluster_bits;
    uint64_t table_end = ((cluster >> q->l2_bits) + 1) << (q->l2_bits + q->cluster_bits);
    struct qcow2_slice *s;
    int r = qcow2_l2_get_locked(q, cluster, cached_only, &s);

    if (r < 0)
        return r;
    if (!s) {
        *ret = (struct qcow2_run){.kind = QCOW2_NOTHING, .len = MIN(len, table_end - offset)};
        return 0;
    }
    len = MIN(len, slice_end - offset);
    r = look(q, s, offset, ret);
    while (!r && ret->len < len) {
        struct qcow2_run next;

        if (look(q, s, offset + ret->len, &next) < 0 || !continues(ret, &next))
            break;
        ret->len += next.len;
    }
    ret->len = MIN(ret->len, len);
    return r;
}

int qcow2_map(struct qcow2 *q, uint64_t offset, uint64_t len, bool cached_only,
              struct qcow2_run *ret)
{
    int r;

    if (!cached_only)
        pthread_mutex_lock(&q->lock);
    else if (pthread_mutex_trylock(&q->lock))
        return -EAGAIN;
    r = qcow2_map_locked(q, offset, len, cached_only, ret);
    ret->turn = q->turn;
    if (!r)
        atomic_fetch_add(&q->under_way[q->turn], 1);
    pthread_mutex_unlock(&q->lock);
    return r;
}

void qcow2_done(struct qcow2 *q, const struct qcow2_run *run)
{
    atomic_fetch_sub(&q->under_way[run->turn], 1);
}

bool qcow2_is_dirty(struct qcow2 *q)
{
    bool dirty = true;

    if (!pthread_mutex_trylock(&q->lock)) {
        dirty = q->l2.dirty || q->l1_dirty_first != q->l1_dirty_end || q->freed.count ||
                q->has_resting || q->flushing || (q->refs.dirty && !q->info.lazy_refcounts);
        pthread_mutex_unlock(&q->lock);
    }
    return dirty;
}
