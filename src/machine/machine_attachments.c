/* SPDX-License-Identifier: MIT */
/* Attachments of a machine's network cards and ports, changed while it runs. */
#include <vz/runtime.h>

#include <string.h>

#include "base/error.h"
#include "config/validate.h"
#include "machine/machine_impl.h"

static int no_device(struct vz_error *err, const char *what, unsigned index)
{
    error_set(err, 0, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no %s %u", what, index);
    return -1;
}

/* ---- Network -------------------------------------------------------------------------------- */

struct network_call {
    unsigned device;
    struct vz_network_attachment *attachment;
};

static int set_network(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct network_call *c = arg;

    return backends_set_network(&m->parts.backends, c->device, c->attachment, err);
}

int vz_machine_set_network_attachment(struct vz_machine *m, unsigned device,
                                      struct vz_network_attachment *attachment,
                                      struct vz_error *err)
{
    struct network_call c = {device, attachment};

    if (!options_given(m, "machine", err))
        return -1;
    if (device >= m->config->network_devices.count)
        return no_device(err, "network device", device);
    if (attachment && validate_network_attachment(attachment, err) < 0)
        return -1;
    return machine_call(m, set_network, &c, err) < 0 ? -1 : 0;
}

static int get_network(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct network_call *c = arg;

    c->attachment = vz_network_attachment_ref(m->parts.backends.card[c->device].attachment);
    return 0;
}

struct vz_network_attachment *vz_machine_network_attachment(struct vz_machine *m, unsigned device)
{
    struct network_call c = {device, NULL};

    if (m && device < m->config->network_devices.count)
        machine_call(m, get_network, &c, NULL); /* not live: none */
    return c.attachment;
}

struct address_call {
    unsigned device;
    bool is_nat;
    struct vz_guest_address address;
};

static int get_address(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct address_call *c = arg;

    c->is_nat = backends_guest_address(&m->parts.backends.card[c->device], &c->address);
    return 0;
}

int vz_nat_guest_address(struct vz_machine *m, unsigned device, struct vz_guest_address *ret,
                         struct vz_error *err)
{
    struct address_call c = {.device = device};

    if (!options_given(m, "machine", err) || !options_given(ret, "address", err))
        return -1;
    if (device >= m->config->network_devices.count)
        return no_device(err, "network device", device);
    if (machine_call(m, get_address, &c, err) < 0)
        return -1;
    if (!c.is_nat) {
        error_set(err, 0, VZ_ERROR_UNSUPPORTED, "network device %u is not behind NAT", device);
        return -1;
    }
    return options_return(ret, ret->size, &c.address, sizeof(c.address), err) < 0 ? -1 : 0;
}

/* ---- Serial and console ports --------------------------------------------------------------- */

/* A serial port, or a port of a console device. */
struct port_call {
    bool of_console;
    unsigned device, port;
    struct vz_serial_attachment *attachment;
    uint16_t columns, rows;
};

static struct line *find(struct vz_machine *m, const struct port_call *c, struct vz_error *err)
{
    struct backends *b = &m->parts.backends;
    struct line *l = c->of_console ? backends_console_line(b, c->device, c->port)
                                   : backends_serial_line(b, c->device);

    if (!l)
        error_set(err, 0, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no such port");
    return l;
}

static int set_line(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct port_call *c = arg;
    struct line *l = find(m, c, err);

    return l ? backends_set_line(&m->parts.backends, l, m->parts.board->com1, c->attachment, err)
             : -1;
}

static int set_attachment(struct vz_machine *m, struct port_call *c, struct vz_error *err)
{
    if (c->attachment && validate_serial_attachment(m->config, c->attachment, err) < 0)
        return -1;
    return machine_call(m, set_line, c, err) < 0 ? -1 : 0;
}

int vz_machine_set_serial_attachment(struct vz_machine *m, unsigned index,
                                     struct vz_serial_attachment *attachment, struct vz_error *err)
{
    struct port_call c = {.device = index, .attachment = attachment};

    return set_attachment(m, &c, err);
}

int vz_machine_set_console_port_attachment(struct vz_machine *m, unsigned device, unsigned port,
                                           struct vz_serial_attachment *attachment,
                                           struct vz_error *err)
{
    struct port_call c = {.of_console = true, .device = device, .port = port,
                          .attachment = attachment};

    return set_attachment(m, &c, err);
}

static int set_window(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct port_call *c = arg;
    struct line *l = find(m, c, err);

    if (l)
        backends_set_window(l, c->columns, c->rows);
    return l ? 0 : -1;
}

int vz_machine_set_serial_window(struct vz_machine *m, unsigned index, uint16_t columns,
                                 uint16_t rows, struct vz_error *err)
{
    struct port_call c = {.device = index, .columns = columns, .rows = rows};

    return machine_call(m, set_window, &c, err);
}

int vz_machine_set_console_port_window(struct vz_machine *m, unsigned device, unsigned port,
                                       uint16_t columns, uint16_t rows, struct vz_error *err)
{
    struct port_call c = {.of_console = true, .device = device, .port = port, .columns = columns,
                          .rows = rows};

    return machine_call(m, set_window, &c, err);
}

static int set_stdio_window(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct port_call *c = arg;

    backends_set_stdio_window(&m->parts.backends, c->columns, c->rows);
    return 0;
}

int vz_machine_set_stdio_window(struct vz_machine *m, uint16_t columns, uint16_t rows,
                                struct vz_error *err)
{
    struct port_call c = {.columns = columns, .rows = rows};

    return machine_call(m, set_stdio_window, &c, err);
}
