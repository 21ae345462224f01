/* SPDX-License-Identifier: MIT */
#include "usb/usb_layout.h"

#include <string.h>

#include "base/error.h"
#include "base/le.h"
#include "unit.h"
#include "usb/usb.h"

#define DEVICE 18, 1, 0, 2, 0, 0, 0, 64, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1

static struct usb_layout read(const uint8_t *bytes, size_t len)
{
    struct vz_error err = {0};
    struct usb_layout l;

    ck_assert_msg(usb_layout_read(bytes, len, &l, &err) == 0, "%s", err.text);
    return l;
}

static void refused(const uint8_t *bytes, size_t len)
{
    struct vz_error err = {0};
    struct usb_layout l;

    ck_assert_int_lt(usb_layout_read(bytes, len, &l, &err), 0);
    ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_INITIALIZATION_FAILURE);
}

/* Two interfaces, of which one has two settings, with things in between that nobody knows. */
static const uint8_t plain[] = {
    DEVICE, 9, 2, 59, 0, 2, 1, 0, 0x80, 50,
    9, 4, 0, 0, 1, 3, 0, 0, 0, 9, 0x21, 0x11, 1, 0, 1, 0x22, 63, 0, 7, 5, 0x81, 3, 8, 0, 10,
    9, 4, 1, 0, 0, 0xff, 0, 0, 0, 9, 4, 1, 1, 1, 0xff, 0, 0, 0, 7, 5, 0x02, 2, 0, 2, 0};

START_TEST(what_can_be_passed_on_stays_as_it_is)
{
    struct usb_layout l = read(plain, sizeof(plain));

    ck_assert_uint_eq(l.count, 1);
    ck_assert_uint_eq(l.config[0].len, sizeof(plain) - 18);
    ck_assert_mem_eq(l.config[0].bytes, plain + 18, l.config[0].len);
    ck_assert(!l.without_isochronous && !l.without_streams);
    ck_assert_ptr_eq(usb_layout_find(&l, 1), &l.config[0]);
    ck_assert_ptr_null(usb_layout_find(&l, 2));
    ck_assert_ptr_null(usb_layout_find(&l, 0));
    usb_layout_fini(&l);
}
END_TEST

START_TEST(settings_and_their_endpoints_are_found)
{
    struct usb_layout l = read(plain, sizeof(plain));
    uint8_t alt[USB_LAYOUT_INTERFACES] = {0}, kind[USB_LAYOUT_ENDPOINTS];
    const struct usb_layout_config *c = usb_layout_find(&l, 1);

    ck_assert(usb_layout_has_setting(c, 0, 0) && usb_layout_has_setting(c, 1, 1));
    ck_assert(!usb_layout_has_setting(c, 0, 1) && !usb_layout_has_setting(c, 2, 0));
    usb_layout_endpoints(c, alt, kind);
    ck_assert_uint_eq(kind[16 + 1], 3);
    ck_assert_uint_eq(kind[2], 0);
    alt[1] = 1;
    usb_layout_endpoints(c, alt, kind);
    ck_assert_uint_eq(kind[2], 2);
    usb_layout_endpoints(NULL, alt, kind);
    ck_assert_uint_eq(kind[16 + 1], 0);
    usb_layout_fini(&l);
}
END_TEST

START_TEST(settings_with_isochronous_endpoints_are_left_out)
{
    /* As a headset's: no endpoint, or an isochronous one with what belongs to it; and another interface behind. */
    static const uint8_t sound[] = {
        DEVICE, 9, 2, 71, 0, 2, 1, 0, 0x80, 50, 9, 4, 1, 0, 0, 1, 2, 0, 0,
        9, 4, 1, 1, 1, 1, 2, 0, 0, 7, 0x24, 1, 1, 1, 1, 0, 9, 5, 0x01, 9, 192, 0, 1, 0, 0, 5, 0x25, 1, 1, 0,
        9, 4, 2, 0, 1, 3, 0, 0, 0, 5, 0x21, 0, 0, 0, 7, 5, 0x83, 3, 8, 0, 10};
    static const uint8_t left[] = {9, 2, 39, 0, 2, 1, 0, 0x80, 50, 9, 4, 1, 0, 0, 1, 2, 0, 0,
                                   9, 4, 2, 0, 1, 3, 0, 0, 0, 5, 0x21, 0, 0, 0, 7, 5, 0x83, 3, 8, 0, 10};
    struct usb_layout l = read(sound, sizeof(sound));

    ck_assert(l.without_isochronous);
    ck_assert_uint_eq(l.config[0].len, sizeof(left));
    ck_assert_mem_eq(l.config[0].bytes, left, sizeof(left));
    ck_assert(!usb_layout_has_setting(&l.config[0], 1, 1));
    usb_layout_fini(&l);
}
END_TEST

START_TEST(a_first_setting_loses_its_isochronous_endpoints_only)
{
    /* As a Bluetooth adapter's. */
    static const uint8_t radio[] = {DEVICE, 9, 2, 39, 0, 1, 1, 0, 0x80, 50, 9, 4, 1, 0, 3, 0xe0, 1, 1, 0,
                                    7, 5, 0x03, 1, 0, 0, 1, 7, 5, 0x82, 2, 64, 0, 0, 7, 5, 0x83, 1, 0, 0, 1};
    static const uint8_t left[] = {9, 2, 25, 0, 1, 1, 0, 0x80, 50, 9, 4, 1, 0, 1, 0xe0, 1, 1, 0, 7, 5, 0x82, 2, 64, 0, 0};
    struct usb_layout l = read(radio, sizeof(radio));

    ck_assert_uint_eq(l.config[0].len, sizeof(left));
    ck_assert_mem_eq(l.config[0].bytes, left, sizeof(left));
    usb_layout_fini(&l);
}
END_TEST

START_TEST(settings_with_streams_are_left_out)
{
    static const uint8_t disk[] = {
        DEVICE, 9, 2, 66, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 8, 6, 0x50, 0, 7, 5, 0x81, 2, 0, 4, 0, 6, 0x30, 15, 0, 0, 0,
        9, 4, 0, 1, 1, 8, 6, 0x62, 0, 7, 5, 0x81, 2, 0, 4, 0, 6, 0x30, 15, 5, 0, 0, 4, 0x24, 3, 0};
    static const uint8_t only[] = {DEVICE, 9, 2, 31, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 8, 6, 0x62, 0,
                                   7, 5, 0x81, 2, 0, 4, 0, 6, 0x30, 15, 5, 0, 0};
    struct usb_layout l = read(disk, sizeof(disk));

    ck_assert(l.without_streams && !l.without_isochronous);
    ck_assert_uint_eq(l.config[0].len, 31);
    ck_assert(!usb_layout_has_setting(&l.config[0], 0, 1));
    usb_layout_fini(&l);
    l = read(only, sizeof(only)); /* a first setting has to be there */
    ck_assert_uint_eq(l.config[0].len, 31);
    ck_assert_uint_eq(l.config[0].bytes[9 + 9 + 7 + 3], 0);
    usb_layout_fini(&l);
}
END_TEST

START_TEST(associations_of_what_comes_behind_stay)
{
    static const uint8_t video[] = {DEVICE, 9, 2, 51, 0, 2, 1, 0, 0x80, 50, 9, 4, 0, 0, 0, 14, 2, 0, 0,
                                    9, 4, 0, 1, 1, 14, 2, 0, 0, 7, 5, 0x81, 5, 0, 4, 1,
                                    8, 11, 1, 1, 2, 2, 0, 0, 9, 4, 1, 0, 0, 2, 2, 0, 0};
    struct usb_layout l = read(video, sizeof(video));

    ck_assert_uint_eq(l.config[0].len, 9 + 9 + 8 + 9);
    ck_assert_uint_eq(l.config[0].bytes[19], 11);
    usb_layout_fini(&l);
}
END_TEST

START_TEST(what_is_cut_off_ends_there)
{
    for (size_t len = 0; len <= sizeof(plain); len++) {
        uint8_t *copy = malloc(len ? len : 1); /* so that a byte behind it is found */
        struct usb_layout l;

        memcpy(copy, plain, len);
        if (usb_layout_read(copy, len, &l, NULL) == 0) {
            ck_assert_uint_ge(len, 18 + 9);
            ck_assert_uint_le(l.config[0].len, len - 18);
            ck_assert_uint_eq(load_le16(l.config[0].bytes + 2), l.config[0].len);
            usb_layout_fini(&l);
        }
        free(copy);
    }
}
END_TEST

START_TEST(what_makes_no_sense_is_refused)
{
    static const uint8_t none[] = {DEVICE};
    static const uint8_t endpoint0[] = {DEVICE, 9, 2, 25, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 0xff, 0, 0, 0, 7, 5, 0x80, 2, 64, 0, 0};
    static const uint8_t many[] = {DEVICE, 9, 2, 18, 0, 1, 1, 0, 0x80, 50, 9, 4, 32, 0, 0, 0xff, 0, 0, 0};
    static const uint8_t small[] = {DEVICE, 9, 2, 14, 0, 1, 1, 0, 0x80, 50, 5, 4, 0, 0, 0};
    static const uint8_t twice[] = {DEVICE, 9, 2, 9, 0, 0, 1, 0, 0x80, 50, 9, 2, 9, 0, 0, 1, 0, 0x80, 50};
    static const uint8_t nobody[] = {DEVICE, 9, 2, 9, 0, 0, 0, 0, 0x80, 50};

    refused(none, sizeof(none));
    refused(none, 17);
    refused(endpoint0, sizeof(endpoint0));
    refused(many, sizeof(many));
    refused(small, sizeof(small));
    refused(twice, sizeof(twice));
    refused(nobody, sizeof(nobody));
}
END_TEST

START_TEST(configurations_are_so_many_at_most)
{
    uint8_t bytes[18 + 20 * 9] = {DEVICE};
    struct usb_layout l;

    for (unsigned i = 0; i < 20; i++)
        memcpy(bytes + 18 + 9 * i, (const uint8_t[]){9, 2, 9, 0, 0, (uint8_t)(i + 1), 0, 0x80, 50}, 9);
    l = read(bytes, sizeof(bytes));
    ck_assert_uint_eq(l.count, USB_LAYOUT_CONFIGS);
    usb_layout_fini(&l);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, what_can_be_passed_on_stays_as_it_is);
    UNIT_TEST(s, settings_and_their_endpoints_are_found);
    UNIT_TEST(s, settings_with_isochronous_endpoints_are_left_out);
    UNIT_TEST(s, a_first_setting_loses_its_isochronous_endpoints_only);
    UNIT_TEST(s, settings_with_streams_are_left_out);
    UNIT_TEST(s, associations_of_what_comes_behind_stay);
    UNIT_TEST(s, what_is_cut_off_ends_there);
    UNIT_TEST(s, what_makes_no_sense_is_refused);
    UNIT_TEST(s, configurations_are_so_many_at_most);
}

UNIT_TEST_MAIN("usb_layout", add_tests)
