/* SPDX-License-Identifier: MIT */
#include "viewer/close_dialog.h"

struct close_dialog {
    GtkWidget *window;
    close_dialog_fn *fn;
    void *arg;
};

static void answer(GtkWidget *button, struct close_dialog *d)
{
    enum close_choice choice = (enum close_choice)GPOINTER_TO_INT(g_object_get_data(G_OBJECT(button), "choice"));
    close_dialog_fn *fn = d->fn;
    void *arg = d->arg;

    gtk_window_destroy(GTK_WINDOW(d->window)); /* and d */
    fn(arg, choice);
}

static GtkWidget *add_button(struct close_dialog *d, GtkWidget *box, const char *label, enum close_choice choice)
{
    GtkWidget *button = gtk_button_new_with_mnemonic(label);

    g_object_set_data(G_OBJECT(button), "choice", GINT_TO_POINTER(choice));
    g_signal_connect(button, "clicked", G_CALLBACK(answer), d);
    gtk_box_append(GTK_BOX(box), button);
    return button;
}

static gboolean on_key(GtkEventControllerKey *controller, guint keyval, guint keycode, GdkModifierType state,
                       GtkWidget *window)
{
    if (keyval != GDK_KEY_Escape)
        return FALSE;
    gtk_window_destroy(GTK_WINDOW(window));
    return TRUE;
}

static void fill(struct close_dialog *d, const char *machine, gboolean can_save)
{
    GtkWidget *all = gtk_box_new(GTK_ORIENTATION_VERTICAL, 18), *buttons = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 6);
    char *text = g_strdup_printf("%s is running. What shall become of it?", machine);
    GtkWidget *save = NULL, *leave;

    gtk_widget_set_margin_start(all, 18);
    gtk_widget_set_margin_end(all, 18);
    gtk_widget_set_margin_top(all, 18);
    gtk_widget_set_margin_bottom(all, 18);
    gtk_box_append(GTK_BOX(all), gtk_label_new(text));
    gtk_box_append(GTK_BOX(all), buttons);
    gtk_widget_set_halign(buttons, GTK_ALIGN_END);
    add_button(d, buttons, "_Cancel", CLOSE_NOT);
    if (can_save)
        save = add_button(d, buttons, "_Save", CLOSE_SAVE);
    add_button(d, buttons, "_Power Off", CLOSE_POWER_OFF);
    leave = add_button(d, buttons, "_Leave Running", CLOSE_LEAVE);
    gtk_window_set_child(GTK_WINDOW(d->window), all);
    gtk_window_set_focus(GTK_WINDOW(d->window), save ? save : leave);
    g_free(text);
}

static void forget(GtkWidget *window, GObject *parent)
{
    g_object_set_data(parent, "close-dialog", NULL);
}

void close_dialog_ask(GtkWindow *parent, const char *machine, gboolean can_save, close_dialog_fn *fn, void *arg)
{
    GtkWidget *there = g_object_get_data(G_OBJECT(parent), "close-dialog");
    GtkEventController *keys;
    struct close_dialog *d;

    if (there) {
        gtk_window_present(GTK_WINDOW(there));
        return;
    }
    d = g_new0(struct close_dialog, 1);
    keys = gtk_event_controller_key_new();
    d->window = gtk_window_new();
    d->fn = fn;
    d->arg = arg;
    g_object_set_data_full(G_OBJECT(d->window), "dialog", d, g_free);
    g_object_set_data(G_OBJECT(parent), "close-dialog", d->window);
    g_signal_connect(d->window, "destroy", G_CALLBACK(forget), parent);
    g_signal_connect(keys, "key-pressed", G_CALLBACK(on_key), d->window);
    gtk_widget_add_controller(d->window, keys);
    gtk_window_set_title(GTK_WINDOW(d->window), "Close");
    gtk_window_set_modal(GTK_WINDOW(d->window), TRUE);
    gtk_window_set_transient_for(GTK_WINDOW(d->window), parent);
    gtk_window_set_destroy_with_parent(GTK_WINDOW(d->window), TRUE);
    gtk_window_set_resizable(GTK_WINDOW(d->window), FALSE);
    fill(d, machine, can_save);
    gtk_window_present(GTK_WINDOW(d->window));
}
