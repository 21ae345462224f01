/* SPDX-License-Identifier: MIT */
/* What the files of backends.h share. */
#ifndef VZ_DEVICE_BACKENDS_IMPL_H
#define VZ_DEVICE_BACKENDS_IMPL_H

#include "config/config_impl.h"
#include "device/backends.h"

int backends_out_of_memory(struct vz_error *err);

/* Zeroed memory that lives as long as b; NULL without memory. */
void *backends_allocate(struct backends *b, size_t size);

/* Have the board make a device, and leave it in *ret_dev (may be NULL). 0 or -errno. */
int backends_add(struct backends *b, const struct virtio_ops *ops, const void *options,
                 unsigned queues, struct virtio_dev **ret_dev, struct vz_error *err) must_check;

/* backends_net.c, backends_lines.c: open what the configuration says. 0 or -errno. */
int backends_open_card(struct backends *b, unsigned i, struct vz_error *err) must_check;
void backends_close_cards(struct backends *b);
int backends_open_serial_ports(struct backends *b, struct vz_error *err) must_check;
int backends_open_console(struct backends *b, unsigned device, struct vz_error *err) must_check;

#endif
