/* SPDX-License-Identifier: MIT */
/* The kinds of devices, each in x_kind.c. */
#ifndef VZ_DEVICE_DEVICE_KINDS_H
#define VZ_DEVICE_DEVICE_KINDS_H

#include "device/device_kind.h"
#include "device_lists.h"

#define DEVICE_KIND_DECLARE(name) extern const struct device_kind name##_kind;
DEVICE_KINDS(DEVICE_KIND_DECLARE)

#endif
