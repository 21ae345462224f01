/* SPDX-License-Identifier: MIT */
/* What every x_test.c includes: Check, and a main() that runs one suite. */
#ifndef VZ_TESTS_UNIT_H
#define VZ_TESTS_UNIT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define UNIT_TEST_SKIPPED 77 /* the exit status that says so, to scripts/check and Meson */

/* Run the test cases that add_tests() adds to one suite; each test forks and has a time limit. */
#define UNIT_TEST_MAIN(suite_name, add_tests) UNIT_TEST_MAIN_UNLESS(suite_name, add_tests, NULL)

/* The same, unless there is an obstacle: why the host cannot run them. Without one it is NULL. */
#define UNIT_TEST_MAIN_UNLESS(suite_name, add_tests, obstacle)                                     \
    int main(void)                                                                                 \
    {                                                                                              \
        const char *obstacle_ = obstacle;                                                          \
        Suite *suite_;                                                                             \
        SRunner *runner_;                                                                          \
        int failed_;                                                                               \
                                                                                                   \
        if (obstacle_) {                                                                           \
            puts(obstacle_);                                                                       \
            return UNIT_TEST_SKIPPED;                                                              \
        }                                                                                          \
        suite_ = suite_create(suite_name);                                                         \
        add_tests(suite_);                                                                         \
        runner_ = srunner_create(suite_);                                                          \
        srunner_run_all(runner_, CK_ENV);                                                          \
        failed_ = srunner_ntests_failed(runner_);                                                  \
        srunner_free(runner_);                                                                     \
        return failed_ ? EXIT_FAILURE : EXIT_SUCCESS;                                              \
    }

/* Add one test function to the suite as a case of its own name. */
#define UNIT_TEST(suite, fn)                                                                       \
    do {                                                                                           \
        TCase *case_ = tcase_create(#fn);                                                          \
        tcase_set_timeout(case_, 60);                                                              \
        tcase_add_test(case_, fn);                                                                 \
        suite_add_tcase(suite, case_);                                                             \
    } while (0)

/* The same, with functions that come before and behind it. */
#define UNIT_TEST_BETWEEN(suite, fn, setup, teardown)                                              \
    do {                                                                                           \
        TCase *case_ = tcase_create(#fn);                                                          \
        tcase_set_timeout(case_, 60);                                                              \
        tcase_add_checked_fixture(case_, setup, teardown);                                         \
        tcase_add_test(case_, fn);                                                                 \
        suite_add_tcase(suite, case_);                                                             \
    } while (0)

#endif
