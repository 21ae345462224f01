/* SPDX-License-Identifier: MIT */
/* What all disks share: checks, counters, and the way from a completion on any thread to done() on
 * the loop thread. See blk.h.
 *
 * Completed requests wait in a list, and a work brings the loop to it: neither can fail. */
#include "block/blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/trace.h"
#include "block/blk_filters.h"
#include "block/blk_grow.h"
#include "loop/loop.h"

#define COUNT(b, name, n)                                                                          \
    do {                                                                                           \
        STATS_ADD(&(b)->stats, name, n);                                                           \
        STATS_ADD((b)->sum, name, n);                                                              \
    } while (0)

static void deliver_work(void *arg);

/* The disk under a filter changed its size. */
static void child_resized(void *arg)
{
    struct blk *b = arg;

    blk_set_size(b, b->child->size);
}

static const struct blk_client filter_client = {.resized = child_resized};

void blk_init(struct blk *b, const struct blk_ops *ops, struct loop *loop, struct blk *child)
{
    b->ops = ops;
    b->loop = loop;
    b->trace = trace_mask();
    b->last = &b->first;
    b->work = (struct loop_work){.fn = deliver_work, .arg = b};
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->some, NULL);
    if (child) {
        child->client = &filter_client;
        child->client_arg = b;
        b->child = child;
        b->size = child->size;
        b->block_size = child->block_size;
        b->physical_block_size = child->physical_block_size;
        b->discard_granularity = child->discard_granularity;
        b->read_only = child->read_only;
    }
}

struct blk *blk_top(struct blk *b)
{
    while (b->client == &filter_client)
        b = b->client_arg;
    return b;
}

void blk_rest(struct blk *b)
{
    if (b->ops->rest)
        b->ops->rest(b);
}

struct blk *blk_exchange(struct blk *b, struct blk *child)
{
    struct blk *old = b->child;

    if (old)
        old->client = NULL;
    b->child = child;
    if (child) {
        child->client = &filter_client;
        child->client_arg = b;
    }
    return old;
}

void blk_fini(struct blk *b)
{
    loop_work_cancel(b->loop, &b->work);
    pthread_cond_destroy(&b->some);
    pthread_mutex_destroy(&b->lock);
}

/* ---- Submitting ----------------------------------------------------------------------------- */

static bool is_aligned(const struct blk *b, uint64_t v)
{
    return !(v & (b->block_size - 1));
}

static bool iov_fits(const struct blk_req *req)
{
    uint64_t sum = 0;

    if (!req->iov_count || req->iov_count > BLK_IOV_MAX)
        return false;
    for (unsigned i = 0; i < req->iov_count; i++) {
        if (!add_u64(sum, req->iov[i].iov_len, &sum))
            return false;
    }
    return sum == req->len;
}

static int check_req(const struct blk *b, const struct blk_req *req)
{
    bool is_rw = req->op == BLK_READ || req->op == BLK_WRITE;

    if (req->op == BLK_FLUSH)
        return 0;
    if (b->read_only && req->op != BLK_READ)
        return -EROFS;
    if (!range_fits(req->offset, req->len, b->size) || !is_aligned(b, req->offset) ||
        !is_aligned(b, req->len) || !req->len)
        return -EINVAL;
    return is_rw && !iov_fits(req) ? -EINVAL : 0;
}

static void count_req(struct blk *b, const struct blk_req *req)
{
    switch (req->op) {
    case BLK_READ: COUNT(b, reads, 1); break;
    case BLK_WRITE: COUNT(b, writes, 1); break;
    case BLK_FLUSH: COUNT(b, flushes, 1); break;
    case BLK_DISCARD: COUNT(b, discards, 1); break;
    default: COUNT(b, zeroes, 1); break;
    }
}

void blk_submit(struct blk *b, struct blk_req *req)
{
    int err = req->op < BLK_OP_COUNT ? check_req(b, req) : -EINVAL;

    TRACE(b->trace, block, b->ops->name, b, "%s %llu+%llu",
          req->op < BLK_OP_COUNT ? blk_op_name(req->op) : "?", (unsigned long long)req->offset,
          (unsigned long long)req->len);

    req->blk = b;
    req->moved = 0;
    req->started_ns = b->is_part ? 0 : clock_mono_ns();
    b->inflight++;
    if (err) {
        COUNT(b, refused, 1);
        blk_complete(req, err);
        return;
    }
    count_req(b, req);
    if (blk_growth_hold(b, req))
        return;
    b->ops->submit(b, req);
    if (!b->plugged && b->ops->unplug)
        b->ops->unplug(b);
}

void blk_pass(struct blk *child, struct blk_req *req)
{
    child->ops->submit(child, req);
    if (!child->plugged && child->ops->unplug)
        child->ops->unplug(child);
}

void blk_plug(struct blk *b)
{
    for (; b; b = b->child)
        b->plugged++;
}

void blk_unplug(struct blk *b)
{
    for (; b; b = b->child) {
        if (!--b->plugged && b->ops->unplug)
            b->ops->unplug(b);
    }
}

void blk_cancel(struct blk *b, struct blk_req *req)
{
    if (blk_growth_cancel(b, req))
        return;
    for (; b; b = b->child) {
        if (b->ops->cancel)
            b->ops->cancel(b, req);
    }
}

/* ---- Completing ----------------------------------------------------------------------------- */

static void wake(struct blk *b)
{
    loop_work_queue(b->loop, &b->work);
}

void blk_complete(struct blk_req *req, int err)
{
    struct blk *b = req->blk;
    bool was_empty;

    req->err = err;
    req->next = NULL;
    pthread_mutex_lock(&b->lock);
    was_empty = !b->first;
    *b->last = req;
    b->last = &req->next;
    pthread_cond_signal(&b->some);
    if (was_empty)
        wake(b); /* under the lock: afterwards the disk may be gone */
    pthread_mutex_unlock(&b->lock);
}

/* An idle disk calls those who wait for that. They may wait again. */
static void tell_idle(struct blk *b)
{
    struct blk_drain *d = b->drains;

    if (b->inflight || b->growth || !d)
        return;
    b->drains = NULL;
    while (d) {
        struct blk_drain *next = d->next;

        d->idle(d->arg);
        d = next;
    }
}

/* Only the loop thread adds. */
static void add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_relaxed);
}

static void count_time(struct blk_time *t, uint64_t ns)
{
    uint64_t us = ns / 1000;
    unsigned i = us ? 64 - (unsigned)__builtin_clzll(us) : 0;

    add(&t->total_ns, ns);
    add(&t->count[MIN(i, BLK_TIME_COUNTS - 1)], 1);
    if (ns > atomic_load_explicit(&t->max_ns, memory_order_relaxed))
        atomic_store_explicit(&t->max_ns, ns, memory_order_relaxed);
}

void blk_finish(struct blk_req *req, int err)
{
    struct blk *b = req->blk;

    TRACE(b->trace, block, b->ops->name, b, "%s %llu: %s", blk_op_name(req->op),
          (unsigned long long)req->offset, err ? strerror(-err) : "done");
    if (err)
        COUNT(b, errors, 1);
    else if (req->op == BLK_READ)
        COUNT(b, bytes_read, req->len);
    else if (req->op == BLK_WRITE)
        COUNT(b, bytes_written, req->len);
    if (req->op < BLK_OP_COUNT && !b->is_part)
        count_time(&b->stats.time[req->op], clock_mono_ns() - req->started_ns);
    b->inflight--;
    req->done(req, err);
    if ((b->drains && !b->inflight) || blk_growth_may_go(b))
        wake(b); /* not from here: we may be deep inside a backend */
}

/* Call done() of all that completed; false when there was nothing. */
static bool deliver(struct blk *b)
{
    struct blk_req *req;

    pthread_mutex_lock(&b->lock);
    req = b->first;
    b->first = NULL;
    b->last = &b->first;
    pthread_mutex_unlock(&b->lock);
    if (!req)
        return false;
    blk_plug(b); /* what done() submits in answer goes out together */
    while (req) {
        struct blk_req *next = req->next;

        blk_finish(req, req->err);
        req = next;
    }
    blk_unplug(b);
    return true;
}

static void deliver_work(void *arg)
{
    struct blk *b = arg;

    deliver(b);
    blk_growth_step(b);
    tell_idle(b);
}

/* ---- Draining and closing ------------------------------------------------------------------- */

void blk_drain(struct blk *b, struct blk_drain *d)
{
    d->next = b->drains;
    b->drains = d;
    if (!b->inflight)
        wake(b);
}

static void wait_some(struct blk *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->first)
        pthread_cond_wait(&b->some, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

void blk_drain_wait(struct blk *b)
{
    while (b->inflight || b->growth) {
        bool went_on = false;

        if (deliver(b) || blk_growth_wait(b))
            continue;
        for (struct blk *i = b; i && b->inflight; i = i->child) {
            if (i->ops->wait && i->ops->wait(i))
                went_on = true;
        }
        if (!went_on)
            wait_some(b);
    }
    tell_idle(b);
}

void blk_close(struct blk *b)
{
    while (b) {
        struct blk *child = b->child;

        blk_drain_wait(b);
        b->ops->close(b);
        blk_fini(b);
        free(b);
        b = child;
    }
}

/* ---- Size and client ------------------------------------------------------------------------ */

int blk_attach(struct blk *b, const struct blk_client *client, void *arg)
{
    if (b->client)
        return -EBUSY;
    b->client = client;
    b->client_arg = arg;
    return 0;
}

void blk_detach(struct blk *b)
{
    b->client = NULL;
}

void blk_set_size(struct blk *b, uint64_t size)
{
    if (size == b->size)
        return;
    b->size = size;
    if (b->client && b->client->resized)
        b->client->resized(b->client_arg);
}

void blk_check_size(struct blk *b)
{
    for (; b; b = b->child) {
        if (b->ops->check_size)
            b->ops->check_size(b);
    }
}

void blk_stats_tell(const struct blk_stats *s, stats_fn *fn, void *arg)
{
#define TELL_(name) STATS_TELL_IN("block", name)
    BLK_COUNTERS(TELL_)
#undef TELL_
}
