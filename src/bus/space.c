/* SPDX-License-Identifier: MIT */
/* The two address spaces: sorted ranges, and accesses split to what they take. See bus.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/log.h"
#include "base/spin.h"
#include "bus/bus.h"
#include "bus/shortcut.h"
#include "hv/hv_shortcut.h"

/* The index of the last range that starts at or below addr, or -1. */
static int last_at_or_below(const struct bus_space *s, uint64_t addr)
{
    unsigned low = 0, high = s->count;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (s->range[mid]->base <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    return (int)low - 1;
}

static int add_locked(struct bus_space *s, struct bus_range *r)
{
    int before = last_at_or_below(s, r->base + (r->len - 1));
    unsigned at = (unsigned)(before + 1);

    if (before >= 0 && ranges_overlap(r->base, r->len, s->range[before]->base,
                                      s->range[before]->len))
        return -EEXIST;
    if (s->count == s->capacity) {
        unsigned capacity = s->capacity ? 2 * s->capacity : 32;
        struct bus_range **range = realloc(s->range, capacity * sizeof(*range));

        if (!range)
            return -ENOMEM;
        s->range = range;
        s->capacity = capacity;
    }
    memmove(&s->range[at + 1], &s->range[at], (s->count - at) * sizeof(s->range[0]));
    s->range[at] = r;
    s->count++;
    r->added = true;
    return 0;
}

/* Refused, they come as all others do. */
static void offer_late_writes(struct bus *bus, const struct bus_range *r)
{
    if (r->late_len && r->space == BUS_PORT && bus->shortcut->port_defer_writes)
        (void)bus->shortcut->port_defer_writes(bus->vm, (uint16_t)r->base, r->late_len);
}

int bus_add(struct bus *bus, enum bus_space_kind space, struct bus_range *r)
{
    uint64_t limit = space == BUS_PORT ? 0x10000 : UINT64_MAX;
    int ret;

    if (r->added || !r->len || !range_fits(r->base, r->len, limit))
        return -EINVAL;
    if (!r->min_size)
        r->min_size = 1;
    if (!r->max_size)
        r->max_size = 8;
    r->space = space;
    pthread_rwlock_wrlock(&bus->lock);
    ret = add_locked(&bus->space[space], r);
    pthread_rwlock_unlock(&bus->lock);
    if (!ret) {
        bus_bells_added(bus, r);
        offer_late_writes(bus, r);
    }
    return ret;
}

void bus_remove(struct bus *bus, struct bus_range *r)
{
    struct bus_space *s = &bus->space[r->space];

    if (!r->added)
        return;
    bus_bells_removed(bus, r);
    pthread_rwlock_wrlock(&bus->lock);
    for (unsigned i = 0; i < s->count; i++) {
        if (s->range[i] != r)
            continue;
        s->count--;
        memmove(&s->range[i], &s->range[i + 1], (s->count - i) * sizeof(s->range[0]));
        break;
    }
    r->added = false;
    pthread_rwlock_unlock(&bus->lock);
}

/* One piece of an access: who answers it, where and how wide. */
struct piece {
    struct bus_range *r; /* NULL: nobody */
    uint64_t off, len;   /* of the piece in the range; of the range, which may be moved meanwhile */
    unsigned size;
};

/* The largest power of two that divides off and does not exceed len and limit. */
static unsigned piece_size(uint64_t off, uint64_t len, unsigned limit)
{
    unsigned size = limit;

    while (size > 1 && (size > len || off % size))
        size /= 2;
    return size;
}

static struct piece find_piece(struct bus *bus, enum bus_space_kind space, uint64_t addr,
                               unsigned len)
{
    struct piece p = {.size = 1};
    int i;

    pthread_rwlock_rdlock(&bus->lock);
    i = last_at_or_below(&bus->space[space], addr);
    if (i >= 0) {
        struct bus_range *r = bus->space[space].range[i];
        uint64_t off = addr - r->base;

        if (off < r->len) {
            p.r = r;
            p.off = off;
            p.len = r->len;
            p.size = piece_size(off, MIN((uint64_t)len, r->len - off), r->max_size);
        }
    }
    pthread_rwlock_unlock(&bus->lock);
    return p;
}

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* A guest that keeps asking where nothing is has lost its way, and shows it in no other manner. */
static void count_unclaimed(_Atomic uint64_t *counter, enum bus_space_kind space, uint64_t addr,
                            const char *what)
{
    if (atomic_fetch_add_explicit(counter, 1, memory_order_relaxed) + 1 == BUS_UNCLAIMED_TOO_MANY)
        log_warn("the guest has %s %u times where no device is, last at %s 0x%llx", what,
                 BUS_UNCLAIMED_TOO_MANY, space == BUS_PORT ? "port" : "address",
                 (unsigned long long)addr);
}

static uint64_t low_mask(unsigned size)
{
    return size >= 8 ? UINT64_MAX : BIT(8 * size) - 1;
}

/* Firmware's disk drivers and delays read a clock until something has happened. On a busy host it happens no sooner than
 * this thread has used up its time, if the thread that it waits for cannot have the CPU before. */
static bool is_way_due_locked(struct bus_range *r)
{
    return r->polled && !(++r->reads % BUS_READS_PER_WAY);
}

static void give_way(struct bus *bus)
{
    count(&bus->stats.gave_way);
    spin_pause();
}

static uint64_t read_piece(struct bus *bus, const struct piece *p)
{
    struct bus_range *r = p->r;
    unsigned wide = MAX(p->size, (unsigned)r->min_size);
    uint64_t off = align_down(p->off, wide), v = UINT64_MAX;
    bool way_is_due;

    if (!range_fits(off, wide, p->len))
        return v;
    device_lock(r->dev);
    if (r->read_locked)
        v = r->read_locked(r, off, wide);
    way_is_due = is_way_due_locked(r);
    device_unlock(r->dev);
    if (way_is_due)
        give_way(bus);
    return v >> (8 * (p->off - off));
}

static uint64_t space_read(struct bus *bus, enum bus_space_kind space, uint64_t addr,
                           unsigned size)
{
    uint64_t value = 0;

    for (unsigned done = 0, n; done < size; done += n) {
        struct piece p = find_piece(bus, space, addr + done, size - done);
        uint64_t v = UINT64_MAX;

        n = p.size;
        if (p.r)
            v = read_piece(bus, &p);
        else if (done == 0)
            count_unclaimed(&bus->stats.unclaimed_reads, space, addr, "read");
        value |= (v & low_mask(n)) << (8 * done);
    }
    return value;
}

static void space_write(struct bus *bus, enum bus_space_kind space, uint64_t addr, unsigned size,
                        uint64_t value)
{
    for (unsigned done = 0, n; done < size; done += n) {
        struct piece p = find_piece(bus, space, addr + done, size - done);

        n = p.size;
        if (p.r && n >= p.r->min_size) {
            device_lock(p.r->dev);
            if (p.r->write_locked)
                p.r->write_locked(p.r, p.off, n, (value >> (8 * done)) & low_mask(n));
            device_unlock(p.r->dev);
        } else if (p.r || done == 0) {
            count_unclaimed(&bus->stats.unclaimed_writes, space, addr, "written");
        }
    }
}

/* Where a CPU in System Management Mode finds no device of that address space, it finds the other's. */
static gpa_t mmio_place(struct bus *bus, gpa_t gpa)
{
    gpa_t plain = gpa & ~HV_GPA_SMM;

    if (likely(gpa == plain) || find_piece(bus, BUS_MMIO, gpa, 1).r)
        return gpa;
    return plain;
}

static uint64_t io_mmio_read(void *arg, gpa_t gpa, unsigned size)
{
    struct bus *bus = arg;

    count(&bus->stats.mmio_reads);
    return space_read(bus, BUS_MMIO, mmio_place(bus, gpa), size);
}

static void io_mmio_write(void *arg, gpa_t gpa, unsigned size, uint64_t value)
{
    struct bus *bus = arg;

    count(&bus->stats.mmio_writes);
    space_write(bus, BUS_MMIO, mmio_place(bus, gpa), size, value);
}

static uint32_t io_port_read(void *arg, uint16_t port, unsigned size)
{
    struct bus *bus = arg;

    count(&bus->stats.port_reads);
    return (uint32_t)space_read(bus, BUS_PORT, port, size);
}

static void io_port_write(void *arg, uint16_t port, unsigned size, uint32_t value)
{
    struct bus *bus = arg;

    count(&bus->stats.port_writes);
    space_write(bus, BUS_PORT, port, size, value);
}

const struct hv_io_ops bus_io_ops = {
    .mmio_read = io_mmio_read,
    .mmio_write = io_mmio_write,
    .port_read = io_port_read,
    .port_write = io_port_write,
};
