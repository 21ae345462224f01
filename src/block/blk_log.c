/* SPDX-License-Identifier: MIT */
/* A disk that tells what it is asked for: see blk_filters.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "block/blk_filters.h"

struct blk_logger {
    struct blk b;
    void (*line)(void *arg, const char *text);
    void *arg;
};

/* What the disk below gets, so that its answer passes here. */
struct logged {
    struct blk_req req;
    struct blk_req *original;
    struct blk_logger *logger;
    uint64_t start_ns;
};

static const char *const op_name[BLK_OP_COUNT] = {"read", "write", "flush", "discard", "zero"};

const char *blk_op_name(enum blk_op op)
{
    return op < BLK_OP_COUNT ? op_name[op] : "?";
}

static void tell(const struct blk_logger *d, const struct blk_req *req, int err, uint64_t ns)
{
    char range[48] = "", text[160];

    if (req->op != BLK_FLUSH)
        snprintf(range, sizeof(range), " %llu+%llu", (unsigned long long)req->offset,
                 (unsigned long long)req->len);
    snprintf(text, sizeof(text), "%s%s%s%s: %s, %llu us", blk_op_name(req->op), range,
             req->fua ? " fua" : "", req->unmap ? " unmap" : "", err ? strerror(-err) : "ok",
             (unsigned long long)(ns / 1000));
    if (d->line)
        d->line(d->arg, text);
    else
        log_info("disk: %s", text);
}

static void logged_done(struct blk_req *req, int err)
{
    struct logged *l = container_of(req, struct logged, req);

    tell(l->logger, req, err, clock_mono_ns() - l->start_ns);
    blk_complete(l->original, err);
    free(l);
}

static void log_submit(struct blk *b, struct blk_req *req)
{
    struct logged *l = malloc(sizeof(*l));

    if (!l) {
        blk_pass(b->child, req); /* unseen, but served */
        return;
    }
    *l = (struct logged){.req = *req, .original = req, .start_ns = clock_mono_ns(),
                         .logger = container_of(b, struct blk_logger, b)};
    l->req.done = logged_done;
    blk_submit(b->child, &l->req);
}

static bool log_wait(struct blk *b)
{
    if (!b->child->inflight)
        return false;
    blk_drain_wait(b->child);
    return true;
}

static void log_close(struct blk *b)
{
}

static const struct blk_ops log_ops = {.name = "log", .submit = log_submit, .wait = log_wait,
                                       .close = log_close};

int blk_log_create(struct blk *child, void (*line)(void *arg, const char *text), void *arg,
                   struct blk **ret)
{
    struct blk_logger *d = calloc(1, sizeof(*d));

    if (!d)
        return -ENOMEM;
    d->line = line;
    d->arg = arg;
    blk_init(&d->b, &log_ops, child->loop, child);
    *ret = &d->b;
    return 0;
}
