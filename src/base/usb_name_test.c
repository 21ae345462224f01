/* SPDX-License-Identifier: MIT */
#include "base/usb_name.h"

#include "base/error.h"
#include "unit.h"

static struct usb_name parse(const char *text)
{
    struct vz_error err = {0};
    struct usb_name n;

    ck_assert_msg(usb_name_parse(text, &n, &err) == 0, "%s: %s", text, err.text);
    return n;
}

START_TEST(a_device_is_named_by_what_it_is)
{
    struct usb_name n = parse("046d:C52b");

    ck_assert_int_eq(n.kind, USB_NAME_ID);
    ck_assert_uint_eq(n.vendor, 0x046d);
    ck_assert_uint_eq(n.product, 0xc52b);
}
END_TEST

START_TEST(a_device_is_named_by_where_it_is)
{
    ck_assert_str_eq(parse("1-2").port, "1-2");
    ck_assert_str_eq(parse("1.2").port, "1-2");
    ck_assert_str_eq(parse("12-1.2.3.4.5.6").port, "12-1.2.3.4.5.6");
    ck_assert_str_eq(parse("255-255.255.255.255.255.255").port, "255-255.255.255.255.255.255");
    ck_assert_int_eq(parse("3.1.4").kind, USB_NAME_PORT);
}
END_TEST

START_TEST(a_device_is_named_by_its_node)
{
    struct usb_name n = parse("/dev/bus/usb/001/014");

    ck_assert_int_eq(n.kind, USB_NAME_ADDRESS);
    ck_assert_uint_eq(n.bus, 1);
    ck_assert_uint_eq(n.address, 14);
    ck_assert_uint_eq(parse("2/3").address, 3);
}
END_TEST

START_TEST(all_else_is_no_name)
{
    static const char *const bad[] = {"", "1", "-", "1-", "-1", "1-0", "0-1", "256-1", "1-2.", "1-2-3", "1-1.2.3.4.5.6.7", "1-2x",
                                      "46d:c52b", "046d:c52", "046d:c52bb", "046d:", ":", "046d-c52b", "046dc:52b", "1/", "1/2/3",
                                      "/dev/sda", "/dev/bus/usb/", "1/999", "99999999999999999999-1", "1- 2", " 1-2", "usb1"};
    struct vz_error err;
    struct usb_name n;

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_msg(usb_name_parse(bad[i], &n, &err) < 0 && err.code == VZ_ERROR_INVALID, "%s", bad[i]);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_device_is_named_by_what_it_is);
    UNIT_TEST(s, a_device_is_named_by_where_it_is);
    UNIT_TEST(s, a_device_is_named_by_its_node);
    UNIT_TEST(s, all_else_is_no_name);
}

UNIT_TEST_MAIN("usb_name", add_tests)
