/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <limits.h>
#include <poll.h>

#include "machine/events.h"

static void count(struct event *e, void *machine)
{
    ++*(unsigned *)machine;
}

static bool is_readable(const struct events *e)
{
    struct pollfd p = {.fd = e->fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

START_TEST(a_guest_fills_the_queue_up_to_a_limit)
{
    static struct event event[EVENTS_GUEST_MAX + 2];
    unsigned called = 0;
    struct events e;

    ck_assert_int_eq(events_init(&e, true), 0);
    ck_assert(!is_readable(&e));
    for (unsigned i = 0; i < ARRAY_SIZE(event); i++)
        event[i].fn = count;
    for (unsigned i = 0; i < EVENTS_GUEST_MAX; i++)
        ck_assert(events_push_guest(&e, &event[i]));
    ck_assert(!events_push_guest(&e, &event[EVENTS_GUEST_MAX]));
    events_push(&e, &event[EVENTS_GUEST_MAX + 1]); /* what the program waits for gets there */
    ck_assert(is_readable(&e));
    ck_assert_uint_eq(events_deliver(&e, &called, UINT_MAX), EVENTS_GUEST_MAX + 1);
    ck_assert_uint_eq(called, EVENTS_GUEST_MAX + 1);
    ck_assert(!is_readable(&e));
    ck_assert(events_push_guest(&e, &event[0])); /* and there is room again */
    ck_assert_uint_eq(events_deliver(&e, &called, UINT_MAX), 1);
    events_fini(&e);
}
END_TEST

struct echo {
    struct event event;
    struct events *events;
};

static void again(struct event *e, void *machine)
{
    ++*(unsigned *)machine;
    events_push(((struct echo *)e)->events, e);
}

START_TEST(events_that_make_events_do_not_keep_the_thread)
{
    struct events e;
    struct echo echo = {{again, NULL}, &e};
    unsigned called = 0;

    ck_assert_int_eq(events_init(&e, true), 0);
    events_push(&e, &echo.event);
    ck_assert_uint_eq(events_deliver(&e, &called, 10), 10);
    ck_assert_uint_eq(called, 10);
    ck_assert(is_readable(&e)); /* the last one waits */
    events_fini(&e);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_guest_fills_the_queue_up_to_a_limit);
    UNIT_TEST(s, events_that_make_events_do_not_keep_the_thread);
}

UNIT_TEST_MAIN("events", add_tests)
