/* SPDX-License-Identifier: MIT */
/* The guest's picture as textures: in tiles, of which only those that have changed are made anew, so only they travel
 * to the graphics card. */
#ifndef VZ_GTK_VIEW_PICTURE_H
#define VZ_GTK_VIEW_PICTURE_H

#include <gtk/gtk.h>

#include <vz/display_channel.h>

#include "view_geometry.h"

struct view_picture {
    uint32_t width, height; /* 0: there is none */
    unsigned columns, rows;
    GdkTexture **tile; /* columns * rows; NULL: black */
    GdkTexture *whole; /* all of it, for who has asked since the last change; may be NULL */
};

/* Take over what an update says: pixels is where its picture begins, NULL: nothing is shown. */
void view_picture_update(struct view_picture *p, const struct vz_channel_update *u, const uint8_t *pixels);
void view_picture_clear(struct view_picture *p);

/* The picture's; NULL: there is none. */
GdkTexture *view_picture_whole(struct view_picture *p);
void view_picture_draw(struct view_picture *p, GtkSnapshot *snapshot, const struct view_place *place);

#endif
