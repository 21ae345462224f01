/* SPDX-License-Identifier: MIT */
/* For image_*.c: a disk on an NBD server, as calls that block. What is large is asked for in several requests at once. */
#ifndef VZ_BLOCK_IMAGE_REMOTE_H
#define VZ_BLOCK_IMAGE_REMOTE_H

#include "block/blk.h"
#include "block/image_tool.h"

struct image_remote;

/* Connect. p is asked ten times a second whether to go on, in all calls; it may be NULL, and stays the caller's until
 * the end. 0 or -errno with err, as blk_nbd_open(). */
int image_remote_open(const char *uri, bool read_only, const struct image_progress *p, struct image_remote **ret,
                      struct vz_error *err) must_check;
void image_remote_close(struct image_remote *r); /* NULL is fine */

/* What p is told while a call waits. */
void image_remote_progress(struct image_remote *r, uint64_t done, uint64_t total);

uint64_t image_remote_size(const struct image_remote *r); /* bytes */
bool image_remote_is_read_only(const struct image_remote *r);
/* Anything but READ. op, offset, len, unmap, and of WRITE one piece of memory, are looked at. 0 or -errno: -ETIMEDOUT
 * when the server has not answered for 30 seconds, -ECANCELED as p wants it: nothing else can be done with it then. */
int image_remote_do(struct image_remote *r, const struct blk_req *req) must_check;
/* What has come of read_all(): 0, or -errno to have no more of it. */
typedef int image_remote_part_fn(void *arg, uint64_t offset, const uint8_t *data, uint64_t len);
/* Read len bytes from offset on, and give each part to fn when it is there, in no order; others are on their way
 * meanwhile. buffer: IMAGE_PIECE bytes. As image_remote_do(); or what fn said, and then *ret_reading is false. */
int image_remote_read_all(struct image_remote *r, uint64_t offset, uint64_t len, uint8_t *buffer,
                          image_remote_part_fn *fn, void *arg, bool *ret_reading) must_check;
/* Zeroes, or maybe not, for *ret_len bytes from offset on. */
int image_remote_look(struct image_remote *r, uint64_t offset, uint64_t len, bool *ret_zeroes,
                      uint64_t *ret_len) must_check;

#endif
