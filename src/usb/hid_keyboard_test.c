/* SPDX-License-Identifier: MIT */
#include "usb/hid_fixture.h"

#define A    0x70004u
#define B    0x70005u
#define CTRL 0x700e0u
#define MUTE 0xc00e2u
#define POWER 0x10081u
#define FN   0xff0003u

static void tap(struct rig *r, uint32_t key)
{
    hid_key(r->dev, key, true);
    hid_key(r->dev, key, false);
}

START_TEST(keys_come_as_boot_reports_each_press_for_itself)
{
    struct rig r;

    make(&r, HID_KEYBOARD, 2);
    ck_assert_uint_eq(report(&r, 0), 0);
    tap(&r, A); /* both before the driver looks */
    EXPECT(&r, 0, "\0\0\4\0\0\0\0\0");
    EXPECT(&r, 0, "\0\0\0\0\0\0\0\0");
    ck_assert_uint_eq(report(&r, 0), 0);
    hid_key(r.dev, CTRL, true);
    EXPECT(&r, 0, "\1\0\0\0\0\0\0\0");
    hid_key(r.dev, B, true);
    hid_key(r.dev, B, true); /* it is down already */
    EXPECT(&r, 0, "\1\0\5\0\0\0\0\0");
    ck_assert_uint_eq(report(&r, 0), 0);
    hid_keys_up(r.dev);
    EXPECT(&r, 0, "\0\0\0\0\0\0\0\0");
    ck_assert_uint_eq(report(&r, 0), 0);
    unmake(&r);
}
END_TEST

START_TEST(more_than_six_keys_roll_over)
{
    struct rig r;

    make(&r, HID_KEYBOARD, 2);
    for (unsigned i = 0; i < 7; i++)
        hid_key(r.dev, A + i, true);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_uint_eq(report(&r, 0), 8);
    EXPECT(&r, 0, "\0\0\1\1\1\1\1\1");
    hid_key(r.dev, A, false);
    EXPECT(&r, 0, "\0\0\5\6\7\10\11\12");
    unmake(&r);
}
END_TEST

START_TEST(media_and_system_keys_have_an_interface_of_their_own)
{
    struct rig r;

    make(&r, HID_KEYBOARD, 2);
    ck_assert_uint_eq(check_descriptor(&r, 0, 0), 64);
    ck_assert_uint_eq(check_descriptor(&r, 1, 1), 32);
    ck_assert_uint_eq(check_descriptor(&r, 1, 2), 8);
    ck_assert_uint_eq(report(&r, 1), 0);
    tap(&r, MUTE);
    EXPECT(&r, 1, "\1\342\0\0\0");
    EXPECT(&r, 1, "\1\0\0\0\0");
    ck_assert_uint_eq(report(&r, 1), 0);
    tap(&r, POWER);
    EXPECT(&r, 1, "\2\1");
    EXPECT(&r, 1, "\2\0");
    ck_assert_uint_eq(report(&r, 1), 0);
    hid_key(r.dev, MUTE, true);
    EXPECT(&r, 1, "\1\342\0\0\0");
    hid_key(r.dev, POWER, true);
    EXPECT(&r, 1, "\2\1");
    hid_keys_up(r.dev);
    EXPECT(&r, 1, "\2\0");
    unmake(&r);
}
END_TEST

START_TEST(lights_and_the_boot_protocol_are_as_the_host_sets_them)
{
    struct rig r;
    uint32_t len;

    make(&r, HID_KEYBOARD, 2);
    ck_assert_uint_eq(hid_leds(r.dev), 0);
    ck_assert_uint_eq(set_report(&r, 2, 0, "\2", 1), XHCI_SUCCESS);
    ck_assert_uint_eq(hid_leds(r.dev), 2);
    ck_assert_uint_eq(get_report(&r, 1, 0, 8, &len), XHCI_SUCCESS);
    ck_assert_uint_eq(len, 8);
    ck_assert_uint_eq(fx_control(&r.f, r.slot, 0x21, 11, 0, 0, 0, NULL), XHCI_SUCCESS); /* boot protocol */
    ck_assert_uint_eq(fx_control(&r.f, r.slot, 0xa1, 3, 0, 0, 1, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(*(uint8_t *)fx_at(&r.f, FX_DATA), 0);
    ck_assert_uint_eq(fx_control(&r.f, r.slot, 0x21, 10, 0x0500, 0, 0, NULL), XHCI_SUCCESS); /* idle */
    ck_assert_uint_eq(fx_control(&r.f, r.slot, 0xa1, 2, 0, 0, 1, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(*(uint8_t *)fx_at(&r.f, FX_DATA), 5);
    ck_assert_uint_eq(get_report(&r, 3, 0, 8, &len), XHCI_STALL_ERROR); /* no feature */
    unmake(&r);
}
END_TEST

START_TEST(the_mac_keyboard_has_an_fn_key)
{
    struct rig r;

    make(&r, HID_KEYBOARD, 2);
    tap(&r, FN);
    ck_assert_uint_eq(report(&r, 0), 0);
    unmake(&r);
    make(&r, HID_MAC_KEYBOARD, 2);
    ck_assert_uint_eq(check_descriptor(&r, 0, 0), 72);
    tap(&r, FN);
    EXPECT(&r, 0, "\0\0\0\0\0\0\0\0\1");
    EXPECT(&r, 0, "\0\0\0\0\0\0\0\0\0");
    ck_assert_uint_eq(fx_control(&r.f, r.slot, 0x21, 11, 0, 0, 0, NULL), XHCI_SUCCESS);
    tap(&r, A);
    EXPECT(&r, 0, "\0\0\4\0\0\0\0\0"); /* the boot protocol's */
    unmake(&r);
}
END_TEST

START_TEST(who_is_not_read_forgets_and_all_keys_are_up)
{
    struct rig r;
    unsigned n = 0;

    make(&r, HID_KEYBOARD, 2);
    hid_key(r.dev, CTRL, true);
    for (unsigned i = 0; i < 1000; i++)
        tap(&r, A);
    while (report(&r, 0) && n < 1000)
        n++;
    ck_assert_uint_lt(n, 300);
    hid_key(r.dev, CTRL, true); /* it is up, whatever was dropped: so this is news, or nothing was lost */
    unmake(&r);
}
END_TEST

START_TEST(a_keyboard_that_nobody_configured_takes_nothing)
{
    struct rig r;

    make(&r, HID_KEYBOARD, 2);
    ck_assert_uint_eq(fx_control(&r.f, r.slot, 0, USB_SET_CONFIGURATION, 0, 0, 0, NULL), XHCI_SUCCESS);
    tap(&r, A);
    ck_assert_uint_eq(fx_control(&r.f, r.slot, 0, USB_SET_CONFIGURATION, 1, 0, 0, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(report(&r, 0), 0);
    unmake(&r);
}
END_TEST

static void on_quiet(void *arg)
{
    ++*(unsigned *)arg;
}

START_TEST(what_was_typed_survives_a_save)
{
    struct rig a, b;
    unsigned quiet = 0;

    make(&a, HID_KEYBOARD, 2);
    make(&b, HID_KEYBOARD, 2);
    ck_assert_uint_eq(report(&a, 0), 0); /* a transfer waits in it */
    xhci_quiesce(a.f.x, on_quiet, &quiet);
    xhci_quiesce(b.f.x, on_quiet, &quiet);
    ck_assert_uint_eq(quiet, 2);
    hid_key(a.dev, CTRL, true);
    tap(&a, A);
    fake_machine_round_trip(&a.f.m, &b.f.m);
    memcpy(b.f.ram, a.f.ram, FX_RAM);
    xhci_resume(b.f.x);
    b.waits[0] = true;
    b.f.event_at = a.f.event_at;
    b.f.event_cycle = a.f.event_cycle;
    b.f.ring[b.slot][3] = a.f.ring[a.slot][3];
    EXPECT(&b, 0, "\1\0\0\0\0\0\0\0");
    EXPECT(&b, 0, "\1\0\4\0\0\0\0\0");
    EXPECT(&b, 0, "\1\0\0\0\0\0\0\0");
    unmake(&a);
    unmake(&b);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, keys_come_as_boot_reports_each_press_for_itself);
    UNIT_TEST(s, more_than_six_keys_roll_over);
    UNIT_TEST(s, media_and_system_keys_have_an_interface_of_their_own);
    UNIT_TEST(s, lights_and_the_boot_protocol_are_as_the_host_sets_them);
    UNIT_TEST(s, the_mac_keyboard_has_an_fn_key);
    UNIT_TEST(s, who_is_not_read_forgets_and_all_keys_are_up);
    UNIT_TEST(s, a_keyboard_that_nobody_configured_takes_nothing);
    UNIT_TEST(s, what_was_typed_survives_a_save);
}

UNIT_TEST_MAIN("hid_keyboard", add_tests)
