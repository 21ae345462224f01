/* SPDX-License-Identifier: MIT */
/* Opening and closing a qcow2 image: the header, and the tables that stay in memory. Everything is
 * checked here that can be checked once. See qcow2_impl.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2_impl.h"

#define L2_CACHE_BYTES   (16 * MIB)
#define REFS_CACHE_BYTES (4 * MIB)
#define HEADER_READ      4096u /* more of it holds nothing that we need */

struct header {
    uint8_t data[HEADER_READ];
    uint64_t autoclear;
};

static int bad(const struct qcow2 *q, struct vz_error *err, const char *what)
{
    return error_set(err, EINVAL, VZ_ERROR_INVALID_DISK_IMAGE, "%s: damaged qcow2 image: %s", q->name,
                     what);
}

static int unsupported(const struct qcow2 *q, struct vz_error *err, const char *what)
{
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, "%s: its qcow2 format needs what is not supported: %s",
                     q->name, what);
}

static int failed(const struct qcow2 *q, struct vz_error *err, int r)
{
    return error_set(err, -r, r == -ENOMEM ? VZ_ERROR_NO_MEMORY : VZ_ERROR_IO, "%s: %s", q->name,
                     strerror(-r));
}

/* ---- Header extensions ---------------------------------------------------------------------- */

/* The image's own name of a feature that we do not know. */
static void name_feature(const uint8_t *table, uint32_t len, unsigned bit, char *ret, size_t size)
{
    snprintf(ret, size, "incompatible feature %u", bit);
    for (; len >= QCOW2_FEATURE_ENTRY; table += QCOW2_FEATURE_ENTRY, len -= QCOW2_FEATURE_ENTRY) {
        if (table[0] == 0 && table[1] == bit) {
            snprintf(ret, size, "%.*s", (int)QCOW2_FEATURE_NAME_SIZE, (const char *)table + 2);
            for (char *c = ret; *c; c++)
                *c = (unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e ? '?' : *c;
        }
    }
}

struct extensions {
    const uint8_t *names;
    uint32_t names_len;
    bool encrypted;
};

static void read_extension(struct qcow2 *q, uint32_t type, const uint8_t *data, uint32_t len,
                           struct extensions *x)
{
    if (type == (uint32_t)QCOW2_EXT_BACKING_FORMAT) {
        memset(q->info.backing_format, 0, sizeof(q->info.backing_format));
        memcpy(q->info.backing_format, data, MIN(len, QCOW2_FORMAT_NAME_MAX));
    } else if (type == QCOW2_EXT_FEATURE_NAMES) {
        x->names = data;
        x->names_len = len;
    } else if (type == QCOW2_EXT_BITMAPS && len >= 4) {
        q->info.bitmaps = load_be32(data);
    } else if (type == QCOW2_EXT_ENCRYPTION) {
        x->encrypted = true;
    }
}

static int read_extensions(struct qcow2 *q, const struct header *h, struct extensions *x,
                           struct vz_error *err)
{
    uint64_t end = MIN(q->cluster_size, (uint64_t)HEADER_READ), at = q->header_length;

    if (load_be64(h->data + QCOW2_H_BACKING_OFFSET))
        end = MIN(end, load_be64(h->data + QCOW2_H_BACKING_OFFSET));
    while (at + QCOW2_EXT_HEAD <= end) {
        uint32_t type = load_be32(h->data + at), len = load_be32(h->data + at + 4);

        at += QCOW2_EXT_HEAD;
        if (type == QCOW2_EXT_END)
            return 0;
        if (len > end - at)
            return bad(q, err, "a header extension does not fit into the header");
        read_extension(q, type, h->data + at, len, x);
        at += align_up(len, 8);
    }
    return 0;
}

static int read_backing(struct qcow2 *q, const struct header *h, struct vz_error *err)
{
    uint64_t offset = load_be64(h->data + QCOW2_H_BACKING_OFFSET);
    uint32_t len = load_be32(h->data + QCOW2_H_BACKING_SIZE);
    int r;

    if (!offset || !len)
        return 0;
    /* Elsewhere it could lie in a cluster that the guest writes to. */
    if (len > QCOW2_NAME_MAX || offset < q->header_length || !range_fits(offset, len, q->cluster_size))
        return bad(q, err, "the name of its backing file is not in the header");
    r = qcow2_pread(q, q->info.backing, len, offset);
    if (r < 0)
        return failed(q, err, r);
    if (strlen(q->info.backing) != len)
        return bad(q, err, "the name of its backing file");
    return 0;
}

/* ---- Header --------------------------------------------------------------------------------- */

static int read_v3(struct qcow2 *q, struct header *h, struct vz_error *err)
{
    q->incompatible = load_be64(h->data + QCOW2_H_INCOMPATIBLE);
    h->autoclear = load_be64(h->data + QCOW2_H_AUTOCLEAR);
    q->info.lazy_refcounts = load_be64(h->data + QCOW2_H_COMPATIBLE) & QCOW2_COMPAT_LAZY_REFCOUNTS;
    q->refcount_order = load_be32(h->data + QCOW2_H_REFCOUNT_ORDER);
    q->header_length = load_be32(h->data + QCOW2_H_LENGTH);
    q->info.dirty = q->incompatible & QCOW2_INCOMPAT_DIRTY;
    q->info.corrupt = q->incompatible & QCOW2_INCOMPAT_CORRUPT;
    q->info.extended_l2 = q->incompatible & QCOW2_INCOMPAT_EXTENDED_L2;
    if (q->refcount_order > QCOW2_REFCOUNT_ORDER_MAX)
        return bad(q, err, "the width of its refcounts");
    if (q->header_length < QCOW2_H_V3_LENGTH || q->header_length % 8 ||
        q->header_length > q->cluster_size || q->header_length > HEADER_READ)
        return bad(q, err, "the length of its header");
    if (q->header_length > QCOW2_H_COMPRESSION && (q->incompatible & QCOW2_INCOMPAT_COMPRESSION))
        q->info.compression = h->data[QCOW2_H_COMPRESSION];
    if (q->info.compression > QCOW2_ZSTD)
        return unsupported(q, err, "its way of compression");
    return 0;
}

static int read_header(struct qcow2 *q, struct header *h, struct vz_error *err)
{
    int r = qcow2_pread(q, h->data, sizeof(h->data), 0);

    if (r < 0)
        return failed(q, err, r);
    if (load_be32(h->data) != QCOW2_MAGIC)
        return error_set(err, EINVAL, VZ_ERROR_INVALID_DISK_IMAGE, "%s: is not a qcow2 image", q->name);
    q->info.version = load_be32(h->data + QCOW2_H_VERSION);
    if (q->info.version < 2 || q->info.version > 3)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "%s: is a qcow2 image of version %u; versions 2 and 3 are supported",
                         q->name, q->info.version);
    q->cluster_bits = load_be32(h->data + QCOW2_H_CLUSTER_BITS);
    if (q->cluster_bits < QCOW2_CLUSTER_BITS_MIN || q->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
        return bad(q, err, "the size of its clusters");
    q->cluster_size = BIT(q->cluster_bits);
    q->header_length = QCOW2_H_V2_LENGTH;
    q->refcount_order = 4;
    return q->info.version == 3 ? read_v3(q, h, err) : 0;
}

static int check_features(struct qcow2 *q, const struct extensions *x, uint32_t crypt,
                          struct vz_error *err)
{
    uint64_t unknown = q->incompatible &
                       ~(QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT | QCOW2_INCOMPAT_DATA_FILE |
                         QCOW2_INCOMPAT_COMPRESSION | QCOW2_INCOMPAT_EXTENDED_L2);
    char name[QCOW2_FEATURE_NAME_SIZE + 1];

    if (unknown) {
        name_feature(x->names, x->names_len, (unsigned)__builtin_ctzll(unknown), name, sizeof(name));
        return unsupported(q, err, name);
    }
    if (crypt || x->encrypted)
        return unsupported(q, err, crypt == QCOW2_CRYPT_AES ? "encryption (AES)"
                                                            : "encryption (LUKS)");
    if (q->incompatible & QCOW2_INCOMPAT_DATA_FILE)
        return unsupported(q, err, "its data in another file");
    if (q->info.extended_l2 && q->cluster_bits < 14)
        return bad(q, err, "extended L2 entries with clusters below 16 KiB");
    return 0;
}

static int check_state(struct qcow2 *q, enum qcow2_open_mode mode, struct vz_error *err)
{
    if (q->read_only || mode == QCOW2_INSPECT)
        return 0;
    if (q->info.corrupt)
        return error_set(err, EINVAL, VZ_ERROR_INVALID_DISK_IMAGE,
                         "%s: is marked as damaged: it can be read (ro), or repaired", q->name);
    if (q->info.bitmaps)
        return unsupported(q, err, "persistent bitmaps (it can be read: ro)");
    return 0;
}

static void derive(struct qcow2 *q)
{
    q->entry_shift = q->info.extended_l2 ? 4 : 3;
    q->l2_bits = q->cluster_bits - q->entry_shift;
    q->unit_bits = q->info.extended_l2 ? q->cluster_bits - 5 : q->cluster_bits;
    q->slice_size = (unsigned)MIN(q->cluster_size, (uint64_t)QCOW2_SLICE_MAX);
    q->info.cluster_bits = q->cluster_bits;
    q->info.refcount_bits = 1u << q->refcount_order;
    qcow2_cache_init(&q->l2, (unsigned)(L2_CACHE_BYTES / q->slice_size));
    qcow2_cache_init(&q->refs, (unsigned)(REFS_CACHE_BYTES / q->slice_size));
}

/* ---- Tables --------------------------------------------------------------------------------- */

static bool is_table_place(const struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
    return offset && !(offset & (q->cluster_size - 1)) && offset <= QCOW2_FILE_MAX &&
           bytes <= QCOW2_FILE_MAX;
}

/* Its entries, as numbers of this machine. */
static int read_table(const struct qcow2 *q, uint64_t offset, uint64_t entries, uint64_t **ret)
{
    uint64_t *table = calloc(entries + 1, sizeof(*table));
    int r = table ? qcow2_pread(q, table, entries * 8, offset) : -ENOMEM;

    if (r < 0) {
        free(table);
        return r;
    }
    for (uint64_t i = 0; i < entries; i++)
        table[i] = load_be64(&table[i]);
    *ret = table;
    return 0;
}

static int add_tables(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
    int r = 0;

    for (uint64_t i = 0; !r && i < qcow2_clusters(q, bytes); i++)
        r = qcow2_set_add(&q->tables, (offset >> q->cluster_bits) + i);
    return r;
}

static int add_l2_tables(struct qcow2 *q, const uint64_t *l1, uint64_t entries, struct vz_error *err)
{
    for (uint64_t i = 0; i < entries; i++) {
        uint64_t offset = l1[i] & QCOW2_OFFSET_MASK;
        int r;

        if (!l1[i])
            continue;
        if ((l1[i] & QCOW2_L1_RESERVED) || !is_table_place(q, offset, 0))
            return bad(q, err, "an entry of its L1 table");
        r = add_tables(q, offset, 1);
        if (r < 0)
            return failed(q, err, r);
    }
    return 0;
}

static int read_l1(struct qcow2 *q, const struct header *h, struct vz_error *err)
{
    uint64_t covers, wanted;
    int r;

    q->info.size = load_be64(h->data + QCOW2_H_SIZE);
    q->l1_size = load_be32(h->data + QCOW2_H_L1_SIZE);
    q->l1_offset = load_be64(h->data + QCOW2_H_L1_OFFSET);
    if (!q->info.size || q->info.size % QCOW2_SECTOR || q->info.size > (uint64_t)INT64_MAX)
        return bad(q, err, "the size of its disk");
    covers = BIT(q->cluster_bits + q->l2_bits);
    wanted = (q->info.size - 1) / covers + 1;
    if (q->l1_size < wanted || q->l1_size > QCOW2_L1_BYTES_MAX / 8 ||
        !is_table_place(q, q->l1_offset, q->l1_size * UINT64_C(8)))
        return bad(q, err, "its L1 table");
    r = read_table(q, q->l1_offset, q->l1_size, &q->l1);
    if (!r)
        r = add_tables(q, q->l1_offset, q->l1_size * UINT64_C(8));
    if (r < 0)
        return failed(q, err, r);
    return add_l2_tables(q, q->l1, q->l1_size, err);
}

static int read_refcounts(struct qcow2 *q, const struct header *h, struct vz_error *err)
{
    uint64_t bytes = (uint64_t)load_be32(h->data + QCOW2_H_REFTABLE_CLUSTERS) << q->cluster_bits;
    int r;

    q->reftable_offset = load_be64(h->data + QCOW2_H_REFTABLE_OFFSET);
    q->reftable_size = bytes / 8;
    if (!bytes || bytes > QCOW2_REFTABLE_MAX || !is_table_place(q, q->reftable_offset, bytes))
        return bad(q, err, "its refcount table");
    r = read_table(q, q->reftable_offset, q->reftable_size, &q->reftable);
    if (!r)
        r = add_tables(q, q->reftable_offset, bytes);
    for (uint64_t i = 0; !r && i < q->reftable_size; i++) {
        if (!q->reftable[i])
            continue;
        if (!is_table_place(q, q->reftable[i], 0) ||
            qcow2_set_has(&q->tables, q->reftable[i] >> q->cluster_bits))
            return bad(q, err, "an entry of its refcount table");
        r = add_tables(q, q->reftable[i], 1);
    }
    return r < 0 ? failed(q, err, r) : 0;
}

/* ---- Snapshots: nobody reads them here, but their tables are not to be written over ---------- */

static int add_snapshot(struct qcow2 *q, const uint8_t *head, struct vz_error *err)
{
    uint64_t offset = load_be64(head + QCOW2_S_L1_OFFSET), size = load_be32(head + QCOW2_S_L1_SIZE);
    uint64_t *l1;
    int r;

    if (!size)
        return 0;
    if (size > QCOW2_L1_BYTES_MAX / 8 || !is_table_place(q, offset, size * 8))
        return bad(q, err, "a snapshot's L1 table");
    r = read_table(q, offset, size, &l1);
    if (!r)
        r = add_tables(q, offset, size * 8);
    if (r < 0)
        return failed(q, err, r);
    r = add_l2_tables(q, l1, size, err);
    free(l1);
    return r;
}

static int read_snapshots(struct qcow2 *q, const struct header *h, struct vz_error *err)
{
    uint64_t at = load_be64(h->data + QCOW2_H_SNAPSHOTS_OFFSET), start = at, l1_bytes = 0;
    int r = 0;

    q->info.snapshots = load_be32(h->data + QCOW2_H_SNAPSHOTS);
    q->snapshots_offset = at;
    if (!q->info.snapshots)
        return 0;
    if (q->info.snapshots > QCOW2_SNAPSHOTS_MAX || !is_table_place(q, at, 0))
        return bad(q, err, "its table of snapshots");
    for (unsigned i = 0; !r && i < q->info.snapshots; i++) {
        uint8_t head[QCOW2_S_LENGTH];

        r = qcow2_pread(q, head, sizeof(head), at);
        if (r < 0)
            return failed(q, err, r);
        at += QCOW2_S_LENGTH + (uint64_t)load_be32(head + QCOW2_S_EXTRA_SIZE) +
              load_be16(head + QCOW2_S_ID_SIZE) + load_be16(head + QCOW2_S_NAME_SIZE);
        at = align_up(at, 8);
        l1_bytes += 8 * (uint64_t)load_be32(head + QCOW2_S_L1_SIZE);
        if (at - start > QCOW2_SNAPSHOT_TABLE_MAX || l1_bytes > QCOW2_SNAPSHOT_L1_MAX)
            return bad(q, err, "its table of snapshots");
        r = add_snapshot(q, head, err);
    }
    q->snapshot_table_size = (uint32_t)(at - start);
    if (!r && add_tables(q, start, at - start) < 0)
        r = failed(q, err, -ENOMEM);
    return r;
}

/* ---- Open and close ------------------------------------------------------------------------- */

static int read_all(struct qcow2 *q, enum qcow2_open_mode mode, struct vz_error *err)
{
    struct extensions x = {0};
    struct header h;
    uint64_t file_size;
    int r = read_header(q, &h, err);

    if (!r)
        r = read_extensions(q, &h, &x, err);
    if (!r)
        r = check_features(q, &x, load_be32(h.data + QCOW2_H_CRYPT), err);
    if (!r)
        r = check_state(q, mode, err);
    if (r < 0)
        return r;
    derive(q);
    if (qcow2_unpacker_create(q, &q->unpacker) < 0 || add_tables(q, 0, 1) < 0)
        return failed(q, err, -ENOMEM);
    r = read_backing(q, &h, err);
    if (!r)
        r = read_l1(q, &h, err);
    if (!r)
        r = read_snapshots(q, &h, err);
    if (!r && (!q->read_only || mode == QCOW2_INSPECT))
        r = read_refcounts(q, &h, err);
    if (!r && (r = blk_image_size(q->image, &file_size)) < 0)
        return failed(q, err, r);
    q->fresh_from = r ? 0 : align_up(file_size + q->cluster_size, q->cluster_size);
    return r;
}

static int repair(struct qcow2 *q, struct vz_error *err)
{
    struct qcow2_check c = {0};
    int r = qcow2_check(q, true, &c);

    if (r < 0)
        return failed(q, err, r);
    if (c.errors + c.leaks > c.repaired)
        return bad(q, err, "it was not closed, and cannot be repaired");
    return 0;
}

static void dispose(struct qcow2 *q)
{
    qcow2_cache_fini(&q->l2);
    qcow2_cache_fini(&q->refs);
    qcow2_unpacker_destroy(q->unpacker);
    pthread_cond_destroy(&q->changed);
    pthread_mutex_destroy(&q->lock);
    pthread_mutex_destroy(&q->flush_lock);
    free(q->freed.range);
    free(q->resting.range);
    free(q->tables.slot);
    free(q->reftable);
    free(q->l1);
    free(q->name);
    free(q);
}

int qcow2_open(const struct blk_image *image, const char *name, enum qcow2_open_mode mode,
               struct qcow2 **ret, struct vz_error *err)
{
    struct qcow2 *q = calloc(1, sizeof(*q));
    int r;

    if (!q || !(q->name = strdup(name))) {
        free(q);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    q->image = image;
    q->read_only = image->read_only;
    LIST_INIT(&q->busy);
    TAILQ_INIT(&q->l2.used);
    TAILQ_INIT(&q->refs.used);
    pthread_mutex_init(&q->flush_lock, NULL);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->changed, NULL);
    r = read_all(q, mode, err);
    if (!r && mode == QCOW2_USE && !q->read_only && q->info.dirty)
        r = repair(q, err);
    if (r < 0) {
        dispose(q);
        return r;
    }
    *ret = q;
    return 0;
}

/* Refcounts that were lazy, or of clusters freed last, are still to be written. */
static int close_clean(struct qcow2 *q)
{
    uint64_t clean = q->stays_dirty ? q->incompatible : q->incompatible & ~QCOW2_INCOMPAT_DIRTY;
    int r = q->rests ? 0 : qcow2_flush(q);

    if (!r && qcow2_is_dirty(q)) /* what is freed waits for a flush more */
        r = qcow2_flush(q);
    if (!r && q->refs.dirty) {
        r = qcow2_cache_write(q, &q->refs);
        if (!r)
            r = qcow2_sync(q);
    }
    if (!r && q->info.version >= 3)
        r = qcow2_write_be64(q, clean, QCOW2_H_INCOMPATIBLE);
    return r || q->rests ? r : qcow2_sync(q);
}

void qcow2_rest(struct qcow2 *q)
{
    q->rests = true;
}

int qcow2_close(struct qcow2 *q)
{
    int r = 0;

    if (!q)
        return 0;
    if (q->marked && !q->broken)
        r = close_clean(q);
    dispose(q);
    return r;
}

const struct qcow2_info *qcow2_info(const struct qcow2 *q)
{
    return &q->info;
}

void qcow2_set_layer(struct qcow2 *q, struct disk_layer *l)
{
    q->layer = l;
}
