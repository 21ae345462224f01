/* SPDX-License-Identifier: MIT */
/* A disk on an NBD server: see image_remote.h. */
#include "block/image_remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "block/blk_nbd.h"
#include "block/image_copy.h"
#include "loop/loop.h"

#define TIMEOUT_MS 30000u
#define LOOK_MS    100u
#define PARTS_MAX  16u
#define PART_MIN   (256 * KIB) /* IMAGE_PIECE / PARTS_MAX */

/* A part of what is read or written. */
struct part {
    struct blk_req req;
    struct iovec iov;
    struct image_remote *remote;
};

struct image_remote {
    struct loop *loop;
    struct loop_timer *timer;
    struct blk *blk;
    const struct image_progress *progress;
    uint64_t done, total;       /* for progress */
    bool is_cancelled;
    struct part part[PARTS_MAX];
    unsigned under_way;
    int err;                    /* the first one of the parts */
    uint64_t at, end;           /* of read_all(): what has not been asked for yet */
    image_remote_part_fn *fn;
    void *fn_arg;
    bool fn_failed;
    struct blk_nbd_look look;
};

/* ---- Going on, or not ----------------------------------------------------------------------- */

static bool goes_on(void *arg)
{
    const struct image_remote *m = arg;

    return image_goes_on(m->progress, m->done, m->total);
}

static void on_timer(void *arg)
{
    struct image_remote *m = arg;

    if (!m->is_cancelled && !goes_on(m)) {
        m->is_cancelled = true;
        blk_nbd_abandon(m->blk);
    }
    loop_timer_arm(m->timer, clock_mono_ns() + LOOK_MS * NS_PER_MS);
}

static int wait_for_all(struct image_remote *m)
{
    loop_timer_arm(m->timer, clock_mono_ns() + LOOK_MS * NS_PER_MS);
    while (m->under_way)
        loop_run(m->loop);
    loop_timer_disarm(m->timer);
    return m->is_cancelled ? -ECANCELED : m->err;
}

static void ended(struct image_remote *m, int err)
{
    m->err = m->err ? m->err : err;
    if (!--m->under_way)
        loop_stop(m->loop);
}

/* ---- Life ----------------------------------------------------------------------------------- */

int image_remote_open(const char *uri, bool read_only, const struct image_progress *p, struct image_remote **ret,
                      struct vz_error *err)
{
    struct image_remote *m = calloc(1, sizeof(*m));
    const struct blk_nbd_options o = {.uri = uri, .read_only = read_only, .timeout_ms = TIMEOUT_MS, .looks = read_only,
                                      .goes_on = goes_on, .goes_on_arg = m};
    int r = m ? loop_create(&m->loop) : -ENOMEM;

    if (!r)
        r = loop_timer_create(m->loop, on_timer, m, &m->timer);
    if (r < 0) {
        image_remote_close(m);
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot make an event loop: %s", strerror(-r));
    }
    m->progress = p;
    r = blk_nbd_open(&o, m->loop, &m->blk, err);
    if (r < 0) {
        image_remote_close(m);
        return r;
    }
    *ret = m;
    return 0;
}

void image_remote_close(struct image_remote *m)
{
    if (!m)
        return;
    blk_close(m->blk);
    loop_timer_destroy(m->timer);
    loop_destroy(m->loop);
    free(m);
}

void image_remote_progress(struct image_remote *m, uint64_t done, uint64_t total)
{
    m->done = done;
    m->total = total;
}

uint64_t image_remote_size(const struct image_remote *m)
{
    return m->blk->size;
}

bool image_remote_is_read_only(const struct image_remote *m)
{
    return m->blk->read_only;
}

/* ---- Requests ------------------------------------------------------------------------------- */

static void part_done(struct blk_req *req, int err)
{
    ended(container_of(req, struct part, req)->remote, err);
}

static uint64_t part_len(const struct blk_req *req)
{
    return req->op == BLK_WRITE ? MAX(align_up(req->len / PARTS_MAX, PART_MIN), PART_MIN) : req->len;
}

static void submit_part(struct image_remote *m, const struct blk_req *req, uint64_t at, uint64_t len)
{
    struct part *p = &m->part[m->under_way++];

    p->remote = m;
    p->req = (struct blk_req){.op = req->op, .unmap = req->unmap, .offset = req->offset + at, .len = len, .done = part_done};
    if (req->iov_count) {
        p->iov = (struct iovec){(uint8_t *)req->iov[0].iov_base + at, len};
        p->req.iov = &p->iov;
        p->req.iov_count = 1;
    }
    blk_submit(m->blk, &p->req);
}

int image_remote_do(struct image_remote *m, const struct blk_req *req)
{
    uint64_t each = part_len(req), at = 0;

    if (m->is_cancelled)
        return -ECANCELED;
    m->err = 0;
    blk_plug(m->blk);
    do {
        submit_part(m, req, at, MIN(each, req->len - at));
        at += each;
    } while (at < req->len);
    blk_unplug(m->blk);
    return wait_for_all(m);
}

static void ask_for_next(struct image_remote *m, struct part *p)
{
    p->iov.iov_len = MIN(PART_MIN, m->end - m->at);
    p->req.offset = m->at;
    p->req.len = p->iov.iov_len;
    m->at += p->iov.iov_len;
    blk_submit(m->blk, &p->req);
}

static void part_came(struct blk_req *req, int err)
{
    struct part *p = container_of(req, struct part, req);
    struct image_remote *m = p->remote;

    if (!err && !m->err) {
        err = m->fn(m->fn_arg, req->offset, p->iov.iov_base, req->len);
        m->fn_failed = err;
    }
    if (!err && !m->err && m->at < m->end)
        ask_for_next(m, p);
    else
        ended(m, err);
}

int image_remote_read_all(struct image_remote *m, uint64_t offset, uint64_t len, uint8_t *buffer,
                          image_remote_part_fn *fn, void *arg, bool *ret_reading)
{
    int r;

    *ret_reading = true;
    if (m->is_cancelled)
        return -ECANCELED;
    m->err = 0;
    m->at = offset;
    m->end = offset + len;
    m->fn = fn;
    m->fn_arg = arg;
    m->fn_failed = false;
    blk_plug(m->blk);
    while (m->under_way < PARTS_MAX && m->at < m->end) {
        struct part *p = &m->part[m->under_way];

        *p = (struct part){.remote = m, .iov.iov_base = buffer + m->under_way++ * PART_MIN,
                           .req = {.op = BLK_READ, .iov = &p->iov, .iov_count = 1, .done = part_came}};
        ask_for_next(m, p);
    }
    blk_unplug(m->blk);
    r = wait_for_all(m);
    *ret_reading = !m->fn_failed;
    return r;
}

static void looked(struct blk_nbd_look *look, int err)
{
    ended(container_of(look, struct image_remote, look), err);
}

int image_remote_look(struct image_remote *m, uint64_t offset, uint64_t len, bool *ret_zeroes, uint64_t *ret_len)
{
    int r;

    *ret_zeroes = false;
    *ret_len = len;
    if (m->is_cancelled)
        return -ECANCELED;
    m->err = 0;
    m->look = (struct blk_nbd_look){.offset = offset, .len = MIN(len, UINT64_C(1) << 30), .done = looked};
    if (!blk_nbd_look(m->blk, &m->look))
        return 0;
    m->under_way = 1;
    r = wait_for_all(m);
    if (r == -ECANCELED)
        return r;
    if (r < 0 || !m->look.ret_len)
        return 0; /* then it is read, and says what is wrong */
    *ret_zeroes = m->look.ret_zeroes;
    *ret_len = m->look.ret_len;
    return 0;
}
