/* SPDX-License-Identifier: MIT */
/* A kind of device for tests: virtio devices whose model and host's end the test brings itself. */
#ifndef VZ_TESTS_GIVEN_SLOT_H
#define VZ_TESTS_GIVEN_SLOT_H

#include "config/objects.h"
#include "device/device_kinds.h"
#include "device/device_slots.h"
#include "device/virtio_slot.h"
#include "virtio/virtio.h"

/* The slot's config. */
struct given {
    const struct virtio_ops *ops;
    const void *options;
    unsigned queues;         /* 0: the device's default */
    struct virtio_dev **ret; /* where to leave the device; NULL: nowhere */
};

static inline int given_create(struct device_slot *s, struct vz_error *err)
{
    const struct given *g = s->config;
    int r = virtio_slot_create(s, g->ops, g->options, g->queues, err);

    if (!r && g->ret)
        *g->ret = s->model;
    return r;
}

static const struct device_kind given_kind = {VIRTIO_SLOT, .create = given_create};

/* Slots with COM1, which writes to the descriptor (-1: nowhere), and the devices given, which must
 * stay. 0 or -errno. */
static inline int given_slots(struct loop *loop, int serial_fd, const struct given *list,
                              unsigned count, struct device_slots **ret, struct vz_error *err)
{
    static struct vz_serial_attachment to_stdio = {.kind = SERIAL_STDIO};
    static const struct vz_serial_port port = {.attachment = &to_stdio};
    static const struct config_device com1 = {.object = &port};
    const struct device_env env = {.loop = loop, .cpu_count = 1, .stdio_read_fd = -1,
                                   .stdio_write_fd = serial_fd};
    int r = device_slots_new(&env, ret);

    if (!r)
        r = device_slots_add(*ret, &uart_kind, serial_fd < 0 ? NULL : &com1, NULL, err);
    for (unsigned i = 0; !r && i < count; i++) {
        const struct config_device device = {.object = &list[i], .index = i};

        r = device_slots_add(*ret, &given_kind, &device, NULL, err);
    }
    return r;
}

#endif
