/* SPDX-License-Identifier: MIT */
#include "usb/usb_layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/le.h"
#include "usb/usb.h"
#include "usbhost/usb_walk.h"

#define DEVICE_LEN    18u
#define CONFIG_LEN    9u
#define INTERFACE_LEN 9u
#define ENDPOINT_LEN  7u
#define COMPANION_LEN 6u

enum { DT_ASSOCIATION = 11, KIND_MASK = 3, KIND_ISOCHRONOUS = 1, KIND_BULK = 2 };

static bool is_endpoint(const uint8_t *d)
{
    return d[1] == USB_DT_ENDPOINT && d[0] >= ENDPOINT_LEN;
}

static bool is_interface(const uint8_t *d)
{
    return d[1] == USB_DT_INTERFACE && d[0] >= INTERFACE_LEN;
}

/* ---- Leaving out ----------------------------------------------------------------------------- */

struct filter {
    struct usb_layout *layout;
    struct usb_layout_config *to;
    uint8_t *interface; /* whose setting it is at, in to; NULL: none */
    bool skips_setting, skips_endpoint, bulk;
};

/* Of the setting that begins at *bytes: has it what cannot be passed on? */
static void look_ahead(const uint8_t *bytes, size_t len, bool *ret_isochronous, bool *ret_streams)
{
    bool bulk = false;
    const uint8_t *d;
    size_t at = bytes[0];

    *ret_isochronous = *ret_streams = false;
    while ((d = usb_walk(bytes, len, &at)) && d[1] != USB_DT_INTERFACE && d[1] != DT_ASSOCIATION) {
        if (is_endpoint(d)) {
            *ret_isochronous = *ret_isochronous || (d[3] & KIND_MASK) == KIND_ISOCHRONOUS;
            bulk = (d[3] & KIND_MASK) == KIND_BULK;
        } else if (bulk && d[1] == USB_DT_SS_COMPANION && d[0] >= COMPANION_LEN) {
            *ret_streams = *ret_streams || (d[3] & 31);
        }
    }
}

/* Of an interface's first setting, which has to be there, endpoints go. */
static void begin_setting(struct filter *f, const uint8_t *d, size_t len)
{
    bool isochronous, streams;

    look_ahead(d, len, &isochronous, &streams);
    f->layout->without_isochronous = f->layout->without_isochronous || isochronous;
    f->layout->without_streams = f->layout->without_streams || streams;
    f->skips_setting = d[3] && (isochronous || streams);
    f->skips_endpoint = f->bulk = false;
    f->interface = f->to->bytes + f->to->len;
}

static void begin_endpoint(struct filter *f, const uint8_t *d)
{
    f->bulk = (d[3] & KIND_MASK) == KIND_BULK;
    f->skips_endpoint = (d[3] & KIND_MASK) == KIND_ISOCHRONOUS;
    if (f->skips_endpoint && !f->skips_setting && f->interface && f->interface[4])
        f->interface[4]--;
}

/* len: from d to the end of all. */
static void filter_one(struct filter *f, const uint8_t *d, size_t len)
{
    uint8_t *to = f->to->bytes + f->to->len;

    if (d[1] == DT_ASSOCIATION)
        f->skips_setting = f->skips_endpoint = false;
    else if (is_interface(d))
        begin_setting(f, d, len);
    else if (is_endpoint(d))
        begin_endpoint(f, d);
    if (f->skips_setting || f->skips_endpoint)
        return;
    memcpy(to, d, d[0]);
    f->to->len = (uint16_t)(f->to->len + d[0]);
    if (f->bulk && to[1] == USB_DT_SS_COMPANION && to[0] >= COMPANION_LEN)
        to[3] &= (uint8_t)~31u;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static int senseless(struct vz_error *err)
{
    return error_set(err, EINVAL, VZ_ERROR_DEVICE_INITIALIZATION_FAILURE,
                     "what the USB device says of itself makes no sense");
}

static bool may_be(const uint8_t *d)
{
    if (d[1] == USB_DT_INTERFACE)
        return d[0] >= INTERFACE_LEN && d[2] < USB_LAYOUT_INTERFACES;
    if (d[1] == USB_DT_ENDPOINT)
        return d[0] >= ENDPOINT_LEN && d[2] & 15;
    return true;
}

/* A configuration, len bytes that begin with its descriptor. */
static int read_config(struct usb_layout *l, const uint8_t *bytes, size_t len, struct vz_error *err)
{
    struct usb_layout_config *c = &l->config[l->count];
    struct filter f = {.layout = l, .to = c};
    const uint8_t *d;
    size_t at = 0;

    if (usb_layout_find(l, bytes[5]) || !bytes[5])
        return senseless(err);
    *c = (struct usb_layout_config){.value = bytes[5], .bytes = malloc(len)};
    if (!c->bytes)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    l->count++;
    while ((d = usb_walk(bytes, len, &at))) {
        if (!may_be(d))
            return senseless(err);
        filter_one(&f, d, len - (size_t)(d - bytes));
    }
    store_le16(c->bytes + 2, c->len);
    return 0;
}

int usb_layout_read(const uint8_t *bytes, size_t len, struct usb_layout *ret, struct vz_error *err)
{
    size_t at = DEVICE_LEN;
    int r = 0;

    *ret = (struct usb_layout){.count = 0};
    if (len < DEVICE_LEN || bytes[0] != DEVICE_LEN || bytes[1] != USB_DT_DEVICE)
        return senseless(err);
    while (!r && len - at >= CONFIG_LEN && ret->count < USB_LAYOUT_CONFIGS) {
        const uint8_t *c = bytes + at;
        size_t total = load_le16(c + 2);

        if (c[0] < CONFIG_LEN || c[1] != USB_DT_CONFIG || total < c[0])
            break;
        total = MIN(total, len - at);
        r = read_config(ret, c, total, err);
        at += total;
    }
    if (!r && !ret->count)
        r = senseless(err);
    if (r < 0)
        usb_layout_fini(ret);
    return r;
}

void usb_layout_fini(struct usb_layout *l)
{
    for (unsigned i = 0; i < l->count; i++)
        free(l->config[i].bytes);
    l->count = 0;
}

/* ---- Asking --------------------------------------------------------------------------------- */

const struct usb_layout_config *usb_layout_find(const struct usb_layout *l, uint8_t value)
{
    for (unsigned i = 0; i < l->count; i++) {
        if (l->config[i].value == value)
            return &l->config[i];
    }
    return NULL;
}

bool usb_layout_has_setting(const struct usb_layout_config *c, unsigned interface, unsigned alt)
{
    const uint8_t *d;
    size_t at = 0;

    while ((d = usb_walk(c->bytes, c->len, &at))) {
        if (is_interface(d) && d[2] == interface && d[3] == alt)
            return true;
    }
    return false;
}

void usb_layout_endpoints(const struct usb_layout_config *c, const uint8_t alt[USB_LAYOUT_INTERFACES],
                          uint8_t ret[USB_LAYOUT_ENDPOINTS])
{
    bool chosen = false;
    const uint8_t *d;
    size_t at = 0;

    memset(ret, 0, USB_LAYOUT_ENDPOINTS);
    while (c && (d = usb_walk(c->bytes, c->len, &at))) {
        if (is_interface(d))
            chosen = alt[d[2]] == d[3];
        else if (chosen && is_endpoint(d))
            ret[usb_ep_index(d[2])] = d[3] & KIND_MASK;
    }
}
