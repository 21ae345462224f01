/* SPDX-License-Identifier: MIT */
/* A disk's io_uring: see blk_uring.h. What does not fit into the ring waits in a list; the ring's
 * own descriptor tells the loop of completions. */
#include "block/blk_uring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "loop/loop.h"

#define DEPTH    128u
#define RETRY_NS (2 * NS_PER_MS)

struct blk_uring {
    const struct blk_image *image;
    void (*rest)(void *arg, struct blk_req *req);
    void *arg;
    struct loop_fd *watch;
    struct loop_timer *retry;         /* after the kernel was short of something */
    struct io_uring ring;
    unsigned filled, inflight;        /* in the ring; of those, told to the kernel or about to be */
    struct blk_req *first, **last;    /* that wait for room */
};

/* What prepare() asks for, and all that the ring ever does: no filter sees what goes through it. */
static int restrict_ring(struct io_uring *ring)
{
    static const uint8_t ops[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC};
    struct io_uring_restriction r[ARRAY_SIZE(ops)] = {{0}};
    int fd = ring->ring_fd;

    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        r[i].opcode = IORING_RESTRICTION_SQE_OP;
        r[i].sqe_op = ops[i];
    }
    /* Not by liburing: 2.3 declares functions for this, and does not export them. */
    return syscall(SYS_io_uring_register, fd, IORING_REGISTER_RESTRICTIONS, r, ARRAY_SIZE(ops)) < 0 ||
                   syscall(SYS_io_uring_register, fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0
               ? -errno
               : 0;
}

/* Without restrictions on a kernel that has none (before 5.10). */
static int make_ring(struct io_uring *ring)
{
    int r = io_uring_queue_init(DEPTH, ring, IORING_SETUP_R_DISABLED);

    if (r == 0 && restrict_ring(ring) == 0)
        return 0;
    if (r == 0)
        io_uring_queue_exit(ring);
    return io_uring_queue_init(DEPTH, ring, 0);
}

static void prepare(struct blk_uring *u, struct io_uring_sqe *sqe, struct blk_req *req)
{
    const struct blk_image *im = u->image;
    int fd = blk_image_fd(im, req);

    switch (req->op) {
    case BLK_READ:
        io_uring_prep_readv(sqe, fd, req->iov, req->iov_count, req->offset);
        break;
    case BLK_WRITE:
        io_uring_prep_writev2(sqe, fd, req->iov, req->iov_count, req->offset,
                              req->fua && im->sync != BLK_SYNC_NONE ? RWF_DSYNC : 0);
        break;
    default:
        io_uring_prep_fsync(sqe, im->fd,
                            im->sync == BLK_SYNC_FULL ? 0 : IORING_FSYNC_DATASYNC);
    }
    io_uring_sqe_set_data(sqe, req);
}

/* Move waiting requests into the ring, and tell the kernel. */
void blk_uring_kick(struct blk_uring *u)
{
    int r;

    while (u->first && u->inflight < DEPTH) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
        struct blk_req *req = u->first;

        if (!sqe)
            break;
        u->first = req->next;
        if (!u->first)
            u->last = &u->first;
        prepare(u, sqe, req);
        u->inflight++;
        u->filled++;
    }
    if (!u->filled)
        return;
    r = io_uring_submit(&u->ring);
    if (r > 0)
        u->filled -= MIN(u->filled, (unsigned)r);
    if (u->filled)
        loop_timer_arm(u->retry, clock_mono_ns() + RETRY_NS);
}

void blk_uring_submit(struct blk_uring *u, struct blk_req *req)
{
    req->next = NULL;
    *u->last = req;
    u->last = &req->next;
}

static void finish(struct blk_uring *u, struct blk_req *req, int result)
{
    if (result == -EAGAIN || result == -EINTR ||
        (req->op != BLK_FLUSH && result > 0 && (uint64_t)result < req->len) ||
        (req->op == BLK_READ && !result && u->image->growing)) {
        req->moved = result > 0 ? (uint64_t)result : 0;
        u->rest(u->arg, req);
    } else if (result < 0) {
        blk_finish(req, result);
    } else {
        /* nothing moved: the file ends before here, it was truncated under us */
        blk_finish(req, req->op != BLK_FLUSH && !result ? -EIO : 0);
    }
}

/* Bounded by what is there now: what done() submits anew waits for the next turn. */
static void reap(struct blk_uring *u)
{
    unsigned count = io_uring_cq_ready(&u->ring);

    for (; count; count--) {
        struct io_uring_cqe *cqe;
        struct blk_req *req;
        int result;

        if (io_uring_peek_cqe(&u->ring, &cqe) || !cqe)
            break;
        req = io_uring_cqe_get_data(cqe);
        result = cqe->res;
        io_uring_cqe_seen(&u->ring, cqe);
        u->inflight--;
        finish(u, req, result);
    }
}

static void ring_event(void *arg, unsigned events)
{
    struct blk_uring *u = arg;

    reap(u);
    blk_uring_kick(u);
}

static void retry_now(void *arg)
{
    blk_uring_kick(arg);
}

bool blk_uring_wait(struct blk_uring *u)
{
    struct io_uring_cqe *cqe;

    blk_uring_kick(u);
    if (!u->inflight)
        return false;
    if (u->inflight > u->filled)
        io_uring_wait_cqe(&u->ring, &cqe);
    reap(u);
    return true;
}

int blk_uring_create(const struct blk_image *image, struct loop *loop,
                     void (*rest)(void *arg, struct blk_req *req), void *arg,
                     struct blk_uring **ret)
{
    struct blk_uring *u = calloc(1, sizeof(*u));
    int r;

    if (!u)
        return -ENOMEM;
    u->image = image;
    u->rest = rest;
    u->arg = arg;
    u->last = &u->first;
    r = make_ring(&u->ring);
    if (r < 0) {
        free(u);
        return r;
    }
    io_uring_ring_dontfork(&u->ring);
    r = loop_timer_create(loop, retry_now, u, &u->retry);
    if (!r)
        r = loop_fd_add(loop, u->ring.ring_fd, LOOP_READ, ring_event, u, &u->watch);
    if (r < 0) {
        blk_uring_destroy(u);
        return r;
    }
    *ret = u;
    return 0;
}

void blk_uring_destroy(struct blk_uring *u)
{
    if (!u)
        return;
    loop_fd_remove(u->watch);
    loop_timer_destroy(u->retry);
    io_uring_queue_exit(&u->ring);
    free(u);
}
