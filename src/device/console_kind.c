/* SPDX-License-Identifier: MIT */
/* Console devices: several named ports, each with a line of its own. */
#include "device/console_kind.h"

#include "base/error.h"
#include "char/char.h"
#include "config/objects.h"
#include "device/agent_line.h"
#include "device/device_kinds.h"
#include "device/line.h"
#include "device/virtio_slot.h"
#include "virtio/virtio_console.h"

static int console_open(struct device_slot *s, struct vz_error *err)
{
    const struct vz_console_device *d = s->config;
    int r = lines_allocate(s, d->port_count, err);

    for (unsigned i = 0; !r && i < d->port_count; i++) {
        r = lines_open(s, i, d->port[i].attachment, err);
        if (r < 0)
            error_prefix(err, ".ports[%u]", i);
    }
    return r;
}

static void on_port(void *arg, unsigned port, bool open)
{
    char_guest_opened(lines_dev(arg, port), open);
    device_slot_tell(arg, &(struct device_event){.what = DEVICE_PORT_OPENED, .part = port,
                                                 .open = open});
}

static int console_create(struct device_slot *s, struct vz_error *err)
{
    const struct vz_console_device *d = s->config;
    struct console_port_options port[VZ_CONSOLE_PORTS_MAX];
    const struct console_options o = {.port = port, .port_count = d->port_count,
                                      .multiport = true, .opened = on_port, .opened_arg = s};

    for (unsigned i = 0; i < d->port_count; i++)
        port[i] = (struct console_port_options){.name = d->port[i].name,
                                                .console = d->port[i].is_console,
                                                .line = lines_dev(s, i)};
    return virtio_slot_create(s, &virtio_console_ops, &o, console_queues(&o), err);
}

static void set_line(struct device_slot *s, unsigned i, struct char_dev *line)
{
    console_set_line(s->model, i, line);
    if (console_is_open(s->model, i))
        char_guest_opened(line, true);
}

int console_kind_change(struct device_slot *s, unsigned part, void *attachment,
                        struct vz_error *err)
{
    return lines_change(s, part, attachment, set_line, err);
}

static void resize_line(struct device_slot *s, unsigned i, uint16_t columns, uint16_t rows)
{
    console_resize(s->model, i, columns, rows);
}

int console_kind_resize(struct device_slot *s, unsigned part, uint16_t columns, uint16_t rows,
                        struct vz_error *err)
{
    return lines_resize(s, part, columns, rows, resize_line, err);
}

/* Of the ports' other ends only an agent remembers anything. */
static void *console_host_state(const struct device_slot *s, const struct state_desc **ret)
{
    const struct lines *lines = s->host;
    void *agent = NULL;

    for (unsigned i = 0; !agent && i < lines->count; i++)
        agent = agent_line_agent(lines->line[i].dev);
    *ret = &spice_agent_state;
    return agent;
}

static void rest(struct device_slot *s, bool rests)
{
    const struct lines *lines = s->host;

    for (unsigned i = 0; i < lines->count; i++)
        agent_line_rest(lines->line[i].dev, rests);
}

static void console_quiesce(struct device_slot *s)
{
    rest(s, true);
    virtio_slot_quiesce(s);
}

/* Also after a restore: the guest may have a port open of which what it leads to now knows nothing. */
static void console_resume(struct device_slot *s)
{
    const struct lines *lines = s->host;

    virtio_slot_resume(s);
    rest(s, false);
    for (unsigned i = 0; i < lines->count; i++)
        char_guest_opened(lines->line[i].dev, console_is_open(s->model, i));
}

const struct device_kind console_kind = {
    .type = &config_virtio_console_type, .bus = DEVICE_ON_PCI, .quiesce = console_quiesce,
    .resume = console_resume, .remove = virtio_slot_remove,
    .model = "virtio/virtio_console", .open = console_open, .create = console_create,
    .change = console_kind_change, .resize = console_kind_resize, .send = lines_send,
    .host_state = console_host_state,
    .drain = lines_drain, .path = lines_path, .close = lines_close};
