/* SPDX-License-Identifier: MIT */
/* The memory balloon. */
#include "config/objects.h"
#include "config/report.h"

static void check_sizes(struct report *r, const void *object)
{
    const struct vz_virtio_balloon_options *o = &((const struct vz_balloon_device *)object)->options;
    uint64_t memory = r->whole->options.memory_size;

    if (o->minimum_size > memory)
        report_problem(r, VZ_ERROR_INVALID, "minimum size %llu KiB is above the machine's memory",
                       (unsigned long long)(o->minimum_size / KIB));
    if (o->target_size > memory)
        report_problem(r, VZ_ERROR_INVALID, "target size %llu KiB is above the machine's memory",
                       (unsigned long long)(o->target_size / KIB));
    if (o->target_size && o->target_size < o->minimum_size)
        report_problem(r, VZ_ERROR_INVALID, "target size %llu KiB is below the minimum size",
                       (unsigned long long)(o->target_size / KIB));
}

static const struct schema_field fields[] = {
    FIELD_SIZE(struct vz_balloon_device, options.target_size, "targetSize", .host = true, .option = "",
               .text = "how much memory the guest is to use from the start (default all)"),
    FIELD_SIZE(struct vz_balloon_device, options.minimum_size, "minimumSize", .host = true, .option = "min",
               .text = "the least it may be asked to live with"),
    FIELD_NOT(struct vz_balloon_device, options.no_free_page_reporting, "freePageReporting",
              .option = "reporting",
              .text = "the guest tells which memory it does not use, and the host gets it back"),
    FIELD_NOT(struct vz_balloon_device, options.no_deflate_on_oom, "deflateOnOutOfMemory",
              .option = "oom", .text = "a guest that runs out of memory may take some back"),
    FIELD_END};
const struct schema_type config_virtio_balloon_type = {
    .name = "balloon", .json = "virtioBalloon", .size = sizeof(struct vz_balloon_device),
    .fields = fields, .single = true, .check = check_sizes, .option = "balloon", .heading = "Devices",
    .text = "a virtio memory balloon: the guest is to use SIZE of its memory, and what it does not "
            "use goes back to the host by itself unless reporting=off"};

static const struct schema_type *const balloon_devices_types[] = {&config_virtio_balloon_type, NULL};
const struct schema_class config_balloon_devices = {.types = balloon_devices_types};

struct vz_balloon_device *vz_balloon_device_ref(struct vz_balloon_device *object)
{
    return object_ref(object);
}

void vz_balloon_device_unref(struct vz_balloon_device *object)
{
    object_unref(object);
}

struct vz_balloon_device *
vz_virtio_balloon_device_new(const struct vz_virtio_balloon_options *options, struct vz_error *err)
{
    struct vz_virtio_balloon_options o = VZ_VIRTIO_BALLOON_OPTIONS_INIT;
    struct vz_balloon_device d = {.object = {0}};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    d.options = o;
    return schema_make(&config_virtio_balloon_type, &d, err);
}

int vz_config_add_balloon_device(struct vz_config *config, struct vz_balloon_device *device,
                                 struct vz_error *err)
{
    return config_add(config ? &config->balloon_devices : NULL, device, err);
}
