/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <linux/input-event-codes.h>

#include <vz/input.h>

#include "view_keys.h"

START_TEST(keys_are_where_they_are)
{
    ck_assert_uint_eq(view_key_usage(KEY_Q), VZ_KEY(0x14)); /* whatever it means: a, q or a quote */
    ck_assert_uint_eq(view_key_usage(KEY_102ND), VZ_KEY(0x64)); /* not on an American keyboard */
    ck_assert_uint_eq(view_key_usage(KEY_RIGHTALT), VZ_KEY(0xe6));
    ck_assert_uint_eq(view_key_usage(KEY_YEN), VZ_KEY(0x89));
    ck_assert_uint_eq(view_key_usage(KEY_VOLUMEUP), VZ_KEY_CONSUMER(0xe9));
    ck_assert_uint_eq(view_key_usage(0), 0);
    ck_assert_uint_eq(view_key_usage((uint32_t)-8), 0);
    ck_assert_uint_eq(view_key_usage(KEY_MAX), 0);
}
END_TEST

/* No two keys are one. */
START_TEST(keys_differ)
{
    for (uint32_t a = 0; a <= KEY_MAX; a++) {
        for (uint32_t b = 0; b < a; b++)
            ck_assert(!view_key_usage(a) || view_key_usage(a) != view_key_usage(b));
    }
}
END_TEST

START_TEST(only_changes_are_news)
{
    struct view_keys k = {.count = 0};

    ck_assert(!view_keys_change(&k, VZ_KEY(4), false)); /* pressed elsewhere */
    ck_assert(view_keys_change(&k, VZ_KEY(4), true));
    ck_assert(!view_keys_change(&k, VZ_KEY(4), true)); /* it repeats */
    ck_assert(view_keys_change(&k, VZ_KEY(5), true));
    ck_assert(view_keys_change(&k, VZ_KEY(6), true));
    ck_assert(view_keys_change(&k, VZ_KEY(4), false));
    ck_assert(view_keys_has(&k, VZ_KEY(5)) && view_keys_has(&k, VZ_KEY(6)) && !view_keys_has(&k, VZ_KEY(4)));
    ck_assert(!view_keys_change(&k, 0, true));
}
END_TEST

START_TEST(none_is_forgotten)
{
    struct view_keys k = {.count = 0};
    unsigned count = 0;

    for (uint32_t i = 1; i <= 100; i++)
        count += view_keys_change(&k, VZ_KEY(i), true);
    ck_assert_uint_eq(count, VIEW_KEYS_MAX);
    while (view_keys_pop(&k))
        count--;
    ck_assert_uint_eq(count, 0);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, keys_are_where_they_are);
    UNIT_TEST(s, keys_differ);
    UNIT_TEST(s, only_changes_are_news);
    UNIT_TEST(s, none_is_forgotten);
}

UNIT_TEST_MAIN("view_keys", add_tests)
