/* SPDX-License-Identifier: MIT */
/* The core of disks, on the RAM disk. */
#include "block/blk.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "block/blk_fixture.h"
#include "block/blk_mem.h"

static struct loop *loop;

static struct blk *make(bool read_only, uint32_t block_size)
{
    const struct blk_mem_options o = {.size = 1 * MIB, .block_size = block_size,
                                      .read_only = read_only};
    struct blk *b;

    ck_assert_int_eq(loop_create(&loop), 0);
    ck_assert_int_eq(blk_mem_create(&o, loop, &b), 0);
    return b;
}

static void unmake(struct blk *b)
{
    blk_close(b);
    loop_destroy(loop);
}

static uint64_t count_times(const struct blk_time *t)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < BLK_TIME_COUNTS; i++)
        sum += t->count[i];
    return sum;
}

START_TEST(reads_what_was_written)
{
    struct blk *b = make(false, 0);
    uint8_t out[8192], in[8192] = {0};

    fill(out, sizeof(out), 1);
    ck_assert_int_eq(do_op(b, BLK_WRITE, 4096, out, sizeof(out)), 0);
    ck_assert_int_eq(do_op(b, BLK_FLUSH, 0, NULL, 0), 0);
    ck_assert_int_eq(do_op(b, BLK_READ, 4096, in, sizeof(in)), 0);
    ck_assert_mem_eq(in, out, sizeof(in));
    ck_assert_uint_eq(b->stats.bytes_written, 8192);
    ck_assert_uint_eq(b->stats.bytes_read, 8192);
    ck_assert_uint_eq(b->stats.flushes, 1);
    ck_assert_uint_eq(count_times(&b->stats.time[BLK_WRITE]), 1);
    ck_assert_uint_eq(count_times(&b->stats.time[BLK_ZERO]), 0);
    ck_assert_uint_eq(b->stats.time[BLK_WRITE].total_ns, b->stats.time[BLK_WRITE].max_ns);
    ck_assert_int_eq(do_op(b, BLK_ZERO, 4096 + 512, NULL, 6144), 0);
    ck_assert_int_eq(do_op(b, BLK_READ, 4096, in, sizeof(in)), 0);
    ck_assert_mem_eq(in, out, 512);
    ck_assert(is_zero(in + 512, 6144));
    ck_assert_mem_eq(in + 6656, out + 6656, 8192 - 6656);
    unmake(b);
}
END_TEST

START_TEST(pieces_of_memory_are_one_range)
{
    struct blk *b = make(false, 0);
    uint8_t out[1536], in[1536];
    struct iovec iov[4] = {{out, 1}, {out + 1, 600}, {out + 601, 0}, {out + 601, 935}};
    struct job j;

    fill(out, sizeof(out), 2);
    job_init(&j, b, BLK_WRITE, 512, NULL, sizeof(out));
    j.req.iov = iov;
    j.req.iov_count = 4;
    ck_assert_int_eq(job_run(&j, b), 0);
    ck_assert_int_eq(do_op(b, BLK_READ, 512, in, sizeof(in)), 0);
    ck_assert_mem_eq(in, out, sizeof(in));
    unmake(b);
}
END_TEST

START_TEST(bad_requests_end_in_errors_and_touch_nothing)
{
    struct blk *b = make(false, 4096);
    static uint8_t data[8192];
    struct job j;
    static const struct {
        uint64_t offset, len;
    } bad[] = {{0, 512}, {512, 4096}, {1 * MIB, 4096}, {1 * MIB - 4096, 8192}, {0, 0},
               {UINT64_MAX - 4095, 4096}, {0, UINT64_MAX - 4095}, {UINT64_MAX - 4095, 8192}};

    memset(data, 0xaa, sizeof(data));
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        for (unsigned op = 0; op < BLK_OP_COUNT; op++) {
            if (op == BLK_FLUSH)
                continue;
            ck_assert_int_eq(do_op(b, op, bad[i].offset, data, bad[i].len), -EINVAL);
        }
    }
    ck_assert_int_eq(do_op(b, BLK_OP_COUNT, 0, data, 4096), -EINVAL);
    job_init(&j, b, BLK_WRITE, 0, data, 4096);
    j.iov.iov_len = 8192; /* more than it says */
    ck_assert_int_eq(job_run(&j, b), -EINVAL);
    job_init(&j, b, BLK_WRITE, 0, data, 4096);
    j.req.iov_count = 0;
    ck_assert_int_eq(job_run(&j, b), -EINVAL);
    ck_assert(is_zero(blk_mem_data(b), 1 * MIB));
    ck_assert_uint_eq(b->stats.refused, b->stats.errors);
    ck_assert_uint_eq(b->stats.writes, 0);
    unmake(b);
}
END_TEST

START_TEST(read_only_takes_no_write)
{
    struct blk *b = make(true, 0);
    uint8_t data[512] = {1};

    ck_assert_int_eq(do_op(b, BLK_WRITE, 0, data, 512), -EROFS);
    ck_assert_int_eq(do_op(b, BLK_DISCARD, 0, NULL, 512), -EROFS);
    ck_assert_int_eq(do_op(b, BLK_ZERO, 0, NULL, 512), -EROFS);
    ck_assert_int_eq(do_op(b, BLK_FLUSH, 0, NULL, 0), 0);
    ck_assert_int_eq(do_op(b, BLK_READ, 0, data, 512), 0);
    ck_assert_uint_eq(data[0], 0);
    unmake(b);
}
END_TEST

#define CHAIN 100

struct chained {
    struct job job;
    struct blk *b;
    unsigned left;
};

static void submit_again(struct blk_req *req, int err)
{
    struct chained *c = container_of(req, struct chained, job.req);

    ck_assert_int_eq(err, 0);
    if (c->left--)
        blk_submit(c->b, req);
    else
        loop_stop(c->b->loop);
}

START_TEST(done_may_submit_the_request_again)
{
    struct blk *b = make(false, 0);
    uint8_t data[512];
    struct chained c = {.b = b, .left = CHAIN};

    job_init(&c.job, b, BLK_READ, 0, data, 512);
    c.job.req.done = submit_again;
    blk_submit(b, &c.job.req);
    loop_run(loop);
    ck_assert_uint_eq(b->stats.reads, CHAIN + 1);
    unmake(b);
}
END_TEST

static void idle(void *arg)
{
    ++*(unsigned *)arg;
    loop_stop(loop);
}

START_TEST(drain_tells_when_idle)
{
    struct blk *b = make(false, 0);
    unsigned told = 0;
    struct blk_drain d = {.idle = idle, .arg = &told}, d2 = d;
    uint8_t data[512];
    struct job j[3];

    for (unsigned i = 0; i < 3; i++) {
        job_init(&j[i], b, BLK_READ, 0, data, 512);
        j[i].quiet = true;
        blk_submit(b, &j[i].req);
    }
    blk_drain(b, &d);
    blk_drain(b, &d2);
    ck_assert_uint_eq(told, 0);
    loop_run(loop);
    ck_assert_uint_eq(told, 2);
    ck_assert_uint_eq(j[0].done + j[1].done + j[2].done, 3);
    blk_drain(b, &d); /* idle already: told all the same, but not inside */
    ck_assert_uint_eq(told, 2);
    loop_run(loop);
    ck_assert_uint_eq(told, 3);
    unmake(b);
}
END_TEST

START_TEST(close_completes_what_is_in_flight)
{
    struct blk *b = make(false, 0);
    uint8_t data[512];
    struct job j[3];

    for (unsigned i = 0; i < 3; i++) {
        job_init(&j[i], b, BLK_READ, 0, data, 512);
        blk_submit(b, &j[i].req);
    }
    blk_close(b);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(j[i].done, 1);
    loop_destroy(loop);
}
END_TEST

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

struct posted {
    struct blk *b;
    struct job job;
    pthread_t on;
};

static void posted_done(struct blk_req *req, int err)
{
    struct posted *p = container_of(req, struct posted, job.req);

    p->on = pthread_self();
    loop_stop(p->b->loop);
}

static void submit_posted(void *arg)
{
    struct posted *p = arg;

    blk_submit(p->b, &p->job.req);
}

START_TEST(completes_on_the_loop_thread)
{
    struct blk *b = make(false, 0);
    struct posted p = {.b = b};
    struct loop_work work;
    uint8_t data[512];
    pthread_t thread;

    job_init(&p.job, b, BLK_READ, 0, data, 512);
    p.job.req.done = posted_done;
    work = (struct loop_work){.fn = submit_posted, .arg = &p};
    loop_work_queue(loop, &work);
    pthread_create(&thread, NULL, run_loop, loop);
    pthread_join(thread, NULL);
    ck_assert(pthread_equal(p.on, thread));
    unmake(b);
}
END_TEST

static void resized(void *arg)
{
    ++*(unsigned *)arg;
}

START_TEST(one_device_hears_of_a_new_size)
{
    static const struct blk_client client = {.resized = resized};
    struct blk *b = make(false, 0);
    uint8_t data[512] = {7};
    unsigned told = 0;

    ck_assert_int_eq(blk_attach(b, &client, &told), 0);
    ck_assert_int_eq(blk_attach(b, &client, &told), -EBUSY);
    ck_assert_int_eq(do_op(b, BLK_WRITE, 0, data, 512), 0);
    ck_assert_int_eq(blk_mem_resize(b, 2 * MIB), 0);
    ck_assert_int_eq(blk_mem_resize(b, 2 * MIB), 0);
    ck_assert_uint_eq(told, 1);
    ck_assert_int_eq(do_op(b, BLK_WRITE, 2 * MIB - 512, data, 512), 0);
    data[0] = 0;
    ck_assert_int_eq(do_op(b, BLK_READ, 0, data, 512), 0);
    ck_assert_uint_eq(data[0], 7);
    ck_assert_int_eq(blk_mem_resize(b, 1000), -EINVAL);
    blk_detach(b);
    ck_assert_int_eq(blk_attach(b, &client, &told), 0);
    unmake(b);
}
END_TEST

START_TEST(mem_refuses_odd_sizes)
{
    static const struct blk_mem_options bad[] = {
        {.size = 0}, {.size = 1000}, {.size = 4096, .block_size = 256},
        {.size = 4096, .block_size = 8192}, {.size = 4096, .block_size = 1000},
        {.size = 512, .block_size = 4096}};
    struct blk *b;

    ck_assert_int_eq(loop_create(&loop), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_int_eq(blk_mem_create(&bad[i], loop, &b), -EINVAL);
    loop_destroy(loop);
}
END_TEST

START_TEST(leaves_no_descriptor_behind)
{
    unsigned before = count_fds();

    for (unsigned i = 0; i < 200; i++)
        unmake(make(false, 0));
    ck_assert_uint_eq(count_fds(), before);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, reads_what_was_written);
    UNIT_TEST(s, pieces_of_memory_are_one_range);
    UNIT_TEST(s, bad_requests_end_in_errors_and_touch_nothing);
    UNIT_TEST(s, read_only_takes_no_write);
    UNIT_TEST(s, done_may_submit_the_request_again);
    UNIT_TEST(s, drain_tells_when_idle);
    UNIT_TEST(s, close_completes_what_is_in_flight);
    UNIT_TEST(s, completes_on_the_loop_thread);
    UNIT_TEST(s, one_device_hears_of_a_new_size);
    UNIT_TEST(s, mem_refuses_odd_sizes);
    UNIT_TEST(s, leaves_no_descriptor_behind);
}

UNIT_TEST_MAIN("blk_core", add_tests)
