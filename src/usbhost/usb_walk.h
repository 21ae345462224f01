/* SPDX-License-Identifier: MIT */
/* Going through descriptors that nobody has checked. */
#ifndef VZ_USBHOST_USB_WALK_H
#define VZ_USBHOST_USB_WALK_H

#include "base/compiler.h"

/* The one at *at, which is then behind it. NULL: there is none, or not all of it, in len bytes. */
static inline const uint8_t *usb_walk(const uint8_t *bytes, size_t len, size_t *at)
{
    const uint8_t *d = bytes + *at;

    if (len - *at < 2 || d[0] < 2 || d[0] > len - *at)
        return NULL;
    *at += d[0];
    return d;
}

#endif
