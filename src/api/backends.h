/* SPDX-License-Identifier: MIT */
/* What a configuration's attachments are while a machine runs: open files, networks, lines; and the virtio
 * devices that have them. */
#ifndef VZ_API_BACKENDS_H
#define VZ_API_BACKENDS_H

#include "api/line.h"
#include "base/compiler.h"
#include "board/pc/board.h"

struct backends;
struct blk;
struct vz_config;
struct vz_error;

/* On the loop thread: the guest opened or closed a port of a console device. */
typedef void backends_port_fn(void *arg, unsigned device, unsigned port, bool open);

struct backends_console {
    struct backends *backends;
    unsigned device;
};

struct backends {
    const struct vz_config *config; /* the caller's, outlives it */
    struct loop *loop;              /* likewise */
    backends_port_fn *port_opened;
    void *port_opened_arg;
    struct line *line;  /* of the serial ports in their order, one of nothing, those of console ports */
    unsigned line_count;
    struct blk **blk;   /* of the storage devices */
    struct net **net;   /* of the network devices; NULL: no link */
    struct backends_console *console;
    struct socket_forwards *forwards; /* NULL: none */
    struct virtio_dev *balloon, *socket; /* NULL: none. The board's, as long as it is there */
    struct board_virtio device[BOARD_VIRTIO_MAX];
    unsigned device_count;
    void *options[BOARD_VIRTIO_MAX + 1]; /* what device[].options points to; freed in the end */
    unsigned option_count;
};

/* Open everything, and list the devices for the board. config, loop and port_opened are set;
 * backends_close() follows in any case. The loop does not run. 0 or -errno. */
int backends_open(struct backends *b, struct vz_error *err) must_check;

/* Once the board has made the devices. 0 or -errno. */
int backends_start(struct backends *b, struct vz_error *err) must_check;

/* After the board is gone. */
void backends_close(struct backends *b);

/* The line of the UART. */
struct char_dev *backends_com1(const struct backends *b);

#endif
