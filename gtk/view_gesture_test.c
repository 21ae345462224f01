/* SPDX-License-Identifier: MIT */
/* What the guest's fingers do while the user's trackpad tells of gestures. */
#include "unit.h"

#include <math.h>

#include <vz/input.h>

#include "view_gesture.h"

static const struct view_gesture_event end = {.phase = VIEW_GESTURE_END, .fingers = 2};

/* From one finger to the other, in mm: the pad has 100 by 62. */
static double across(const struct vz_channel_touches *t)
{
    return ((double)t->touch[0].x - t->touch[1].x) * 100 / VZ_POINTER_MAX;
}

static double down(const struct vz_channel_touches *t)
{
    return ((double)t->touch[0].y - t->touch[1].y) * 62 / VZ_POINTER_MAX;
}

static double apart(const struct vz_channel_touches *t)
{
    return hypot(across(t), down(t));
}

static double direction(const struct vz_channel_touches *t)
{
    return atan2(down(t), across(t));
}

static struct vz_channel_touches step(struct view_gesture *g, struct view_gesture_event e)
{
    struct vz_channel_touches t;

    ck_assert(view_gesture_step(g, &e, &t));
    ck_assert_uint_eq(t.kind, VZ_CHANNEL_TOUCHES);
    ck_assert_uint_eq(t.pressed, 0);
    for (unsigned i = 0; i < t.count; i++) {
        ck_assert_uint_eq(t.touch[i].id, i);
        ck_assert(t.touch[i].x <= VZ_POINTER_MAX && t.touch[i].y <= VZ_POINTER_MAX);
    }
    return t;
}

static struct view_gesture_event pinch(enum view_gesture_phase phase, double scale, double angle_delta)
{
    return (struct view_gesture_event){.phase = phase, .fingers = 2, .pinch = true, .scale = scale,
                                       .angle_delta = angle_delta};
}

START_TEST(a_pinch_spreads_and_a_turn_turns)
{
    struct view_gesture g = {.active = false};
    struct vz_channel_touches t = step(&g, pinch(VIEW_GESTURE_BEGIN, 1, 0));
    double first = apart(&t);

    ck_assert_uint_eq(t.count, 2);
    ck_assert_double_gt(first, 20);
    t = step(&g, pinch(VIEW_GESTURE_UPDATE, 2, 0));
    ck_assert_double_eq_tol(apart(&t), 2 * first, 0.02);
    t = step(&g, pinch(VIEW_GESTURE_UPDATE, 0.5, 0));
    ck_assert_double_eq_tol(apart(&t), first / 2, 0.02);
    t = step(&g, pinch(VIEW_GESTURE_UPDATE, 1, 0.3));
    t = step(&g, pinch(VIEW_GESTURE_UPDATE, 1, 0.4));
    ck_assert_double_eq_tol(apart(&t), first, 0.02);
    ck_assert_double_eq_tol(remainder(direction(&t) - 0.7, M_PI), 0, 0.01);
    t = step(&g, end);
    ck_assert_uint_eq(t.count, 0);
}
END_TEST

START_TEST(a_swipe_moves_all_fingers)
{
    struct view_gesture g = {.active = false};
    struct view_gesture_event e = {.phase = VIEW_GESTURE_BEGIN, .fingers = 3};
    struct vz_channel_touches before = step(&g, e), t;

    ck_assert_uint_eq(before.count, 3);
    e = (struct view_gesture_event){.phase = VIEW_GESTURE_UPDATE, .fingers = 3, .dx = 40, .dy = -20};
    t = step(&g, e);
    for (unsigned i = 0; i < 3; i++) {
        double right = (double)t.touch[i].x - before.touch[i].x, up = (double)before.touch[i].y - t.touch[i].y;

        ck_assert_double_eq_tol(right * 100, 2 * up * 62, 200); /* as far in mm */
        ck_assert_double_gt(right, 900);
    }
    e.dx = 1e9; /* no farther than the pad */
    t = step(&g, e);
    ck_assert_uint_eq(t.touch[0].x, VZ_POINTER_MAX);
}
END_TEST

START_TEST(what_has_been_let_go_of_stays_so)
{
    struct view_gesture g = {.active = false};
    struct vz_channel_touches t;
    struct view_gesture_event e = pinch(VIEW_GESTURE_UPDATE, 2, 0);

    ck_assert(!view_gesture_step(&g, &e, &t)); /* without a beginning */
    ck_assert(!view_gesture_step(&g, &end, &t));
    step(&g, pinch(VIEW_GESTURE_BEGIN, 1, 0));
    g.active = false; /* the focus has gone */
    ck_assert(!view_gesture_step(&g, &e, &t));
    e = (struct view_gesture_event){.phase = VIEW_GESTURE_BEGIN, .fingers = 1000};
    t = step(&g, e);
    ck_assert_uint_eq(t.count, VZ_TOUCHES_MAX);
    e = pinch(VIEW_GESTURE_UPDATE, NAN, NAN);
    t = step(&g, e); /* whatever a driver says */
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_pinch_spreads_and_a_turn_turns);
    UNIT_TEST(s, a_swipe_moves_all_fingers);
    UNIT_TEST(s, what_has_been_let_go_of_stays_so);
}

UNIT_TEST_MAIN("view_gesture", add_tests)
