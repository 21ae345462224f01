/* SPDX-License-Identifier: MIT */
/* The GPU device (VIRTIO 1.2 section 5.7), in two dimensions: the guest draws in its own memory and says
 * what to show, and the device copies that into a display (display/display.h).
 *
 * What a guest can make us take is bounded: pixels by the display's memory_max, and GPU_RESOURCES_MAX
 * resources with GPU_ENTRIES_MAX pieces of guest memory together. Beyond that commands fail with
 * OUT_OF_MEMORY, and the log says so once.
 *
 * Threads: loop thread, or while the loop does not run. */
#ifndef VZ_VIRTIO_VIRTIO_GPU_H
#define VZ_VIRTIO_VIRTIO_GPU_H

#include "display/display.h"
#include "virtio/virtio.h"

#define GPU_RESOURCES_MAX 1024u
#define GPU_ENTRIES_MAX   262144u
/* Linux needs up to 32400 for a picture of 7680x4320 in scattered pages. */
#define GPU_RESOURCE_ENTRIES_MAX 65536u

struct virtio_gpu_options {
    struct display *display; /* outlives the device; its scanouts are the device's */
};

/* The display's user wants another size: the guest is told, and follows when and if it likes. */
void virtio_gpu_set_wish(struct virtio_dev *dev, unsigned scanout, struct display_size size);
/* Somebody looks from now on: what was not copied for nobody is. After each display_view_new(). */
void virtio_gpu_watched(struct virtio_dev *dev);

#endif
