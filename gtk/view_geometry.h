/* SPDX-License-Identifier: MIT */
/* Where the guest's picture lies in the widget, and back: the one place that knows. Widget coordinates are GTK's, of
 * which `device_scale` pixels of the monitor make one. */
#ifndef VZ_GTK_VIEW_GEOMETRY_H
#define VZ_GTK_VIEW_GEOMETRY_H

#include <stdbool.h>
#include <stdint.h>

struct view_place {
    double x, y;      /* of the picture's upper left corner, in the widget */
    double scale;     /* what a pixel of the guest is long, in the widget */
    bool exact;       /* a pixel of the guest is one of the monitor */
    uint32_t width, height; /* the picture, in pixels of the guest */
};

/* One pixel to one where it is the widget's size; else as large as fits, in the middle. */
struct view_place view_place_of(double widget_width, double widget_height, double device_scale, uint32_t width,
                                uint32_t height);

/* A point of the widget as 0..VZ_POINTER_MAX of the picture; what lies outside is moved to the edge. */
void view_place_point(const struct view_place *p, double x, double y, uint16_t *ret_x, uint16_t *ret_y);

/* Pixels of the monitor, which is what the guest should have: rounded once, and in a display's range. */
uint32_t view_wanted_side(double widget_side, double device_scale);

#endif
