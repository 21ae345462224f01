/* SPDX-License-Identifier: MIT */
/* USB devices that come and go while a machine runs. A slot of one that came is numbered behind the configuration's
 * disks, with the lowest number that is free; the object that describes it is the machine's until it goes. */
#include <vz/runtime.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/validate.h"
#include "device/device_kinds.h"
#include "machine/machine_impl.h"

_Static_assert(VZ_USB_UUID_TEXT_MAX == VZ_MACHINE_IDENTIFIER_TEXT_MAX, "both are UUIDs");

/* ---- Who is there, on the machine's thread --------------------------------------------------- */

static unsigned end_of_disks(const struct vz_machine *m)
{
    return m->config->storage_devices.count + MACHINE_USB_MAX;
}

static struct device_slot *disk_at(struct vz_machine *m, unsigned i)
{
    struct device_slot *s = device_slots_find(m->parts.slots, "storageDevices", i);

    return s && !s->leaving && storage_is_usb(s->config) ? s : NULL;
}

/* One that was not given a UUID has one that follows from the machine's and its place, so that it is the same whenever
 * somebody looks. */
static void uuid_of(const struct vz_machine *m, const struct device_slot *s, char ret[VZ_USB_UUID_TEXT_MAX])
{
    const struct vz_storage_device *d = s->config;
    struct vz_machine_identifier id = m->config->platform->identifier;

    if (d->uuid) {
        snprintf(ret, VZ_USB_UUID_TEXT_MAX, "%s", d->uuid);
        return;
    }
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x80); /* RFC 9562 5.8: of our own making */
    id.bytes[15] = (uint8_t)(id.bytes[15] ^ (s->index + 1));
    id.bytes[14] = (uint8_t)(id.bytes[14] ^ (s->index + 1) >> 8);
    vz_machine_identifier_format(&id, ret);
}

static struct device_slot *find(struct vz_machine *m, const char *uuid)
{
    char its[VZ_USB_UUID_TEXT_MAX];

    for (unsigned i = 0; i < end_of_disks(m); i++) {
        struct device_slot *s = disk_at(m, i);

        if (s)
            uuid_of(m, s, its);
        if (s && !strcmp(its, uuid))
            return s;
    }
    return NULL;
}

/* ---- Operations ----------------------------------------------------------------------------- */

struct usb_op {
    struct event event;
    LIST_ENTRY(usb_op) link; /* of those that wait for a slot to go */
    struct vz_machine *machine;
    struct vz_storage_device *device; /* attach: a reference */
    char uuid[VZ_USB_UUID_TEXT_MAX];  /* detach */
    unsigned index;                   /* of the slot that goes */
    vz_machine_done_fn *fn; /* may be NULL */
    void *arg;
    bool direct; /* of the waiting form: completed by the machine's thread itself */
    bool failed;
    struct vz_error err;
};

static void call_done(struct event *e, void *machine)
{
    struct usb_op *op = container_of(e, struct usb_op, event);

    if (op->fn)
        op->fn(op->arg, machine, op->failed ? &op->err : NULL);
    vz_storage_device_unref(op->device);
    free(op);
}

static void complete(struct usb_op *op, const struct vz_error *err)
{
    struct vz_machine *m = op->machine;

    op->failed = err != NULL;
    if (err && err != &op->err)
        op->err = *err;
    if (op->direct) {
        call_done(&op->event, m);
        return;
    }
    op->event.fn = call_done;
    events_push(&m->events, &op->event);
    machine_wake(m);
}

static int begin(const struct usb_op *what, machine_call_fn *fn, const struct vz_error *refused)
{
    struct usb_op *op = malloc(sizeof(*op));

    if (!op)
        return -1;
    *op = *what;
    vz_storage_device_ref(op->device);
    if (refused)
        complete(op, refused);
    else if (machine_call(op->machine, fn, op, &op->err) < 0)
        complete(op, &op->err);
    return 0;
}

static void wait_done(void *arg, struct vz_machine *m, const struct vz_error *err)
{
    waiter_done(arg, err);
}

static int begin_wait(struct usb_op *what, machine_call_fn *fn, struct vz_error *err)
{
    struct waiter w = WAITER_INIT;

    if (machine_is_current(what->machine)) {
        error_set(err, 0, VZ_ERROR_INVALID_STATE, "the machine's own thread cannot wait for it");
        return -1;
    }
    what->fn = wait_done;
    what->arg = &w;
    what->direct = true;
    if (begin(what, fn, NULL) < 0) {
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
        return -1;
    }
    return waiter_wait(&w, err);
}

/* ---- Attaching ------------------------------------------------------------------------------ */

static const struct device_kind *kind_of(const struct vz_storage_device *d)
{
    return schema_type_of(d) == usb_disk_kind.type ? &usb_disk_kind : &usb_cdrom_kind;
}

/* The device with a UUID, of which nobody else knows. */
static struct vz_storage_device *named(const struct vz_storage_device *d, struct vz_error *err)
{
    char uuid[VZ_USB_UUID_TEXT_MAX];
    struct vz_storage_device *new = schema_copy(schema_type_of(d), d, err);
    struct vz_machine_identifier id;

    if (!new || new->uuid)
        return new;
    vz_machine_identifier_random(&id);
    vz_machine_identifier_format(&id, uuid);
    new->uuid = strdup(uuid);
    if (new->uuid)
        return new;
    vz_storage_device_unref(new);
    error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
    return NULL;
}

static int free_number(struct vz_machine *m, unsigned *ret)
{
    for (unsigned i = m->config->storage_devices.count; i < end_of_disks(m); i++) {
        if (!device_slots_find(m->parts.slots, "storageDevices", i)) {
            *ret = i;
            return 0;
        }
    }
    return -ENOSPC;
}

/* It has a place, a port and an open disk, or nothing has changed. */
static int plug(struct vz_machine *m, struct vz_storage_device *d, struct vz_error *err)
{
    struct config_device what = {.type = schema_type_of(d), .list = "storageDevices", .object = d};
    struct device_slot *s;
    int r = free_number(m, &what.index);

    if (r < 0)
        return error_set(err, -r, VZ_ERROR_DEVICE_INITIALIZATION_FAILURE, "no USB port is free");
    r = device_slots_add(m->parts.slots, kind_of(d), &what, &s, err);
    if (r < 0)
        return r;
    r = device_slots_create(m->parts.slots, err);
    if (!r) {
        m->usb[what.index - m->config->storage_devices.count] = d;
        return 0;
    }
    (void)!device_slots_remove(m->parts.slots, s); /* there is no model */
    return r;
}

static int attach(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct usb_op *op = arg;
    struct vz_storage_device *d;
    int r;

    if (!device_slots_find_kind(m->parts.slots, &xhci_kind))
        return error_set(err, ENODEV, VZ_ERROR_USB_CONTROLLER_NOT_FOUND, "the machine has no USB controller");
    if (op->device->uuid && find(m, op->device->uuid))
        return error_set(err, EEXIST, VZ_ERROR_DEVICE_ALREADY_ATTACHED, "the USB device %s is attached already",
                         op->device->uuid);
    r = machine_sandbox_may_change(m, "storageDevices", op->device->attachment, err);
    if (r < 0)
        return r;
    d = named(op->device, err);
    if (!d)
        return -ENOMEM;
    r = plug(m, d, err);
    if (r < 0) {
        vz_storage_device_unref(d);
        return r;
    }
    complete(op, NULL);
    return 0;
}

/* Of what a configuration may say, what can come while the loop turns. */
static int check_device(const struct vz_storage_device *d, struct vz_error *err)
{
    if (!options_given(d, "device", err))
        return -1;
    if (!storage_is_usb(d)) {
        error_set(err, 0, VZ_ERROR_INVALID, "it is no USB device, and only those come while a machine runs");
        return -1;
    }
    if (d->attachment->kind == STORAGE_NBD) {
        error_set(err, 0, VZ_ERROR_UNSUPPORTED,
                  "a disk on an NBD server is connected when a machine starts, not while it runs");
        return -1;
    }
    return validate_device(d, err);
}

int vz_machine_attach_usb_device(struct vz_machine *m, struct vz_storage_device *device, vz_machine_done_fn *fn,
                                 void *arg)
{
    struct vz_error err;

    if (!m)
        return -1;
    return begin(&(struct usb_op){.machine = m, .device = device, .fn = fn, .arg = arg}, attach,
                 check_device(device, &err) < 0 ? &err : NULL);
}

int vz_machine_attach_usb_device_wait(struct vz_machine *m, struct vz_storage_device *device, struct vz_error *err)
{
    if (!options_given(m, "machine", err) || check_device(device, err) < 0)
        return -1;
    return begin_wait(&(struct usb_op){.machine = m, .device = device}, attach, err);
}

/* ---- Detaching ------------------------------------------------------------------------------ */

static void forget(struct vz_machine *m, unsigned index)
{
    unsigned count = m->config->storage_devices.count;

    if (index < count)
        return;
    vz_storage_device_unref(m->usb[index - count]);
    m->usb[index - count] = NULL;
}

static void on_left(void *arg)
{
    struct usb_op *op = arg;

    LIST_REMOVE(op, link);
    forget(op->machine, op->index);
    complete(op, NULL);
}

static int detach(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct usb_op *op = arg;
    struct device_slot *s = find(m, op->uuid);

    if (!s)
        return error_set(err, ENOENT, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no USB device %s", op->uuid);
    op->index = s->index;
    LIST_INSERT_HEAD(&m->usb_ops, op, link);
    device_slots_unplug(m->parts.slots, s, on_left, op);
    return 0;
}

static struct usb_op detaching(struct vz_machine *m, const char *uuid)
{
    struct usb_op op = {.machine = m};

    snprintf(op.uuid, sizeof(op.uuid), "%s", uuid);
    return op;
}

int vz_machine_detach_usb_device(struct vz_machine *m, const char *uuid, vz_machine_done_fn *fn, void *arg)
{
    struct vz_error err;
    struct usb_op op;

    if (!m)
        return -1;
    op = detaching(m, uuid ? uuid : "");
    op.fn = fn;
    op.arg = arg;
    return begin(&op, detach, options_given(uuid, "UUID", &err) ? NULL : &err);
}

int vz_machine_detach_usb_device_wait(struct vz_machine *m, const char *uuid, struct vz_error *err)
{
    struct usb_op op;

    if (!options_given(m, "machine", err) || !options_given(uuid, "UUID", err))
        return -1;
    op = detaching(m, uuid);
    return begin_wait(&op, detach, err);
}

/* ---- Discs ---------------------------------------------------------------------------------- */

struct disc_call {
    unsigned device;
    struct vz_storage_attachment *attachment;
    bool force;
};

/* The drive as it is described, but for what is in it. NULL with err. */
static struct vz_storage_device *with_disc(const struct vz_storage_device *old, struct vz_storage_attachment *a,
                                           struct vz_error *err)
{
    struct vz_storage_device *new = schema_copy(schema_type_of(old), old, err);

    if (!new)
        return NULL;
    vz_storage_attachment_unref(new->attachment);
    new->attachment = vz_storage_attachment_ref(a);
    if (!schema_complete(schema_type_of(new), new, err)) /* it is only read */
        return new;
    vz_storage_device_unref(new);
    return NULL;
}

/* The next start has it, too, as long as the drive is the configuration's. */
static void describe(struct vz_machine *m, struct device_slot *s, struct vz_storage_device *d)
{
    unsigned count = m->config->storage_devices.count;

    vz_storage_device_unref((struct vz_storage_device *)(uintptr_t)s->config);
    s->config = d;
    if (s->index < count)
        m->config->storage_devices.item[s->index] = d;
    else
        m->usb[s->index - count] = d;
}

static int set_disc(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct disc_call *c = arg;
    struct device_slot *s = disk_at(m, c->device);
    struct vz_storage_device *d;
    int r;

    if (!s || !s->kind->disk->set_disc)
        return error_set(err, ENOENT, VZ_ERROR_DEVICE_NOT_FOUND, "storage device %u is no CD-ROM drive", c->device);
    r = machine_sandbox_may_change(m, "storageDevices", c->attachment, err);
    if (r < 0)
        return r;
    d = with_disc(s->config, c->attachment, err);
    if (!d)
        return -ENOMEM;
    r = s->kind->disk->set_disc(s, d->attachment, c->force, err);
    if (r < 0)
        vz_storage_device_unref(d);
    else
        describe(m, s, d);
    return r;
}

static int check_disc(const struct vz_storage_attachment *a, struct vz_error *err)
{
    if (a->kind != STORAGE_NBD)
        return 0;
    error_set(err, 0, VZ_ERROR_UNSUPPORTED, "a disc on an NBD server is connected when a machine starts, not while it runs");
    return -1;
}

int vz_machine_set_disc(struct vz_machine *m, unsigned device, struct vz_storage_attachment *attachment, bool force,
                        struct vz_error *err)
{
    struct disc_call c = {.device = device, .force = force};
    int r;

    if (!options_given(m, "machine", err))
        return -1;
    c.attachment = attachment ? vz_storage_attachment_ref(attachment) : vz_empty_storage_attachment_new(err);
    if (!c.attachment)
        return -1;
    r = check_disc(c.attachment, err);
    if (!r)
        r = machine_call(m, set_disc, &c, err);
    vz_storage_attachment_unref(c.attachment);
    return r < 0 ? -1 : 0;
}

/* ---- Looking -------------------------------------------------------------------------------- */

struct listing {
    unsigned count;
    struct vz_usb_device_info info[VZ_USB_DEVICES_MAX];
};

static struct vz_usb_device_info info_of(struct vz_machine *m, const struct device_slot *s)
{
    struct vz_usb_device_info i = VZ_USB_DEVICE_INFO_INIT;
    struct device_identity id;

    s->kind->identify(s, &id);
    uuid_of(m, s, i.uuid);
    i.kind = s->kind == &usb_cdrom_kind ? VZ_USB_CDROM : VZ_USB_DISK;
    i.storage_device = s->index;
    i.port = id.port;
    i.has_disc = s->kind->disk->has_disc && s->kind->disk->has_disc(s);
    i.attached = s->index >= m->config->storage_devices.count;
    return i;
}

static int list(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct listing *l = arg;

    for (unsigned i = 0; i < end_of_disks(m) && l->count < VZ_USB_DEVICES_MAX; i++) {
        const struct device_slot *s = disk_at(m, i);

        if (s)
            l->info[l->count++] = info_of(m, s);
    }
    return 0;
}

int vz_machine_usb_devices(struct vz_machine *m, vz_usb_device_fn *fn, void *arg, struct vz_error *err)
{
    struct listing l = {.count = 0};

    if (!options_given(m, "machine", err) || !options_given((const void *)fn, "function", err) ||
        machine_call(m, list, &l, err) < 0)
        return -1;
    for (unsigned i = 0; i < l.count; i++)
        fn(arg, &l.info[i]);
    return 0;
}

/* ---- The machine ---------------------------------------------------------------------------- */

/* The configuration as it has become: what a state is saved with. */
static void drop_gone(struct vz_machine *m, struct vz_config *c)
{
    struct object_list *l = &c->storage_devices;
    unsigned kept = 0;

    for (unsigned i = 0; i < l->count; i++) {
        if (device_slots_find(m->parts.slots, "storageDevices", i))
            l->item[kept++] = l->item[i];
        else
            object_unref(l->item[i]);
    }
    l->count = kept;
}

static bool has_usb(const struct vz_config *c)
{
    bool has = c->usb_controllers.count || c->keyboards.count || c->pointing_devices.count;

    for (unsigned i = 0; !has && i < c->storage_devices.count; i++)
        has = storage_is_usb(c->storage_devices.item[i]);
    return has;
}

/* It came with a device that is gone since, and stays. */
static int keep_controller(struct vz_machine *m, struct vz_config *c, struct vz_error *err)
{
    struct vz_usb_controller *x;
    int r;

    if (has_usb(c) || !device_slots_find_kind(m->parts.slots, &xhci_kind))
        return 0;
    x = vz_xhci_controller_new(NULL, err);
    r = x ? vz_config_add_usb_controller(c, x, err) : -1;
    vz_usb_controller_unref(x);
    return r;
}

struct vz_config *machine_present_config(struct vz_machine *m, struct vz_error *err)
{
    struct vz_config *c = vz_config_copy(m->config, err);
    int r = 0;

    if (!c)
        return NULL;
    drop_gone(m, c);
    for (unsigned i = 0; !r && i < MACHINE_USB_MAX; i++) {
        if (m->usb[i])
            r = object_list_add(&c->storage_devices, m->usb[i]);
    }
    if (r < 0)
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
    else if (keep_controller(m, c, err) == 0)
        return c;
    vz_config_unref(c);
    return NULL;
}

void machine_forget_usb(struct vz_machine *m)
{
    const struct vz_error ended = {.code = VZ_ERROR_INVALID_STATE, .text = "the machine ended first"};
    struct usb_op *op;

    while ((op = LIST_FIRST(&m->usb_ops))) {
        LIST_REMOVE(op, link);
        complete(op, &ended);
    }
    for (unsigned i = 0; i < MACHINE_USB_MAX; i++)
        forget(m, m->config->storage_devices.count + i);
}
