/* SPDX-License-Identifier: MIT */
/* Disk images in the qcow2 format, as calls that block: for a disk's threads (blk_qcow2.c) and for
 * the tools that make, look at and change images. What is behind an image is a chain of layers
 * (disk_layer.h); an image reads through to the layers below where it has no data of its own.
 *
 * Threads: any, several at once, between qcow2_open() and qcow2_close(). A write that needs room
 * allocates under the image's lock and moves its data outside of it. Nothing allocated or freed is
 * stable, nor in the file at all, before qcow2_flush().
 *
 * The file is taken for hostile: every offset is checked before it is used, and nothing that the
 * guest writes can reach the image's own tables or header.
 *
 * Results are 0 or -errno: -EIO for an image that contradicts itself (which is then written to no
 * more, and marked as corrupt in version 3), what the host says otherwise. */
#ifndef VZ_BLOCK_QCOW2_H
#define VZ_BLOCK_QCOW2_H

#include <sys/uio.h>

#include "base/compiler.h"
#include "block/qcow2_spec.h"

struct blk_image;
struct disk_layer;
struct qcow2;
struct vz_error;

#define QCOW2_FORMAT_NAME_MAX 15u

/* Constant once open, but size. */
struct qcow2_info {
    unsigned version;
    uint64_t size;          /* of the disk, bytes; a multiple of 512 */
    unsigned cluster_bits;
    unsigned refcount_bits;
    bool extended_l2, lazy_refcounts;
    bool dirty, corrupt;    /* as it was found */
    enum qcow2_compression compression;
    unsigned snapshots, bitmaps;
    char backing[QCOW2_NAME_MAX + 1];                   /* as it stands there; "": none */
    char backing_format[QCOW2_FORMAT_NAME_MAX + 1];     /* "": not said */
};

/* ---- Open and close ------------------------------------------------------------------------- */

enum qcow2_open_mode {
    QCOW2_USE,    /* a writable image whose refcounts may be wrong is repaired first */
    QCOW2_INSPECT /* leave everything as it is found; what cannot be understood may be looked at.
                     Writable: for qcow2_check(). */
};

/* Reads and checks the header and the tables that it points to. Writable if the image is. image
 * outlives it; name is for messages. -EINVAL, -ENOTSUP (what it needs is named), -ENOMEM, -EIO. */
int qcow2_open(const struct blk_image *image, const char *name, enum qcow2_open_mode mode,
               struct qcow2 **ret, struct vz_error *err) must_check;

/* It has just been flushed, and nothing comes but qcow2_close(): that waits for the host no more, unless room has
 * been freed. After a loss of power soon afterwards the image may not look closed. */
void qcow2_rest(struct qcow2 *q);

/* Flushes, and marks the image as clean. Nothing is under way. 0 or -errno, closed in any case.
 * NULL is fine. */
int qcow2_close(struct qcow2 *q);

const struct qcow2_info *qcow2_info(const struct qcow2 *q);

/* What reads of it go through to; l is q's own layer. Before any of the following. */
void qcow2_set_layer(struct qcow2 *q, struct disk_layer *l);

/* ---- Data ----------------------------------------------------------------------------------- */

enum qcow2_kind {
    QCOW2_NOTHING,    /* the layer below has it */
    QCOW2_ZEROES,
    QCOW2_DATA,       /* at host in the file */
    QCOW2_COMPRESSED, /* host is the table's entry */
};

struct qcow2_run {
    enum qcow2_kind kind;
    bool in_place;    /* DATA: may be overwritten where it is */
    unsigned turn;    /* for qcow2_done() */
    uint64_t host, len;
};

/* What holds the beginning of [offset, offset + len), which is inside the disk. cached_only: -EAGAIN
 * rather than wait for a lock or for the host. */
int qcow2_map(struct qcow2 *q, uint64_t offset, uint64_t len, bool cached_only,
              struct qcow2_run *ret) must_check;

/* Around every access to what a run says: until then no cluster freed meanwhile is given to others.
 * qcow2_map() has begun it; so each successful call is followed by one of this. Any thread. */
void qcow2_done(struct qcow2 *q, const struct qcow2_run *run);

/* The compressed cluster that a run tells of: len bytes from offset (of the disk) on into buf. */
int qcow2_read_compressed(struct qcow2 *q, const struct qcow2_run *run, uint64_t offset, void *buf,
                          uint64_t len) must_check;

int qcow2_write(struct qcow2 *q, uint64_t offset, uint64_t len, const struct iovec *iov,
                unsigned iov_count) must_check;
/* [offset, offset + len) reads as zeroes, also where a layer below has data. */
int qcow2_zero(struct qcow2 *q, uint64_t offset, uint64_t len, bool unmap) must_check;
int qcow2_discard(struct qcow2 *q, uint64_t offset, uint64_t len) must_check;

/* All that was written before this call is stable, tables included. */
int qcow2_flush(struct qcow2 *q) must_check;
/* Is there something in memory which a flush would write, besides data? Any thread; a hint. */
bool qcow2_is_dirty(struct qcow2 *q);

/* ---- Making and changing -------------------------------------------------------------------- */

struct qcow2_create_options {
    uint64_t size;              /* a multiple of 512 */
    unsigned version;           /* 2 or 3; 0: 3 */
    unsigned cluster_bits;      /* 0: 16 */
    unsigned refcount_bits;     /* power of two up to 64; 0: 16 */
    bool extended_l2, lazy_refcounts;
    enum qcow2_compression compression;
    const char *backing, *backing_format; /* both or none; the name as it is to stand there */
};

/* Make the empty file fd an image. -EINVAL with err filled in for options that do not fit. */
int qcow2_create(int fd, const struct qcow2_create_options *o, struct vz_error *err) must_check;

/* Give the clusters of [offset, offset + len) places in the file, which reads as zeroes there. Of a new image that
 * has nothing yet, and nothing else is under way. */
int qcow2_preallocate(struct qcow2 *q, uint64_t offset, uint64_t len) must_check;
/* Where the file ends, or would if all that has a place were written. Bytes. After a flush. */
uint64_t qcow2_file_end(struct qcow2 *q);

/* Grow the disk, or with shrink let it lose its end. Nothing else is under way. */
int qcow2_resize(struct qcow2 *q, uint64_t size, bool shrink, struct vz_error *err) must_check;

/* Write another backing name into the header; NULL: none. -ENOSPC: no room. */
int qcow2_set_backing(struct qcow2 *q, const char *name, const char *format) must_check;

struct qcow2_check {
    uint64_t errors;     /* something would be overwritten or cannot be read */
    uint64_t leaks;      /* clusters that nothing uses */
    uint64_t repaired;   /* of both */
    uint64_t used;       /* clusters, the tables' own included */
    uint64_t data, compressed; /* the guest's */
    void (*problem)(void *arg, const char *text); /* optional; for each of the first errors */
    bool (*goes_on)(void *arg, uint64_t done, uint64_t total); /* optional; false: -ECANCELED */
    void *arg;
};

/* Compare the refcounts with what the tables refer to; repair: and correct them. Needs memory of
 * some bytes per cluster of the file. Nothing else is under way. 0 also with errors found. */
int qcow2_check(struct qcow2 *q, bool repair, struct qcow2_check *c) must_check;

#endif
