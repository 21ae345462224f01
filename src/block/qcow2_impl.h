/* SPDX-License-Identifier: MIT */
/* Among the files qcow2_*.c: an open image, its tables and its cache. See qcow2.h.
 *
 * Order on stable storage, which qcow2_flush() keeps: data, refcounts and new L2 tables as they were
 * made; then L2 entries and the L1 table; then the refcounts of what was freed. So a crash at any
 * moment leaves at worst clusters that nothing uses (and in images with lazy refcounts, refcounts
 * that are missing). Version 3 images are marked dirty from the first change on until they are
 * closed, and both is repaired when one that was left so is opened for writing. */
#ifndef VZ_BLOCK_QCOW2_IMPL_H
#define VZ_BLOCK_QCOW2_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "base/be.h"
#include "base/checked.h"
#include "base/error.h"
#include "block/blk_image.h"
#include "block/disk_layer.h"
#include "block/qcow2.h"

#define QCOW2_SLICE_MAX      4096u
#define QCOW2_L1_BYTES_MAX   (32 * MIB)
#define QCOW2_REFTABLE_MAX   (64 * MIB) /* bytes */
#define QCOW2_SNAPSHOTS_MAX  65536u
#define QCOW2_SNAPSHOT_TABLE_MAX (64 * MIB)
#define QCOW2_SNAPSHOT_L1_MAX (4 * GIB) /* of all of them: each is read, and many may name the same place */
#define QCOW2_FILE_MAX       ((uint64_t)INT64_MAX / 2)

/* ---- Pieces of tables in memory (qcow2_cache.c) --------------------------------------------- */

struct qcow2_slice {
    uint64_t offset;     /* in the file */
    bool dirty;
    bool busy;           /* its content is on the way to the file: must not be forgotten */
    struct qcow2_slice *next; /* in its bucket */
    TAILQ_ENTRY(qcow2_slice) link;
    uint8_t data[];
};
TAILQ_HEAD(qcow2_slices, qcow2_slice);

#define QCOW2_BUCKETS 1024u

struct qcow2_cache {
    unsigned count, max, dirty;
    struct qcow2_slices used; /* least recently first */
    struct qcow2_slice *bucket[QCOW2_BUCKETS];
};

/* ---- Sets of clusters (qcow2_clusters.c) ---------------------------------------------------- */

struct qcow2_set { /* of cluster numbers */
    uint64_t *slot;  /* number + 1; 0: free */
    size_t size, count;
};

struct qcow2_range {
    uint64_t first, count; /* clusters */
};
struct qcow2_ranges {
    struct qcow2_range *range;
    size_t count, room;
};

/* A write that has clusters which no table names yet: others that touch its part wait. */
struct qcow2_busy {
    uint64_t first, last; /* clusters of the disk */
    LIST_ENTRY(qcow2_busy) link;
};

struct qcow2 {
    /* Constant once open. */
    const struct blk_image *image;
    struct disk_layer *layer;
    char *name;
    bool read_only;
    unsigned cluster_bits, l2_bits, entry_shift, unit_bits; /* unit: a subcluster, or a cluster */
    unsigned slice_size, refcount_order;
    uint32_t header_length;
    uint64_t cluster_size;
    uint64_t snapshots_offset;
    uint32_t snapshot_table_size;

    struct qcow2_unpacker *unpacker; /* its own lock */

    pthread_mutex_t flush_lock; /* taken before lock: one flush at a time */
    pthread_mutex_t lock;       /* guards what follows; held over reads and writes of tables */
    pthread_cond_t changed;     /* a busy write ended */
    struct qcow2_info info;
    bool broken;                /* found to contradict itself while open: no more writing */
    bool marked;                /* dirty in the file */
    bool rests;                 /* qcow2_rest() */
    bool stays_dirty;           /* also when it is closed: it was, and could not be repaired */
    uint64_t incompatible;      /* as in the file */
    uint64_t *l1;
    uint32_t l1_size;
    uint64_t l1_offset;
    uint32_t l1_dirty_first, l1_dirty_end; /* entries to write */
    uint64_t *reftable;
    uint64_t reftable_size;     /* entries */
    uint64_t reftable_offset;
    struct qcow2_cache l2, refs;
    struct qcow2_set tables;    /* the clusters of tables and header */
    uint64_t free_hint;         /* no free cluster below */
    uint64_t fresh_from;        /* from here on the file was never written to, bytes */
    LIST_HEAD(, qcow2_busy) busy;
    struct qcow2_ranges freed;  /* since the last flush began */
    struct qcow2_ranges resting;/* freed, flushed, maybe still under way */
    unsigned turn;              /* accesses that begin now count in under_way[turn] */
    unsigned resting_turn;
    bool has_resting;
    atomic_uint under_way[2];
    bool data_unsynced;         /* new clusters since the last sync */
    bool flushing;              /* tables are on the way to the file */
};

/* ---- The file (qcow2_io.c) ------------------------------------------------------------------ */

int qcow2_pread(const struct qcow2 *q, void *buf, uint64_t len, uint64_t offset) must_check;
int qcow2_pwrite(const struct qcow2 *q, const void *buf, uint64_t len, uint64_t offset) must_check;
int qcow2_sync(const struct qcow2 *q) must_check;
void qcow2_punch(const struct qcow2 *q, uint64_t offset, uint64_t len);
int qcow2_write_be64(const struct qcow2 *q, uint64_t v, uint64_t offset) must_check;

/* Log what is wrong, stop writing, and say so in the file. Returns -EIO. */
int qcow2_corrupt_locked(struct qcow2 *q, const char *what, uint64_t offset);
/* Before the first change: the image is marked dirty, and unknown optional features are dropped. */
int qcow2_begin_change_locked(struct qcow2 *q) must_check;

/* ---- Cache ---------------------------------------------------------------------------------- */

void qcow2_cache_init(struct qcow2_cache *c, unsigned max);
void qcow2_cache_fini(struct qcow2_cache *c);
/* The slice at offset, from the file if need be. load NULL or a check of what was loaded. */
int qcow2_cache_get(struct qcow2 *q, struct qcow2_cache *c, uint64_t offset, bool cached_only,
                    struct qcow2_slice **ret) must_check;
void qcow2_cache_dirty(struct qcow2_cache *c, struct qcow2_slice *s);
int qcow2_cache_write(struct qcow2 *q, struct qcow2_cache *c) must_check; /* all dirty ones */
void qcow2_cache_forget(struct qcow2_cache *c, uint64_t offset, uint64_t len);

/* ---- Refcounts and allocation (qcow2_refs.c) ------------------------------------------------ */

uint64_t qcow2_ref_load(const uint8_t *data, unsigned order, uint64_t index);
void qcow2_ref_store(uint8_t *data, unsigned order, uint64_t index, uint64_t v);
/* Up to max clusters in a row, with refcount 1. */
int qcow2_alloc_locked(struct qcow2 *q, uint64_t max, uint64_t *ret_first,
                       uint64_t *ret_count) must_check;
/* count clusters in a row, at the end of what is used. */
int qcow2_alloc_row_locked(struct qcow2 *q, uint64_t count, uint64_t *ret_first) must_check;
/* Nothing in the file ever referred to them. */
void qcow2_unalloc_locked(struct qcow2 *q, uint64_t first, uint64_t count);
/* One reference less, from the next flush on. */
void qcow2_free_locked(struct qcow2 *q, uint64_t first, uint64_t count);
int qcow2_release_locked(struct qcow2 *q) must_check; /* what a flush has made free */

bool qcow2_is_table_locked(const struct qcow2 *q, uint64_t cluster);
void qcow2_add_table_locked(struct qcow2 *q, uint64_t first, uint64_t count);

bool qcow2_set_has(const struct qcow2_set *s, uint64_t v);
int qcow2_set_add(struct qcow2_set *s, uint64_t v) must_check;
void qcow2_set_remove(struct qcow2_set *s, uint64_t v);
bool qcow2_ranges_add(struct qcow2_ranges *r, uint64_t first, uint64_t count); /* false: no memory */

/* ---- L2 tables (qcow2_map.c) ---------------------------------------------------------------- */

struct qcow2_entry {
    uint64_t l2;     /* the entry */
    uint64_t bitmap; /* extended L2 */
};
struct qcow2_entry qcow2_entry_load(const struct qcow2 *q, const struct qcow2_slice *s,
                                    uint64_t cluster);
/* The kind of one unit of a cluster. -EIO: contradicts itself. */
int qcow2_entry_kind(const struct qcow2 *q, struct qcow2_entry e, unsigned unit,
                     enum qcow2_kind *ret) must_check;
/* The slice with the entry of a cluster of the disk, or NULL where there is no table. */
int qcow2_l2_get_locked(struct qcow2 *q, uint64_t cluster, bool cached_only,
                        struct qcow2_slice **ret) must_check;
/* The same to change it: makes the table if there is none, and one of our own if it is shared. */
int qcow2_l2_own_locked(struct qcow2 *q, uint64_t cluster, struct qcow2_slice **ret) must_check;
void qcow2_entry_store_locked(struct qcow2 *q, struct qcow2_slice *s, uint64_t cluster,
                              struct qcow2_entry e);
int qcow2_map_locked(struct qcow2 *q, uint64_t offset, uint64_t len, bool cached_only,
                     struct qcow2_run *ret) must_check;
void qcow2_l1_dirty_locked(struct qcow2 *q, uint32_t first, uint32_t end);
/* Free what an entry refers to. */
void qcow2_entry_free_locked(struct qcow2 *q, struct qcow2_entry e);
/* The part of the file that a compressed cluster is in. */
void qcow2_compressed_range(const struct qcow2 *q, uint64_t entry, uint64_t *ret_offset,
                            uint64_t *ret_len);


/* ---- Others --------------------------------------------------------------------------------- */

int qcow2_unpacker_create(const struct qcow2 *q, struct qcow2_unpacker **ret) must_check;
void qcow2_unpacker_destroy(struct qcow2_unpacker *u);

static inline uint64_t qcow2_clusters(const struct qcow2 *q, uint64_t bytes)
{
    return (bytes + q->cluster_size - 1) >> q->cluster_bits;
}

static inline bool qcow2_is_extended(const struct qcow2 *q)
{
    return q->entry_shift == 4;
}

#endif
