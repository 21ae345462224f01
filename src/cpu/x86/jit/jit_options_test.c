/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "base/error.h"
#include "cpu/x86/jit/jit_options.h"
#include "unit.h"

START_TEST(nothing_said_is_the_default)
{
    struct jit_options o, p;

    ck_assert_int_eq(jit_options_parse(NULL, &o, NULL), 0);
    ck_assert_int_eq(jit_options_parse("on", &p, NULL), 0);
    ck_assert(p.on && p.check == o.check && p.perf == o.perf && p.record == o.record);
    ck_assert(p.check_limit == o.check_limit && p.without == o.without);
    ck_assert(p.cache_bytes == o.cache_bytes && p.threshold == o.threshold);
    ck_assert(o.on && !o.without && o.cache_bytes == JIT_CACHE_DEFAULT);
    ck_assert_int_eq(jit_options_parse("off", &o, NULL), 0);
    ck_assert(!o.on);
}
END_TEST

START_TEST(each_optimisation_has_a_switch)
{
    struct jit_options o;

    ck_assert_int_eq(
        jit_options_parse("no-chain,no-narrow,no-indirect,no-liveness,no-memory,no-vector,no-guard,"
                          "no-detour,no-flags,no-forward,no-span,no-slots,no-cross,no-bmi,"
                          "no-divide,no-string,no-if,no-system,no-place,no-hold,no-move,no-runs,cache=64K,"
                          "threshold=1",
                          &o, NULL),
        0);
    for (unsigned n = 0; n < JIT_OPTS; n++)
        ck_assert(!jit_has(&o, n));
    ck_assert(o.on);
    ck_assert_uint_eq(o.cache_bytes, 65536);
    ck_assert_uint_eq(o.threshold, 1);
    ck_assert_int_eq(jit_options_parse("no-guard,cache=2M", &o, NULL), 0);
    ck_assert(!jit_has(&o, JIT_OPT_GUARD) && jit_has(&o, JIT_OPT_CHAIN));
    ck_assert_uint_eq(o.cache_bytes, 2 << 20);
    ck_assert_int_eq(jit_options_parse("check", &o, NULL), 0);
    ck_assert(o.on && o.check && !o.check_limit);
    ck_assert_int_eq(jit_options_parse("check=7", &o, NULL), 0);
    ck_assert(o.check && o.check_limit == 7);
    ck_assert_int_eq(jit_options_parse("perf", &o, NULL), 0);
    ck_assert(o.on && o.perf);
    ck_assert_int_eq(jit_options_parse("record", &o, NULL), 0);
    ck_assert(o.on && o.record && !o.perf);
}
END_TEST

START_TEST(direct_execution_is_asked_for)
{
    struct jit_options o;

    ck_assert_int_eq(jit_options_parse("on", &o, NULL), 0);
    ck_assert(o.direct == JIT_DIRECT_OFF && !o.direct_scan && !o.direct_tsc);
    ck_assert_int_eq(jit_options_parse("direct=on,direct=scan,direct=tsc", &o, NULL), 0);
    ck_assert(o.on && o.direct == JIT_DIRECT_ON && o.direct_scan && o.direct_tsc);
    ck_assert_int_eq(jit_options_parse("off,direct=always", &o, NULL), 0);
    ck_assert(!o.on && o.direct == JIT_DIRECT_ALWAYS);
    ck_assert_int_eq(jit_options_parse("direct=check", &o, NULL), 0);
    ck_assert(!o.on && o.direct == JIT_DIRECT_ALWAYS && o.direct_check);
    ck_assert_int_eq(jit_options_parse("direct=on,direct=off", &o, NULL), 0);
    ck_assert_int_eq(o.direct, JIT_DIRECT_OFF);
}
END_TEST

START_TEST(other_words_are_refused)
{
    static const char *const bad[] = {"yes", "no-", "no-such", "cache=", "cache=63K", "cache=2G",
                                      "cache=99999999999999999999999M", "cache=-1", "threshold=0",
                                      "threshold=65536", "check=", "check=0", "direct=", "direct=of", "check=5000000000", "on off", "on,,off",
                                      "a-word-that-is-far-longer-than-any-word-there-is"};
    struct vz_error err = {0};
    struct jit_options o;

    for (unsigned n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
        ck_assert_int_eq(jit_options_parse(bad[n], &o, &err), -EINVAL);
        ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    }
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, nothing_said_is_the_default);
    UNIT_TEST(s, each_optimisation_has_a_switch);
    UNIT_TEST(s, direct_execution_is_asked_for);
    UNIT_TEST(s, other_words_are_refused);
}

UNIT_TEST_MAIN("jit_options", add_tests)
