/* SPDX-License-Identifier: MIT */
/* The widget from the inside: machine_view.c is the object and what it shows, view_input.c what the user does to it. */
#ifndef VZ_GTK_VIEW_IMPL_H
#define VZ_GTK_VIEW_IMPL_H

#include "view_channel.h"
#include "view_keys.h"
#include "view_picture.h"
#include "vz-gtk.h"

struct view_finger {
    GdkEventSequence *sequence; /* NULL: lifted */
    uint16_t x, y;
};

/* What the user holds, and where. */
struct view_input {
    struct view_keys keys;
    GdkModifierType made_up;  /* modifiers that the guest has had pressed without a key of the user's */
    gboolean just_focused;
    uint32_t buttons;
    double x, y;              /* of the pointer, in the widget */
    double dx, dy;            /* of a captured pointer's way, what has not been told yet, */
    double wheel, wheel_horizontal; /* and so of the wheel */
    gboolean captured;
    gboolean warped;          /* the pointer was put into the middle, and its next event from there has not come */
    gboolean chord;           /* Ctrl and Alt are down, and nothing else has been since */
    gboolean inhibited;       /* the desktop's own keys are ours */
    struct view_finger finger[VZ_TOUCHES_MAX];
    gboolean gesture;         /* of the user's trackpad, for which the guest has fingers on its own */
    double pinch_scale, pinch_angle, swipe_x, swipe_y; /* of a gesture under way */
};

struct _VzMachineView {
    GtkWidget parent;
    struct vz_display_channel *own; /* of a machine in this process */
    struct view_channel channel;
    guint source, tick, late, resize; /* GLib's numbers of what waits; 0: nothing */
    gboolean captures_system_keys, reconfigures;
    struct view_picture picture;
    gboolean shown;
    struct vz_channel_cursor cursor;
    gboolean has_cursor;              /* the guest has ever said what its pointer looks like */
    GdkTexture *cursor_texture;
    uint32_t asked_width, asked_height; /* of the guest */
    struct view_input input;
};

double view_device_scale(VzMachineView *view);
struct view_place view_place(VzMachineView *view);
/* What the user's pointer looks like over the view. */
void view_set_cursor(VzMachineView *view);

/* view_input.c */
void view_input_set_up(VzMachineView *view);
void view_input_release(VzMachineView *view); /* all that is held */
void view_input_uncapture(VzMachineView *view);

#endif
