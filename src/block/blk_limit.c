/* SPDX-License-Identifier: MIT */
/* A disk with a speed limit: see blk_filters.h. Requests wait in their order, for one timer. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "block/blk_filters.h"
#include "base/rate_bucket.h"
#include "loop/loop.h"

struct blk_limit {
    struct blk b;
    struct blk_limits limits;
    struct rate_bucket bytes, ops;
    struct loop_timer *timer;
    struct blk_req *first, **last;
};

static struct blk_limit *to_limit(struct blk *b)
{
    return container_of(b, struct blk_limit, b);
}

static uint64_t bytes_of(const struct blk_req *req)
{
    return req->op == BLK_READ || req->op == BLK_WRITE ? req->len : 0;
}

static void pass_first(struct blk_limit *l)
{
    struct blk_req *req = l->first;

    l->first = req->next;
    if (!l->first)
        l->last = &l->first;
    rate_bucket_take(&l->ops, 1);
    rate_bucket_take(&l->bytes, bytes_of(req));
    blk_pass(l->b.child, req);
}

/* Pass on all that may go, and come back when the next one may. */
static void go_on(struct blk_limit *l)
{
    while (l->first) {
        uint64_t now = clock_mono_ns();
        uint64_t when = MAX(rate_bucket_when(&l->ops, 1, now),
                            rate_bucket_when(&l->bytes, bytes_of(l->first), now));

        if (when > now) {
            loop_timer_arm(l->timer, when);
            return;
        }
        pass_first(l);
    }
}

static void timer_fired(void *arg)
{
    go_on(arg);
}

static void limit_submit(struct blk *b, struct blk_req *req)
{
    struct blk_limit *l = to_limit(b);
    bool is_first = !l->first;

    if (is_first && !l->limits.bytes && !l->limits.ops) {
        blk_pass(b->child, req);
        return;
    }
    req->next = NULL;
    *l->last = req;
    l->last = &req->next;
    if (is_first)
        go_on(l);
    if (l->first) { /* so the last one, which is this, is there yet */
        STATS_ADD(&b->stats, limited, 1);
        STATS_ADD(b->sum, limited, 1);
    }
}

static void limit_cancel(struct blk *b, struct blk_req *req)
{
    struct blk_limit *l = to_limit(b);
    struct blk_req **at = &l->first;

    while (*at && *at != req)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = req->next;
    if (!*at)
        l->last = at;
    blk_complete(req, -ECANCELED);
}

/* The loop does not turn: the machine comes to rest, which no limit holds up. */
static bool limit_wait(struct blk *b)
{
    struct blk_limit *l = to_limit(b);
    bool any = l->first;

    while (l->first)
        pass_first(l);
    return any;
}

static void limit_close(struct blk *b)
{
    loop_timer_destroy(to_limit(b)->timer);
}

static const struct blk_ops limit_ops = {.name = "limit", .submit = limit_submit,
                                         .cancel = limit_cancel, .wait = limit_wait,
                                         .close = limit_close};

static uint64_t burst_of(uint64_t rate, uint32_t burst_ms)
{
    return mul_div_u64(rate, burst_ms ? burst_ms : BLK_LIMIT_BURST_MS, 1000);
}

int blk_limit_create(struct blk *child, const struct blk_limits *limits, struct blk **ret)
{
    struct blk_limit *l = calloc(1, sizeof(*l));
    uint64_t now = clock_mono_ns();
    int r;

    if (!l)
        return -ENOMEM;
    l->last = &l->first;
    l->limits = *limits;
    rate_bucket_init(&l->bytes, limits->bytes, burst_of(limits->bytes, limits->burst_ms), now);
    rate_bucket_init(&l->ops, limits->ops, burst_of(limits->ops, limits->burst_ms), now);
    r = loop_timer_create(child->loop, timer_fired, l, &l->timer);
    if (r < 0) {
        free(l);
        return r;
    }
    blk_init(&l->b, &limit_ops, child->loop, child);
    *ret = &l->b;
    return 0;
}

void blk_limit_set(struct blk *b, const struct blk_limits *limits)
{
    struct blk_limit *l = to_limit(b);
    uint64_t now = clock_mono_ns();

    l->limits = *limits;
    rate_bucket_change(&l->bytes, limits->bytes, burst_of(limits->bytes, limits->burst_ms), now);
    rate_bucket_change(&l->ops, limits->ops, burst_of(limits->ops, limits->burst_ms), now);
    go_on(l);
}

struct blk_limits blk_limit_get(struct blk *b)
{
    return to_limit(b)->limits;
}
