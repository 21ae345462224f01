/* SPDX-License-Identifier: MIT */
/* The NBD backend of a build without libnbd (option nbd): it says so. See blk_nbd.h. */
#include <errno.h>

#include "base/error.h"
#include "block/blk_nbd.h"

int blk_nbd_open(const struct blk_nbd_options *options, struct loop *loop, struct blk **ret,
                 struct vz_error *err)
{
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                     "this vz was built without disks on NBD servers (libnbd)");
}

void blk_nbd_abandon(struct blk *b)
{
}

void blk_nbd_hurry(struct blk *b, uint32_t ms)
{
}

bool blk_nbd_look(struct blk *b, struct blk_nbd_look *look)
{
    return false;
}
