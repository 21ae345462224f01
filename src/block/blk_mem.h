/* SPDX-License-Identifier: MIT */
/* A disk in memory: for tests, and for scratch space that dies with the machine. */
#ifndef VZ_BLOCK_BLK_MEM_H
#define VZ_BLOCK_BLK_MEM_H

#include "block/blk.h"

struct blk_mem_options {
    uint64_t size;       /* bytes, a multiple of block_size; reads as zeroes at first */
    uint32_t block_size; /* power of two, BLK_SECTOR..BLK_BLOCK_MAX; 0: BLK_SECTOR */
    bool read_only;
};

/* 0, -EINVAL, -ENOMEM or what making descriptors gives. */
int blk_mem_create(const struct blk_mem_options *options, struct loop *loop,
                   struct blk **ret) must_check;

/* The bytes, for tests. b->size of them, until blk_close() or blk_mem_resize(). */
void *blk_mem_data(struct blk *b);

/* Change the size; what is kept keeps its content. Idle. 0 or -errno. */
int blk_mem_resize(struct blk *b, uint64_t size) must_check;

#endif
