/* SPDX-License-Identifier: MIT */
/* For the tests of disks: a loop, and requests that are waited for by turning it. */
#ifndef VZ_BLOCK_BLK_FIXTURE_H
#define VZ_BLOCK_BLK_FIXTURE_H

#include <string.h>
#include <unistd.h>

#include "block/blk.h"
#include "entries.h"
#include "loop/loop.h"
#include "unit.h"

struct job {
    struct blk_req req;
    struct iovec iov;
    struct loop *loop;
    unsigned done; /* times */
    int err;
    unsigned *order; /* a count of completions, and this one's place in it */
    unsigned place;
    bool quiet;      /* does not stop the loop */
};

static inline void job_done(struct blk_req *req, int err)
{
    struct job *j = container_of(req, struct job, req);

    j->done++;
    j->err = err;
    if (j->order)
        j->place = ++*j->order;
    if (!j->quiet)
        loop_stop(j->loop);
}

static inline void job_init(struct job *j, struct blk *b, enum blk_op op, uint64_t offset,
                            void *data, uint64_t len)
{
    *j = (struct job){.loop = b->loop, .iov = {data, len}};
    j->req = (struct blk_req){.op = op, .offset = offset, .len = len, .iov = &j->iov,
                              .iov_count = 1, .done = job_done};
}

/* One request, to its end. */
static inline int job_run(struct job *j, struct blk *b)
{
    blk_submit(b, &j->req);
    ck_assert_uint_eq(j->done, 0);
    loop_run(b->loop);
    ck_assert_uint_eq(j->done, 1);
    return j->err;
}

static inline int do_op(struct blk *b, enum blk_op op, uint64_t offset, void *data, uint64_t len)
{
    struct job j;

    job_init(&j, b, op, offset, data, len);
    return job_run(&j, b);
}

struct growing {
    struct blk_growth g;
    unsigned done;
    int result;
};

static inline void growing_done(struct blk_growth *g, int r)
{
    struct growing *w = container_of(g, struct growing, g);

    w->done++;
    w->result = r;
    if (!r)
        blk_grown(g->blk);
}

/* Make it longer, and wait without turning the loop. */
static inline int do_grow(struct blk *b, uint64_t size)
{
    struct growing w = {.g = {.size = size, .done = growing_done}};
    int r = blk_grow(b, &w.g);

    if (r < 0) {
        ck_assert_int_ne(w.g.err.code, VZ_ERROR_NONE);
        return r;
    }
    ck_assert_uint_eq(w.done, 0);
    blk_drain_wait(b);
    ck_assert_uint_eq(w.done, 1);
    return w.result;
}

/* A pattern that tells places apart. */
static inline void fill(uint8_t *p, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        p[i] = (uint8_t)(seed >> 56);
    }
}

static inline bool is_zero(const uint8_t *p, size_t len)
{
    return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

#endif
