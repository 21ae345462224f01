/* SPDX-License-Identifier: MIT */
/* The window's way from gestures of the user's trackpad to fingers of the guest's (gtk/view_gesture.c), as lines:
 *
 *   begin FINGERS | pinch FACTOR TURN | swipe DX DY | end
 *
 * on standard input give "COUNT X Y X Y ..." on standard output. */
#include <stdio.h>

#include "view_gesture.h"

static bool parse(const char *line, struct view_gesture_event *e)
{
    e->pinch = sscanf(line, "pinch %lf %lf", &e->scale, &e->angle_delta) == 2;
    if (sscanf(line, "begin %u", &e->fingers) == 1)
        e->phase = VIEW_GESTURE_BEGIN;
    else if (e->pinch || sscanf(line, "swipe %lf %lf", &e->dx, &e->dy) == 2)
        e->phase = VIEW_GESTURE_UPDATE;
    else
        e->phase = VIEW_GESTURE_END;
    return line[0];
}

int main(void)
{
    struct view_gesture g = {.active = false};
    unsigned fingers = 0;
    char line[80];

    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof(line), stdin)) {
        struct view_gesture_event e = {.fingers = fingers};
        struct vz_channel_touches t;

        if (!parse(line, &e) || !view_gesture_step(&g, &e, &t))
            return 1;
        fingers = e.fingers;
        printf("%u", t.count);
        for (unsigned i = 0; i < t.count; i++)
            printf(" %u %u", t.touch[i].x, t.touch[i].y);
        printf("\n");
    }
    return 0;
}
