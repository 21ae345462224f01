/* SPDX-License-Identifier: MIT */
/* Attachments of a machine's network cards and ports, changed while it runs. */
#include <vz/runtime.h>

#include <string.h>

#include "base/error.h"
#include "config/validate.h"
#include "device/net_kind.h"
#include "machine/machine_impl.h"

static int no_device(struct vz_error *err, const char *what, unsigned index)
{
    error_set(err, 0, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no %s %u", what, index);
    return -1;
}

static int no_port(struct vz_error *err)
{
    error_set(err, 0, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no such port");
    return -1;
}

/* A device, or a part of it. */
struct part_call {
    const char *list;
    unsigned device, part;
    void *attachment;
    uint16_t columns, rows;
    const void *data;
    size_t len, *ret_taken;
};

static int change(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct part_call *c = arg;
    struct device_slot *s = device_slots_find(m->parts.slots, c->list, c->device);
    int r = machine_sandbox_admit(m, c->list, c->attachment, err);

    if (r < 0)
        return r;
    return s && s->kind->change ? s->kind->change(s, c->part, c->attachment, err) : no_port(err);
}

/* ---- Network -------------------------------------------------------------------------------- */

int vz_machine_set_network_attachment(struct vz_machine *m, unsigned device,
                                      struct vz_network_attachment *attachment,
                                      struct vz_error *err)
{
    struct part_call c = {.list = "networkDevices", .device = device, .attachment = attachment};

    if (!options_given(m, "machine", err))
        return -1;
    if (device >= m->config->network_devices.count)
        return no_device(err, "network device", device);
    if (attachment && validate_attachment(attachment, err) < 0)
        return -1;
    return machine_call_opening(m, change, &c, err) < 0 ? -1 : 0;
}

static struct device_slot *card(struct vz_machine *m, unsigned device)
{
    return device_slots_find(m->parts.slots, "networkDevices", device);
}

static int get_network(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct part_call *c = arg;

    c->attachment = vz_network_attachment_ref(net_slot_attachment(card(m, c->device)));
    return 0;
}

struct vz_network_attachment *vz_machine_network_attachment(struct vz_machine *m, unsigned device)
{
    struct part_call c = {.device = device};

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

    c->is_nat = net_slot_guest_address(card(m, c->device), &c->address);
    return 0;
}

int vz_machine_guest_address(struct vz_machine *m, unsigned device, struct vz_guest_address *ret,
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

/* ---- Shared directories ---------------------------------------------------------------------- */

int vz_machine_set_directory_share(struct vz_machine *m, unsigned device,
                                   struct vz_directory_share *share, struct vz_error *err)
{
    struct part_call c = {.list = "directorySharingDevices", .device = device, .attachment = share};

    if (!options_given(m, "machine", err))
        return -1;
    if (device >= m->config->directory_sharing_devices.count)
        return no_device(err, "directory sharing device", device);
    if (share && validate_attachment(share, err) < 0)
        return -1;
    return machine_call_opening(m, change, &c, err) < 0 ? -1 : 0;
}

/* ---- Serial and console ports --------------------------------------------------------------- */

static int set_attachment(struct vz_machine *m, struct part_call *c, struct vz_error *err)
{
    if (!options_given(m, "machine", err))
        return -1;
    if (c->attachment && validate_attachment(c->attachment, err) < 0)
        return -1;
    return machine_call_opening(m, change, c, err) < 0 ? -1 : 0;
}

int vz_machine_set_serial_attachment(struct vz_machine *m, unsigned index,
                                     struct vz_serial_attachment *attachment, struct vz_error *err)
{
    struct part_call c = {.list = "serialPorts", .device = index, .attachment = attachment};

    return set_attachment(m, &c, err);
}

int vz_machine_set_console_port_attachment(struct vz_machine *m, unsigned device, unsigned port,
                                           struct vz_serial_attachment *attachment,
                                           struct vz_error *err)
{
    struct part_call c = {.list = "consoleDevices", .device = device, .part = port,
                          .attachment = attachment};

    return set_attachment(m, &c, err);
}

static int resize(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct part_call *c = arg;
    struct device_slot *s = device_slots_find(m->parts.slots, c->list, c->device);

    return s && s->kind->resize ? s->kind->resize(s, c->part, c->columns, c->rows, err)
                                : no_port(err);
}

int vz_machine_set_serial_window(struct vz_machine *m, unsigned index, uint16_t columns,
                                 uint16_t rows, struct vz_error *err)
{
    struct part_call c = {.list = "serialPorts", .device = index, .columns = columns, .rows = rows};

    return machine_call(m, resize, &c, err);
}

int vz_machine_set_console_port_window(struct vz_machine *m, unsigned device, unsigned port,
                                       uint16_t columns, uint16_t rows, struct vz_error *err)
{
    struct part_call c = {.list = "consoleDevices", .device = device, .part = port,
                          .columns = columns, .rows = rows};

    return machine_call(m, resize, &c, err);
}

static int resize_stdio(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct part_call *c = arg;

    device_slots_resize_stdio(m->parts.slots, c->columns, c->rows);
    return 0;
}

int vz_machine_set_stdio_window(struct vz_machine *m, uint16_t columns, uint16_t rows,
                                struct vz_error *err)
{
    struct part_call c = {.columns = columns, .rows = rows};

    return machine_call(m, resize_stdio, &c, err);
}

/* ---- Input from the program ------------------------------------------------------------------ */

static int send(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct part_call *c = arg;
    struct device_slot *s = device_slots_find(m->parts.slots, c->list, c->device);

    return s && s->kind->send ? s->kind->send(s, c->part, c->data, c->len, c->ret_taken, err)
                              : no_port(err);
}

static int send_to_part(struct vz_machine *m, struct part_call *c, struct vz_error *err)
{
    if (!options_given(m, "machine", err) || !options_given(c->ret_taken, "count", err) ||
        (c->len && !options_given(c->data, "data", err)))
        return -1;
    *c->ret_taken = 0;
    return machine_call(m, send, c, err) < 0 ? -1 : 0;
}

int vz_machine_serial_send(struct vz_machine *m, unsigned index, const void *data, size_t len,
                           size_t *ret_taken, struct vz_error *err)
{
    struct part_call c = {.list = "serialPorts", .device = index, .data = data, .len = len,
                          .ret_taken = ret_taken};

    return send_to_part(m, &c, err);
}

int vz_machine_console_port_send(struct vz_machine *m, unsigned device, unsigned port,
                                 const void *data, size_t len, size_t *ret_taken,
                                 struct vz_error *err)
{
    struct part_call c = {.list = "consoleDevices", .device = device, .part = port, .data = data,
                          .len = len, .ret_taken = ret_taken};

    return send_to_part(m, &c, err);
}
