/* SPDX-License-Identifier: MIT */
/* The list of virtio devices. */
#include "virtio/balloon.h"
#include "virtio/virtio_console.h"
#include "virtio/virtio.h"
#include "virtio/vsock.h"

const struct virtio_ops *const virtio_devices[] = {
    &virtio_balloon_ops,
    &virtio_blk_ops,
    &virtio_console_ops,
    &virtio_net_ops,
    &virtio_rng_ops,
    &virtio_vsock_ops,
    NULL,
};
