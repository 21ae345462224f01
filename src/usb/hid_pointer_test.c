/* SPDX-License-Identifier: MIT */
#include "usb/hid_fixture.h"

static void send(struct rig *r, struct hid_pointer_event e)
{
    hid_pointer_send(r->dev, &e);
}

START_TEST(the_pointer_is_where_it_is_told_to_be)
{
    struct rig r;

    make(&r, HID_POINTER, 1);
    ck_assert_uint_eq(check_descriptor(&r, 0, 0), 72);
    ck_assert_uint_eq(report(&r, 0), 0);
    send(&r, (struct hid_pointer_event){.x = 0x1234, .y = 0x7fff});
    EXPECT(&r, 0, "\0\x34\x12\xff\x7f\0\0\0\0");
    send(&r, (struct hid_pointer_event){.x = 0x1234, .y = 0xffff}); /* beyond the edge: no news */
    ck_assert_uint_eq(report(&r, 0), 0);
    send(&r, (struct hid_pointer_event){.x = 0x1234, .y = 0x7fff, .buttons = 0xff});
    EXPECT(&r, 0, "\x1f\x34\x12\xff\x7f\0\0\0\0");
    unmake(&r);
}
END_TEST

START_TEST(moves_are_joined_and_clicks_are_not)
{
    struct rig r;

    make(&r, HID_MOUSE, 1);
    ck_assert_uint_eq(check_descriptor(&r, 0, 0), 72);
    send(&r, (struct hid_pointer_event){.dx = 3, .dy = -1});
    send(&r, (struct hid_pointer_event){.dx = 4, .dy = -1});
    send(&r, (struct hid_pointer_event){.buttons = 1});
    send(&r, (struct hid_pointer_event){.buttons = 0});
    EXPECT(&r, 0, "\0\7\0\xfe\xff\0\0\0\0");
    EXPECT(&r, 0, "\1\0\0\0\0\0\0\0\0");
    EXPECT(&r, 0, "\0\0\0\0\0\0\0\0\0");
    ck_assert_uint_eq(report(&r, 0), 0);
    unmake(&r);
}
END_TEST

START_TEST(wheels_turn_by_notches_or_finer_where_the_host_asks)
{
    struct rig r;
    uint32_t len;

    make(&r, HID_POINTER, 1);
    for (unsigned i = 0; i < 3; i++) {
        send(&r, (struct hid_pointer_event){.wheel = 40, .pan = -120});
        ck_assert_uint_eq(report(&r, 0), 9);
        ck_assert_int_eq((int8_t)((uint8_t *)fx_at(&r.f, FX_DATA))[5], i == 2);
        ck_assert_int_eq((int8_t)((uint8_t *)fx_at(&r.f, FX_DATA))[7], -1);
    }
    send(&r, (struct hid_pointer_event){.wheel = 100});
    ck_assert_uint_eq(report(&r, 0), 0);
    send(&r, (struct hid_pointer_event){.wheel = -40}); /* the other way: not 60 in all */
    ck_assert_uint_eq(report(&r, 0), 0);
    send(&r, (struct hid_pointer_event){.wheel = -80});
    EXPECT(&r, 0, "\0\0\0\0\0\xff\xff\0\0");
    r.waits[0] = false;
    ck_assert_uint_eq(set_report(&r, 3, 0, "\5", 1), XHCI_SUCCESS);
    ck_assert_uint_eq(get_report(&r, 3, 0, 1, &len), XHCI_SUCCESS);
    ck_assert_uint_eq(*(uint8_t *)fx_at(&r.f, FX_DATA), 5);
    send(&r, (struct hid_pointer_event){.wheel = 7, .pan = -9});
    EXPECT(&r, 0, "\0\0\0\0\0\7\0\xf7\xff");
    unmake(&r);
}
END_TEST

START_TEST(firmware_reads_a_mouse_by_the_boot_protocol)
{
    struct rig r;

    make(&r, HID_MOUSE, 1);
    ck_assert_uint_eq(fx_control(&r.f, r.slot, 0x21, 11, 0, 0, 0, NULL), XHCI_SUCCESS);
    send(&r, (struct hid_pointer_event){.dx = 1000, .dy = -5, .buttons = 9});
    EXPECT(&r, 0, "\1\x7f\xfb");
    unmake(&r);
}
END_TEST

START_TEST(a_flood_is_joined)
{
    struct rig r;
    unsigned n = 0;

    make(&r, HID_MOUSE, 1);
    for (unsigned i = 0; i < 1000; i++)
        send(&r, (struct hid_pointer_event){.dx = INT32_MAX, .dy = INT32_MIN, .buttons = i & 1, .wheel = INT32_MAX});
    while (report(&r, 0) && n < 1000)
        n++;
    ck_assert_uint_eq(n, 64);
    unmake(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, the_pointer_is_where_it_is_told_to_be);
    UNIT_TEST(s, moves_are_joined_and_clicks_are_not);
    UNIT_TEST(s, wheels_turn_by_notches_or_finer_where_the_host_asks);
    UNIT_TEST(s, firmware_reads_a_mouse_by_the_boot_protocol);
    UNIT_TEST(s, a_flood_is_joined);
}

UNIT_TEST_MAIN("hid_pointer", add_tests)
