/* SPDX-License-Identifier: MIT */
/* libusb, loaded for the first device of the host that a machine gets: few machines have one. */
#ifndef VZ_USBHOST_USB_LIBRARY_H
#define VZ_USBHOST_USB_LIBRARY_H

#include <libusb.h>

#include "base/compiler.h"
#include "base/error.h"

/* What is used of it, without the libusb_ before. */
#define USB_FUNCTIONS(X)                                                                             \
    X(alloc_transfer) X(attach_kernel_driver) X(cancel_transfer) X(claim_interface) X(clear_halt) X(close) \
    X(detach_kernel_driver) X(error_name) X(exit) X(free_pollfds) X(free_transfer) X(get_configuration)  \
    X(get_device) X(get_device_speed) X(get_pollfds) X(handle_events_timeout_completed) X(init)           \
    X(kernel_driver_active) X(release_interface) X(reset_device) X(set_configuration)                    \
    X(set_interface_alt_setting) X(set_option) X(set_pollfd_notifiers) X(submit_transfer) X(wrap_sys_device)

struct usb_library {
#define X(name) __typeof__(libusb_##name) *name;
    USB_FUNCTIONS(X)
#undef X
};

/* All of it NULL before usb_library_load() returned 0, the same for ever after. Tests put functions of their own
 * here. */
extern struct usb_library libusb;

/* See late_library_load(). */
int usb_library_load(struct vz_error *err) must_check;

#endif
