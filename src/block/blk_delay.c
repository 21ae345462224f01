/* SPDX-License-Identifier: MIT */
/* A slow disk: see blk_filters.h. Requests wait in a list by deadline, for one timer. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "block/blk_filters.h"
#include "loop/loop.h"

struct blk_delay {
    struct blk b;
    uint32_t delay_ms[BLK_OP_COUNT];
    struct loop_timer *timer;
    struct blk_req *first;
};

static struct blk_delay *to_delay(struct blk *b)
{
    return container_of(b, struct blk_delay, b);
}

static void arm(struct blk_delay *d)
{
    if (d->first)
        loop_timer_arm(d->timer, d->first->deadline_ns);
}

/* Among requests of one deadline the order of submission stays. */
static void delay_submit(struct blk *b, struct blk_req *req)
{
    struct blk_delay *d = to_delay(b);
    struct blk_req **at = &d->first;

    req->deadline_ns = clock_mono_ns() + d->delay_ms[req->op] * NS_PER_MS;
    while (*at && (*at)->deadline_ns <= req->deadline_ns)
        at = &(*at)->next;
    req->next = *at;
    *at = req;
    if (d->first == req)
        arm(d);
}

static void pass_due(struct blk_delay *d, uint64_t now_ns)
{
    while (d->first && d->first->deadline_ns <= now_ns) {
        struct blk_req *req = d->first;

        d->first = req->next;
        blk_pass(d->b.child, req);
    }
    arm(d);
}

static void timer_fired(void *arg)
{
    pass_due(arg, clock_mono_ns());
}

static void delay_cancel(struct blk *b, struct blk_req *req)
{
    struct blk_req **at = &to_delay(b)->first;

    while (*at && *at != req)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = req->next;
    blk_complete(req, -ECANCELED);
}

static bool delay_wait(struct blk *b)
{
    struct blk_delay *d = to_delay(b);

    if (!d->first)
        return false;
    pass_due(d, UINT64_MAX);
    return true;
}

static void delay_close(struct blk *b)
{
    loop_timer_destroy(to_delay(b)->timer);
}

static const struct blk_ops delay_ops = {.name = "delay", .submit = delay_submit,
                                         .cancel = delay_cancel, .wait = delay_wait,
                                         .close = delay_close};

int blk_delay_create(struct blk *child, const uint32_t delay_ms[BLK_OP_COUNT], struct blk **ret)
{
    struct blk_delay *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    for (unsigned i = 0; i < BLK_OP_COUNT; i++)
        d->delay_ms[i] = delay_ms[i];
    r = loop_timer_create(child->loop, timer_fired, d, &d->timer);
    if (r < 0) {
        free(d);
        return r;
    }
    blk_init(&d->b, &delay_ops, child->loop, child);
    *ret = &d->b;
    return 0;
}
