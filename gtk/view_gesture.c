/* SPDX-License-Identifier: MIT */
#include "view_gesture.h"

#include <math.h>

#include <vz/input.h>

#define MIDDLE (VZ_POINTER_MAX / 2)
#define SPREAD 4000.0 /* of fingers from their middle: 12 mm, and room for 2.5 times as much */
#define PIXEL  25.0   /* the guest's units that the fingers move for one, to the side */
#define RATIO  (100.0 / 62.0) /* a unit to the side is as much longer than one down: a circle is to be one */

/* What is no number is low. */
static double between(double value, double low, double high)
{
    return value > high ? high : value > low ? value : low;
}

static uint32_t on_pad(double at)
{
    return (uint32_t)between(MIDDLE + at, 0, VZ_POINTER_MAX);
}

/* count of them around their middle; none: all are lifted. */
static void put_fingers(const struct view_gesture *g, unsigned count, struct vz_channel_touches *ret)
{
    double spread = SPREAD * between(g->scale, 0.1, 2.5);

    *ret = (struct vz_channel_touches){.kind = VZ_CHANNEL_TOUCHES, .count = count};
    for (unsigned i = 0; i < count; i++) {
        double turn = g->angle + 2 * M_PI * i / count;

        ret->touch[i].id = i;
        ret->touch[i].x = on_pad(g->x + spread * cos(turn));
        ret->touch[i].y = on_pad(RATIO * (g->y + spread * sin(turn)));
    }
}

bool view_gesture_step(struct view_gesture *g, const struct view_gesture_event *e, struct vz_channel_touches *ret)
{
    unsigned count = e->fingers < VZ_TOUCHES_MAX ? e->fingers : VZ_TOUCHES_MAX;

    if (e->phase != VIEW_GESTURE_BEGIN && !g->active)
        return false;
    if (e->phase == VIEW_GESTURE_BEGIN)
        *g = (struct view_gesture){.scale = 1};
    g->x += e->dx * PIXEL;
    g->y += e->dy * PIXEL;
    if (e->pinch) {
        g->scale = e->scale;
        g->angle += e->angle_delta;
    }
    if (e->phase == VIEW_GESTURE_END)
        count = 0;
    g->active = count > 0;
    put_fingers(g, count, ret);
    return true;
}
