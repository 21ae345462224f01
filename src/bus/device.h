/* SPDX-License-Identifier: MIT */
/* What every device model has: a lock, a reset, and a state table.
 *
 * Threads: register handlers (bus.h), client callbacks of host backends, and timers all take
 * device.lock first; functions that need it held end in _locked. Lock order: PCI host bridge, PCI
 * functions, other devices, then the leaves (bus, interrupt lines, host backends, the hypervisor
 * backend). A device never takes another device's lock, PCI's two bridges excepted. */
#ifndef VZ_BUS_DEVICE_H
#define VZ_BUS_DEVICE_H

#include <pthread.h>

#include "base/compiler.h"
#include "state/state.h"

struct bus;
struct device;

struct device_ops {
    const char *name; /* "uart" */
    /* Back to power-up state, lines low, timers off. Under the lock; no vCPU runs. */
    void (*reset_locked)(struct device *dev);
    /* What is saved; state.loaded derives the rest (timers, line levels). Its object is the
     * struct device; fields are offsets in the struct that embeds it at its start. */
    const struct state_desc *state;
    /* Optional: bring fields that stand for running things (a counter) up to date, before a save.
     * Must not change what the guest sees. */
    void (*before_save_locked)(struct device *dev);
    /* Undo everything, and free the memory. No vCPU runs and the loop is not running. */
    void (*destroy)(struct device *dev);
};

struct device {
    const struct device_ops *ops;
    struct bus *bus;
    uint32_t instance;   /* tells devices of a kind apart in a saved state */
    struct device *next; /* the bus's list, in order of creation */
    /* Optional: a second table, saved and loaded after ops->state, for devices that share one. */
    const struct state_desc *own_state;
    pthread_mutex_t lock;
};

/* Fill in the base and put it on the bus's list, from where bus_destroy() destroys it. Devices are
 * made before vCPUs run. 0 or -errno. */
int device_init(struct device *dev, const struct device_ops *ops, struct bus *bus,
                uint32_t instance) must_check;

/* For ops->destroy: take it off the list, and its ranges off the bus. */
void device_fini(struct device *dev);

static inline void device_lock(struct device *dev)
{
    pthread_mutex_lock(&dev->lock);
}

static inline void device_unlock(struct device *dev)
{
    pthread_mutex_unlock(&dev->lock);
}

#endif
