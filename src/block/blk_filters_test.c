/* SPDX-License-Identifier: MIT */
/* The disks that stand for one or stack on one. */
#include "block/blk_filters.h"

#include <errno.h>

#include "base/clock.h"
#include "block/blk_fixture.h"
#include "block/blk_mem.h"

static struct loop *loop;

static struct blk *make_mem(void)
{
    const struct blk_mem_options o = {.size = 1 * MIB};
    struct blk *b;

    if (!loop)
        ck_assert_int_eq(loop_create(&loop), 0);
    ck_assert_int_eq(blk_mem_create(&o, loop, &b), 0);
    return b;
}

START_TEST(null_forgets)
{
    uint8_t data[4096];
    struct blk *b;

    ck_assert_int_eq(loop_create(&loop), 0);
    ck_assert_int_eq(blk_null_create(1000, loop, &b), -EINVAL);
    ck_assert_int_eq(blk_null_create(1 * GIB, loop, &b), 0);
    memset(data, 1, sizeof(data));
    ck_assert_int_eq(do_op(b, BLK_WRITE, 0, data, sizeof(data)), 0);
    ck_assert_int_eq(do_op(b, BLK_READ, 0, data, sizeof(data)), 0);
    ck_assert(is_zero(data, sizeof(data)));
    ck_assert_int_eq(do_op(b, BLK_READ, 1 * GIB, data, 512), -EINVAL);
    blk_close(b);
    loop_destroy(loop);
    loop = NULL;
}
END_TEST

START_TEST(delay_delays_by_kind)
{
    static const uint32_t ms[BLK_OP_COUNT] = {[BLK_READ] = 60, [BLK_FLUSH] = 20};
    struct blk *b;
    uint8_t data[512];
    unsigned order = 0;
    struct job read, flush, write;
    uint64_t start;
    bool at_once;

    ck_assert_int_eq(blk_delay_create(make_mem(), ms, &b), 0);
    job_init(&read, b, BLK_READ, 0, data, 512);
    job_init(&flush, b, BLK_FLUSH, 0, NULL, 0);
    job_init(&write, b, BLK_WRITE, 0, data, 512);
    flush.quiet = write.quiet = true;
    read.order = flush.order = write.order = &order;
    start = clock_mono_ns();
    blk_submit(b, &read.req);
    blk_submit(b, &flush.req);
    blk_submit(b, &write.req);
    at_once = clock_mono_ns() - start < 20 * NS_PER_MS; /* a slow host changes the order */
    loop_run(loop);
    ck_assert_uint_ge(clock_mono_ns() - start, 60 * NS_PER_MS);
    ck_assert(!at_once || (write.place == 1 && flush.place == 2 && read.place == 3));
    blk_close(b);
    loop_destroy(loop);
    loop = NULL;
}
END_TEST

START_TEST(delay_ends_early_when_closed_or_cancelled)
{
    static const uint32_t ms[BLK_OP_COUNT] = {100000, 100000, 100000, 100000, 100000};
    struct blk *b;
    uint8_t data[512] = {5};
    struct job write, read;

    ck_assert_int_eq(blk_delay_create(make_mem(), ms, &b), 0);
    job_init(&read, b, BLK_READ, 0, data, 512);
    blk_submit(b, &read.req);
    blk_cancel(b, &read.req);
    ck_assert_uint_eq(read.done, 0);
    loop_run(loop);
    ck_assert_int_eq(read.err, -ECANCELED);
    job_init(&write, b, BLK_WRITE, 0, data, 512);
    blk_submit(b, &write.req);
    blk_drain_wait(b);
    ck_assert_uint_eq(write.done, 1);
    ck_assert_int_eq(write.err, 0);
    ck_assert_uint_eq(*(uint8_t *)blk_mem_data(b->child), 5);
    blk_close(b);
    loop_destroy(loop);
    loop = NULL;
}
END_TEST

START_TEST(fault_fails_where_told)
{
    static const struct blk_fault faults[] = {
        {.ops = BIT(BLK_WRITE), .offset = 8192, .len = 512, .err = -EIO},
        {.ops = BIT(BLK_READ), .skip = 1, .times = 2, .err = -ETIMEDOUT}};
    struct blk *b;
    uint8_t data[1024] = {1};

    ck_assert_int_eq(blk_fault_create(make_mem(), faults, 2, &b), 0);
    ck_assert_int_eq(do_op(b, BLK_WRITE, 8192 - 1024, data, 1024), 0);
    ck_assert_int_eq(do_op(b, BLK_WRITE, 8192 - 512, data, 1024), -EIO);
    ck_assert_int_eq(do_op(b, BLK_WRITE, 8192 + 512, data, 1024), 0);
    ck_assert(is_zero((uint8_t *)blk_mem_data(b->child) + 8192, 512));
    ck_assert_int_eq(do_op(b, BLK_READ, 0, data, 512), 0);
    ck_assert_int_eq(do_op(b, BLK_READ, 0, data, 512), -ETIMEDOUT);
    ck_assert_int_eq(do_op(b, BLK_READ, 0, data, 512), -ETIMEDOUT);
    ck_assert_int_eq(do_op(b, BLK_READ, 0, data, 512), 0);
    ck_assert_int_eq(blk_fault_set(b, NULL, 0), 0);
    ck_assert_int_eq(do_op(b, BLK_WRITE, 8192, data, 512), 0);
    ck_assert_int_eq(blk_fault_set(b, faults, BLK_FAULTS_MAX + 1), -EINVAL);
    blk_close(b);
    loop_destroy(loop);
    loop = NULL;
}
END_TEST

START_TEST(fault_by_chance_fails_some)
{
    static const struct blk_fault half = {.percent = 50, .err = -EIO};
    struct blk *b;
    uint8_t data[512];
    unsigned failed = 0;

    ck_assert_int_eq(blk_fault_create(make_mem(), &half, 1, &b), 0);
    for (unsigned i = 0; i < 200; i++)
        failed += do_op(b, BLK_READ, 0, data, 512) == -EIO;
    ck_assert_uint_gt(failed, 60);
    ck_assert_uint_lt(failed, 140);
    blk_close(b);
    loop_destroy(loop);
    loop = NULL;
}
END_TEST

START_TEST(fault_after_does_it_and_says_no)
{
    static const struct blk_fault lost = {.ops = BIT(BLK_WRITE), .err = -EIO, .after = true};
    struct blk *b;
    uint8_t data[512] = {9};
    struct job j;

    ck_assert_int_eq(blk_fault_create(make_mem(), &lost, 1, &b), 0);
    ck_assert_int_eq(do_op(b, BLK_WRITE, 0, data, 512), -EIO);
    ck_assert_uint_eq(*(uint8_t *)blk_mem_data(b->child), 9);
    job_init(&j, b, BLK_WRITE, 512, data, 512);
    blk_submit(b, &j.req);
    blk_close(b);
    ck_assert_uint_eq(j.done, 1);
    ck_assert_int_eq(j.err, -EIO);
    loop_destroy(loop);
    loop = NULL;
}
END_TEST

static char lines[2048];

static void add_line(void *arg, const char *text)
{
    strcat(lines, text);
    strcat(lines, "\n");
}

START_TEST(log_tells_all)
{
    static const struct blk_fault bad = {.ops = BIT(BLK_ZERO), .err = -EIO};
    struct blk *b;
    uint8_t data[512] = {1};
    struct job j;

    ck_assert_int_eq(blk_fault_create(make_mem(), &bad, 1, &b), 0);
    ck_assert_int_eq(blk_log_create(b, add_line, NULL, &b), 0);
    job_init(&j, b, BLK_WRITE, 4096, data, 512);
    j.req.fua = true;
    ck_assert_int_eq(job_run(&j, b), 0);
    ck_assert_int_eq(do_op(b, BLK_FLUSH, 0, NULL, 0), 0);
    ck_assert_int_eq(do_op(b, BLK_ZERO, 0, NULL, 512), -EIO);
    ck_assert_ptr_nonnull(strstr(lines, "write 4096+512 fua: ok, "));
    ck_assert_ptr_nonnull(strstr(lines, "flush: ok, "));
    ck_assert_ptr_nonnull(strstr(lines, "zero 0+512: Input/output error, "));
    job_init(&j, b, BLK_READ, 0, data, 512);
    blk_submit(b, &j.req);
    blk_close(b);
    ck_assert_uint_eq(j.done, 1);
    ck_assert_ptr_nonnull(strstr(lines, "read 0+512: ok, "));
    loop_destroy(loop);
    loop = NULL;
}
END_TEST

static void resized(void *arg)
{
    ++*(unsigned *)arg;
}

START_TEST(a_new_size_comes_up_through_filters)
{
    static const struct blk_client client = {.resized = resized};
    static const uint32_t ms[BLK_OP_COUNT];
    struct blk *mem = make_mem(), *b;
    unsigned told = 0;
    uint8_t data[512];

    ck_assert_int_eq(blk_delay_create(mem, ms, &b), 0);
    ck_assert_int_eq(blk_log_create(b, add_line, NULL, &b), 0);
    ck_assert_int_eq(blk_attach(b, &client, &told), 0);
    ck_assert_int_eq(blk_mem_resize(mem, 4 * MIB), 0);
    ck_assert_uint_eq(told, 1);
    ck_assert_uint_eq(b->size, 4 * MIB);
    ck_assert_int_eq(do_op(b, BLK_READ, 4 * MIB - 512, data, 512), 0);
    blk_detach(b);
    blk_close(b);
    loop_destroy(loop);
    loop = NULL;
}
END_TEST

/* The rates themselves are judged in rate_bucket_test.c. */
START_TEST(limit_holds_back_and_lets_go)
{
    const struct blk_limits slow = {.ops = 1, .burst_ms = 3000}, none = {0};
    struct job j[6];
    uint8_t data[512];
    unsigned order = 0, done = 0;
    struct blk *b;

    ck_assert_int_eq(blk_limit_create(make_mem(), &slow, &b), 0);
    for (unsigned i = 0; i < 6; i++) {
        job_init(&j[i], b, BLK_READ, 0, data, 512);
        j[i].order = &order;
        blk_submit(b, &j[i].req);
    }
    while (order < 3) /* the burst; the others have to wait */
        loop_run(loop);
    for (unsigned i = 0; i < 6; i++)
        done += j[i].done;
    ck_assert_uint_eq(done, 3);
    ck_assert_uint_eq(b->stats.limited, 3);
    ck_assert_uint_eq(blk_limit_get(b).ops, 1);
    blk_cancel(b, &j[4].req);
    while (!j[4].done)
        loop_run(loop);
    ck_assert_int_eq(j[4].err, -ECANCELED);
    blk_limit_set(b, &none);
    while (!j[3].done || !j[5].done)
        loop_run(loop);
    ck_assert_uint_lt(j[3].place, j[5].place);
    ck_assert_uint_ge(b->stats.time[BLK_READ].max_ns, 1000); /* what waited, waited */
    ck_assert_int_eq(do_op(b, BLK_READ, 0, data, 512), 0);
    ck_assert_uint_eq(b->stats.limited, 3);
    blk_limit_set(b, &slow);
    for (unsigned i = 0; i < 6; i++) {
        job_init(&j[i], b, BLK_WRITE, 0, data, 512);
        blk_submit(b, &j[i].req);
    }
    blk_close(b); /* does not wait for the limit */
    for (unsigned i = 0; i < 6; i++)
        ck_assert_uint_eq(j[i].done, 1);
    loop_destroy(loop);
    loop = NULL;
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, null_forgets);
    UNIT_TEST(s, delay_delays_by_kind);
    UNIT_TEST(s, delay_ends_early_when_closed_or_cancelled);
    UNIT_TEST(s, limit_holds_back_and_lets_go);
    UNIT_TEST(s, fault_fails_where_told);
    UNIT_TEST(s, fault_by_chance_fails_some);
    UNIT_TEST(s, fault_after_does_it_and_says_no);
    UNIT_TEST(s, log_tells_all);
    UNIT_TEST(s, a_new_size_comes_up_through_filters);
}

UNIT_TEST_MAIN("blk_filters", add_tests)
