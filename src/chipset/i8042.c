/* SPDX-License-Identifier: MIT */
/* The keyboard controller, with nothing plugged in: it resets the machine, holds the A20 gate and
 * answers the probes of drivers at once, so that none of them waits for a timeout.
 *
 * A20 is remembered but always open: no guest we know needs the wrap at 1 MiB. A keyboard that is
 * not there answers RESEND (0xfe), as a controller whose transmission failed reports it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chipset/chipset.h"

enum { STATUS_OBF = 0x01, STATUS_SYS = 0x04, STATUS_CMD = 0x08, STATUS_INHIBIT = 0x10 };
enum { CONFIG_KBD_INT = 0x01, CONFIG_SYS = 0x04, CONFIG_KBD_OFF = 0x10, CONFIG_AUX_OFF = 0x20,
       CONFIG_XLATE = 0x40 };
enum { OUT_NOT_RESET = 0x01, OUT_A20 = 0x02 };
enum { QUEUE_SIZE = 8, RAM_SIZE = 32 };

struct i8042 {
    struct device dev;
    struct bus_range data_range, command_range;
    struct irq_line line;
    struct chipset_requests requests;

    uint8_t ram[RAM_SIZE]; /* byte 0: configuration */
    uint8_t out_port;
    uint8_t command;       /* waits for its data byte; 0: none */
    uint8_t queue[QUEUE_SIZE];
    uint8_t queue_count;
    uint8_t last;          /* what the data port last gave */
    bool last_was_command; /* STATUS_CMD */
};

static void update_irq(struct i8042 *k)
{
    irq_line_set(&k->line, k->queue_count && (k->ram[0] & CONFIG_KBD_INT));
}

static void answer(struct i8042 *k, uint8_t v)
{
    if (k->queue_count < QUEUE_SIZE)
        k->queue[k->queue_count++] = v;
}

static void set_out_port(struct i8042 *k, uint8_t v)
{
    k->out_port = v;
    if (!(v & OUT_NOT_RESET))
        k->requests.request(k->requests.arg, CHIPSET_RESET, 0);
}

static void keyboard_write(struct i8042 *k, uint8_t v)
{
    k->ram[0] &= (uint8_t)~CONFIG_KBD_OFF; /* sending enables the interface */
    answer(k, 0xfe);
}

static void data_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct i8042 *k = container_of(r, struct i8042, data_range);
    uint8_t v = (uint8_t)value, command = k->command;

    k->command = 0;
    k->last_was_command = false;
    if (command >= 0x60 && command <= 0x7f)
        k->ram[command & (RAM_SIZE - 1)] = v;
    else if (command == 0xd1)
        set_out_port(k, v);
    else if (command == 0xd2)
        answer(k, v);
    else if (command == 0xd3 || command == 0xd4)
        answer(k, 0xfe); /* no auxiliary port: not echoed, not marked as from there */
    else
        keyboard_write(k, v);
    update_irq(k);
}

static void run_command(struct i8042 *k, uint8_t v)
{
    switch (v) {
    case 0x20 ... 0x3f: answer(k, k->ram[v & (RAM_SIZE - 1)]); break;
    case 0x60 ... 0x7f:
    case 0xd1 ... 0xd4: k->command = v; break;
    case 0xa7: k->ram[0] |= CONFIG_AUX_OFF; break;
    case 0xa8: k->ram[0] &= (uint8_t)~CONFIG_AUX_OFF; break;
    case 0xa9: answer(k, 0x01); break; /* auxiliary clock line stuck low: no such port */
    case 0xaa:
        k->ram[0] |= CONFIG_SYS;
        answer(k, 0x55);
        break;
    case 0xab: answer(k, 0x00); break;
    case 0xad: k->ram[0] |= CONFIG_KBD_OFF; break;
    case 0xae: k->ram[0] &= (uint8_t)~CONFIG_KBD_OFF; break;
    case 0xc0: answer(k, 0x80); break; /* input port: keyboard not locked */
    case 0xd0: answer(k, k->out_port); break;
    case 0xdd: k->out_port &= (uint8_t)~OUT_A20; break;
    case 0xdf: k->out_port |= OUT_A20; break;
    case 0xf0 ... 0xff: /* pulse the output lines whose bit is 0 */
        if (!(v & OUT_NOT_RESET))
            k->requests.request(k->requests.arg, CHIPSET_RESET, 0);
        break;
    default: break;
    }
}

static void command_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct i8042 *k = container_of(r, struct i8042, command_range);

    k->command = 0;
    k->last_was_command = true;
    run_command(k, (uint8_t)value);
    update_irq(k);
}

static uint64_t data_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct i8042 *k = container_of(r, struct i8042, data_range);

    if (k->queue_count) {
        k->last = k->queue[0];
        memmove(k->queue, k->queue + 1, --k->queue_count);
    }
    /* The line falls between two bytes, so that edge-triggered inputs see the second. */
    irq_line_set(&k->line, false);
    update_irq(k);
    return k->last;
}

static uint64_t status_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct i8042 *k = container_of(r, struct i8042, command_range);

    return (k->queue_count ? STATUS_OBF : 0) | (k->ram[0] & CONFIG_SYS ? STATUS_SYS : 0) |
           (k->last_was_command ? STATUS_CMD : 0) | STATUS_INHIBIT;
}

static void i8042_reset(struct device *dev)
{
    struct i8042 *k = container_of(dev, struct i8042, dev);

    memset(k->ram, 0, sizeof(k->ram));
    /* As firmware leaves it after its self-test. */
    k->ram[0] = CONFIG_KBD_INT | CONFIG_SYS | CONFIG_AUX_OFF | CONFIG_XLATE;
    k->out_port = 0xcc | OUT_NOT_RESET | OUT_A20;
    k->command = 0;
    k->queue_count = 0;
    k->last = 0;
    k->last_was_command = false;
    update_irq(k);
}

static int i8042_loaded(void *object, struct vz_error *err)
{
    update_irq(object);
    return 0;
}

static const struct state_field i8042_fields[] = {
    STATE_BYTES(struct i8042, ram),
    STATE_UINT(struct i8042, out_port),
    STATE_UINT(struct i8042, command),
    STATE_BYTES(struct i8042, queue),
    STATE_UINT_MAX(struct i8042, queue_count, QUEUE_SIZE),
    STATE_UINT(struct i8042, last),
    STATE_BOOL(struct i8042, last_was_command),
    STATE_END,
};

static const struct state_desc i8042_state = {
    .name = "i8042", .version = 1, .fields = i8042_fields, .loaded = i8042_loaded};

static void i8042_destroy(struct device *dev)
{
    struct i8042 *k = container_of(dev, struct i8042, dev);

    device_fini(dev);
    free(k);
}

static const struct device_ops i8042_ops = {.name = "i8042",
                                            .reset_locked = i8042_reset,
                                            .state = &i8042_state,
                                            .destroy = i8042_destroy};

int i8042_create(struct bus *bus, const struct chipset_requests *requests)
{
    struct i8042 *k = calloc(1, sizeof(*k));
    int r;

    if (!k)
        return -ENOMEM;
    k->requests = *requests;
    r = device_init(&k->dev, &i8042_ops, bus, 0);
    if (r < 0) {
        free(k);
        return r;
    }
    irq_line_init(&k->line, bus, 1);
    i8042_reset(&k->dev);
    k->data_range = (struct bus_range){.dev = &k->dev, .base = 0x60, .len = 1, .max_size = 1,
                                       .read_locked = data_read, .write_locked = data_write};
    k->command_range = (struct bus_range){.dev = &k->dev, .base = 0x64, .len = 1, .max_size = 1,
                                          .read_locked = status_read,
                                          .write_locked = command_write};
    r = bus_add(bus, BUS_PORT, &k->data_range);
    return r ? r : bus_add(bus, BUS_PORT, &k->command_range);
}
