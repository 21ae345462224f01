/* SPDX-License-Identifier: MIT */
/* Root hub ports (4.19, 5.4.8). A USB 2 port that a device is plugged into is disabled, and polls, until the
 * driver resets it; a USB 3 port trains to U0 by itself. PORTSC is under the function's lock; what is plugged where
 * is the loop's. */
#include <errno.h>

#include "base/trace.h"
#include "usb/xhci_impl.h"

#define PMSC_USB3 0x1ffffu /* time-outs of U1 and U2, and whether the link is kept out of them */
#define PMSC_USB2 0xfff8u  /* what L1 would have; there is none, and no test modes */

static bool is_usb3(unsigned n)
{
    return n >= XHCI_PORTS_USB2;
}

static unsigned link_state(const struct xhci_port *p)
{
    return (p->sc & XHCI_PORT_PLS_MASK) >> XHCI_PORT_PLS_SHIFT;
}

static void set_link(struct xhci_port *p, enum xhci_pls state)
{
    p->sc = (p->sc & ~XHCI_PORT_PLS_MASK) | (uint32_t)state << XHCI_PORT_PLS_SHIFT;
}

/* ---- Changes (4.19.2) ----------------------------------------------------------------------- */

static void report(struct xhci *x, unsigned n)
{
    const struct xhci_trb event = {.parameter = (uint64_t)(n + 1) << 24,
                                   .status = (uint32_t)XHCI_SUCCESS << 24,
                                   .control = (uint32_t)XHCI_EV_PORT << 10};

    x->regs.usbsts |= XHCI_STS_PCD;
    if (xhci_is_running(x) && !x->quiet) /* at rest nobody could take it: xhci_resume() tells */
        xhci_event_locked(x, 0, &event, true);
}

/* An event comes when the first of the changes does. */
static void change(struct xhci *x, unsigned n, uint32_t what)
{
    struct xhci_port *p = &x->port[n];
    bool news = !(p->sc & XHCI_PORT_CHANGES);

    p->sc |= what;
    TRACE(x->trace, usb, "xhci", x, "port %u: PORTSC %#x", n + 1, p->sc);
    if (news)
        report(x, n);
}

void xhci_ports_report_locked(struct xhci *x)
{
    for (unsigned n = 0; n < XHCI_PORTS_ALL; n++) {
        if (x->port[n].sc & XHCI_PORT_CHANGES)
            report(x, n);
    }
}

/* ---- Connecting ----------------------------------------------------------------------------- */

static void connect(struct xhci *x, unsigned n)
{
    struct xhci_port *p = &x->port[n];

    p->sc &= ~(XHCI_PORT_SPEED_MASK | XHCI_PORT_PED);
    p->sc |= XHCI_PORT_CCS | (uint32_t)p->dev->speed << XHCI_PORT_SPEED_SHIFT |
             (is_usb3(n) ? XHCI_PORT_PED : 0);
    set_link(p, is_usb3(n) ? XHCI_U0 : XHCI_POLLING);
    change(x, n, XHCI_PORT_CSC);
}

static void disconnect(struct xhci *x, unsigned n)
{
    struct xhci_port *p = &x->port[n];

    if (!(p->sc & XHCI_PORT_CCS))
        return;
    p->sc &= ~(XHCI_PORT_SPEED_MASK | XHCI_PORT_PED | XHCI_PORT_CCS | XHCI_PORT_PR);
    set_link(p, XHCI_RX_DETECT);
    change(x, n, XHCI_PORT_CSC);
}

void xhci_ports_reset_locked(struct xhci *x)
{
    for (unsigned n = 0; n < XHCI_PORTS_ALL; n++) {
        struct xhci_port *p = &x->port[n];

        p->pmsc = 0;
        p->sc = XHCI_PORT_PP;
        set_link(p, XHCI_RX_DETECT);
        if (p->dev && !p->leaving)
            connect(x, n);
    }
}

static void on_wakeup(void *host, struct usb_dev *d)
{
    struct xhci *x = host;
    unsigned n = d->port - 1;
    struct xhci_port *p = &x->port[n];

    device_lock(&x->pci.dev);
    if ((p->sc & XHCI_PORT_CCS) && link_state(p) == XHCI_U3) {
        set_link(p, XHCI_RESUME);
        change(x, n, XHCI_PORT_PLC);
    }
    device_unlock(&x->pci.dev);
}

static const struct usb_host_ops host_ops = {.wakeup = on_wakeup};

unsigned xhci_free_port(const struct xhci *x, unsigned speed)
{
    unsigned n = speed >= USB_SUPER ? XHCI_PORTS_USB2 : 0;
    unsigned end = speed >= USB_SUPER ? XHCI_PORTS_ALL : XHCI_PORTS_USB2;

    while (n < end && x->port[n].dev)
        n++;
    return n < end ? n + 1 : 0;
}

int xhci_plug(struct xhci *x, struct usb_dev *d)
{
    unsigned port = xhci_free_port(x, d->speed);

    if (!port)
        return -ENOSPC;
    d->host_ops = &host_ops;
    d->host = x;
    d->port = port;
    device_lock(&x->pci.dev);
    x->port[port - 1].dev = d;
    if (x->port[port - 1].sc & XHCI_PORT_PP)
        connect(x, port - 1);
    device_unlock(&x->pci.dev);
    return 0;
}

static void sit(struct xhci *x, struct usb_dev *d, unsigned port)
{
    x->port[port - 1].dev = d;
    if (d) {
        d->port = port;
        d->dev.instance = port;
    }
}

int xhci_place(struct xhci *x, struct usb_dev *d, unsigned port)
{
    unsigned was = d->port;

    if (!port || port > XHCI_PORTS_ALL || is_usb3(port - 1) != is_usb3(was - 1))
        return -EINVAL;
    device_lock(&x->pci.dev);
    sit(x, x->port[port - 1].dev, was);
    sit(x, d, port);
    device_unlock(&x->pci.dev);
    return 0;
}

/* The loop goes on with it: xhci_work(). */
void xhci_unplug(struct xhci *x, struct usb_dev *d, void (*done)(void *arg), void *arg)
{
    struct xhci_port *p = &x->port[d->port - 1];

    p->unplugged = done;
    p->unplugged_arg = arg;
    device_lock(&x->pci.dev);
    p->leaving = true;
    disconnect(x, d->port - 1);
    device_unlock(&x->pci.dev);
    if (x->quiet)
        xhci_port_left(x, d->port - 1); /* there is nothing under way */
    else
        xhci_work(x);
}

/* What the driver had there does not lead to what is plugged in next. */
static void forget_slots(struct xhci *x, unsigned n)
{
    for (unsigned i = 1; i <= XHCI_SLOTS; i++) {
        if (x->slot[i].enabled && x->slot[i].port == n + 1)
            x->slot[i].port = 0;
    }
}

void xhci_port_left(struct xhci *x, unsigned n)
{
    struct xhci_port *p = &x->port[n];
    void (*done)(void *arg) = p->unplugged;
    void *arg = p->unplugged_arg;

    usb_reset(p->dev);
    forget_slots(x, n);
    p->dev->host_ops = NULL;
    p->dev->port = 0;
    p->unplugged = NULL;
    device_lock(&x->pci.dev);
    p->dev = NULL;
    p->leaving = false;
    device_unlock(&x->pci.dev);
    if (done)
        done(arg);
}

/* ---- Registers ------------------------------------------------------------------------------ */

/* The device was reset, by the loop. Hot and warm resets are alike here. */
void xhci_port_was_reset(struct xhci *x, unsigned n)
{
    struct xhci_port *p = &x->port[n];

    device_lock(&x->pci.dev);
    if ((p->sc & XHCI_PORT_PR) && (p->sc & XHCI_PORT_CCS)) {
        p->sc = (p->sc & ~XHCI_PORT_PR) | XHCI_PORT_PED;
        set_link(p, XHCI_U0);
        change(x, n, XHCI_PORT_PRC | (p->sc & XHCI_PORT_WPR ? XHCI_PORT_WRC : 0));
        p->sc &= ~XHCI_PORT_WPR;
    }
    device_unlock(&x->pci.dev);
}

static void begin_reset(struct xhci *x, unsigned n, bool warm)
{
    struct xhci_port *p = &x->port[n];

    if (!(p->sc & XHCI_PORT_CCS) || !(p->sc & XHCI_PORT_PP))
        return;
    p->sc = (p->sc & ~XHCI_PORT_PED) | XHCI_PORT_PR | (warm && is_usb3(n) ? XHCI_PORT_WPR : 0);
    x->regs.pending.port_reset |= (uint32_t)BIT(n);
    xhci_work_soon(x);
}

static void set_power(struct xhci *x, unsigned n, bool on)
{
    struct xhci_port *p = &x->port[n];

    if (on == !!(p->sc & XHCI_PORT_PP))
        return;
    if (on) {
        p->sc |= XHCI_PORT_PP;
        set_link(p, XHCI_RX_DETECT);
        if (p->dev && !p->leaving)
            connect(x, n);
    } else {
        disconnect(x, n);
        p->sc &= ~XHCI_PORT_PP;
        set_link(p, XHCI_PLS_DISABLED);
    }
}

/* 4.19.1.2.6, 4.15.2: who was asleep is awake again. */
static void wake(struct xhci *x, unsigned n)
{
    struct xhci_port *p = &x->port[n];
    unsigned was = link_state(p);

    set_link(p, XHCI_U0);
    if (was == XHCI_RESUME || was == XHCI_U3) {
        change(x, n, XHCI_PORT_PLC);
        xhci_work_soon(x);
    }
}

/* Which link states a driver may ask for, by where it is (Table 4-7). */
static void write_link(struct xhci *x, unsigned n, unsigned to)
{
    struct xhci_port *p = &x->port[n];
    unsigned from = link_state(p);
    bool enabled = p->sc & XHCI_PORT_PED;

    if (to == XHCI_U0 && enabled && (from <= XHCI_U3 || from == XHCI_RESUME)) {
        wake(x, n);
    } else if (to == XHCI_U3 && enabled && from <= XHCI_U3) {
        set_link(p, XHCI_U3);
    } else if (to == XHCI_RESUME && enabled && !is_usb3(n) && from == XHCI_U3) {
        set_link(p, XHCI_RESUME);
    } else if (to == XHCI_PLS_DISABLED && is_usb3(n)) {
        p->sc &= ~XHCI_PORT_PED;
        set_link(p, XHCI_PLS_DISABLED);
    } else if (to == XHCI_RX_DETECT && is_usb3(n) && from == XHCI_PLS_DISABLED) {
        set_link(p, XHCI_RX_DETECT);
        if (p->dev && !p->leaving)
            connect(x, n);
    }
}

static void write_status(struct xhci *x, unsigned n, uint32_t value)
{
    struct xhci_port *p = &x->port[n];

    p->sc &= ~(value & XHCI_PORT_CHANGES);
    p->sc = (p->sc & ~(XHCI_PORT_PIC | XHCI_PORT_WAKES)) | (value & (XHCI_PORT_PIC | XHCI_PORT_WAKES));
    set_power(x, n, value & XHCI_PORT_PP);
    if ((value & XHCI_PORT_PED) && (p->sc & XHCI_PORT_PED)) { /* writing 1 disables */
        p->sc &= ~XHCI_PORT_PED;
        set_link(p, is_usb3(n) ? XHCI_PLS_DISABLED : XHCI_POLLING);
    }
    if (value & (XHCI_PORT_PR | XHCI_PORT_WPR))
        begin_reset(x, n, value & XHCI_PORT_WPR);
    else if (value & XHCI_PORT_LWS)
        write_link(x, n, (value & XHCI_PORT_PLS_MASK) >> XHCI_PORT_PLS_SHIFT);
}

uint32_t xhci_port_read_locked(struct xhci *x, unsigned n, unsigned off)
{
    const struct xhci_port *p = &x->port[n];

    switch (off) {
    case XHCI_PORT_SC: return p->sc & ~XHCI_PORT_WPR;
    case XHCI_PORT_PMSC: return p->pmsc;
    default: return 0;
    }
}

void xhci_port_write_locked(struct xhci *x, unsigned n, unsigned off, uint32_t value)
{
    switch (off) {
    case XHCI_PORT_SC: write_status(x, n, value); return;
    case XHCI_PORT_PMSC: x->port[n].pmsc = value & (is_usb3(n) ? PMSC_USB3 : PMSC_USB2); return;
    default: return;
    }
}
