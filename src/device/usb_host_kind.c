/* SPDX-License-Identifier: MIT */
/* USB devices of the host, on the machine's USB controller. */
#include "base/error.h"
#include "config/objects.h"
#include "device/device_kinds.h"
#include "device/usb_kind.h"
#include "usb/usb_host_device.h"

/* slot->host is the host's end until there is a model, whose it is then. */
static int usb_host_kind_open(struct device_slot *s, struct vz_error *err)
{
    const struct vz_usb_device *d = s->config;
    const struct usb_host_options o = {.device = d->device, .loop = s->env->loop};
    struct usb_host *h;
    int r = usb_host_open(&o, &h, err);

    if (!r)
        s->host = h;
    return r;
}

static void on_lost(void *slot)
{
    struct device_slot *s = slot;
    struct device_event e = {.what = DEVICE_USB_LOST};

    device_slot_tell(s, &e);
}

static int usb_host_kind_create(struct device_slot *s, struct vz_error *err)
{
    const struct usb_host_device_options o = {.host = s->host, .lost = on_lost, .arg = s};
    struct usb_dev *d;
    uint32_t port;
    int r = usb_slot_port(s, (enum usb_speed)o.host->speed, &port, err);

    if (!r)
        r = usb_host_device_create(s->env->bus, port, &o, &d, err);
    if (r < 0) {
        device_slot_prefix(s, err);
        return r;
    }
    s->host = NULL;
    d->number = s->index;
    return usb_slot_plug(s, d, err);
}

/* In a pause nobody would hear that it is given back: who closes it does that, and waits. */
static void on_left(void *slot)
{
    struct device_slot *s = slot;

    if (usb_slot_rests(s))
        device_slot_unplugged(s);
    else
        usb_host_device_give_back(s->model, device_slot_unplugged, s);
}

static void usb_host_kind_unplug(struct device_slot *s)
{
    usb_slot_unplug(s, on_left);
}

static void usb_host_kind_identify(const struct device_slot *s, struct device_identity *ret)
{
    const struct usb_dev *d = s->model;

    *ret = (struct device_identity){.port = d->port, .number = d->number, .lost = usb_host_device_is_lost(d)};
}

static void usb_host_kind_close(struct device_slot *s)
{
    struct usb_host *h = s->host;

    if (h)
        h->ops->close(h);
}

const struct device_kind usb_host_kind = {
    .type = &config_usb_host_type, USB_SLOT, .model = "usb/usb_host_device", .open = usb_host_kind_open,
    .create = usb_host_kind_create, .unplug = usb_host_kind_unplug, .identify = usb_host_kind_identify,
    .close = usb_host_kind_close};
