/* SPDX-License-Identifier: MIT */
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/pages.h"
#include "unit.h"

START_TEST(maps_zeroed_memory_at_a_multiple_of_huge_pages)
{
    uint8_t *p = pages_map(3 * PAGES_HUGE + 1);

    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq((uintptr_t)p % PAGES_HUGE, 0);
    for (size_t at = 0; at <= 3 * PAGES_HUGE; at += 4096)
        ck_assert_uint_eq(p[at], 0);
    p[3 * PAGES_HUGE] = 1;
    pages_unmap(p, 3 * PAGES_HUGE + 1);
    ck_assert_int_eq(msync(p, 4096, MS_ASYNC), -1); /* nothing is mapped there any more, */
    ck_assert_int_eq(msync(p + 3 * PAGES_HUGE, 4096, MS_ASYNC), -1);
    pages_unmap(NULL, 1);
}
END_TEST

/* Where a process may have no more addresses than a page. */
START_TEST(what_is_small_takes_little_room)
{
    FILE *f = fopen("/proc/self/statm", "re");
    struct rlimit all, few;
    unsigned long pages;
    void *p;

    ck_assert(f && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    getrlimit(RLIMIT_AS, &all);
    few = (struct rlimit){.rlim_cur = (pages + 1) * PAGES_SMALL, .rlim_max = all.rlim_max};
    setrlimit(RLIMIT_AS, &few);
    p = pages_map(181);
    setrlimit(RLIMIT_AS, &all);
    ck_assert_ptr_nonnull(p);
    pages_unmap(p, 181);
    ck_assert_int_eq(msync(p, PAGES_SMALL, MS_ASYNC), -1);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, maps_zeroed_memory_at_a_multiple_of_huge_pages);
    UNIT_TEST(s, what_is_small_takes_little_room);
}

UNIT_TEST_MAIN("pages", add_tests)
