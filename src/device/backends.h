/* SPDX-License-Identifier: MIT */
/* What a configuration's attachments are while a machine runs: open files, networks, lines; and the
 * virtio devices that have them. */
#ifndef VZ_DEVICE_BACKENDS_H
#define VZ_DEVICE_BACKENDS_H

#include "base/compiler.h"
#include "board/pc/board.h"
#include "device/line.h"

struct backends;
struct blk;
struct net;
struct uart;
struct vz_config;
struct vz_error;
struct vz_guest_address;
struct vz_network_attachment;

/* What happens at the ends, on the loop thread; in the middle of what they do, so it is for telling
 * somebody. Devices are counted as in the configuration. */
struct backends_events {
    /* The guest opened or closed a port of a console device. */
    void (*port_opened)(void *arg, unsigned device, unsigned port, bool open);
    /* A network is gone: backends_reap() soon. */
    void (*network_lost)(void *arg, unsigned device, const struct vz_error *err);
    /* The guest behind NAT has another address. */
    void (*guest_address)(void *arg, unsigned device, const struct vz_guest_address *address);
    void *arg;
};

struct backends_console {
    struct backends *backends;
    unsigned device;
    struct virtio_dev *dev;
    struct line *line; /* of its first port; the others follow */
};

struct backends_card {
    struct backends *backends;
    unsigned index;
    struct virtio_dev *dev;
    struct net *net; /* NULL: no link */
    struct vz_network_attachment *attachment; /* what net is; a reference */
    int lost;        /* the -errno that ended net */
};

struct backends {
    const struct vz_config *config; /* the caller's, outlives it */
    struct loop *loop;              /* likewise */
    struct backends_events events;
    struct line *line;  /* of the serial ports in their order, one of nothing, those of console ports */
    unsigned line_count;
    _Atomic unsigned lost_output; /* how many lines have lost some, those replaced included */
    struct blk **blk;   /* of the storage devices */
    struct backends_card *card;
    struct backends_console *console;
    struct socket_forwards *forwards; /* NULL: none */
    struct virtio_dev *balloon, *socket; /* NULL: none. The board's, as long as it is there */
    struct board_virtio device[BOARD_VIRTIO_MAX];
    unsigned device_count;
    void *options[BOARD_VIRTIO_MAX + 1]; /* what device[].options points to; freed in the end */
    unsigned option_count;
};

/* Open everything, and list the devices for the board. config, loop and events are set;
 * backends_close() follows in any case. The loop does not run. 0 or -errno. */
int backends_open(struct backends *b, struct vz_error *err) must_check;

/* Once the board has made the devices. 0 or -errno. */
int backends_start(struct backends *b, struct vz_error *err) must_check;

/* After the board is gone. */
void backends_close(struct backends *b);

/* ---- While the machine runs: loop thread, or while the loop does not run -------------------- */

/* Called by backends_start(). */
void backends_watch_cards(struct backends *b);

/* Let go of networks that were lost. Not from inside an event. */
void backends_reap(struct backends *b);

/* a: a reference is taken; NULL: pull the plug. 0; or -errno, and the network before is back, if
 * that was possible. */
int backends_set_network(struct backends *b, unsigned i, struct vz_network_attachment *a,
                         struct vz_error *err) must_check;

/* False: the card is not behind NAT. */
bool backends_guest_address(const struct backends_card *card, struct vz_guest_address *ret);

/* NULL: there is no such port. */
struct line *backends_serial_line(struct backends *b, unsigned index);
struct line *backends_console_line(struct backends *b, unsigned device, unsigned port);

/* Have a port lead to a (NULL: nowhere). uart: who has the line if no console has it. 0; or -errno,
 * and nothing has changed. */
int backends_set_line(struct backends *b, struct line *l, struct uart *uart,
                      struct vz_serial_attachment *a, struct vz_error *err) must_check;

/* How large the terminal is at the host's end; nothing for a UART. */
void backends_set_window(struct line *l, uint16_t columns, uint16_t rows);
void backends_set_stdio_window(struct backends *b, uint16_t columns, uint16_t rows);

/* The line of the UART. */
struct char_dev *backends_com1(const struct backends *b);

#endif
