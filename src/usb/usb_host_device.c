/* SPDX-License-Identifier: MIT */
#include "usb/usb_host_device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/iov.h"
#include "base/le.h"
#include "base/log.h"
#include "usb/usb_layout.h"

enum { TEST_MODE = 2, KIND_INTERRUPT = 3, KIND_BULK = 2 };

struct way { /* of an endpoint to the host; the first one: of requests */
    struct usb_host_xfer host;
    struct host_device *device;
    struct usb_xfer *xfer; /* under way; NULL: none */
};

struct host_device {
    struct usb_dev usb;
    struct usb_host *host;
    struct usb_layout layout;
    void (*lost)(void *arg);
    void *lost_arg;
    bool is_lost;
    /* As it is on the host. */
    uint8_t configuration, alt[USB_LAYOUT_INTERFACES];
    uint8_t kind[USB_LAYOUT_ENDPOINTS]; /* attributes of those that there are now */
    struct way way[USB_LAYOUT_ENDPOINTS];
    /* One request at a time, and one order, which may go on when its request was cancelled. */
    struct usb_xfer *request;
    bool begun;          /* request is with the host, or is what order is for */
    struct usb_host_order order;
    bool ordering, for_request;
    bool reset_due, give_back_due;
    void (*given_back)(void *arg);
    void *given_back_arg;
};

static struct host_device *to_host_device(struct usb_dev *d)
{
    return container_of(d, struct host_device, usb);
}

static const struct host_device *to_host_device_const(const struct usb_dev *d)
{
    return container_of(d, const struct host_device, usb);
}

static enum usb_result result_of(enum usb_host_result r)
{
    switch (r) {
    case USB_HOST_OK: return USB_OK;
    case USB_HOST_STALLED: return USB_STALLED;
    case USB_HOST_OVERFLOW: return USB_OVERFLOWN;
    case USB_HOST_CANCELLED: return USB_CANCELLED;
    default: return USB_FAILED;
    }
}

static void on_lost(void *arg)
{
    struct host_device *d = arg;

    if (d->is_lost)
        return;
    d->is_lost = true;
    if (d->lost)
        d->lost(d->lost_arg);
}

/* ---- Requests ------------------------------------------------------------------------------- */

static void pump(struct host_device *d);

static void finish_request(struct host_device *d, enum usb_host_result result, size_t actual)
{
    struct usb_xfer *x = d->request;

    d->request = NULL;
    d->begun = d->for_request = false;
    x->actual = actual;
    x->done(x, result_of(result));
}

static void on_request_done(struct usb_host_xfer *h, enum usb_host_result result)
{
    struct way *w = container_of(h, struct way, host);

    w->xfer = NULL;
    finish_request(w->device, result, h->actual);
}

static void pass_on(struct host_device *d)
{
    struct usb_xfer *x = d->request;
    const struct usb_setup *s = x->setup;
    struct way *w = &d->way[0];

    w->device = d;
    w->xfer = x;
    w->host = (struct usb_host_xfer){.type = USB_HOST_CONTROL, .ep = x->ep, .iov = x->iov, .iov_count = x->iov_count,
                                     .len = x->len, .done = on_request_done};
    w->host.setup[0] = s->type;
    w->host.setup[1] = s->request;
    store_le16(w->host.setup + 2, s->value);
    store_le16(w->host.setup + 4, s->index);
    store_le16(w->host.setup + 6, s->length);
    d->host->ops->submit(d->host, &w->host);
}

static void order(struct host_device *d, enum usb_host_order_kind kind, uint8_t index, uint8_t value);

static void order_for_request(struct host_device *d, enum usb_host_order_kind kind, unsigned index, unsigned value)
{
    d->for_request = true;
    order(d, kind, (uint8_t)index, (uint8_t)value);
}

/* As the guest is to see them. */
static void give_config(struct host_device *d, const struct usb_setup *s)
{
    const struct usb_xfer *x = d->request;
    unsigned index = s->value & 0xff;

    if (index >= d->layout.count)
        finish_request(d, USB_HOST_STALLED, 0);
    else
        finish_request(d, USB_HOST_OK,
                       iov_write(x->iov, x->iov_count, 0, d->layout.config[index].bytes,
                                 MIN(x->len, (size_t)d->layout.config[index].len)));
}

/* Sleeping links are the host's business, and test modes end only with the power. */
static void feature(struct host_device *d, const struct usb_setup *s)
{
    if (s->value == TEST_MODE)
        finish_request(d, USB_HOST_STALLED, 0);
    else if (s->value == USB_U1_ENABLE || s->value == USB_U2_ENABLE || s->value == USB_LTM_ENABLE)
        finish_request(d, d->usb.speed >= USB_SUPER ? USB_HOST_OK : USB_HOST_STALLED, 0);
    else
        pass_on(d);
}

static void to_device(struct host_device *d, const struct usb_setup *s)
{
    switch (s->request) {
    case USB_SET_ADDRESS: finish_request(d, USB_HOST_OK, 0); return;
    case USB_SET_SEL:
    case USB_SET_ISOCH_DELAY: finish_request(d, USB_HOST_OK, d->request->len); return;
    case USB_GET_DESCRIPTOR:
        if (s->value >> 8 == USB_DT_CONFIG && s->type & USB_DIR_IN) /* else x has what may only be read */
            give_config(d, s);
        else
            pass_on(d);
        return;
    case USB_SET_CONFIGURATION:
        if (s->value && (s->value > 0xff || !usb_layout_find(&d->layout, (uint8_t)s->value)))
            finish_request(d, USB_HOST_STALLED, 0);
        else
            order_for_request(d, USB_HOST_SET_CONFIGURATION, 0, s->value);
        return;
    case USB_SET_FEATURE:
    case USB_CLEAR_FEATURE: feature(d, s); return;
    default: pass_on(d); return;
    }
}

static void to_interface(struct host_device *d, const struct usb_setup *s)
{
    const struct usb_layout_config *c = usb_layout_find(&d->layout, d->configuration);

    if (s->request != USB_SET_INTERFACE)
        pass_on(d);
    else if (!c || !usb_layout_has_setting(c, s->index, s->value))
        finish_request(d, USB_HOST_STALLED, 0);
    else
        order_for_request(d, USB_HOST_SET_INTERFACE, s->index, s->value);
}

/* The host has a part in the end of a halt: it begins with the same data toggle as the device. */
static void to_endpoint(struct host_device *d, const struct usb_setup *s)
{
    if (s->request != USB_CLEAR_FEATURE || s->value != USB_ENDPOINT_HALT || !(s->index & 15))
        pass_on(d);
    else if (!d->kind[usb_ep_index(s->index)])
        finish_request(d, USB_HOST_STALLED, 0);
    else
        order_for_request(d, USB_HOST_CLEAR_HALT, s->index & 0x8f, 0);
}

static void begin(struct host_device *d)
{
    const struct usb_setup *s = d->request->setup;

    d->begun = true;
    if (d->is_lost)
        finish_request(d, USB_HOST_GONE, 0);
    else if ((s->type & USB_TYPE_MASK) != USB_TYPE_STANDARD)
        pass_on(d);
    else if ((s->type & USB_TO_MASK) == USB_TO_DEVICE)
        to_device(d, s);
    else if ((s->type & USB_TO_MASK) == USB_TO_INTERFACE)
        to_interface(d, s);
    else if ((s->type & USB_TO_MASK) == USB_TO_ENDPOINT)
        to_endpoint(d, s);
    else
        pass_on(d);
}

/* ---- Orders --------------------------------------------------------------------------------- */

static void note(struct host_device *d, const struct usb_host_order *o)
{
    if (o->kind == USB_HOST_SET_CONFIGURATION) {
        d->configuration = o->value;
        memset(d->alt, 0, sizeof(d->alt));
    } else if (o->kind == USB_HOST_SET_INTERFACE) {
        d->alt[o->index] = o->value;
    }
    usb_layout_endpoints(usb_layout_find(&d->layout, d->configuration), d->alt, d->kind);
}

static void on_given_back(struct host_device *d)
{
    void (*done)(void *arg) = d->given_back;

    d->given_back = NULL;
    if (done)
        done(d->given_back_arg);
}

static void on_order_done(struct usb_host_order *o, enum usb_host_result result)
{
    struct host_device *d = container_of(o, struct host_device, order);

    d->ordering = false;
    if (result == USB_HOST_OK)
        note(d, o);
    if (o->kind == USB_HOST_GIVE_BACK) {
        on_given_back(d);
        return;
    }
    if (result == USB_HOST_GONE)
        on_lost(d);
    if (d->for_request)
        finish_request(d, result, 0);
    pump(d);
}

static void order(struct host_device *d, enum usb_host_order_kind kind, uint8_t index, uint8_t value)
{
    d->ordering = true;
    d->order = (struct usb_host_order){.kind = kind, .index = index, .value = value, .done = on_order_done};
    d->host->ops->order(d->host, &d->order);
}

/* Whatever is next. */
static void pump(struct host_device *d)
{
    if (d->ordering)
        return;
    if (d->give_back_due) {
        d->give_back_due = d->reset_due = false;
        order(d, USB_HOST_GIVE_BACK, 0, 0);
    } else if (d->reset_due && !d->is_lost) {
        d->reset_due = false;
        order(d, USB_HOST_RESET, 0, 0);
    } else if (d->request && !d->begun) {
        begin(d);
    }
}

void usb_host_device_give_back(struct usb_dev *usb, void (*done)(void *arg), void *arg)
{
    struct host_device *d = to_host_device(usb);

    d->given_back = done;
    d->given_back_arg = arg;
    d->give_back_due = true;
    if (d->is_lost && !d->ordering)
        on_given_back(d);
    else
        pump(d);
}

/* ---- What the controller asks ---------------------------------------------------------------- */

static void request(struct usb_dev *usb, struct usb_xfer *x)
{
    struct host_device *d = to_host_device(usb);

    d->request = x;
    d->begun = false;
    pump(d);
}

static void on_transfer_done(struct usb_host_xfer *h, enum usb_host_result result)
{
    struct way *w = container_of(h, struct way, host);
    struct usb_xfer *x = w->xfer;

    w->xfer = NULL;
    x->actual = h->actual;
    x->done(x, result_of(result));
}

static void submit(struct usb_dev *usb, struct usb_xfer *x)
{
    struct host_device *d = to_host_device(usb);
    unsigned i = usb_ep_index(x->ep);
    struct way *w = &d->way[i];

    if (d->is_lost || x->stream || (d->kind[i] != KIND_BULK && d->kind[i] != KIND_INTERRUPT)) {
        x->done(x, d->is_lost ? USB_FAILED : USB_STALLED);
        return;
    }
    w->device = d;
    w->xfer = x;
    w->host = (struct usb_host_xfer){.type = d->kind[i] == KIND_BULK ? USB_HOST_BULK : USB_HOST_INTERRUPT, .ep = x->ep,
                                     .iov = x->iov, .iov_count = x->iov_count, .len = x->len, .done = on_transfer_done};
    d->host->ops->submit(d->host, &w->host);
}

/* An order goes on without its request: the guest does not wait for it. */
static void cancel_request(struct host_device *d)
{
    if (d->way[0].xfer)
        d->host->ops->cancel(d->host, &d->way[0].host);
    else
        finish_request(d, USB_HOST_CANCELLED, 0);
}

static void cancel(struct usb_dev *usb, struct usb_xfer *x)
{
    struct host_device *d = to_host_device(usb);

    if (x == d->request) {
        cancel_request(d);
        return;
    }
    for (unsigned i = 1; i < USB_LAYOUT_ENDPOINTS; i++) {
        if (d->way[i].xfer == x) {
            d->host->ops->cancel(d->host, &d->way[i].host);
            return;
        }
    }
}

/* What is left of its settings is gone with the port's reset, which comes first whenever a driver begins. */
static void reset(struct usb_dev *usb) {}

static void port_reset(struct usb_dev *usb)
{
    struct host_device *d = to_host_device(usb);

    d->configuration = 0;
    memset(d->alt, 0, sizeof(d->alt));
    memset(d->kind, 0, sizeof(d->kind));
    d->reset_due = true;
    pump(d);
}

static void fini(struct usb_dev *usb)
{
    struct host_device *d = to_host_device(usb);

    if (!d->host)
        return;
    d->host->lost = NULL;
    d->host->ops->close(d->host);
    usb_layout_fini(&d->layout);
}

static const struct usb_dev_ops host_ops = {.name = "usb-host", .reset = reset, .port_reset = port_reset,
                                            .request = request, .submit = submit, .cancel = cancel, .fini = fini};

/* Nothing of it can be saved: the device goes on by itself. Machines with one are not saved. */
static const struct state_field fields[] = {USB_DEV_STATE(struct host_device, usb), STATE_END};
static const struct state_desc state = {.name = "usb-host", .version = 1, .fields = fields};
static const struct device_ops dev_ops = {.name = "usb-host", .state = &state, .reset_locked = usb_dev_reset_locked,
                                          .destroy = usb_dev_destroy};

/* ---- Making one ----------------------------------------------------------------------------- */

static void tell_what_is_left_out(const struct host_device *d)
{
    unsigned vendor = load_le16(d->host->descriptors + 8), product = load_le16(d->host->descriptors + 10);

    if (d->layout.without_isochronous)
        log_warn("usb: %04x:%04x: the guest has it without its isochronous transfers (sound, video), which are not "
                 "passed on", vendor, product);
    if (d->layout.without_streams)
        log_info("usb: %04x:%04x: the guest has it without USB attached SCSI, whose streams are not passed on", vendor,
                 product);
}

int usb_host_device_create(struct bus *bus, uint32_t instance, const struct usb_host_device_options *o,
                           struct usb_dev **ret, struct vz_error *err)
{
    struct host_device *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    r = usb_layout_read(o->host->descriptors, o->host->descriptors_len, &d->layout, err);
    if (r < 0) {
        free(d);
        return r;
    }
    r = usb_dev_init(&d->usb, &host_ops, NULL, (enum usb_speed)o->host->speed, &dev_ops, bus, instance);
    if (r < 0) {
        usb_layout_fini(&d->layout);
        free(d);
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "%s", strerror(-r));
    }
    d->host = o->host;
    d->host->lost = on_lost;
    d->host->arg = d;
    d->lost = o->lost;
    d->lost_arg = o->arg;
    tell_what_is_left_out(d);
    *ret = &d->usb;
    return 0;
}

bool usb_host_device_is_lost(const struct usb_dev *usb)
{
    return to_host_device_const(usb)->is_lost;
}
