/* SPDX-License-Identifier: MIT */
/* A balloon in the guest's memory: it takes pages from the guest, which the host gets back, and
 * returns them when asked to. vz_machine_set_memory_target() moves it (<vz/runtime.h>). Apple's:
 * VZVirtioTraditionalMemoryBalloonDeviceConfiguration.
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
    uint64_t target_size;  /* bytes the guest is to have left from the start; 0: all its memory */
    uint64_t minimum_size; /* bytes that no target goes below; 0: vz_config_memory_min() */
    bool no_free_page_reporting; /* do not let the guest tell which pages it does not use: with it
                                  * memory goes back to the host by itself */
    bool no_deflate_on_oom; /* a guest out of memory may not take pages back by itself */
};
#define VZ_VIRTIO_BALLOON_OPTIONS_INIT VZ_INIT_(struct vz_virtio_balloon_options, )

/**
 * Describe the virtio device. At most one per machine.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (options of an unknown size) or
 * VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_balloon_device *
vz_virtio_balloon_device_new(const struct vz_virtio_balloon_options *options, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
