/* SPDX-License-Identifier: MIT */
/* A bank of parallel NOR flash with Intel's command set (CFI, JEDEC JESD68.01 and JEP137B; Intel
 * P30 data sheet), eight bits wide: where firmware keeps its variables. Commands are written to any
 * address in it. Programming clears bits, erasing a block sets them.
 *
 * Firmware for virtual machines tells flash from RAM and ROM by what QEMU's does: Clear Status leaves
 * the status at 0 until the next operation is done, and goes back to reading the array. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chipset/chipset.h"

enum flash_command {
    READ_ARRAY = 0xff, READ_ID = 0x90, READ_QUERY = 0x98, READ_STATUS = 0x70, CLEAR_STATUS = 0x50,
    PROGRAM = 0x40, PROGRAM_OTHER = 0x10, BUFFERED_PROGRAM = 0xe8, ERASE = 0x20, LOCK = 0x60,
    CONFIRM = 0xd0,
};

/* What the next write is. */
enum flash_step { STEP_COMMAND, STEP_PROGRAM, STEP_ERASE, STEP_LOCK, STEP_COUNT, STEP_FILL,
                  STEP_CONFIRM, STEP_LAST = STEP_CONFIRM };
/* What a read gives. */
enum flash_mode { MODE_ARRAY, MODE_STATUS, MODE_ID, MODE_QUERY, MODE_LAST = MODE_QUERY };

enum { STATUS_READY = 0x80, STATUS_ERASE_FAILED = 0x20, STATUS_PROGRAM_FAILED = 0x10 };

enum { ID_MAKER = 0x89, ID_DEVICE = 0x18 }; /* Intel; a P30 */

#define BUFFER_LEN 64u

struct flash {
    struct device dev;
    struct bus_range range, outside;
    struct flash_options options;
    bool changed; /* since the last sync() */
    /* For saves: */
    uint8_t step, mode, status;
    uint8_t buffer[BUFFER_LEN]; /* of a buffered program: */
    uint32_t buffer_at;         /* where it begins, */
    uint8_t buffer_count, buffer_fill; /* how many bytes it will be, and has */
    struct state_field content_fields[2];
    struct state_desc content_state;
    uint8_t data[]; /* what is in it: options.len bytes */
};

/* ---- The query table (JESD68.01, 4) ---------------------------------------------------------- */

static unsigned log2_of(uint64_t v)
{
    return 63u - (unsigned)__builtin_clzll(v);
}

static uint8_t query_byte(const struct flash *f, uint64_t at)
{
    static const uint8_t head[] = {
        [0x10] = 'Q', 'R', 'Y', [0x13] = 0x01, /* Intel's command set */ [0x15] = 0x31,
        [0x1b] = 0x45, 0x55, /* volts */ [0x1f] = 7, 7, 10, 0, 4, 4, 4, 0,
        [0x31] = 'P', 'R', 'I', '1', '0'};
    const uint32_t blocks = f->options.len / FLASH_BLOCK - 1;

    switch (at) {
    case 0x27:
        return (uint8_t)(log2_of(f->options.len - 1) + 1); /* a power of two */
    case 0x2a:
        return (uint8_t)log2_of(BUFFER_LEN);
    case 0x2c:
        return 1; /* one region, of: */
    case 0x2d:
    case 0x2e:
        return (uint8_t)(blocks >> (8 * (at - 0x2d)));
    case 0x2f:
        return (uint8_t)(FLASH_BLOCK / 256);
    case 0x30:
        return (uint8_t)(FLASH_BLOCK / 256 >> 8);
    default:
        return at < sizeof(head) ? head[at] : 0;
    }
}

/* ---- Operations ------------------------------------------------------------------------------ */

static void finish(struct flash *f, int r, uint8_t failure)
{
    f->status |= STATUS_READY;
    if (r < 0)
        f->status |= failure;
    f->mode = MODE_STATUS;
    f->step = STEP_COMMAND;
}

/* All of it, or nothing. */
static int change(struct flash *f, uint32_t at, const uint8_t *data, uint32_t len)
{
    int r = f->options.write ? f->options.write(f->options.arg, at, data, len) : 0;

    if (r < 0)
        return r;
    memcpy(f->data + at, data, len);
    f->changed = true;
    return 0;
}

static void program(struct flash *f, uint32_t at, const uint8_t *data, uint32_t len)
{
    uint8_t result[BUFFER_LEN];

    for (uint32_t i = 0; i < len; i++)
        result[i] = f->data[at + i] & data[i];
    finish(f, change(f, at, result, len), STATUS_PROGRAM_FAILED);
}

static void erase(struct flash *f, uint32_t at)
{
    uint8_t block[FLASH_BLOCK];

    memset(block, 0xff, sizeof(block));
    finish(f, change(f, at / FLASH_BLOCK * FLASH_BLOCK, block, sizeof(block)), STATUS_ERASE_FAILED);
}

static void read_array(struct flash *f)
{
    f->mode = MODE_ARRAY;
    f->step = STEP_COMMAND;
    /* Firmware comes back to this when a variable's bytes are as they are to be. */
    if (f->changed && f->options.sync)
        f->options.sync(f->options.arg);
    f->changed = false;
}

/* ---- Commands -------------------------------------------------------------------------------- */

static void wait_for(struct flash *f, enum flash_step step)
{
    f->step = (uint8_t)step;
    f->mode = MODE_STATUS;
}

static void command(struct flash *f, uint8_t v)
{
    switch (v) {
    case PROGRAM:
    case PROGRAM_OTHER:
        wait_for(f, STEP_PROGRAM);
        break;
    case ERASE:
        wait_for(f, STEP_ERASE);
        break;
    case LOCK:
        wait_for(f, STEP_LOCK);
        break;
    case BUFFERED_PROGRAM:
        f->status |= STATUS_READY; /* a buffer is free */
        wait_for(f, STEP_COUNT);
        break;
    case READ_STATUS:
        f->mode = MODE_STATUS;
        break;
    case READ_ID:
        f->mode = MODE_ID;
        break;
    case READ_QUERY:
        f->mode = MODE_QUERY;
        break;
    case CLEAR_STATUS:
        f->status = 0;
        read_array(f);
        break;
    default: /* READ_ARRAY, and what is no command */
        read_array(f);
        break;
    }
}

/* The bytes of a buffered program may come in any order and in several sizes; what lies outside
 * the buffer that began with the first is an error. */
static void fill(struct flash *f, uint32_t at, uint8_t v)
{
    if (!f->buffer_fill)
        f->buffer_at = at;
    if (at < f->buffer_at || at - f->buffer_at >= f->buffer_count) {
        finish(f, -EINVAL, STATUS_PROGRAM_FAILED | STATUS_ERASE_FAILED);
        return;
    }
    f->buffer[at - f->buffer_at] = v;
    if (++f->buffer_fill == f->buffer_count)
        wait_for(f, STEP_CONFIRM);
}

static void count(struct flash *f, uint8_t v)
{
    if (v >= BUFFER_LEN) {
        finish(f, -EINVAL, STATUS_PROGRAM_FAILED | STATUS_ERASE_FAILED);
        return;
    }
    memset(f->buffer, 0xff, sizeof(f->buffer));
    f->buffer_count = (uint8_t)(v + 1);
    f->buffer_fill = 0;
    wait_for(f, STEP_FILL);
}

static void write_byte(struct flash *f, uint32_t at, uint8_t v)
{
    switch (f->step) {
    case STEP_PROGRAM:
        program(f, at, &v, 1);
        break;
    case STEP_ERASE:
        if (v == CONFIRM)
            erase(f, at);
        else if (v == READ_ARRAY)
            read_array(f);
        else
            finish(f, -EINVAL, STATUS_PROGRAM_FAILED | STATUS_ERASE_FAILED);
        break;
    case STEP_LOCK: /* nothing locks */
        finish(f, 0, 0);
        break;
    case STEP_COUNT:
        count(f, v);
        break;
    case STEP_FILL:
        fill(f, at, v);
        break;
    case STEP_CONFIRM:
        if (v == CONFIRM && f->options.len - f->buffer_at >= f->buffer_count)
            program(f, f->buffer_at, f->buffer, f->buffer_count);
        else
            finish(f, -EINVAL, STATUS_PROGRAM_FAILED | STATUS_ERASE_FAILED);
        break;
    default:
        command(f, v);
        break;
    }
}

/* ---- Accesses -------------------------------------------------------------------------------- */

static uint8_t read_byte(const struct flash *f, uint32_t at)
{
    switch (f->mode) {
    case MODE_ARRAY:
        return f->data[at];
    case MODE_STATUS:
        return f->status;
    case MODE_ID:
        return (at & 0xff) == 0 ? ID_MAKER : (at & 0xff) == 1 ? ID_DEVICE : 0;
    default:
        return query_byte(f, at & 0xff);
    }
}

static uint64_t flash_read(struct bus_range *r, uint64_t off, unsigned size)
{
    const struct flash *f = container_of(r, struct flash, range);
    uint64_t v = 0;

    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)read_byte(f, (uint32_t)off + i) << (8 * i);
    return v;
}

/* A wider write than the bank's width is one command, or so many bytes of data. */
static void flash_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct flash *f = container_of(r, struct flash, range);
    bool data = f->step == STEP_PROGRAM || f->step == STEP_FILL;
    enum flash_step step = f->step;

    for (unsigned i = 0; i < (data ? size : 1) && f->step == step; i++) {
        write_byte(f, (uint32_t)off + i, (uint8_t)(value >> (8 * i)));
        if (step == STEP_PROGRAM && i + 1 < size && !(f->status & STATUS_PROGRAM_FAILED))
            f->step = STEP_PROGRAM;
    }
    if (step == STEP_PROGRAM)
        f->step = STEP_COMMAND;
}

/* Of a guarded bank, for who is not in System Management Mode: what is in it, whatever it is about to do. */
static uint64_t outside_read(struct bus_range *r, uint64_t off, unsigned size)
{
    const struct flash *f = container_of(r, struct flash, outside);
    uint64_t v = 0;

    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)f->data[off + i] << (8 * i);
    return v;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void flash_reset(struct device *dev)
{
    struct flash *f = container_of(dev, struct flash, dev);

    read_array(f);
    f->status = STATUS_READY;
    f->buffer_at = 0;
    f->buffer_count = f->buffer_fill = 0;
    memset(f->buffer, 0, sizeof(f->buffer));
}

static int flash_loaded(void *object, struct vz_error *err)
{
    const struct flash *f = object;

    return f->buffer_fill <= f->buffer_count && f->buffer_at < f->options.len ? 0 : -EINVAL;
}

/* What the guest knows of its flash is in its memory, so it has to find again what it left. A store that
 * cannot be written is told of as for the guest's own writes, and keeps nobody from running. */
static int content_loaded(void *object, struct vz_error *err)
{
    struct flash *f = object;

    if (f->options.write)
        (void)!f->options.write(f->options.arg, 0, f->data, f->options.len);
    if (f->options.sync)
        f->options.sync(f->options.arg);
    return 0;
}

static void flash_destroy(struct device *dev)
{
    struct flash *f = container_of(dev, struct flash, dev);

    read_array(f);
    device_fini(dev);
    free(f);
}

static const struct state_field flash_fields[] = {
    STATE_UINT_MAX(struct flash, step, STEP_LAST), STATE_UINT_MAX(struct flash, mode, MODE_LAST),
    STATE_UINT(struct flash, status), STATE_BYTES(struct flash, buffer),
    STATE_UINT(struct flash, buffer_at), STATE_UINT_MAX(struct flash, buffer_count, BUFFER_LEN),
    STATE_UINT(struct flash, buffer_fill), STATE_END};

static const struct state_desc flash_state = {
    .name = "flash", .version = 1, .fields = flash_fields, .loaded = flash_loaded};

static const struct device_ops flash_ops = {.name = "flash",
                                            .reset_locked = flash_reset,
                                            .state = &flash_state,
                                            .destroy = flash_destroy};

int flash_create(struct bus *bus, const struct flash_options *options)
{
    struct flash *f;
    int r;

    if (!options->len || options->len % FLASH_BLOCK)
        return -EINVAL;
    f = calloc(1, sizeof(*f) + options->len);
    if (!f)
        return -ENOMEM;
    f->options = *options;
    memcpy(f->data, options->data, options->len);
    f->status = STATUS_READY;
    r = device_init(&f->dev, &flash_ops, bus, 0);
    if (r < 0) {
        free(f);
        return r;
    }
    f->content_fields[0] = (struct state_field){.name = "data", .kind = STATE_KIND_BYTES, .count = 1,
                                                .offset = offsetof(struct flash, data),
                                                .size = options->len};
    f->content_state = (struct state_desc){.name = "flash-content", .version = 1,
                                           .fields = f->content_fields, .loaded = content_loaded};
    f->dev.own_state = &f->content_state;
    f->range = (struct bus_range){.dev = &f->dev, .len = options->len, .max_size = 8,
                                  .base = options->base | (options->guarded ? HV_GPA_SMM : 0),
                                  .read_locked = flash_read, .write_locked = flash_write};
    f->outside = (struct bus_range){.dev = &f->dev, .len = options->len, .max_size = 8,
                                    .base = options->base, .read_locked = outside_read};
    r = bus_add(bus, BUS_MMIO, &f->range);
    return r || !options->guarded ? r : bus_add(bus, BUS_MMIO, &f->outside);
}
