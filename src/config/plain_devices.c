/* SPDX-License-Identifier: MIT */
/* Devices that are little more than there: entropy, balloon. */
#include "config/config_impl.h"

OBJECT_DEFINE_COUNTED(entropy_device);
OBJECT_DEFINE_COUNTED(balloon_device);

struct vz_entropy_device *
vz_virtio_entropy_device_new(const struct vz_virtio_entropy_options *options, struct vz_error *err)
{
    struct vz_virtio_entropy_options o = VZ_VIRTIO_ENTROPY_OPTIONS_INIT;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    return object_new(sizeof(struct vz_entropy_device), NULL, err);
}

struct vz_balloon_device *
vz_virtio_balloon_device_new(const struct vz_virtio_balloon_options *options, struct vz_error *err)
{
    struct vz_virtio_balloon_options o = VZ_VIRTIO_BALLOON_OPTIONS_INIT;
    struct vz_balloon_device *d;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    d = object_new(sizeof(*d), NULL, err);
    if (d)
        d->options = o;
    return d;
}
