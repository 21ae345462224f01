/* SPDX-License-Identifier: MIT */
/* Devices that are there or not: entropy, balloon, socket. */
#include "api/config_impl.h"

OBJECT_DEFINE_COUNTED(entropy_device);
OBJECT_DEFINE_COUNTED(balloon_device);
OBJECT_DEFINE_COUNTED(socket_device);

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

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    return object_new(sizeof(struct vz_balloon_device), NULL, err);
}

struct vz_socket_device *
vz_virtio_socket_device_new(const struct vz_virtio_socket_options *options, struct vz_error *err)
{
    struct vz_virtio_socket_options o = VZ_VIRTIO_SOCKET_OPTIONS_INIT;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    return object_new(sizeof(struct vz_socket_device), NULL, err);
}
