/* SPDX-License-Identifier: MIT */
/* For image_*.c: the ends of a copy, and copying. Blocking calls; results are 0 or -errno. */
#ifndef VZ_BLOCK_IMAGE_COPY_H
#define VZ_BLOCK_IMAGE_COPY_H

#include "block/image_tool.h"

#define IMAGE_PIECE (4 * MIB) /* copied at a time */

struct image_remote;

/* A layer of an image with all below it, or a disk on a server. */
struct image_end {
    struct disk_layer *layer; /* or NULL, and */
    struct image_remote *remote;
};

uint64_t image_end_size(const struct image_end *e);
/* len: up to IMAGE_PIECE. Of a layer; a server's disk is read by image_remote_read_all(). */
int image_layer_read(struct disk_layer *l, uint64_t offset, void *data, uint64_t len) must_check;
int image_end_write(const struct image_end *e, uint64_t offset, const void *data, uint64_t len) must_check;
int image_end_zero(const struct image_end *e, uint64_t offset, uint64_t len) must_check;
int image_end_flush(const struct image_end *e) must_check;
/* Zeroes, or maybe not, for *ret_len bytes from offset on. */
int image_end_look(const struct image_end *e, uint64_t offset, uint64_t len, bool *ret_zeroes,
                   uint64_t *ret_len) must_check;

/* All of from into to, which is at least as long. blank: that has only zeroes so far, and what is not written
 * takes no room; else zeroes are written, also behind from's end. -ECANCELED. *ret_reading: it was from that failed. */
int image_copy(const struct image_end *from, const struct image_end *to, bool blank,
               const struct image_progress *p, bool *ret_reading) must_check;

/* Of a raw image, c's topmost layer. 0 or -errno with err. */
int image_resize_raw(const struct disk_chain *c, uint64_t size, bool shrink, struct vz_error *err) must_check;

/* Tell how far it is; false: stop. */
bool image_goes_on(const struct image_progress *p, uint64_t done, uint64_t total);
/* The error for -errno r at path; returns r. */
int image_failed(const char *path, int r, struct vz_error *err);

#endif
