/* SPDX-License-Identifier: MIT */
/* The raw disk: an image under an engine, see blk_raw.h. Reads, writes and flushes go through
 * io_uring where there is one; all else, and everything otherwise, is done by threads. */
#include "block/blk_raw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "block/blk_image.h"
#include "block/blk_pool.h"
#include "block/blk_uring.h"
#include "loop/loop.h"

#define THREADS       4u
#define LOOK_EVERY_NS NS_PER_SEC /* at the image's size */

struct blk_raw {
    struct blk b;
    const struct blk_image *image; /* own, or somebody else's */
    struct blk_image own;
    struct blk_uring *uring; /* or NULL */
    struct blk_pool *pool;
    struct loop_timer *look;
};

static struct blk_raw *to_raw(struct blk *b)
{
    return container_of(b, struct blk_raw, b);
}

static bool is_for_uring(const struct blk_raw *raw, const struct blk_req *req)
{
    return raw->uring && (req->op == BLK_READ || req->op == BLK_WRITE || req->op == BLK_FLUSH);
}

static void raw_submit(struct blk *b, struct blk_req *req)
{
    struct blk_raw *raw = to_raw(b);

    if (req->op == BLK_FLUSH && (raw->image->sync == BLK_SYNC_NONE || b->read_only))
        blk_complete(req, 0);
    else if (is_for_uring(raw, req))
        blk_uring_submit(raw->uring, req);
    else
        blk_pool_submit(raw->pool, req);
}

static void raw_unplug(struct blk *b)
{
    struct blk_raw *raw = to_raw(b);

    if (raw->uring)
        blk_uring_kick(raw->uring);
}

static void raw_cancel(struct blk *b, struct blk_req *req)
{
    struct blk_raw *raw = to_raw(b);

    if (!is_for_uring(raw, req))
        blk_pool_cancel(raw->pool, req);
}

static bool raw_wait(struct blk *b)
{
    struct blk_raw *raw = to_raw(b);

    return raw->uring && blk_uring_wait(raw->uring);
}

/* A smaller image is one that somebody truncated: the guest hears of it, and what it asks for
 * behind the new end fails. */
static void raw_check_size(struct blk *b)
{
    struct blk_raw *raw = to_raw(b);
    uint64_t size;

    if (raw->image->growing || blk_image_size(raw->image, &size) < 0 || size == b->size)
        return;
    if (size < b->size)
        log_warn("disk image shrank from %llu to %llu bytes under the guest",
                 (unsigned long long)b->size, (unsigned long long)size);
    blk_set_size(b, size);
}

static int raw_grow(struct blk *b, uint64_t size, struct vz_error *err)
{
    const struct blk_image *image = to_raw(b)->image;

    if (image->is_device)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "a block device of the host is made larger by whoever made it");
    if (ftruncate(image->fd, (off_t)size) < 0)
        return error_set(err, errno, VZ_ERROR_IO, "the disk image cannot have %llu bytes: %s",
                         (unsigned long long)size, strerror(errno));
    return 0;
}

static void look_at_size(void *arg)
{
    struct blk_raw *raw = arg;

    raw_check_size(&raw->b);
    loop_timer_arm(raw->look, clock_mono_ns() + LOOK_EVERY_NS);
}

static void do_rest(void *arg, struct blk_req *req)
{
    struct blk_raw *raw = arg;

    blk_pool_submit(raw->pool, req);
}

static int do_work(void *arg, struct blk_req *req)
{
    struct blk_raw *raw = arg;

    return blk_image_do(raw->image, req);
}

static void raw_close(struct blk *b)
{
    struct blk_raw *raw = to_raw(b);

    loop_timer_destroy(raw->look);
    blk_uring_destroy(raw->uring);
    blk_pool_destroy(raw->pool);
    blk_image_close(&raw->own);
}

static const struct blk_ops raw_ops = {
    .name = "raw", .submit = raw_submit, .unplug = raw_unplug, .cancel = raw_cancel,
    .wait = raw_wait, .check_size = raw_check_size, .grow = raw_grow, .close = raw_close};

static int make_engine(struct blk_raw *raw, enum blk_engine engine, struct vz_error *err)
{
    int r = 0;

    if (engine != BLK_ENGINE_THREADS)
        r = blk_uring_create(raw->image, raw->b.loop, do_rest, raw, &raw->uring);
    if (r < 0 && engine == BLK_ENGINE_URING)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, "the kernel refuses io_uring: %s",
                         strerror(-r));
    r = blk_pool_create(raw->uring ? 1 : THREADS, do_work, raw, &raw->pool);
    if (!r)
        r = loop_timer_create(raw->b.loop, look_at_size, raw, &raw->look);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot make a disk's threads: %s",
                         strerror(-r));
    return 0;
}

static int start(struct blk_raw *raw, const struct blk_image *image, uint64_t size,
                 enum blk_engine engine, struct loop *loop, struct vz_error *err)
{
    int r;

    raw->image = image;
    raw->b.size = image->growing ? align_down(INT64_MAX, BLK_SECTOR) : size;
    raw->b.block_size = BLK_SECTOR;
    raw->b.physical_block_size = image->physical_block_size;
    raw->b.discard_granularity = image->discard_granularity;
    raw->b.read_only = image->read_only;
    blk_init(&raw->b, &raw_ops, loop, NULL);
    r = make_engine(raw, engine, err);
    if (r < 0) {
        loop_timer_destroy(raw->look);
        blk_uring_destroy(raw->uring);
        blk_pool_destroy(raw->pool);
        blk_fini(&raw->b);
        return r;
    }
    if (!image->growing)
        loop_timer_arm(raw->look, clock_mono_ns() + LOOK_EVERY_NS);
    return 0;
}

static int make(const struct blk_image *own, const struct blk_image *other, uint64_t size,
                enum blk_engine engine, struct loop *loop, struct blk **ret, struct vz_error *err)
{
    struct blk_raw *raw = calloc(1, sizeof(*raw));
    int r;

    if (!raw)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    raw->own = own ? *own : (struct blk_image){.fd = -1, .direct_fd = -1};
    r = start(raw, other ? other : &raw->own, size, engine, loop, err);
    if (r < 0) {
        free(raw);
        return r;
    }
    *ret = &raw->b;
    return 0;
}

int blk_raw_open(const struct blk_raw_options *o, struct loop *loop, struct blk **ret,
                 struct vz_error *err)
{
    struct blk_image image;
    uint64_t size;
    int r = blk_image_open(o, &image, &size, err);

    if (r < 0)
        return r;
    r = blk_raw_take(&image, size, o->engine, loop, ret, err);
    blk_image_close(&image);
    return r;
}

int blk_raw_take(struct blk_image *image, uint64_t size, enum blk_engine engine, struct loop *loop,
                 struct blk **ret, struct vz_error *err)
{
    int r = make(image, NULL, size, engine, loop, ret, err);

    if (!r)
        image->fd = image->direct_fd = -1;
    return r;
}

int blk_raw_on(const struct blk_image *image, uint64_t size, enum blk_engine engine,
               struct loop *loop, struct blk **ret, struct vz_error *err)
{
    return make(NULL, image, size, engine, loop, ret, err);
}

const char *blk_raw_engine_name(const struct blk *b)
{
    return container_of(b, struct blk_raw, b)->uring ? "io_uring" : "threads";
}
