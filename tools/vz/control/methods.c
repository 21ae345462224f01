/* SPDX-License-Identifier: MIT */
/* What can be asked of a running machine. docs/control.md says each one's parameters and result. */
#include "control/control.h"

const struct control_method control_methods[] = {
    {"info", method_info},
    {"stats", method_stats},
    {"config", method_config},
    {"subscribe", method_subscribe},
    {"stop", method_stop},
    {"pause", method_pause},
    {"resume", method_resume},
    {"save", method_save},
    {"resize-disk", method_resize_disk},
    {"limit-disk", method_limit_disk},
    {"usb-devices", method_usb_devices},
    {"attach-usb", method_attach_usb},
    {"detach-usb", method_detach_usb},
    {"set-disc", method_set_disc},
    {"share", method_share},
    {"snapshot", method_snapshot},
    {"screen", method_screen},
    {"display", method_display},
    {"view", method_view},
    {"connect", method_connect},
    {"forward", method_forward},
    {"unforward", method_unforward},
    {"auto-forward", method_auto_forward},
    {"guest-ports", method_guest_ports},
    {"console", method_console},
    {"console-window", method_console_window},
    {NULL, NULL},
};
