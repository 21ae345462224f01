/* SPDX-License-Identifier: MIT */
/* Stream sockets between host and guest without a network (vsock).
 * Apple's: VZVirtioSocketDeviceConfiguration.
 * Lifetime: counted. Threads: any; does not change once made. */
#ifndef VZ_SOCKET_H
#define VZ_SOCKET_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

VZ_DECLARE_COUNTED(socket_device);

struct vz_virtio_socket_options { /* start from VZ_VIRTIO_SOCKET_OPTIONS_INIT */
    size_t size;
};
#define VZ_VIRTIO_SOCKET_OPTIONS_INIT {.size = sizeof(struct vz_virtio_socket_options)}

/**
 * Describe the virtio device. At most one per machine; vz_machine_socket_listen() and vz_machine_socket_connect() use it.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (options of an unknown size) or
 * VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_socket_device *
vz_virtio_socket_device_new(const struct vz_virtio_socket_options *options, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
