/* SPDX-License-Identifier: MIT */
/* Rates, by a clock that the test turns. */
#include "base/rate_bucket.h"

#include "base/clock.h"
#include "unit.h"

/* How many requests of so many units go in a time, one after the other. */
static uint64_t count(struct rate_bucket *b, uint64_t units, uint64_t from_ns, uint64_t to_ns)
{
    uint64_t n = 0, now = from_ns;

    while ((now = rate_bucket_when(b, units, now)) < to_ns) {
        rate_bucket_take(b, units);
        n++;
    }
    return n;
}

START_TEST(rates_are_kept_exactly)
{
    static const uint64_t rates[] = {1, 3, 7, 999, 3000, 65536, 1000003, UINT64_C(40) << 30};

    for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        uint64_t units = rates[i] > 100000 ? 4096 : 1, n;
        struct rate_bucket b;

        if (rates[i] > (UINT64_C(1) << 30))
            units = 1 << 24;
        rate_bucket_init(&b, rates[i], 1, 5);
        n = count(&b, units, 5, 5 + 100 * NS_PER_SEC);
        /* The first one is the bucket's; the last may overdraw. */
        ck_assert_uint_ge(n * units + units, 100 * rates[i]);
        ck_assert_uint_le(n * units, 100 * rates[i] + 2 * units);
    }
}
END_TEST

START_TEST(a_burst_is_over_once)
{
    struct rate_bucket b;

    rate_bucket_init(&b, 10, 50, 0);
    ck_assert_uint_eq(count(&b, 1, 0, 1), 50);
    ck_assert_uint_eq(count(&b, 1, 1, NS_PER_SEC + 1), 10);
    /* After a long rest it is there again, and not twice. */
    ck_assert_uint_le(count(&b, 1, 1000 * NS_PER_SEC, 1000 * NS_PER_SEC + 1), 50);
}
END_TEST

START_TEST(a_large_request_goes_and_is_waited_for)
{
    struct rate_bucket b;

    rate_bucket_init(&b, 65536, 6553, 0);
    ck_assert_uint_eq(rate_bucket_when(&b, 1 << 20, 0), 0);
    rate_bucket_take(&b, 1 << 20);
    ck_assert_uint_ge(rate_bucket_when(&b, 1, 1), 15 * NS_PER_SEC);
    ck_assert_uint_le(rate_bucket_when(&b, 1, 1), 16 * NS_PER_SEC);
}
END_TEST

START_TEST(changes_count_at_once)
{
    struct rate_bucket b;

    rate_bucket_init(&b, 1, 1, 0);
    rate_bucket_take(&b, 101);
    ck_assert_uint_ge(rate_bucket_when(&b, 1, 0), 99 * NS_PER_SEC);
    rate_bucket_change(&b, 100, 1, 0);
    ck_assert_uint_le(rate_bucket_when(&b, 1, 0), 2 * NS_PER_SEC);
    rate_bucket_change(&b, 0, 0, 0);
    ck_assert_uint_eq(rate_bucket_when(&b, 1, 7), 7);
    /* A clock that goes back gives nothing, and takes nothing. */
    rate_bucket_init(&b, 10, 1, NS_PER_SEC);
    rate_bucket_take(&b, 11);
    ck_assert_uint_ge(rate_bucket_when(&b, 1, 0), NS_PER_SEC - 1);
}
END_TEST

/* As large as a configuration may say, and larger: no sum wraps, and no request waits that need not. */
START_TEST(rates_may_be_huge)
{
    static const uint64_t rates[] = {INT64_MAX, UINT64_MAX};

    for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
        struct rate_bucket b;

        rate_bucket_init(&b, rates[i], UINT64_MAX, 0);
        rate_bucket_take(&b, UINT64_MAX);
        ck_assert_uint_le(rate_bucket_when(&b, 1, 0), 1);
        ck_assert_uint_eq(rate_bucket_when(&b, UINT64_MAX, UINT64_MAX / 2), UINT64_MAX / 2);
        rate_bucket_change(&b, 1, 0, UINT64_MAX / 2);
        ck_assert_uint_eq(rate_bucket_when(&b, UINT64_MAX, UINT64_MAX / 2), UINT64_MAX / 2);
    }
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, rates_are_kept_exactly);
    UNIT_TEST(s, a_burst_is_over_once);
    UNIT_TEST(s, a_large_request_goes_and_is_waited_for);
    UNIT_TEST(s, changes_count_at_once);
    UNIT_TEST(s, rates_may_be_huge);
}

UNIT_TEST_MAIN("rate_bucket", add_tests)
