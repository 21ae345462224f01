/* SPDX-License-Identifier: MIT */
#include "virtio/virtio_bell.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "virtio/virtio.h"

static void rang(void *arg, unsigned events)
{
    struct virtio_bell *b = arg;
    eventfd_t ignored;

    if (eventfd_read(b->bell.fd, &ignored) == 0)
        virtio_notified(b->dev, b->queue);
}

/* 0 or -1. */
static int attach(struct virtio_bell *b, struct virtio_dev *dev, struct bus_range *range)
{
    bool added;

    if (loop_fd_add(dev->loop, b->bell.fd, LOOP_READ, rang, b, &b->watch) < 0)
        return -1;
    pthread_mutex_lock(dev->lock);
    added = bus_bell_add(range->dev->bus, range, &b->bell);
    pthread_mutex_unlock(dev->lock);
    if (!added)
        loop_fd_remove(b->watch);
    return added ? 0 : -1;
}

void virtio_bell_start(struct virtio_bell *b, struct virtio_dev *dev, unsigned queue,
                       struct bus_range *range, uint64_t off)
{
    if (b->dev || !bus_has_bells(range->dev->bus))
        return;
    *b = (struct virtio_bell){.dev = dev, .queue = queue, .bell.off = off};
    b->bell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->bell.fd >= 0 && attach(b, dev, range) == 0)
        return;
    if (b->bell.fd >= 0)
        close(b->bell.fd);
    b->dev = NULL;
}

void virtio_bell_stop(struct virtio_bell *b, struct bus_range *range)
{
    if (!b->dev)
        return;
    pthread_mutex_lock(b->dev->lock);
    bus_bell_remove(range->dev->bus, range, &b->bell);
    pthread_mutex_unlock(b->dev->lock);
    loop_fd_remove(b->watch);
    close(b->bell.fd);
    b->dev = NULL;
}
