/* SPDX-License-Identifier: MIT */
/* Graphics devices: a display in memory, and in front of it a virtio GPU. The slot's host is the display. */
#include "config/objects.h"
#include "device/device_kinds.h"
#include "device/virtio_slot.h"
#include "virtio/virtio_gpu.h"

/* Nearly two pictures of 7680x4320, or eight of 3840x2160. */
#define MEMORY_FIRST (256 * MIB)
#define MEMORY_MORE  (64 * MIB)

static void reconfigured(void *arg, unsigned scanout, bool done)
{
    device_slot_tell(arg, &(struct device_event){.what = DEVICE_DISPLAY_CHANGING, .part = scanout,
                                                 .open = done});
}

static int graphics_open(struct device_slot *s, struct vz_error *err)
{
    const struct vz_graphics_device *d = s->config;
    struct display_options o = {.scanouts = d->scanout_count, .reconfigured = reconfigured, .arg = s,
                                .memory_max = MEMORY_FIRST + (d->scanout_count - 1) * MEMORY_MORE};
    struct display *display;
    int r;

    for (unsigned i = 0; i < d->scanout_count; i++)
        o.size[i] = (struct display_size){d->scanout[i].width, d->scanout[i].height};
    r = display_new(&o, &display, err);
    if (!r)
        s->host = display;
    return r;
}

static int graphics_create(struct device_slot *s, struct vz_error *err)
{
    const struct virtio_gpu_options o = {.display = s->host};

    return virtio_slot_create(s, &virtio_gpu_ops, &o, 0, err);
}

static void graphics_close(struct device_slot *s)
{
    if (s->host)
        display_end(s->host);
    display_unref(s->host);
}

const struct device_kind graphics_kind = {
    .type = &config_virtio_gpu_type, VIRTIO_SLOT, .model = "virtio/virtio_gpu",
    .open = graphics_open, .create = graphics_create, .close = graphics_close};
