/* SPDX-License-Identifier: MIT */
#include "base/tsc_rate.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "unit.h"

/* Against a measurement of 50 ms. The error of one of 2 ms is less than a ppm where nothing disturbs
 * the readings. */
static uint32_t long_measurement(void)
{
    const struct timespec nap = {.tv_nsec = 50 * (long)NS_PER_MS};
    struct tsc_rate r;

    tsc_rate_start(&r);
    nanosleep(&nap, NULL);
    return tsc_rate_khz(&r);
}

static bool agree(uint32_t a, uint32_t b)
{
    uint32_t off = a > b ? a - b : b - a;

    return off <= a / 10000; /* 100 ppm: somebody else's machine may be very busy */
}

START_TEST(two_milliseconds_will_do)
{
    uint64_t at = clock_mono_ns();
    struct tsc_rate r = {.tsc = clock_tsc(), .ns = at};
    uint32_t khz;

    ck_assert_uint_eq(r.khz, 0);
    khz = tsc_rate_khz(&r);
    ck_assert_uint_ge(clock_mono_ns() - at, 2 * NS_PER_MS);
    ck_assert_uint_gt(khz, 500000);
    ck_assert_uint_lt(khz, 10000000);
    ck_assert(agree(khz, long_measurement()));
    ck_assert_uint_eq(tsc_rate_khz(&r), khz);
}
END_TEST

START_TEST(a_known_rate_is_not_measured)
{
    struct tsc_rate r = {.khz = 1234567};

    ck_assert_uint_eq(tsc_rate_khz(&r), 1234567);
}
END_TEST

START_TEST(a_program_that_has_just_started_does_not_wait)
{
    uint64_t at;
    struct tsc_rate r;

    tsc_rate_start(&r);
    at = r.ns;
    tsc_rate_start(&r);
    ck_assert(r.ns == at || clock_mono_ns() - at > NS_PER_SEC);
    ck_assert(agree(tsc_rate_khz(&r), long_measurement()));
}
END_TEST

START_TEST(useless_readings_are_taken_anew)
{
    uint32_t khz = long_measurement();
    struct tsc_rate old, reset;

    /* An hour ago, at some other rate: the machine was moved or asleep. */
    tsc_rate_start(&old);
    old.ns -= 3600 * NS_PER_SEC;
    ck_assert(agree(tsc_rate_khz(&old), khz));
    /* The TSC was set back. */
    tsc_rate_start(&reset);
    reset.tsc += 3600 * NS_PER_SEC;
    ck_assert(agree(tsc_rate_khz(&reset), khz));
}
END_TEST

static void *ask(void *arg)
{
    return (void *)(uintptr_t)tsc_rate_khz(arg);
}

START_TEST(all_threads_get_one_answer)
{
    pthread_t thread[4];
    struct tsc_rate r;
    void *khz[4];

    tsc_rate_start(&r);
    for (unsigned n = 0; n < ARRAY_SIZE(thread); n++)
        ck_assert_int_eq(pthread_create(&thread[n], NULL, ask, &r), 0);
    for (unsigned n = 0; n < ARRAY_SIZE(thread); n++)
        ck_assert_int_eq(pthread_join(thread[n], &khz[n]), 0);
    for (unsigned n = 0; n < ARRAY_SIZE(thread); n++)
        ck_assert_uint_eq((uintptr_t)khz[n], tsc_rate_khz(&r));
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, two_milliseconds_will_do);
    UNIT_TEST(s, a_known_rate_is_not_measured);
    UNIT_TEST(s, a_program_that_has_just_started_does_not_wait);
    UNIT_TEST(s, useless_readings_are_taken_anew);
    UNIT_TEST(s, all_threads_get_one_answer);
}

UNIT_TEST_MAIN("tsc_rate", add_tests)
