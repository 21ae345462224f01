/* SPDX-License-Identifier: MIT */
/* The file system device (VIRTIO 1.2 section 5.11): requests of FUSE, which a share of the host's serves on
 * threads of its own (share/share.h). The first queue is for what must not wait behind requests. */
#ifndef VZ_VIRTIO_VIRTIO_FS_H
#define VZ_VIRTIO_VIRTIO_FS_H

#include "share/share.h"
#include "virtio/virtio.h"

#define VIRTIO_FS_TAG_LEN 36u
#define VIRTIO_FS_REQUEST_QUEUES_MAX 8u

/* Where the share has a window (share_set_window()), it is virtio_params.shared, and destroyed with the device. */
struct virtio_fs_options {
    struct share *share;          /* outlives the device */
    char tag[VIRTIO_FS_TAG_LEN];  /* padded with NULs; need not end with one */
};

/* A saved state of the machine has been loaded, what the share has of it included: go on with that session. Optional:
 * else it is when the device starts. No CPU runs. */
void virtio_fs_all_loaded(struct virtio_dev *dev);

#endif
