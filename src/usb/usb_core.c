/* SPDX-License-Identifier: MIT */
/* What all USB devices do alike: standard requests (USB 2.0 9.4, USB 3.1 9.4), halted endpoints. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "usb/usb.h"

/* ---- Descriptors ---------------------------------------------------------------------------- */

static int give(uint8_t *to, const struct usb_setup *s, const void *data, size_t len)
{
    len = MIN(len, (size_t)s->length);
    memcpy(to, data, len);
    return (int)len;
}

/* 9.6.7: UTF-16. */
static int give_string(const struct usb_setup *s, const char *text, uint8_t *data)
{
    uint8_t d[2 + 2 * USB_STRING_MAX] = {0};
    size_t len = strnlen(text, USB_STRING_MAX);

    d[0] = (uint8_t)(2 + 2 * len);
    d[1] = USB_DT_STRING;
    for (size_t i = 0; i < len; i++)
        d[2 + 2 * i] = (uint8_t)text[i];
    return give(data, s, d, d[0]);
}

static int string(const struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
    static const uint8_t languages[] = {4, USB_DT_STRING, 0x09, 0x04}; /* English, US */
    unsigned index = s->value & 0xff;

    if (!index)
        return give(data, s, languages, sizeof(languages));
    if (index == d->identity->device[16] && d->serial[0])
        return give_string(s, d->serial, data);
    for (unsigned i = 1; d->identity->strings[i - 1]; i++) {
        if (i == index)
            return give_string(s, d->identity->strings[i - 1], data);
    }
    return -EPIPE;
}

/* 9.6.2: what would be at the other speed: nothing. */
static int qualifier(const struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
    const uint8_t *dd = d->identity->device;
    const uint8_t q[10] = {10, USB_DT_QUALIFIER, dd[2], dd[3], dd[4], dd[5], dd[6], 64, 0, 0};

    return d->speed == USB_HIGH ? give(data, s, q, sizeof(q)) : -EPIPE;
}

static int descriptor(const struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
    const struct usb_identity *id = d->identity;

    switch (s->value >> 8) {
    case USB_DT_DEVICE: return give(data, s, id->device, id->device[0]);
    case USB_DT_CONFIG:
        return s->value & 0xff ? -EPIPE : give(data, s, id->config, load_le16(id->config + 2));
    case USB_DT_STRING: return string(d, s, data);
    case USB_DT_QUALIFIER: return qualifier(d, s, data);
    case USB_DT_BOS: return id->bos ? give(data, s, id->bos, load_le16(id->bos + 2)) : -EPIPE;
    default: return -EPIPE;
    }
}

/* ---- Requests to the device ------------------------------------------------------------------ */

/* 9.4.7: endpoints and settings are as new, and halts are gone. */
static void configure(struct usb_dev *d, uint8_t value)
{
    d->configuration = value;
    memset(d->alt, 0, sizeof(d->alt));
    d->halted = 0;
    d->ops->reset(d);
}

static int set_configuration(struct usb_dev *d, const struct usb_setup *s)
{
    if (s->value > 1 || (s->value && s->value != d->identity->config[5]))
        return -EPIPE;
    configure(d, (uint8_t)s->value);
    return 0;
}

static int device_feature(struct usb_dev *d, const struct usb_setup *s)
{
    bool set = s->request == USB_SET_FEATURE;

    switch (s->value) {
    case USB_REMOTE_WAKEUP:
        d->remote_wakeup = set;
        return 0;
    case USB_U1_ENABLE:
    case USB_U2_ENABLE:
    case USB_LTM_ENABLE: return d->speed >= USB_SUPER ? 0 : -EPIPE;
    default: return -EPIPE; /* test modes too */
    }
}

static int to_device(struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
    uint8_t status[2] = {(uint8_t)(d->identity->self_powered | d->remote_wakeup << 1), 0};

    switch (s->request) {
    case USB_GET_STATUS: return s->value ? -EPIPE : give(data, s, status, 2);
    case USB_CLEAR_FEATURE:
    case USB_SET_FEATURE: return device_feature(d, s);
    case USB_SET_ADDRESS: return 0; /* controllers do that by themselves */
    case USB_GET_DESCRIPTOR: return descriptor(d, s, data);
    case USB_GET_CONFIGURATION: return give(data, s, &d->configuration, 1);
    case USB_SET_CONFIGURATION: return set_configuration(d, s);
    case USB_SET_SEL:
    case USB_SET_ISOCH_DELAY: return d->speed >= USB_SUPER ? 0 : -EPIPE;
    default: return -EPIPE;
    }
}

/* ---- To an interface or endpoint ------------------------------------------------------------- */

static bool has_interface(const struct usb_dev *d, unsigned index)
{
    return d->configuration && index < USB_INTERFACES_MAX && d->identity->alt_count[index];
}

/* 9.1.1.5: endpoints of another setting are as new. */
static void clear_halts(struct usb_dev *d, unsigned index)
{
    const uint8_t *c = d->identity->config;
    bool its = false;

    for (unsigned at = 0, len = load_le16(c + 2); at < len; at += c[at]) {
        if (c[at + 1] == USB_DT_INTERFACE)
            its = c[at + 2] == index;
        else if (its && c[at + 1] == USB_DT_ENDPOINT)
            d->halted &= ~usb_ep_bit(c[at + 2]);
    }
}

static int set_interface(struct usb_dev *d, const struct usb_setup *s)
{
    unsigned index = s->index & 0xff;

    if (s->value >= d->identity->alt_count[index])
        return -EPIPE;
    d->alt[index] = (uint8_t)s->value;
    clear_halts(d, index);
    if (d->ops->set_interface)
        d->ops->set_interface(d, index, s->value);
    return 0;
}

static int to_interface(struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
    static const uint8_t status[2] = {0, 0};
    unsigned index = s->index & 0xff;

    if (!has_interface(d, index))
        return -EPIPE;
    switch (s->request) {
    case USB_GET_STATUS: return give(data, s, status, 2);
    case USB_GET_INTERFACE: return give(data, s, &d->alt[index], 1);
    case USB_SET_INTERFACE: return set_interface(d, s);
    case USB_GET_DESCRIPTOR: return d->ops->control(d, s, data);
    case USB_SET_FEATURE:
    case USB_CLEAR_FEATURE:
        return d->speed >= USB_SUPER && s->value == USB_FUNCTION_SUSPEND ? 0 : -EPIPE;
    default: return -EPIPE;
    }
}

/* In the settings of now. NULL: there is none. */
static const uint8_t *find_endpoint(const struct usb_dev *d, uint8_t ep)
{
    const uint8_t *c = d->identity->config;
    bool chosen = false;

    for (unsigned at = 0, len = load_le16(c + 2); d->configuration && at < len; at += c[at]) {
        if (c[at + 1] == USB_DT_INTERFACE)
            chosen = d->alt[c[at + 2]] == c[at + 3];
        else if (chosen && c[at + 1] == USB_DT_ENDPOINT && c[at + 2] == ep)
            return c + at;
    }
    return NULL;
}

static bool has_endpoint(const struct usb_dev *d, uint8_t ep)
{
    return !(ep & 15) || find_endpoint(d, ep);
}

/* USB 3.1 9.6.7: a bulk endpoint's companion, which is next to it, says how many streams it has. */
static bool has_stream(const struct usb_dev *d, const uint8_t *endpoint, unsigned stream)
{
    const uint8_t *companion = endpoint + endpoint[0];
    bool bulk = (endpoint[3] & 3) == 2 && d->speed >= USB_SUPER && companion[1] == USB_DT_SS_COMPANION;
    unsigned log2 = bulk ? companion[3] & 31 : 0;

    return log2 ? stream && stream <= 1u << log2 : !stream;
}

static int clear_halt(struct usb_dev *d, uint8_t ep)
{
    if ((ep & 15) && (!d->ops->clear_halt || d->ops->clear_halt(d, ep)))
        d->halted &= ~usb_ep_bit(ep);
    return 0;
}

static int to_endpoint(struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
    uint8_t ep = s->index & 0x8f, status[2] = {!!(d->halted & usb_ep_bit(ep)), 0};

    if (!has_endpoint(d, ep))
        return -EPIPE;
    if (s->request == USB_GET_STATUS)
        return give(data, s, status, 2);
    if (s->value != USB_ENDPOINT_HALT)
        return -EPIPE;
    if (s->request == USB_CLEAR_FEATURE)
        return clear_halt(d, ep);
    if (s->request != USB_SET_FEATURE)
        return -EPIPE;
    if (ep & 15)
        usb_halt(d, ep);
    return 0;
}

int usb_control(struct usb_dev *d, const struct usb_setup *s, uint8_t *data)
{
    if ((s->type & USB_TYPE_MASK) != USB_TYPE_STANDARD)
        return d->ops->control(d, s, data);
    switch (s->type & USB_TO_MASK) {
    case USB_TO_DEVICE: return to_device(d, s, data);
    case USB_TO_INTERFACE: return to_interface(d, s, data);
    case USB_TO_ENDPOINT: return to_endpoint(d, s, data);
    default: return -EPIPE;
    }
}

/* ---- Transfers ------------------------------------------------------------------------------ */

void usb_halt(struct usb_dev *d, uint8_t ep)
{
    d->halted |= usb_ep_bit(ep);
}

void usb_submit(struct usb_dev *d, struct usb_xfer *x)
{
    const uint8_t *endpoint;

    x->actual = 0;
    if (d->ops->request) {
        (x->setup ? d->ops->request : d->ops->submit)(d, x);
        return;
    }
    endpoint = x->ep & 15 ? find_endpoint(d, x->ep) : NULL;
    if (!endpoint || !has_stream(d, endpoint, x->stream) || (d->halted & usb_ep_bit(x->ep)))
        x->done(x, USB_STALLED);
    else
        d->ops->submit(d, x);
}

void usb_cancel(struct usb_dev *d, struct usb_xfer *x)
{
    d->ops->cancel(d, x);
}

void usb_wakeup(struct usb_dev *d)
{
    if (d->host_ops && d->remote_wakeup)
        d->host_ops->wakeup(d->host, d);
}

/* ---- Life ------------------------------------------------------------------------------------ */

void usb_reset(struct usb_dev *d)
{
    d->remote_wakeup = false;
    configure(d, 0);
}

void usb_reset_port(struct usb_dev *d)
{
    usb_reset(d);
    if (d->ops->port_reset)
        d->ops->port_reset(d);
}

int usb_dev_init(struct usb_dev *d, const struct usb_dev_ops *ops, const struct usb_identity *identity,
                 enum usb_speed speed, const struct device_ops *dev_ops, struct bus *bus,
                 uint32_t instance)
{
    d->ops = ops;
    d->identity = identity;
    d->speed = speed;
    return device_init(&d->dev, dev_ops, bus, instance);
}

void usb_dev_reset_locked(struct device *dev)
{
    usb_reset(container_of(dev, struct usb_dev, dev));
}

void usb_dev_destroy(struct device *dev)
{
    struct usb_dev *d = container_of(dev, struct usb_dev, dev);

    if (d->ops->fini)
        d->ops->fini(d);
    device_fini(dev);
    free(d);
}
