/* SPDX-License-Identifier: MIT */
/* The host's end of a serial or console port while a machine runs: its attachment, opened. */
#ifndef VZ_DEVICE_LINE_H
#define VZ_DEVICE_LINE_H

#include "base/compiler.h"

struct char_dev;
struct loop;
struct virtio_dev;
struct vz_config;
struct vz_error;
struct vz_serial_attachment;

struct line {
    struct char_dev *dev; /* NULL: not opened */
    bool is_stdio;
    /* Whose line it is: port of *console (once the board is there), or with NULL the UART's. */
    struct virtio_dev **console, *own_console;
    unsigned port;
};

/* a may be NULL: nowhere. *lost goes up when output is lost. line_close() also after a failure. 0
 * or -errno. */
int line_open(struct line *l, struct loop *loop, const struct vz_config *c,
              const struct vz_serial_attachment *a, _Atomic unsigned *lost, struct vz_error *err)
    must_check;
/* The loop is not running. */
void line_close(struct line *l);

#endif
