/* SPDX-License-Identifier: MIT */
/* The kinds of devices, each in x_kind.c. */
#ifndef VZ_DEVICE_DEVICE_KINDS_H
#define VZ_DEVICE_DEVICE_KINDS_H

#include "device/device_kind.h"

/* All of them. Devices on PCI get their places in this order, so a new kind comes last. */
#define DEVICE_KINDS(X)                                                                            \
    X(uart) X(disk) X(net) X(virtio_serial) X(console) X(entropy) X(balloon) X(vsock)

#define DEVICE_KIND_DECLARE(name) extern const struct device_kind name##_kind;
DEVICE_KINDS(DEVICE_KIND_DECLARE)

#endif
