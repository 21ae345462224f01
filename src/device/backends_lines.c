/* SPDX-License-Identifier: MIT */
/* Lines behind a machine's serial and console ports: opened, replaced, and how large their windows
 * are. */
#include <errno.h>

#include "base/error.h"
#include "base/log.h"
#include "char/char.h"
#include "device/backends_impl.h"
#include "virtio/virtio_console.h"

/* A reader that takes nothing for this long does not get the last output of a line that is
 * replaced. */
#define DRAIN_TIMEOUT_MS 100

static int open_line(struct backends *b, struct vz_serial_attachment *a, struct line **ret,
                     struct vz_error *err)
{
    *ret = &b->line[b->line_count++];
    return line_open(*ret, b->loop, b->config, a, &b->lost_output, err);
}

static int add_virtio_serial(struct backends *b, struct line *l, struct vz_error *err)
{
    struct {
        struct console_options console;
        struct console_port_options port;
    } *o = backends_allocate(b, sizeof(*o));

    if (!o)
        return backends_out_of_memory(err);
    o->port = (struct console_port_options){.console = true, .line = l->dev};
    o->console = (struct console_options){.port = &o->port, .port_count = 1};
    l->console = &l->own_console;
    return backends_add(b, &virtio_console_ops, &o->console, console_queues(&o->console),
                        &l->own_console, err);
}

/* All lines first, so that the indexes are those of the configuration. */
int backends_open_serial_ports(struct backends *b, struct vz_error *err)
{
    const struct vz_config *c = b->config;
    struct line *l;
    int r = 0;

    for (unsigned i = 0; !r && i < c->serial_ports.count; i++) {
        const struct vz_serial_port *p = config_serial_port(c, i);

        r = open_line(b, p->attachment, &l, err);
        if (r < 0)
            error_prefix(err, "serialPorts[%u]", i);
        else if (p->is_virtio)
            r = add_virtio_serial(b, l, err);
    }
    return r ? r : open_line(b, NULL, &l, err); /* for a COM1 that leads nowhere */
}

static void on_port(void *arg, unsigned port, bool open)
{
    struct backends_console *c = arg;

    c->backends->events.port_opened(c->backends->events.arg, c->device, port, open);
}

int backends_open_console(struct backends *b, unsigned device, struct vz_error *err)
{
    const struct vz_console_device *d = config_console_device(b->config, device);
    struct backends_console *console = &b->console[device];
    struct {
        struct console_options console;
        struct console_port_options port[VZ_CONSOLE_PORTS_MAX];
    } *o = backends_allocate(b, sizeof(*o));
    struct line *l;
    int r = 0;

    if (!o)
        return backends_out_of_memory(err);
    *console = (struct backends_console){.backends = b, .device = device,
                                         .line = &b->line[b->line_count]};
    for (unsigned i = 0; !r && i < d->port_count; i++) {
        r = open_line(b, d->port[i].attachment, &l, err);
        if (r < 0)
            error_prefix(err, "consoleDevices[%u].ports[%u]", device, i);
        l->console = &console->dev;
        l->port = i;
        o->port[i] = (struct console_port_options){
            .name = d->port[i].name, .console = d->port[i].is_console, .line = l->dev};
    }
    o->console = (struct console_options){.port = o->port, .port_count = d->port_count,
                                          .multiport = true, .opened = on_port,
                                          .opened_arg = console};
    return r ? r : backends_add(b, &virtio_console_ops, &o->console, console_queues(&o->console),
                                &console->dev, err);
}

/* ---- While it runs -------------------------------------------------------------------------- */

struct line *backends_serial_line(struct backends *b, unsigned index)
{
    return index < b->config->serial_ports.count ? &b->line[index] : NULL;
}

struct line *backends_console_line(struct backends *b, unsigned device, unsigned port)
{
    const struct vz_config *c = b->config;

    if (device >= c->console_devices.count || port >= config_console_device(c, device)->port_count)
        return NULL;
    return &b->console[device].line[port];
}

int backends_set_line(struct backends *b, struct line *l, struct uart *uart,
                      struct vz_serial_attachment *a, struct vz_error *err)
{
    struct line old = *l;
    struct line new = {.console = l->console, .own_console = l->own_console, .port = l->port};
    int r = line_open(&new, b->loop, b->config, a, &b->lost_output, err);

    if (r < 0) {
        line_close(&new);
        return r;
    }
    l->dev = new.dev;
    l->is_stdio = new.is_stdio;
    if (l->console)
        console_set_line(*l->console, l->port, l->dev);
    else
        uart_set_line(uart, l->dev);
    if (char_drain(old.dev, DRAIN_TIMEOUT_MS) < 0)
        log_warn("the last output of a serial line could not be written");
    line_close(&old);
    return 0;
}

void backends_set_window(struct line *l, uint16_t columns, uint16_t rows)
{
    if (l->console)
        console_resize(*l->console, l->port, columns, rows);
}

void backends_set_stdio_window(struct backends *b, uint16_t columns, uint16_t rows)
{
    for (unsigned i = 0; i < b->line_count; i++) {
        if (b->line[i].is_stdio)
            backends_set_window(&b->line[i], columns, rows);
    }
}
