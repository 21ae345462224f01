/* SPDX-License-Identifier: MIT */
/* The menu of what is plugged into the machine's USB controller: disks that come and go, discs in its drives. They are
 * the running machine's, and not kept in its configuration. */
#ifndef VZ_TOOLS_DISKS_MENU_H
#define VZ_TOOLS_DISKS_MENU_H

#include <gtk/gtk.h>

#include "viewer/machine_link.h"

struct disks_menu;

/* text: to be told the user. */
typedef void disks_menu_tell_fn(void *arg, const char *text);

/* Its actions go into actions. The link and the window are there until it is freed. */
struct disks_menu *disks_menu_new(struct machine_link *link, GSimpleActionGroup *actions, GtkWindow *window,
                                  disks_menu_tell_fn *tell, void *arg);
/* Before the link, which may answer what it was asked: nobody is told then. */
void disks_menu_free(struct disks_menu *d);

/* Its own. */
GMenuModel *disks_menu_model(struct disks_menu *d);
/* Ask the machine what there is now. */
void disks_menu_refresh(struct disks_menu *d);

#endif
