/* SPDX-License-Identifier: MIT */
#include "view_geometry.h"

#include <math.h>

#include <vz/display.h>
#include <vz/input.h>

uint32_t view_wanted_side(double widget_side, double device_scale)
{
    double pixels = floor(widget_side * device_scale + 0.5);

    return pixels <= VZ_DISPLAY_SIDE_MIN   ? VZ_DISPLAY_SIDE_MIN
           : pixels >= VZ_DISPLAY_SIDE_MAX ? VZ_DISPLAY_SIDE_MAX
                                           : (uint32_t)pixels;
}

/* On a pixel of the monitor, so that it stays sharp. */
static double middle(double widget_side, double length, double device_scale)
{
    return floor((widget_side - length) / 2 * device_scale) / device_scale;
}

struct view_place view_place_of(double widget_width, double widget_height, double device_scale, uint32_t width,
                                uint32_t height)
{
    struct view_place p = {.width = width, .height = height};

    p.exact = fabs(widget_width * device_scale - width) < 1 && fabs(widget_height * device_scale - height) < 1;
    p.scale = p.exact ? 1 / device_scale : fmin(widget_width / width, widget_height / height);
    if (!p.exact) {
        p.x = middle(widget_width, width * p.scale, device_scale);
        p.y = middle(widget_height, height * p.scale, device_scale);
    }
    return p;
}

static uint16_t on_axis(double at, uint32_t pixels)
{
    double pixel = floor(at);

    if (!(pixel > 0) || pixels < 2)
        return 0;
    return pixel >= pixels - 1 ? VZ_POINTER_MAX : (uint16_t)lround(pixel * VZ_POINTER_MAX / (pixels - 1));
}

void view_place_point(const struct view_place *p, double x, double y, uint16_t *ret_x, uint16_t *ret_y)
{
    *ret_x = on_axis((x - p->x) / p->scale, p->width);
    *ret_y = on_axis((y - p->y) / p->scale, p->height);
}
