/* SPDX-License-Identifier: MIT */
#include "bus/bell.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "loop/loop.h"

static void rang(void *arg, unsigned events)
{
    struct bell *b = arg;
    eventfd_t ignored;

    if (eventfd_read(b->bell.fd, &ignored) == 0)
        b->rang(b);
}

/* 0 or -1. */
static int attach(struct bell *b, struct loop *loop, struct bus_range *range)
{
    bool added;

    if (loop_fd_add(loop, b->bell.fd, LOOP_READ, rang, b, &b->watch) < 0)
        return -1;
    device_lock(range->dev);
    added = bus_bell_add(range->dev->bus, range, &b->bell);
    device_unlock(range->dev);
    if (!added)
        loop_fd_remove(b->watch);
    return added ? 0 : -1;
}

void bell_start(struct bell *b, struct loop *loop, struct bus_range *range, uint64_t off,
                void (*fn)(struct bell *b))
{
    if (b->range || !bus_has_bells(range->dev->bus))
        return;
    *b = (struct bell){.range = range, .bell.off = off, .rang = fn};
    b->bell.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->bell.fd >= 0 && attach(b, loop, range) == 0)
        return;
    if (b->bell.fd >= 0)
        close(b->bell.fd);
    b->range = NULL;
}

void bell_stop(struct bell *b)
{
    if (!b->range)
        return;
    device_lock(b->range->dev);
    bus_bell_remove(b->range->dev->bus, b->range, &b->bell);
    device_unlock(b->range->dev);
    loop_fd_remove(b->watch);
    close(b->bell.fd);
    b->range = NULL;
}
