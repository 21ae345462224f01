/* SPDX-License-Identifier: MIT */
/* fw_cfg: how firmware and small kernels ask what the machine has (QEMU's docs/specs/fw_cfg.rst). A
 * key is written to port 0x510, the item's bytes are read one after the other from port 0x511; or
 * the address of a request is written to port 0x514, and the bytes go to guest memory. Behind an
 * item's end, and for keys nobody knows, come zeroes. Files are items with names, which the item
 * FW_CFG_FILE_DIR lists. Nothing can be written. */
#include <errno.h>
#include <stdlib.h>

#include "base/be.h"
#include "base/le.h"
#include "chipset/chipset.h"

#define FW_CFG_DATA     1 /* offsets */
#define FW_CFG_DMA_HIGH 4
#define FW_CFG_DMA_LOW  8

enum fw_cfg_key {
    FW_CFG_SIGNATURE = 0x00, FW_CFG_ID = 0x01, FW_CFG_RAM_SIZE = 0x03, FW_CFG_NB_CPUS = 0x05,
    FW_CFG_BOOT_MENU = 0x0e, FW_CFG_MAX_CPUS = 0x0f, FW_CFG_FILE_DIR = 0x19, FW_CFG_FILE_FIRST = 0x20,
};
enum { ID_TRADITIONAL = 1, ID_DMA = 2 };

/* What the DMA address register reads as, in big-endian order: "QEMU CFG". */
#define DMA_SIGNATURE_HIGH UINT32_C(0x51454d55)
#define DMA_SIGNATURE_LOW  UINT32_C(0x20434647)

enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
#define DMA_REQUEST_LEN 16u /* control, length, address */

#define FILES_MAX      32u
#define DIR_HEAD_LEN   4u
#define DIR_ENTRY_LEN  64u
#define DIR_NAME_AT    8u

struct fw_cfg_file {
    char name[FW_CFG_NAME_MAX + 1];
    uint8_t *data;
    uint32_t len;
};

struct fw_cfg {
    struct device dev;
    struct bus_range range;
    struct fw_cfg_options options;
    struct fw_cfg_file file[FILES_MAX];
    unsigned file_count;
    uint8_t dir[DIR_HEAD_LEN + FILES_MAX * DIR_ENTRY_LEN];
    uint16_t key;
    uint32_t offset;   /* of the next byte in the item */
    uint32_t dma_high; /* of the next request's address */
};

/* ---- Items ---------------------------------------------------------------------------------- */

struct item {
    const uint8_t *data;
    uint32_t len;
};

static struct item small_item(uint8_t room[8], uint64_t value, uint32_t len)
{
    store_le64(room, value);
    return (struct item){room, len};
}

/* room: for the bytes of an item that stands nowhere. */
static struct item find_item(const struct fw_cfg *f, uint8_t room[8])
{
    switch (f->key) {
    case FW_CFG_SIGNATURE:
        return (struct item){(const uint8_t *)"QEMU", 4};
    case FW_CFG_ID:
        return small_item(room, f->options.mem ? (ID_TRADITIONAL | ID_DMA) : ID_TRADITIONAL, 4);
    case FW_CFG_RAM_SIZE:
        return small_item(room, f->options.ram_size, 8);
    case FW_CFG_NB_CPUS:
    case FW_CFG_MAX_CPUS:
        return small_item(room, f->options.cpus, 2);
    case FW_CFG_BOOT_MENU:
        return small_item(room, f->options.boot_menu, 2);
    case FW_CFG_FILE_DIR:
        return (struct item){f->dir, DIR_HEAD_LEN + f->file_count * DIR_ENTRY_LEN};
    default:
        break;
    }
    if (f->key >= FW_CFG_FILE_FIRST && (unsigned)(f->key - FW_CFG_FILE_FIRST) < f->file_count)
        return (struct item){f->file[f->key - FW_CFG_FILE_FIRST].data,
                             f->file[f->key - FW_CFG_FILE_FIRST].len};
    return (struct item){NULL, 0};
}

/* The item's next len bytes, as far as it has them; and go on behind all of them. */
static struct item take(struct fw_cfg *f, uint32_t len, uint8_t room[8])
{
    struct item all = find_item(f, room), part = {NULL, 0};

    if (f->offset < all.len)
        part = (struct item){all.data + f->offset, MIN(len, all.len - f->offset)};
    f->offset = len > UINT32_MAX - f->offset ? UINT32_MAX : f->offset + len;
    return part;
}

static void choose(struct fw_cfg *f, uint16_t key)
{
    f->key = key;
    f->offset = 0;
}

/* ---- Requests ------------------------------------------------------------------------------- */

static bool copy_out(struct fw_cfg *f, gpa_t to, uint32_t len)
{
    uint8_t room[8];
    struct item part = take(f, len, room);

    if (part.len > 0 && mem_write(f->options.mem, to, part.data, part.len) < 0)
        return false;
    return len == part.len || mem_zero(f->options.mem, to + part.len, len - part.len) == 0;
}

/* The answer is the request's first word: 0, or DMA_ERROR. */
static void do_request(struct fw_cfg *f, gpa_t at)
{
    uint8_t request[DMA_REQUEST_LEN], answer[4], room[8];
    uint32_t control, len;
    bool fine = true;

    if (!f->options.mem || mem_read(f->options.mem, at, request, sizeof(request)) < 0)
        return;
    control = load_be32(request);
    len = load_be32(request + 4);
    if (control & DMA_SELECT)
        choose(f, (uint16_t)(control >> 16));
    if (control & DMA_READ)
        fine = copy_out(f, load_be64(request + 8), len);
    else if (control & DMA_WRITE)
        fine = false;
    else if (control & DMA_SKIP)
        (void)take(f, len, room);
    store_be32(answer, fine ? 0 : DMA_ERROR);
    (void)!mem_write(f->options.mem, at, answer, sizeof(answer));
}

/* ---- Registers ------------------------------------------------------------------------------ */

/* The DMA address register is big-endian, and can be read by bytes. */
static uint64_t read_signature(uint64_t off, unsigned size)
{
    uint8_t bytes[8];

    store_be32(bytes, DMA_SIGNATURE_HIGH);
    store_be32(bytes + 4, DMA_SIGNATURE_LOW);
    off -= FW_CFG_DMA_HIGH;
    return size == 4 ? load_le32(bytes + off) : size == 2 ? load_le16(bytes + off) : bytes[off];
}

static uint64_t fw_cfg_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct fw_cfg *f = container_of(r, struct fw_cfg, range);
    uint8_t room[8];
    struct item part;

    if (off >= FW_CFG_DMA_HIGH)
        return f->options.mem ? read_signature(off, size) : 0;
    if (off != FW_CFG_DATA || size != 1)
        return 0; /* the key cannot be read */
    part = take(f, 1, room);
    return part.len ? part.data[0] : 0;
}

static void fw_cfg_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct fw_cfg *f = container_of(r, struct fw_cfg, range);

    if (off == 0) {
        choose(f, (uint16_t)value);
    } else if (off == FW_CFG_DMA_HIGH && size == 4) {
        f->dma_high = __builtin_bswap32((uint32_t)value);
    } else if (off == FW_CFG_DMA_LOW && size == 4) {
        do_request(f, (gpa_t)f->dma_high << 32 | __builtin_bswap32((uint32_t)value));
        f->dma_high = 0;
    } /* else: items cannot be written */
}

/* ---- Life ----------------------------------------------------------------------------------- */

static void fw_cfg_reset(struct device *dev)
{
    struct fw_cfg *f = container_of(dev, struct fw_cfg, dev);

    choose(f, 0);
    f->dma_high = 0;
}

static void fw_cfg_destroy(struct device *dev)
{
    struct fw_cfg *f = container_of(dev, struct fw_cfg, dev);

    for (unsigned i = 0; i < f->file_count; i++)
        free(f->file[i].data);
    device_fini(dev);
    free(f);
}

static const struct state_field fw_cfg_fields[] = {
    STATE_UINT(struct fw_cfg, key), STATE_UINT(struct fw_cfg, offset),
    STATE_UINT(struct fw_cfg, dma_high), STATE_END};

static const struct state_desc fw_cfg_state = {
    .name = "fw_cfg", .version = 1, .fields = fw_cfg_fields};

static const struct device_ops fw_cfg_ops = {.name = "fw_cfg",
                                             .reset_locked = fw_cfg_reset,
                                             .state = &fw_cfg_state,
                                             .destroy = fw_cfg_destroy};

int fw_cfg_create(struct bus *bus, const struct fw_cfg_options *options, struct fw_cfg **ret)
{
    struct fw_cfg *f = calloc(1, sizeof(*f));
    int r;

    if (!f)
        return -ENOMEM;
    f->options = *options;
    r = device_init(&f->dev, &fw_cfg_ops, bus, 0);
    if (r < 0) {
        free(f);
        return r;
    }
    f->range = (struct bus_range){.dev = &f->dev, .base = FW_CFG_PORT, .len = FW_CFG_LEN,
                                  .max_size = 4, .read_locked = fw_cfg_read,
                                  .write_locked = fw_cfg_write};
    r = bus_add(bus, BUS_PORT, &f->range);
    if (!r && ret)
        *ret = f;
    return r;
}

/* A file of that name, or room for one more; NULL: there is none. */
static struct fw_cfg_file *place(struct fw_cfg *f, const char *name)
{
    unsigned i = 0;

    while (i < f->file_count && strcmp(f->file[i].name, name) != 0)
        i++;
    return i < FILES_MAX && strlen(name) <= FW_CFG_NAME_MAX ? &f->file[i] : NULL;
}

static void list(struct fw_cfg *f, const struct fw_cfg_file *file)
{
    unsigned index = (unsigned)(file - f->file);
    uint8_t *entry = f->dir + DIR_HEAD_LEN + index * DIR_ENTRY_LEN;

    store_be32(f->dir, f->file_count);
    store_be32(entry, file->len);
    store_be16(entry + 4, FW_CFG_FILE_FIRST + index);
    memcpy(entry + DIR_NAME_AT, file->name, strlen(file->name));
}

int fw_cfg_set_file(struct fw_cfg *f, const char *name, const void *data, uint32_t len)
{
    struct fw_cfg_file *file;
    uint8_t *copy = malloc(len ? len : 1);
    int r = copy ? 0 : -ENOMEM;

    if (r < 0)
        return r;
    if (len)
        memcpy(copy, data, len);
    device_lock(&f->dev);
    file = place(f, name);
    if (file) {
        f->file_count = MAX(f->file_count, (unsigned)(file - f->file) + 1);
        free(file->data);
        memcpy(file->name, name, strlen(name));
        file->data = copy;
        file->len = len;
        list(f, file);
    } else {
        free(copy);
        r = -ENOSPC;
    }
    device_unlock(&f->dev);
    return r;
}
