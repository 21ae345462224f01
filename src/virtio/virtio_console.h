/* SPDX-License-Identifier: MIT */
/* The console device (VIRTIO 1.2 section 5.3): one port, which Linux calls hvc0, or several with
 * names (/dev/virtio-ports/NAME), each with a line of char/ as the host's end. */
#ifndef VZ_VIRTIO_CONSOLE_H
#define VZ_VIRTIO_CONSOLE_H

#include "virtio/virtio.h"

struct char_dev;

#define CONSOLE_PORTS_MAX 15u
#define CONSOLE_NAME_MAX  63u

struct console_port_options {
    const char *name;      /* copied, at most CONSOLE_NAME_MAX bytes; NULL: none */
    bool console;          /* the guest may use it as a terminal: hvcN */
    struct char_dev *line; /* the caller's, outlives the device; NULL: output is dropped */
};

struct console_options {
    const struct console_port_options *port;
    unsigned port_count; /* 1..CONSOLE_PORTS_MAX */
    /* Without multiport there is one nameless console port, and port_count is 1. */
    bool multiport;
    uint16_t cols, rows; /* of port 0's window; 0: not known */
    /* Optional. Loop thread: the guest opened or closed a port. */
    void (*opened)(void *arg, unsigned port, bool open);
    void *opened_arg;
};

/* virtio_params.queues for port_count ports. */
static inline unsigned console_queues(const struct console_options *o)
{
    return o->multiport ? 2 * (o->port_count + 1) : 2;
}

/* All: loop thread, or while the loop does not run. port < port_count. */

/* The window of a console port has a new size. */
void console_resize(struct virtio_dev *dev, unsigned port, uint16_t cols, uint16_t rows);
/* Replace a port's line; NULL: none. The old one has no client then. */
void console_set_line(struct virtio_dev *dev, unsigned port, struct char_dev *line);
bool console_is_open(const struct virtio_dev *dev, unsigned port); /* by the guest */

#endif
