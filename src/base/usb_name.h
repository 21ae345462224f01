/* SPDX-License-Identifier: MIT */
/* How a person names a USB device of the host. */
#ifndef VZ_BASE_USB_NAME_H
#define VZ_BASE_USB_NAME_H

#include "base/compiler.h"

struct vz_error;

#define USB_PORT_TEXT_MAX 32 /* with its NUL: "12-1.2.3.4.5.6", as Linux calls it in /sys/bus/usb/devices */

struct usb_name {
    enum {
        USB_NAME_ID,      /* "046d:c52b": vendor and product */
        USB_NAME_PORT,    /* "1-2.3", or with a dot behind the bus too: bus, and the port of each hub on the way. It is
                             the same whatever is plugged in, and after a reset */
        USB_NAME_ADDRESS, /* "001/004", or the path of its node: another one whenever it is plugged in */
    } kind;
    uint16_t vendor, product;
    char port[USB_PORT_TEXT_MAX];
    unsigned bus, address;
};

/* 0, or -EINVAL with err (may be NULL). */
int usb_name_parse(const char *text, struct usb_name *ret, struct vz_error *err) must_check;

#endif
