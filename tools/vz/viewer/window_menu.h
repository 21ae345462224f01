/* SPDX-License-Identifier: MIT */
/* What is in the window's menu, by names of actions ("vm.pause"), which viewer.c has. */
#ifndef VZ_TOOLS_WINDOW_MENU_H
#define VZ_TOOLS_WINDOW_MENU_H

#include <gtk/gtk.h>

#define WINDOW_KEYS_MAX 4u

/* Kept with the actions, for window_menu_displays(). */
GMenuModel *window_menu_new(GSimpleActionGroup *actions);
/* There are so many displays: with one there is nothing to choose. */
void window_menu_displays(GSimpleActionGroup *actions, guint count);

/* The keys that an entry of "Send Keys" stands for; their number. */
gsize window_menu_keys(const char *entry, guint32 ret[WINDOW_KEYS_MAX]);

#endif
