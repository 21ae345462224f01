/* SPDX-License-Identifier: MIT */
/* A notification address of a device by an eventfd, which the backend signals when the guest writes
 * there: the vCPU does not stop for it. Served on the loop. What the guest wrote is not told. */
#ifndef VZ_BUS_BELL_H
#define VZ_BUS_BELL_H

#include "bus/bus.h"

struct loop;
struct loop_fd;

struct bell {
    struct bus_range *range; /* NULL: there is none */
    struct loop_fd *watch;
    struct bus_bell bell;
    void (*rang)(struct bell *b); /* loop thread */
};

/* Loop thread, or while the loop does not run; the lock of range's device not held. Zero at first. Does
 * nothing when there is one, or where the backend has no such thing: then writes come to range's
 * handler. off: in range. */
void bell_start(struct bell *b, struct loop *loop, struct bus_range *range, uint64_t off,
                void (*rang)(struct bell *b));
void bell_stop(struct bell *b);

#endif
