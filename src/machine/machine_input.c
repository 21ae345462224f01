/* SPDX-License-Identifier: MIT */
/* What a program types and points in a machine. */
#include <vz/input.h>

#include "base/error.h"
#include "device/device_kind.h"
#include "device/device_slots.h"
#include "machine/machine_impl.h"
#include "usb/hid.h"

struct input_call {
    const char *list;
    unsigned device;
    void (*fn)(struct usb_dev *d, struct input_call *c);
    uint32_t key;
    bool down;
    unsigned leds;
    struct hid_pointer_event pointer;
    const struct vz_touch *touch;
    unsigned count;
};

static int call_device(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct input_call *c = arg;

    c->fn(device_slots_find(m->parts.slots, c->list, c->device)->model, c);
    return 0;
}

static int no_device(struct vz_error *err, const char *what, unsigned device)
{
    error_set(err, 0, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no %s %u", what, device);
    return -1;
}

static int send(struct vz_machine *m, struct input_call *c, struct vz_error *err)
{
    return machine_call(m, call_device, c, err) < 0 ? -1 : 0;
}

static int to_keyboard(struct vz_machine *m, struct input_call *c, struct vz_error *err)
{
    if (!options_given(m, "machine", err))
        return -1;
    if (c->device >= m->config->keyboards.count)
        return no_device(err, "keyboard", c->device);
    c->list = "keyboards";
    return send(m, c, err);
}

static int to_pointing_device(struct vz_machine *m, struct input_call *c, struct vz_error *err)
{
    if (c->device >= m->config->pointing_devices.count)
        return no_device(err, "pointing device", c->device);
    c->list = "pointingDevices";
    return send(m, c, err);
}

/* ---- Keyboards ------------------------------------------------------------------------------ */

static void key(struct usb_dev *d, struct input_call *c)
{
    hid_key(d, c->key, c->down);
}

int vz_machine_send_key(struct vz_machine *m, unsigned keyboard, uint32_t which, bool down,
                        struct vz_error *err)
{
    struct input_call c = {.device = keyboard, .fn = key, .key = which, .down = down};

    return to_keyboard(m, &c, err);
}

static void keys_up(struct usb_dev *d, struct input_call *c)
{
    hid_keys_up(d);
}

int vz_machine_release_keys(struct vz_machine *m, unsigned keyboard, struct vz_error *err)
{
    struct input_call c = {.device = keyboard, .fn = keys_up};

    return to_keyboard(m, &c, err);
}

static void leds(struct usb_dev *d, struct input_call *c)
{
    c->leds = hid_leds(d) & (VZ_LED_NUM_LOCK | VZ_LED_CAPS_LOCK | VZ_LED_SCROLL_LOCK);
}

int vz_machine_keyboard_leds(struct vz_machine *m, unsigned keyboard, unsigned *ret, struct vz_error *err)
{
    struct input_call c = {.device = keyboard, .fn = leds};

    if (!options_given(ret, "lights", err) || to_keyboard(m, &c, err) < 0)
        return -1;
    *ret = c.leds;
    return 0;
}

/* ---- Pointing devices ----------------------------------------------------------------------- */

static void pointer(struct usb_dev *d, struct input_call *c)
{
    hid_pointer_send(d, &c->pointer);
}

int vz_machine_send_pointer(struct vz_machine *m, unsigned device, const struct vz_pointer_event *event,
                            struct vz_error *err)
{
    struct vz_pointer_event e = VZ_POINTER_EVENT_INIT;
    struct input_call c = {.device = device, .fn = pointer};

    if (!options_given(m, "machine", err) || !options_given(event, "event", err) ||
        options_copy(&e, sizeof(e), event, err) < 0)
        return -1;
    c.pointer = (struct hid_pointer_event){.x = e.x, .y = e.y, .dx = e.dx, .dy = e.dy, .buttons = e.buttons,
                                           .wheel = e.wheel, .pan = e.wheel_horizontal};
    return to_pointing_device(m, &c, err);
}

static void touches(struct usb_dev *d, struct input_call *c)
{
    struct hid_touch t[HID_TOUCHES];

    for (unsigned i = 0; i < c->count; i++)
        t[i] = (struct hid_touch){.id = c->touch[i].id, .x = c->touch[i].x, .y = c->touch[i].y};
    hid_touches_send(d, t, c->count, c->down);
}

_Static_assert(HID_TOUCHES == VZ_TOUCHES_MAX && HID_POINTER_MAX == VZ_POINTER_MAX &&
               HID_WHEEL_NOTCH == VZ_WHEEL_NOTCH, "one is a copy of the other");

int vz_machine_send_touches(struct vz_machine *m, unsigned device, const struct vz_touch *touch,
                            unsigned count, bool pressed, struct vz_error *err)
{
    struct input_call c = {.device = device, .fn = touches, .touch = touch, .count = count, .down = pressed};
    const struct object_list *list;

    if (!options_given(m, "machine", err) || (count && !options_given(touch, "touches", err)))
        return -1;
    list = &m->config->pointing_devices;
    if (device < list->count && ((const struct vz_pointing_device *)list->item[device])->kind != POINTING_TRACKPAD)
        return no_device(err, "trackpad", device);
    if (count > VZ_TOUCHES_MAX) {
        error_set(err, 0, VZ_ERROR_INVALID, "more than %u fingers", VZ_TOUCHES_MAX);
        return -1;
    }
    return to_pointing_device(m, &c, err);
}
