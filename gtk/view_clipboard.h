/* SPDX-License-Identifier: MIT */
/* The desktop's clipboard and primary selection, joined with the machine's while the user is at the view. What is
 * copied on either side is told to the other in types alone; content travels when it is pasted. */
#ifndef VZ_GTK_VIEW_CLIPBOARD_H
#define VZ_GTK_VIEW_CLIPBOARD_H

#include <gtk/gtk.h>

#include "view_channel.h"

struct view_selection {
    GdkClipboard *desktop;
    gulong changed;
    GdkContentProvider *content; /* the guest's, as we put it onto the desktop; NULL: none */
    guint32 serial, types;       /* of what the guest copied last; types 0: it is not its turn */
    gboolean untold, unclaimed;  /* the guest, of what the desktop has; the desktop's clipboard, for the guest */
};

struct view_clipboard {
    gboolean connected, focused;
    guint32 machine;   /* its number */
    guint connections; /* there have been so many: what was asked of one before is no more to be answered */
    guint pastes;      /* of the guest's, under way */
    gboolean unasked;  /* the machine does not know that we want to hear what is copied next: it did not read */
    guint retry;       /* GLib's; 0: none */
    guint64 last_request;
    GHashTable *gets;  /* tasks by request */
    struct view_selection selection[2];
};

#endif
