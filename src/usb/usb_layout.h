/* SPDX-License-Identifier: MIT */
/* What a guest sees of the configurations of a device of the host: all of it that can be passed on. Settings with
 * isochronous endpoints, or with streams (as of USB attached SCSI), are left out, and where such is an interface's
 * first setting, the endpoints are, or the streams. The descriptors are the device's, which is not trusted. */
#ifndef VZ_USB_USB_LAYOUT_H
#define VZ_USB_USB_LAYOUT_H

#include "base/compiler.h"

struct vz_error;

#define USB_LAYOUT_CONFIGS    8u /* as Linux */
#define USB_LAYOUT_INTERFACES 32u
#define USB_LAYOUT_ENDPOINTS  32u /* by usb_ep_index() */

struct usb_layout_config {
    uint8_t value; /* for SET_CONFIGURATION */
    uint16_t len;
    uint8_t *bytes; /* of len, with all of its descriptors */
};

struct usb_layout {
    unsigned count;
    struct usb_layout_config config[USB_LAYOUT_CONFIGS];
    bool without_isochronous, without_streams; /* something was left out */
};

/* bytes: a device descriptor, and the configurations behind it. 0, or -errno with err: nothing can be done with it,
 * or there is no memory. */
int usb_layout_read(const uint8_t *bytes, size_t len, struct usb_layout *ret, struct vz_error *err) must_check;
void usb_layout_fini(struct usb_layout *l);

/* NULL: there is none of that value. */
const struct usb_layout_config *usb_layout_find(const struct usb_layout *l, uint8_t value);
bool usb_layout_has_setting(const struct usb_layout_config *c, unsigned interface, unsigned alt);
/* Of what kind an endpoint is (attributes, 1.. of USB 2.0 9.6.6), with each interface in setting alt[]; 0: it is not
 * there. c may be NULL: there is none. */
void usb_layout_endpoints(const struct usb_layout_config *c, const uint8_t alt[USB_LAYOUT_INTERFACES],
                          uint8_t ret[USB_LAYOUT_ENDPOINTS]);

#endif
