/* SPDX-License-Identifier: MIT */
/* The list of devices, interrupt lines and MSIs: see bus.h. Address spaces are in space.c. */
#include "bus/bus.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "hv/hv_shortcut.h"

static const struct hv_shortcut_ops no_shortcuts;

int bus_create(struct bus **ret)
{
    struct bus *bus = calloc(1, sizeof(*bus));

    if (!bus)
        return -ENOMEM;
    pthread_rwlock_init(&bus->lock, NULL);
    pthread_mutex_init(&bus->irq_lock, NULL);
    bus->shortcut = &no_shortcuts;
    *ret = bus;
    return 0;
}

void bus_destroy(struct bus *bus)
{
    if (!bus)
        return;
    while (bus->devices) {
        struct device *last = bus->devices;

        while (last->next)
            last = last->next;
        last->ops->destroy(last);
    }
    for (unsigned i = 0; i < BUS_SPACE_COUNT; i++)
        free(bus->space[i].range);
    pthread_rwlock_destroy(&bus->lock);
    pthread_mutex_destroy(&bus->irq_lock);
    free(bus);
}

void bus_set_hv(struct bus *bus, const struct hv_ops *hv, struct hv_vm *vm)
{
    bus->hv = hv;
    bus->vm = vm;
    bus->shortcut = hv->shortcut ? hv->shortcut : &no_shortcuts;
}

int device_init(struct device *dev, const struct device_ops *ops, struct bus *bus,
                uint32_t instance)
{
    struct device **at = &bus->devices;

    dev->ops = ops;
    dev->bus = bus;
    dev->instance = instance;
    dev->next = NULL;
    pthread_mutex_init(&dev->lock, NULL);
    while (*at)
        at = &(*at)->next;
    *at = dev;
    return 0;
}

/* The device's ranges that are still on a space, in case its destroy left any. */
static void remove_ranges_of(struct bus *bus, const struct device *dev)
{
    for (unsigned s = 0; s < BUS_SPACE_COUNT; s++) {
        for (unsigned i = bus->space[s].count; i-- > 0;) {
            if (bus->space[s].range[i]->dev == dev)
                bus_remove(bus, bus->space[s].range[i]);
        }
    }
}

void device_fini(struct device *dev)
{
    struct device **at = &dev->bus->devices;

    remove_ranges_of(dev->bus, dev);
    while (*at && *at != dev)
        at = &(*at)->next;
    if (*at)
        *at = dev->next;
    pthread_mutex_destroy(&dev->lock);
}

void bus_reset(struct bus *bus)
{
    for (struct device *d = bus->devices; d; d = d->next) {
        device_lock(d);
        if (d->ops->reset_locked)
            d->ops->reset_locked(d);
        device_unlock(d);
    }
}

int bus_save(struct bus *bus, struct state_writer *w)
{
    int r = 0;

    for (struct device *d = bus->devices; d && !r; d = d->next) {
        device_lock(d);
        if (d->ops->before_save_locked)
            d->ops->before_save_locked(d);
        r = state_save(w, d->ops->state, d->instance, d);
        if (!r && d->own_state)
            r = state_save(w, d->own_state, d->instance, d);
        device_unlock(d);
    }
    return r;
}

/* Tell the backend all levels: what it restored for itself may be older. */
static void sync_lines(struct bus *bus)
{
    pthread_mutex_lock(&bus->irq_lock);
    for (unsigned gsi = 0; gsi < HV_IRQ_LINES; gsi++) {
        if (bus->hv && (bus->irq_used & BIT(gsi)))
            bus->hv->irq_line(bus->vm, gsi, bus->irq_count[gsi] > 0);
    }
    pthread_mutex_unlock(&bus->irq_lock);
}

int bus_load(struct bus *bus, const void *data, size_t len, struct vz_error *err)
{
    int r = 0;

    for (struct device *d = bus->devices; d && !r; d = d->next) {
        device_lock(d);
        r = state_load(data, len, d->ops->state, d->instance, d, err);
        if (!r && d->own_state)
            r = state_load(data, len, d->own_state, d->instance, d, err);
        device_unlock(d);
    }
    if (!r)
        sync_lines(bus);
    return r;
}

void irq_line_init(struct irq_line *line, struct bus *bus, unsigned gsi)
{
    *line = (struct irq_line){.bus = bus, .gsi = gsi};
    bus->irq_used |= (uint32_t)BIT(gsi);
}

void irq_line_set(struct irq_line *line, bool level)
{
    struct bus *bus = line->bus;
    unsigned *count = &bus->irq_count[line->gsi];

    if (line->level == level)
        return;
    line->level = level;
    pthread_mutex_lock(&bus->irq_lock);
    *count = level ? *count + 1 : *count - 1;
    if (bus->hv && *count == (level ? 1u : 0u))
        bus->hv->irq_line(bus->vm, line->gsi, level);
    pthread_mutex_unlock(&bus->irq_lock);
}

void bus_msi(struct bus *bus, uint64_t address, uint32_t data)
{
    struct hv_msi msi = {.address = address, .data = data};

    if (bus->hv)
        bus->hv->msi(bus->vm, &msi);
}

void bus_stats_tell(const struct bus_stats *s, stats_fn *fn, void *arg)
{
#define TELL_(name) STATS_TELL_IN("bus", name)
    BUS_COUNTERS(TELL_)
#undef TELL_
}
