/* SPDX-License-Identifier: MIT */
/* window [DISK]: a machine in a window, whose size the guest's desktop follows. Without a disk firmware is seen.
 * Closing the window turns the machine off. */
#include <vz-gtk.h>
#include <vz/vz.h>

static struct vz_config *configure(const char *disk, struct vz_error *err)
{
    static const char *const options[][2] = {{"efi", NULL}, {"memory", "2G"}, {"cpus", "2"}, {"net", "nat"},
                                             {"display", "1280x800"}, {"keyboard", NULL}, {"pointer", NULL}};
    struct vz_config *config = vz_config_new(NULL, err);
    gboolean ok = config != NULL;

    for (gsize i = 0; ok && i < G_N_ELEMENTS(options); i++)
        ok = vz_config_add(config, options[i][0], options[i][1], err) >= 0;
    if (ok && (!disk || vz_config_add(config, "disk", disk, err) >= 0))
        return config;
    vz_config_unref(config);
    return NULL;
}

int main(int argc, char **argv)
{
    struct vz_error err = {.text = "out of memory"};
    struct vz_config *config = configure(argc > 1 ? argv[1] : NULL, &err);
    struct vz_machine *machine = config ? vz_machine_new(config, NULL, &err) : NULL;
    GtkWidget *window, *view;

    if (!machine || vz_machine_start_wait(machine, &err) < 0)
        g_error("%s", err.text);
    gtk_init();
    window = gtk_window_new();
    view = vz_machine_view_new();
    g_object_set(view, "automatically-reconfigures-display", TRUE, "captures-system-keys", TRUE, NULL);
    gtk_window_set_default_size(GTK_WINDOW(window), 1280, 800);
    gtk_window_set_child(GTK_WINDOW(window), view);
    vz_machine_view_set_machine(VZ_MACHINE_VIEW(view), machine, 0, 0, NULL);
    g_signal_connect_swapped(view, "notify::connected", G_CALLBACK(gtk_window_destroy), window); /* the end */
    gtk_window_present(GTK_WINDOW(window));
    while (g_list_model_get_n_items(gtk_window_get_toplevels()))
        g_main_context_iteration(NULL, TRUE);
    vz_machine_free(machine);
    vz_config_unref(config);
    return 0;
}
