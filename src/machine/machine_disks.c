/* SPDX-License-Identifier: MIT */
/* Disks of a machine, looked at and changed while it runs. */
#include <vz/runtime.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "device/device_kind.h"
#include "device/device_slots.h"
#include "machine/machine_impl.h"

static int no_disk(unsigned device, struct vz_error *err)
{
    return error_set(err, ENOENT, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no storage device %u", device);
}

/* By its number. One that check() knows may be gone, or not be there yet: NULL with err. */
static struct device_slot *disk(struct vz_machine *m, unsigned device, struct vz_error *err)
{
    struct device_slot *s = device_slots_find(m->parts.slots, "storageDevices", device);

    if (!s)
        (void)!no_disk(device, err);
    return s;
}

/* 0 or -1. */
static int check(const struct vz_machine *m, unsigned device, struct vz_error *err)
{
    if (!options_given(m, "machine", err))
        return -1;
    if (device < m->config->storage_devices.count + MACHINE_USB_MAX)
        return 0;
    (void)!no_disk(device, err);
    return -1;
}

/* ---- Size ----------------------------------------------------------------------------------- */

struct resize_op {
    struct event event;
    struct vz_machine *machine;
    unsigned device;
    uint64_t size;
    vz_machine_done_fn *fn; /* may be NULL */
    void *arg;
    bool direct; /* of the waiting form: completed by the machine's thread itself */
    bool failed;
    struct vz_error err;
};

static void call_resized(struct event *e, void *machine)
{
    struct resize_op *op = container_of(e, struct resize_op, event);

    if (op->fn)
        op->fn(op->arg, machine, op->failed ? &op->err : NULL);
    free(op);
}

static void complete(struct resize_op *op, const struct vz_error *err)
{
    struct vz_machine *m = op->machine;

    op->failed = err != NULL;
    if (err && err != &op->err)
        op->err = *err;
    if (op->direct) {
        call_resized(&op->event, m);
        return;
    }
    op->event.fn = call_resized;
    events_push(&m->events, &op->event);
    machine_wake(m);
}

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
        machine_call(op->machine, tell_guest, op, NULL); /* not live: there is no guest any more */
    complete(op, err);
}

static int begin(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct resize_op *op = arg;
    struct device_slot *s = disk(m, op->device, err);

    return s ? s->kind->disk->grow(s, op->size, on_grown, op, err) : -ENOENT;
}

static int resize(struct vz_machine *m, const struct resize_op *what)
{
    struct resize_op *op = m ? malloc(sizeof(*op)) : NULL;

    if (!op)
        return -1;
    *op = *what;
    op->machine = m;
    if (check(m, op->device, &op->err) < 0 || machine_call(m, begin, op, &op->err) < 0)
        complete(op, &op->err);
    return 0;
}

int vz_machine_resize_disk(struct vz_machine *m, unsigned device, uint64_t size,
                           vz_machine_done_fn *fn, void *arg)
{
    return resize(m, &(struct resize_op){.device = device, .size = size, .fn = fn, .arg = arg});
}

static void resize_done(void *arg, struct vz_machine *m, const struct vz_error *err)
{
    waiter_done(arg, err);
}

int vz_machine_resize_disk_wait(struct vz_machine *m, unsigned device, uint64_t size,
                                struct vz_error *err)
{
    struct waiter w = WAITER_INIT;
    const struct resize_op op = {.device = device, .size = size, .fn = resize_done, .arg = &w, .direct = true};

    if (!options_given(m, "machine", err))
        return -1;
    if (machine_is_current(m)) {
        error_set(err, 0, VZ_ERROR_INVALID_STATE, "the machine's own thread cannot wait for it");
        return -1;
    }
    if (resize(m, &op) < 0) {
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
        return -1;
    }
    return waiter_wait(&w, err);
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
        return no_disk(device, err) < 0 ? -1 : 0;
    return options_return(ret, ret->size, &s, sizeof(s), err) < 0 ? -1 : 0;
}
