/* SPDX-License-Identifier: MIT */
#include "base/fiber.h"

#include <fenv.h>
#include <pthread.h>
#include <string.h>

#include "unit.h"

struct counter {
    struct fiber *fiber;
    unsigned value;
};

static void deep(struct counter *c, unsigned depth)
{
    volatile char room[512];

    memset((void *)room, (int)depth, sizeof(room));
    if (depth)
        deep(c, depth - 1);
    c->value++;
    fiber_leave(c->fiber);
    ck_assert_int_eq(room[17], (char)depth);
}

static void count(void *arg)
{
    for (;;)
        deep(arg, 20);
}

START_TEST(a_function_goes_on_where_it_was_left)
{
    struct counter c = {.value = 0};

    ck_assert_int_eq(fiber_create(65536, count, &c, &c.fiber), 0);
    for (unsigned n = 1; n < 100; n++) {
        fiber_enter(c.fiber);
        ck_assert_uint_eq(c.value, n);
    }
    fiber_destroy(c.fiber);
}
END_TEST

static void set_rounding(void *arg)
{
    fesetround(FE_UPWARD);
    for (;;)
        fiber_leave(((struct counter *)arg)->fiber);
}

START_TEST(control_words_are_each_stacks_own)
{
    struct counter c;

    ck_assert_int_eq(fiber_create(65536, set_rounding, &c, &c.fiber), 0);
    fiber_enter(c.fiber);
    ck_assert_int_eq(fegetround(), FE_TONEAREST);
    fiber_enter(c.fiber);
    ck_assert_int_eq(fegetround(), FE_TONEAREST);
    fiber_destroy(c.fiber);
}
END_TEST

START_TEST(a_fiber_may_never_begin)
{
    struct fiber *f;

    ck_assert_int_eq(fiber_create(65536, count, NULL, &f), 0);
    fiber_destroy(f);
    fiber_destroy(NULL);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_function_goes_on_where_it_was_left);
    UNIT_TEST(s, control_words_are_each_stacks_own);
    UNIT_TEST(s, a_fiber_may_never_begin);
}

UNIT_TEST_MAIN("base/fiber", add_tests)
