/* SPDX-License-Identifier: MIT */
/* Which USB devices the host has, as Linux shows them in /sys/bus/usb/devices. Hubs are not counted. */
#ifndef VZ_USBHOST_USB_FIND_H
#define VZ_USBHOST_USB_FIND_H

#include "base/usb_name.h"

struct usb_found {
    char port[USB_PORT_TEXT_MAX];
    unsigned bus, address;
    uint16_t vendor, product;
    unsigned mbit;        /* a second: 1 (1.5), 12, 480, 5000, ... */
    char maker[64], name[64]; /* as the device says, what is no printable ASCII replaced; may be empty */
};

#define USB_NODE_MAX 32
/* Its node: "/dev/bus/usb/001/004". */
void usb_found_node(const struct usb_found *f, char ret[USB_NODE_MAX]);

/* Call fn for each, in the order of their ports. folder: NULL, but in tests. 0; or -errno with err: the host shows
 * none. */
int usb_find_each(const char *folder, void (*fn)(void *arg, const struct usb_found *f), void *arg,
                  struct vz_error *err) must_check;

/* The only one of that name. 0, or -ENOENT with err (VZ_ERROR_DEVICE_NOT_FOUND). */
int usb_find(const char *folder, const struct usb_name *name, struct usb_found *ret, struct vz_error *err) must_check;

#endif
