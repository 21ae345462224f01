/* SPDX-License-Identifier: MIT */
/* What is in the window's menu, by names of actions ("vm.pause"), which viewer.c has; "vm.keys" is told which keys, as
 * input/key_map.h has them: "ctrl-alt-delete". */
#ifndef VZ_TOOLS_WINDOW_MENU_H
#define VZ_TOOLS_WINDOW_MENU_H

#include <gtk/gtk.h>

/* Kept with the actions, for window_menu_displays(). disks: a menu of its own. */
GMenuModel *window_menu_new(GSimpleActionGroup *actions, GMenuModel *disks);
/* There are so many displays: with one there is nothing to choose. */
void window_menu_displays(GSimpleActionGroup *actions, guint count);

#endif
