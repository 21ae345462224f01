/* SPDX-License-Identifier: MIT */
/* The USB controller, and the keyboards and pointing devices on it. */
#include "device/usb_kind.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "config/objects.h"
#include "device/device_counters.h"
#include "device/device_kinds.h"
#include "device/device_slots.h"
#include "pci/pci.h"
#include "usb/hid.h"
#include "usb/xhci.h"

/* ---- The controller ------------------------------------------------------------------------- */

static int xhci_kind_create(struct device_slot *s, struct vz_error *err)
{
    const struct xhci_options o = {.loop = s->env->loop, .mem = s->env->mem,
                                   .sum = &s->env->counters->xhci};
    struct xhci *x;
    int r = xhci_create(s->env->pci, PCI_DEVFN(s->place, 0), &o, &x, err);

    if (!r)
        s->model = x;
    return r;
}

static void xhci_kind_quiesce(struct device_slot *s)
{
    xhci_quiesce(s->model, device_slot_quiet, s);
}

static void xhci_kind_resume(struct device_slot *s)
{
    xhci_resume(s->model);
}

const struct device_kind xhci_kind = {
    .type = &config_xhci_type, .bus = DEVICE_ON_PCI, .model = "usb/xhci", .create = xhci_kind_create,
    .quiesce = xhci_kind_quiesce, .resume = xhci_kind_resume};

/* ---- Devices -------------------------------------------------------------------------------- */

static struct xhci *controller(struct device_slot *s)
{
    const struct device_slot *c = device_slots_find_kind(s->slots, &xhci_kind);

    return c ? c->model : NULL;
}

static int no_port(struct vz_error *err)
{
    return error_set(err, ENOSPC, VZ_ERROR_DEVICE_INITIALIZATION_FAILURE, "no USB port is free");
}

int usb_slot_port(struct device_slot *s, enum usb_speed speed, uint32_t *ret, struct vz_error *err)
{
    struct xhci *x = controller(s);

    if (!x)
        return error_set(err, ENODEV, VZ_ERROR_USB_CONTROLLER_NOT_FOUND, "there is no USB controller");
    *ret = xhci_free_port(x, speed);
    return *ret ? 0 : no_port(err);
}

int usb_slot_plug(struct device_slot *s, struct usb_dev *d, struct vz_error *err)
{
    if (xhci_plug(controller(s), d) < 0) {
        usb_dev_destroy(&d->dev);
        return no_port(err);
    }
    s->model = d;
    return 0;
}

void usb_slot_remove(struct device_slot *s)
{
    struct usb_dev *d = s->model;

    if (d->port)
        xhci_unplug(controller(s), d, NULL, NULL); /* at rest, so it is out at once */
    usb_dev_destroy(&d->dev);
    s->model = NULL;
}

void usb_slot_unplug(struct device_slot *s, void (*done)(void *arg))
{
    xhci_unplug(controller(s), s->model, done, s);
}

bool usb_slot_rests(struct device_slot *s)
{
    return xhci_is_quiet(controller(s));
}

int usb_slot_place(struct device_slot *s, unsigned port, struct vz_error *err)
{
    if (xhci_place(controller(s), s->model, port) < 0)
        return error_set(err, EINVAL, VZ_ERROR_RESTORE, "%s[%u] was at port %u, which it cannot be at", s->list, s->index,
                         port);
    return 0;
}

static int create(struct device_slot *s, enum hid_kind kind, struct vz_error *err)
{
    struct usb_dev *d;
    uint32_t port;
    int r = usb_slot_port(s, USB_HIGH, &port, err);

    if (r < 0)
        return r;
    r = hid_create(s->env->bus, kind, port, &d);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "%s", strerror(-r));
    return usb_slot_plug(s, d, err);
}

static int keyboard_create(struct device_slot *s, struct vz_error *err)
{
    const struct vz_keyboard *k = s->config;

    return create(s, k->is_mac ? HID_MAC_KEYBOARD : HID_KEYBOARD, err);
}

static int pointing_create(struct device_slot *s, struct vz_error *err)
{
    static const enum hid_kind kinds[] = {[POINTING_ABSOLUTE] = HID_POINTER, [POINTING_MOUSE] = HID_MOUSE,
                                          [POINTING_TRACKPAD] = HID_TRACKPAD};

    return create(s, kinds[((const struct vz_pointing_device *)s->config)->kind], err);
}

const struct device_kind usb_keyboard_kind = {
    .type = &config_usb_keyboard_type, USB_SLOT, .model = "usb/hid_keyboard", .create = keyboard_create};
const struct device_kind mac_keyboard_kind = {
    .type = &config_mac_keyboard_type, USB_SLOT, .model = "usb/hid_keyboard", .create = keyboard_create};
const struct device_kind usb_pointer_kind = {
    .type = &config_usb_pointer_type, USB_SLOT, .model = "usb/hid_pointer", .create = pointing_create};
const struct device_kind usb_mouse_kind = {
    .type = &config_usb_mouse_type, USB_SLOT, .model = "usb/hid_pointer", .create = pointing_create};
const struct device_kind trackpad_kind = {
    .type = &config_trackpad_type, USB_SLOT, .model = "usb/hid_trackpad", .create = pointing_create};
