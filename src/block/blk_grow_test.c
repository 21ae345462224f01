/* SPDX-License-Identifier: MIT */
/* Disks that become longer while they are used: the loop goes on, requests wait, and nothing is lost. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "blk_fixture.h"
#include "block/blk_filters.h"

#define SIZE UINT64_C(65536)

/* A disk of nothing, whose growth takes until the test lets it go on. */
struct slow {
    struct blk b;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool go, began;
    int result;
    unsigned submitted;
};

static void slow_submit(struct blk *b, struct blk_req *req)
{
    container_of(b, struct slow, b)->submitted++;
    blk_complete(req, 0);
}

static int slow_grow(struct blk *b, uint64_t size, struct vz_error *err)
{
    struct slow *s = container_of(b, struct slow, b);

    pthread_mutex_lock(&s->lock);
    s->began = true;
    pthread_cond_broadcast(&s->changed);
    while (!s->go)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return s->result ? error_set(err, -s->result, VZ_ERROR_IO, "no") : 0;
}

static void slow_close(struct blk *b)
{
}

static const struct blk_ops slow_ops = {
    .name = "slow", .submit = slow_submit, .grow = slow_grow, .close = slow_close};

static struct loop *loop;

static struct slow *make(int result)
{
    struct slow *s = calloc(1, sizeof(*s));

    ck_assert_int_eq(loop_create(&loop), 0);
    *s = (struct slow){.result = result, .lock = PTHREAD_MUTEX_INITIALIZER,
                       .changed = PTHREAD_COND_INITIALIZER};
    s->b.size = SIZE;
    s->b.block_size = s->b.physical_block_size = BLK_SECTOR;
    blk_init(&s->b, &slow_ops, loop, NULL);
    return s;
}

static void wait_until_it_began(struct slow *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->began)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void let_go(struct slow *s)
{
    pthread_mutex_lock(&s->lock);
    s->go = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void stop(void *arg)
{
    loop_stop(arg);
}

/* Everything that waits on the loop has been done. */
static void turn(void)
{
    struct loop_work w = {.fn = stop, .arg = loop};

    loop_work_queue(loop, &w);
    loop_run(loop);
}

static void count_idle(void *arg)
{
    ++*(unsigned *)arg;
}

START_TEST(the_loop_goes_on_and_requests_wait)
{
    struct slow *s = make(0);
    struct growing w = {.g = {.size = 2 * SIZE, .done = growing_done}}, other = w;
    struct job before, during, cancelled;
    unsigned idle = 0;
    struct blk_drain d = {.idle = count_idle, .arg = &idle};
    uint8_t data[512];

    job_init(&before, &s->b, BLK_WRITE, 0, data, 512);
    job_init(&during, &s->b, BLK_WRITE, 512, data, 512);
    job_init(&cancelled, &s->b, BLK_READ, 512, data, 512);
    blk_submit(&s->b, &before.req);
    ck_assert_int_eq(blk_grow(&s->b, &w.g), 0);
    ck_assert_int_eq(blk_grow(&s->b, &other.g), -EBUSY);
    while (!before.done)
        loop_run(loop);
    turn();
    wait_until_it_began(s);
    blk_submit(&s->b, &during.req);
    blk_submit(&s->b, &cancelled.req);
    blk_drain(&s->b, &d);
    for (unsigned i = 0; i < 10; i++)
        turn();
    ck_assert_uint_eq(w.done, 0);
    ck_assert_uint_eq(during.done, 0);
    blk_cancel(&s->b, &cancelled.req);
    while (!cancelled.done)
        loop_run(loop);
    ck_assert_int_eq(cancelled.err, -ECANCELED);
    ck_assert_uint_eq(s->submitted, 1);
    let_go(s);
    while (!during.done)
        loop_run(loop);
    ck_assert_uint_eq(w.done, 1);
    ck_assert_int_eq(w.result, 0);
    ck_assert_uint_eq(s->b.size, 2 * SIZE);
    ck_assert_int_eq(during.err, 0);
    turn();
    ck_assert_uint_eq(idle, 1);
    ck_assert_int_eq(do_op(&s->b, BLK_WRITE, 2 * SIZE - 512, data, 512), 0);
    blk_close(&s->b);
    loop_destroy(loop);
}
END_TEST

START_TEST(what_the_host_refuses_changes_nothing)
{
    struct slow *s = make(-ENOSPC);

    let_go(s);
    ck_assert_int_eq(do_grow(&s->b, 2 * SIZE), -ENOSPC);
    ck_assert_uint_eq(s->b.size, SIZE);
    ck_assert_int_eq(do_grow(&s->b, SIZE), 0); /* it has that */
    ck_assert_int_eq(do_grow(&s->b, SIZE - 512), -EINVAL);
    ck_assert_int_eq(do_grow(&s->b, SIZE + 1), -EINVAL);
    s->b.read_only = true;
    ck_assert_int_eq(do_grow(&s->b, 2 * SIZE), -EROFS);
    blk_close(&s->b);
    loop_destroy(loop);
}
END_TEST

static void *let_go_later(void *arg)
{
    wait_until_it_began(arg);
    let_go(arg);
    return NULL;
}

/* The machine ends in the middle, as its loop does: whoever waits hears of it. */
START_TEST(closing_waits_for_it)
{
    struct slow *s = make(0);
    struct growing w = {.g = {.size = 2 * SIZE, .done = growing_done}};
    pthread_t thread;
    struct job j;
    uint8_t data[512];

    ck_assert_int_eq(blk_grow(&s->b, &w.g), 0);
    job_init(&j, &s->b, BLK_READ, 0, data, 512);
    j.quiet = true;
    blk_submit(&s->b, &j.req);
    pthread_create(&thread, NULL, let_go_later, s);
    blk_drain_wait(&s->b);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(w.done, 1);
    ck_assert_uint_eq(j.done, 1);
    ck_assert_uint_eq(s->b.size, 2 * SIZE);
    blk_close(&s->b);
    loop_destroy(loop);
}
END_TEST

START_TEST(filters_pass_it_on_and_those_without_a_size_refuse)
{
    static const uint32_t ms[BLK_OP_COUNT];
    struct slow *s = make(0);
    struct blk *b, *null;

    let_go(s);
    ck_assert_int_eq(blk_delay_create(&s->b, ms, &b), 0);
    ck_assert_int_eq(do_grow(b, 4 * SIZE), 0);
    ck_assert_uint_eq(b->size, 4 * SIZE);
    ck_assert_uint_eq(s->b.size, 4 * SIZE);
    blk_close(b);
    ck_assert_int_eq(blk_null_create(SIZE, loop, &null), 0);
    ck_assert_int_eq(do_grow(null, 2 * SIZE), -ENOTSUP);
    blk_close(null);
    loop_destroy(loop);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, the_loop_goes_on_and_requests_wait);
    UNIT_TEST(s, what_the_host_refuses_changes_nothing);
    UNIT_TEST(s, closing_waits_for_it);
    UNIT_TEST(s, filters_pass_it_on_and_those_without_a_size_refuse);
}

UNIT_TEST_MAIN("blk_grow", add_tests)
