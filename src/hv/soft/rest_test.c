/* SPDX-License-Identifier: MIT */
#include "hv/soft/rest.h"

#include "unit.h"

/* Another stretch, of which it works so many thousandths. */
static bool stretch(struct rest *r, unsigned works)
{
    uint64_t end = r->since + REST_LOOK_NS;

    ck_assert(!rest_look(r, end - 1));
    ck_assert(rest_look(r, end));
    return rest_is_due(r, end, r->worked + REST_LOOK_NS / 1000 * works);
}

START_TEST(rests_soon_behind_the_start_and_once)
{
    struct rest r = {0};

    for (unsigned n = 0; n < 3; n++) {
        ck_assert(!stretch(&r, 900));
        ck_assert(!stretch(&r, 5)); /* a boot waits for something */
    }
    ck_assert(stretch(&r, 5));
    for (unsigned n = 0; n < 3 * REST_STRETCHES; n++) {
        ck_assert(!rest_awaited(&r));
        ck_assert(!stretch(&r, 5));
    }
    ck_assert(!stretch(&r, 900));
    for (unsigned n = 1; n < REST_STRETCHES; n++)
        ck_assert(!stretch(&r, 5)); /* from then on it takes longer */
    ck_assert(stretch(&r, 5));
}
END_TEST

START_TEST(rests_once_when_it_has_been_calm_for_long)
{
    struct rest r = {.rested = true};

    ck_assert(!stretch(&r, 900));
    for (unsigned n = 1; n < REST_STRETCHES; n++) {
        ck_assert(rest_awaited(&r));
        ck_assert(!stretch(&r, 5));
    }
    ck_assert(stretch(&r, 0));
    for (unsigned n = 0; n < 3 * REST_STRETCHES; n++) {
        ck_assert(!rest_awaited(&r));
        ck_assert(!stretch(&r, 5));
    }
}
END_TEST

START_TEST(work_in_between_begins_it_anew)
{
    struct rest r = {.rested = true};

    for (unsigned n = 1; n < REST_STRETCHES; n++)
        ck_assert(!stretch(&r, 0));
    ck_assert(!stretch(&r, 100));
    for (unsigned n = 1; n < REST_STRETCHES; n++)
        ck_assert(!stretch(&r, 0));
    ck_assert(stretch(&r, 0));
    ck_assert(!stretch(&r, 500)); /* and after it has rested, too */
    for (unsigned n = 1; n < REST_STRETCHES; n++)
        ck_assert(!stretch(&r, 0));
    ck_assert(stretch(&r, 0));
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, rests_soon_behind_the_start_and_once);
    UNIT_TEST(s, rests_once_when_it_has_been_calm_for_long);
    UNIT_TEST(s, work_in_between_begins_it_anew);
}

UNIT_TEST_MAIN("rest", add_tests)
