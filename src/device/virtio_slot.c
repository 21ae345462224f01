/* SPDX-License-Identifier: MIT */
#include "device/virtio_slot.h"

#include "device/device_counters.h"
#include "pci/pci.h"
#include "virtio/virtio.h"

int virtio_slot_create(struct device_slot *s, const struct virtio_ops *ops, const void *options,
                       unsigned queues, struct vz_error *err)
{
    const struct virtio_shared_memory none = {0, 0};

    return virtio_slot_create_shared(s, ops, options, queues, &none, err);
}

int virtio_slot_create_shared(struct device_slot *s, const struct virtio_ops *ops, const void *options, unsigned queues,
                              const struct virtio_shared_memory *shared, struct vz_error *err)
{
    const struct virtio_params params = {.loop = s->env->loop, .mem = s->env->mem,
                                        .sum = &s->env->counters->virtio,
                                         .queues = queues, .options = options, .shared = *shared};
    struct virtio_dev *dev;
    int r = virtio_pci_create(s->env->pci, PCI_DEVFN(s->place, 0), ops, &params, &dev, err);

    if (!r)
        s->model = dev;
    return r;
}

void virtio_slot_quiesce(struct device_slot *s)
{
    virtio_quiesce(s->model, device_slot_quiet, s);
}

void virtio_slot_resume(struct device_slot *s)
{
    virtio_resume(s->model);
}

void virtio_slot_remove(struct device_slot *s)
{
    virtio_pci_destroy(s->model);
    s->model = NULL;
}
