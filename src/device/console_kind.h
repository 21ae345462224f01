/* SPDX-License-Identifier: MIT */
/* What the kinds have in common whose model is a virtio console: console devices and virtio serial
 * ports. Members of the same names of struct device_kind. */
#ifndef VZ_DEVICE_CONSOLE_KIND_H
#define VZ_DEVICE_CONSOLE_KIND_H

#include "device/device_kind.h"

int console_kind_change(struct device_slot *s, unsigned part, void *attachment,
                        struct vz_error *err);
int console_kind_resize(struct device_slot *s, unsigned part, uint16_t columns, uint16_t rows,
                        struct vz_error *err);

#endif
