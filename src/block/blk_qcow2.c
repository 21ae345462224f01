/* SPDX-License-Identifier: MIT */
/* The disk of a qcow2 image: see blk_qcow2.h.
 *
 * What the tables in memory show to be one piece of a file goes there at once, as a request to the
 * raw disk that holds it. All else waits for the host somewhere on its way (tables, new clusters,
 * decompression), and is done from beginning to end by threads. */
#include "block/blk_qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/iov.h"
#include "base/log.h"
#include "block/blk_image.h"
#include "block/blk_pool.h"
#include "block/disk_chain.h"

#define RINGS_ON_TOP 3u
#define THREADS 4u
#define OPS     256u /* requests on their way to a file; more go by the threads */

/* A request as a file sees it. */
struct op {
    struct blk_req req;
    struct blk_req *original;
    struct blk_qcow2 *disk;
    struct layer_run run;
    struct op *next; /* free */
};

struct blk_qcow2 {
    struct blk b;
    struct blk_pool *pool;
    struct disk_chain *chain;
    struct disk_layer *layer;           /* its layers, the topmost first */
    struct blk *file[DISK_LAYERS_MAX];  /* their bytes */
    unsigned count;
    bool plugged;    /* the files are */
    struct op *free; /* loop thread */
    struct op op[OPS];
};

static struct blk_qcow2 *to_disk(struct blk *b)
{
    return container_of(b, struct blk_qcow2, b);
}

/* ---- At once -------------------------------------------------------------------------------- */

static void op_done(struct blk_req *req, int err)
{
    struct op *op = container_of(req, struct op, req);
    struct blk_qcow2 *d = op->disk;
    struct blk_req *original = op->original;

    layer_done(&op->run);
    op->next = d->free;
    d->free = op;
    blk_finish(original, err);
}

static void plug_files(struct blk_qcow2 *d)
{
    for (unsigned i = 0; !d->plugged && i < d->count; i++)
        blk_plug(d->file[i]);
    d->plugged = true;
}

static void send(struct blk_qcow2 *d, struct blk_req *req, const struct layer_run *run)
{
    struct op *op = d->free;

    d->free = op->next;
    op->original = req;
    op->run = *run;
    op->req = (struct blk_req){.op = req->op, .fua = req->fua, .offset = run->run.host,
                               .len = req->len, .iov = req->iov, .iov_count = req->iov_count,
                               .done = op_done};
    plug_files(d);
    blk_submit(d->file[run->layer ? run->layer - d->layer : 0], &op->req);
}

static bool try_read(struct blk_qcow2 *d, struct blk_req *req)
{
    struct layer_run run;

    if (layer_map(d->layer, req->offset, req->len, true, &run) < 0)
        return false;
    if (run.run.len == req->len && run.run.kind == QCOW2_ZEROES) {
        iov_zero(req->iov, req->iov_count, 0, req->len);
        layer_done(&run);
        blk_complete(req, 0);
        return true;
    }
    if (run.run.len == req->len && run.run.kind == QCOW2_DATA) {
        send(d, req, &run);
        return true;
    }
    layer_done(&run);
    return false;
}

static bool try_write(struct blk_qcow2 *d, struct blk_req *req)
{
    struct layer_run run = {.layer = d->layer};

    if ((req->fua && qcow2_is_dirty(d->layer->q)) ||
        qcow2_map(d->layer->q, req->offset, req->len, true, &run.run) < 0)
        return false;
    if (run.run.len == req->len && run.run.in_place) {
        send(d, req, &run);
        return true;
    }
    layer_done(&run);
    return false;
}

static bool try_flush(struct blk_qcow2 *d, struct blk_req *req)
{
    const struct layer_run none = {.layer = NULL};

    if (qcow2_is_dirty(d->layer->q))
        return false;
    send(d, req, &none);
    return true;
}

static void qcow2_disk_submit(struct blk *b, struct blk_req *req)
{
    struct blk_qcow2 *d = to_disk(b);
    bool sent = false;

    if (req->op == BLK_FLUSH && b->read_only) {
        blk_complete(req, 0);
        return;
    }
    if (d->free && req->op == BLK_READ)
        sent = try_read(d, req);
    else if (d->free && req->op == BLK_WRITE)
        sent = try_write(d, req);
    else if (d->free && req->op == BLK_FLUSH)
        sent = try_flush(d, req);
    if (!sent)
        blk_pool_submit(d->pool, req);
}

static void qcow2_disk_unplug(struct blk *b)
{
    struct blk_qcow2 *d = to_disk(b);

    for (unsigned i = 0; d->plugged && i < d->count; i++)
        blk_unplug(d->file[i]);
    d->plugged = false;
}

/* ---- By threads ----------------------------------------------------------------------------- */

static int do_op(struct blk_qcow2 *d, struct blk_req *req)
{
    struct qcow2 *q = d->layer->q;

    switch (req->op) {
    case BLK_READ: return layer_read(d->layer, req->offset, req->len, req->iov, req->iov_count);
    case BLK_WRITE: return qcow2_write(q, req->offset, req->len, req->iov, req->iov_count);
    case BLK_DISCARD: return qcow2_discard(q, req->offset, req->len);
    case BLK_ZERO: return qcow2_zero(q, req->offset, req->len, req->unmap);
    default: return qcow2_flush(q);
    }
}

static int work(void *arg, struct blk_req *req)
{
    struct blk_qcow2 *d = arg;
    int r = do_op(d, req);

    if (!r && req->fua && (req->op == BLK_WRITE || req->op == BLK_ZERO))
        r = qcow2_flush(d->layer->q);
    return r;
}

static void qcow2_disk_cancel(struct blk *b, struct blk_req *req)
{
    blk_pool_cancel(to_disk(b)->pool, req);
}

/* What was sent to the files is theirs to wait for; what threads do completes by itself. */
static bool qcow2_disk_wait(struct blk *b)
{
    struct blk_qcow2 *d = to_disk(b);
    bool any = false;

    for (unsigned i = 0; i < d->count; i++) {
        if (d->file[i]->inflight) {
            blk_drain_wait(d->file[i]);
            any = true;
        }
    }
    return any;
}

static void close_files(struct blk_qcow2 *d)
{
    blk_pool_destroy(d->pool);
    for (unsigned i = 0; i < d->count; i++)
        blk_close(d->file[i]);
}

static void qcow2_disk_close(struct blk *b)
{
    struct blk_qcow2 *d = to_disk(b);
    int r;

    close_files(d);
    r = disk_chain_close(d->chain);
    if (r < 0)
        log_warn("a disk image could not be closed properly: %s", strerror(-r));
}

static void qcow2_disk_rest(struct blk *b)
{
    qcow2_rest(to_disk(b)->layer->q);
}

static int qcow2_disk_grow(struct blk *b, uint64_t size, struct vz_error *err)
{
    return qcow2_resize(to_disk(b)->layer->q, size, false, err);
}

static const struct blk_ops qcow2_disk_ops = {
    .name = "qcow2", .submit = qcow2_disk_submit, .unplug = qcow2_disk_unplug,
    .cancel = qcow2_disk_cancel, .wait = qcow2_disk_wait, .grow = qcow2_disk_grow, .rest = qcow2_disk_rest,
    .close = qcow2_disk_close};

/* A ring costs more than all else that opens a layer, which is done and undone while the guest of a snapshot stands still. What
 * is read most is on the top ones, and at the bottom. */
static enum blk_engine engine_of(const struct blk_qcow2 *d, unsigned layer, enum blk_engine engine)
{
    bool middle = layer >= RINGS_ON_TOP && layer + 1 < d->chain->count;

    return middle && engine == BLK_ENGINE_AUTO ? BLK_ENGINE_THREADS : engine;
}

static int open_files(struct blk_qcow2 *d, enum blk_engine engine, struct loop *loop,
                      struct vz_error *err)
{
    int r = blk_pool_create(THREADS, work, d, &d->pool);

    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot make a disk's threads: %s",
                         strerror(-r));
    for (unsigned i = 0; i < d->chain->count; i++, d->count++) {
        r = blk_raw_on(d->layer[i].image, d->layer[i].size, engine_of(d, i, engine), loop, &d->file[i], err);
        if (r < 0)
            return r;
        d->file[i]->is_part = true;
    }
    return 0;
}

static void free_ops(struct blk_qcow2 *d)
{
    for (unsigned i = 0; i < OPS; i++) {
        d->op[i].disk = d;
        d->op[i].next = d->free;
        d->free = &d->op[i];
    }
}

int blk_qcow2_create(struct disk_chain *chain, enum blk_engine engine, struct loop *loop,
                     struct blk **ret, struct vz_error *err)
{
    struct blk_qcow2 *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    d->chain = chain;
    d->layer = chain->layer;
    r = open_files(d, engine, loop, err);
    if (r < 0) {
        close_files(d);
        free(d);
        return r;
    }
    free_ops(d);
    d->b.size = d->layer->size;
    d->b.block_size = BLK_SECTOR;
    d->b.physical_block_size = d->file[0]->physical_block_size;
    d->b.discard_granularity = 1u << qcow2_info(d->layer->q)->cluster_bits;
    d->b.read_only = d->file[0]->read_only;
    blk_init(&d->b, &qcow2_disk_ops, loop, NULL);
    *ret = &d->b;
    return 0;
}
