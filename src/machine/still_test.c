/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <signal.h>

#include "machine/machine_state.h"
#include "machine/still.h"

static int nothing(struct vz_machine *m, struct still *s, struct vz_error *err)
{
    return 0;
}

static const struct still_kind waits = {"waits", STILL_WAIT, STILL_OP, nothing, NULL};
static const struct still_kind fails = {"fails", STILL_FAIL, STILL_OP, nothing, NULL};
static const struct still_kind resets = {"resets", STILL_WAIT, STILL_RESET, nothing, NULL};
static const struct still_kind ends = {"ends", STILL_ABANDON, STILL_END, NULL, NULL};

/* The moves as they are meant, said a second time. */
START_TEST(only_these_moves_are_allowed)
{
    static const enum still_phase good[][2] = {
        {STILL_IDLE, STILL_GOING},         {STILL_IDLE, STILL_PARKING},
        {STILL_GOING, STILL_PARKING},      {STILL_PARKING, STILL_PARKED},
        {STILL_PARKED, STILL_QUIESCING},   {STILL_QUIESCING, STILL_RESTING},
        {STILL_QUIESCING, STILL_GOING},    {STILL_QUIESCING, STILL_STUCK},
        {STILL_RESTING, STILL_GOING},      {STILL_RESTING, STILL_IDLE},
        {STILL_STUCK, STILL_IDLE},
    };
    unsigned count = 0;

    for (enum still_phase from = 0; from < STILL_PHASES; from++) {
        for (enum still_phase to = 0; to < STILL_PHASES; to++)
            count += still_move_ok(from, to);
    }
    ck_assert_uint_eq(count, ARRAY_SIZE(good));
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        ck_assert_msg(still_move_ok(good[i][0], good[i][1]), "%s to %s",
                      still_phase_name(good[i][0]), still_phase_name(good[i][1]));
}
END_TEST

static void check_turn(struct still_queue *q, struct still *s)
{
    ck_assert_ptr_eq(still_first(q), s);
    still_remove(q, s);
}

START_TEST(requests_are_served_by_rank_and_then_in_order)
{
    struct still a = {.kind = &waits}, b = {.kind = &fails}, reset = {.kind = &resets};
    struct still end = {.kind = &ends};
    struct still_queue q;

    still_init(&q);
    ck_assert_ptr_null(still_first(&q));
    ck_assert(still_add(&q, &a));
    ck_assert(still_add(&q, &b));
    ck_assert(!still_add(&q, &a)); /* once */
    ck_assert(still_add(&q, &reset));
    ck_assert(still_add(&q, &end));
    check_turn(&q, &end);
    ck_assert(still_add(&q, &end));
    check_turn(&q, &end);
    check_turn(&q, &reset);
    check_turn(&q, &a);
    ck_assert(still_add(&q, &a)); /* again */
    check_turn(&q, &b);
    still_clear(&q);
    ck_assert_ptr_null(still_first(&q));
    ck_assert(!a.waiting && !b.waiting && !reset.waiting && !end.waiting);
}
END_TEST

START_TEST(each_request_has_a_deadline_of_its_own)
{
    struct still a = {.kind = &waits}, b = {.kind = &fails}, end = {.kind = &ends};
    struct still_queue q;

    still_init(&q);
    still_add(&q, &a);
    ck_assert_uint_eq(still_limit(&q, 100), 0); /* a reset waits for ever */
    ck_assert_ptr_null(still_late(&q, UINT64_MAX));
    still_add(&q, &b);
    ck_assert_uint_eq(still_limit(&q, 100), 100);
    still_add(&q, &end);
    ck_assert_uint_eq(still_limit(&q, 150), 100);
    ck_assert_ptr_null(still_late(&q, 99));
    ck_assert_ptr_eq(still_late(&q, 100), &b);
    ck_assert_ptr_eq(still_late(&q, 500), &b);
    still_remove(&q, &b);
    ck_assert_uint_eq(still_limit(&q, 300), 150);
    ck_assert_ptr_null(still_late(&q, 149));
    ck_assert_ptr_eq(still_late(&q, 150), &end);
    still_remove(&q, &end);
    still_add(&q, &b); /* anew */
    ck_assert_uint_eq(still_limit(&q, 400), 400);
}
END_TEST

START_TEST(a_whole_round)
{
    struct still a = {.kind = &waits};
    struct still_queue q;

    still_init(&q);
    still_move(&q, STILL_GOING);
    still_add(&q, &a);
    still_move(&q, STILL_PARKING);
    still_move(&q, STILL_PARKED);
    still_move(&q, STILL_QUIESCING);
    still_move(&q, STILL_RESTING);
    still_remove(&q, &a);
    still_move(&q, STILL_GOING);
    ck_assert_int_eq(q.phase, STILL_GOING);
}
END_TEST

/* These two end with SIGABRT, as they are listed below. */
START_TEST(a_move_that_is_not_in_the_table_ends_the_process)
{
    struct still_queue q;

    still_init(&q);
    still_move(&q, STILL_RESTING);
}
END_TEST

START_TEST(going_on_over_a_request_ends_the_process)
{
    struct still a = {.kind = &waits};
    struct still_queue q = {.phase = STILL_RESTING};

    TAILQ_INIT(&q.requests);
    still_add(&q, &a);
    still_move(&q, STILL_GOING);
}
END_TEST

/* ---- The states that programs see ----------------------------------------------------------- */

START_TEST(operations_lead_along_moves_of_the_table)
{
    for (enum machine_op_kind op = 0; op < MACHINE_OP_COUNT; op++) {
        unsigned begins = 0;

        for (enum vz_machine_state from = 0; from < MACHINE_STATE_COUNT; from++) {
            enum vz_machine_state through;

            if (!machine_state_begin(from, op, &through))
                continue;
            begins++;
            ck_assert(machine_state_move_ok(from, through));
            ck_assert(machine_state_move_ok(through, machine_state_after(op, true)));
            ck_assert(machine_state_move_ok(through, machine_state_after(op, false)));
        }
        ck_assert_uint_gt(begins, 0);
    }
}
END_TEST

static void add_aborting(Suite *s, const char *name, const TTest *test)
{
    TCase *c = tcase_create(name);

    tcase_add_test_raise_signal(c, test, SIGABRT);
    suite_add_tcase(s, c);
}

static void add_tests(Suite *s)
{
    UNIT_TEST(s, only_these_moves_are_allowed);
    UNIT_TEST(s, requests_are_served_by_rank_and_then_in_order);
    UNIT_TEST(s, each_request_has_a_deadline_of_its_own);
    UNIT_TEST(s, a_whole_round);
    UNIT_TEST(s, operations_lead_along_moves_of_the_table);
    add_aborting(s, "wrong move", a_move_that_is_not_in_the_table_ends_the_process);
    add_aborting(s, "request left", going_on_over_a_request_ends_the_process);
}

UNIT_TEST_MAIN("still", add_tests)
