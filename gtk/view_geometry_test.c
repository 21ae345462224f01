/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <math.h>

#include <vz/display.h>
#include <vz/input.h>

#include "view_geometry.h"

START_TEST(the_guest_has_the_monitors_pixels)
{
    static const double scales[] = {1, 1.25, 1.5, 1.75, 2};

    for (unsigned i = 0; i < 5; i++) {
        for (int side = 64; side < 3000; side += 7) {
            uint32_t wanted = view_wanted_side(side, scales[i]);
            struct view_place p;

            ck_assert(fabs(wanted - side * scales[i]) <= 0.5);
            p = view_place_of(side, side, scales[i], wanted, wanted);
            ck_assert(p.exact && p.x == 0 && p.y == 0);
            ck_assert_double_eq_tol(p.scale * scales[i], 1, 1e-9);
        }
    }
    ck_assert_uint_eq(view_wanted_side(1, 1), VZ_DISPLAY_SIDE_MIN);
    ck_assert_uint_eq(view_wanted_side(1e9, 2), VZ_DISPLAY_SIDE_MAX);
}
END_TEST

static void check_point(const struct view_place *p, double x, double y, unsigned want_x, unsigned want_y)
{
    uint16_t got_x, got_y;

    view_place_point(p, x, y, &got_x, &got_y);
    ck_assert_uint_eq(got_x, want_x);
    ck_assert_uint_eq(got_y, want_y);
}

/* The first and the last pixel of each axis are 0 and the most there is, wherever the picture lies. */
static void check_corners(double width, double height, double device_scale, uint32_t w, uint32_t h)
{
    struct view_place p = view_place_of(width, height, device_scale, w, h);
    double right = p.x + (w - 0.5) * p.scale, lower = p.y + (h - 0.5) * p.scale, half = p.scale / 2;

    ck_assert(p.x >= 0 && p.y >= 0 && p.x + w * p.scale <= width + 1 && p.y + h * p.scale <= height + 1);
    check_point(&p, p.x + half, p.y + half, 0, 0);
    check_point(&p, right, p.y + half, VZ_POINTER_MAX, 0);
    check_point(&p, p.x + half, lower, 0, VZ_POINTER_MAX);
    check_point(&p, right, lower, VZ_POINTER_MAX, VZ_POINTER_MAX);
    check_point(&p, -1000, 1e7, 0, VZ_POINTER_MAX);
}

START_TEST(clicks_land_where_they_are_made)
{
    static const double scales[] = {1, 1.25, 1.5, 2};

    for (unsigned i = 0; i < 4; i++) {
        check_corners(800, 600, scales[i], (uint32_t)(800 * scales[i]), (uint32_t)(600 * scales[i])); /* as it is */
        check_corners(800, 600, scales[i], 320, 200);   /* made larger */
        check_corners(801, 333, scales[i], 1920, 1080); /* and smaller, with black beside it */
        check_corners(300, 900, scales[i], 1920, 1080); /* and above */
        check_corners(64, 64, scales[i], 16384, 64);
    }
}
END_TEST

/* The guest turns what it is told into a pixel again: the same one. */
START_TEST(every_pixel_can_be_pointed_at)
{
    static const uint32_t widths[] = {64, 800, 1366, 1920, 3840, 5120};

    for (unsigned i = 0; i < 6; i++) {
        struct view_place p = view_place_of(widths[i], 64, 1, widths[i], 64);

        for (uint32_t x = 0; x < widths[i]; x++) {
            uint16_t to_x, to_y;

            view_place_point(&p, x + 0.3, 10, &to_x, &to_y);
            ck_assert_uint_eq((uint32_t)lround((double)to_x * (widths[i] - 1) / VZ_POINTER_MAX), x);
        }
    }
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, the_guest_has_the_monitors_pixels);
    UNIT_TEST(s, clicks_land_where_they_are_made);
    UNIT_TEST(s, every_pixel_can_be_pointed_at);
}

UNIT_TEST_MAIN("view_geometry", add_tests)
