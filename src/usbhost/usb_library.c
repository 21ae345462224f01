/* SPDX-License-Identifier: MIT */
#include "usbhost/usb_library.h"

#include "base/late_library.h"

/* Mutable and of the whole process, as the library is: whoever loads it finds the same functions. */
struct usb_library libusb;

static const char *const names[] = {
#define X(name) "libusb_" #name,
    USB_FUNCTIONS(X)
#undef X
};

int usb_library_load(struct vz_error *err)
{
    static struct late_library library = {.file = "libusb-1.0.so.0",
                                          .needed = "USB devices of the host need libusb (Debian: libusb-1.0-0)",
                                          .names = names,
                                          .functions = &libusb,
                                          .count = ARRAY_SIZE(names),
                                          .lock = PTHREAD_MUTEX_INITIALIZER};

    return late_library_load(&library, err);
}
