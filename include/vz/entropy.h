/* SPDX-License-Identifier: MIT */
/* A source of random numbers for the guest (/dev/hwrng).
 * Apple's: VZVirtioEntropyDeviceConfiguration.
 * Lifetime: counted. Threads: any; does not change once made. */
#ifndef VZ_ENTROPY_H
#define VZ_ENTROPY_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

VZ_DECLARE_COUNTED(entropy_device);

struct vz_virtio_entropy_options { /* start from VZ_VIRTIO_ENTROPY_OPTIONS_INIT */
    size_t size;
};
#define VZ_VIRTIO_ENTROPY_OPTIONS_INIT VZ_INIT_(struct vz_virtio_entropy_options, )

/**
 * Describe the virtio device. Any number of them; one is enough.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (options of an unknown size) or
 * VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_entropy_device *
vz_virtio_entropy_device_new(const struct vz_virtio_entropy_options *options, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
