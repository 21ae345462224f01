/* SPDX-License-Identifier: MIT */
/* The NBD backend of a build without libnbd (option nbd): it says so. See blk_nbd.h. */
#include <errno.h>

#include "base/error.h"
#include "block/blk_nbd.h"
#include "block/nbd_child.h"

static int is_absent(struct vz_error *err)
{
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, "this vz was built without disks on NBD servers (libnbd)");
}

int blk_nbd_open(const struct blk_nbd_options *options, struct loop *loop, struct blk **ret,
                 struct vz_error *err)
{
    return is_absent(err);
}

int blk_nbd_dial(struct child *by, const char *uri, struct nbd_dial **ret, struct vz_error *err)
{
    return is_absent(err);
}

int blk_nbd_dial_fd(const struct nbd_dial *d)
{
    return -1;
}

void blk_nbd_hang_up(struct nbd_dial *d)
{
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

int nbd_child_start(struct child *ret, const struct nbd_child_options *options, struct vz_error *err)
{
    *ret = (struct child)CHILD_NONE;
    return is_absent(err);
}

int nbd_child_know(struct child *c, const char *uri, struct vz_error *err)
{
    return 0;
}

int nbd_child_lock(struct child *c, struct vz_error *err)
{
    return 0;
}
