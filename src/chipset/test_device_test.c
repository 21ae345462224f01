/* SPDX-License-Identifier: MIT */
#include "chipset/chipset.h"
#include "fake_machine.h"
#include "unit.h"

START_TEST(registers_and_memory_remember)
{
    struct fake_machine m, n;

    fake_machine_init(&m);
    fake_machine_init(&n);
    ck_assert_int_eq(test_device_create(m.bus), 0);
    ck_assert_int_eq(test_device_create(n.bus), 0);
    fake_out(&m, 0xe0, 4, 0x12345678);
    fake_out(&m, 0xe1, 1, 0xaa);
    fake_out(&m, 0xe4, 4, 0xffffffff);
    fake_out(&m, 0xe8, 4, 0x01020304);
    fake_write(&m, 0xff000ffe, 4, 0x11223344);
    fake_write(&m, 0xff00fff8, 8, UINT64_C(0x0102030405060708));
    fake_hostile_ports(&m, 0xf4, 4);
    fake_machine_round_trip(&m, &n);
    ck_assert_uint_eq(fake_in(&n, 0xe0, 4), 0x1234aa78);
    ck_assert_uint_eq(fake_in(&n, 0xe2, 2), 0x1234);
    ck_assert_uint_eq(fake_in(&n, 0xe8, 4), 0x01020304);
    ck_assert_uint_eq(fake_read(&n, 0xff001000, 2), 0x1122);
    ck_assert_uint_eq(fake_read(&n, 0xff00fffc, 4), 0x01020304);
    fake_machine_fini(&m);
    fake_machine_fini(&n);
}
END_TEST

START_TEST(lines_can_be_pulled)
{
    struct fake_machine m, n;

    fake_machine_init(&m);
    fake_machine_init(&n);
    ck_assert_int_eq(test_device_create(m.bus), 0);
    ck_assert_int_eq(test_device_create(n.bus), 0);
    fake_out(&m, 0x200e, 1, 1);
    fake_out(&m, 0x200f, 1, 1);
    fake_out(&m, 0x200f, 1, 0);
    ck_assert(m.level[14] && !m.level[15]);
    ck_assert_uint_eq(m.rises[15], 1);
    fake_machine_round_trip(&m, &n);
    ck_assert(n.level[14] && !n.level[15]);
    bus_reset(m.bus);
    ck_assert(!m.level[14]);
    fake_hostile_ports(&m, 0x2000, HV_IRQ_LINES);
    fake_machine_fini(&m);
    fake_machine_fini(&n);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, registers_and_memory_remember);
    UNIT_TEST(s, lines_can_be_pulled);
}

UNIT_TEST_MAIN("test_device", add_tests)
