/* SPDX-License-Identifier: MIT */
/* libusb when it is needed: see usb_library.h. */
#include "usbhost/usb_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

#define NAME "libusb-1.0.so.0"

/* Mutable and of the whole process, as the library is: whoever loads it finds the same functions. */
struct usb_library libusb;
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

static int find_functions(void *library, struct usb_library *ret, struct vz_error *err)
{
#define X(name)                                                                                      \
    *(void **)&ret->name = dlsym(library, "libusb_" #name);                                          \
    if (!ret->name)                                                                                  \
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,                                         \
                         "USB devices of the host: this " NAME " has no libusb_" #name "()");
    USB_FUNCTIONS(X)
#undef X
    return 0;
}

static int load_locked(struct vz_error *err)
{
    struct usb_library found;
    void *library;
    int r;

    if (libusb.init)
        return 0;
    library = dlopen(NAME, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "USB devices of the host need libusb (Debian: libusb-1.0-0): %s", dlerror());
    r = find_functions(library, &found, err);
    if (r < 0)
        dlclose(library);
    else
        libusb = found;
    return r;
}

int usb_library_load(struct vz_error *err)
{
    int r;

    pthread_mutex_lock(&loading);
    r = load_locked(err);
    pthread_mutex_unlock(&loading);
    return r;
}
