/* SPDX-License-Identifier: MIT */
/* What is to become of the machine whose window is closed. */
#ifndef VZ_TOOLS_CLOSE_DIALOG_H
#define VZ_TOOLS_CLOSE_DIALOG_H

#include <gtk/gtk.h>

enum close_choice { CLOSE_NOT, CLOSE_SAVE, CLOSE_POWER_OFF, CLOSE_LEAVE };

typedef void close_dialog_fn(void *arg, enum close_choice choice);

/* Ask, once at a time: while it is asked it is brought to the front. */
void close_dialog_ask(GtkWindow *parent, const char *machine, gboolean can_save, close_dialog_fn *fn, void *arg);

#endif
