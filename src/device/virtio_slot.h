/* SPDX-License-Identifier: MIT */
/* What the kinds whose model is a virtio device on PCI have in common: slot->model is its struct
 * virtio_dev. */
#ifndef VZ_DEVICE_VIRTIO_SLOT_H
#define VZ_DEVICE_VIRTIO_SLOT_H

#include "device/device_kind.h"

struct virtio_ops;
struct virtio_shared_memory;

/* For create(): make the device at the slot's place. options: for ops->init; queues: 0: the
 * device's default. 0 or -errno. */
int virtio_slot_create(struct device_slot *s, const struct virtio_ops *ops, const void *options,
                       unsigned queues, struct vz_error *err) must_check;

/* The same with shared memory. */
int virtio_slot_create_shared(struct device_slot *s, const struct virtio_ops *ops, const void *options, unsigned queues,
                              const struct virtio_shared_memory *shared, struct vz_error *err) must_check;

void virtio_slot_quiesce(struct device_slot *s);
void virtio_slot_resume(struct device_slot *s);
void virtio_slot_remove(struct device_slot *s);

/* The members of a virtio kind's table that are always the same. */
#define VIRTIO_SLOT                                                                                \
    .bus = DEVICE_ON_PCI, .quiesce = virtio_slot_quiesce, .resume = virtio_slot_resume,            \
    .remove = virtio_slot_remove

#endif
