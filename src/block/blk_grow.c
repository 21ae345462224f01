/* SPDX-License-Identifier: MIT */
/* Making disks longer while devices use them: see blk_grow() in blk.h.
 *
 * The loop must not wait for the host, which may have tables to write, or another server to ask. So it is done
 * on a thread, made for this once, while the disk's requests wait in a list. */
#include "block/blk_grow.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/thread.h"
#include "loop/loop.h"

/* ---- Requests meanwhile --------------------------------------------------------------------- */

bool blk_growth_hold(struct blk *b, struct blk_req *req)
{
    if (!b->growth)
        return false;
    if (!b->held)
        b->last_held = &b->held;
    req->next = NULL;
    *b->last_held = req;
    b->last_held = &req->next;
    b->held_count++;
    return true;
}

bool blk_growth_cancel(struct blk *b, struct blk_req *req)
{
    for (struct blk_req **at = &b->held; *at; at = &(*at)->next) {
        if (*at != req)
            continue;
        *at = req->next;
        if (!*at)
            b->last_held = at;
        b->held_count--;
        blk_complete(req, -ECANCELED);
        return true;
    }
    return false;
}

static void release(struct blk *b)
{
    struct blk_req *req = b->held;

    b->held = NULL;
    b->held_count = 0;
    blk_plug(b);
    while (req) {
        struct blk_req *next = req->next;

        b->ops->submit(b, req);
        req = next;
    }
    blk_unplug(b);
}

/* ---- The growth ----------------------------------------------------------------------------- */

static void finish(struct blk_growth *g)
{
    struct blk *b = g->blk;

    if (g->running)
        pthread_join(g->thread, NULL);
    g->done(g, g->result); /* now it is gone */
    b->growth = NULL;
    release(b);
    loop_work_queue(b->loop, &b->work); /* for those who wait until the disk is idle */
}

static void finish_work(void *arg)
{
    finish(arg);
}

static void *grow(void *arg)
{
    struct blk_growth *g = arg;

    g->result = g->holder->ops->grow(g->holder, g->size, &g->err);
    loop_work_queue(g->blk->loop, &g->work);
    return NULL;
}

void blk_growth_step(struct blk *b)
{
    struct blk_growth *g = b->growth;
    int r;

    if (!blk_growth_may_go(b) || g->running || g->result <= 0)
        return;
    g->running = true;
    /* Without SIGXFSZ: that is an error, not the end of the process. */
    r = thread_start(&g->thread, THREAD_DISK, "vz-disk", grow, g);
    if (!r)
        return;
    g->running = false;
    g->result = error_set(&g->err, -r, VZ_ERROR_NO_MEMORY, "cannot make a thread: %s", strerror(-r));
    loop_work_queue(b->loop, &g->work);
}

bool blk_growth_wait(struct blk *b)
{
    struct blk_growth *g = b->growth;

    if (!blk_growth_may_go(b))
        return false;
    blk_growth_step(b);
    if (g->running) {
        pthread_join(g->thread, NULL);
        g->running = false;
    }
    loop_work_cancel(b->loop, &g->work);
    finish(g);
    return true;
}

static int check(const struct blk *b, struct blk_growth *g)
{
    if (b->growth)
        return error_set(&g->err, EBUSY, VZ_ERROR_INVALID_STATE, "the disk is being made longer already");
    if (b->read_only)
        return error_set(&g->err, EROFS, VZ_ERROR_INVALID_STATE, "the disk is read-only");
    if (g->size & (b->block_size - 1) || g->size > INT64_MAX)
        return error_set(&g->err, EINVAL, VZ_ERROR_INVALID,
                         "a disk of blocks of %u bytes cannot have %llu bytes", b->block_size,
                         (unsigned long long)g->size);
    if (g->size < b->size)
        return error_set(&g->err, EINVAL, VZ_ERROR_INVALID,
                         "the disk has %llu bytes, and would lose its end while it is in use",
                         (unsigned long long)b->size);
    return 0;
}

int blk_grow(struct blk *b, struct blk_growth *g)
{
    struct blk *holder = b;
    int r = check(b, g);

    if (r < 0)
        return r;
    while (!holder->ops->grow && holder->child)
        holder = holder->child;
    if (!holder->ops->grow && g->size != b->size)
        return error_set(&g->err, ENOTSUP, VZ_ERROR_UNSUPPORTED, "a disk of this kind keeps its size");
    g->blk = b;
    g->holder = holder;
    g->running = false;
    g->work = (struct loop_work){.fn = finish_work, .arg = g};
    g->result = g->size != b->size; /* above 0: it is to be done yet */
    b->growth = g;
    if (!g->result)
        loop_work_queue(b->loop, &g->work);
    blk_growth_step(b);
    return 0;
}

void blk_grown(struct blk *b)
{
    blk_set_size(b->growth->holder, b->growth->size); /* filters hear of it from below */
}
