/* SPDX-License-Identifier: MIT */
/* The reset control register (port 0xcf9, ICH9 13.7.5) and system control port A (0x92: fast A20
 * and fast reset). A20 is remembered but always open. */
#include <errno.h>
#include <stdlib.h>

#include "base/trace.h"
#include "chipset/chipset.h"

enum { RST_SYS = 0x02, RST_CPU = 0x04, RST_FULL = 0x08, RST_KEPT = 0x0e };
enum { PORT92_RESET = 0x01, PORT92_A20 = 0x02 };

struct reset_ctl {
    struct device dev;
    struct bus_range range;
    struct chipset_requests requests;
    uint32_t trace; /* base/trace.h */
    uint8_t rst_cnt;
    uint8_t port92;
};

static void ask_for_reset(struct reset_ctl *c)
{
    TRACE(c->trace, chipset, "reset", c, "the guest asks for a reset");
    c->requests.request(c->requests.arg, CHIPSET_RESET, 0);
}

/* Under the lock of the PCI host bridge; a byte of our own needs no more. */
uint8_t reset_ctl_read(void *reset_ctl)
{
    struct reset_ctl *c = reset_ctl;
    uint8_t v;

    device_lock(&c->dev);
    v = c->rst_cnt;
    device_unlock(&c->dev);
    return v;
}

void reset_ctl_write(void *reset_ctl, uint8_t value)
{
    struct reset_ctl *c = reset_ctl;

    device_lock(&c->dev);
    /* The rising edge of RST_CPU resets, whatever kind SYS and FULL ask for. */
    if (value & ~c->rst_cnt & RST_CPU)
        ask_for_reset(c);
    c->rst_cnt = value & RST_KEPT;
    device_unlock(&c->dev);
}

static uint64_t port92_read(struct bus_range *r, uint64_t off, unsigned size)
{
    return container_of(r, struct reset_ctl, range)->port92;
}

static void port92_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct reset_ctl *c = container_of(r, struct reset_ctl, range);

    if (value & ~(uint64_t)c->port92 & PORT92_RESET)
        ask_for_reset(c);
    c->port92 = value & (PORT92_RESET | PORT92_A20);
}

static void reset_ctl_reset(struct device *dev)
{
    struct reset_ctl *c = container_of(dev, struct reset_ctl, dev);

    c->rst_cnt = 0;
    c->port92 = PORT92_A20;
}

static const struct state_field reset_ctl_fields[] = {
    STATE_UINT_MAX(struct reset_ctl, rst_cnt, RST_KEPT),
    STATE_UINT_MAX(struct reset_ctl, port92, 3),
    STATE_END,
};

static const struct state_desc reset_ctl_state = {
    .name = "reset", .version = 1, .fields = reset_ctl_fields};

static void reset_ctl_destroy(struct device *dev)
{
    struct reset_ctl *c = container_of(dev, struct reset_ctl, dev);

    device_fini(dev);
    free(c);
}

static const struct device_ops reset_ctl_ops = {.name = "reset",
                                                .reset_locked = reset_ctl_reset,
                                                .state = &reset_ctl_state,
                                                .destroy = reset_ctl_destroy};

int reset_ctl_create(struct bus *bus, const struct chipset_requests *requests,
                     struct reset_ctl **ret)
{
    struct reset_ctl *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    c->requests = *requests;
    c->trace = trace_mask();
    r = device_init(&c->dev, &reset_ctl_ops, bus, 0);
    if (r < 0) {
        free(c);
        return r;
    }
    reset_ctl_reset(&c->dev);
    c->range = (struct bus_range){.dev = &c->dev, .base = 0x92, .len = 1, .max_size = 1,
                                  .read_locked = port92_read, .write_locked = port92_write};
    *ret = c;
    return bus_add(bus, BUS_PORT, &c->range);
}
