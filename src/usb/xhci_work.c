/* SPDX-License-Identifier: MIT */
/* The controller's life on the loop: reset, stop, coming to rest, ports that are reset or left, and what is due next.
 * While a TD is with a device that may still write to the guest's memory; so whoever takes something away from
 * a device cancels its TDs, and goes on when they have come back. */
#include <string.h>

#include "base/log.h"
#include "base/trace.h"
#include "usb/xhci_impl.h"

void xhci_fatal(struct xhci *x, const char *why)
{
    device_lock(&x->pci.dev);
    x->regs.usbsts |= XHCI_STS_HCE;
    device_unlock(&x->pci.dev);
    if (!x->failed)
        XHCI_COUNT(x, fatal, 1);
    x->failed = true;
    if (x->warned)
        return;
    x->warned = true;
    log_warn("xhci: the driver must reset the controller: %s", why);
}

void xhci_kick(struct xhci *x, struct xhci_slot *s, unsigned dci)
{
    s->kicked |= (uint32_t)BIT(dci);
    x->kicked |= BIT(s->id);
}

/* Whatever may have come while nothing was taken. */
static void kick_all(struct xhci *x)
{
    for (unsigned n = 1; n <= XHCI_SLOTS; n++) {
        struct xhci_slot *s = &x->slot[n];

        for (unsigned i = 1; s->enabled && i < XHCI_EPS; i++) {
            s->ep[i].due = UINT32_MAX;
            if (s->ep[i].state == XHCI_EP_RUNNING)
                xhci_kick(x, s, i);
        }
    }
    x->command_due = true;
}

static void cancel_all(struct xhci *x)
{
    for (unsigned n = 1; n <= XHCI_SLOTS; n++) {
        for (unsigned i = 1; i < XHCI_EPS; i++)
            xhci_ep_cancel(x, &x->slot[n].ep[i]);
    }
}

/* ---- Reset (4.2, 5.4.1) and stop ------------------------------------------------------------ */

static void finish_reset(struct xhci *x)
{
    XHCI_COUNT(x, resets, 1);
    for (unsigned n = 1; n <= XHCI_SLOTS; n++)
        xhci_slot_disable(x, &x->slot[n]);
    for (unsigned n = 0; n < XHCI_PORTS_ALL; n++) {
        if (x->port[n].dev)
            usb_reset(x->port[n].dev);
    }
    x->command = (struct xhci_command){0};
    x->command_due = x->stop_commands = x->abort_commands = x->failed = x->halting = x->resetting = false;
    x->kicked = 0;
    x->resetting_ports = 0;
    device_lock(&x->pci.dev);
    xhci_reset_registers_locked(x);
    device_unlock(&x->pci.dev);
}

static void finish_halt(struct xhci *x)
{
    x->halting = false;
    device_lock(&x->pci.dev);
    if (!(x->regs.usbcmd & XHCI_CMD_RS)) {
        x->regs.usbsts |= XHCI_STS_HCH;
        x->regs.command_running = false; /* 5.4.5 */
    } else {
        x->regs.pending.started = true; /* it was started again meanwhile */
        xhci_work_soon(x);
    }
    device_unlock(&x->pci.dev);
}

/* ---- Rest ----------------------------------------------------------------------------------- */

static void finish_quiesce(struct xhci *x)
{
    void (*done)(void *arg) = x->quiesced;

    x->quieting = false;
    x->quiesced = NULL;
    x->quiet = true;
    if (done)
        done(x->quiesced_arg);
}

void xhci_quiesce(struct xhci *x, void (*done)(void *arg), void *arg)
{
    x->quiesced = done;
    x->quiesced_arg = arg;
    x->quieting = true;
    xhci_work(x);
}

bool xhci_is_quiet(const struct xhci *x)
{
    return x->quiet;
}

void xhci_resume(struct xhci *x)
{
    x->quiet = x->quieting = false;
    x->quiesced = NULL;
    device_lock(&x->pci.dev);
    xhci_ports_report_locked(x); /* what was plugged meanwhile */
    device_unlock(&x->pci.dev);
    kick_all(x);
    xhci_work_soon(x);
}

/* ---- Ports ---------------------------------------------------------------------------------- */

/* Has a device TDs? They are cancelled. */
static bool is_device_busy(struct xhci *x, unsigned port)
{
    bool busy = false;

    for (unsigned n = 1; n <= XHCI_SLOTS; n++) {
        struct xhci_slot *s = &x->slot[n];

        for (unsigned i = 1; s->enabled && s->port == port + 1 && i < XHCI_EPS; i++) {
            xhci_ep_cancel(x, &s->ep[i]);
            busy = busy || s->ep[i].busy;
        }
    }
    return busy;
}

/* What the driver still expects of a device that is not there any more fails by itself. */
static void kick_device(struct xhci *x, unsigned port)
{
    for (unsigned n = 1; n <= XHCI_SLOTS; n++) {
        for (unsigned i = 1; x->slot[n].enabled && x->slot[n].port == port + 1 && i < XHCI_EPS; i++) {
            x->slot[n].ep[i].due = UINT32_MAX;
            if (x->slot[n].ep[i].state == XHCI_EP_RUNNING)
                xhci_kick(x, &x->slot[n], i);
        }
    }
}

static void ports(struct xhci *x)
{
    for (unsigned n = 0; n < XHCI_PORTS_ALL; n++) {
        struct xhci_port *p = &x->port[n];
        bool reset = x->resetting_ports & BIT(n);

        if ((!p->leaving && !reset) || (p->dev && is_device_busy(x, n)))
            continue;
        x->resetting_ports &= ~(uint32_t)BIT(n);
        if (reset && p->dev && !p->leaving) {
            usb_reset_port(p->dev);
            xhci_port_was_reset(x, n);
        }
        if (p->leaving) {
            kick_device(x, n);
            xhci_port_left(x, n);
        }
    }
}

/* ---- The work ------------------------------------------------------------------------------- */

static void endpoints(struct xhci *x)
{
    uint64_t slots = x->kicked;

    x->kicked = 0;
    for (; slots; slots &= slots - 1) {
        struct xhci_slot *s = &x->slot[__builtin_ctzll(slots)];
        uint32_t kicked = s->kicked;

        s->kicked = 0;
        for (; kicked; kicked &= kicked - 1)
            xhci_ep_run(x, s, &s->ep[__builtin_ctz(kicked)]);
    }
}

static uint32_t take_rung(struct xhci *x, const struct xhci_slot *s, const struct xhci_ep *ep)
{
    uint32_t streams;

    device_lock(&x->pci.dev);
    streams = x->rung[s->id][ep->dci];
    x->rung[s->id][ep->dci] = 0;
    device_unlock(&x->pci.dev);
    return streams;
}

/* 6.4.5: a doorbell of an endpoint that there is not. */
static void no_endpoint(struct xhci *x, const struct xhci_slot *s, unsigned dci)
{
    const struct xhci_trb event = {.status = (uint32_t)XHCI_EP_NOT_ENABLED << 24,
                                   .control = (uint32_t)XHCI_EV_TRANSFER << 10 | (uint32_t)s->id << 24 | dci << 16};

    if (!xhci_is_blocked(x)) /* else the driver has more to read than it does */
        xhci_event(x, 0, &event, true);
}

/* 4.8.3: a doorbell starts an endpoint that was stopped: all its streams. */
static void doorbells(struct xhci *x, const struct xhci_pending *p)
{
    for (uint64_t slots = p->slots & ~UINT64_C(1); slots; slots &= slots - 1) {
        struct xhci_slot *s = &x->slot[__builtin_ctzll(slots)];

        for (uint32_t dcis = p->doorbell[s->id] & ~UINT32_C(1); s->enabled && dcis; dcis &= dcis - 1) {
            struct xhci_ep *ep = &s->ep[__builtin_ctz(dcis)];

            ep->due |= take_rung(x, s, ep);
            if (ep->state == XHCI_EP_DISABLED) {
                no_endpoint(x, s, ep->dci);
                continue;
            }
            if (ep->state == XHCI_EP_STOPPED) {
                xhci_ep_set_state(x, s, ep, XHCI_EP_RUNNING);
                ep->due = UINT32_MAX;
            }
            xhci_kick(x, s, ep->dci);
        }
    }
}

static void take_pending(struct xhci *x, struct xhci_pending *ret)
{
    device_lock(&x->pci.dev);
    *ret = x->regs.pending;
    x->regs.pending = (struct xhci_pending){0};
    device_unlock(&x->pci.dev);
    x->resetting = x->resetting || ret->reset;
    x->halting = x->halting || ret->halt;
    x->resetting_ports |= ret->port_reset;
    x->stop_commands = x->stop_commands || ret->stop_commands;
    x->abort_commands = x->abort_commands || ret->abort_commands;
    x->command_due = x->command_due || (ret->slots & 1);
    if (ret->started)
        kick_all(x);
}

static bool may_run(struct xhci *x)
{
    bool running;

    device_lock(&x->pci.dev);
    running = xhci_is_running(x);
    device_unlock(&x->pci.dev);
    return running && !x->failed;
}

/* Those that wait for TDs to come back. True: nothing else may be done. */
static bool stop(struct xhci *x)
{
    if (!x->resetting && !x->halting && !x->quieting)
        return false;
    cancel_all(x);
    if (x->busy)
        return true; /* work comes again with the last */
    if (x->resetting)
        finish_reset(x);
    if (x->halting)
        finish_halt(x);
    if (x->quieting) {
        xhci_command_finish(x);
        if (x->stop_commands && may_run(x))
            xhci_commands_stop(x); /* it is not saved */
        ports(x);
        finish_quiesce(x);
    }
    return x->quiet;
}

void xhci_work(void *arg)
{
    struct xhci *x = arg;
    struct xhci_pending p;

    if (x->quiet || !x->ready)
        return; /* what is pending waits for xhci_resume() */
    take_pending(x, &p);
    if (!x->resetting && may_run(x))
        doorbells(x, &p);
    if (stop(x))
        return;
    ports(x);
    if (!may_run(x))
        return;
    if (x->stop_commands)
        xhci_commands_stop(x);
    if (xhci_is_blocked(x)) {
        kick_all(x); /* for when the ring was read */
        return;
    }
    xhci_commands(x);
    endpoints(x);
    if (x->kicked || (x->command_due && !x->command.active)) /* the one that waits goes on with its last TD */
        xhci_work_soon(x); /* too much for one turn */
}
