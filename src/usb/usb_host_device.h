/* SPDX-License-Identifier: MIT */
/* A USB device of the host as a guest's: what the guest asks of it goes on to the device (usbhost/usb_host.h), but
 * for what the host's USB stack has to know of and so does itself, and its address, which is the controller's.
 * Threads as in usb.h. */
#ifndef VZ_USB_USB_HOST_DEVICE_H
#define VZ_USB_USB_HOST_DEVICE_H

#include "usb/usb.h"
#include "usbhost/usb_host.h"

struct vz_error;

struct usb_host_device_options {
    struct usb_host *host;
    void (*lost)(void *arg); /* once: the device is gone. From the loop; may be NULL */
    void *arg;
};

/* It belongs to the bus until it is taken away: usb_dev_destroy(), which closes the host's end. 0, or -errno with err
 * filled in, and the host's end is the caller's still. */
int usb_host_device_create(struct bus *bus, uint32_t instance, const struct usb_host_device_options *o,
                           struct usb_dev **ret, struct vz_error *err) must_check;

/* It is out of its port: give it back to the host. done(arg) comes from the loop, or from inside when the device is
 * gone. */
void usb_host_device_give_back(struct usb_dev *d, void (*done)(void *arg), void *arg);
bool usb_host_device_is_lost(const struct usb_dev *d);

#endif
