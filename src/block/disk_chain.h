/* SPDX-License-Identifier: MIT */
/* Opening an image with all that it reads through to. */
#ifndef VZ_BLOCK_DISK_CHAIN_H
#define VZ_BLOCK_DISK_CHAIN_H

#include <limits.h>

#include "base/disk_format.h"
#include "block/blk_image.h"
#include "block/disk_layer.h"

#define DISK_LAYERS_MAX 64u

struct disk_chain {
    unsigned count;
    struct disk_layer layer[DISK_LAYERS_MAX]; /* the topmost first */
    struct blk_image image[DISK_LAYERS_MAX];
    char *path[DISK_LAYERS_MAX];              /* NULL: was passed as a descriptor */
};

struct disk_chain_options {
    const char *path; /* or NULL, and */
    int fd;           /* which is duplicated */
    enum disk_format format;
    bool read_only;   /* the topmost layer; those below always are */
    /* Backing files may lie in the folder of path, or a folder of it; and be this file, or lie in
     * this folder. A chain that leads elsewhere is refused. NULL: nowhere else. */
    const char *backing;
    enum qcow2_open_mode mode;
    enum blk_caching caching;
    enum blk_sync sync;
    bool ephemeral;   /* all is only read, and a layer without a name above takes what is written */
    bool unlocked;    /* whatever others do with it meanwhile */
    bool alone;       /* the topmost layer only; what it reads through to stays closed */
};

/* Open and lock all layers, each as blk_raw_open() does. -errno with err filled in: as that, and
 * qcow2_open(); -EACCES for a backing file outside of what is allowed. */
int disk_chain_open(const struct disk_chain_options *o, struct disk_chain **ret,
                    struct vz_error *err) must_check;

/* Where the backing file called name of the image above (a path, or NULL) is: 0, -ENOENT or -ENAMETOOLONG. */
int disk_chain_join(const char *above, const char *name, char ret[PATH_MAX]) must_check;

/* Is what is called path, if there is such a file, one of its layers? */
bool disk_chain_has_file(const struct disk_chain *c, const char *path);

/* Look at all layers anew, as they are in their files now. For chains that are only read. */
int disk_chain_reload(struct disk_chain *c, struct vz_error *err) must_check;

/* 0, or what the topmost layer's qcow2_close() says. NULL is fine. */
int disk_chain_close(struct disk_chain *c);

#endif
