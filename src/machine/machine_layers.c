/* SPDX-License-Identifier: MIT */
/* Other images under the disks of a machine that is paused. */
#include <vz/runtime.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "config/schema.h"
#include "device/device_kind.h"
#include "device/device_slots.h"
#include "machine/machine_impl.h"

static struct vz_storage_device *device(const struct vz_config *c, unsigned i)
{
    return c->storage_devices.item[i];
}

static bool is_elsewhere(const struct vz_storage_attachment *a, const struct vz_storage_attachment *b)
{
    return a->kind == STORAGE_DISK_IMAGE && b->kind == STORAGE_DISK_IMAGE && a->path && b->path &&
           strcmp(a->path, b->path);
}

/* The device as it is configured, but for the attachment, as which the slot has it from now on: what it had before must not
 * be used any more, also not by the next start. */
static int exchange(struct vz_machine *m, unsigned i, struct vz_storage_attachment *a, struct vz_error *err)
{
    struct device_slot *s = device_slots_find(m->parts.slots, "storageDevices", i);
    struct vz_storage_device *old = device(m->config, i), *new = schema_copy(schema_type_of(old), old, err);
    int r = !new ? -ENOMEM : s ? s->kind->disk->exchange(s, old->attachment, a, err) : 0; /* it was detached */

    if (!r) {
        vz_storage_attachment_unref(new->attachment);
        new->attachment = vz_storage_attachment_ref(a);
        m->config->storage_devices.item[i] = new;
        if (s)
            s->config = new;
        new = old;
    }
    vz_storage_device_unref(new);
    return r;
}

static void end(struct vz_machine *m)
{
    pthread_mutex_lock(&m->lock);
    machine_end_locked(m, VZ_END_ERROR, 0, "a disk was exchanged, and neither image can be opened");
    pthread_mutex_unlock(&m->lock);
}

/* The first count of them, to what was has. */
static void go_back(struct vz_machine *m, const struct vz_config *was, unsigned count)
{
    int r = 0;

    for (unsigned i = 0; !r && i < count; i++) {
        if (is_elsewhere(device(m->config, i)->attachment, device(was, i)->attachment))
            r = exchange(m, i, device(was, i)->attachment, NULL);
    }
    if (r < 0)
        end(m);
}

static int set_disks(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct vz_config *c = arg;
    struct vz_config *was;
    unsigned i = 0;
    int r = 0;

    if (vz_machine_get_state(m) != VZ_STATE_PAUSED)
        return error_set(err, EINVAL, VZ_ERROR_INVALID_STATE, "the machine is not paused");
    for (unsigned k = 0; k < MACHINE_USB_MAX; k++) {
        if (m->usb[k])
            return error_set(err, EINVAL, VZ_ERROR_INVALID_STATE,
                             "a USB disk was attached since it started, which would get no layer: detach it first");
    }
    if (c->storage_devices.count != m->config->storage_devices.count)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "the machine has %u storage devices, and not %u",
                         m->config->storage_devices.count, c->storage_devices.count);
    was = vz_config_copy(m->config, err);
    if (!was)
        return -ENOMEM;
    for (; !r && i < c->storage_devices.count; i++) {
        if (is_elsewhere(device(m->config, i)->attachment, device(c, i)->attachment))
            r = exchange(m, i, device(c, i)->attachment, err);
    }
    if (r == -ENODEV)
        end(m);
    else if (r < 0)
        go_back(m, was, i - 1);
    vz_config_unref(was);
    return r;
}

int vz_machine_set_disks(struct vz_machine *machine, const struct vz_config *config, struct vz_error *err)
{
    if (!options_given(machine, "machine", err) || !options_given(config, "configuration", err))
        return -1;
    return machine_call_opening(machine, set_disks, (void *)config, err) < 0 ? -1 : 0;
}
