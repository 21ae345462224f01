/* SPDX-License-Identifier: MIT */
/* USB devices of the host that come and go while a machine runs. Slots of those that came are numbered behind the
 * configuration's, as those of disks are; what is pulled out of the host leaves the machine by itself. */
#include <vz/runtime.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "config/validate.h"
#include "device/device_kinds.h"
#include "machine/machine_usb.h"

/* ---- Who is there --------------------------------------------------------------------------- */

unsigned usb_host_end(const struct vz_machine *m)
{
    return m->config->usb_devices.count + MACHINE_USB_MAX;
}

struct device_slot *usb_host_at(struct vz_machine *m, unsigned i)
{
    struct device_slot *s = device_slots_find(m->parts.slots, "usbDevices", i);

    return s && !s->leaving ? s : NULL;
}

int usb_host_describe(struct vz_machine *m, struct vz_config *c)
{
    struct object_list *l = &c->usb_devices;
    unsigned kept = 0;
    int r = 0;

    for (unsigned i = 0; i < l->count; i++) {
        if (device_slots_find(m->parts.slots, "usbDevices", i))
            l->item[kept++] = l->item[i];
        else
            object_unref(l->item[i]);
    }
    l->count = kept;
    for (unsigned i = 0; !r && i < MACHINE_USB_MAX; i++) {
        if (m->usb_host[i])
            r = object_list_add(l, m->usb_host[i]);
    }
    return r;
}

/* ---- Attaching ------------------------------------------------------------------------------ */

struct host_op {
    struct machine_work work;
    struct vz_usb_device *device;
};

/* The device with a UUID, of which nobody else knows. */
static struct vz_usb_device *named(const struct vz_usb_device *d, struct vz_error *err)
{
    char uuid[VZ_USB_UUID_TEXT_MAX];
    struct vz_usb_device *new = schema_copy(schema_type_of(d), d, err);
    struct vz_machine_identifier id;

    if (!new || new->uuid)
        return new;
    vz_machine_identifier_random(&id);
    vz_machine_identifier_format(&id, uuid);
    new->uuid = strdup(uuid);
    if (new->uuid)
        return new;
    vz_usb_device_unref(new);
    error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
    return NULL;
}

/* It has a place, a port and an open device, or nothing has changed. */
static int plug(struct vz_machine *m, struct vz_usb_device *d, struct vz_error *err)
{
    struct config_device what = {.type = schema_type_of(d), .list = "usbDevices", .index = m->config->usb_devices.count,
                                 .object = d};
    struct device_slot *s;
    int r;

    while (what.index < usb_host_end(m) && device_slots_find(m->parts.slots, what.list, what.index))
        what.index++;
    if (what.index == usb_host_end(m))
        return error_set(err, ENOSPC, VZ_ERROR_DEVICE_INITIALIZATION_FAILURE, "no USB port is free");
    r = device_slots_add(m->parts.slots, &usb_host_kind, &what, &s, err);
    if (r < 0)
        return r;
    r = device_slots_create(m->parts.slots, err);
    if (!r)
        m->usb_host[what.index - m->config->usb_devices.count] = d;
    else
        (void)!device_slots_remove(m->parts.slots, s); /* there is no model */
    return r;
}

static int attach(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct host_op *op = arg;
    int r = usb_may_attach(m, op->device->uuid, err);
    struct vz_usb_device *d;

    if (!r)
        r = machine_sandbox_admit(m, "usbDevices", op->device, err);
    if (r < 0)
        return r;
    d = named(op->device, err);
    if (!d)
        return -ENOMEM;
    r = plug(m, d, err);
    if (r < 0)
        vz_usb_device_unref(d);
    else
        machine_complete_work(&op->work, NULL);
    return r;
}

static int check_device(const struct vz_usb_device *d, struct vz_error *err)
{
    return options_given(d, "device", err) ? validate_device(d, err) : -1;
}

static void unref_device(struct machine_work *w)
{
    vz_usb_device_unref(container_of(w, struct host_op, work)->device);
}

int vz_machine_attach_usb_host_device(struct vz_machine *m, struct vz_usb_device *device, vz_machine_done_fn *fn,
                                      void *arg)
{
    const struct host_op op = {.work = {.machine = m, .fn = fn, .arg = arg, .release = unref_device, .opens = true},
                               .device = device};
    struct vz_error err;

    if (!m)
        return -1;
    vz_usb_device_ref(device);
    if (machine_begin_work(&op, sizeof(op), attach, check_device(device, &err) < 0 ? &err : NULL) == 0)
        return 0;
    vz_usb_device_unref(device);
    return -1;
}

int vz_machine_attach_usb_host_device_wait(struct vz_machine *m, struct vz_usb_device *device, struct vz_error *err)
{
    const struct host_op op = {.work = {.machine = m, .opens = true}, .device = device};

    if (!options_given(m, "machine", err) || check_device(device, err) < 0)
        return -1;
    return machine_begin_work_wait(&op, sizeof(op), attach, NULL, err);
}

/* ---- Those that are gone from the host -------------------------------------------------------- */

static void on_out(void *arg)
{
    usb_forget(arg);
}

static void take_out(void *arg)
{
    struct vz_machine *m = arg;
    struct device_identity id;

    for (unsigned i = 0; i < usb_host_end(m); i++) {
        struct device_slot *s = usb_host_at(m, i);

        if (!s || !s->created)
            continue;
        s->kind->identify(s, &id);
        if (id.lost)
            device_slots_unplug(m->parts.slots, s, on_out, m);
    }
}

void machine_lose_usb(struct vz_machine *m, const struct device_slot *s, char ret_uuid[VZ_USB_UUID_TEXT_MAX])
{
    usb_uuid_of(m, s, ret_uuid);
    m->usb_lost.fn = take_out;
    m->usb_lost.arg = m;
    loop_work_queue(m->parts.loop, &m->usb_lost);
}
