/* SPDX-License-Identifier: MIT */
/* Compressed clusters: see qcow2_impl.h. The last few are kept, since guests read by pages what was
 * packed by clusters. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "block/qcow2_impl.h"

#define KEPT 8u

struct kept {
    uint64_t entry;  /* 0: none */
    uint64_t used;
    uint8_t *data;   /* of a cluster */
};

struct qcow2_unpacker {
    pthread_mutex_t lock; /* a leaf; guards all of it */
    struct kept kept[KEPT];
    uint64_t clock;
    uint8_t *packed;      /* as long as it can be */
    ZSTD_DCtx *zstd;
};

static uint64_t packed_max(const struct qcow2 *q)
{
    return q->cluster_size * 2 + QCOW2_SECTOR; /* the number of sectors has cluster_bits - 8 bits */
}

int qcow2_unpacker_create(const struct qcow2 *q, struct qcow2_unpacker **ret)
{
    struct qcow2_unpacker *u = calloc(1, sizeof(*u));

    if (!u)
        return -ENOMEM;
    pthread_mutex_init(&u->lock, NULL);
    *ret = u;
    return 0;
}

void qcow2_unpacker_destroy(struct qcow2_unpacker *u)
{
    if (!u)
        return;
    for (unsigned i = 0; i < KEPT; i++)
        free(u->kept[i].data);
    ZSTD_freeDCtx(u->zstd);
    free(u->packed);
    pthread_mutex_destroy(&u->lock);
    free(u);
}

/* The data may be followed by anything up to the end of its last sector. */
static int inflate_cluster(const struct qcow2 *q, const uint8_t *packed, uint64_t len, uint8_t *ret)
{
    z_stream z = {.next_in = (uint8_t *)packed, .avail_in = (uInt)len, .next_out = ret,
                  .avail_out = (uInt)q->cluster_size};
    int r;

    if (inflateInit2(&z, -QCOW2_DEFLATE_WINDOW) != Z_OK)
        return -ENOMEM;
    r = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    /* Z_BUF_ERROR: all of the cluster is there, but not the end of the stream. */
    return (r == Z_STREAM_END || r == Z_BUF_ERROR) && !z.avail_out ? 0 : -EIO;
}

static int unzstd_cluster(struct qcow2_unpacker *u, const struct qcow2 *q, uint64_t len, uint8_t *ret)
{
    ZSTD_inBuffer in = {u->packed, len, 0};
    ZSTD_outBuffer out = {ret, q->cluster_size, 0};

    if (!u->zstd && !(u->zstd = ZSTD_createDCtx()))
        return -ENOMEM;
    ZSTD_DCtx_reset(u->zstd, ZSTD_reset_session_only);
    while (out.pos < out.size) {
        size_t in_was = in.pos, out_was = out.pos;

        if (ZSTD_isError(ZSTD_decompressStream(u->zstd, &out, &in)) ||
            (in.pos == in_was && out.pos == out_was))
            return -EIO;
    }
    return 0;
}

static int unpack(struct qcow2_unpacker *u, struct qcow2 *q, uint64_t entry, uint8_t *ret)
{
    uint64_t offset, len;
    int r;

    qcow2_compressed_range(q, entry, &offset, &len);
    if (len > packed_max(q) || offset > QCOW2_FILE_MAX)
        return -EIO;
    if (!u->packed && !(u->packed = malloc(packed_max(q))))
        return -ENOMEM;
    r = qcow2_pread(q, u->packed, len, offset);
    if (r < 0)
        return r;
    return q->info.compression == QCOW2_ZSTD ? unzstd_cluster(u, q, len, ret)
                                             : inflate_cluster(q, u->packed, len, ret);
}

static struct kept *find(struct qcow2_unpacker *u, uint64_t entry)
{
    struct kept *oldest = &u->kept[0];

    for (unsigned i = 0; i < KEPT; i++) {
        if (u->kept[i].entry == entry)
            return &u->kept[i];
        if (u->kept[i].used < oldest->used)
            oldest = &u->kept[i];
    }
    oldest->entry = 0;
    return oldest;
}

static int get(struct qcow2_unpacker *u, struct qcow2 *q, uint64_t entry, struct kept **ret)
{
    struct kept *k = find(u, entry);
    int r = 0;

    k->used = ++u->clock;
    *ret = k;
    if (k->entry)
        return 0;
    if (!k->data && !(k->data = malloc(q->cluster_size)))
        return -ENOMEM;
    r = unpack(u, q, entry, k->data);
    if (!r)
        k->entry = entry;
    return r;
}

/* What an entry stands for never changes while the image is open: nobody packs clusters then. */
int qcow2_read_compressed(struct qcow2 *q, const struct qcow2_run *run, uint64_t offset, void *buf,
                          uint64_t len)
{
    struct qcow2_unpacker *u = q->unpacker;
    uint64_t inside = offset & (q->cluster_size - 1);
    struct kept *k;
    int r;

    if (len > q->cluster_size - inside)
        return -EINVAL;
    pthread_mutex_lock(&u->lock);
    r = get(u, q, run->host, &k);
    if (!r)
        memcpy(buf, k->data + inside, len);
    pthread_mutex_unlock(&u->lock);
    return r;
}
