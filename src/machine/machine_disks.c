/* SPDX-License-Identifier: MIT */
/* Disks of a machine, looked at and changed while it runs. */
#include <vz/runtime.h>

#include <errno.h>

#include "base/error.h"
#include "device/device_kind.h"
#include "device/device_slots.h"
#include "machine/machine_impl.h"

static int no_disk(unsigned device, struct vz_error *err)
{
    error_set(err, 0, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no storage device %u", device);
    return -1;
}

/* By its number. One that check() knows may be gone, or not be there yet: NULL with err. */
static struct device_slot *disk(struct vz_machine *m, unsigned device, struct vz_error *err)
{
    struct device_slot *s = device_slots_find(m->parts.slots, "storageDevices", device);

    if (!s)
        no_disk(device, err);
    return s;
}

/* 0 or -1. */
static int check(const struct vz_machine *m, unsigned device, struct vz_error *err)
{
    if (!options_given(m, "machine", err))
        return -1;
    if (device < m->config->storage_devices.count + MACHINE_USB_MAX)
        return 0;
    return no_disk(device, err);
}

/* ---- Size ----------------------------------------------------------------------------------- */

struct resize_op {
    struct machine_work work;
    unsigned device;
    uint64_t size;
};

static int tell_guest(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct resize_op *op = arg;
    struct device_slot *s = disk(m, op->device, err);

    if (s)
        s->kind->disk->grown(s);
    return 0;
}

static void on_grown(void *arg, const struct vz_error *err)
{
    struct resize_op *op = arg;

    if (!err)
        machine_call(op->work.machine, tell_guest, op, NULL); /* not live: there is no guest any more */
    machine_complete_work(&op->work, err);
}

static int begin(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct resize_op *op = arg;
    struct device_slot *s = disk(m, op->device, err);

    return s ? s->kind->disk->grow(s, op->size, on_grown, op, err) : -ENOENT;
}

int vz_machine_resize_disk(struct vz_machine *m, unsigned device, uint64_t size,
                           vz_machine_done_fn *fn, void *arg)
{
    const struct resize_op op = {.work = {.machine = m, .fn = fn, .arg = arg}, .device = device, .size = size};
    struct vz_error err;

    if (!m)
        return -1;
    return machine_begin_work(&op, sizeof(op), begin, check(m, device, &err) < 0 ? &err : NULL);
}

int vz_machine_resize_disk_wait(struct vz_machine *m, unsigned device, uint64_t size,
                                struct vz_error *err)
{
    const struct resize_op op = {.work.machine = m, .device = device, .size = size};
    struct vz_error refused;

    if (!options_given(m, "machine", err))
        return -1;
    return machine_begin_work_wait(&op, sizeof(op), begin, check(m, device, &refused) < 0 ? &refused : NULL, err);
}

/* ---- What it is now ------------------------------------------------------------------------- */

struct disk_call {
    unsigned device;
    uint64_t size;
    struct vz_disk_limits limits;
};

static int get_size(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct disk_call *c = arg;
    const struct device_slot *s = disk(m, c->device, err);

    if (!s)
        return -ENOENT;
    c->size = s->kind->disk->size(s);
    return 0;
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

static int set_limits(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct disk_call *c = arg;
    struct device_slot *s = disk(m, c->device, err);

    if (!s)
        return -ENOENT;
    s->kind->disk->set_limits(s, &c->limits);
    return 0;
}

int vz_machine_set_disk_limits(struct vz_machine *m, unsigned device,
                               const struct vz_disk_limits *limits, struct vz_error *err)
{
    struct disk_call c = {.device = device, .limits = VZ_DISK_LIMITS_INIT};

    if (check(m, device, err) < 0 || !options_given(limits, "limits", err) ||
        options_copy(&c.limits, sizeof(c.limits), limits, err) < 0)
        return -1;
    if (!c.limits.burst || c.limits.burst > VZ_DISK_BURST_MAX) {
        error_set(err, 0, VZ_ERROR_INVALID, "a burst of %u ms is not between 1 and %u", c.limits.burst,
                  VZ_DISK_BURST_MAX);
        return -1;
    }
    return machine_call(m, set_limits, &c, err) < 0 ? -1 : 0;
}

static int get_limits(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct disk_call *c = arg;
    const struct device_slot *s = disk(m, c->device, err);

    if (!s)
        return -ENOENT;
    s->kind->disk->limits(s, &c->limits);
    return 0;
}

int vz_machine_disk_limits(struct vz_machine *m, unsigned device, struct vz_disk_limits *ret,
                           struct vz_error *err)
{
    struct disk_call c = {.device = device, .limits = VZ_DISK_LIMITS_INIT};

    if (check(m, device, err) < 0 || !options_given(ret, "limits", err) ||
        machine_call(m, get_limits, &c, err) < 0)
        return -1;
    return options_return(ret, ret->size, &c.limits, sizeof(c.limits), err) < 0 ? -1 : 0;
}

/* ---- What it has done ----------------------------------------------------------------------- */

void machine_collect_disk_stats_locked(struct vz_machine *m)
{
    unsigned count = m->config->storage_devices.count;

    for (unsigned i = 0; i < count + MACHINE_USB_MAX; i++) {
        if (!device_slots_disk_stats(m->parts.slots, i, &m->disk_stats[i]) && i >= count)
            m->disk_stats[i].size = 0; /* it is not there */
    }
}

int vz_machine_disk_stats(struct vz_machine *m, unsigned device, struct vz_disk_stats *ret,
                          struct vz_error *err)
{
    struct vz_disk_stats s;

    if (check(m, device, err) < 0 || !options_given(ret, "statistics", err))
        return -1;
    pthread_mutex_lock(&m->lock);
    if (machine_is_live_locked(m))
        machine_collect_disk_stats_locked(m);
    s = m->disk_stats[device];
    pthread_mutex_unlock(&m->lock);
    if (!s.size && device >= m->config->storage_devices.count)
        return no_disk(device, err);
    return options_return(ret, ret->size, &s, sizeof(s), err) < 0 ? -1 : 0;
}
