/* SPDX-License-Identifier: MIT */
/* Two ports without a device behind them: POST codes (0x80, which kernels write to for a short
 * delay, and 0xed, its alternative), and debug-exit, by which CPU test programs end the run. */
#include <errno.h>
#include <stdlib.h>

#include "chipset/chipset.h"

struct post_ports {
    struct device dev;
    struct bus_range range[2];
    uint8_t code[2];
};

static uint64_t post_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct post_ports *p = container_of(r->dev, struct post_ports, dev);

    return p->code[r - p->range];
}

static void post_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct post_ports *p = container_of(r->dev, struct post_ports, dev);

    p->code[r - p->range] = (uint8_t)value;
}

static void post_reset(struct device *dev)
{
    struct post_ports *p = container_of(dev, struct post_ports, dev);

    p->code[0] = p->code[1] = 0;
}

static void post_destroy(struct device *dev)
{
    struct post_ports *p = container_of(dev, struct post_ports, dev);

    device_fini(dev);
    free(p);
}

static const struct state_field post_fields[] = {STATE_BYTES(struct post_ports, code), STATE_END};

static const struct state_desc post_state = {
    .name = "post", .version = 1, .fields = post_fields};

static const struct device_ops post_ops = {
    .name = "post", .reset_locked = post_reset, .state = &post_state, .destroy = post_destroy};

int post_ports_create(struct bus *bus)
{
    static const uint16_t port[2] = {0x80, 0xed};
    struct post_ports *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return -ENOMEM;
    r = device_init(&p->dev, &post_ops, bus, 0);
    if (r < 0) {
        free(p);
        return r;
    }
    for (unsigned i = 0; i < 2 && !r; i++) {
        p->range[i] = (struct bus_range){.dev = &p->dev, .base = port[i], .len = 1, .max_size = 1,
                                         .late_len = 1,
                                         .read_locked = post_read, .write_locked = post_write};
        r = bus_add(bus, BUS_PORT, &p->range[i]);
    }
    return r;
}

struct debug_exit {
    struct device dev;
    struct bus_range range;
    struct chipset_requests requests;
    uint32_t value; /* the last one written */
};

static uint64_t debug_exit_read(struct bus_range *r, uint64_t off, unsigned size)
{
    return container_of(r, struct debug_exit, range)->value >> (8 * off);
}

static void debug_exit_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct debug_exit *d = container_of(r, struct debug_exit, range);

    if (off)
        return;
    d->value = (uint32_t)value;
    d->requests.request(d->requests.arg, CHIPSET_DEBUG_EXIT, d->value);
}

static void debug_exit_reset(struct device *dev)
{
    container_of(dev, struct debug_exit, dev)->value = 0;
}

static void debug_exit_destroy(struct device *dev)
{
    struct debug_exit *d = container_of(dev, struct debug_exit, dev);

    device_fini(dev);
    free(d);
}

static const struct state_field debug_exit_fields[] = {STATE_UINT(struct debug_exit, value),
                                                       STATE_END};

static const struct state_desc debug_exit_state = {
    .name = "debug-exit", .version = 1, .fields = debug_exit_fields};

static const struct device_ops debug_exit_ops = {.name = "debug-exit",
                                                 .reset_locked = debug_exit_reset,
                                                 .state = &debug_exit_state,
                                                 .destroy = debug_exit_destroy};

int debug_exit_create(struct bus *bus, const struct chipset_requests *requests)
{
    struct debug_exit *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    d->requests = *requests;
    r = device_init(&d->dev, &debug_exit_ops, bus, 0);
    if (r < 0) {
        free(d);
        return r;
    }
    d->range = (struct bus_range){.dev = &d->dev, .base = 0xf4, .len = 4, .max_size = 4,
                                  .read_locked = debug_exit_read,
                                  .write_locked = debug_exit_write};
    return bus_add(bus, BUS_PORT, &d->range);
}
