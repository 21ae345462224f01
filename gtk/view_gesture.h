/* SPDX-License-Identifier: MIT */
/* Of the user's trackpad a program hears what its fingers mean: a pinch, a turn, a swipe. The guest has a trackpad of its
 * own, and wants fingers: here are some that mean the same. No GTK in it. */
#ifndef VZ_GTK_VIEW_GESTURE_H
#define VZ_GTK_VIEW_GESTURE_H

#include <stdbool.h>

#include <vz/display_channel.h>

/* All zeros: no gesture is under way. */
struct view_gesture {
    bool active;
    double scale, angle; /* of the spread since it began: a factor, and radians clockwise */
    double x, y;         /* how far the fingers' middle has moved, in the guest's units to the side */
};

enum view_gesture_phase { VIEW_GESTURE_BEGIN, VIEW_GESTURE_UPDATE, VIEW_GESTURE_END };

/* As GDK tells it. */
struct view_gesture_event {
    enum view_gesture_phase phase;
    unsigned fingers;
    double dx, dy;             /* pixels since the last one */
    bool pinch;                /* and then these count: */
    double scale, angle_delta; /* since it began; radians since the last one */
};

/* The guest's fingers from now on. False: this is the rest of a gesture that has been let go of; nothing is to be sent. */
bool view_gesture_step(struct view_gesture *g, const struct view_gesture_event *e, struct vz_channel_touches *ret);

#endif
