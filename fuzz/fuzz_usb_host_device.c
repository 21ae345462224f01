/* SPDX-License-Identifier: MIT */
/* A device of the host that says anything of itself and answers as it likes, under a driver that asks it anything:
 * both are in the input. Nothing of it may reach what it must not, and all that is under way comes back. */
#include <stdlib.h>

#include "no_check.h"

#include "fake_usb_host.h"
#include "fake_xhci_driver.h"
#include "fuzz_input.h"
#include "usb/usb_host_device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct fx f;
    struct fake_usb_host host;
    struct usb_dev *dev;
    unsigned slot;
};

static const unsigned dcis[] = {1, 2, 3, 4, 5, 7, 16, 31};

/* Mostly what could be descriptors. */
static size_t take_descriptors(struct input *in, uint8_t *to, size_t size)
{
    static const uint8_t device[] = {18, 1, 0, 2, 0, 0, 0, 64, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1};
    static const uint8_t config[] = {9, 2, 0, 1, 1, 1, 0, 0x80, 50};
    static const uint8_t pieces[][9] = {{9, 4, 0, 0, 2, 0xff, 0, 0, 0}, {7, 5, 0x81, 2, 0, 2, 0}, {7, 5, 0x02, 2, 0, 2, 0},
                                        {7, 5, 0x83, 3, 8, 0, 1},       {7, 5, 0x04, 1, 8, 0, 1}, {6, 0x30, 15, 5, 0, 0},
                                        {9, 4, 0, 1, 1, 0xff, 0, 0, 0}, {8, 11, 0, 2, 1, 1, 0, 0}, {9, 2, 30, 0, 1, 2, 0, 0x80, 0}};
    size_t len = sizeof(device) + sizeof(config);
    unsigned count = (unsigned)take(in, 1) % 24;

    memcpy(to, device, sizeof(device));
    memcpy(to + sizeof(device), config, sizeof(config));
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *p = pieces[take(in, 1) % ARRAY_SIZE(pieces)];

        memcpy(to + len, p, p[0]);
        if (take(in, 1) > 230)
            to[len + take(in, 1) % p[0]] = (uint8_t)take(in, 1);
        len += p[0];
    }
    if (take(in, 1) > 240)
        to[take(in, 1) % len] = (uint8_t)take(in, 1);
    return take(in, 1) > 240 ? take(in, 1) % len : len;
}

static void on_control(struct world *w, struct input *in)
{
    struct fx_ring *r = &w->f.ring[w->slot][1];
    uint8_t type = (uint8_t)take(in, 1), request = (uint8_t)take(in, 1) % 14;
    uint16_t value = (uint16_t)take(in, 2), index = (uint16_t)take(in, 1), length = (uint16_t)(take(in, 1) * 37);
    bool in_data = (type & 0x80) != 0;

    if (take(in, 1) & 1)
        value &= 3;
    fx_put(&w->f, r, type | (uint64_t)request << 8 | (uint64_t)value << 16 | (uint64_t)index << 32 | (uint64_t)length << 48, 8,
           (uint32_t)XHCI_SETUP << 10 | XHCI_TRB_IDT);
    if (take(in, 1) & 3)
        fx_put(&w->f, r, FX_DATA + take(in, 1), take(in, 1) & 1 ? length : (uint32_t)take(in, 2),
               (uint32_t)XHCI_DATA << 10 | XHCI_TRB_ISP | (in_data != (take(in, 1) > 250) ? (uint32_t)XHCI_TRB_DIR_IN : 0));
    fx_put(&w->f, r, 0, 0, (uint32_t)XHCI_STATUS << 10 | XHCI_TRB_IOC);
    fx_wr(&w->f, FX_DB + 4 * w->slot, 1);
}

static void on_transfer(struct world *w, struct input *in)
{
    unsigned dci = dcis[1 + take(in, 1) % (ARRAY_SIZE(dcis) - 1)];

    if (!w->f.ring[w->slot][dci].base)
        return;
    fx_normal(&w->f, w->slot, dci, FX_DATA + take(in, 2), (uint32_t)take(in, 3) % 0x20000, XHCI_TRB_IOC | (take(in, 1) & 0x34));
    fx_wr(&w->f, FX_DB + 4 * w->slot, dci);
}

static void on_command(struct world *w, struct input *in)
{
    unsigned dci = dcis[take(in, 1) % ARRAY_SIZE(dcis)];
    const struct fx_ring *r = &w->f.ring[w->slot][dci];

    fx_put(&w->f, &w->f.command, (r->base + 16 * r->at) | r->cycle, 0,
           w->slot << 24 | dci << 16 | (uint32_t)(take(in, 1) & 7 ? 14 + take(in, 1) % 3 : 9 + take(in, 1) % 9) << 10);
    fx_wr(&w->f, FX_DB, 0);
}

static void on_configure(struct world *w, struct input *in)
{
    unsigned dci = dcis[1 + take(in, 1) % (ARRAY_SIZE(dcis) - 1)];
    uint8_t *input = fx_at(&w->f, fx_context(w->slot) + 0x800);

    memset(input, 0, 32);
    store_le32(input, take(in, 1) & 1 ? 1u << dci : 0);
    store_le32(input + 4, 1u | 1u << dci);
    fx_put_ep(&w->f, w->slot, dci, (dci & 1 ? 4u : 0) + 1 + (unsigned)take(in, 1) % 3, 64);
    fx_put(&w->f, &w->f.command, fx_context(w->slot) + 0x800, 0, (uint32_t)XHCI_CONFIGURE_ENDPOINT << 10 | w->slot << 24);
    fx_wr(&w->f, FX_DB, 0);
}

static void on_answer(struct world *w, struct input *in)
{
    struct usb_host_xfer *x = w->host.waiting_count ? w->host.waiting[take(in, 1) % w->host.waiting_count] : NULL;

    w->host.hold = take(in, 1) & 3;
    w->host.in_len = take(in, 2);
    w->host.out_len = 0;
    if (x)
        fake_usb_end(&w->host, x, (enum usb_host_result)(take(in, 1) % 6), x->len ? take(in, 3) % (x->len + 1) : 0);
}

static void on_order(struct world *w, struct input *in)
{
    w->host.hold_orders = take(in, 1) & 1;
    if (w->host.order)
        fake_usb_end_order(&w->host, take(in, 1) & 3 ? USB_HOST_OK : (enum usb_host_result)(take(in, 1) % 6));
}

static void on_port(struct world *w, struct input *in)
{
    if (w->dev->port)
        fx_wr(&w->f, fx_port(w->dev->port, XHCI_PORT_SC), XHCI_PORT_PP | XHCI_PORT_PR);
    if (take(in, 1) > 250)
        w->host.h.lost(w->host.h.arg);
    if (take(in, 1) > 250)
        fx_wr(&w->f, FX_OP + XHCI_USBCMD, XHCI_CMD_HCRST);
}

static void quiet(void *arg)
{
    *(bool *)arg = true;
}

/* What the host is asked to let go of it does. */
static void let_go(struct world *w, const bool *over)
{
    for (unsigned i = 0; i < 200 && !*over; i++) {
        w->host.out_len = 0;
        if (w->host.waiting_count)
            fake_usb_end(&w->host, w->host.waiting[0], USB_HOST_CANCELLED, 0);
        fx_turn(&w->f);
    }
    require(*over, "something does not come back");
}

static void on_rest(struct world *w, struct input *in)
{
    bool over = false;

    xhci_quiesce(w->f.x, quiet, &over);
    let_go(w, &over);
    require(!w->host.waiting_count, "a transfer at rest");
    xhci_resume(w->f.x);
}

static void unplug(struct world *w)
{
    bool out = !w->dev->port, back = false;

    if (!out)
        xhci_unplug(w->f.x, w->dev, quiet, &out);
    let_go(w, &out);
    usb_host_device_give_back(w->dev, quiet, &back);
    for (unsigned i = 0; i < 4 && w->host.order; i++)
        fake_usb_end_order(&w->host, USB_HOST_OK);
    require(back, "it is not given back");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const act[])(struct world *w, struct input *in) = {on_control, on_control, on_transfer, on_transfer, on_command,
                                                                     on_configure, on_answer, on_answer, on_order, on_port, on_rest};
    struct input in = {data, size};
    struct world *w = calloc(1, sizeof(*w));
    uint8_t bytes[18 + 9 + 24 * 9], *descriptors;
    struct usb_host_device_options o = {.lost = NULL};
    size_t len;

    require(w, "no memory");
    len = take_descriptors(&in, bytes, sizeof(bytes));
    descriptors = malloc(len ? len : 1); /* so that a byte behind it is found */
    memcpy(descriptors, bytes, len);
    fx_create(&w->f);
    fake_usb_init(&w->host, 1 + (unsigned)take(&in, 1) % 4, descriptors, len);
    o.host = &w->host.h;
    if (usb_host_device_create(w->f.m.bus, 1, &o, &w->dev, NULL) == 0) {
        require(!xhci_plug(w->f.x, w->dev), "no port");
        fx_start(&w->f);
        fx_reset_port(&w->f, w->dev->port);
        fake_usb_turn(&w->host);
        w->slot = fx_address(&w->f, w->dev->port);
        while (in.len) {
            act[take(&in, 1) % ARRAY_SIZE(act)](w, &in);
            fx_turn(&w->f);
            fake_loop_fire(w->f.m.loop);
        }
        unplug(w);
    }
    fx_destroy(&w->f);
    free(descriptors);
    free(w);
    return 0;
}
