/* SPDX-License-Identifier: MIT */
/* USB devices that come and go while a machine runs. A slot of one that came is numbered behind the configuration's
 * disks, with the lowest number that is free; the object that describes it is the machine's until it goes. */
#include <vz/runtime.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "config/validate.h"
#include "device/device_kinds.h"
#include "device/disk_kind.h"
#include "loop/loop.h"
#include "machine/machine_usb.h"

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

/* One that was not given a UUID has one that follows from the machine's and its place when the machine began, so that it
 * is the same whenever somebody looks, also after a restore. */
void usb_uuid_of(const struct vz_machine *m, const struct device_slot *s, char ret[VZ_USB_UUID_TEXT_MAX])
{
    bool hosts = s->kind == &usb_host_kind;
    const char *own = hosts ? ((const struct vz_usb_device *)s->config)->uuid
                            : ((const struct vz_storage_device *)s->config)->uuid;
    struct vz_machine_identifier id = m->config->platform->identifier;
    struct device_identity what;

    if (own) {
        snprintf(ret, VZ_USB_UUID_TEXT_MAX, "%s", own);
        return;
    }
    s->kind->identify(s, &what);
    id.bytes[13] = (uint8_t)(id.bytes[13] ^ hosts);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x80); /* RFC 9562 5.8: of our own making */
    id.bytes[15] = (uint8_t)(id.bytes[15] ^ (what.number + 1));
    id.bytes[14] = (uint8_t)(id.bytes[14] ^ (what.number + 1) >> 8);
    vz_machine_identifier_format(&id, ret);
}

/* Of all that come and go, those of the host behind disks and drives. */
static unsigned end_of_all(const struct vz_machine *m)
{
    return end_of_disks(m) + usb_host_end(m);
}

static struct device_slot *device_at(struct vz_machine *m, unsigned i)
{
    return i < end_of_disks(m) ? disk_at(m, i) : usb_host_at(m, i - end_of_disks(m));
}

static struct device_slot *find(struct vz_machine *m, const char *uuid)
{
    char its[VZ_USB_UUID_TEXT_MAX];

    for (unsigned i = 0; i < end_of_all(m); i++) {
        struct device_slot *s = device_at(m, i);

        if (s)
            usb_uuid_of(m, s, its);
        if (s && !strcmp(its, uuid))
            return s;
    }
    return NULL;
}

/* ---- Operations ----------------------------------------------------------------------------- */

struct disc_call {
    unsigned device;
    struct vz_storage_attachment *attachment;
    bool force;
};

struct usb_op {
    struct machine_work work;
    LIST_ENTRY(usb_op) link; /* of those that wait for a slot to go, or for a server */
    struct vz_storage_device *device; /* attach: */
    struct disc_call disc;            /* or a disc is put into a drive, where it has an attachment */
    struct nbd_dial *dial;            /* of what is on an NBD server, until it is over */
    struct loop_fd *dialled;
    struct loop_timer *late;
    char uuid[VZ_USB_UUID_TEXT_MAX];  /* detach */
};

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
static int plug(struct vz_machine *m, struct vz_storage_device *d, struct nbd_dial *dial, struct vz_error *err)
{
    struct config_device what = {.type = schema_type_of(d), .list = "storageDevices", .object = d};
    struct device_slot *s;
    int r = free_number(m, &what.index);

    if (r < 0) {
        disk_hang_up(dial);
        return error_set(err, -r, VZ_ERROR_DEVICE_INITIALIZATION_FAILURE, "no USB port is free");
    }
    r = device_slots_add_dialled(m->parts.slots, kind_of(d), &what, dial, &s, err);
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

int usb_may_attach(struct vz_machine *m, const char *uuid, struct vz_error *err)
{
    if (!device_slots_find_kind(m->parts.slots, &xhci_kind))
        return error_set(err, ENODEV, VZ_ERROR_USB_CONTROLLER_NOT_FOUND, "the machine has no USB controller");
    if (uuid && find(m, uuid))
        return error_set(err, EEXIST, VZ_ERROR_DEVICE_ALREADY_ATTACHED, "the USB device %s is attached already", uuid);
    return 0;
}

/* With a connection, if it is on an NBD server, of which it is not known yet whether it is one. */
static int attach_now(struct vz_machine *m, struct usb_op *op, struct nbd_dial *dial, struct vz_error *err)
{
    int r = usb_may_attach(m, op->device->uuid, err);
    struct vz_storage_device *d = r < 0 ? NULL : named(op->device, err);

    if (!d) {
        disk_hang_up(dial);
        return r < 0 ? r : -ENOMEM;
    }
    r = plug(m, d, dial, err);
    if (r < 0)
        vz_storage_device_unref(d);
    else
        machine_complete_work(&op->work, NULL);
    return r;
}

/* It waits no more. Its connection, the caller's. */
static struct nbd_dial *stop_waiting(struct usb_op *op)
{
    struct nbd_dial *dial = op->dial;

    LIST_REMOVE(op, link);
    loop_fd_remove(op->dialled);
    loop_timer_destroy(op->late);
    op->dial = NULL;
    return dial;
}

static int insert_now(struct vz_machine *m, struct usb_op *op, struct nbd_dial *dial, struct vz_error *err);

static void on_dialled(void *arg, unsigned events)
{
    struct usb_op *op = arg;
    struct nbd_dial *dial = stop_waiting(op);
    struct vz_error err = {0};

    if ((op->disc.attachment ? insert_now : attach_now)(op->work.machine, op, dial, &err) < 0)
        machine_complete_work(&op->work, &err);
}

static const struct vz_storage_attachment *server_of(const struct usb_op *op)
{
    return op->disc.attachment ? op->disc.attachment : op->device->attachment;
}

static void on_late(void *arg)
{
    struct usb_op *op = arg;
    struct vz_error err;

    disk_hang_up(stop_waiting(op));
    error_set(&err, 0, VZ_ERROR_NBD_DISCONNECTED, "%.100s: no answer in %u s", server_of(op)->uri, server_of(op)->timeout);
    machine_complete_work(&op->work, &err);
}

/* The machine goes on meanwhile. */
static int dial(struct vz_machine *m, struct usb_op *op, struct vz_error *err)
{
    struct loop *loop = m->parts.loop;
    const struct vz_storage_attachment *a = server_of(op);
    int r = disk_dial(m->nbd_by, a, &op->dial, err);

    if (r < 0)
        return r;
    r = loop_timer_create(loop, on_late, op, &op->late);
    if (!r)
        r = loop_fd_add(loop, disk_dial_fd(op->dial), LOOP_READ, on_dialled, op, &op->dialled);
    if (r < 0) {
        loop_timer_destroy(op->late);
        disk_hang_up(op->dial);
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot wait for a server: %s", strerror(-r));
    }
    if (a->timeout)
        loop_timer_arm(op->late, clock_mono_ns() + a->timeout * UINT64_C(1000000000));
    LIST_INSERT_HEAD(&m->usb_dials, op, link);
    return 0;
}

/* The loop of a paused machine does not turn, so a server's answer would not be heard before it goes on. */
static bool turns(struct vz_machine *m)
{
    bool paused;

    pthread_mutex_lock(&m->lock);
    paused = m->state == VZ_STATE_PAUSED;
    pthread_mutex_unlock(&m->lock);
    return !paused;
}

static int attach(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct usb_op *op = arg;
    int r = usb_may_attach(m, op->device->uuid, err);

    if (!r)
        r = machine_sandbox_admit(m, "storageDevices", op->device->attachment, err);
    if (r < 0)
        return r;
    return op->device->attachment->kind == STORAGE_NBD && turns(m) ? dial(m, op, err) : attach_now(m, op, NULL, err);
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
    return validate_device(d, err);
}

static void unref_op(struct machine_work *w)
{
    struct usb_op *op = container_of(w, struct usb_op, work);

    vz_storage_device_unref(op->device);
    vz_storage_attachment_unref(op->disc.attachment);
}

int vz_machine_attach_usb_device(struct vz_machine *m, struct vz_storage_device *device, vz_machine_done_fn *fn,
                                 void *arg)
{
    const struct usb_op op = {.work = {.machine = m, .fn = fn, .arg = arg, .release = unref_op, .opens = true},
                              .device = device};
    struct vz_error err;

    if (!m)
        return -1;
    vz_storage_device_ref(device);
    if (machine_begin_work(&op, sizeof(op), attach, check_device(device, &err) < 0 ? &err : NULL) == 0)
        return 0;
    vz_storage_device_unref(device);
    return -1;
}

int vz_machine_attach_usb_device_wait(struct vz_machine *m, struct vz_storage_device *device, struct vz_error *err)
{
    const struct usb_op op = {.work = {.machine = m, .opens = true}, .device = device};

    if (!options_given(m, "machine", err) || check_device(device, err) < 0)
        return -1;
    return machine_begin_work_wait(&op, sizeof(op), attach, NULL, err);
}

/* ---- Detaching ------------------------------------------------------------------------------ */

static bool is_gone(struct vz_machine *m, const char *list, unsigned index)
{
    return !m->parts.slots || !device_slots_find(m->parts.slots, list, index);
}

void usb_forget(struct vz_machine *m)
{
    for (unsigned i = 0; i < MACHINE_USB_MAX; i++) {
        if (is_gone(m, "storageDevices", m->config->storage_devices.count + i)) {
            vz_storage_device_unref(m->usb[i]);
            m->usb[i] = NULL;
        }
        if (is_gone(m, "usbDevices", m->config->usb_devices.count + i)) {
            vz_usb_device_unref(m->usb_host[i]);
            m->usb_host[i] = NULL;
        }
    }
}

static void on_left(void *arg)
{
    struct usb_op *op = arg;

    LIST_REMOVE(op, link);
    usb_forget(op->work.machine);
    machine_complete_work(&op->work, NULL);
}

static int detach(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct usb_op *op = arg;
    struct device_slot *s = find(m, op->uuid);

    if (!s)
        return error_set(err, ENOENT, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no USB device %s", op->uuid);
    LIST_INSERT_HEAD(&m->usb_ops, op, link);
    device_slots_unplug(m->parts.slots, s, on_left, op);
    return 0;
}

int vz_machine_detach_usb_device(struct vz_machine *m, const char *uuid, vz_machine_done_fn *fn, void *arg)
{
    struct usb_op op = {.work = {.machine = m, .fn = fn, .arg = arg}};
    struct vz_error err;

    if (!m)
        return -1;
    snprintf(op.uuid, sizeof(op.uuid), "%s", uuid ? uuid : "");
    return machine_begin_work(&op, sizeof(op), detach, options_given(uuid, "UUID", &err) ? NULL : &err);
}

int vz_machine_detach_usb_device_wait(struct vz_machine *m, const char *uuid, struct vz_error *err)
{
    struct usb_op op = {.work.machine = m};

    if (!options_given(m, "machine", err) || !options_given(uuid, "UUID", err))
        return -1;
    snprintf(op.uuid, sizeof(op.uuid), "%s", uuid);
    return machine_begin_work_wait(&op, sizeof(op), detach, NULL, err);
}

/* ---- Discs ---------------------------------------------------------------------------------- */

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

static int find_drive(struct vz_machine *m, unsigned device, struct device_slot **ret, struct vz_error *err)
{
    *ret = disk_at(m, device);
    return *ret && (*ret)->kind->disk->set_disc
               ? 0 : error_set(err, ENOENT, VZ_ERROR_DEVICE_NOT_FOUND, "storage device %u is no CD-ROM drive", device);
}

/* With a connection, if it is on an NBD server. */
static int insert(struct vz_machine *m, const struct disc_call *c, struct nbd_dial *dial, struct vz_error *err)
{
    struct vz_storage_device *d;
    struct device_slot *s;
    int r = find_drive(m, c->device, &s, err);

    d = r < 0 ? NULL : with_disc(s->config, c->attachment, err);
    if (!d) {
        disk_hang_up(dial);
        return r < 0 ? r : -ENOMEM;
    }
    s->dial = dial;
    r = s->kind->disk->set_disc(s, d->attachment, c->force, err);
    disk_hang_up(s->dial); /* it did not come to that */
    s->dial = NULL;
    if (r < 0)
        vz_storage_device_unref(d);
    else
        describe(m, s, d);
    return r;
}

static int may_insert(struct vz_machine *m, const struct disc_call *c, struct vz_error *err)
{
    struct device_slot *s;
    int r = find_drive(m, c->device, &s, err);

    return r < 0 ? r : machine_sandbox_admit(m, "storageDevices", c->attachment, err);
}

static int set_disc(struct vz_machine *m, void *arg, struct vz_error *err)
{
    int r = may_insert(m, arg, err);

    return r < 0 ? r : insert(m, arg, NULL, err);
}

static int insert_now(struct vz_machine *m, struct usb_op *op, struct nbd_dial *dial, struct vz_error *err)
{
    int r = insert(m, &op->disc, dial, err);

    if (!r)
        machine_complete_work(&op->work, NULL);
    return r;
}

static int begin_disc(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct usb_op *op = arg;
    int r = may_insert(m, &op->disc, err);

    if (r < 0)
        return r;
    return server_of(op)->kind == STORAGE_NBD && turns(m) ? dial(m, op, err) : insert_now(m, op, NULL, err);
}

static struct vz_storage_attachment *disc_of(struct vz_storage_attachment *attachment, struct vz_error *err)
{
    return attachment ? vz_storage_attachment_ref(attachment) : vz_empty_storage_attachment_new(err);
}

int vz_machine_insert_disc(struct vz_machine *m, unsigned device, struct vz_storage_attachment *attachment, bool force,
                           vz_machine_done_fn *fn, void *arg)
{
    struct usb_op op = {.work = {.machine = m, .fn = fn, .arg = arg, .release = unref_op, .opens = true},
                        .disc = {.device = device, .force = force}};

    if (!m)
        return -1;
    op.disc.attachment = disc_of(attachment, NULL);
    if (op.disc.attachment && machine_begin_work(&op, sizeof(op), begin_disc, NULL) == 0)
        return 0;
    vz_storage_attachment_unref(op.disc.attachment);
    return -1;
}

int vz_machine_set_disc(struct vz_machine *m, unsigned device, struct vz_storage_attachment *attachment, bool force,
                        struct vz_error *err)
{
    struct usb_op op = {.work = {.machine = m, .opens = true}, .disc = {.device = device, .force = force}};
    int r;

    if (!options_given(m, "machine", err))
        return -1;
    op.disc.attachment = disc_of(attachment, err);
    if (!op.disc.attachment)
        return -1;
    if (op.disc.attachment->kind == STORAGE_NBD)
        r = machine_begin_work_wait(&op, sizeof(op), begin_disc, NULL, err);
    else
        r = machine_call_opening(m, set_disc, &op.disc, err);
    vz_storage_attachment_unref(op.disc.attachment);
    return r < 0 ? -1 : 0;
}

/* ---- Looking -------------------------------------------------------------------------------- */

struct listing {
    unsigned count;
    struct vz_usb_device_info info[2 * VZ_USB_DEVICES_MAX];
};

static struct vz_usb_device_info info_of(struct vz_machine *m, const struct device_slot *s)
{
    struct vz_usb_device_info i = VZ_USB_DEVICE_INFO_INIT;
    struct device_identity id;

    s->kind->identify(s, &id);
    usb_uuid_of(m, s, i.uuid);
    i.storage_device = s->index;
    i.port = id.port;
    if (s->kind == &usb_host_kind) {
        i.kind = VZ_USB_HOST_DEVICE;
        i.attached = s->index >= m->config->usb_devices.count;
        snprintf(i.device, sizeof(i.device), "%s", ((const struct vz_usb_device *)s->config)->device);
        return i;
    }
    i.kind = s->kind == &usb_cdrom_kind ? VZ_USB_CDROM : VZ_USB_DISK;
    i.has_disc = s->kind->disk->has_disc && s->kind->disk->has_disc(s);
    i.attached = s->index >= m->config->storage_devices.count;
    return i;
}

static int list(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct listing *l = arg;

    for (unsigned i = 0; i < end_of_all(m) && l->count < ARRAY_SIZE(l->info); i++) {
        const struct device_slot *s = device_at(m, i);

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
    bool has = c->usb_controllers.count || c->usb_devices.count || c->keyboards.count || c->pointing_devices.count;

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
    if (!r)
        r = usb_host_describe(m, c);
    if (r < 0)
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
    else if (keep_controller(m, c, err) == 0)
        return c;
    vz_config_unref(c);
    return NULL;
}

static const struct vz_error ended = {.code = VZ_ERROR_INVALID_STATE, .text = "the machine ended first"};

void machine_hang_up_usb(struct vz_machine *m)
{
    struct usb_op *op;

    while ((op = LIST_FIRST(&m->usb_dials))) {
        disk_hang_up(stop_waiting(op));
        machine_complete_work(&op->work, &ended);
    }
    loop_work_cancel(m->parts.loop, &m->usb_lost);
}

void machine_forget_usb(struct vz_machine *m)
{
    struct usb_op *op;

    while ((op = LIST_FIRST(&m->usb_ops))) {
        LIST_REMOVE(op, link);
        machine_complete_work(&op->work, &ended);
    }
    usb_forget(m);
}
