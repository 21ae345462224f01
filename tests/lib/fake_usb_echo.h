/* SPDX-License-Identifier: MIT */
/* A USB device for tests of the controller: what is written to it can be read from it. */
#ifndef VZ_TESTS_FAKE_USB_ECHO_H
#define VZ_TESTS_FAKE_USB_ECHO_H

#include <errno.h>

#include "base/iov.h"
#include "fake_xhci_driver.h"

#define IN  3u /* its DCIs */
#define OUT 2u

struct echo {
    struct usb_dev usb;
    uint8_t data[65536];
    size_t len;
    unsigned resets;
    bool hold;             /* IN waits, */
    struct usb_xfer *held; /* here */
};

static inline void echo_in(struct echo *e, struct usb_xfer *x)
{
    size_t len = MIN(e->len, x->len);

    x->actual = iov_write(x->iov, x->iov_count, 0, e->data, len);
    e->len = 0;
    x->done(x, USB_OK);
}

static inline void echo_submit(struct usb_dev *d, struct usb_xfer *x)
{
    struct echo *e = container_of(d, struct echo, usb);

    if (!(x->ep & USB_DIR_IN)) {
        e->len = iov_read(x->iov, x->iov_count, 0, e->data, sizeof(e->data));
        x->actual = x->len;
        x->done(x, USB_OK);
    } else if (e->hold) {
        e->held = x;
    } else {
        echo_in(e, x);
    }
}

static inline void echo_cancel(struct usb_dev *d, struct usb_xfer *x)
{
    struct echo *e = container_of(d, struct echo, usb);

    ck_assert_ptr_eq(e->held, x);
    e->held = NULL;
    x->done(x, USB_CANCELLED);
}

static inline void echo_reset(struct usb_dev *d)
{
    container_of(d, struct echo, usb)->resets++;
}

static inline int echo_control(struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
    return -EPIPE;
}

static const struct usb_dev_ops echo_ops = {.name = "echo", .reset = echo_reset, .control = echo_control,
                                            .submit = echo_submit, .cancel = echo_cancel};
static const uint8_t echo_device[] = {18, 1, 0, 2, 0xff, 0, 0, 64, 1, 0, 2, 0, 0, 1, 1, 2, 3, 1};
static const uint8_t echo_config[] = {9, 2, 32, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 2, 0xff, 0, 0, 0,
                                 7, 5, 0x01, 2, 0, 2, 0, 7, 5, 0x81, 2, 0, 2, 0};
static const char *const echo_strings[] = {"vz", "echo", "1", NULL};
static const struct usb_identity echo_identity = {.device = echo_device, .config = echo_config, .strings = echo_strings,
                                                  .alt_count = {1}};
static const struct state_field echo_fields[] = {USB_DEV_STATE(struct echo, usb), STATE_END};
static const struct state_desc echo_state = {.name = "echo", .version = 1, .fields = echo_fields};
static const struct device_ops echo_dev_ops = {.name = "echo", .state = &echo_state,
                                               .reset_locked = usb_dev_reset_locked, .destroy = usb_dev_destroy};

static inline struct echo *new_echo(struct fx *f, enum usb_speed speed)
{
    struct echo *e = calloc(1, sizeof(*e));
    unsigned port = xhci_free_port(f->x, speed);

    ck_assert_ptr_nonnull(e);
    ck_assert_int_eq(usb_dev_init(&e->usb, &echo_ops, &echo_identity, speed, &echo_dev_ops, f->m.bus, port), 0);
    ck_assert_int_eq(xhci_plug(f->x, &e->usb), 0);
    ck_assert_uint_eq(e->usb.port, port);
    return e;
}

/* A controller with one, and endpoints. */
static inline unsigned fx_with_echo(struct fx *f, struct echo **ret)
{
    unsigned slot;

    fx_create(f);
    *ret = new_echo(f, USB_HIGH);
    fx_start(f);
    slot = fx_enumerate(f, 1);
    ck_assert_uint_eq(fx_configure(f, slot, OUT, XHCI_EP_BULK_OUT, 512), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_configure(f, slot, IN, XHCI_EP_BULK_IN, 512), XHCI_SUCCESS);
    return slot;
}

#endif
