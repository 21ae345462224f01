/* SPDX-License-Identifier: MIT */
/* vz-view, the program that shows a display in a window (tools/vz/viewer/), from the side of those who start it. */
#ifndef VZ_TOOLS_VIEW_WINDOW_H
#define VZ_TOOLS_VIEW_WINDOW_H

#include <stdbool.h>

#include <vz/error.h>

/* Is there a desktop that a window could be on? */
bool view_window_has_desktop(void);
/* Where the program is, text for free(); or NULL and err, with what helps. */
char *view_window_program(struct vz_error *err);

#endif
