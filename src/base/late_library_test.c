/* SPDX-License-Identifier: MIT */
#include "base/late_library.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

static struct {
    double (*cos)(double x);
    double (*sin)(double x);
} maths;

static unsigned loads;

static void on_loaded(void)
{
    loads++;
}

static int load_some(const char *file, const char *second, size_t optional, struct vz_error *err)
{
    const char *const names[] = {"cos", second};
    struct late_library l = {.file = file, .needed = "circles need libm", .names = names, .functions = &maths,
                             .count = 2, .optional = optional, .loaded = on_loaded,
                             .lock = PTHREAD_MUTEX_INITIALIZER};

    return late_library_load(&l, err);
}

static int load(const char *file, const char *second, struct vz_error *err)
{
    return load_some(file, second, 0, err);
}

START_TEST(what_is_there_is_loaded_once)
{
    ck_assert_int_eq(load("libm.so.6", "sin", NULL), 0);
    ck_assert(maths.cos(0) == 1.0 && maths.sin(0) == 0.0);
    ck_assert_int_eq(load("libm.so.6", "sin", NULL), 0);
    ck_assert_uint_eq(loads, 1);
}
END_TEST

START_TEST(what_is_missing_is_named_and_leaves_nothing)
{
    struct vz_error err = {0};

    ck_assert_int_eq(load("libvz-none.so.7", "sin", &err), -ENOTSUP);
    ck_assert_msg(strstr(err.text, "circles need libm: libvz-none.so.7"), "%s", err.text);
    ck_assert_int_eq(load("libm.so.6", "squared", &err), -ENOTSUP);
    ck_assert_str_eq(err.text, "circles need libm: this libm.so.6 has no squared()");
    ck_assert_ptr_null(maths.cos);
    ck_assert_int_eq(load("libm.so.6", "sin", &err), 0);
    ck_assert_uint_eq(loads, 1);
}
END_TEST

START_TEST(what_may_be_missing_stays_null)
{
    ck_assert_int_eq(load_some("libm.so.6", "squared", 1, NULL), 0);
    ck_assert_ptr_nonnull(maths.cos);
    ck_assert_ptr_null(maths.sin);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, what_is_there_is_loaded_once);
    UNIT_TEST(s, what_is_missing_is_named_and_leaves_nothing);
    UNIT_TEST(s, what_may_be_missing_stays_null);
}

UNIT_TEST_MAIN("late_library", add_tests)
