/* SPDX-License-Identifier: MIT */
/* vz-view: a machine's display in a window, for `vz view` and `vz run --view`, which start it. It is a program of its
 * own, so that vz needs no GTK, and what draws windows is not in the process that runs a guest. It knows a machine by a
 * connection to its process (docs/control.md), and by a channel for the picture. */
#include <string.h>
#include <unistd.h>

#include <linux/input-event-codes.h>
#include <vz-gtk.h>

#include "input/key_map.h"
#include "viewer/close_dialog.h"
#include "viewer/disks_menu.h"
#include "viewer/machine_link.h"
#include "viewer/window_menu.h"

#define TOLD_MS 5000 /* so long a message is to be seen */

struct viewer {
    struct machine_link *link;
    const char *name;
    guint display;
    gboolean full_screen, no_save;
    char *state; /* the machine's; NULL: not known yet */
    gboolean asked; /* for the display, which there is while the machine is live, */
    gboolean again; /* and once more, since it has become so meanwhile */
    gboolean over;
    int status; /* of this program */
    GMainLoop *loop;
    GtkWidget *window, *view, *message;
    GtkWidget *files, *files_text; /* what is said of files on their way */
    guint message_source;
    GSimpleActionGroup *actions;
    struct disks_menu *disks;
};

/* ---- What is told --------------------------------------------------------------------------- */

static gboolean on_told(gpointer data)
{
    struct viewer *v = data;

    v->message_source = 0;
    gtk_widget_set_visible(v->message, FALSE);
    return G_SOURCE_REMOVE;
}

static void forget_message(struct viewer *v)
{
    if (v->message_source)
        g_source_remove(v->message_source);
    on_told(v);
}

static void tell(struct viewer *v, gboolean stays, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void tell(struct viewer *v, gboolean stays, const char *format, ...)
{
    va_list ap;
    char *text;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    gtk_label_set_text(GTK_LABEL(v->message), text);
    gtk_widget_set_visible(v->message, TRUE);
    if (v->message_source)
        g_source_remove(v->message_source);
    v->message_source = stays ? 0 : g_timeout_add(TOLD_MS, on_told, v);
    g_free(text);
}

static void enable(struct viewer *v, const char *action, gboolean enabled)
{
    GAction *a = g_action_map_lookup_action(G_ACTION_MAP(v->actions), action);

    g_simple_action_set_enabled(G_SIMPLE_ACTION(a), enabled);
}

static void show_state(struct viewer *v)
{
    gboolean running = !g_strcmp0(v->state, "running"), paused = !g_strcmp0(v->state, "paused");
    char *title = running || !v->state ? g_strdup(v->name) : g_strdup_printf("%s (%s)", v->name, v->state);

    gtk_window_set_title(GTK_WINDOW(v->window), title);
    g_free(title);
    enable(v, "pause", running);
    enable(v, "resume", paused);
    enable(v, "save", (running || paused) && !v->no_save);
    enable(v, "shut-down", running);
    enable(v, "turn-off", running || paused);
}

static gboolean is_live(const struct viewer *v)
{
    return !g_strcmp0(v->state, "running") || !g_strcmp0(v->state, "paused");
}

static void open_display(struct viewer *v);

static void set_state(struct viewer *v, const char *state)
{
    gboolean was_restoring = !g_strcmp0(v->state, "restoring");

    if (!state)
        return;
    g_free(v->state);
    v->state = g_strdup(state);
    show_state(v);
    if (was_restoring)
        forget_message(v);
    if (is_live(v) && !v->asked)
        open_display(v);
}

static void leave(struct viewer *v, int status)
{
    if (v->over)
        return;
    v->over = TRUE;
    v->status = status;
    g_main_loop_quit(v->loop);
}

/* ---- What the menu does --------------------------------------------------------------------- */

static void on_done(void *arg, json_t *result, int fd, const char *error)
{
    struct viewer *v = arg;

    if (error && !v->over)
        tell(v, FALSE, "%s", error);
    else if (!v->over)
        forget_message(v);
}

static void on_pause(struct viewer *v)
{
    machine_link_ask(v->link, "pause", NULL, on_done, v);
}

static void on_resume(struct viewer *v)
{
    machine_link_ask(v->link, "resume", NULL, on_done, v);
}

static void on_save(struct viewer *v)
{
    tell(v, TRUE, "Saving %s ...", v->name);
    machine_link_ask(v->link, "save", NULL, on_done, v);
}

static void on_turn_off(struct viewer *v)
{
    machine_link_ask(v->link, "stop", json_pack("{s:b}", "now", 1), on_done, v);
}

static void on_asked(void *arg, json_t *result, int fd, const char *error)
{
    struct viewer *v = arg;

    if (v->over)
        return;
    if (error)
        tell(v, FALSE, "%s", error);
    else
        tell(v, TRUE, "The guest has been asked to shut down.");
}

static void on_shut_down(struct viewer *v)
{
    machine_link_ask(v->link, "stop", NULL, on_asked, v);
}

/* A guest that does not listen is turned off: that was wanted by closing the window. */
static void on_asked_to_end(void *arg, json_t *result, int fd, const char *error)
{
    struct viewer *v = arg;

    if (error && !v->over)
        on_turn_off(v);
    else
        on_asked(arg, result, fd, error);
}

static void on_full_screen(struct viewer *v)
{
    if (gtk_window_is_fullscreen(GTK_WINDOW(v->window)))
        gtk_window_unfullscreen(GTK_WINDOW(v->window));
    else
        gtk_window_fullscreen(GTK_WINDOW(v->window));
}

/* Into the user's pictures, by the time of day. */
static void on_screenshot(struct viewer *v)
{
    GdkTexture *texture = vz_machine_view_get_texture(VZ_MACHINE_VIEW(v->view));
    const char *folder = g_get_user_special_dir(G_USER_DIRECTORY_PICTURES);
    GDateTime *now = g_date_time_new_now_local();
    char *time = g_date_time_format(now, "%Y-%m-%d-%H%M%S"), *file = g_strdup_printf("%s-%s.png", v->name, time);
    char *path = g_build_filename(folder ? folder : g_get_home_dir(), file, NULL);

    if (!texture)
        tell(v, FALSE, "The guest shows nothing.");
    else if (gdk_texture_save_to_png(texture, path))
        tell(v, FALSE, "Saved as %s", path);
    else
        tell(v, FALSE, "%s cannot be written", path);
    g_clear_object(&texture);
    g_free(path);
    g_free(file);
    g_free(time);
    g_date_time_unref(now);
}

static void on_keys(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    struct viewer *v = data;
    struct key_chord c;

    if (key_chord_parse(g_variant_get_string(parameter, NULL), &c))
        vz_machine_view_send_keys(VZ_MACHINE_VIEW(v->view), c.key, c.count);
}

/* ---- The display ---------------------------------------------------------------------------- */

static void on_display(void *arg, json_t *result, int fd, const char *error)
{
    struct viewer *v = arg;
    GError *why = NULL;

    if (v->over) {
        if (fd >= 0)
            close(fd);
        return;
    }
    if (error && !is_live(v)) { /* not yet */
        v->asked = FALSE;
        return;
    }
    if (error && !v->again) {
        v->again = TRUE;
        open_display(v);
        return;
    }
    if (error || !vz_machine_view_set_channel(VZ_MACHINE_VIEW(v->view), fd, &why)) {
        g_printerr("vz: %s: %s\n", v->name, error ? error : why->message);
        g_clear_error(&why);
        leave(v, 1);
        return;
    }
    window_menu_displays(v->actions, vz_machine_view_get_display_count(VZ_MACHINE_VIEW(v->view)));
}

static void open_display(struct viewer *v)
{
    v->asked = TRUE;
    machine_link_ask_fd(v->link, "display", json_pack("{s:I}", "display", (json_int_t)v->display), on_display, v);
}

static void on_choose_display(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    struct viewer *v = data;

    v->display = (guint)g_variant_get_int32(parameter);
    g_simple_action_set_state(action, parameter);
    open_display(v);
}

static void on_info(void *arg, json_t *result, int fd, const char *error)
{
    struct viewer *v = arg;

    if (!error)
        set_state(v, json_string_value(json_object_get(result, "state")));
}

static void show_progress(struct viewer *v, json_t *event)
{
    double done = json_number_value(json_object_get(event, "done"));
    double total = json_number_value(json_object_get(event, "total"));
    const char *what = g_strcmp0(json_string_value(json_object_get(event, "of")), "restore") ? "Saving" : "Restoring";

    if (total > 0)
        tell(v, TRUE, "%s %s: %.0f %%", what, v->name, 100 * done / total);
}

static void on_event(void *arg, const char *name, json_t *event)
{
    struct viewer *v = arg;

    if (!strcmp(name, "state"))
        set_state(v, json_string_value(json_object_get(event, "state")));
    else if (!strcmp(name, "progress"))
        show_progress(v, event);
    else if (!strcmp(name, "panicked"))
        tell(v, TRUE, "The guest's kernel has panicked.");
    else if (!strcmp(name, "ended"))
        leave(v, 0);
}

static void on_gone(void *arg)
{
    leave(arg, 0);
}

static const struct machine_link_ops link_ops = {on_event, on_gone};

/* ---- The window ----------------------------------------------------------------------------- */

static void on_choice(void *arg, enum close_choice choice)
{
    struct viewer *v = arg;

    if (choice == CLOSE_SAVE)
        on_save(v);
    else if (choice == CLOSE_POWER_OFF)
        machine_link_ask(v->link, "stop", NULL, on_asked_to_end, v);
    else if (choice == CLOSE_LEAVE)
        leave(v, 0);
}

/* The machine's end closes the window too; until then it stays. */
static gboolean on_close(GtkWindow *window, struct viewer *v)
{
    close_dialog_ask(window, v->name, !v->no_save, on_choice, v);
    return TRUE;
}

/* Before the guest sees them: Ctrl+Alt+F, since there is no menu on a full screen. */
static gboolean on_window_key(GtkEventControllerKey *controller, guint keyval, guint keycode, GdkModifierType state,
                              struct viewer *v)
{
    const GdkModifierType both = GDK_CONTROL_MASK | GDK_ALT_MASK;

    if (keycode != 8 + KEY_F || (state & (both | GDK_SHIFT_MASK | GDK_SUPER_MASK)) != both)
        return FALSE;
    on_full_screen(v);
    return TRUE;
}

static void add_simple(struct viewer *v, const char *name, void (*fn)(struct viewer *v))
{
    GSimpleAction *a = g_simple_action_new(name, NULL);

    g_signal_connect_swapped(a, "activate", G_CALLBACK(fn), v);
    g_action_map_add_action(G_ACTION_MAP(v->actions), G_ACTION(a));
    g_object_unref(a);
}

static void add_property(struct viewer *v, const char *name, const char *property)
{
    GPropertyAction *a = g_property_action_new(name, v->view, property);

    g_action_map_add_action(G_ACTION_MAP(v->actions), G_ACTION(a));
    g_object_unref(a);
}

static void add_actions(struct viewer *v)
{
    GSimpleAction *keys = g_simple_action_new("keys", G_VARIANT_TYPE_STRING);
    GSimpleAction *display = g_simple_action_new_stateful("display", G_VARIANT_TYPE_INT32,
                                                          g_variant_new_int32((gint32)v->display));

    v->actions = g_simple_action_group_new();
    add_simple(v, "pause", on_pause);
    add_simple(v, "resume", on_resume);
    add_simple(v, "save", on_save);
    add_simple(v, "shut-down", on_shut_down);
    add_simple(v, "turn-off", on_turn_off);
    add_simple(v, "screenshot", on_screenshot);
    add_simple(v, "full-screen", on_full_screen);
    add_property(v, "follow", "automatically-reconfigures-display");
    add_property(v, "system-keys", "captures-system-keys");
    add_property(v, "share-clipboard", "shares-clipboard");
    g_signal_connect(keys, "activate", G_CALLBACK(on_keys), v);
    g_signal_connect(display, "activate", G_CALLBACK(on_choose_display), v);
    g_action_map_add_action(G_ACTION_MAP(v->actions), G_ACTION(keys));
    g_action_map_add_action(G_ACTION_MAP(v->actions), G_ACTION(display));
    g_object_unref(keys);
    g_object_unref(display);
    gtk_widget_insert_action_group(v->window, "vm", G_ACTION_GROUP(v->actions));
}

/* ---- Files that are dropped ----------------------------------------------------------------- */

static void on_files(VzMachineView *view, GParamSpec *spec, struct viewer *v)
{
    guint count = vz_machine_view_get_files_pending(view);
    double percent = 100 * vz_machine_view_get_files_fraction(view);
    char *text = g_strdup_printf(count == 1 ? "Sending %u file: %.0f %%" : "Sending %u files: %.0f %%", count, percent);

    gtk_label_set_text(GTK_LABEL(v->files_text), text);
    gtk_widget_set_visible(v->files, count > 0);
    g_free(text);
}

static void on_file_sent(VzMachineView *view, const char *name, const char *error, struct viewer *v)
{
    if (!v->over && error)
        tell(v, FALSE, "%s: %s", name, error);
    else if (!v->over)
        tell(v, FALSE, "%s has arrived.", name);
}

static GtkWidget *files_box(struct viewer *v)
{
    GtkWidget *cancel = gtk_button_new_with_label("Cancel");

    v->files = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12);
    v->files_text = gtk_label_new(NULL);
    gtk_widget_add_css_class(v->files, "osd");
    gtk_widget_set_visible(v->files, FALSE);
    gtk_widget_set_halign(v->files, GTK_ALIGN_CENTER);
    gtk_widget_set_valign(v->files, GTK_ALIGN_START);
    gtk_widget_set_focus_on_click(cancel, FALSE);
    gtk_box_append(GTK_BOX(v->files), v->files_text);
    gtk_box_append(GTK_BOX(v->files), cancel);
    g_signal_connect_swapped(cancel, "clicked", G_CALLBACK(vz_machine_view_cancel_files), v->view);
    g_signal_connect(v->view, "notify::files-fraction", G_CALLBACK(on_files), v);
    g_signal_connect(v->view, "file-sent", G_CALLBACK(on_file_sent), v);
    return v->files;
}

/* ---- All of it ------------------------------------------------------------------------------ */

static void on_captured(VzMachineView *view, GParamSpec *spec, struct viewer *v)
{
    if (vz_machine_view_get_pointer_captured(view))
        tell(v, FALSE, "Ctrl and Alt together give the pointer back.");
}

static void on_disks_told(void *arg, const char *text)
{
    tell(arg, FALSE, "%s", text);
}

static void on_menu(GtkMenuButton *menu, GParamSpec *spec, struct viewer *v)
{
    disks_menu_refresh(v->disks);
}

static void make_window(struct viewer *v)
{
    GtkWidget *header = gtk_header_bar_new(), *menu = gtk_menu_button_new(), *overlay = gtk_overlay_new();
    GtkEventController *keys = gtk_event_controller_key_new();

    v->window = gtk_window_new();
    v->view = vz_machine_view_new();
    g_object_set(v->view, "automatically-reconfigures-display", TRUE, "captures-system-keys", TRUE, NULL);
    add_actions(v);
    v->disks = disks_menu_new(v->link, v->actions, GTK_WINDOW(v->window), on_disks_told, v);
    v->message = gtk_label_new(NULL);
    gtk_widget_add_css_class(v->message, "osd");
    gtk_widget_set_visible(v->message, FALSE);
    gtk_widget_set_halign(v->message, GTK_ALIGN_CENTER);
    gtk_widget_set_valign(v->message, GTK_ALIGN_END);
    gtk_widget_set_can_target(v->message, FALSE);
    gtk_overlay_set_child(GTK_OVERLAY(overlay), v->view);
    gtk_overlay_add_overlay(GTK_OVERLAY(overlay), v->message);
    gtk_overlay_add_overlay(GTK_OVERLAY(overlay), files_box(v));
    gtk_menu_button_set_icon_name(GTK_MENU_BUTTON(menu), "open-menu-symbolic");
    gtk_menu_button_set_menu_model(GTK_MENU_BUTTON(menu), window_menu_new(v->actions, disks_menu_model(v->disks)));
    g_signal_connect(menu, "notify::active", G_CALLBACK(on_menu), v);
    gtk_widget_set_focus_on_click(menu, FALSE);
    gtk_header_bar_pack_end(GTK_HEADER_BAR(header), menu);
    gtk_window_set_titlebar(GTK_WINDOW(v->window), header);
    gtk_window_set_default_size(GTK_WINDOW(v->window), 1280, 847); /* the picture's first size, and the bar */
    gtk_window_set_child(GTK_WINDOW(v->window), overlay);
    gtk_event_controller_set_propagation_phase(keys, GTK_PHASE_CAPTURE);
    g_signal_connect(keys, "key-pressed", G_CALLBACK(on_window_key), v);
    gtk_widget_add_controller(v->window, keys);
    g_signal_connect(v->window, "close-request", G_CALLBACK(on_close), v);
    g_signal_connect(v->view, "notify::pointer-captured", G_CALLBACK(on_captured), v);
    show_state(v);
}

int main(int argc, char **argv)
{
    struct viewer v = {.name = "vz"};
    gint fd = -1, display = 0;
    gchar *name = NULL;
    const GOptionEntry entries[] = {
        {"fd", 0, 0, G_OPTION_ARG_INT, &fd, "the connection to the machine's process", "FD"},
        {"name", 0, 0, G_OPTION_ARG_STRING, &name, "of the machine", "NAME"},
        {"display", 0, 0, G_OPTION_ARG_INT, &display, "which display", "N"},
        {"full-screen", 0, 0, G_OPTION_ARG_NONE, &v.full_screen, "all of the monitor", NULL},
        {"no-save", 0, 0, G_OPTION_ARG_NONE, &v.no_save, "the machine has no place to be saved to", NULL},
        {NULL}};
    GOptionContext *context = g_option_context_new("- started by vz view, and by vz run --view");
    GError *error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || fd < 0) {
        g_printerr("vz-view: %s\n", error ? error->message : "is started by 'vz view MACHINE'");
        return 2;
    }
    if (!gtk_init_check()) {
        g_printerr("vz: there is no desktop to open a window on ($DISPLAY, $WAYLAND_DISPLAY); --web shows it in a "
                   "browser\n");
        return 1;
    }
    v.name = name ? name : v.name;
    v.display = (guint)display;
    v.loop = g_main_loop_new(NULL, FALSE);
    v.link = machine_link_new(fd, &link_ops, &v);
    make_window(&v);
    disks_menu_refresh(v.disks);
    machine_link_ask(v.link, "subscribe", NULL, NULL, NULL);
    machine_link_ask(v.link, "info", NULL, on_info, &v);
    open_display(&v);
    if (v.full_screen)
        gtk_window_fullscreen(GTK_WINDOW(v.window));
    gtk_window_present(GTK_WINDOW(v.window));
    if (!v.over)
        g_main_loop_run(v.loop);
    v.over = TRUE;
    if (v.message_source)
        g_source_remove(v.message_source);
    disks_menu_free(v.disks);
    gtk_window_destroy(GTK_WINDOW(v.window)); /* releases what is held down */
    machine_link_free(v.link);
    g_object_unref(v.actions);
    g_main_loop_unref(v.loop);
    g_option_context_free(context);
    g_free(v.state);
    g_free(name);
    return v.status;
}
