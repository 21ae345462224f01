/* SPDX-License-Identifier: MIT */
#include "hv/soft/rest.h"

#include "unit.h"

/* Another stretch, of which it works so many thousandths. */
static bool stretch(struct rest *r, unsigned works)
{
    uint64_t len = rest_look_ns(r), end = r->since + len;

    ck_assert(!rest_look(r, end - 1));
    ck_assert(rest_look(r, end));
    return rest_is_due(r, end, r->worked + len / 1000 * works);
}

/* It rests at the last of so many calm stretches and no sooner, and not again while it is calm. */
static void rests_after(struct rest *r, unsigned stretches)
{
    for (unsigned n = 1; n < stretches; n++) {
        ck_assert(rest_awaited(r));
        ck_assert(!stretch(r, 1));
    }
    ck_assert(stretch(r, 1));
    for (unsigned n = 0; n < 3 * REST_STRETCHES; n++) {
        ck_assert(!rest_awaited(r));
        ck_assert(!stretch(r, 1));
    }
}

START_TEST(rests_at_once_behind_a_restore)
{
    struct rest r = {0};

    ck_assert(!stretch(&r, 600));
    ck_assert_uint_eq(rest_look_ns(&r), REST_YOUNG_LOOK_NS);
    rests_after(&r, REST_STRETCHES_SOON);
    rest_done(&r);
    ck_assert(!stretch(&r, 50)); /* a small command */
    ck_assert_uint_eq(rest_look_ns(&r), REST_LOOK_NS);
    rests_after(&r, REST_STRETCHES_SOON);
}
END_TEST

START_TEST(rests_soon_behind_a_start)
{
    struct rest r = {0};

    for (unsigned n = 0; n < 3; n++) {
        ck_assert(!stretch(&r, 900));
        ck_assert(!stretch(&r, 5)); /* a boot waits for something */
    }
    ck_assert(!stretch(&r, 900));
    ck_assert_uint_eq(rest_look_ns(&r), REST_LOOK_NS);
    rests_after(&r, REST_STRETCHES_SOON);
    rest_done(&r);
    ck_assert(!stretch(&r, 400));
    rests_after(&r, REST_STRETCHES); /* from then on it takes longer, */
    rest_done(&r);
    ck_assert(!stretch(&r, 600)); /* but for who has worked much */
    rests_after(&r, REST_STRETCHES_SOON);
}
END_TEST

START_TEST(who_had_nothing_to_give_back_has_not_rested)
{
    struct rest r = {0};

    rests_after(&r, REST_STRETCHES_SOON); /* it waits for its start, or in a boot menu */
    ck_assert(!stretch(&r, 400));
    rests_after(&r, REST_STRETCHES_SOON);
}
END_TEST

START_TEST(work_in_between_begins_it_anew)
{
    struct rest r = {.rested = true, .rested_at = REST_MUCH_NS, .worked = REST_MUCH_NS};

    for (unsigned n = 1; n < REST_STRETCHES; n++)
        ck_assert(!stretch(&r, 0));
    ck_assert(!stretch(&r, 100));
    rests_after(&r, REST_STRETCHES);
    ck_assert(!stretch(&r, 100)); /* and after it has rested, too */
    rests_after(&r, REST_STRETCHES);
}
END_TEST

START_TEST(little_by_little_is_much)
{
    struct rest r = {.rested = true, .worked = REST_MUCH_NS - REST_LOOK_NS / 1000 * 13};

    for (unsigned n = 0; n < 2; n++)
        ck_assert(!stretch(&r, 5));
    ck_assert(stretch(&r, 5)); /* the third makes it so, and two are enough */
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, rests_at_once_behind_a_restore);
    UNIT_TEST(s, rests_soon_behind_a_start);
    UNIT_TEST(s, who_had_nothing_to_give_back_has_not_rested);
    UNIT_TEST(s, work_in_between_begins_it_anew);
    UNIT_TEST(s, little_by_little_is_much);
}

UNIT_TEST_MAIN("rest", add_tests)
