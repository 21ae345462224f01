/* SPDX-License-Identifier: MIT */
/* A host's end of a USB device without a host (usbhost/usb_host.h): what is asked of it is written down, and waits
 * until the test says how it ends, unless it is to end at once. */
#ifndef VZ_TESTS_FAKE_USB_HOST_H
#define VZ_TESTS_FAKE_USB_HOST_H

#include <check.h>
#include <string.h>

#include "base/iov.h"
#include "usbhost/usb_host.h"

#define FAKE_USB_WAITING 40u
#define FAKE_USB_ORDERS  64u
#define FAKE_USB_DATA    65536u

struct fake_usb_host {
    struct usb_host h;
    struct usb_host_xfer *waiting[FAKE_USB_WAITING];
    unsigned waiting_count, submitted, cancelled, requests;
    uint8_t last_setup[USB_HOST_SETUP];
    /* What has come to the device, of all endpoints, and what it answers with. */
    uint8_t out[FAKE_USB_DATA], in[FAKE_USB_DATA];
    size_t out_len, in_len;
    enum usb_host_result result; /* of what ends at once */
    bool hold, hold_orders;      /* nothing does */
    struct usb_host_order *order; /* under way */
    struct usb_host_order log[FAKE_USB_ORDERS];
    unsigned order_count;
    enum usb_host_result order_result;
    bool closed;
};

/* Take it out, and end it: len bytes were moved. */
static inline void fake_usb_end(struct fake_usb_host *f, struct usb_host_xfer *x, enum usb_host_result result, size_t len)
{
    unsigned i = 0;

    while (i < f->waiting_count && f->waiting[i] != x)
        i++;
    ck_assert_uint_lt(i, f->waiting_count);
    f->waiting[i] = f->waiting[--f->waiting_count];
    if (x->ep & 0x80)
        x->actual = iov_write(x->iov, x->iov_count, 0, f->in, len);
    else
        x->actual = iov_read(x->iov, x->iov_count, 0, f->out + f->out_len, len < sizeof(f->out) - f->out_len ? len : 0);
    if (!(x->ep & 0x80))
        f->out_len += x->actual;
    x->done(x, result);
}

static inline void fake_usb_submit(struct usb_host *h, struct usb_host_xfer *x)
{
    struct fake_usb_host *f = container_of(h, struct fake_usb_host, h);

    ck_assert(!f->closed);
    ck_assert_uint_lt(f->waiting_count, FAKE_USB_WAITING);
    ck_assert_uint_eq(iov_length(x->iov, x->iov_count), x->len);
    for (unsigned i = 0; i < f->waiting_count; i++)
        ck_assert_msg(f->waiting[i]->type != x->type || (x->type && f->waiting[i]->ep != x->ep), "two for one endpoint");
    f->waiting[f->waiting_count++] = x;
    f->submitted++;
    if (x->type == USB_HOST_CONTROL) {
        f->requests++;
        memcpy(f->last_setup, x->setup, sizeof(f->last_setup));
    }
    if (!f->hold)
        fake_usb_end(f, x, f->result, x->ep & 0x80 && x->len > f->in_len ? f->in_len : x->len);
}

static inline void fake_usb_cancel(struct usb_host *h, struct usb_host_xfer *x)
{
    container_of(h, struct fake_usb_host, h)->cancelled++;
}

static inline void fake_usb_end_order(struct fake_usb_host *f, enum usb_host_result result)
{
    struct usb_host_order *o = f->order;

    ck_assert_ptr_nonnull(o);
    f->order = NULL;
    o->done(o, result);
}

/* Orders end when the test turns it. */
static inline void fake_usb_order(struct usb_host *h, struct usb_host_order *o)
{
    struct fake_usb_host *f = container_of(h, struct fake_usb_host, h);

    ck_assert_ptr_null(f->order);
    f->order = o;
    f->log[f->order_count++ % FAKE_USB_ORDERS] = *o;
}

/* What is to end at once does. */
static inline void fake_usb_turn(struct fake_usb_host *f)
{
    while (f->order && !f->hold_orders)
        fake_usb_end_order(f, f->order_result);
}

static inline void fake_usb_close(struct usb_host *h)
{
    struct fake_usb_host *f = container_of(h, struct fake_usb_host, h);

    ck_assert(!f->closed && !f->waiting_count);
    f->closed = true;
    f->order = NULL;
}

static const struct usb_host_end_ops fake_usb_ops = {.name = "fake", .submit = fake_usb_submit, .cancel = fake_usb_cancel,
                                                 .order = fake_usb_order, .close = fake_usb_close};

static inline void fake_usb_init(struct fake_usb_host *f, unsigned speed, const uint8_t *descriptors, size_t len)
{
    memset(f, 0, sizeof(*f));
    f->h = (struct usb_host){.ops = &fake_usb_ops, .speed = speed, .descriptors = descriptors, .descriptors_len = len};
    f->in_len = sizeof(f->in);
}

#endif
