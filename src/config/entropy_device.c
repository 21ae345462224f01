/* SPDX-License-Identifier: MIT */
/* The entropy source: the smallest device. */
#include "config/objects.h"

static const struct schema_field fields[] = {FIELD_END};
const struct schema_type config_virtio_entropy_type = {
    .name = "entropy", .json = "virtioEntropy", .size = sizeof(struct vz_entropy_device),
    .fields = fields, .option = "rng", .heading = "Devices",
    .text = "a virtio source of random numbers"};

static const struct schema_type *const entropy_devices_types[] = {&config_virtio_entropy_type, NULL};
const struct schema_class config_entropy_devices = {.types = entropy_devices_types};

struct vz_entropy_device *vz_entropy_device_ref(struct vz_entropy_device *object)
{
    return object_ref(object);
}

void vz_entropy_device_unref(struct vz_entropy_device *object)
{
    object_unref(object);
}

struct vz_entropy_device *
vz_virtio_entropy_device_new(const struct vz_virtio_entropy_options *options, struct vz_error *err)
{
    struct vz_virtio_entropy_options o = VZ_VIRTIO_ENTROPY_OPTIONS_INIT;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    return schema_new(&config_virtio_entropy_type, err);
}

int vz_config_add_entropy_device(struct vz_config *config, struct vz_entropy_device *device,
                                 struct vz_error *err)
{
    return config_add(config ? &config->entropy_devices : NULL, device, err);
}
