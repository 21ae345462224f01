/* SPDX-License-Identifier: MIT */
/* The widget from the inside: machine_view.c is the object and what it shows, view_input.c what the user does to it. */
#ifndef VZ_GTK_VIEW_IMPL_H
#define VZ_GTK_VIEW_IMPL_H

#include "view_channel.h"
#include "view_clipboard.h"
#include "view_gesture.h"
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
    struct view_gesture gesture; /* of the user's trackpad, for which the guest has fingers on its own */
};

/* What is on its way into the guest, and waits for its turn behind that. */
struct view_files {
    GQueue list;         /* of struct file */
    guint64 done, total; /* bytes, since there was nothing on its way; done: of those that are over */
    guint64 last;        /* number of the last one that was sent */
};

struct _VzMachineView {
    GtkWidget parent;
    struct vz_display_channel *own; /* of a machine in this process */
    struct view_channel channel;
    guint source, tick, late, resize; /* GLib's numbers of what waits; 0: nothing */
    gboolean captures_system_keys, reconfigures, shares_clipboard;
    struct view_picture picture;
    gboolean shown;
    struct vz_channel_cursor cursor;
    gboolean has_cursor;              /* the guest has ever said what its pointer looks like */
    GdkTexture *cursor_texture;
    uint32_t asked_width, asked_height; /* of the guest */
    struct view_input input;
    struct view_clipboard clipboard;
    struct view_files files;
};

double view_device_scale(VzMachineView *view);
struct view_place view_place(VzMachineView *view);
/* What the user's pointer looks like over the view. */
void view_set_cursor(VzMachineView *view);

/* view_clipboard.c */
void view_clipboard_connect(VzMachineView *view);    /* its channel has just been opened */
void view_clipboard_disconnect(VzMachineView *view); /* and is about to be closed */
void view_clipboard_focus(VzMachineView *view, gboolean focused);
void view_clipboard_share(VzMachineView *view);      /* shares_clipboard is another */
/* A message of the channel's, which is the clipboard's: true, and fd is taken. */
gboolean view_clipboard_take(VzMachineView *view, const union view_message *m, int fd);

/* view_files.c */
void view_files_set_up(VzMachineView *view);
void view_files_forget(VzMachineView *view); /* the channel is closed */
void view_files_take(VzMachineView *view, const struct vz_channel_file *m);

/* view_input.c */
void view_input_set_up(VzMachineView *view);
void view_input_release(VzMachineView *view); /* all that is held */
void view_input_uncapture(VzMachineView *view);

#endif
