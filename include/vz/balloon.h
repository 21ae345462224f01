/* SPDX-License-Identifier: MIT */
/* A balloon in the guest's memory
 * Apple's:  it gives pages back to the host when asked to..
 * Lifetime: counted. Threads: any; does not change once made. */
#ifndef VZ_BALLOON_H
#define VZ_BALLOON_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

VZ_DECLARE_COUNTED(balloon_device);

struct vz_virtio_balloon_options { /* start from VZ_VIRTIO_BALLOON_OPTIONS_INIT */
    size_t size;
};
#define VZ_VIRTIO_BALLOON_OPTIONS_INIT {.size = sizeof(struct vz_virtio_balloon_options)}

/**
 * Describe the virtio device. VZVirtioTraditionalMemoryBalloonDeviceConfiguration:At most one per machine; vz_machine_set_memory_target() moves it.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (options of an unknown size) or
 * VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_balloon_device *
vz_virtio_balloon_device_new(const struct vz_virtio_balloon_options *options, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
