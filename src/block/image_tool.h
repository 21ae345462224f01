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

enum image_room {
    IMAGE_ROOM_NONE,     /* taken when it is needed */
    IMAGE_ROOM_METADATA, /* qcow2: every cluster has its place, which the file system has no room for yet */
    IMAGE_ROOM_FULL,     /* and that too */
};

struct image_new {
    enum disk_format format; /* RAW or QCOW2 */
    struct qcow2_create_options qcow2;
    uint64_t size;
    enum image_room room;    /* METADATA: not of RAW */
    bool replace, unsynced;
};

int image_create(const char *path, const struct image_new *n, const struct image_progress *p,
                 struct vz_error *err) must_check;

/* from is opened for reading; n->size is not looked at. from and to may be the addresses of disks on NBD servers:
 * of from only the path is looked at then, and of n, which must replace what is there, nothing else. */
int image_convert(const struct disk_chain_options *from, const char *to, const struct image_new *n,
                  const struct image_progress *p, struct vz_error *err) must_check;
int image_resize(const struct disk_chain_options *o, uint64_t size, bool shrink,
                 struct vz_error *err) must_check;
int image_commit(const struct disk_chain_options *o, const struct image_progress *p,
                 struct vz_error *err) must_check;

struct image_rebase {
    const char *backing;     /* as it is to stand in the image; NULL: none */
    enum disk_format format; /* of it; AUTOMATIC: as it is opened */
    bool unsafe;             /* only the name: neither the old nor the new one is looked at */
};

int image_rebase(const struct disk_chain_options *o, const struct image_rebase *b,
                 const struct image_progress *p, struct vz_error *err) must_check;

/* What a new image's backing file, called name, is: its format and size. Opens it. 0 or -errno with err. */
int image_look_at_backing(const char *path, const char *name, enum disk_format format,
                          enum disk_format *ret_format, uint64_t *ret_size, struct vz_error *err) must_check;

/* The size of a disk on an NBD server. 0 or -errno with err. */
int image_look_at_server(const char *uri, const struct image_progress *p, uint64_t *ret_size,
                         struct vz_error *err) must_check;

int image_check(const struct disk_chain_options *o, bool repair, const struct image_progress *p,
                struct qcow2_check *ret, struct vz_error *err) must_check;

#endif
