/* SPDX-License-Identifier: MIT */
/* Reading through layers: see disk_layer.h. */
#include "block/disk_layer.h"

#include <errno.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/iov.h"
#include "block/blk_image.h"

static int map_one(struct disk_layer *l, uint64_t offset, uint64_t len, bool cached_only,
                   struct qcow2_run *ret)
{
    if (l->q)
        return qcow2_map(l->q, offset, len, cached_only, ret);
    *ret = (struct qcow2_run){.kind = QCOW2_DATA, .host = offset, .len = len};
    return 0;
}

/* Layers below may be shorter: behind their end there are zeroes. */
int layer_map(struct disk_layer *l, uint64_t offset, uint64_t len, bool cached_only,
              struct layer_run *ret)
{
    if (!range_fits(offset, len, l->size) || !len)
        return -EINVAL;
    for (; l && offset < l->size; l = l->below) {
        int r;

        len = MIN(len, l->size - offset);
        r = map_one(l, offset, len, cached_only, &ret->run);
        if (r < 0)
            return r;
        if (ret->run.kind != QCOW2_NOTHING) {
            ret->layer = l;
            return 0;
        }
        len = ret->run.len;
        qcow2_done(l->q, &ret->run);
    }
    *ret = (struct layer_run){.run = {.kind = QCOW2_ZEROES, .len = len}};
    return 0;
}

void layer_done(const struct layer_run *run)
{
    if (run->layer && run->layer->q)
        qcow2_done(run->layer->q, &run->run);
}

static int read_compressed(const struct layer_run *run, uint64_t offset, const struct iovec *iov,
                           unsigned iov_count, uint64_t skip)
{
    void *data = malloc(run->run.len);
    int r;

    if (!data)
        return -ENOMEM;
    r = qcow2_read_compressed(run->layer->q, &run->run, offset, data, run->run.len);
    if (!r)
        iov_write(iov, iov_count, skip, data, run->run.len);
    free(data);
    return r;
}

static int read_run(const struct layer_run *run, uint64_t offset, const struct iovec *iov,
                    unsigned iov_count, uint64_t skip)
{
    struct iovec v[BLK_IOV_MAX];
    struct blk_req req = {.op = BLK_READ, .offset = run->run.host, .len = run->run.len, .iov = v};

    switch (run->run.kind) {
    case QCOW2_ZEROES:
        iov_zero(iov, iov_count, skip, run->run.len);
        return 0;
    case QCOW2_COMPRESSED:
        return read_compressed(run, offset, iov, iov_count, skip);
    default:
        req.iov_count = iov_slice(iov, iov_count, skip, run->run.len, v, BLK_IOV_MAX);
        return blk_image_do(run->layer->image, &req);
    }
}

int layer_read(struct disk_layer *l, uint64_t offset, uint64_t len, const struct iovec *iov,
               unsigned iov_count)
{
    uint64_t done = 0;
    int r = 0;

    while (!r && done < len) {
        struct layer_run run;

        r = layer_map(l, offset + done, len - done, false, &run);
        if (r < 0)
            break;
        r = read_run(&run, offset + done, iov, iov_count, done);
        done += run.run.len;
        layer_done(&run);
    }
    return r;
}

int layer_look(struct disk_layer *l, uint64_t offset, uint64_t len, enum qcow2_kind *ret_kind,
               uint64_t *ret_len)
{
    struct layer_run run;
    int r = layer_map(l, offset, len, false, &run);

    if (r < 0)
        return r;
    *ret_kind = run.run.kind;
    *ret_len = run.run.len;
    layer_done(&run);
    return 0;
}
