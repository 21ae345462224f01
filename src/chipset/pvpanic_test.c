/* SPDX-License-Identifier: MIT */
#include "chipset/chipset.h"
#include "fake_machine.h"
#include "unit.h"

struct seen {
    unsigned count;
    uint32_t last;
};

static void on_request(void *arg, enum chipset_request kind, uint32_t value)
{
    struct seen *seen = arg;

    ck_assert_int_eq(kind, CHIPSET_PANIC);
    seen->count++;
    seen->last = value;
}

static void setup(struct fake_machine *m, struct seen *seen)
{
    struct chipset_requests r = {on_request, seen};

    *seen = (struct seen){0};
    fake_machine_init(m);
    ck_assert_int_eq(pvpanic_create(m->bus, &r), 0);
}

START_TEST(it_says_what_it_takes_and_tells_each_event_once)
{
    struct fake_machine m;
    struct seen seen;

    setup(&m, &seen);
    ck_assert_uint_eq(fake_in(&m, PVPANIC_PORT, 1), 3);
    fake_out(&m, PVPANIC_PORT, 1, 0);
    fake_out(&m, PVPANIC_PORT, 1, 0xfc); /* none that it said */
    ck_assert_uint_eq(seen.count, 0);
    fake_out(&m, PVPANIC_PORT, 1, PVPANIC_CRASH_LOADED);
    fake_out(&m, PVPANIC_PORT, 1, PVPANIC_CRASH_LOADED);
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_uint_eq(seen.last, PVPANIC_CRASH_LOADED);
    fake_out(&m, PVPANIC_PORT, 1, 0xff);
    ck_assert_uint_eq(seen.count, 2);
    ck_assert_uint_eq(seen.last, PVPANIC_PANICKED);
    bus_reset(m.bus);
    fake_out(&m, PVPANIC_PORT, 1, PVPANIC_PANICKED);
    ck_assert_uint_eq(seen.count, 3);
    ck_assert_uint_eq(fake_in(&m, PVPANIC_PORT, 1), 3);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(what_was_told_is_saved)
{
    struct fake_machine m, n;
    struct seen seen, after;

    setup(&m, &seen);
    setup(&n, &after);
    fake_hostile_ports(&m, PVPANIC_PORT, 1);
    fake_out(&m, PVPANIC_PORT, 1, 3);
    fake_machine_round_trip(&m, &n);
    fake_out(&n, PVPANIC_PORT, 1, 3);
    ck_assert_uint_eq(after.count, 0);
    fake_machine_fini(&m);
    fake_machine_fini(&n);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, it_says_what_it_takes_and_tells_each_event_once);
    UNIT_TEST(s, what_was_told_is_saved);
}

UNIT_TEST_MAIN("pvpanic", add_tests)
