/* SPDX-License-Identifier: MIT */
/* libvz-gtk: a machine's display as a GTK 4 widget. A library of its own, so that libvz needs no GTK (pkg-config:
 * vz-gtk). Apple's: VZVirtualMachineView.
 *
 *     GtkWidget *view = vz_machine_view_new();
 *     vz_machine_view_set_automatically_reconfigures_display(VZ_MACHINE_VIEW(view), TRUE);
 *     vz_machine_view_set_machine(VZ_MACHINE_VIEW(view), machine, 0, 0, &error);
 *
 * The picture is drawn pixel for pixel where the guest's resolution is the widget's, and else scaled to fit. With the
 * keyboard's focus the widget sends keys by where they are, so every layout works that the guest has; when the focus
 * goes, what is held down is released. A machine with a pointer that goes where it is told (vz_usb_pointer_new()) has
 * it follow the user's; one with a mouse only takes the pointer on a click, and Ctrl and Alt together give it back. A
 * trackpad has the fingers of a touch screen, and pinches and swipes of the user's trackpad.
 *
 * Threads: GTK's. */
#ifndef VZ_GTK_H
#define VZ_GTK_H

#include <gtk/gtk.h>

G_BEGIN_DECLS

struct vz_machine;

#define VZ_TYPE_MACHINE_VIEW (vz_machine_view_get_type())
#define VZ_GTK_PUBLIC        __attribute__((visibility("default")))

/**
 * VzMachineView:
 *
 * Shows one display of a machine, and takes what the user types and points.
 */
VZ_GTK_PUBLIC
G_DECLARE_FINAL_TYPE(VzMachineView, vz_machine_view, VZ, MACHINE_VIEW, GtkWidget)

/**
 * vz_machine_view_new:
 *
 * Returns: (transfer floating): a view that shows nothing yet
 */
VZ_GTK_PUBLIC GtkWidget *vz_machine_view_new(void);

/**
 * vz_machine_view_set_machine: (skip)
 * @view: a view
 * @machine: (nullable): a live machine of this process; it is not to be freed before the view has another, or none, or
 *   has been disposed of
 * @device: which of its graphics devices, from 0
 * @display: which display of that, from 0
 * @error: what went wrong
 *
 * Show a display of a machine in this process. A machine that starts again is to be set again.
 *
 * Returns: whether it is shown now; otherwise the view shows nothing
 */
VZ_GTK_PUBLIC gboolean vz_machine_view_set_machine(VzMachineView *view, struct vz_machine *machine, guint device,
                                                   guint display, GError **error);

/**
 * vz_machine_view_set_channel:
 * @view: a view
 * @fd: the viewer's end of a display's channel (`vz/display_channel.h`), which the view takes over in any case;
 * -1: none
 * @error: what went wrong
 *
 * Show a display of a machine that is in another process, or in this one.
 *
 * Returns: whether it is shown now; otherwise the view shows nothing
 */
VZ_GTK_PUBLIC gboolean vz_machine_view_set_channel(VzMachineView *view, int fd, GError **error);

/**
 * vz_machine_view_get_connected:
 * @view: a view
 *
 * Returns: whether it has a machine, that has not ended (property "connected")
 */
VZ_GTK_PUBLIC gboolean vz_machine_view_get_connected(VzMachineView *view);

/**
 * vz_machine_view_set_captures_system_keys:
 * @view: a view
 * @captures: whether keys that the desktop uses itself (Alt+Tab, Super) are the guest's while the view has the focus
 *
 * Property "captures-system-keys", at first %FALSE. The desktop may refuse.
 */
VZ_GTK_PUBLIC void vz_machine_view_set_captures_system_keys(VzMachineView *view, gboolean captures);
VZ_GTK_PUBLIC gboolean vz_machine_view_get_captures_system_keys(VzMachineView *view);

/**
 * vz_machine_view_set_automatically_reconfigures_display:
 * @view: a view
 * @automatic: whether the guest is asked for the widget's size, in pixels of the monitor, whenever that changes
 *
 * Property "automatically-reconfigures-display", at first %FALSE.
 */
VZ_GTK_PUBLIC void vz_machine_view_set_automatically_reconfigures_display(VzMachineView *view, gboolean automatic);
VZ_GTK_PUBLIC gboolean vz_machine_view_get_automatically_reconfigures_display(VzMachineView *view);

/**
 * vz_machine_view_set_shares_clipboard:
 * @view: a view
 * @shares: whether what is copied on the desktop can be pasted in the guest, and the other way round
 *
 * Property "shares-clipboard", at first %TRUE; it makes a difference for a machine that shares its clipboard
 * (`vz/clipboard.h`). Content travels when it is pasted; the guest hears of what the desktop has, and may change it,
 * only while the view has the focus.
 */
VZ_GTK_PUBLIC void vz_machine_view_set_shares_clipboard(VzMachineView *view, gboolean shares);
VZ_GTK_PUBLIC gboolean vz_machine_view_get_shares_clipboard(VzMachineView *view);

/**
 * vz_machine_view_send_file:
 * @view: a view
 * @file: a regular file of this computer
 * @error: what is wrong with it
 *
 * Send a file to the guest's user, by its SPICE agent, which puts it where it has been told to, as a rule among the
 * downloads. Files that are dropped on the view are sent so. The signal "file-sent" tells when it is over.
 *
 * Returns: whether it is on its way
 */
VZ_GTK_PUBLIC gboolean vz_machine_view_send_file(VzMachineView *view, GFile *file, GError **error);

/**
 * vz_machine_view_cancel_files:
 * @view: a view
 *
 * None of those that are on their way is to arrive.
 */
VZ_GTK_PUBLIC void vz_machine_view_cancel_files(VzMachineView *view);

/**
 * vz_machine_view_get_files_pending:
 * @view: a view
 *
 * Returns: how many files are on their way (property "files-pending")
 */
VZ_GTK_PUBLIC guint vz_machine_view_get_files_pending(VzMachineView *view);

/**
 * vz_machine_view_get_files_fraction:
 * @view: a view
 *
 * Returns: how much of them has arrived, from 0 to 1 (property "files-fraction")
 */
VZ_GTK_PUBLIC double vz_machine_view_get_files_fraction(VzMachineView *view);

/**
 * vz_machine_view_get_pointer_captured:
 * @view: a view
 *
 * Returns: whether the user's pointer is held for the guest's mouse (property "pointer-captured")
 */
VZ_GTK_PUBLIC gboolean vz_machine_view_get_pointer_captured(VzMachineView *view);

/**
 * vz_machine_view_get_display_count:
 * @view: a view
 *
 * Returns: how many displays the machine's graphics device has; 0: not connected
 */
VZ_GTK_PUBLIC guint vz_machine_view_get_display_count(VzMachineView *view);

/**
 * vz_machine_view_send_keys:
 * @view: a view
 * @keys: (array length=count): USB usages as in `vz/input.h`: 0x000700e0 is the left Ctrl key
 * @count: of them
 *
 * Press keys one after the other, and release them the other way round: Ctrl+Alt+Delete and the like.
 */
VZ_GTK_PUBLIC void vz_machine_view_send_keys(VzMachineView *view, const guint32 *keys, gsize count);

/**
 * vz_machine_view_get_texture:
 * @view: a view
 *
 * Returns: (transfer full) (nullable): the picture as it is now, without the pointer; %NULL: nothing is shown
 */
VZ_GTK_PUBLIC GdkTexture *vz_machine_view_get_texture(VzMachineView *view);

G_END_DECLS
#endif
