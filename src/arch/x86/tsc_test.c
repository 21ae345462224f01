/* SPDX-License-Identifier: MIT */
#include "arch/x86/tsc.h"

#include "unit.h"

#define KHZ    2000000u
#define SECOND (UINT64_C(1000) * KHZ)

START_TEST(cpus_that_were_in_step_stay_in_step)
{
    const struct tsc_first first = {
        .offset = 5 * SECOND, .tsc = 100 * SECOND, .together = true, .khz = KHZ};

    /* Set at once: the offsets are near. */
    ck_assert_uint_eq(tsc_settle(&first, 100 * SECOND + 500, 5 * SECOND - 700), 5 * SECOND);
    /* This process waited for an hour in between: only the states are. */
    ck_assert_uint_eq(tsc_settle(&first, 100 * SECOND - 500, 5 * SECOND - 3600 * SECOND),
                      5 * SECOND);
    /* Neither: this one is meant. */
    ck_assert_uint_eq(tsc_settle(&first, 102 * SECOND, 7 * SECOND), 7 * SECOND);
}
END_TEST

START_TEST(offsets_wrap)
{
    const struct tsc_first first = {.offset = -UINT64_C(5), .khz = KHZ};

    ck_assert_uint_eq(tsc_settle(&first, 0, 5), -UINT64_C(5));
    ck_assert_uint_eq(tsc_settle(&first, 0, SECOND), SECOND);
}
END_TEST

START_TEST(a_program_may_mean_what_it_sets)
{
    const struct tsc_first first = {.offset = 0, .tsc = 1000, .together = false, .khz = KHZ};

    ck_assert_uint_eq(tsc_settle(&first, 1000, 3 * SECOND), 3 * SECOND);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, cpus_that_were_in_step_stay_in_step);
    UNIT_TEST(s, offsets_wrap);
    UNIT_TEST(s, a_program_may_mean_what_it_sets);
}

UNIT_TEST_MAIN("tsc", add_tests)
