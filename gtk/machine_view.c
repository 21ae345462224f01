/* SPDX-License-Identifier: MIT */
/* The widget. Whatever machine it shows, it sees it by a channel (<vz/display_channel.h>): for a machine in this
 * process it makes one itself. */
#include "view_impl.h"

#include <unistd.h>

#include <glib-unix.h>

#define RESIZE_MS 60   /* between two sizes that the guest is asked for */
#define LATE_MS   1000 /* to the next update where nothing is drawn, as in a window that is hidden */
#define SIDE_MIN  16   /* whatever the guest's size */

enum {
    PROP_0, PROP_CONNECTED, PROP_CAPTURES, PROP_RECONFIGURES, PROP_SHARES, PROP_POINTER_CAPTURED, PROP_DISPLAY_COUNT,
    PROP_FILES_PENDING, PROP_FILES_FRACTION, PROPS
};
static GParamSpec *properties[PROPS];

G_DEFINE_FINAL_TYPE(VzMachineView, vz_machine_view, GTK_TYPE_WIDGET)

/* ---- What it shows -------------------------------------------------------------------------- */

double view_device_scale(VzMachineView *view)
{
#if GTK_CHECK_VERSION(4, 12, 0)
    GtkNative *native = gtk_widget_get_native(GTK_WIDGET(view));
    GdkSurface *surface = native ? gtk_native_get_surface(native) : NULL;

    if (surface)
        return gdk_surface_get_scale(surface);
#endif
    return gtk_widget_get_scale_factor(GTK_WIDGET(view));
}

struct view_place view_place(VzMachineView *view)
{
    return view_place_of(gtk_widget_get_width(GTK_WIDGET(view)), gtk_widget_get_height(GTK_WIDGET(view)),
                         view_device_scale(view), MAX(view->picture.width, 1), MAX(view->picture.height, 1));
}

/* Can the desktop draw the guest's pointer? It does so at one size only, and where the user's is. */
static gboolean desktop_draws_cursor(VzMachineView *view)
{
    struct view_place p = view_place(view);

    return (view->channel.hello.input & VZ_CHANNEL_HAS_POINTER) && view_device_scale(view) == 1 && p.scale == 1;
}

/* Until the guest has shown one, as in firmware and on a text console, the user's own stays. */
void view_set_cursor(VzMachineView *view)
{
    GdkCursor *cursor = NULL;

    if (view->input.captured || (view->has_cursor && (!view->cursor.visible || !desktop_draws_cursor(view))))
        cursor = gdk_cursor_new_from_name("none", NULL);
    else if (view->has_cursor && view->cursor_texture)
        cursor = gdk_cursor_new_from_texture(view->cursor_texture, (int)MIN(view->cursor.hot_x, view->cursor.width - 1),
                                             (int)MIN(view->cursor.hot_y, view->cursor.height - 1), NULL);
    gtk_widget_set_cursor(GTK_WIDGET(view), cursor);
    g_clear_object(&cursor);
}

static void take_cursor(VzMachineView *view, const struct vz_channel_cursor *c)
{
    view->cursor = *c;
    view->has_cursor = view->has_cursor || c->visible;
    g_clear_object(&view->cursor_texture);
    if (c->visible) {
        gsize stride = (gsize)c->width * 4;
        GBytes *bytes = g_bytes_new(c->pixels, stride * c->height);

        view->cursor_texture = gdk_memory_texture_new((int)c->width, (int)c->height, GDK_MEMORY_DEFAULT, bytes, stride);
        g_bytes_unref(bytes);
    }
    view_set_cursor(view);
    gtk_widget_queue_draw(GTK_WIDGET(view));
}

static void draw_cursor(VzMachineView *view, GtkSnapshot *snapshot, const struct view_place *p)
{
    const struct vz_channel_cursor *c = &view->cursor;

    if (!view->cursor_texture || desktop_draws_cursor(view))
        return;
    gtk_snapshot_append_texture(snapshot, view->cursor_texture,
                                &GRAPHENE_RECT_INIT((float)(p->x + c->x * p->scale), (float)(p->y + c->y * p->scale),
                                                    (float)(c->width * p->scale), (float)(c->height * p->scale)));
}

static void snapshot(GtkWidget *widget, GtkSnapshot *snapshot)
{
    VzMachineView *view = VZ_MACHINE_VIEW(widget);
    graphene_rect_t all = GRAPHENE_RECT_INIT(0, 0, (float)gtk_widget_get_width(widget),
                                             (float)gtk_widget_get_height(widget));
    struct view_place p = view_place(view);

    gtk_snapshot_push_clip(snapshot, &all);
    gtk_snapshot_append_color(snapshot, &(GdkRGBA){.alpha = 1}, &all);
    if (view->shown) {
        view_picture_draw(&view->picture, snapshot, &p);
        draw_cursor(view, snapshot, &p);
    }
    gtk_snapshot_pop(snapshot);
}

GdkTexture *vz_machine_view_get_texture(VzMachineView *view)
{
    GdkTexture *whole;

    g_return_val_if_fail(VZ_IS_MACHINE_VIEW(view), NULL);
    whole = view->shown ? view_picture_whole(&view->picture) : NULL;
    return whole ? g_object_ref(whole) : NULL;
}

static void measure(GtkWidget *widget, GtkOrientation o, int for_size, int *minimum, int *natural,
                    int *minimum_baseline, int *natural_baseline)
{
    VzMachineView *view = VZ_MACHINE_VIEW(widget);
    uint32_t side = o == GTK_ORIENTATION_HORIZONTAL ? view->picture.width : view->picture.height;

    *minimum = SIDE_MIN;
    *natural = MAX(SIDE_MIN, (int)(side / view_device_scale(view)));
}

/* ---- The guest's size ----------------------------------------------------------------------- */

static gboolean ask_for_size(gpointer data)
{
    VzMachineView *view = data;
    struct vz_channel_size m = {.kind = VZ_CHANNEL_SIZE};
    int width = gtk_widget_get_width(GTK_WIDGET(view)), height = gtk_widget_get_height(GTK_WIDGET(view));

    m.width = view_wanted_side(width, view_device_scale(view));
    m.height = view_wanted_side(height, view_device_scale(view));
    if (view->reconfigures && width > 1 && height > 1 &&
        (m.width != view->asked_width || m.height != view->asked_height)) {
        if (!view_channel_send(&view->channel, &m, sizeof(m)))
            return G_SOURCE_CONTINUE; /* it is busy, or gone, which is heard */
        view->asked_width = m.width;
        view->asked_height = m.height;
    }
    view->resize = 0;
    return G_SOURCE_REMOVE;
}

/* Soon, and not for each step of a window's edge. */
static void want_size(VzMachineView *view)
{
    if (view->reconfigures && !view->resize && view->channel.fd >= 0)
        view->resize = g_timeout_add(RESIZE_MS, ask_for_size, view);
}

static void size_allocate(GtkWidget *widget, int width, int height, int baseline)
{
    want_size(VZ_MACHINE_VIEW(widget));
    view_set_cursor(VZ_MACHINE_VIEW(widget));
}

static void on_scale(VzMachineView *view)
{
    want_size(view);
    gtk_widget_queue_resize(GTK_WIDGET(view));
}

/* ---- The channel ---------------------------------------------------------------------------- */

static void clear_source(guint *source)
{
    if (*source)
        g_source_remove(*source);
    *source = 0;
}

static void forget_tick(VzMachineView *view)
{
    if (view->tick)
        gtk_widget_remove_tick_callback(GTK_WIDGET(view), view->tick);
    view->tick = 0;
    clear_source(&view->late);
}

static void disconnect(VzMachineView *view)
{
    gboolean was = view->channel.fd >= 0;

    if (was)
        view_input_release(view);
    view_input_uncapture(view);
    forget_tick(view);
    clear_source(&view->source);
    clear_source(&view->resize);
    view_clipboard_disconnect(view);
    view_channel_close(&view->channel);
    vz_display_channel_free(view->own);
    view->own = NULL;
    view_picture_clear(&view->picture);
    view->shown = view->has_cursor = FALSE;
    view->cursor = (struct vz_channel_cursor){.visible = 0};
    g_clear_object(&view->cursor_texture);
    view->asked_width = view->asked_height = 0;
    gtk_widget_set_cursor(GTK_WIDGET(view), NULL);
    gtk_widget_queue_draw(GTK_WIDGET(view));
    if (was) {
        view_files_forget(view);
        g_object_notify_by_pspec(G_OBJECT(view), properties[PROP_CONNECTED]);
        g_object_notify_by_pspec(G_OBJECT(view), properties[PROP_DISPLAY_COUNT]);
    }
}

static void ask_for_next(VzMachineView *view)
{
    const struct vz_channel_next m = {.kind = VZ_CHANNEL_NEXT};

    forget_tick(view);
    view_channel_send(&view->channel, &m, sizeof(m));
}

static gboolean on_tick(GtkWidget *widget, GdkFrameClock *clock, gpointer data)
{
    VzMachineView *view = VZ_MACHINE_VIEW(widget);

    view->tick = 0; /* this one ends by what we return */
    ask_for_next(view);
    return G_SOURCE_REMOVE;
}

static gboolean on_late(gpointer data)
{
    VzMachineView *view = data;

    view->late = 0;
    ask_for_next(view);
    return G_SOURCE_REMOVE;
}

/* The next one comes when this one has been drawn: no more often than the monitor shows it. */
static void take_update(VzMachineView *view, const struct vz_channel_update *u)
{
    gboolean resized = view->picture.width != u->width || view->picture.height != u->height;

    view->shown = u->flags & VZ_CHANNEL_SHOWN;
    view_picture_update(&view->picture, u, view->shown ? view->channel.memory + u->offset : NULL);
    if (resized) {
        view_set_cursor(view);
        gtk_widget_queue_resize(GTK_WIDGET(view));
    }
    gtk_widget_queue_draw(GTK_WIDGET(view));
    view->tick = gtk_widget_add_tick_callback(GTK_WIDGET(view), on_tick, NULL, NULL);
    view->late = g_timeout_add(LATE_MS, on_late, view);
}

static gboolean on_channel(gint fd, GIOCondition condition, gpointer data)
{
    VzMachineView *view = data;
    union view_message m;
    int with;
    enum view_received received = view_channel_receive(&view->channel, &m, &with);

    if (received == VIEW_MESSAGE && view_clipboard_take(view, &m, with))
        return G_SOURCE_CONTINUE;
    if (with >= 0)
        close(with);
    if (received == VIEW_MESSAGE && m.kind == VZ_CHANNEL_FILE)
        view_files_take(view, &m.file);
    else if (received == VIEW_MESSAGE && m.kind == VZ_CHANNEL_CURSOR)
        take_cursor(view, &m.cursor);
    else if (received == VIEW_MESSAGE && m.kind == VZ_CHANNEL_UPDATE && !view->tick && !view->late)
        take_update(view, &m.update);
    if (received == VIEW_OVER ||
        (received == VIEW_MESSAGE && m.kind == VZ_CHANNEL_UPDATE && (m.update.flags & VZ_CHANNEL_ENDED))) {
        view->source = 0; /* this one */
        disconnect(view);
        return G_SOURCE_REMOVE;
    }
    return G_SOURCE_CONTINUE;
}

gboolean vz_machine_view_set_channel(VzMachineView *view, int fd, GError **error)
{
    g_return_val_if_fail(VZ_IS_MACHINE_VIEW(view), FALSE);
    disconnect(view);
    if (fd < 0)
        return TRUE;
    if (!view_channel_open(&view->channel, fd)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the machine's process sends no display");
        return FALSE;
    }
    view->source = g_unix_fd_add(view->channel.fd, G_IO_IN | G_IO_HUP, on_channel, view);
    ask_for_next(view);
    want_size(view);
    view_clipboard_connect(view);
    g_object_notify_by_pspec(G_OBJECT(view), properties[PROP_CONNECTED]);
    g_object_notify_by_pspec(G_OBJECT(view), properties[PROP_DISPLAY_COUNT]);
    return TRUE;
}

gboolean vz_machine_view_set_machine(VzMachineView *view, struct vz_machine *machine, guint device, guint display,
                                     GError **error)
{
    struct vz_display_channel *own;
    struct vz_error err = {.text = ""};
    int fd;

    g_return_val_if_fail(VZ_IS_MACHINE_VIEW(view), FALSE);
    disconnect(view);
    if (!machine)
        return TRUE;
    own = vz_display_channel_new(machine, device, display, &fd, &err);
    if (!own) {
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_FAILED, err.text);
        return FALSE;
    }
    if (!vz_machine_view_set_channel(view, fd, error)) {
        vz_display_channel_free(own);
        return FALSE;
    }
    view->own = own;
    return TRUE;
}

gboolean vz_machine_view_get_connected(VzMachineView *view)
{
    g_return_val_if_fail(VZ_IS_MACHINE_VIEW(view), FALSE);
    return view->channel.fd >= 0;
}

guint vz_machine_view_get_display_count(VzMachineView *view)
{
    g_return_val_if_fail(VZ_IS_MACHINE_VIEW(view), 0);
    return view->channel.fd >= 0 ? view->channel.hello.display_count : 0;
}

/* ---- Properties ----------------------------------------------------------------------------- */

void vz_machine_view_set_captures_system_keys(VzMachineView *view, gboolean captures)
{
    g_return_if_fail(VZ_IS_MACHINE_VIEW(view));
    if (view->captures_system_keys == !!captures)
        return;
    view->captures_system_keys = !!captures;
    if (!captures)
        view_input_release(view);
    g_object_notify_by_pspec(G_OBJECT(view), properties[PROP_CAPTURES]);
}

gboolean vz_machine_view_get_captures_system_keys(VzMachineView *view)
{
    g_return_val_if_fail(VZ_IS_MACHINE_VIEW(view), FALSE);
    return view->captures_system_keys;
}

void vz_machine_view_set_automatically_reconfigures_display(VzMachineView *view, gboolean automatic)
{
    g_return_if_fail(VZ_IS_MACHINE_VIEW(view));
    if (view->reconfigures == !!automatic)
        return;
    view->reconfigures = !!automatic;
    want_size(view);
    g_object_notify_by_pspec(G_OBJECT(view), properties[PROP_RECONFIGURES]);
}

gboolean vz_machine_view_get_automatically_reconfigures_display(VzMachineView *view)
{
    g_return_val_if_fail(VZ_IS_MACHINE_VIEW(view), FALSE);
    return view->reconfigures;
}

void vz_machine_view_set_shares_clipboard(VzMachineView *view, gboolean shares)
{
    g_return_if_fail(VZ_IS_MACHINE_VIEW(view));
    if (view->shares_clipboard == !!shares)
        return;
    view->shares_clipboard = !!shares;
    view_clipboard_share(view);
    g_object_notify_by_pspec(G_OBJECT(view), properties[PROP_SHARES]);
}

gboolean vz_machine_view_get_shares_clipboard(VzMachineView *view)
{
    g_return_val_if_fail(VZ_IS_MACHINE_VIEW(view), FALSE);
    return view->shares_clipboard;
}

gboolean vz_machine_view_get_pointer_captured(VzMachineView *view)
{
    g_return_val_if_fail(VZ_IS_MACHINE_VIEW(view), FALSE);
    return view->input.captured;
}

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *spec)
{
    VzMachineView *view = VZ_MACHINE_VIEW(object);

    if (id == PROP_CONNECTED)
        g_value_set_boolean(value, vz_machine_view_get_connected(view));
    else if (id == PROP_CAPTURES)
        g_value_set_boolean(value, view->captures_system_keys);
    else if (id == PROP_RECONFIGURES)
        g_value_set_boolean(value, view->reconfigures);
    else if (id == PROP_SHARES)
        g_value_set_boolean(value, view->shares_clipboard);
    else if (id == PROP_POINTER_CAPTURED)
        g_value_set_boolean(value, view->input.captured);
    else if (id == PROP_DISPLAY_COUNT)
        g_value_set_uint(value, vz_machine_view_get_display_count(view));
    else if (id == PROP_FILES_PENDING)
        g_value_set_uint(value, vz_machine_view_get_files_pending(view));
    else if (id == PROP_FILES_FRACTION)
        g_value_set_double(value, vz_machine_view_get_files_fraction(view));
    else
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
}

static void set_property(GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
    VzMachineView *view = VZ_MACHINE_VIEW(object);

    if (id == PROP_CAPTURES)
        vz_machine_view_set_captures_system_keys(view, g_value_get_boolean(value));
    else if (id == PROP_RECONFIGURES)
        vz_machine_view_set_automatically_reconfigures_display(view, g_value_get_boolean(value));
    else if (id == PROP_SHARES)
        vz_machine_view_set_shares_clipboard(view, g_value_get_boolean(value));
    else
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
}

/* ---- Life ----------------------------------------------------------------------------------- */

static void dispose(GObject *object)
{
    disconnect(VZ_MACHINE_VIEW(object));
    G_OBJECT_CLASS(vz_machine_view_parent_class)->dispose(object);
}

static void unmap(GtkWidget *widget)
{
    view_input_release(VZ_MACHINE_VIEW(widget));
    view_input_uncapture(VZ_MACHINE_VIEW(widget));
    GTK_WIDGET_CLASS(vz_machine_view_parent_class)->unmap(widget);
}

/* Keys work without a click. */
static void map(GtkWidget *widget)
{
    GTK_WIDGET_CLASS(vz_machine_view_parent_class)->map(widget);
    gtk_widget_grab_focus(widget);
}

static void vz_machine_view_init(VzMachineView *view)
{
    view->channel.fd = -1;
    view->shares_clipboard = TRUE;
    gtk_widget_set_focusable(GTK_WIDGET(view), TRUE);
    gtk_widget_set_hexpand(GTK_WIDGET(view), TRUE);
    gtk_widget_set_vexpand(GTK_WIDGET(view), TRUE);
    g_signal_connect(view, "notify::scale-factor", G_CALLBACK(on_scale), NULL);
    view_input_set_up(view);
    view_files_set_up(view);
}

static GParamSpec *flag(const char *name, const char *blurb, gboolean is, GParamFlags flags)
{
    return g_param_spec_boolean(name, NULL, blurb, is, flags | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY);
}

static void vz_machine_view_class_init(VzMachineViewClass *class)
{
    GObjectClass *object = G_OBJECT_CLASS(class);
    GtkWidgetClass *widget = GTK_WIDGET_CLASS(class);

    object->dispose = dispose;
    object->get_property = get_property;
    object->set_property = set_property;
    widget->snapshot = snapshot;
    widget->measure = measure;
    widget->size_allocate = size_allocate;
    widget->map = map;
    widget->unmap = unmap;
    properties[PROP_CONNECTED] = flag("connected", "there is a machine that has not ended", FALSE, G_PARAM_READABLE);
    properties[PROP_CAPTURES] = flag("captures-system-keys", "the desktop's own keys are the guest's", FALSE,
                                     G_PARAM_READWRITE);
    properties[PROP_RECONFIGURES] = flag("automatically-reconfigures-display",
                                         "the guest's resolution follows the view's", FALSE, G_PARAM_READWRITE);
    properties[PROP_SHARES] = flag("shares-clipboard", "the desktop's clipboard is the guest's too", TRUE,
                                   G_PARAM_READWRITE);
    properties[PROP_POINTER_CAPTURED] = flag("pointer-captured", "the pointer is held for the guest's mouse", FALSE,
                                             G_PARAM_READABLE);
    properties[PROP_DISPLAY_COUNT] = g_param_spec_uint("display-count", NULL, "displays of the graphics device", 0,
                                                       VZ_SCANOUTS_MAX, 0, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
    properties[PROP_FILES_PENDING] = g_param_spec_uint("files-pending", NULL, "files on their way into the guest", 0,
                                                       G_MAXUINT, 0, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
    properties[PROP_FILES_FRACTION] = g_param_spec_double("files-fraction", NULL, "so much of them has arrived", 0, 1,
                                                          0, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
    /**
     * VzMachineView::file-sent:
     * @view: a view
     * @name: of a file that was dropped, or sent by vz_machine_view_send_file()
     * @error: (nullable): why it has not arrived; %NULL: it has
     */
    g_signal_new("file-sent", VZ_TYPE_MACHINE_VIEW, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 2,
                 G_TYPE_STRING, G_TYPE_STRING);
    g_object_class_install_properties(object, PROPS, properties);
    gtk_widget_class_set_css_name(widget, "machineview");
}

GtkWidget *vz_machine_view_new(void)
{
    return g_object_new(VZ_TYPE_MACHINE_VIEW, NULL);
}
