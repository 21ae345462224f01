/* SPDX-License-Identifier: MIT */
#include "chipset/chipset.h"
#include "fake_machine.h"
#include "unit.h"

static void on_request(void *arg, enum chipset_request kind, uint32_t value)
{
    ck_assert_int_eq(kind, CHIPSET_DEBUG_EXIT);
    *(uint32_t *)arg = value;
}

static void setup(struct fake_machine *m, uint32_t *value)
{
    struct chipset_requests r = {on_request, value};

    fake_machine_init(m);
    ck_assert_int_eq(post_ports_create(m->bus), 0);
    ck_assert_int_eq(debug_exit_create(m->bus, &r), 0);
}

START_TEST(debug_exit_passes_the_value_on_at_any_width)
{
    struct fake_machine m;
    uint32_t value = 0;

    setup(&m, &value);
    fake_out(&m, 0xf4, 1, 0x10);
    ck_assert_uint_eq(value, 0x10);
    fake_out(&m, 0xf4, 4, 0x12345678);
    ck_assert_uint_eq(value, 0x12345678);
    fake_out(&m, 0xf5, 1, 0x99);
    ck_assert_uint_eq(value, 0x12345678);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(post_codes_read_back_and_survive)
{
    struct fake_machine m, n;
    uint32_t value = 0;

    setup(&m, &value);
    setup(&n, &value);
    fake_out(&m, 0x80, 1, 0x42);
    fake_out(&m, 0xed, 1, 0x43);
    fake_hostile_ports(&m, 0xf4, 4);
    fake_machine_round_trip(&m, &n);
    ck_assert_uint_eq(fake_in(&n, 0x80, 1), 0x42);
    ck_assert_uint_eq(fake_in(&n, 0xed, 1), 0x43);
    fake_machine_fini(&m);
    fake_machine_fini(&n);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, debug_exit_passes_the_value_on_at_any_width);
    UNIT_TEST(s, post_codes_read_back_and_survive);
}

UNIT_TEST_MAIN("ports", add_tests)
