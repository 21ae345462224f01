/* SPDX-License-Identifier: MIT */
/* A disk from an image of any format that we know, or a block device. */
#ifndef VZ_BLOCK_BLK_DISK_H
#define VZ_BLOCK_BLK_DISK_H

#include "base/disk_format.h"
#include "block/blk_raw.h"

struct blk_disk_options {
    const char *path;    /* copied; for messages too */
    int fd;              /* with path NULL: an open descriptor, which is duplicated */
    enum disk_format format;
    const char *backing; /* see disk_chain_options */
    bool read_only;
    bool ephemeral;      /* see disk_chain_options */
    enum blk_caching caching;
    enum blk_sync sync;
    enum blk_engine engine;
};

/* As blk_raw_open() and disk_chain_open(). */
int blk_disk_open(const struct blk_disk_options *options, struct loop *loop, struct blk **ret,
                  struct vz_error *err) must_check;

#endif
