/* SPDX-License-Identifier: MIT */
/* Serial ports: COM1, which a PC always has, and virtio ones, console devices with one port. */
#include <string.h>

#include "base/error.h"
#include "chipset/chipset.h"
#include "config/objects.h"
#include "device/console_kind.h"
#include "device/device_kinds.h"
#include "device/line.h"
#include "device/virtio_slot.h"
#include "virtio/virtio_console.h"

static int serial_open(struct device_slot *s, struct vz_error *err)
{
    const struct vz_serial_port *p = s->config;
    int r = lines_allocate(s, 1, err);

    return r ? r : lines_open(s, 0, p ? p->attachment : NULL, err);
}

/* ---- COM1 ----------------------------------------------------------------------------------- */

static int uart_kind_create(struct device_slot *s, struct vz_error *err)
{
    const struct uart_options o = {.port = UART_COM1_PORT, .gsi = UART_COM1_GSI,
                                   .line = lines_dev(s, 0), .loop = s->env->loop,
                                   .restored = s->env->restored};
    struct uart *uart;
    int r = uart_create(s->env->bus, &o, &uart);

    if (r < 0)
        return error_set(err, -r, VZ_ERROR_INTERNAL, "cannot make COM1: %s", strerror(-r));
    s->model = uart;
    return 0;
}

static void set_uart_line(struct device_slot *s, unsigned i, struct char_dev *line)
{
    uart_set_line(s->model, line);
}

static int uart_change(struct device_slot *s, unsigned part, void *attachment,
                       struct vz_error *err)
{
    return lines_change(s, part, attachment, set_uart_line, err);
}

/* A UART knows nothing of windows. */
static int uart_resize(struct device_slot *s, unsigned part, uint16_t columns, uint16_t rows,
                       struct vz_error *err)
{
    return lines_resize(s, part, columns, rows, NULL, err);
}

const struct device_kind uart_kind = {
    .type = &config_uart_type, .always = true, .bus = DEVICE_ON_PORTS, .model = "chipset/uart",
    .open = serial_open, .create = uart_kind_create, .change = uart_change,
    .resize = uart_resize, .send = lines_send, .drain = lines_drain, .path = lines_path,
    .close = lines_close};

/* ---- Virtio --------------------------------------------------------------------------------- */

static int virtio_serial_create(struct device_slot *s, struct vz_error *err)
{
    const struct console_port_options port = {.console = true, .line = lines_dev(s, 0)};
    const struct console_options o = {.port = &port, .port_count = 1};

    return virtio_slot_create(s, &virtio_console_ops, &o, console_queues(&o), err);
}

const struct device_kind virtio_serial_kind = {
    .type = &config_virtio_serial_type, VIRTIO_SLOT, .model = "virtio/virtio_console",
    .open = serial_open, .create = virtio_serial_create,
    .change = console_kind_change, .resize = console_kind_resize, .send = lines_send,
    .drain = lines_drain, .path = lines_path, .close = lines_close};
