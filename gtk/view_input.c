/* SPDX-License-Identifier: MIT */
/* Keys, pointer, wheel, fingers. All that the guest thinks is down is noted here, and released when the focus goes,
 * when the view is hidden, and when it is disconnected: there is no other way for a key to stay down. */
#include "view_impl.h"

#include <math.h>

#include <vz/input.h>
#ifdef VZ_GTK_X11
#include <gdk/x11/gdkx.h>
#endif

#define SURFACE_NOTCH 10.0 /* of a touch pad's scrolling: what a wheel's notch is on Wayland */

static gboolean has(VzMachineView *view, unsigned input)
{
    return view->channel.fd >= 0 && (view->channel.hello.input & input);
}

/* ---- Keys ----------------------------------------------------------------------------------- */

static void send_key(VzMachineView *view, uint32_t usage, gboolean down)
{
    const struct vz_channel_key m = {.kind = VZ_CHANNEL_KEY, .key = usage, .down = (uint32_t)down};

    view_channel_send(&view->channel, &m, sizeof(m));
}

static void change_key(VzMachineView *view, uint32_t usage, gboolean down)
{
    if (has(view, VZ_CHANNEL_HAS_KEYBOARD) && view_keys_change(&view->input.keys, usage, down))
        send_key(view, usage, down);
}

static const struct {
    GdkModifierType mask;
    uint32_t left, right;
} modifiers[] = {
    {GDK_SHIFT_MASK, VZ_KEY(0xe1), VZ_KEY(0xe5)}, {GDK_CONTROL_MASK, VZ_KEY(0xe0), VZ_KEY(0xe4)},
    {GDK_ALT_MASK, VZ_KEY(0xe2), VZ_KEY(0xe6)}, {GDK_SUPER_MASK, VZ_KEY(0xe3), VZ_KEY(0xe7)}};

/* One who comes back with Ctrl held means it. Its press went elsewhere, so the guest has one made up, until the user
 * lets go of it. Only then: what a modifier key means is the layout's, which is the guest's business. */
static void make_up_modifiers(VzMachineView *view, GdkModifierType state)
{
    struct view_input *in = &view->input;

    for (unsigned i = 0; i < G_N_ELEMENTS(modifiers); i++) {
        gboolean held = (state & modifiers[i].mask) != 0;

        if (in->just_focused && held) {
            change_key(view, modifiers[i].left, TRUE);
            in->made_up |= modifiers[i].mask;
        } else if ((in->made_up & modifiers[i].mask) && !held) {
            change_key(view, modifiers[i].left, FALSE);
            in->made_up &= ~modifiers[i].mask;
        }
    }
    in->just_focused = FALSE;
}

static gboolean is_held(const struct view_keys *k, unsigned modifier)
{
    return view_keys_has(k, modifiers[modifier].left) || view_keys_has(k, modifiers[modifier].right);
}

/* Ctrl and Alt, and then neither, and nothing else in between: the pointer is the user's again. To be called when the
 * key is noted. */
static void look_for_chord(VzMachineView *view, uint32_t usage, gboolean down)
{
    struct view_input *in = &view->input;

    if (down)
        in->chord = is_held(&in->keys, 1) && is_held(&in->keys, 2) && in->keys.count == 2;
    else if (in->chord && usage >= VZ_KEY(0xe0) && usage <= VZ_KEY(0xe7))
        view_input_uncapture(view);
}

static GdkToplevel *toplevel(VzMachineView *view)
{
    GtkNative *native = gtk_widget_get_native(GTK_WIDGET(view));
    GdkSurface *surface = native ? gtk_native_get_surface(native) : NULL;

    return GDK_IS_TOPLEVEL(surface) ? GDK_TOPLEVEL(surface) : NULL;
}

static void inhibit(VzMachineView *view, GdkEvent *event)
{
    GdkToplevel *top = toplevel(view);

    if (!view->captures_system_keys || view->input.inhibited || !top || !gtk_widget_has_focus(GTK_WIDGET(view)))
        return;
    gdk_toplevel_inhibit_system_shortcuts(top, event);
    view->input.inhibited = TRUE;
}

static gboolean on_key(VzMachineView *view, GdkEvent *event, gboolean down)
{
    uint32_t usage = view_key_usage(gdk_key_event_get_keycode(event) - 8);

    if (!has(view, VZ_CHANNEL_HAS_KEYBOARD))
        return FALSE;
    if (down)
        inhibit(view, event);
    if (down || !view->input.just_focused) /* what brought the user here and is let go of now, as Alt+Tab, is no key */
        make_up_modifiers(view, gdk_event_get_modifier_state(event));
    change_key(view, usage, down);
    look_for_chord(view, usage, down);
    return TRUE;
}

void vz_machine_view_send_keys(VzMachineView *view, const guint32 *keys, gsize count)
{
    g_return_if_fail(VZ_IS_MACHINE_VIEW(view));
    view_input_release(view);
    for (gsize i = 0; i < count; i++)
        change_key(view, keys[i], TRUE);
    view_input_release(view);
}

/* ---- The pointer ---------------------------------------------------------------------------- */

static void send_pointer(VzMachineView *view, gboolean relative)
{
    struct view_input *in = &view->input;
    struct vz_channel_pointer m = {.kind = VZ_CHANNEL_POINTER, .relative = (uint32_t)relative, .buttons = in->buttons};
    struct view_place p = view_place(view);
    uint16_t x, y;

    view_place_point(&p, in->x, in->y, &x, &y);
    m.x = x;
    m.y = y;
    m.dx = (int32_t)in->dx;
    m.dy = (int32_t)in->dy;
    m.wheel = (int32_t)in->wheel;
    m.wheel_horizontal = (int32_t)in->wheel_horizontal;
    if (view_channel_send(&view->channel, &m, sizeof(m))) {
        in->dx -= m.dx;
        in->dy -= m.dy;
        in->wheel -= m.wheel;
        in->wheel_horizontal -= m.wheel_horizontal;
    }
}

static gboolean takes_pointer(VzMachineView *view)
{
    return has(view, VZ_CHANNEL_HAS_POINTER) || (has(view, VZ_CHANNEL_HAS_MOUSE) && view->input.captured);
}

/* Where the user's pointer is, or what it does besides. */
static void tell_pointer(VzMachineView *view)
{
    if (takes_pointer(view))
        send_pointer(view, !has(view, VZ_CHANNEL_HAS_POINTER));
}

/* Put the user's pointer back into the middle, where there is a way to do so: from there it can go anywhere. */
static gboolean warp(VzMachineView *view, double x, double y)
{
#ifdef VZ_GTK_X11
    GtkNative *native = gtk_widget_get_native(GTK_WIDGET(view));
    GdkSurface *surface = native ? gtk_native_get_surface(native) : NULL;
    double in_x, in_y, scale = view_device_scale(view), tx, ty;

    if (surface && GDK_IS_X11_SURFACE(surface) &&
        gtk_widget_translate_coordinates(GTK_WIDGET(view), GTK_WIDGET(native), x, y, &in_x, &in_y)) {
        gtk_native_get_surface_transform(native, &tx, &ty);
        XWarpPointer(gdk_x11_display_get_xdisplay(gdk_surface_get_display(surface)), None,
                     gdk_x11_surface_get_xid(surface), 0, 0, 0, 0, (int)((in_x + tx) * scale),
                     (int)((in_y + ty) * scale));
        return TRUE;
    }
#endif
    return FALSE;
}

static void set_captured(VzMachineView *view, gboolean captured)
{
    if (view->input.captured == captured)
        return;
    view->input.captured = captured;
    view->input.dx = view->input.dy = 0;
    view_set_cursor(view);
    g_object_notify(G_OBJECT(view), "pointer-captured");
}

void view_input_uncapture(VzMachineView *view)
{
    view->input.chord = view->input.warped = FALSE;
    set_captured(view, FALSE);
}

/* What was on its way when the pointer was put into the middle still comes from where it was before. */
static void move_captured(VzMachineView *view, double x, double y)
{
    struct view_input *in = &view->input;
    double middle_x = floor(gtk_widget_get_width(GTK_WIDGET(view)) / 2.0);
    double middle_y = floor(gtk_widget_get_height(GTK_WIDGET(view)) / 2.0);
    double far_x = gtk_widget_get_width(GTK_WIDGET(view)) / 4.0, far_y = gtk_widget_get_height(GTK_WIDGET(view)) / 4.0;
    double dx = x - in->x, dy = y - in->y;

    if (in->warped && hypot(x - middle_x, y - middle_y) < hypot(dx, dy)) {
        in->warped = FALSE;
        dx = x - middle_x;
        dy = y - middle_y;
    }
    in->x = x;
    in->y = y;
    in->dx += dx * view_device_scale(view);
    in->dy += dy * view_device_scale(view);
    if ((fabs(in->dx) >= 1 || fabs(in->dy) >= 1) && !view_channel_is_behind(&view->channel))
        send_pointer(view, TRUE);
    if (!in->warped && (fabs(x - middle_x) > far_x || fabs(y - middle_y) > far_y))
        in->warped = warp(view, middle_x, middle_y);
}

/* In the widget, without what the window has around it. */
static gboolean position(VzMachineView *view, GdkEvent *event, double *x, double *y)
{
    GtkNative *native = gtk_widget_get_native(GTK_WIDGET(view));
    double sx, sy, tx, ty;

    if (!native || !gdk_event_get_position(event, &sx, &sy))
        return FALSE;
    gtk_native_get_surface_transform(native, &tx, &ty);
    return gtk_widget_translate_coordinates(GTK_WIDGET(native), GTK_WIDGET(view), sx - tx, sy - ty, x, y);
}

static void move_to(VzMachineView *view, double x, double y)
{
    view->input.x = x;
    view->input.y = y;
    if (has(view, VZ_CHANNEL_HAS_POINTER) && !view_channel_is_behind(&view->channel))
        send_pointer(view, FALSE);
}

/* A pointer that comes from elsewhere, or stays where a window appears, has not moved here yet. */
static void on_enter(GtkEventController *controller, double x, double y, VzMachineView *view)
{
    if (view->channel.fd >= 0 && !view->input.captured)
        move_to(view, x, y);
}

static gboolean on_motion(VzMachineView *view, GdkEvent *event)
{
    double x, y;

    if (!position(view, event, &x, &y))
        return FALSE;
    if (view->input.made_up)
        make_up_modifiers(view, gdk_event_get_modifier_state(event));
    if (view->input.captured)
        move_captured(view, x, y);
    else
        move_to(view, x, y);
    return TRUE;
}

static uint32_t button_bit(guint button)
{
    switch (button) {
    case 1:
        return VZ_BUTTON_LEFT;
    case 2:
        return VZ_BUTTON_MIDDLE;
    case 3:
        return VZ_BUTTON_RIGHT;
    case 8:
        return VZ_BUTTON_BACK;
    case 9:
        return VZ_BUTTON_FORWARD;
    default:
        return 0;
    }
}

static gboolean on_button(VzMachineView *view, GdkEvent *event, gboolean down)
{
    struct view_input *in = &view->input;
    uint32_t bit = button_bit(gdk_button_event_get_button(event));
    double x, y;

    if (down && !gtk_widget_has_focus(GTK_WIDGET(view)))
        gtk_widget_grab_focus(GTK_WIDGET(view));
    if (down)
        make_up_modifiers(view, gdk_event_get_modifier_state(event));
    if (!in->captured && position(view, event, &x, &y)) {
        in->x = x;
        in->y = y;
    }
    if (down && !in->captured && !has(view, VZ_CHANNEL_HAS_POINTER) && has(view, VZ_CHANNEL_HAS_MOUSE)) {
        set_captured(view, TRUE); /* and that is all that this click does */
        return TRUE;
    }
    in->buttons = down ? in->buttons | bit : in->buttons & ~bit;
    tell_pointer(view);
    return TRUE;
}

static gboolean on_scroll(VzMachineView *view, GdkEvent *event)
{
    struct view_input *in = &view->input;
    double x = 0, y = 0, notch = VZ_WHEEL_NOTCH;

    if (!takes_pointer(view))
        return FALSE; /* nor is it kept for when it does */
    switch (gdk_scroll_event_get_direction(event)) {
    case GDK_SCROLL_UP:
        y = -1;
        break;
    case GDK_SCROLL_DOWN:
        y = 1;
        break;
    case GDK_SCROLL_LEFT:
        x = -1;
        break;
    case GDK_SCROLL_RIGHT:
        x = 1;
        break;
    case GDK_SCROLL_SMOOTH:
        gdk_scroll_event_get_deltas(event, &x, &y);
        if (gdk_scroll_event_get_unit(event) == GDK_SCROLL_UNIT_SURFACE)
            notch = VZ_WHEEL_NOTCH / SURFACE_NOTCH;
        break;
    }
    if (gdk_scroll_event_is_stop(event))
        in->wheel = in->wheel_horizontal = 0;
    in->wheel -= y * notch;
    in->wheel_horizontal += x * notch;
    if (!view_channel_is_behind(&view->channel))
        tell_pointer(view);
    return TRUE;
}

/* ---- Fingers -------------------------------------------------------------------------------- */

static void send_touches(VzMachineView *view, const struct view_finger *finger, unsigned count)
{
    struct vz_channel_touches m = {.kind = VZ_CHANNEL_TOUCHES};

    for (unsigned i = 0; i < count; i++) {
        if (!finger[i].sequence)
            continue;
        m.touch[m.count].id = i;
        m.touch[m.count].x = finger[i].x;
        m.touch[m.count++].y = finger[i].y;
    }
    view_channel_send(&view->channel, &m, sizeof(m));
}

/* The finger's, or a free one; NULL: there are more than the guest can have. */
static struct view_finger *find_finger(VzMachineView *view, GdkEventSequence *sequence, gboolean begins)
{
    struct view_finger *f = view->input.finger, *found = NULL;

    for (unsigned i = 0; i < VZ_TOUCHES_MAX; i++) {
        if (f[i].sequence == sequence)
            return &f[i];
        if (!f[i].sequence && !found)
            found = &f[i];
    }
    return begins ? found : NULL;
}

/* Of a touch screen. Without a trackpad to put it on, the first finger is the pointer with its button pressed. */
static gboolean on_touch(VzMachineView *view, GdkEvent *event, gboolean down)
{
    GdkEventSequence *sequence = gdk_event_get_event_sequence(event);
    struct view_finger *f = find_finger(view, sequence, gdk_event_get_event_type(event) == GDK_TOUCH_BEGIN);
    struct view_place p = view_place(view);
    double x, y;

    if (!f || !position(view, event, &x, &y))
        return FALSE;
    gtk_widget_grab_focus(GTK_WIDGET(view));
    f->sequence = down ? sequence : NULL;
    view_place_point(&p, x, y, &f->x, &f->y);
    if (has(view, VZ_CHANNEL_HAS_TRACKPAD)) {
        send_touches(view, view->input.finger, VZ_TOUCHES_MAX);
    } else if (f == view->input.finger) {
        view->input.x = x;
        view->input.y = y;
        view->input.buttons = down ? VZ_BUTTON_LEFT : 0;
        tell_pointer(view);
    }
    return TRUE;
}

static gboolean on_pad_gesture(VzMachineView *view, GdkEvent *event)
{
    GdkTouchpadGesturePhase phase = gdk_touchpad_event_get_gesture_phase(event);
    struct view_gesture_event e = {.fingers = gdk_touchpad_event_get_n_fingers(event),
                                   .pinch = gdk_event_get_event_type(event) == GDK_TOUCHPAD_PINCH};
    struct vz_channel_touches m;

    if (!has(view, VZ_CHANNEL_HAS_TRACKPAD))
        return FALSE;
    e.phase = phase == GDK_TOUCHPAD_GESTURE_PHASE_BEGIN    ? VIEW_GESTURE_BEGIN
              : phase == GDK_TOUCHPAD_GESTURE_PHASE_UPDATE ? VIEW_GESTURE_UPDATE
                                                           : VIEW_GESTURE_END;
    gdk_touchpad_event_get_deltas(event, &e.dx, &e.dy);
    if (e.pinch) {
        e.scale = gdk_touchpad_event_get_pinch_scale(event);
        e.angle_delta = gdk_touchpad_event_get_pinch_angle_delta(event);
    }
    if (view_gesture_step(&view->input.gesture, &e, &m))
        view_channel_send(&view->channel, &m, sizeof(m));
    return TRUE;
}

/* ---- All together --------------------------------------------------------------------------- */

void view_input_release(VzMachineView *view)
{
    struct view_input *in = &view->input;
    gboolean touched = in->gesture.active;
    GdkToplevel *top = toplevel(view);
    uint32_t usage;

    while ((usage = view_keys_pop(&in->keys)))
        send_key(view, usage, FALSE);
    in->made_up = 0;
    in->chord = FALSE;
    if (in->buttons) {
        in->buttons = 0;
        tell_pointer(view);
    }
    for (unsigned i = 0; i < VZ_TOUCHES_MAX; i++) {
        touched = touched || in->finger[i].sequence;
        in->finger[i].sequence = NULL;
    }
    in->gesture.active = false;
    if (touched && has(view, VZ_CHANNEL_HAS_TRACKPAD))
        send_touches(view, in->finger, VZ_TOUCHES_MAX);
    if (in->inhibited && top)
        gdk_toplevel_restore_system_shortcuts(top);
    in->inhibited = FALSE;
}

static gboolean on_event(GtkEventController *controller, GdkEvent *event, VzMachineView *view)
{
    if (view->channel.fd < 0)
        return FALSE;
    switch (gdk_event_get_event_type(event)) {
    case GDK_KEY_PRESS:
        return on_key(view, event, TRUE);
    case GDK_KEY_RELEASE:
        return on_key(view, event, FALSE);
    case GDK_MOTION_NOTIFY:
        return on_motion(view, event);
    case GDK_BUTTON_PRESS:
        return on_button(view, event, TRUE);
    case GDK_BUTTON_RELEASE:
        return on_button(view, event, FALSE);
    case GDK_SCROLL:
        return on_scroll(view, event);
    case GDK_TOUCH_BEGIN:
    case GDK_TOUCH_UPDATE:
        return on_touch(view, event, TRUE);
    case GDK_TOUCH_END:
    case GDK_TOUCH_CANCEL:
        return on_touch(view, event, FALSE);
    case GDK_TOUCHPAD_PINCH:
    case GDK_TOUCHPAD_SWIPE:
        return on_pad_gesture(view, event);
    case GDK_GRAB_BROKEN:
        view_input_release(view);
        return FALSE;
    default:
        return FALSE;
    }
}

static void on_focus(GtkEventController *controller, VzMachineView *view)
{
    view->input.just_focused = TRUE;
    view_clipboard_focus(view, TRUE);
}

static void on_no_focus(GtkEventController *controller, VzMachineView *view)
{
    view_input_release(view);
    view_input_uncapture(view);
    view_clipboard_focus(view, FALSE);
}

void view_input_set_up(VzMachineView *view)
{
    GtkEventController *all = gtk_event_controller_legacy_new(), *focus = gtk_event_controller_focus_new();
    GtkEventController *motion = gtk_event_controller_motion_new();

    g_signal_connect(all, "event", G_CALLBACK(on_event), view);
    g_signal_connect(motion, "enter", G_CALLBACK(on_enter), view);
    g_signal_connect(focus, "enter", G_CALLBACK(on_focus), view);
    g_signal_connect(focus, "leave", G_CALLBACK(on_no_focus), view);
    gtk_widget_add_controller(GTK_WIDGET(view), all);
    gtk_widget_add_controller(GTK_WIDGET(view), focus);
    gtk_widget_add_controller(GTK_WIDGET(view), motion);
}
