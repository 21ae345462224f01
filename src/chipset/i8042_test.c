/* SPDX-License-Identifier: MIT */
#include "chipset/chipset.h"
#include "fake_machine.h"
#include "unit.h"

static void on_request(void *arg, enum chipset_request kind, uint32_t value)
{
    ((unsigned *)arg)[kind]++;
}

static void setup(struct fake_machine *m, unsigned *requests)
{
    struct chipset_requests r = {on_request, requests};
    struct reset_ctl *ctl;

    fake_machine_init(m);
    ck_assert_int_eq(i8042_create(m->bus, &r), 0);
    ck_assert_int_eq(reset_ctl_create(m->bus, &r, &ctl), 0);
}

static uint8_t ask(struct fake_machine *m, uint8_t command)
{
    fake_out(m, 0x64, 1, command);
    ck_assert_uint_eq(fake_in(m, 0x64, 1) & 1, 1);
    return (uint8_t)fake_in(m, 0x60, 1);
}

START_TEST(drivers_find_a_controller_without_devices)
{
    struct fake_machine m;
    unsigned requests[3] = {0};

    setup(&m, requests);
    ck_assert_uint_eq(fake_in(&m, 0x64, 1) & 3, 0);
    ck_assert_uint_eq(ask(&m, 0xaa), 0x55);
    ck_assert_uint_eq(ask(&m, 0xab), 0);
    ck_assert_uint_ne(ask(&m, 0xa9), 0);
    fake_out(&m, 0x64, 1, 0x60);
    fake_out(&m, 0x60, 1, 0x74);
    ck_assert_uint_eq(ask(&m, 0x20), 0x74);
    fake_out(&m, 0x64, 1, 0xd3);
    fake_out(&m, 0x60, 1, 0x5a);
    ck_assert_uint_eq(fake_in(&m, 0x64, 1) & 0x21, 1);
    ck_assert_uint_ne(fake_in(&m, 0x60, 1), 0x5a);
    fake_out(&m, 0x60, 1, 0xf2); /* a keyboard's id */
    ck_assert_uint_eq(fake_in(&m, 0x60, 1), 0xfe);
    ck_assert_uint_eq(fake_in(&m, 0x64, 1) & 1, 0);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(answers_interrupt_when_asked_to)
{
    struct fake_machine m;
    unsigned requests[3] = {0};

    setup(&m, requests);
    fake_out(&m, 0x64, 1, 0xaa);
    ck_assert(m.level[1]);
    (void)fake_in(&m, 0x60, 1);
    ck_assert(!m.level[1]);
    fake_out(&m, 0x64, 1, 0x60);
    fake_out(&m, 0x60, 1, 0x00);
    fake_out(&m, 0x64, 1, 0xaa);
    ck_assert(!m.level[1]);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(every_way_to_reset_resets)
{
    struct fake_machine m;
    unsigned requests[3] = {0};

    setup(&m, requests);
    fake_out(&m, 0x64, 1, 0xfe);
    ck_assert_uint_eq(requests[CHIPSET_RESET], 1);
    fake_out(&m, 0x64, 1, 0xff);
    ck_assert_uint_eq(requests[CHIPSET_RESET], 1);
    fake_out(&m, 0x64, 1, 0xd1);
    fake_out(&m, 0x60, 1, 0x02);
    ck_assert_uint_eq(requests[CHIPSET_RESET], 2);
    fake_out(&m, 0x92, 1, 0x03);
    ck_assert_uint_eq(requests[CHIPSET_RESET], 3);
    ck_assert_uint_eq(fake_in(&m, 0x92, 1), 3);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(the_a20_gate_is_remembered)
{
    struct fake_machine m;
    unsigned requests[3] = {0};

    setup(&m, requests);
    ck_assert_uint_eq(fake_in(&m, 0x92, 1), 2);
    fake_out(&m, 0x64, 1, 0xdd);
    ck_assert_uint_eq(ask(&m, 0xd0) & 2, 0);
    fake_out(&m, 0x64, 1, 0xdf);
    ck_assert_uint_eq(ask(&m, 0xd0) & 2, 2);
    ck_assert_uint_eq(requests[CHIPSET_RESET], 0);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(state_survives_and_hostile_accesses_break_nothing)
{
    struct fake_machine m, n;
    unsigned requests[3] = {0};

    setup(&m, requests);
    setup(&n, requests);
    fake_hostile_ports(&m, 0x60, 5);
    for (unsigned i = 0; i < 0x100; i++) {
        fake_out(&m, 0x64, 1, i);
        fake_out(&m, 0x60, 1, 0xff - i);
    }
    fake_machine_round_trip(&m, &n);
    ck_assert_uint_eq(fake_in(&m, 0x60, 1), fake_in(&n, 0x60, 1));
    bus_reset(m.bus);
    ck_assert_uint_eq(fake_in(&m, 0x64, 1) & 1, 0);
    fake_machine_fini(&m);
    fake_machine_fini(&n);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, drivers_find_a_controller_without_devices);
    UNIT_TEST(s, answers_interrupt_when_asked_to);
    UNIT_TEST(s, every_way_to_reset_resets);
    UNIT_TEST(s, the_a20_gate_is_remembered);
    UNIT_TEST(s, state_survives_and_hostile_accesses_break_nothing);
}

UNIT_TEST_MAIN("i8042", add_tests)
