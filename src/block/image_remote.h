/* SPDX-License-Identifier: MIT */
/* For image_*.c: a disk on an NBD server, as calls that block. */
#ifndef VZ_BLOCK_IMAGE_REMOTE_H
#define VZ_BLOCK_IMAGE_REMOTE_H

#include "block/blk.h"

struct image_remote;

/* Connect. 0 or -errno with err, as blk_nbd_open(). */
int image_remote_open(const char *uri, bool read_only, struct image_remote **ret, struct vz_error *err) must_check;
void image_remote_close(struct image_remote *r); /* NULL is fine */

uint64_t image_remote_size(const struct image_remote *r); /* bytes */
bool image_remote_is_read_only(const struct image_remote *r);
/* 0 or -errno: -ETIMEDOUT when the server has not answered for 30 seconds. */
int image_remote_do(struct image_remote *r, struct blk_req *req) must_check;

#endif
