/* SPDX-License-Identifier: MIT */
/* fw_cfg: how firmware and small kernels ask what the machine has (QEMU's docs/specs/fw_cfg). A key
 * is written to port 0x510, the item's bytes are read one after the other from port 0x511; behind
 * its end, and for keys nobody knows, come zeroes. There is no DMA interface and there are no
 * files. */
#include <errno.h>
#include <stdlib.h>

#include "base/le.h"
#include "chipset/chipset.h"

#define FW_CFG_PORT 0x510

enum fw_cfg_key {
    FW_CFG_SIGNATURE = 0x00, FW_CFG_ID = 0x01, FW_CFG_RAM_SIZE = 0x03, FW_CFG_NB_CPUS = 0x05,
    FW_CFG_MAX_CPUS = 0x0f,
};
#define FW_CFG_ID_TRADITIONAL 1u

struct fw_cfg {
    struct device dev;
    struct bus_range range;
    uint64_t ram_size;
    uint16_t cpus;
    uint16_t key;
    uint32_t offset; /* of the next byte in the item */
};

/* The longest item has 8 bytes. */
static uint8_t item_byte(const struct fw_cfg *f, uint16_t key, uint32_t offset)
{
    uint8_t item[8] = {0};

    switch (key) {
    case FW_CFG_SIGNATURE:
        memcpy(item, "QEMU", 4);
        break;
    case FW_CFG_ID:
        store_le32(item, FW_CFG_ID_TRADITIONAL);
        break;
    case FW_CFG_RAM_SIZE:
        store_le64(item, f->ram_size);
        break;
    case FW_CFG_NB_CPUS:
    case FW_CFG_MAX_CPUS:
        store_le16(item, f->cpus);
        break;
    default:
        break;
    }
    return offset < sizeof(item) ? item[offset] : 0;
}

static uint64_t fw_cfg_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct fw_cfg *f = container_of(r, struct fw_cfg, range);
    uint8_t v;

    if (off != 1)
        return 0; /* the key cannot be read */
    v = item_byte(f, f->key, f->offset);
    if (f->offset < UINT32_MAX)
        f->offset++;
    return v;
}

static void fw_cfg_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct fw_cfg *f = container_of(r, struct fw_cfg, range);

    if (off)
        return; /* items cannot be written */
    f->key = (uint16_t)value;
    f->offset = 0;
}

static void fw_cfg_reset(struct device *dev)
{
    struct fw_cfg *f = container_of(dev, struct fw_cfg, dev);

    f->key = 0;
    f->offset = 0;
}

static void fw_cfg_destroy(struct device *dev)
{
    struct fw_cfg *f = container_of(dev, struct fw_cfg, dev);

    device_fini(dev);
    free(f);
}

static const struct state_field fw_cfg_fields[] = {STATE_UINT(struct fw_cfg, key),
                                                   STATE_UINT(struct fw_cfg, offset), STATE_END};

static const struct state_desc fw_cfg_state = {
    .name = "fw_cfg", .version = 1, .fields = fw_cfg_fields};

static const struct device_ops fw_cfg_ops = {.name = "fw_cfg",
                                             .reset_locked = fw_cfg_reset,
                                             .state = &fw_cfg_state,
                                             .destroy = fw_cfg_destroy};

int fw_cfg_create(struct bus *bus, uint64_t ram_size, unsigned cpus)
{
    struct fw_cfg *f = calloc(1, sizeof(*f));
    int r;

    if (!f)
        return -ENOMEM;
    f->ram_size = ram_size;
    f->cpus = (uint16_t)cpus;
    r = device_init(&f->dev, &fw_cfg_ops, bus, 0);
    if (r < 0) {
        free(f);
        return r;
    }
    f->range = (struct bus_range){.dev = &f->dev, .base = FW_CFG_PORT, .len = 2, .max_size = 2,
                                  .read_locked = fw_cfg_read, .write_locked = fw_cfg_write};
    return bus_add(bus, BUS_PORT, &f->range);
}
