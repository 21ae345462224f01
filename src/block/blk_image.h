/* SPDX-License-Identifier: MIT */
/* The file under a raw disk: opening, locking, its size and alignment, and blocking I/O on it. */
#ifndef VZ_BLOCK_BLK_IMAGE_H
#define VZ_BLOCK_BLK_IMAGE_H

#include "block/blk_raw.h"

/* Constant once open, so that any thread may use it. */
struct blk_image {
    int fd;
    int direct_fd;       /* the same file with O_DIRECT; -1: cached */
    bool is_device;
    bool read_only;
    bool growing;        /* see blk_raw_options */
    enum blk_sync sync;
    uint32_t direct_align;     /* of offset and length, for direct_fd; power of two */
    uint32_t direct_mem_align; /* of memory */
    uint32_t physical_block_size, discard_granularity;
};

/* See blk_raw_open(). */
int blk_image_open(const struct blk_raw_options *options, struct blk_image *ret,
                   uint64_t *ret_size, struct vz_error *err) must_check;
void blk_image_close(struct blk_image *im);

/* Now, in bytes, rounded down to sectors; 0 or -errno. */
int blk_image_size(const struct blk_image *im, uint64_t *ret) must_check;

/* The same, in *ret; and is that a raw disk's size? path: for messages, or NULL. */
int blk_image_check_size(const struct blk_image *im, const char *path, uint64_t *ret,
                         struct vz_error *err) must_check;

/* What a flush of the guest does, by im->sync; blocks. 0 or -errno. */
int blk_image_sync(const struct blk_image *im) must_check;

/* Go through the page cache whatever was asked for. Before the first request. */
void blk_image_use_cache(struct blk_image *im);

/* The descriptor for a READ or WRITE: direct_fd when the request fits it. */
int blk_image_fd(const struct blk_image *im, const struct blk_req *req);

/* Do (the rest of) req, from req->moved on; blocks. 0 or -errno: -EIO also for what lies behind
 * the end of the file, unless it is growing. */
int blk_image_do(const struct blk_image *im, struct blk_req *req) must_check;

#endif
