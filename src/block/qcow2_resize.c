/* SPDX-License-Identifier: MIT */
/* Changes of a qcow2 image's header: the size of its disk, the name of its backing file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2_impl.h"

static int failed(const struct qcow2 *q, int r, struct vz_error *err)
{
    return error_set(err, -r, VZ_ERROR_IO, "%s: %s", q->name, strerror(-r));
}

/* A longer L1 table elsewhere, before the header names it. */
static int grow_l1_locked(struct qcow2 *q, uint64_t entries)
{
    uint64_t first, clusters = qcow2_clusters(q, entries * 8), old = q->l1_offset;
    uint64_t old_clusters = qcow2_clusters(q, q->l1_size * UINT64_C(8));
    uint64_t *l1 = calloc(entries, sizeof(*l1));
    uint8_t *data = calloc(clusters, q->cluster_size), head[12];
    int r = l1 && data ? qcow2_begin_change_locked(q) : -ENOMEM;

    if (!r)
        r = qcow2_alloc_row_locked(q, clusters, &first);
    if (r < 0)
        goto out;
    memcpy(l1, q->l1, q->l1_size * sizeof(*l1));
    for (uint64_t i = 0; i < q->l1_size; i++)
        store_be64(data + i * 8, l1[i]);
    store_be32(head, (uint32_t)entries);
    store_be64(head + 4, first << q->cluster_bits);
    r = qcow2_pwrite(q, data, clusters << q->cluster_bits, first << q->cluster_bits);
    if (!r)
        r = qcow2_cache_write(q, &q->refs);
    if (!r)
        r = qcow2_sync(q);
    if (!r)
        r = qcow2_pwrite(q, head, sizeof(head), QCOW2_H_L1_SIZE);
    if (!r)
        r = qcow2_sync(q);
    if (r < 0) {
        qcow2_unalloc_locked(q, first, clusters);
        goto out;
    }
    free(q->l1);
    q->l1 = l1;
    l1 = NULL;
    q->l1_size = (uint32_t)entries;
    q->l1_offset = first << q->cluster_bits;
    qcow2_add_table_locked(q, first, clusters);
    qcow2_free_locked(q, old >> q->cluster_bits, old_clusters);
out:
    free(l1);
    free(data);
    return r;
}

static int write_size(struct qcow2 *q, uint64_t size)
{
    int r;

    pthread_mutex_lock(&q->lock);
    r = qcow2_begin_change_locked(q);
    pthread_mutex_unlock(&q->lock);
    if (!r)
        r = qcow2_write_be64(q, size, QCOW2_H_SIZE);
    if (!r)
        r = qcow2_sync(q);
    if (!r)
        q->info.size = q->layer->size = size;
    return r;
}

/* What a longer layer below has behind the old end must not come to light. */
static int grow(struct qcow2 *q, uint64_t size)
{
    uint64_t old = q->info.size, entries = (size - 1) / BIT(q->cluster_bits + q->l2_bits) + 1;
    uint64_t below = q->layer->below ? q->layer->below->size : 0;
    int r = qcow2_flush(q);

    pthread_mutex_lock(&q->lock);
    if (!r && entries > q->l1_size)
        r = grow_l1_locked(q, entries);
    pthread_mutex_unlock(&q->lock);
    if (!r && below > old) {
        q->info.size = q->layer->size = size;
        r = qcow2_zero(q, old, MIN(size, below) - old, true);
        if (!r)
            r = qcow2_flush(q);
        q->info.size = q->layer->size = old;
    }
    return r < 0 ? r : write_size(q, size);
}

static int shrink_to(struct qcow2 *q, uint64_t size)
{
    int r = qcow2_zero(q, size, q->info.size - size, true);

    if (!r)
        r = write_size(q, size);
    return r < 0 ? r : qcow2_flush(q);
}

int qcow2_resize(struct qcow2 *q, uint64_t size, bool shrink, struct vz_error *err)
{
    uint64_t per_l1 = BIT(q->cluster_bits + q->l2_bits);
    int r;

    if (!size || size % QCOW2_SECTOR || (size - 1) / per_l1 + 1 > QCOW2_L1_BYTES_MAX / 8)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: cannot have a disk of %llu bytes",
                         q->name, (unsigned long long)size);
    if (size < q->info.size && !shrink)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: would lose its end", q->name);
    if (q->info.snapshots && (size < q->info.size || q->info.version < 3))
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "%s: has snapshots, which go with its size", q->name);
    if (size == q->info.size)
        return 0;
    r = size > q->info.size ? grow(q, size) : shrink_to(q, size);
    return r < 0 ? failed(q, r, err) : 0;
}

/* ---- Backing file --------------------------------------------------------------------------- */

struct new_header {
    uint8_t *data;
    uint64_t at, size;
    bool full;
};

static void put_extension(struct new_header *h, uint32_t type, const void *data, uint32_t len)
{
    uint64_t room = QCOW2_EXT_HEAD + align_up(len, 8);

    if (h->full || room > h->size - h->at) {
        h->full = true;
        return;
    }
    store_be32(h->data + h->at, type);
    store_be32(h->data + h->at + 4, len);
    if (len)
        memcpy(h->data + h->at + QCOW2_EXT_HEAD, data, len);
    h->at += room;
}

/* All extensions but the backing format are taken over. */
static void take_extensions(struct new_header *h, const uint8_t *old, uint64_t at, uint64_t end)
{
    while (at + QCOW2_EXT_HEAD <= end) {
        uint32_t type = load_be32(old + at), len = load_be32(old + at + 4);

        at += QCOW2_EXT_HEAD;
        if (type == QCOW2_EXT_END || len > end - at)
            return;
        if (type != (uint32_t)QCOW2_EXT_BACKING_FORMAT)
            put_extension(h, type, old + at, len);
        at += align_up(len, 8);
    }
}

static int rename_backing(struct qcow2 *q, const uint8_t *old, struct new_header *h,
                          const char *name, const char *format)
{
    uint64_t old_name = load_be64(old + QCOW2_H_BACKING_OFFSET);
    size_t len = name ? strlen(name) : 0;

    memcpy(h->data, old, q->header_length);
    h->at = q->header_length;
    if (name)
        put_extension(h, (uint32_t)QCOW2_EXT_BACKING_FORMAT, format, (uint32_t)strlen(format));
    take_extensions(h, old, q->header_length,
                    old_name ? MIN(old_name, q->cluster_size) : q->cluster_size);
    put_extension(h, QCOW2_EXT_END, NULL, 0);
    if (h->full || len > h->size - h->at)
        return -ENOSPC;
    if (len)
        memcpy(h->data + h->at, name, len);
    store_be64(h->data + QCOW2_H_BACKING_OFFSET, len ? h->at : 0);
    store_be32(h->data + QCOW2_H_BACKING_SIZE, (uint32_t)len);
    return qcow2_pwrite(q, h->data, q->cluster_size, 0);
}

int qcow2_set_backing(struct qcow2 *q, const char *name, const char *format)
{
    struct new_header h = {.data = calloc(1, q->cluster_size), .size = q->cluster_size};
    uint8_t *old = malloc(q->cluster_size);
    int r = h.data && old ? qcow2_flush(q) : -ENOMEM;

    pthread_mutex_lock(&q->lock);
    if (!r)
        r = qcow2_begin_change_locked(q);
    if (!r)
        r = qcow2_pread(q, old, q->cluster_size, 0);
    if (!r)
        r = rename_backing(q, old, &h, name, format);
    if (!r)
        r = qcow2_sync(q);
    pthread_mutex_unlock(&q->lock);
    free(h.data);
    free(old);
    return r;
}
