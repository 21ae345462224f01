/* SPDX-License-Identifier: MIT */
/* Disks of a machine, changed while it runs. */
#include <vz/runtime.h>

#include "base/error.h"
#include "device/device_kind.h"
#include "device/device_slots.h"
#include "machine/machine_impl.h"

struct disk_call {
    unsigned device;
    uint64_t size;
};

static struct device_slot *disk(struct vz_machine *m, const struct disk_call *c)
{
    return device_slots_find(m->parts.slots, "storageDevices", c->device);
}

static int grow(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct disk_call *c = arg;
    struct device_slot *s = disk(m, c);

    return s->kind->grow(s, c->size, err);
}

static int get_size(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct disk_call *c = arg;
    const struct device_slot *s = disk(m, c);

    c->size = s->kind->size(s);
    return 0;
}

/* 0 or -1. */
static int check(struct vz_machine *m, unsigned device, struct vz_error *err)
{
    if (!options_given(m, "machine", err))
        return -1;
    if (device < m->config->storage_devices.count)
        return 0;
    error_set(err, 0, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no storage device %u", device);
    return -1;
}

int vz_machine_resize_disk(struct vz_machine *m, unsigned device, uint64_t size,
                           struct vz_error *err)
{
    struct disk_call c = {.device = device, .size = size};

    if (check(m, device, err) < 0)
        return -1;
    return machine_call(m, grow, &c, err) < 0 ? -1 : 0;
}

int vz_machine_disk_size(struct vz_machine *m, unsigned device, uint64_t *ret,
                         struct vz_error *err)
{
    struct disk_call c = {.device = device};

    if (check(m, device, err) < 0 || !options_given(ret, "size", err))
        return -1;
    if (machine_call(m, get_size, &c, err) < 0)
        return -1;
    *ret = c.size;
    return 0;
}
