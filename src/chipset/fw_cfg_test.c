/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "chipset/chipset.h"
#include "fake_machine.h"
#include "unit.h"

static uint64_t item(struct fake_machine *m, uint16_t key, unsigned len)
{
    uint64_t v = 0;

    fake_out(m, 0x510, 2, key);
    for (unsigned n = 0; n < len; n++)
        v |= (uint64_t)fake_in(m, 0x511, 1) << (8 * n);
    return v;
}

START_TEST(items_say_what_the_machine_has)
{
    struct fake_machine m;

    fake_machine_init(&m);
    ck_assert_int_eq(fw_cfg_create(m.bus, UINT64_C(5) << 30, 3), 0);
    ck_assert_uint_eq(item(&m, 0x00, 4), 0x554d4551); /* "QEMU" */
    ck_assert_uint_eq(item(&m, 0x01, 4), 1);
    ck_assert_uint_eq(item(&m, 0x03, 8), UINT64_C(5) << 30);
    ck_assert_uint_eq(item(&m, 0x05, 2), 3);
    ck_assert_uint_eq(item(&m, 0x0f, 2), 3);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(what_is_not_there_reads_as_zeroes)
{
    struct fake_machine m;

    fake_machine_init(&m);
    ck_assert_int_eq(fw_cfg_create(m.bus, 1 << 30, 1), 0);
    ck_assert_uint_eq(item(&m, 0x19, 4), 0);
    ck_assert_uint_eq(item(&m, 0xffff, 8), 0);
    (void)item(&m, 0x00, 8);
    ck_assert_uint_eq(fake_in(&m, 0x511, 1), 0);
    fake_out(&m, 0x511, 1, 0x55);
    ck_assert_uint_eq(item(&m, 0x01, 1), 1);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(a_half_read_item_survives_a_save)
{
    struct state_writer w = {0};
    struct fake_machine m, n;

    fake_machine_init(&m);
    fake_machine_init(&n);
    ck_assert_int_eq(fw_cfg_create(m.bus, 1 << 30, 1), 0);
    ck_assert_int_eq(fw_cfg_create(n.bus, 1 << 30, 1), 0);
    ck_assert_uint_eq(item(&m, 0x00, 2), 0x4551);
    ck_assert_int_eq(bus_save(m.bus, &w), 0);
    ck_assert_int_eq(bus_load(n.bus, w.data, w.len, NULL), 0);
    ck_assert_uint_eq(fake_in(&n, 0x511, 1), 'M');
    state_writer_fini(&w);
    fake_machine_fini(&m);
    fake_machine_fini(&n);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, items_say_what_the_machine_has);
    UNIT_TEST(s, what_is_not_there_reads_as_zeroes);
    UNIT_TEST(s, a_half_read_item_survives_a_save);
}

UNIT_TEST_MAIN("fw_cfg", add_tests)
