/* SPDX-License-Identifier: MIT */
/* The layers of a disk: an image, what it reads through to, and so on; qcow2 or raw. Blocking calls,
 * for a disk's threads and for tools. */
#ifndef VZ_BLOCK_DISK_LAYER_H
#define VZ_BLOCK_DISK_LAYER_H

#include "block/qcow2.h"

struct blk_image;

struct disk_layer {
    const struct blk_image *image; /* its file */
    struct qcow2 *q;               /* NULL: raw */
    uint64_t size;                 /* bytes */
    struct disk_layer *below;      /* NULL: zeroes */
};

/* The same as struct qcow2_run, and where. layer NULL: zeroes. kind is never NOTHING. */
struct layer_run {
    struct disk_layer *layer;
    struct qcow2_run run;
};

/* What holds the beginning of [offset, offset + len) of l. Followed by layer_done() if it succeeds.
 * cached_only: see qcow2_map(). */
int layer_map(struct disk_layer *l, uint64_t offset, uint64_t len, bool cached_only,
              struct layer_run *ret) must_check;
void layer_done(const struct layer_run *run);

/* From l down. -EINVAL: outside. */
int layer_read(struct disk_layer *l, uint64_t offset, uint64_t len, const struct iovec *iov,
               unsigned iov_count) must_check;

/* layer_map() without the access: what kind is it, and how far? */
int layer_look(struct disk_layer *l, uint64_t offset, uint64_t len, enum qcow2_kind *ret_kind,
               uint64_t *ret_len) must_check;

#endif
