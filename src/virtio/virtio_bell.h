/* SPDX-License-Identifier: MIT */
/* A queue's notifications by an eventfd, which the backend signals when the guest writes to the
 * queue's notification address: the vCPU does not stop for it. Served on the loop, like all else. */
#ifndef VZ_VIRTIO_BELL_H
#define VZ_VIRTIO_BELL_H

#include "bus/bus.h"

struct loop_fd;
struct virtio_dev;

struct virtio_bell {
    struct virtio_dev *dev; /* NULL: there is none */
    unsigned queue;
    struct loop_fd *watch;
    struct bus_bell bell;
};

/* Loop thread, or while the loop does not run; the transport's lock not held. Zero at first. Does
 * nothing when there is one, or where the backend has no such thing: then writes come to range's
 * handler. off: the notification address, in range. */
void virtio_bell_start(struct virtio_bell *b, struct virtio_dev *dev, unsigned queue,
                       struct bus_range *range, uint64_t off);
void virtio_bell_stop(struct virtio_bell *b, struct bus_range *range);

#endif
