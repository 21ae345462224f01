/* SPDX-License-Identifier: MIT */
/* The memory balloon; its targets come from whoever runs the machine (virtio/balloon.h). */
#include "config/objects.h"
#include "device/device_kinds.h"
#include "device/virtio_slot.h"
#include "virtio/balloon.h"

static int balloon_create(struct device_slot *s, struct vz_error *err)
{
    const struct vz_balloon_device *d = s->config;
    const struct vz_virtio_balloon_options *from = &d->options;
    const struct balloon_options o = {
        .ram_size = s->env->ram_size,
        .min_size = from->minimum_size ? from->minimum_size : vz_config_memory_min(),
        .no_deflate_on_oom = from->no_deflate_on_oom,
        .no_free_page_reporting = from->no_free_page_reporting};

    return virtio_slot_create(s, &virtio_balloon_ops, &o, 0, err);
}

const struct device_kind balloon_kind = {
    .type = &config_virtio_balloon_type, VIRTIO_SLOT, .model = "virtio/balloon",
    .create = balloon_create};
