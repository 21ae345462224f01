/* SPDX-License-Identifier: MIT */
/* A build without libusb. */
#include <errno.h>

#include "base/error.h"
#include "usbhost/usb_host.h"

int usb_host_open(const struct usb_host_options *o, struct usb_host **ret, struct vz_error *err)
{
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, "this vz was built without libusb");
}

void usb_host_prepare(void) {}
