/* SPDX-License-Identifier: MIT */
/* Writing to a qcow2 image: in place where the image has the cluster for itself, else to a new one,
 * with what the write leaves out copied around it. See qcow2_impl.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/iov.h"
#include "block/qcow2_impl.h"

#define ALLOC_MAX    (4 * MIB)  /* bytes allocated at a time */
#define FREED_MAX    4096u      /* ranges that wait for a flush */

/* ---- Those that wait ------------------------------------------------------------------------ */

static bool is_busy(const struct qcow2 *q, uint64_t first, uint64_t last)
{
    const struct qcow2_busy *b;

    LIST_FOREACH (b, &q->busy, link) {
        if (b->first <= last && first <= b->last)
            return true;
    }
    return false;
}

/* Who is busy waits for nobody, so this ends. */
static void wait_busy_locked(struct qcow2 *q, uint64_t first, uint64_t last)
{
    while (is_busy(q, first, last))
        pthread_cond_wait(&q->changed, &q->lock);
}

/* ---- One new piece -------------------------------------------------------------------------- */

/* A part of a write that goes to clusters which no table names yet, or to parts of one that are not
 * in use. */
struct piece {
    struct qcow2_busy busy;
    uint64_t offset, len;        /* of the disk: what is written */
    uint64_t from, to;           /* and with what is copied around it */
    uint64_t host;               /* of the first cluster, in the file */
    bool is_new;                 /* the clusters are */
    bool is_fresh;               /* and nothing was ever written there */
    uint8_t *head, *tail;        /* copied; NULL: nothing to write */
};

/* Does the cluster have a place of its own in the file? */
static bool has_place(struct qcow2_entry e)
{
    return !(e.l2 & QCOW2_L2_COMPRESSED) && (e.l2 & QCOW2_COPIED) && (e.l2 & QCOW2_OFFSET_MASK);
}

/* How much around a write must be copied: all of the cluster, or with subclusters only what shares
 * one with it. */
static bool by_unit(const struct qcow2 *q, struct qcow2_entry e)
{
    return has_place(e) || (qcow2_is_extended(q) && !e.l2);
}

static bool has_data(const struct qcow2 *q, struct qcow2_entry e, uint64_t offset)
{
    enum qcow2_kind kind;
    unsigned unit = (unsigned)((offset & (q->cluster_size - 1)) >> q->unit_bits);

    return has_place(e) && !qcow2_entry_kind(q, e, unit, &kind) && kind == QCOW2_DATA;
}

static uint64_t copy_from(const struct qcow2 *q, struct qcow2_entry e, uint64_t offset)
{
    if (!by_unit(q, e))
        return align_down(offset, q->cluster_size);
    return has_data(q, e, offset) ? offset : align_down(offset, BIT(q->unit_bits));
}

static uint64_t copy_to(const struct qcow2 *q, struct qcow2_entry e, uint64_t end)
{
    if (!by_unit(q, e))
        return align_up(end, q->cluster_size);
    return has_data(q, e, end - 1) ? end : align_up(end, BIT(q->unit_bits));
}

static int entry_of(struct qcow2 *q, uint64_t cluster, struct qcow2_entry *ret)
{
    struct qcow2_slice *s;
    int r = qcow2_l2_get_locked(q, cluster, false, &s);

    *ret = (struct qcow2_entry){0};
    if (!r && s)
        *ret = qcow2_entry_load(q, s, cluster);
    return r;
}

/* How many clusters from the first on, up to max, need a new place? */
static int count_new(struct qcow2 *q, uint64_t first, uint64_t max, uint64_t *ret)
{
    struct qcow2_entry e;
    enum qcow2_kind kind;

    for (*ret = 1; *ret < max; ++*ret) {
        int r = entry_of(q, first + *ret, &e);

        if (r < 0)
            return r;
        if (has_place(e) || qcow2_entry_kind(q, e, 0, &kind) < 0)
            break; /* that one is looked at when it is its turn */
    }
    return 0;
}

static int plan_locked(struct qcow2 *q, struct piece *p)
{
    uint64_t first = p->offset >> q->cluster_bits, host, count = 1;
    uint64_t last = (p->offset + p->len - 1) >> q->cluster_bits;
    struct qcow2_entry e, e_last;
    int r = entry_of(q, first, &e);

    if (r < 0)
        return r;
    if (has_place(e)) {
        p->host = e.l2 & QCOW2_OFFSET_MASK;
    } else {
        r = count_new(q, first, last - first + 1, &count);
        if (!r)
            r = qcow2_alloc_locked(q, count, &host, &count);
        if (r < 0)
            return r;
        p->is_new = true;
        p->host = host << q->cluster_bits;
        p->is_fresh = p->host >= q->fresh_from;
        q->fresh_from = MAX(q->fresh_from, p->host + (count << q->cluster_bits));
    }
    p->busy.first = first;
    p->busy.last = first + count - 1;
    p->len = MIN(p->len, ((first + count) << q->cluster_bits) - p->offset);
    r = entry_of(q, p->busy.last, &e_last);
    if (r < 0) {
        if (p->is_new)
            qcow2_unalloc_locked(q, host, count);
        return r;
    }
    p->from = copy_from(q, e, p->offset);
    p->to = copy_to(q, e_last, p->offset + p->len);
    LIST_INSERT_HEAD(&q->busy, &p->busy, link);
    return 0;
}

/* What the guest sees there now. What cannot matter is left out: zeroes where there are some. */
static int copy(struct qcow2 *q, const struct piece *p, uint64_t from, uint64_t to, uint8_t **ret)
{
    uint64_t inside = from < q->info.size ? MIN(to, q->info.size) - from : 0, len;
    enum qcow2_kind kind = QCOW2_ZEROES;
    struct iovec iov;
    int r = 0;

    if (from == to)
        return 0;
    if (p->is_fresh && inside)
        r = layer_look(q->layer, from, inside, &kind, &len);
    if (r < 0 || (p->is_fresh && kind == QCOW2_ZEROES && (!inside || len == inside)))
        return r;
    *ret = calloc(1, to - from);
    if (!*ret)
        return -ENOMEM;
    iov = (struct iovec){*ret, inside};
    return inside ? layer_read(q->layer, from, inside, &iov, 1) : 0;
}

static int move(struct qcow2 *q, struct piece *p, const struct iovec *iov, unsigned iov_count,
                uint64_t skip)
{
    struct iovec v[BLK_IOV_MAX + 2];
    uint64_t start = p->head ? p->from : p->offset;
    uint64_t end = p->tail ? p->to : p->offset + p->len;
    uint64_t first = p->busy.first << q->cluster_bits;
    struct blk_req req = {.op = BLK_WRITE, .iov = v, .offset = p->host + (start - first),
                          .len = end - start};
    unsigned n = 0;

    if (p->head)
        v[n++] = (struct iovec){p->head, p->offset - p->from};
    n += iov_slice(iov, iov_count, skip, p->len, v + n, BLK_IOV_MAX);
    if (p->tail)
        v[n++] = (struct iovec){p->tail, p->to - p->offset - p->len};
    req.iov_count = n;
    return blk_image_do(q->image, &req);
}

/* The entry of a cluster whose bytes [from, to) are there now. */
static struct qcow2_entry new_entry(const struct qcow2 *q, const struct piece *p,
                                    struct qcow2_entry old, uint64_t cluster)
{
    uint64_t start = cluster << q->cluster_bits, end = start + q->cluster_size;
    uint64_t host = p->host + ((cluster - p->busy.first) << q->cluster_bits);
    struct qcow2_entry e = {.l2 = host | QCOW2_COPIED};

    if (qcow2_is_extended(q)) {
        unsigned first = (unsigned)((MAX(start, p->from) - start) >> q->unit_bits);
        unsigned last = (unsigned)((MIN(end, p->to) - 1 - start) >> q->unit_bits);
        uint64_t mask = (BIT(last + 1) - 1) & ~(BIT(first) - 1);

        e.bitmap = old.l2 & QCOW2_L2_COMPRESSED ? 0 : old.bitmap;
        e.bitmap = (e.bitmap & ~(mask << 32)) | mask;
    }
    return e;
}

static int publish_locked(struct qcow2 *q, const struct piece *p)
{
    struct qcow2_slice *s;
    int r = qcow2_l2_own_locked(q, p->busy.first, &s);

    if (r < 0)
        return r;
    for (uint64_t c = p->busy.first; c <= p->busy.last; c++) {
        struct qcow2_entry old = qcow2_entry_load(q, s, c);

        qcow2_entry_store_locked(q, s, c, new_entry(q, p, old, c));
        if (p->is_new)
            qcow2_entry_free_locked(q, old);
    }
    q->data_unsynced = true;
    return 0;
}

static int write_piece(struct qcow2 *q, struct piece *p, const struct iovec *iov,
                       unsigned iov_count, uint64_t skip)
{
    int r = copy(q, p, p->from, p->offset, &p->head);

    if (!r)
        r = copy(q, p, p->offset + p->len, p->to, &p->tail);
    if (!r && iov)
        r = move(q, p, iov, iov_count, skip);
    pthread_mutex_lock(&q->lock);
    if (!r)
        r = publish_locked(q, p);
    if (r < 0 && p->is_new)
        qcow2_unalloc_locked(q, p->host >> q->cluster_bits, p->busy.last - p->busy.first + 1);
    LIST_REMOVE(&p->busy, link);
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
    free(p->head);
    free(p->tail);
    return r;
}

/* ---- Writes --------------------------------------------------------------------------------- */

static int write_in_place(struct qcow2 *q, const struct qcow2_run *run, const struct iovec *iov,
                          unsigned iov_count, uint64_t skip)
{
    struct iovec v[BLK_IOV_MAX];
    struct blk_req req = {.op = BLK_WRITE, .offset = run->host, .len = run->len, .iov = v};
    int r;

    req.iov_count = iov_slice(iov, iov_count, skip, run->len, v, BLK_IOV_MAX);
    r = blk_image_do(q->image, &req);
    qcow2_done(q, run);
    return r;
}

/* The beginning of a write: what lies in one slice of a table. iov NULL: see qcow2_preallocate(). */
static int write_some(struct qcow2 *q, uint64_t offset, uint64_t len, const struct iovec *iov,
                      unsigned iov_count, uint64_t skip, uint64_t *ret_len)
{
    uint64_t slice_bytes = (q->slice_size >> q->entry_shift) * q->cluster_size;
    uint64_t end = MIN(offset + len, align_down(offset, slice_bytes) + slice_bytes);
    struct piece p = {.offset = offset};
    struct qcow2_run run;
    int r;

    end = MIN(end, align_down(offset, q->cluster_size) + MAX(q->cluster_size, ALLOC_MAX));
    p.len = end - offset;
    pthread_mutex_lock(&q->lock);
    wait_busy_locked(q, offset >> q->cluster_bits, (end - 1) >> q->cluster_bits);
    r = q->broken ? -EIO : qcow2_map_locked(q, offset, p.len, false, &run);
    if (!r && run.in_place) {
        run.turn = q->turn;
        atomic_fetch_add(&q->under_way[q->turn], 1);
        pthread_mutex_unlock(&q->lock);
        *ret_len = run.len;
        return write_in_place(q, &run, iov, iov_count, skip);
    }
    if (!r)
        r = plan_locked(q, &p);
    pthread_mutex_unlock(&q->lock);
    *ret_len = p.len;
    return r < 0 ? r : write_piece(q, &p, iov, iov_count, skip);
}

/* Not too much may wait in memory. */
static int limit(struct qcow2 *q)
{
    bool full;

    pthread_mutex_lock(&q->lock);
    full = q->l2.dirty > q->l2.max / 2 || q->freed.count > FREED_MAX ||
           q->refs.dirty > q->refs.max / 2;
    pthread_mutex_unlock(&q->lock);
    return full ? qcow2_flush(q) : 0;
}

int qcow2_write(struct qcow2 *q, uint64_t offset, uint64_t len, const struct iovec *iov,
                unsigned iov_count)
{
    uint64_t done = 0, part;
    int r = q->read_only ? -EROFS : range_fits(offset, len, q->info.size) ? 0 : -EINVAL;

    for (; !r && done < len; done += part)
        r = write_some(q, offset + done, len - done, iov, iov_count, done, &part);
    return r < 0 ? r : limit(q);
}

int qcow2_preallocate(struct qcow2 *q, uint64_t offset, uint64_t len)
{
    uint64_t done = 0, part;
    int r = range_fits(offset, len, q->info.size) ? 0 : -EINVAL;

    for (; !r && done < len; done += part) {
        r = write_some(q, offset + done, len - done, NULL, 0, done, &part);
        if (!r)
            r = limit(q);
    }
    return r;
}

uint64_t qcow2_file_end(struct qcow2 *q)
{
    uint64_t size = 0, end;

    (void)!blk_image_size(q->image, &size);
    pthread_mutex_lock(&q->lock);
    end = MAX(align_up(size, q->cluster_size), q->fresh_from);
    pthread_mutex_unlock(&q->lock);
    return end;
}

/* ---- Zeroes and discards -------------------------------------------------------------------- */

#define ZERO_PIECE  65536u
#define ZERO_PIECES 16u

static int write_zeroes(struct qcow2 *q, uint64_t offset, uint64_t len)
{
    static const uint8_t zeroes[ZERO_PIECE];
    struct iovec iov[ZERO_PIECES];
    int r = 0;

    for (unsigned i = 0; i < ZERO_PIECES; i++)
        iov[i] = (struct iovec){(void *)zeroes, sizeof(zeroes)};
    while (!r && len) {
        uint64_t part = MIN(len, (uint64_t)ZERO_PIECE * ZERO_PIECES), kind_len;
        enum qcow2_kind kind;

        r = layer_look(q->layer, offset, part, &kind, &kind_len);
        if (!r && kind == QCOW2_ZEROES)
            part = kind_len;
        else if (!r)
            r = qcow2_write(q, offset, part, iov, (unsigned)((part + ZERO_PIECE - 1) / ZERO_PIECE));
        offset += part;
        len -= part;
    }
    return r;
}

static bool covered_below(const struct qcow2 *q, uint64_t offset)
{
    return q->layer->below && offset < q->layer->below->size;
}

/* What a range's entries become. */
struct zeroing {
    bool discard; /* need not read as zeroes */
    bool unmap;   /* give up the place in the file */
};

static uint64_t unit_mask(const struct qcow2 *q, uint64_t offset, uint64_t len)
{
    uint64_t first = (offset & (q->cluster_size - 1)) >> q->unit_bits, count = len >> q->unit_bits;

    return ((BIT(count) - 1) << first) & UINT32_MAX;
}

/* The entry for a cluster of which [offset, offset + len) becomes zero, len at most a cluster. false:
 * an entry cannot say that. */
static bool zeroed(const struct qcow2 *q, struct zeroing z, struct qcow2_entry old, uint64_t offset,
                   uint64_t len, struct qcow2_entry *ret)
{
    bool is_whole = len == q->cluster_size, below = covered_below(q, offset);
    struct qcow2_entry e = {0};

    *ret = old;
    if (!old.l2 && !old.bitmap && (!below || z.discard))
        return true;
    if (q->info.version < 3 && below)
        return z.discard; /* there it stays */
    if (!is_whole && (old.l2 & QCOW2_L2_COMPRESSED))
        return z.discard;
    if (has_place(old) && (!z.unmap || !is_whole))
        e.l2 = old.l2;
    else if (!is_whole)
        e.l2 = old.l2 & ~QCOW2_COPIED;
    if (qcow2_is_extended(q)) {
        uint64_t mask = unit_mask(q, offset, len);

        e.bitmap = is_whole ? 0 : old.bitmap & ~mask;
        if (below || e.l2)
            e.bitmap |= mask << 32;
    } else if (q->info.version >= 3 && (below || e.l2)) {
        e.l2 |= QCOW2_L2_ZERO;
    } else {
        e.l2 = 0;
    }
    *ret = e;
    return true;
}

static int zero_cluster_locked(struct qcow2 *q, struct zeroing z, uint64_t offset, uint64_t len,
                               bool *ret_write)
{
    uint64_t cluster = offset >> q->cluster_bits;
    struct qcow2_entry old, e;
    struct qcow2_slice *s;
    enum qcow2_kind kind;
    int r = entry_of(q, cluster, &old);

    if (r < 0)
        return r;
    if (qcow2_entry_kind(q, old, 0, &kind) < 0)
        return qcow2_corrupt_locked(q, "a wrong entry for", offset);
    *ret_write = !zeroed(q, z, old, offset, len, &e);
    if (*ret_write || (e.l2 == old.l2 && e.bitmap == old.bitmap))
        return 0;
    r = qcow2_l2_own_locked(q, cluster, &s);
    if (r < 0)
        return r;
    qcow2_entry_store_locked(q, s, cluster, e);
    if ((old.l2 & QCOW2_OFFSET_MASK) != (e.l2 & QCOW2_OFFSET_MASK) ||
        (old.l2 & QCOW2_L2_COMPRESSED))
        qcow2_entry_free_locked(q, old);
    return 0;
}

/* Nothing to do up to the end of a table that does not exist. */
static uint64_t skip_locked(const struct qcow2 *q, uint64_t offset, uint64_t len)
{
    uint64_t table = offset >> (q->cluster_bits + q->l2_bits);
    uint64_t end = (table + 1) << (q->cluster_bits + q->l2_bits);

    if (table < q->l1_size && (q->l1[table] & QCOW2_OFFSET_MASK))
        return 0;
    return covered_below(q, offset) ? 0 : MIN(len, end - offset);
}

/* One cluster, or a table's range without any. */
static int zero_some(struct qcow2 *q, struct zeroing z, uint64_t offset, uint64_t len,
                     uint64_t *ret_len)
{
    uint64_t cluster = offset >> q->cluster_bits, real;
    bool must_write = false;
    int r = 0;

    pthread_mutex_lock(&q->lock);
    *ret_len = skip_locked(q, offset, len);
    if (!*ret_len) {
        *ret_len = MIN(len, q->cluster_size - (offset & (q->cluster_size - 1)));
        wait_busy_locked(q, cluster, cluster);
        r = q->broken ? -EIO : zero_cluster_locked(q, z, offset, *ret_len, &must_write);
    }
    pthread_mutex_unlock(&q->lock);
    if (r < 0 || !must_write)
        return r;
    real = MIN(*ret_len, q->info.size - offset); /* the last cluster may reach beyond the disk */
    return write_zeroes(q, offset, real);
}

static int zero_units(struct qcow2 *q, struct zeroing z, uint64_t from, uint64_t to)
{
    uint64_t part;
    int r = 0;

    for (; !r && from < to; from += part)
        r = zero_some(q, z, from, to - from, &part);
    return r;
}

int qcow2_zero(struct qcow2 *q, uint64_t offset, uint64_t len, bool unmap)
{
    uint64_t unit = BIT(q->unit_bits), end = offset + len;
    uint64_t from = align_up(offset, unit);
    uint64_t to = end == q->info.size ? align_up(end, unit) : align_down(end, unit);
    int r;

    if (q->read_only || !range_fits(offset, len, q->info.size))
        return q->read_only ? -EROFS : -EINVAL;
    if (from >= to)
        r = write_zeroes(q, offset, len);
    else
        r = write_zeroes(q, offset, from - offset);
    if (!r && from < to)
        r = zero_units(q, (struct zeroing){.unmap = unmap}, from, to);
    if (!r && from < to && end > to)
        r = write_zeroes(q, to, end - to);
    return r < 0 ? r : limit(q);
}

int qcow2_discard(struct qcow2 *q, uint64_t offset, uint64_t len)
{
    uint64_t end = offset + len, from = align_up(offset, q->cluster_size);
    uint64_t to = end == q->info.size ? align_up(end, q->cluster_size)
                                      : align_down(end, q->cluster_size);
    int r;

    if (q->read_only || !range_fits(offset, len, q->info.size))
        return q->read_only ? -EROFS : -EINVAL;
    r = zero_units(q, (struct zeroing){.discard = true, .unmap = true}, from, to);
    return r < 0 ? r : limit(q);
}
