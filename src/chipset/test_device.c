/* SPDX-License-Identifier: MIT */
/* What CPU test programs expect beside debug-exit, at the addresses of QEMU's pc-testdev: a port
 * that remembers, memory that is reached by device accesses only, and interrupt lines to pull.
 *
 *     0xe0 to 0xe3, 0xe8 to 0xeb   a 32-bit register each
 *     0xe4 to 0xe7                 "forget this page": nothing to forget here
 *     0x2000 to 0x2017             level of that GSI, bit 0
 *     0xff000000                   64 KiB of bytes */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chipset/chipset.h"

#define MEMORY_BASE 0xff000000u
#define MEMORY_SIZE 0x10000u

enum { REGISTERS, FLUSH, BYTE_REGISTERS, LINES, PORT_RANGES };

struct test_device {
    struct device dev;
    struct bus_range port[PORT_RANGES], mmio;
    struct irq_line line[HV_IRQ_LINES];
    uint8_t level[HV_IRQ_LINES]; /* 0 or 1 */
    uint8_t reg[2][4];
    uint8_t memory[MEMORY_SIZE];
};

static struct test_device *of(struct bus_range *r)
{
    return container_of(r->dev, struct test_device, dev);
}

static uint64_t load(const uint8_t *from, unsigned size)
{
    uint64_t v = 0;

    memcpy(&v, from, size);
    return v;
}

static uint8_t *register_of(struct bus_range *r)
{
    struct test_device *d = of(r);

    return d->reg[r == &d->port[BYTE_REGISTERS]];
}

static uint64_t register_read(struct bus_range *r, uint64_t off, unsigned size)
{
    return load(register_of(r) + off, size);
}

static void register_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    memcpy(register_of(r) + off, &value, size);
}

static uint64_t nothing_read(struct bus_range *r, uint64_t off, unsigned size)
{
    return 0;
}

static void nothing_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
}

static uint64_t line_read(struct bus_range *r, uint64_t off, unsigned size)
{
    return of(r)->level[off];
}

static void line_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    of(r)->level[off] = value & 1;
    irq_line_set(&of(r)->line[off], value & 1);
}

static uint64_t memory_read(struct bus_range *r, uint64_t off, unsigned size)
{
    return load(of(r)->memory + off, size);
}

static void memory_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    memcpy(of(r)->memory + off, &value, size);
}

static void set_lines(struct test_device *d)
{
    for (unsigned i = 0; i < HV_IRQ_LINES; i++)
        irq_line_set(&d->line[i], d->level[i]);
}

static void reset(struct device *dev)
{
    struct test_device *d = container_of(dev, struct test_device, dev);

    memset(d->level, 0, sizeof(d->level));
    set_lines(d);
    memset(d->reg, 0, sizeof(d->reg));
    memset(d->memory, 0, sizeof(d->memory));
}

static void destroy(struct device *dev)
{
    struct test_device *d = container_of(dev, struct test_device, dev);

    device_fini(dev);
    free(d);
}

static int loaded(void *object, struct vz_error *err)
{
    set_lines(object);
    return 0;
}

static const struct state_field fields[] = {
    STATE_ARRAY_MAX(struct test_device, level, 1), STATE_BYTES(struct test_device, reg),
    STATE_BYTES(struct test_device, memory), STATE_END};

static const struct state_desc state = {
    .name = "test-device", .version = 1, .fields = fields, .loaded = loaded};

static const struct device_ops ops = {
    .name = "test-device", .reset_locked = reset, .state = &state, .destroy = destroy};

static int add_ports(struct test_device *d, struct bus *bus)
{
    static const struct bus_range port[PORT_RANGES] = {
        [REGISTERS] = {.base = 0xe0, .len = 4, .max_size = 4,
                       .read_locked = register_read, .write_locked = register_write},
        [FLUSH] = {.base = 0xe4, .len = 4, .max_size = 4,
                   .read_locked = nothing_read, .write_locked = nothing_write},
        [BYTE_REGISTERS] = {.base = 0xe8, .len = 4, .max_size = 1,
                            .read_locked = register_read, .write_locked = register_write},
        [LINES] = {.base = 0x2000, .len = HV_IRQ_LINES, .max_size = 1,
                   .read_locked = line_read, .write_locked = line_write},
    };
    int r = 0;

    for (unsigned i = 0; i < PORT_RANGES && !r; i++) {
        d->port[i] = port[i];
        d->port[i].dev = &d->dev;
        r = bus_add(bus, BUS_PORT, &d->port[i]);
    }
    return r;
}

int test_device_create(struct bus *bus)
{
    struct test_device *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    r = device_init(&d->dev, &ops, bus, 0);
    if (r < 0) {
        free(d);
        return r;
    }
    for (unsigned i = 0; i < HV_IRQ_LINES; i++)
        irq_line_init(&d->line[i], bus, i);
    d->mmio = (struct bus_range){.dev = &d->dev, .base = MEMORY_BASE, .len = MEMORY_SIZE,
                                 .max_size = 8, .read_locked = memory_read,
                                 .write_locked = memory_write};
    r = add_ports(d, bus);
    return r < 0 ? r : bus_add(bus, BUS_MMIO, &d->mmio);
}
