/* SPDX-License-Identifier: MIT */
/* What the guest has copied, as content on the desktop's clipboard: it is fetched from the guest when somebody pastes
 * it. */
#ifndef VZ_GTK_VIEW_CONTENT_H
#define VZ_GTK_VIEW_CONTENT_H

#include <gtk/gtk.h>

/* How content is got. */
struct view_content_source {
    /* task is owed an answer: view_content_got(), or an error. It has been handed over. */
    void (*get)(gpointer user, GTask *task, guint selection, guint type, guint32 serial);
    gpointer user; /* a GObject; content that outlives it cannot be had */
};

#define VIEW_TYPE_CONTENT (view_content_get_type())
G_DECLARE_FINAL_TYPE(ViewContent, view_content, VIEW, CONTENT, GdkContentProvider)

/* types: bits of VZ_CLIPBOARD_BIT(). machine: the number by which other views of it know it
 * (struct vz_channel_hello). */
GdkContentProvider *view_content_new(const struct view_content_source *source, guint selection, guint types,
                                     guint32 serial, guint32 machine);

/* Write what is in the file, and answer the task, which is taken as the descriptor is. -1: it cannot be had. */
void view_content_got(GTask *task, int fd);

/* What content in these formats is to a guest: bits of VZ_CLIPBOARD_BIT(). */
guint view_content_types(GdkContentFormats *formats);
/* Is it from the guest of this machine? */
gboolean view_content_is_of(GdkContentFormats *formats, guint32 machine);
/* Names of a type, NULL behind the last one. */
const char *const *view_content_names(guint type);

#endif
