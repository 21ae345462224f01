/* SPDX-License-Identifier: MIT */
/* What every x_test.c includes: Check, and a main() that runs one suite. */
#ifndef VZ_TESTS_UNIT_H
#define VZ_TESTS_UNIT_H

#include <check.h>
#include <stdlib.h>

/* Run the test cases that add_tests() adds to one suite; each test forks and has a time limit. */
#define UNIT_TEST_MAIN(suite_name, add_tests)                                                      \
    int main(void)                                                                                 \
    {                                                                                              \
        Suite *suite_ = suite_create(suite_name);                                                  \
        SRunner *runner_;                                                                          \
        int failed_;                                                                               \
                                                                                                   \
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

#endif
