/* SPDX-License-Identifier: MIT */
/* A few threads, made when they are first needed, that do a disk's blocking calls: everything where the kernel refuses io_uring, and
 * discards everywhere. */
#ifndef VZ_BLOCK_BLK_POOL_H
#define VZ_BLOCK_BLK_POOL_H

#include "block/blk.h"

struct blk_pool;

/* work() runs on the pool's threads (all signals blocked) and returns what done() gets: 0 or
 * -errno. count: threads. 0 or -errno. */
int blk_pool_create(unsigned count, int (*work)(void *arg, struct blk_req *req), void *arg,
                    struct blk_pool **ret) must_check;
/* Idle. NULL is fine. */
void blk_pool_destroy(struct blk_pool *pool);

/* On the loop's thread: have work(req) called, in order of submission as far as starting goes; then blk_complete(). */
void blk_pool_submit(struct blk_pool *pool, struct blk_req *req);
/* Complete req with -ECANCELED if no thread took it yet. */
void blk_pool_cancel(struct blk_pool *pool, struct blk_req *req);

#endif
