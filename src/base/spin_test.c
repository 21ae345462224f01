/* SPDX-License-Identifier: MIT */
#include <sched.h>

#include "base/spin.h"
#include "unit.h"

START_TEST(short_waits_make_it_look_longer_and_long_ones_end_that)
{
    struct spin s = {.max = 50000};

    spin_learn(&s, 5000);
    ck_assert_uint_eq(s.ns, SPIN_FIRST_NS);
    spin_learn(&s, 9000); /* it came while one looked */
    ck_assert_uint_eq(s.ns, SPIN_FIRST_NS);
    spin_learn(&s, 30000);
    spin_learn(&s, 30000);
    ck_assert_uint_eq(s.ns, 40000);
    spin_learn(&s, SPIN_SHORT_NS);
    ck_assert_uint_eq(s.ns, 50000);
    spin_learn(&s, SPIN_SHORT_NS + 1);
    ck_assert_uint_eq(s.ns, 25000);
    spin_learn(&s, UINT64_MAX);
    ck_assert_uint_eq(s.ns, 12500);
    spin_learn(&s, UINT64_MAX);
    ck_assert_uint_eq(s.ns, 0);
}
END_TEST

START_TEST(who_never_looks_learns_nothing)
{
    struct spin s = {.max = 0};

    spin_learn(&s, 0);
    spin_learn(&s, 1);
    ck_assert_uint_eq(s.ns, 0);
}
END_TEST

START_TEST(nobody_spins_on_a_single_cpu)
{
    cpu_set_t all, one;
    int cpu = 0;

    ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
    while (!CPU_ISSET(cpu, &all))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    ck_assert_uint_eq(spin_init(50000).max, 0);
    ck_assert_int_eq(sched_setaffinity(0, sizeof(all), &all), 0);
    ck_assert_uint_eq(spin_init(50000).max, CPU_COUNT(&all) < 2 ? 0 : 50000);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, short_waits_make_it_look_longer_and_long_ones_end_that);
    UNIT_TEST(s, who_never_looks_learns_nothing);
    UNIT_TEST(s, nobody_spins_on_a_single_cpu);
}

UNIT_TEST_MAIN("spin", add_tests)
