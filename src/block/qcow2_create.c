/* SPDX-License-Identifier: MIT */
/* Making qcow2 images: see qcow2.h. The layout is header, refcount table, refcount blocks, L1
 * table; the L1 table is a hole. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/qcow2_impl.h"

#define HOLE 4096u /* zeroes of this size are not written */

struct layout {
    struct qcow2_create_options o;
    uint64_t cluster_size, l1_entries;
    uint64_t table, blocks, l1; /* clusters of each */
    unsigned order;
};

static const struct {
    uint8_t kind, bit;
    const char *name;
} features[] = {{0, 0, "dirty bit"},          {0, 1, "corrupt bit"},
                {0, 2, "external data file"}, {0, 3, "compression type"},
                {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"}};

static int refuse(struct vz_error *err, const char *text)
{
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s", text);
}

static int check_options(const struct qcow2_create_options *o, struct vz_error *err)
{
    if (!o->size || o->size % QCOW2_SECTOR)
        return refuse(err, "the size of a disk is a multiple of 512 bytes");
    if (o->version < 2 || o->version > 3)
        return refuse(err, "qcow2 has versions 2 and 3");
    if (o->cluster_bits < QCOW2_CLUSTER_BITS_MIN || o->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
        return refuse(err, "clusters have 512 bytes to 2 MiB, a power of two");
    if (!is_power_of_two(o->refcount_bits) || o->refcount_bits > 64)
        return refuse(err, "refcounts have 1 to 64 bits, a power of two");
    if (o->version == 2 && (o->refcount_bits != 16 || o->extended_l2 || o->lazy_refcounts ||
                            o->compression != QCOW2_DEFLATE))
        return refuse(err, "qcow2 version 2 has only 16 bit refcounts, deflate and no extended L2");
    if (o->extended_l2 && o->cluster_bits < 14)
        return refuse(err, "extended L2 entries need clusters of 16 KiB at least");
    if (o->backing && strlen(o->backing) > QCOW2_NAME_MAX)
        return refuse(err, "the name of a backing file has up to 1023 bytes");
    return 0;
}

static int plan(struct layout *l, struct vz_error *err)
{
    const struct qcow2_create_options *o = &l->o;
    unsigned l2_bits = o->cluster_bits - (o->extended_l2 ? 4 : 3);
    uint64_t per_block, total;

    l->cluster_size = BIT(o->cluster_bits);
    l->order = (unsigned)__builtin_ctz(o->refcount_bits);
    l->l1_entries = (o->size - 1) / BIT(l2_bits + o->cluster_bits) + 1;
    if (l->l1_entries * 8 > QCOW2_L1_BYTES_MAX)
        return refuse(err, "clusters of this size are too small for a disk of this size");
    l->l1 = (l->l1_entries * 8 - 1) / l->cluster_size + 1;
    per_block = l->cluster_size * 8 >> l->order;
    for (l->blocks = 1;; l->blocks++) {
        l->table = (l->blocks * 8 - 1) / l->cluster_size + 1;
        total = 1 + l->table + l->blocks + l->l1;
        if (l->blocks * per_block >= total)
            return 0;
    }
}

/* ---- The header ----------------------------------------------------------------------------- */

static uint8_t *add_extension(uint8_t *p, uint32_t type, const void *data, size_t len)
{
    store_be32(p, type);
    store_be32(p + 4, (uint32_t)len);
    if (len)
        memcpy(p + QCOW2_EXT_HEAD, data, len);
    return p + QCOW2_EXT_HEAD + align_up(len, 8);
}

static uint8_t *add_feature_names(uint8_t *p)
{
    uint8_t table[ARRAY_SIZE(features) * QCOW2_FEATURE_ENTRY] = {0};

    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        uint8_t *entry = table + i * QCOW2_FEATURE_ENTRY;

        entry[0] = features[i].kind;
        entry[1] = features[i].bit;
        memcpy(entry + 2, features[i].name, strlen(features[i].name));
    }
    return add_extension(p, QCOW2_EXT_FEATURE_NAMES, table, sizeof(table));
}

static void fill_v3(uint8_t *h, const struct layout *l)
{
    uint64_t incompatible = l->o.extended_l2 ? QCOW2_INCOMPAT_EXTENDED_L2 : 0;

    if (l->o.compression != QCOW2_DEFLATE)
        incompatible |= QCOW2_INCOMPAT_COMPRESSION;
    store_be64(h + QCOW2_H_INCOMPATIBLE, incompatible);
    store_be64(h + QCOW2_H_COMPATIBLE, l->o.lazy_refcounts ? QCOW2_COMPAT_LAZY_REFCOUNTS : 0);
    store_be32(h + QCOW2_H_REFCOUNT_ORDER, l->order);
    store_be32(h + QCOW2_H_LENGTH, QCOW2_H_FULL_LENGTH);
    h[QCOW2_H_COMPRESSION] = (uint8_t)l->o.compression;
}

/* false: the name has no room in a cluster. */
static bool fill_extensions(uint8_t *h, const struct layout *l)
{
    const struct qcow2_create_options *o = &l->o;
    size_t name = o->backing ? strlen(o->backing) : 0;
    uint8_t *p = h + (o->version == 3 ? QCOW2_H_FULL_LENGTH : QCOW2_H_V2_LENGTH);

    if (o->backing)
        p = add_extension(p, (uint32_t)QCOW2_EXT_BACKING_FORMAT, o->backing_format,
                          strlen(o->backing_format));
    if (o->version == 3 && l->cluster_size > QCOW2_SECTOR)
        p = add_feature_names(p);
    p = add_extension(p, QCOW2_EXT_END, NULL, 0);
    if ((uint64_t)(p - h) + name > l->cluster_size)
        return false;
    if (name) {
        memcpy(p, o->backing, name);
        store_be64(h + QCOW2_H_BACKING_OFFSET, (uint64_t)(p - h));
        store_be32(h + QCOW2_H_BACKING_SIZE, (uint32_t)name);
    }
    return true;
}

static bool fill_header(uint8_t *h, const struct layout *l)
{
    store_be32(h + QCOW2_H_MAGIC, QCOW2_MAGIC);
    store_be32(h + QCOW2_H_VERSION, l->o.version);
    store_be32(h + QCOW2_H_CLUSTER_BITS, l->o.cluster_bits);
    store_be64(h + QCOW2_H_SIZE, l->o.size);
    store_be32(h + QCOW2_H_L1_SIZE, (uint32_t)l->l1_entries);
    store_be64(h + QCOW2_H_L1_OFFSET, (1 + l->table + l->blocks) * l->cluster_size);
    store_be64(h + QCOW2_H_REFTABLE_OFFSET, l->cluster_size);
    store_be32(h + QCOW2_H_REFTABLE_CLUSTERS, (uint32_t)l->table);
    if (l->o.version == 3)
        fill_v3(h, l);
    return fill_extensions(h, l);
}

/* ---- The file ------------------------------------------------------------------------------- */

static bool is_zero(const uint8_t *p, size_t len)
{
    return !p[0] && !memcmp(p, p + 1, len - 1);
}

static int write_out(int fd, const struct layout *l, const uint8_t *data, uint64_t len)
{
    uint64_t end = (1 + l->table + l->blocks + l->l1) * l->cluster_size, done = 0;

    if (ftruncate(fd, (off_t)end) < 0)
        return -errno;
    while (done < len) {
        size_t part = MIN(len - done, (uint64_t)HOLE);
        ssize_t n = is_zero(data + done, part) ? (ssize_t)part : pwrite(fd, data + done, part, (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -EIO;
        done += (uint64_t)n;
    }
    return 0;
}

int qcow2_create(int fd, const struct qcow2_create_options *options, struct vz_error *err)
{
    struct layout l = {.o = *options};
    uint64_t len, total, per_block;
    uint8_t *data;
    int r;

    l.o.version = l.o.version ? l.o.version : 3;
    l.o.cluster_bits = l.o.cluster_bits ? l.o.cluster_bits : 16;
    l.o.refcount_bits = l.o.refcount_bits ? l.o.refcount_bits : 16;
    r = check_options(&l.o, err);
    if (!r)
        r = plan(&l, err);
    if (r < 0)
        return r;
    total = 1 + l.table + l.blocks + l.l1;
    per_block = l.cluster_size * 8 >> l.order;
    len = (1 + l.table + l.blocks) * l.cluster_size;
    data = calloc(1, MAX(len, UINT64_C(8192))); /* a header is checked after it was filled in */
    if (!data)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    for (uint64_t i = 0; i < l.blocks; i++)
        store_be64(data + l.cluster_size + i * 8, (1 + l.table + i) * l.cluster_size);
    for (uint64_t i = 0; i < total; i++)
        qcow2_ref_store(data + (1 + l.table + i / per_block) * l.cluster_size, l.order,
                        i % per_block, 1);
    if (!fill_header(data, &l))
        r = refuse(err, "the name of its backing file has no room in a cluster of this size");
    else if ((r = write_out(fd, &l, data, len)) < 0)
        error_set(err, -r, r == -ENOSPC ? VZ_ERROR_OUT_OF_DISK_SPACE : VZ_ERROR_IO, "%s", strerror(-r));
    free(data);
    return r;
}
