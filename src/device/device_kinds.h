/* SPDX-License-Identifier: MIT */
/* The kinds of devices, each in x_kind.c. Which of them a machine can have is the board's to say. */
#ifndef VZ_DEVICE_DEVICE_KINDS_H
#define VZ_DEVICE_DEVICE_KINDS_H

#include "device/device_kind.h"

extern const struct device_kind balloon_kind, console_kind, disk_kind, entropy_kind, net_kind,
    uart_kind, virtio_serial_kind, vsock_kind;

#endif
