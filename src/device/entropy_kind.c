/* SPDX-License-Identifier: MIT */
/* Entropy: a device without options and without a host's end. The smallest kind. */
#include "config/objects.h"
#include "device/device_kinds.h"
#include "device/virtio_slot.h"
#include "virtio/virtio.h"

static int entropy_create(struct device_slot *s, struct vz_error *err)
{
    return virtio_slot_create(s, &virtio_rng_ops, NULL, 0, err);
}

const struct device_kind entropy_kind = {
    .type = &config_virtio_entropy_type, VIRTIO_SLOT, .model = "virtio/rng",
    .create = entropy_create};
