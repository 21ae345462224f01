/* SPDX-License-Identifier: MIT */
/* The formats of disks come together here: see blk_disk.h. */
#include "block/blk_disk.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "block/blk_qcow2.h"
#include "block/disk_chain.h"

/* A raw disk on the one layer that there is. It takes the chain's file over. */
static int make_raw(struct disk_chain *c, enum blk_engine engine, struct loop *loop,
                    struct blk **ret, struct vz_error *err)
{
    int r = blk_raw_take(&c->image[0], c->layer[0].size, engine, loop, ret, err);

    (void)!disk_chain_close(c);
    return r;
}

int blk_disk_open(const struct blk_disk_options *o, struct loop *loop, struct blk **ret,
                  struct vz_error *err)
{
    const struct disk_chain_options options = {
        .path = o->path, .fd = o->fd, .format = o->format, .backing = o->backing,
        .read_only = o->read_only, .ephemeral = o->ephemeral, .caching = o->caching, .sync = o->sync};
    struct disk_chain *c;
    int r = disk_chain_open(&options, &c, err);

    if (r < 0)
        return r;
    if (!c->layer[0].q)
        return make_raw(c, o->engine, loop, ret, err);
    r = blk_qcow2_create(c, o->engine, loop, ret, err);
    if (r < 0)
        (void)!disk_chain_close(c);
    return r;
}
