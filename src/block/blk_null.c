/* SPDX-License-Identifier: MIT */
/* No disk at all, fast: what remains of the time is everybody else's. See blk_filters.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/blk_filters.h"

static void null_submit(struct blk *b, struct blk_req *req)
{
    if (req->op == BLK_READ) {
        for (unsigned i = 0; i < req->iov_count; i++)
            memset(req->iov[i].iov_base, 0, req->iov[i].iov_len);
    }
    blk_complete(req, 0);
}

static void null_close(struct blk *b)
{
}

static const struct blk_ops null_ops = {.name = "null", .submit = null_submit,
                                        .close = null_close};

int blk_null_create(uint64_t size, struct loop *loop, struct blk **ret)
{
    struct blk *b;

    if (size % BLK_SECTOR)
        return -EINVAL;
    b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->size = size;
    b->block_size = b->physical_block_size = BLK_SECTOR;
    blk_init(b, &null_ops, loop, NULL);
    *ret = b;
    return 0;
}
