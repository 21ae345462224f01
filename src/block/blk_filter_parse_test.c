/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "block/blk_filters.h"
#include "fake_loop.h"
#include "unit.h"

START_TEST(filters_lie_in_the_order_written)
{
    struct loop *loop;
    struct blk *b;

    ck_assert_int_eq(loop_create(&loop), 0);
    ck_assert_int_eq(blk_null_create(4096, loop, &b), 0);
    ck_assert_int_eq(blk_filters_stack("log+delay:10ms:read+fault:eio:write:skip=2:times=1", &b,
                                       NULL), 0);
    ck_assert_str_eq(b->ops->name, "log");
    ck_assert_str_eq(b->child->ops->name, "delay");
    ck_assert_str_eq(b->child->child->ops->name, "fault");
    ck_assert_str_eq(b->child->child->child->ops->name, "null");
    blk_close(b);
    loop_destroy(loop);
}
END_TEST

START_TEST(what_is_no_filter_is_refused_whole)
{
    static const char *const bad[] = {
        "", "+", "log+", "nothing", "delay", "delay:", "delay:10", "delay:0ms", "delay:x", "delay:9h",
        "delay:1s:reads", "delay:99999999s", "fault", "fault:0", "fault:eio:skip=", "fault:eio:skip=x",
        "fault:eio:skip=1x", "log:x", "limit", "log+delay:1",
        "fault:eio:read:read:read:read:read:read:read:read:read:read:read:read:read"};
    struct loop *loop;
    struct blk *b;

    ck_assert_int_eq(loop_create(&loop), 0);
    ck_assert_int_eq(blk_null_create(4096, loop, &b), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        ck_assert_msg(blk_filters_stack(bad[i], &b, NULL) == -EINVAL, "%s", bad[i]);
        ck_assert_str_eq(b->ops->name, "null");
    }
    blk_close(b);
    loop_destroy(loop);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, filters_lie_in_the_order_written);
    UNIT_TEST(s, what_is_no_filter_is_refused_whole);
}

UNIT_TEST_MAIN("blk_filter_parse", add_tests)
