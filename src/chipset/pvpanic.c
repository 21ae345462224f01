/* SPDX-License-Identifier: MIT */
/* How a guest's kernel tells that it has panicked: a port that says which events it knows, and takes
 * one of them. QEMU's docs/specs/pvpanic; Linux drives it by itself (pvpanic-mmio, by the ACPI
 * device QEMU0001 in the DSDT). */
#include <errno.h>
#include <stdlib.h>

#include "chipset/chipset.h"

struct pvpanic {
    struct device dev;
    struct bus_range range;
    struct chipset_requests requests;
    uint8_t told; /* events since the reset: each is passed on once */
};

static uint64_t pvpanic_read(struct bus_range *r, uint64_t off, unsigned size)
{
    return PVPANIC_PANICKED | PVPANIC_CRASH_LOADED;
}

static void pvpanic_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct pvpanic *p = container_of(r, struct pvpanic, range);
    uint8_t news = (uint8_t)(value & (PVPANIC_PANICKED | PVPANIC_CRASH_LOADED) & ~p->told);

    p->told |= news;
    if (news)
        p->requests.request(p->requests.arg, CHIPSET_PANIC, news);
}

static void pvpanic_reset(struct device *dev)
{
    container_of(dev, struct pvpanic, dev)->told = 0;
}

static void pvpanic_destroy(struct device *dev)
{
    struct pvpanic *p = container_of(dev, struct pvpanic, dev);

    device_fini(dev);
    free(p);
}

static const struct state_field fields[] = {STATE_UINT(struct pvpanic, told), STATE_END};
static const struct state_desc state = {.name = "pvpanic", .version = 1, .fields = fields};
static const struct device_ops ops = {.name = "pvpanic", .reset_locked = pvpanic_reset,
                                      .state = &state, .destroy = pvpanic_destroy};

int pvpanic_create(struct bus *bus, const struct chipset_requests *requests)
{
    struct pvpanic *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return -ENOMEM;
    p->requests = *requests;
    r = device_init(&p->dev, &ops, bus, 0);
    if (r < 0) {
        free(p);
        return r;
    }
    p->range = (struct bus_range){.dev = &p->dev, .base = PVPANIC_PORT, .len = 1, .max_size = 1,
                                  .read_locked = pvpanic_read, .write_locked = pvpanic_write};
    return bus_add(bus, BUS_PORT, &p->range);
}
