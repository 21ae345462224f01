/* SPDX-License-Identifier: MIT */
/* Reads, writes and flushes of a raw disk through io_uring. Loop thread. */
#ifndef VZ_BLOCK_BLK_URING_H
#define VZ_BLOCK_BLK_URING_H

#include "block/blk_image.h"

struct blk_uring;

/* rest(arg, req): the kernel moved only a part (req->moved); somebody else must do the rest.
 * 0, or -errno where the kernel refuses. image outlives it. */
int blk_uring_create(const struct blk_image *image, struct loop *loop,
                     void (*rest)(void *arg, struct blk_req *req), void *arg,
                     struct blk_uring **ret) must_check;
/* Idle. NULL is fine. */
void blk_uring_destroy(struct blk_uring *u);

void blk_uring_submit(struct blk_uring *u, struct blk_req *req); /* READ, WRITE or FLUSH */
/* Tell the kernel about what was submitted. */
void blk_uring_kick(struct blk_uring *u);
/* Wait for one completion at least; false when the kernel has nothing. */
bool blk_uring_wait(struct blk_uring *u);

#endif
