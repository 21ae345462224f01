/* SPDX-License-Identifier: MIT */
/* For the tests of HID devices: one behind a controller with its driver, whose reports are read. */
#ifndef VZ_USB_HID_FIXTURE_H
#define VZ_USB_HID_FIXTURE_H

#include "fake_xhci_driver.h"
#include "unit.h"
#include "usb/hid.h"

struct rig {
    struct fx f;
    struct usb_dev *dev;
    unsigned slot;
    bool waits[2]; /* a transfer of the interface's endpoint */
};

static inline unsigned rig_dci(unsigned interface)
{
    return 3 + 2 * interface;
}

static inline void make(struct rig *r, enum hid_kind kind, unsigned interfaces)
{
    memset(r, 0, sizeof(*r));
    fx_create(&r->f);
    ck_assert_int_eq(hid_create(r->f.m.bus, kind, 1, &r->dev), 0);
    ck_assert_int_eq(xhci_plug(r->f.x, r->dev), 0);
    fx_start(&r->f);
    r->slot = fx_enumerate(&r->f, 1);
    for (unsigned i = 0; i < interfaces; i++)
        ck_assert_uint_eq(fx_configure(&r->f, r->slot, rig_dci(i), XHCI_EP_INTERRUPT_IN, 64), XHCI_SUCCESS);
}

static inline void unmake(struct rig *r)
{
    fx_destroy(&r->f);
}

/* The next report at FX_DATA: its length; 0: there is none. */
static inline unsigned report(struct rig *r, unsigned interface)
{
    struct xhci_trb e;

    if (!r->waits[interface]) {
        memset(fx_at(&r->f, FX_DATA), 0xee, 64);
        fx_normal(&r->f, r->slot, rig_dci(interface), FX_DATA, 64, XHCI_TRB_IOC | XHCI_TRB_ISP);
        fx_ring_bell(&r->f, r->slot, rig_dci(interface));
    }
    fx_turn(&r->f);
    r->waits[interface] = !fx_event_of(&r->f, XHCI_EV_TRANSFER, &e);
    return r->waits[interface] ? 0 : 64 - (e.status & 0xffffff);
}

static inline void expect(struct rig *r, unsigned interface, const char *bytes, unsigned len)
{
    ck_assert_uint_eq(report(r, interface), len);
    ck_assert_mem_eq(fx_at(&r->f, FX_DATA), bytes, len);
}
#define EXPECT(r, interface, bytes) expect(r, interface, bytes, sizeof(bytes) - 1)

/* GET_REPORT and SET_REPORT. */
static inline unsigned get_report(struct rig *r, unsigned type, unsigned id, unsigned len, uint32_t *ret_len)
{
    return fx_control(&r->f, r->slot, 0xa1, 1, (uint16_t)(type << 8 | id), 0, (uint16_t)len, ret_len);
}

static inline unsigned set_report(struct rig *r, unsigned type, unsigned id, const char *bytes, unsigned len)
{
    memcpy(fx_at(&r->f, FX_DATA), bytes, len);
    return fx_control(&r->f, r->slot, 0x21, 9, (uint16_t)(type << 8 | id), 0, (uint16_t)len, NULL);
}

/* HID items, walked as a parser does: all whole, collections closed; bits of input, by report ID. */
static inline unsigned check_descriptor(struct rig *r, unsigned interface, unsigned id)
{
    unsigned len = 0, at = 0, depth = 0, size = 0, count = 0, current = 0, bits = 0;
    uint32_t got;
    const uint8_t *d = fx_at(&r->f, FX_DATA);

    ck_assert_uint_eq(fx_control(&r->f, r->slot, 0x81, 6, 0x2200, (uint16_t)interface, 4096, &got), XHCI_SUCCESS);
    for (len = got; at < len;) {
        unsigned item = d[at] & 0xfc, n = d[at] & 3 ? 1u << ((d[at] & 3) - 1) : 0;
        uint32_t v = 0;

        for (unsigned i = 0; i < n; i++)
            v |= (uint32_t)d[at + 1 + i] << 8 * i;
        at += 1 + n;
        depth += item == 0xa0;
        ck_assert(item != 0xc0 || depth);
        depth -= item == 0xc0;
        size = item == 0x74 ? v : size;
        count = item == 0x94 ? v : count;
        current = item == 0x84 ? v : current;
        bits += item == 0x80 && current == id ? size * count : 0;
    }
    ck_assert_uint_eq(at, len);
    ck_assert_uint_eq(depth, 0);
    return bits;
}

#endif
