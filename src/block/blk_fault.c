/* SPDX-License-Identifier: MIT */
/* A disk that fails where it is told to: see blk_filters.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "block/blk_filters.h"

struct blk_faulty {
    struct blk b;
    struct blk_fault fault[BLK_FAULTS_MAX];
    uint64_t seen[BLK_FAULTS_MAX]; /* matching requests so far */
    unsigned count;
    uint32_t random;
};

/* A request whose answer gets lost needs a stand-in for the disk below. */
struct stand_in {
    struct blk_req req;
    struct blk_req *original;
    int err;
};

static struct blk_faulty *to_faulty(struct blk *b)
{
    return container_of(b, struct blk_faulty, b);
}

static bool touches(const struct blk_fault *f, const struct blk_req *req)
{
    if (f->ops && !(f->ops & BIT(req->op)))
        return false;
    if (!f->len)
        return true;
    return req->op != BLK_FLUSH && ranges_overlap(f->offset, f->len, req->offset, req->len);
}

/* xorshift32: the same each run. */
static bool by_chance(struct blk_faulty *d, unsigned percent)
{
    d->random ^= d->random << 13;
    d->random ^= d->random >> 17;
    d->random ^= d->random << 5;
    return !percent || d->random % 100 < percent;
}

static bool is_due(struct blk_faulty *d, unsigned i)
{
    const struct blk_fault *f = &d->fault[i];
    uint64_t nth = d->seen[i]++;

    return nth >= f->skip && (!f->times || nth - f->skip < f->times) && by_chance(d, f->percent);
}

static const struct blk_fault *find_fault(struct blk_faulty *d, const struct blk_req *req)
{
    for (unsigned i = 0; i < d->count; i++) {
        if (touches(&d->fault[i], req) && is_due(d, i))
            return &d->fault[i];
    }
    return NULL;
}

static void answer_lost(struct blk_req *req, int err)
{
    struct stand_in *s = container_of(req, struct stand_in, req);

    blk_complete(s->original, s->err);
    free(s);
}

static void fail_after(struct blk *b, struct blk_req *req, int err)
{
    struct stand_in *s = malloc(sizeof(*s));

    if (!s) {
        blk_complete(req, err);
        return;
    }
    *s = (struct stand_in){.req = *req, .original = req, .err = err};
    s->req.done = answer_lost;
    blk_submit(b->child, &s->req);
}

static void fault_submit(struct blk *b, struct blk_req *req)
{
    const struct blk_fault *f = find_fault(to_faulty(b), req);

    if (!f)
        blk_pass(b->child, req);
    else if (f->after)
        fail_after(b, req, f->err);
    else
        blk_complete(req, f->err);
}

/* Stand-ins are the child's own requests, which nobody but us waits for. */
static bool fault_wait(struct blk *b)
{
    if (!b->child->inflight)
        return false;
    blk_drain_wait(b->child);
    return true;
}

static void fault_close(struct blk *b)
{
}

static const struct blk_ops fault_ops = {.name = "fault", .submit = fault_submit,
                                         .wait = fault_wait, .close = fault_close};

int blk_fault_set(struct blk *b, const struct blk_fault *faults, unsigned count)
{
    struct blk_faulty *d = to_faulty(b);

    if (count > BLK_FAULTS_MAX)
        return -EINVAL;
    if (count)
        memcpy(d->fault, faults, count * sizeof(*faults));
    memset(d->seen, 0, sizeof(d->seen));
    d->count = count;
    return 0;
}

int blk_fault_create(struct blk *child, const struct blk_fault *faults, unsigned count,
                     struct blk **ret)
{
    struct blk_faulty *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    d->random = 0x9e3779b9;
    r = blk_fault_set(&d->b, faults, count);
    if (r < 0) {
        free(d);
        return r;
    }
    blk_init(&d->b, &fault_ops, child->loop, child);
    *ret = &d->b;
    return 0;
}
