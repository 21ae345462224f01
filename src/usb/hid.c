/* SPDX-License-Identifier: MIT */
/* The HID class: requests (7), and reports on the interrupt endpoints. A transfer waits in the device until there
 * is something to say, so nothing happens while nobody types. */
#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "usb/hid_impl.h"

enum {
    REQ_GET_REPORT = 1, REQ_GET_IDLE = 2, REQ_GET_PROTOCOL = 3, REQ_SET_REPORT = 9, REQ_SET_IDLE = 10,
    REQ_SET_PROTOCOL = 11
};
enum { DT_HID = 0x21, DT_REPORT = 0x22 };

/* ---- Reports -------------------------------------------------------------------------------- */

static void serve(struct hid *h, unsigned interface)
{
    struct usb_xfer *x = h->waiting[interface];
    uint8_t report[HID_REPORT_MAX];
    size_t len = x ? h->model->next(h, interface, report) : 0;

    if (!len)
        return;
    h->waiting[interface] = NULL;
    x->actual = iov_write(x->iov, x->iov_count, 0, report, len);
    x->done(x, USB_OK);
}

void hid_news(struct hid *h)
{
    for (unsigned i = 0; i < h->model->interfaces; i++)
        serve(h, i);
    usb_wakeup(&h->usb);
}

static void submit(struct usb_dev *d, struct usb_xfer *x)
{
    struct hid *h = to_hid(d);
    unsigned interface = (x->ep & 15u) - 1;

    h->waiting[interface] = x;
    serve(h, interface);
}

static void cancel(struct usb_dev *d, struct usb_xfer *x)
{
    struct hid *h = to_hid(d);

    for (unsigned i = 0; i < HID_INTERFACES; i++) {
        if (h->waiting[i] == x) {
            h->waiting[i] = NULL;
            x->done(x, USB_CANCELLED);
        }
    }
}

/* ---- Requests ------------------------------------------------------------------------------- */

static int give(uint8_t *to, const struct usb_setup *s, const void *data, size_t len)
{
    len = MIN(len, (size_t)s->length);
    memcpy(to, data, len);
    return (int)len;
}

/* The HID descriptor lies between the interface's and the endpoint's (7.1). */
static int descriptor(const struct hid *h, const struct usb_setup *s, unsigned interface, uint8_t *data)
{
    switch (s->value >> 8) {
    case DT_HID: return give(data, s, h->model->identity.config + 9 + 25 * interface + 9, 9);
    case DT_REPORT:
        return give(data, s, h->model->report[interface].bytes, h->model->report[interface].len);
    default: return -EPIPE;
    }
}

static int get_report(struct hid *h, const struct usb_setup *s, unsigned interface, uint8_t *data)
{
    uint8_t report[512];
    int len = h->model->get(h, interface, s->value >> 8, s->value & 0xff, report);

    return len < 0 ? len : give(data, s, report, (size_t)len);
}

static int class_request(struct hid *h, const struct usb_setup *s, unsigned interface, uint8_t *data)
{
    uint8_t protocol = !h->boot[interface];

    switch (s->request) {
    case REQ_GET_REPORT: return get_report(h, s, interface, data);
    case REQ_GET_IDLE: return give(data, s, &h->idle[interface], 1);
    case REQ_GET_PROTOCOL: return give(data, s, &protocol, 1);
    case REQ_SET_REPORT:
        return h->model->set(h, interface, s->value >> 8, s->value & 0xff, data, s->length);
    case REQ_SET_IDLE:
        h->idle[interface] = (uint8_t)(s->value >> 8);
        return 0;
    case REQ_SET_PROTOCOL:
        h->boot[interface] = !(s->value & 1);
        return 0;
    default: return -EPIPE;
    }
}

static int control(struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
    struct hid *h = to_hid(d);
    unsigned interface = s->index & 0xff;

    if ((s->type & USB_TO_MASK) != USB_TO_INTERFACE || interface >= h->model->interfaces)
        return -EPIPE;
    if ((s->type & USB_TYPE_MASK) == USB_TYPE_CLASS)
        return class_request(h, s, interface, data);
    return (s->type & USB_TYPE_MASK) == USB_TYPE_STANDARD ? descriptor(h, s, interface, data) : -EPIPE;
}

static void reset(struct usb_dev *d)
{
    struct hid *h = to_hid(d);

    memset(h->boot, 0, sizeof(h->boot));
    memset(h->idle, 0, sizeof(h->idle));
    h->model->clear(h);
}

static const struct usb_dev_ops hid_ops = {
    .name = "hid", .reset = reset, .control = control, .submit = submit, .cancel = cancel};

/* ---- Making one ----------------------------------------------------------------------------- */

int hid_init(struct hid *h, const struct hid_model *model, const struct device_ops *dev_ops,
             struct bus *bus, uint32_t instance)
{
    h->model = model;
    return usb_dev_init(&h->usb, &hid_ops, &model->identity, USB_HIGH, dev_ops, bus, instance);
}

int hid_create(struct bus *bus, enum hid_kind kind, uint32_t instance, struct usb_dev **ret)
{
    switch (kind) {
    case HID_KEYBOARD: return hid_keyboard_create(bus, false, instance, ret);
    case HID_MAC_KEYBOARD: return hid_keyboard_create(bus, true, instance, ret);
    case HID_POINTER: return hid_pointer_create(bus, false, instance, ret);
    case HID_MOUSE: return hid_pointer_create(bus, true, instance, ret);
    case HID_TRACKPAD: return hid_trackpad_create(bus, instance, ret);
    default: return -EINVAL;
    }
}

int16_t hid_wheel_turn(struct hid_wheel *w, int32_t by)
{
    int32_t sum = w->rest + by, out;

    if (w->fine)
        return (int16_t)hid_clamp(by, INT16_MAX);
    if ((by > 0) != (w->rest > 0))
        sum = by; /* the other way: what was begun is forgotten */
    if (!by)
        return 0;
    out = sum / HID_WHEEL_NOTCH;
    w->rest = sum % HID_WHEEL_NOTCH;
    return (int16_t)hid_clamp(out, INT8_MAX);
}
