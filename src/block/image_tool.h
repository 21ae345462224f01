/* SPDX-License-Identifier: MIT */
/* What can be done with disk images that no machine uses. Blocking calls; 0 or -errno with err filled
 * in. <vz/disk.h> says what each does. */
#ifndef VZ_BLOCK_IMAGE_TOOL_H
#define VZ_BLOCK_IMAGE_TOOL_H

#include "block/disk_chain.h"

struct image_progress {
    bool (*fn)(void *arg, uint64_t done, uint64_t total); /* may be NULL; false: -ECANCELED */
    void *arg;
};

struct image_new {
    enum disk_format format; /* RAW or QCOW2 */
    struct qcow2_create_options qcow2;
    uint64_t size;
    bool preallocate, replace;
};

int image_create(const char *path, const struct image_new *n, struct vz_error *err) must_check;

/* from is opened for reading; n->size is not looked at. */
int image_convert(const struct disk_chain_options *from, const char *to, const struct image_new *n,
                  const struct image_progress *p, struct vz_error *err) must_check;
int image_resize(const struct disk_chain_options *o, uint64_t size, bool shrink,
                 struct vz_error *err) must_check;
int image_commit(const struct disk_chain_options *o, const struct image_progress *p,
                 struct vz_error *err) must_check;
int image_check(const struct disk_chain_options *o, bool repair, struct qcow2_check *ret,
                struct vz_error *err) must_check;

#endif
