/* SPDX-License-Identifier: MIT */
/* How the guest's accesses find devices, and how devices interrupt the guest: two address spaces
 * (ports and MMIO; of the latter, what lies from HV_GPA_SMM on only CPUs in System Management Mode reach), interrupt lines, MSIs, and the list of devices.
 *
 * bus_io_ops is what the hypervisor backend calls. An access is split into naturally aligned
 * pieces of at most the range's largest access; each piece runs under the device's lock. Reads
 * of nothing give all ones; both that and writes to nothing are counted. */
#ifndef VZ_BUS_BUS_H
#define VZ_BUS_BUS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/stats.h"
#include "base/compiler.h"
#include "bus/device.h"
#include "hv/hv.h"

enum bus_space_kind { BUS_PORT, BUS_MMIO, BUS_SPACE_COUNT };

/* An address in a range whose writes only say "look": where the backend can, they signal an
 * eventfd, and the range's handler is not called. See bus_bell_add(). */
struct bus_bell {
    uint64_t off; /* in the range */
    int fd;
    /* The bus's. */
    struct bus_bell *next;
    bool rings; /* the backend has it, at gpa */
    uint64_t gpa;
};

/* A message-signalled interrupt that a device sends again and again: the backend's shortcut for it
 * (hv_shortcut_ops.irqfd_add), made at the first. Zero at first; under the device's lock. */
struct bus_msi_line {
    struct hv_irqfd *irqfd;
    int fd;     /* irqfd's */
    bool tried; /* and if there is no irqfd, there is none to be had */
    struct hv_msi msi; /* irqfd sends it */
};

/* A range of addresses that a device answers. The device's memory; lives until bus_remove(). */
struct bus_range {
    struct device *dev;
    uint64_t base, len; /* bytes; set by the caller before bus_add() */
    /* Access sizes the handlers take, powers of two, 1..8. A narrower read is cut out of an
     * aligned access of min_size; a narrower write is dropped and counted. 0: 1 and 8. */
    uint8_t min_size, max_size;
    /* Under dev->lock, on a vCPU thread; must not wait. off + size <= len, off is a multiple of
     * size. Values are in the low bits; read's upper bits are ignored, write's are 0. */
    uint64_t (*read_locked)(struct bus_range *r, uint64_t off, unsigned size);
    void (*write_locked)(struct bus_range *r, uint64_t off, unsigned size, uint64_t value);
    /* Ports: writes to so many of the first may come late, before the next access to anything at
     * the latest: they do nothing that is seen otherwise. */
    uint8_t late_len;
    /* Guests wait by reading it over and over, such as a clock: now and then other threads get the CPU, which
     * may be those that do what is waited for. */
    bool polled;
    /* The bus's. */
    struct bus_bell *bells; /* under dev->lock */
    uint32_t reads;         /* under dev->lock; if it is polled */
    enum bus_space_kind space;
    bool added;
};

struct bus_space {
    struct bus_range **range; /* sorted by base */
    unsigned count, capacity;
};

/* After so many reads of a polled range, some 25 us of our software CPU's, other threads get the CPU. */
#define BUS_READS_PER_WAY 256u

/* Of the whole machine; read at any time. */
/* More than any kernel asks where nothing is while it looks for devices. */
#define BUS_UNCLAIMED_TOO_MANY 1000000u

#define BUS_COUNTERS(X)                                                                            \
    X(port_reads) X(port_writes) X(mmio_reads) X(mmio_writes)                                      \
    X(unclaimed_reads) X(unclaimed_writes) /* one warning at BUS_UNCLAIMED_TOO_MANY */             \
    X(gave_way) /* other threads got the CPU at a read of a polled range */

struct bus_stats {
    BUS_COUNTERS(STATS_FIELD)
};
void bus_stats_tell(const struct bus_stats *s, stats_fn *fn, void *arg); /* "bus.port_reads", ... */

struct bus {
    pthread_rwlock_t lock;    /* space[]; a leaf */
    struct bus_space space[BUS_SPACE_COUNT];
    pthread_mutex_t irq_lock; /* irq_*; only the hypervisor backend is called under it */
    unsigned irq_count[HV_IRQ_LINES]; /* lines that are high */
    uint32_t irq_used;                /* GSIs that have a line */
    const struct hv_ops *hv;
    struct hv_vm *vm;
    const struct hv_shortcut_ops *shortcut; /* not NULL; nothing in it where hv has none */
    struct device *devices;   /* changed only while no vCPU runs */
    struct bus_stats stats;
};

/* arg is the struct bus. */
extern const struct hv_io_ops bus_io_ops;

/* 0 or -errno. */
int bus_create(struct bus **ret) must_check;
/* Destroys all devices, youngest first. No vCPU runs. NULL is fine. */
void bus_destroy(struct bus *bus);

/* Where interrupts go. Before any device raises one; until then lines only remember. */
void bus_set_hv(struct bus *bus, const struct hv_ops *hv, struct hv_vm *vm);

/* Make the range visible. Any thread, also under a device's lock. -EEXIST when it overlaps one
 * that is there (then nothing changed), -EINVAL for a range outside the space, -ENOMEM. */
int bus_add(struct bus *bus, enum bus_space_kind space, struct bus_range *r) must_check;
/* An access by another vCPU may still be under way, or waiting for the device's lock, when this
 * returns. Does nothing when the range was not added. */
void bus_remove(struct bus *bus, struct bus_range *r);

/* Reset all devices, in order of creation. No vCPU runs. */
void bus_reset(struct bus *bus);
/* All devices. No vCPU runs; the loop may. 0 or -errno. After a failed load: bus_reset(). */
int bus_save(struct bus *bus, struct state_writer *w) must_check;
int bus_load(struct bus *bus, const void *data, size_t len, struct vz_error *err) must_check;

/* One device's connection to a level-triggered GSI, which others may share: the GSI is high while
 * any of its lines is. */
struct irq_line {
    struct bus *bus;
    unsigned gsi;
    bool level;
};

/* gsi < HV_IRQ_LINES. */
void irq_line_init(struct irq_line *line, struct bus *bus, unsigned gsi);
/* Under the device's lock. */
void irq_line_set(struct irq_line *line, bool level);

/* Is it any use to make a bell? */
bool bus_has_bells(const struct bus *bus);

/* Put bell, with off and fd set, on an MMIO range: whenever the range is on the bus it rings.
 * False: the backend has no such thing, nothing has changed. Under the device's lock, both. */
bool bus_bell_add(struct bus *bus, struct bus_range *r, struct bus_bell *bell) must_check;
void bus_bell_remove(struct bus *bus, struct bus_range *r, struct bus_bell *bell);

/* Send it. Under the device's lock. */
void bus_msi_line_send(struct bus *bus, struct bus_msi_line *line, uint64_t address,
                       uint32_t data);
/* It is not sent again. */
void bus_msi_line_fini(struct bus *bus, struct bus_msi_line *line);

/* Any thread. */
void bus_msi(struct bus *bus, uint64_t address, uint32_t data);

#endif
