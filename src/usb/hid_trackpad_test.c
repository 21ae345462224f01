/* SPDX-License-Identifier: MIT */
#include "usb/hid_fixture.h"

static void touch(struct rig *r, unsigned count, const struct hid_touch *t, bool pressed)
{
    hid_touches_send(r->dev, t, count, pressed);
}

/* A report of fingers but for the time: of the contact in place i: flags, number, x, y. */
static const uint8_t *contact(struct rig *r, unsigned i)
{
    return (uint8_t *)fx_at(&r->f, FX_DATA) + 1 + 6 * i;
}

static void as_touchpad(struct rig *r)
{
    make(r, HID_TRACKPAD, 1);
    ck_assert_uint_eq(set_report(r, 3, 4, "\4\3", 2), XHCI_SUCCESS);
}

START_TEST(it_tells_what_it_can)
{
    struct rig r;
    uint32_t len;

    make(&r, HID_TRACKPAD, 1);
    ck_assert_uint_eq(check_descriptor(&r, 0, 1), 34 * 8);
    ck_assert_uint_eq(check_descriptor(&r, 0, 6), 7 * 8);
    ck_assert_uint_eq(get_report(&r, 3, 2, 2, &len), XHCI_SUCCESS);
    ck_assert_mem_eq(fx_at(&r.f, FX_DATA), "\2\5", 2);
    ck_assert_uint_eq(get_report(&r, 3, 4, 2, &len), XHCI_SUCCESS);
    ck_assert_mem_eq(fx_at(&r.f, FX_DATA), "\4\0", 2); /* a mouse, at first */
    ck_assert_uint_eq(get_report(&r, 3, 3, 257, &len), XHCI_SUCCESS);
    ck_assert_uint_eq(len, 257);
    ck_assert_uint_eq(get_report(&r, 3, 9, 2, &len), XHCI_STALL_ERROR);
    unmake(&r);
}
END_TEST

START_TEST(fingers_come_move_and_leave)
{
    struct rig r;
    struct hid_touch two[] = {{7, 100, 200}, {900, 300, 400}};

    as_touchpad(&r);
    touch(&r, 2, two, false);
    ck_assert_uint_eq(report(&r, 0), 35);
    ck_assert_mem_eq(contact(&r, 0), "\3\0\x64\0\xc8\0\3\1\x2c\1\x90\1", 12);
    ck_assert_uint_eq(contact(&r, 0)[32], 2); /* fingers */
    ck_assert_uint_eq(contact(&r, 0)[33], 0);
    touch(&r, 1, two + 1, true); /* the first one leaves, and the pad is pressed */
    ck_assert_uint_eq(report(&r, 0), 35);
    ck_assert_mem_eq(contact(&r, 0), "\1\0\x64\0\xc8\0\3\1\x2c\1\x90\1", 12);
    ck_assert_uint_eq(contact(&r, 0)[32], 2);
    ck_assert_uint_eq(contact(&r, 0)[33], 1);
    touch(&r, 0, NULL, false);
    ck_assert_uint_eq(report(&r, 0), 35);
    ck_assert_mem_eq(contact(&r, 0), "\1\1\x2c\1\x90\1", 6);
    ck_assert_uint_eq(contact(&r, 0)[32], 1);
    ck_assert_uint_eq(report(&r, 0), 0);
    unmake(&r);
}
END_TEST

START_TEST(five_others_take_two_reports)
{
    struct rig r;
    struct hid_touch f[HID_TOUCHES];

    as_touchpad(&r);
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < HID_TOUCHES; i++)
            f[i] = (struct hid_touch){.id = 10 * k + i, .x = (uint16_t)i, .y = 1};
        touch(&r, HID_TOUCHES, f, false);
    }
    ck_assert_uint_eq(report(&r, 0), 35);
    ck_assert_uint_eq(contact(&r, 4)[0], 3);
    ck_assert_uint_eq(report(&r, 0), 35); /* all leave */
    ck_assert_uint_eq(contact(&r, 4)[0], 1);
    ck_assert_uint_eq(report(&r, 0), 35);
    ck_assert_uint_eq(contact(&r, 4)[0], 3);
    ck_assert_uint_eq(report(&r, 0), 0);
    unmake(&r);
}
END_TEST

START_TEST(it_is_a_mouse_for_who_knows_no_touchpads)
{
    struct rig r;
    struct hid_touch f[] = {{1, 1000, 1000}, {2, 5000, 1000}};

    make(&r, HID_TRACKPAD, 1);
    touch(&r, 1, f, false);
    ck_assert_uint_eq(report(&r, 0), 8);
    f[0].x += 160;
    touch(&r, 1, f, false);
    EXPECT(&r, 0, "\6\0\x0a\0\0\0\0\0");
    touch(&r, 1, f, true);
    EXPECT(&r, 0, "\6\1\0\0\0\0\0\0");
    touch(&r, 2, f, true);
    EXPECT(&r, 0, "\6\2\0\0\0\0\0\0");
    hid_pointer_send(r.dev, &(struct hid_pointer_event){.dx = 2, .wheel = 120});
    EXPECT(&r, 0, "\6\0\2\0\0\0\1\0");
    unmake(&r);
}
END_TEST

START_TEST(floods_and_nonsense_are_bounded)
{
    struct rig r;
    struct hid_touch f[HID_TOUCHES] = {{0}};
    unsigned n = 0;

    as_touchpad(&r);
    for (unsigned i = 0; i < 1000; i++) {
        f[0].id = i;
        f[0].x = 0xffff;
        touch(&r, i % (HID_TOUCHES + 1), f, i & 1); /* the same finger more than once */
    }
    while (report(&r, 0) && n < 1000)
        n++;
    ck_assert_uint_lt(n, 200);
    unmake(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, it_tells_what_it_can);
    UNIT_TEST(s, fingers_come_move_and_leave);
    UNIT_TEST(s, five_others_take_two_reports);
    UNIT_TEST(s, it_is_a_mouse_for_who_knows_no_touchpads);
    UNIT_TEST(s, floods_and_nonsense_are_bounded);
}

UNIT_TEST_MAIN("hid_trackpad", add_tests)
