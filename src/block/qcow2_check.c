/* SPDX-License-Identifier: MIT */
/* Do the refcounts say what the tables refer to? See qcow2.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2_impl.h"

#define TOLD_MAX 20u /* errors told of one by one */

struct walk {
    struct qcow2 *q;
    struct qcow2_check *c;
    bool repair;
    uint64_t clusters;  /* of the file */
    uint32_t *refs;     /* how often each is referred to */
    uint8_t *table;     /* of an L2 table's size */
    unsigned l1_seen;   /* L1 tables so far */
    bool flags;         /* second time, the image's own L1 table only: compare COPIED */
};

static void tell(struct walk *w, const char *fmt, ...) printf_like(2, 3);
static void tell(struct walk *w, const char *fmt, ...)
{
    char text[160];
    va_list ap;

    w->c->errors++;
    if (!w->c->problem || w->c->errors > TOLD_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    w->c->problem(w->c->arg, text);
}

/* One reference to each cluster of a part of the file. */
static void count(struct walk *w, const char *what, uint64_t offset, uint64_t len)
{
    uint64_t first = offset >> w->q->cluster_bits, end = (offset + len - 1) >> w->q->cluster_bits;

    if (w->flags)
        return;
    for (uint64_t i = first; i <= end; i++) {
        if (i >= w->clusters)
            tell(w, "%s at %#llx is behind the end of the file", what, (unsigned long long)offset);
        else
            w->refs[i] += w->refs[i] < UINT32_MAX;
        if (i >= w->clusters)
            return;
    }
}

static uint32_t refs_of(const struct walk *w, uint64_t offset)
{
    uint64_t i = offset >> w->q->cluster_bits;

    return i < w->clusters ? w->refs[i] : 0;
}

/* COPIED must be there exactly if this is the only reference. True: it was set right. */
static bool correct_flag(struct walk *w, const char *what, uint64_t *entry)
{
    uint64_t offset = *entry & QCOW2_OFFSET_MASK;
    bool is_one = refs_of(w, offset) == 1;

    if (!w->flags || is_one == !!(*entry & QCOW2_COPIED))
        return false;
    tell(w, "%s at %#llx is %smarked as used once", what, (unsigned long long)offset,
         is_one ? "not " : "");
    if (!w->repair)
        return false;
    *entry ^= QCOW2_COPIED;
    w->c->repaired++;
    return true;
}

static bool check_entry(struct walk *w, struct qcow2_entry *e)
{
    struct qcow2 *q = w->q;
    uint64_t offset = e->l2 & QCOW2_OFFSET_MASK, len;
    enum qcow2_kind kind;

    for (unsigned unit = 0; unit < (qcow2_is_extended(q) ? QCOW2_SUBCLUSTERS : 1); unit++) {
        if (qcow2_entry_kind(q, *e, unit, &kind) < 0) {
            if (!w->flags)
                tell(w, "a wrong L2 entry, %#llx", (unsigned long long)e->l2);
            return false;
        }
    }
    if (e->l2 & QCOW2_L2_COMPRESSED) {
        qcow2_compressed_range(q, e->l2, &offset, &len);
        if (offset > QCOW2_FILE_MAX)
            return false;
        /* The last sector may be cut off by the end of the file, not more of it. */
        count(w, "compressed data", offset, len);
        w->c->compressed += !w->flags;
        return false;
    }
    if (!offset)
        return false;
    w->c->data += !w->flags;
    count(w, "data", offset, q->cluster_size);
    return correct_flag(w, "data", &e->l2);
}

static int check_l2(struct walk *w, uint64_t offset)
{
    struct qcow2 *q = w->q;
    bool changed = false;
    int r = qcow2_pread(q, w->table, q->cluster_size, offset);

    if (r < 0)
        return r;
    for (uint64_t i = 0; i < BIT(q->l2_bits); i++) {
        uint8_t *p = w->table + (i << q->entry_shift);
        struct qcow2_entry e = {load_be64(p), qcow2_is_extended(q) ? load_be64(p + 8) : 0};

        if (!e.l2 && !e.bitmap)
            continue;
        if (check_entry(w, &e)) {
            store_be64(p, e.l2);
            changed = true;
        }
    }
    return changed ? qcow2_pwrite(q, w->table, q->cluster_size, offset) : 0;
}

/* Tell how far the walk through the L1 table is, which is done twice. */
static int go_on(const struct walk *w, uint64_t entry)
{
    const struct qcow2 *q = w->q;
    uint64_t size = q->info.size, done = MIN(entry << (q->cluster_bits + q->l2_bits), size);

    return !w->c->goes_on || w->c->goes_on(w->c->arg, done + (w->flags ? size : 0), 2 * size) ? 0 : -ECANCELED;
}

/* A table that an L1 table names twice is walked once: a small image could keep us busy for hours. */
static int check_l1(struct walk *w, uint64_t *l1, uint64_t entries, uint64_t l1_offset)
{
    int r = 0;

    w->l1_seen += !w->flags;
    for (uint64_t i = 0; !r && i < entries; i++) {
        uint64_t offset = l1[i] & QCOW2_OFFSET_MASK;

        if (!offset)
            continue;
        count(w, "an L2 table", offset, w->q->cluster_size);
        if (refs_of(w, offset) > w->l1_seen) {
            if (!w->flags)
                tell(w, "an L2 table, %#llx, is used twice", (unsigned long long)offset);
            continue;
        }
        if (correct_flag(w, "an L2 table", &l1[i]))
            r = qcow2_write_be64(w->q, l1[i], l1_offset + i * 8);
        if (!r && l1 == w->q->l1)
            r = go_on(w, i);
        if (!r && offset >> w->q->cluster_bits < w->clusters)
            r = check_l2(w, offset);
    }
    return r;
}

static int check_snapshot(struct walk *w, const uint8_t *head)
{
    uint64_t offset = load_be64(head + QCOW2_S_L1_OFFSET), size = load_be32(head + QCOW2_S_L1_SIZE);
    uint64_t *l1;
    int r;

    if (!size || size > QCOW2_L1_BYTES_MAX / 8)
        return 0;
    count(w, "a snapshot's L1 table", offset, size * 8);
    l1 = calloc(size, sizeof(*l1));
    r = l1 ? qcow2_pread(w->q, l1, size * 8, offset) : -ENOMEM;
    for (uint64_t i = 0; !r && i < size; i++)
        l1[i] = load_be64(&l1[i]);
    if (!r)
        r = check_l1(w, l1, size, offset);
    free(l1);
    return r;
}

static int check_snapshots(struct walk *w)
{
    uint64_t at = w->q->snapshots_offset;
    int r = 0;

    for (unsigned i = 0; !r && i < w->q->info.snapshots; i++) {
        uint8_t head[QCOW2_S_LENGTH];

        r = qcow2_pread(w->q, head, sizeof(head), at);
        if (!r)
            r = check_snapshot(w, head);
        at += QCOW2_S_LENGTH + (uint64_t)load_be32(head + QCOW2_S_EXTRA_SIZE) +
              load_be16(head + QCOW2_S_ID_SIZE) + load_be16(head + QCOW2_S_NAME_SIZE);
        at = align_up(at, 8);
    }
    if (!r && w->q->info.snapshots)
        count(w, "the table of snapshots", w->q->snapshots_offset, w->q->snapshot_table_size);
    return r;
}

static int count_all(struct walk *w)
{
    struct qcow2 *q = w->q;
    int r;

    count(w, "the header", 0, 1);
    count(w, "the L1 table", q->l1_offset, q->l1_size * UINT64_C(8));
    count(w, "the refcount table", q->reftable_offset, q->reftable_size * 8);
    for (uint64_t i = 0; i < q->reftable_size; i++) {
        if (q->reftable[i])
            count(w, "a refcount block", q->reftable[i], q->cluster_size);
    }
    r = check_l1(w, q->l1, q->l1_size, q->l1_offset);
    return r < 0 ? r : check_snapshots(w);
}

/* ---- Comparing ------------------------------------------------------------------------------ */

static int compare_block(struct walk *w, uint64_t table, uint8_t *block, uint64_t per_block)
{
    struct qcow2 *q = w->q;
    uint64_t max = q->refcount_order == 6 ? UINT64_MAX : BIT(1u << q->refcount_order) - 1;
    bool changed = false;
    int r = qcow2_pread(q, block, q->cluster_size, q->reftable[table]);

    if (r < 0)
        return r;
    for (uint64_t i = 0; i < per_block; i++) {
        uint64_t cluster = table * per_block + i, has = qcow2_ref_load(block, q->refcount_order, i);
        uint64_t wants = cluster < w->clusters ? w->refs[cluster] : 0;

        w->c->used += wants > 0;
        if (has == wants)
            continue;
        if (has > wants)
            w->c->leaks++;
        else
            tell(w, "cluster %#llx is used %llu times, and its refcount is %llu",
                 (unsigned long long)cluster, (unsigned long long)wants, (unsigned long long)has);
        if (w->repair && wants <= max) {
            qcow2_ref_store(block, q->refcount_order, i, wants);
            changed = true;
            w->c->repaired++;
        }
    }
    return changed ? qcow2_pwrite(q, block, q->cluster_size, q->reftable[table]) : 0;
}

static int compare_all(struct walk *w)
{
    struct qcow2 *q = w->q;
    uint64_t per_block = q->cluster_size * 8 >> q->refcount_order;
    uint8_t *block = malloc(q->cluster_size);
    int r = block ? 0 : -ENOMEM;

    for (uint64_t i = 0; !r && i < q->reftable_size; i++) {
        if (q->reftable[i])
            r = compare_block(w, i, block, per_block);
    }
    free(block);
    for (uint64_t i = 0; !r && i < w->clusters; i++) {
        uint64_t table = i / per_block;

        if (w->refs[i] && (table >= q->reftable_size || !q->reftable[table]))
            tell(w, "cluster %#llx has no refcount", (unsigned long long)i);
    }
    return r;
}

static int check(struct walk *w)
{
    struct qcow2 *q = w->q;
    int r = count_all(w);

    if (!r)
        r = compare_all(w);
    w->flags = true;
    if (!r)
        r = check_l1(w, q->l1, q->l1_size, q->l1_offset);
    return r;
}

/* What was read before the repair is not right any more. */
static int finish_repair(struct qcow2 *q, const struct qcow2_check *c)
{
    qcow2_cache_forget(&q->l2, 0, UINT64_MAX);
    qcow2_cache_forget(&q->refs, 0, UINT64_MAX);
    q->free_hint = 0;
    if (c->errors + c->leaks == c->repaired)
        q->incompatible &= ~QCOW2_INCOMPAT_CORRUPT; /* written when it is closed */
    return qcow2_sync(q);
}

int qcow2_check(struct qcow2 *q, bool repair, struct qcow2_check *c)
{
    struct walk w = {.q = q, .c = c, .repair = repair && !q->info.bitmaps};
    uint64_t file_size;
    int r = q->marked ? qcow2_flush(q) : 0;

    if (!r)
        r = blk_image_size(q->image, &file_size);
    if (!r && repair) {
        pthread_mutex_lock(&q->lock);
        r = q->read_only ? -EROFS : qcow2_begin_change_locked(q);
        pthread_mutex_unlock(&q->lock);
    }
    if (r < 0)
        return r;
    c->errors = c->leaks = c->repaired = c->used = c->data = c->compressed = 0;
    w.clusters = qcow2_clusters(q, file_size + QCOW2_SECTOR - 1);
    w.refs = calloc(w.clusters + 1, sizeof(w.refs[0]));
    w.table = malloc(q->cluster_size);
    r = w.refs && w.table ? check(&w) : -ENOMEM;
    if (!r && repair)
        r = finish_repair(q, c);
    if (repair) /* else the next one to write would give away clusters that are in use */
        q->stays_dirty = q->info.dirty && (r < 0 || c->errors + c->leaks > c->repaired);
    free(w.refs);
    free(w.table);
    return r;
}
