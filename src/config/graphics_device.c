/* SPDX-License-Identifier: MIT */
/* Graphics devices and the displays that they have. */
#include <vz/display.h>

#include <string.h>

#include "config/objects.h"
#include "config/schema_option.h"
#include "config/schema_text.h"

/* WIDTHxHEIGHT */
static bool parse_scanout(char *text, void *element)
{
    struct vz_graphics_scanout *s = element;
    char *height = strchr(text, 'x');
    uint64_t w, h;

    if (!height)
        return false;
    *height++ = '\0';
    if (!schema_parse_number(text, &w) || !schema_parse_number(height, &h) || w > UINT32_MAX ||
        h > UINT32_MAX)
        return false;
    s->width = (uint32_t)w;
    s->height = (uint32_t)h;
    return true;
}

static const struct schema_field scanout_fields[] = {
    FIELD_UINT(struct vz_graphics_scanout, width, "width", .min = VZ_DISPLAY_SIDE_MIN,
               .max = VZ_DISPLAY_SIDE_MAX, .initial = 1280, .noun = "width", .text = "pixels"),
    FIELD_UINT(struct vz_graphics_scanout, height, "height", .min = VZ_DISPLAY_SIDE_MIN,
               .max = VZ_DISPLAY_SIDE_MAX, .initial = 800, .noun = "height", .text = "pixels"),
    FIELD_END};
static const struct schema_type scanout_type = {
    .name = "scanout", .size = sizeof(struct vz_graphics_scanout), .sized = true,
    .fields = scanout_fields, .parse = parse_scanout, .value = "WIDTHxHEIGHT",
    .text = "a display of a graphics device, and which size the guest is offered at first"};

static const char *const scanout_words[] = {"scanout", NULL};
static const struct schema_field device_fields[] = {
    FIELD_ARRAY(struct vz_graphics_device, scanout, scanout_count, "scanouts", &scanout_type,
                .max = VZ_SCANOUTS_MAX, .words = scanout_words, .option = "", .value = "WIDTHxHEIGHT",
                .noun = "scanouts", .text = "its displays",
                .more = "Without any there is one, of 1280x800. In an option further ones are written as "
                        "scanout=WIDTHxHEIGHT."),
    FIELD_END};

/* Without any said, there is one. */
static int complete(void *object, struct vz_error *err)
{
    struct vz_graphics_device *d = object;

    return d->scanout_count ? 0 : schema_add_element(&device_fields[0], d, 0, "1280x800", err);
}

const struct schema_type config_virtio_gpu_type = {
    .name = "graphics", .json = "virtioGraphics", .size = sizeof(struct vz_graphics_device),
    .fields = device_fields, .complete = complete, .option = "display", .heading = "Devices",
    .text = "a virtio graphics device with a display, of 1280x800 where nothing is said"};

static const struct schema_type *const graphics_devices_types[] = {&config_virtio_gpu_type, NULL};
const struct schema_class config_graphics_devices = {.types = graphics_devices_types};

struct vz_graphics_device *vz_graphics_device_ref(struct vz_graphics_device *object)
{
    return object_ref(object);
}

void vz_graphics_device_unref(struct vz_graphics_device *object)
{
    object_unref(object);
}

struct vz_graphics_device *
vz_virtio_graphics_device_new(const struct vz_virtio_graphics_options *options, struct vz_error *err)
{
    struct vz_virtio_graphics_options o = VZ_VIRTIO_GRAPHICS_OPTIONS_INIT;
    struct vz_graphics_device d;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    d = (struct vz_graphics_device){.scanout = (struct vz_graphics_scanout *)o.scanouts, /* is copied */
                                    .scanout_count = o.scanouts ? o.scanout_count : 0};
    return schema_make(&config_virtio_gpu_type, &d, err);
}

int vz_config_add_graphics_device(struct vz_config *config, struct vz_graphics_device *device,
                                  struct vz_error *err)
{
    return config_add(config ? &config->graphics_devices : NULL, device, err);
}
