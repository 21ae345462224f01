/* SPDX-License-Identifier: MIT */
/* What a virtio block device is made of. */
#ifndef VZ_VIRTIO_VIRTIO_BLK_H
#define VZ_VIRTIO_VIRTIO_BLK_H

#include "base/compiler.h"

struct blk;

#define VIRTIO_BLK_IDENTIFIER_MAX 20u
#define VIRTIO_BLK_QUEUES_MAX     8u

/* virtio_params.options of virtio_blk_ops. */
struct virtio_blk_options {
    struct blk *blk;  /* on the device's loop; the caller's, outlives the device, which attaches */
    bool read_only;   /* also where the disk could be written */
    uint32_t block_size; /* 512, 4096, or 0 for the disk's own, which is the least */
    /* What the guest finds in /sys/block/vdX/serial: ASCII, NUL-terminated; empty: none. */
    char identifier[VIRTIO_BLK_IDENTIFIER_MAX + 1];
};

#endif
