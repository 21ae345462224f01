/* SPDX-License-Identifier: MIT */
/* TDs on their way to devices and back, and the events that tell of them (4.10, 4.11). Control transfers are done
 * here, as they take no time; others are the device's until it ends them. */
#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "base/le.h"
#include "base/trace.h"
#include "usb/xhci_impl.h"

/* ---- Events (4.10.1, 4.11.5.2, 6.4.2.1) ------------------------------------------------------ */

static void tell(struct xhci *x, const struct xhci_td *td, const struct xhci_td_trb *t, unsigned code,
                 uint32_t left)
{
    bool event_data = XHCI_TRB_TYPE(t->trb.control) == XHCI_EVENT_DATA;
    const struct xhci_trb event = {
        .parameter = event_data ? t->trb.parameter : t->gpa,
        .status = code << 24 | (left & 0xffffff),
        .control = (uint32_t)XHCI_EV_TRANSFER << 10 | (uint32_t)td->slot->id << 24 |
                   (uint32_t)td->ep->dci << 16 | (event_data ? (uint32_t)XHCI_TRB_ED : 0)};

    xhci_event(x, XHCI_TRB_INTR(t->trb.status), &event, !(t->trb.control & XHCI_TRB_BEI));
}

/* The TD has moved its bytes; fewer than it asked for are a short packet, of which the driver hears at the TRB in which
 * it happened, if that asks for it, and at the TD's last one, unless it was to hear of the other one in any case. Event
 * Data TRBs tell of it, too. */
static void tell_all(struct xhci *x, struct xhci_td *td)
{
    size_t left = td->xfer.actual;
    unsigned code = XHCI_SUCCESS;
    uint32_t total = 0;
    bool told = false;

    for (unsigned i = 0; i < td->count; i++) {
        const struct xhci_td_trb *t = &td->trb[i];
        uint32_t len = xhci_trb_has_data(&t->trb) ? XHCI_TRB_LEN(t->trb.status) : 0;
        uint32_t moved = (uint32_t)MIN((size_t)len, left);
        bool ioc = t->trb.control & XHCI_TRB_IOC, last = i + 1 == td->count;

        left -= moved;
        total += moved;
        if (XHCI_TRB_TYPE(t->trb.control) == XHCI_EVENT_DATA) {
            if (ioc)
                tell(x, td, t, code, total);
            total = 0;
        } else if (code == XHCI_SUCCESS && moved < len) {
            code = XHCI_SHORT_PACKET;
            told = ioc;
            if (ioc || (t->trb.control & XHCI_TRB_ISP))
                tell(x, td, t, code, len - moved);
        } else if (ioc && (code == XHCI_SUCCESS || (last && !told))) {
            tell(x, td, t, code, len - moved);
        }
    }
}

/* It ended at the first TRB that was not filled, or the last one. */
static void tell_end(struct xhci *x, struct xhci_td *td, unsigned code)
{
    size_t left = td->xfer.actual;
    unsigned last = 0;
    uint32_t missing = 0;

    for (unsigned i = 0; i < td->count; i++) {
        const struct xhci_td_trb *t = &td->trb[i];
        uint32_t len = xhci_trb_has_data(&t->trb) ? XHCI_TRB_LEN(t->trb.status) : 0;
        uint32_t moved = (uint32_t)MIN((size_t)len, left);

        if (XHCI_TRB_TYPE(t->trb.control) == XHCI_EVENT_DATA)
            continue;
        left -= moved;
        last = i;
        missing = len - moved;
        if (missing)
            break;
    }
    tell(x, td, &td->trb[last], code, missing);
}

/* ---- Ends ----------------------------------------------------------------------------------- */

static void advance(struct xhci *x, const struct xhci_td *td)
{
    xhci_stream_set(x, td->ep, td->stream->id, td->next, td->next_cycle);
}

static void fail(struct xhci *x, struct xhci_td *td, unsigned code, enum xhci_ep_state state)
{
    TRACE(x->trace, usb, "xhci", x, "slot %u endpoint %u: error %u", td->slot->id, td->ep->dci, code);
    XHCI_COUNT(x, errors, 1);
    xhci_ep_set_state(x, td->slot, td->ep, state);
    if (td->count)
        tell_end(x, td, code);
    xhci_ep_cancel(x, td->ep); /* its other streams halt, too */
}

static void written(struct xhci *x, const struct xhci_td *td)
{
    for (unsigned i = 0; i < td->xfer.iov_count; i++)
        mem_written_at(x->mem, td->iov[i].iov_base, td->iov[i].iov_len);
}

/* A request that took time: its data stage is done, or all of it (4.11.2.2). */
static void end_stage(const struct xhci_td *td)
{
    bool data = XHCI_TRB_TYPE(td->trb[0].trb.control) == XHCI_DATA;

    if (td->result == USB_OK && data)
        td->ep->has_data = true;
    else if (td->result != USB_CANCELLED)
        td->ep->has_setup = td->ep->has_data = false;
}

static unsigned code_of(enum usb_result result)
{
    switch (result) {
    case USB_STALLED: return XHCI_STALL_ERROR;
    case USB_OVERFLOWN: return XHCI_BABBLE_ERROR;
    default: return XHCI_TRANSACTION_ERROR;
    }
}

/* What has been moved of a TD that comes again is not moved again. */
static void note_moved(struct xhci_td *td)
{
    td->xfer.actual += td->before;
    td->before = 0;
    if (td->xfer.setup)
        end_stage(td);
    else
        td->stream->moved = td->xfer.actual;
}

static void finish(struct xhci *x, struct xhci_td *td)
{
    XHCI_COUNT(x, transfers, 1);
    if (td->xfer.iov_count && (td->xfer.ep & USB_DIR_IN))
        written(x, td);
    note_moved(td);
    if (td->result == USB_CANCELLED) {
        td->cancelled = true;
    } else if (td->result != USB_OK) {
        fail(x, td, code_of(td->result), XHCI_EP_HALTED);
    } else {
        advance(x, td);
        tell_all(x, td);
    }
}

/* Nobody waits for TDs to come back, so it goes on at once. */
static bool is_usual(const struct xhci *x, const struct xhci_slot *s)
{
    return !x->resetting && !x->halting && !x->quieting && !x->quiet && !x->command.active &&
           !x->resetting_ports && xhci_slot_device(x, s);
}

static void run(struct xhci *x, struct xhci_slot *s, struct xhci_ep *ep, struct xhci_stream *stream);
static void again(struct xhci *x, struct xhci_slot *s, struct xhci_ep *ep, const struct xhci_stream *stream);

static void done(struct usb_xfer *xfer, enum usb_result result)
{
    struct xhci_td *td = container_of(xfer, struct xhci_td, xfer);
    struct xhci *x = td->x;

    td->ended = true;
    td->result = result;
    td->stream->busy = false;
    td->ep->busy--;
    x->busy--;
    if (td->submitting)
        return;
    if (!x->resetting)
        finish(x, td);
    if (is_usual(x, td->slot)) {
        run(x, td->slot, td->ep, td->stream);
    } else {
        again(x, td->slot, td->ep, td->stream);
        xhci_work_soon(x);
    }
}

void xhci_ep_cancel(struct xhci *x, struct xhci_ep *ep)
{
    if (ep->own.busy)
        usb_cancel(ep->own.td->device, &ep->own.td->xfer);
    for (unsigned i = 1; ep->busy && i < xhci_ep_streams(ep); i++) {
        if (ep->streams[i].busy)
            usb_cancel(ep->streams[i].td->device, &ep->streams[i].td->xfer);
    }
}

static bool was_cancelled(struct xhci_td *td)
{
    bool cancelled = td && td->cancelled;

    if (cancelled)
        td->cancelled = false;
    return cancelled;
}

/* 4.6.9: what was under way is told of, with what is missing; else where the ring stands. Of streams one is told of,
 * which was the current one; drivers find the others by their contexts. */
void xhci_ep_stopped(struct xhci *x, struct xhci_slot *s, struct xhci_ep *ep)
{
    const struct xhci_td_trb at = {.gpa = ep->dequeue};
    const struct xhci_td none = {.slot = s, .ep = ep};
    struct xhci_td *current = was_cancelled(ep->own.td) ? ep->own.td : NULL;

    for (unsigned i = 1; i < xhci_ep_streams(ep); i++) {
        if (was_cancelled(ep->streams[i].td))
            current = ep->streams[i].td;
    }
    if (current)
        tell_end(x, current, XHCI_STOPPED);
    else if (!ep->max_pstreams)
        tell(x, &none, &at, XHCI_STOPPED_LENGTH, 0);
}

/* ---- Control (4.11.2.2) ---------------------------------------------------------------------- */

static struct usb_setup setup_of(const struct xhci_ep *ep)
{
    const uint8_t *b = ep->setup;

    return (struct usb_setup){.type = b[0], .request = b[1], .value = load_le16(b + 2),
                              .index = load_le16(b + 4), .length = load_le16(b + 6)};
}

static int take_setup(struct xhci_ep *ep, const struct xhci_trb *trb)
{
    if (!(trb->control & XHCI_TRB_IDT) || XHCI_TRB_LEN(trb->status) != 8)
        return -EPROTO;
    store_le64(ep->setup, trb->parameter);
    ep->has_setup = true;
    ep->has_data = false;
    return 0;
}

/* The data stage does it all; without one, the status stage does. */
static int request(struct xhci *x, struct usb_dev *d, struct xhci_td *td, bool data)
{
    struct usb_setup s = setup_of(td->ep);
    bool in = s.type & USB_DIR_IN;
    size_t len = data ? MIN((size_t)s.length, td->xfer.len) : 0;
    int r;

    if (!in && s.length > USB_CONTROL_MAX)
        return -EPIPE;
    if (data && in != !!(td->trb[0].trb.control & XHCI_TRB_DIR_IN))
        return -EPIPE;
    memset(x->control, 0, MIN((size_t)s.length, sizeof(x->control)));
    if (!in)
        iov_read(td->iov, td->xfer.iov_count, 0, x->control, len);
    s.length = (uint16_t)MIN((size_t)s.length, in ? MIN(len, (size_t)USB_CONTROL_MAX) : sizeof(x->control));
    r = usb_control(d, &s, x->control);
    TRACE(x->trace, usb, "xhci", x, "slot %u: request %02x %02x %04x %04x %u: %d", td->slot->id, s.type,
          s.request, s.value, s.index, s.length, r);
    if (r < 0)
        return r;
    td->xfer.actual = in ? iov_write(td->iov, td->xfer.iov_count, 0, x->control, MIN((size_t)r, len)) : len;
    if (in)
        written(x, td);
    return 0;
}

static int stage(struct xhci *x, struct usb_dev *d, struct xhci_td *td)
{
    struct xhci_ep *ep = td->ep;
    int r = 0;

    switch (XHCI_TRB_TYPE(td->trb[0].trb.control)) {
    case XHCI_SETUP: return take_setup(ep, &td->trb[0].trb);
    case XHCI_DATA:
        if (!ep->has_setup)
            return -EPROTO;
        ep->has_data = true;
        return request(x, d, td, true);
    case XHCI_STATUS:
        if (ep->has_setup && !ep->has_data)
            r = request(x, d, td, false);
        ep->has_setup = ep->has_data = false;
        return r;
    default: return 0;
    }
}

/* ---- Beginning ------------------------------------------------------------------------------ */

/* A TD of a control endpoint, or one without data. 0, or below 0: the endpoint has failed. */
static int control(struct xhci *x, struct usb_dev *d, struct xhci_td *td)
{
    int r = stage(x, d, td);

    if (r == -EPIPE)
        td->ep->has_setup = td->ep->has_data = false;
    if (r == -EPIPE)
        fail(x, td, XHCI_STALL_ERROR, XHCI_EP_HALTED);
    else if (r < 0)
        fail(x, td, XHCI_TRB_ERROR, XHCI_EP_ERROR);
    if (r < 0)
        return r;
    XHCI_COUNT(x, transfers, 1);
    advance(x, td);
    tell_all(x, td);
    return 0;
}

static void submit(struct xhci *x, struct usb_dev *d, struct xhci_td *td)
{
    td->device = d;
    td->xfer.done = done;
    td->submitting = true;
    td->stream->busy = true;
    td->ep->busy++;
    x->busy++;
    usb_submit(d, &td->xfer);
    td->submitting = false;
    if (td->ended)
        finish(x, td);
}

/* Is it the TD by which a device gets a request that takes time? */
static bool is_request(const struct usb_dev *d, const struct xhci_td *td)
{
    unsigned type = XHCI_TRB_TYPE(td->trb[0].trb.control);

    return d->ops->request && td->ep->type == XHCI_EP_CONTROL && td->ep->has_setup &&
           (type == XHCI_DATA || (type == XHCI_STATUS && !td->ep->has_data));
}

/* As much data as both the setup and the TD have. */
static void begin_request(struct xhci *x, struct usb_dev *d, struct xhci_td *td)
{
    uint32_t trb = td->trb[0].trb.control;
    bool data = XHCI_TRB_TYPE(trb) == XHCI_DATA;
    struct usb_setup *s = &td->setup;

    *s = setup_of(td->ep);
    if (data && !(s->type & USB_DIR_IN) != !(trb & XHCI_TRB_DIR_IN)) {
        td->ep->has_setup = td->ep->has_data = false;
        fail(x, td, XHCI_STALL_ERROR, XHCI_EP_HALTED);
        return;
    }
    s->length = (uint16_t)(data ? MIN((size_t)s->length, td->xfer.len) : 0);
    td->xfer.iov_count = iov_slice(td->iov, td->xfer.iov_count, 0, s->length, td->iov, td->xfer.iov_count);
    td->xfer.len = s->length;
    td->xfer.ep = s->type & USB_DIR_IN;
    td->xfer.setup = s;
    submit(x, d, td);
}

static bool has_data(const struct xhci_td *td)
{
    for (unsigned i = 0; i < td->count; i++) {
        if (xhci_trb_has_data(&td->trb[i].trb))
            return true;
    }
    return false;
}

/* False: there is nothing, or nothing more for now. */
static bool begin_next(struct xhci *x, struct xhci_slot *s, struct xhci_ep *ep, struct xhci_stream *stream)
{
    struct usb_dev *d = xhci_slot_device(x, s);
    int r = xhci_td_take(x, s, ep, stream);

    if (!r)
        return false;
    if (r == -EPROTO)
        fail(x, stream->td, XHCI_TRB_ERROR, XHCI_EP_ERROR);
    else if (r < 0)
        fail(x, stream->td, XHCI_DATA_BUFFER_ERROR, XHCI_EP_HALTED);
    else if (!d)
        fail(x, stream->td, XHCI_TRANSACTION_ERROR, XHCI_EP_HALTED);
    else if (is_request(d, stream->td))
        begin_request(x, d, stream->td);
    else if (ep->type == XHCI_EP_CONTROL || !has_data(stream->td))
        return !control(x, d, stream->td);
    else
        submit(x, d, stream->td);
    return !stream->busy && ep->state == XHCI_EP_RUNNING;
}

static void again(struct xhci *x, struct xhci_slot *s, struct xhci_ep *ep, const struct xhci_stream *stream)
{
    ep->due |= (uint32_t)BIT(stream->id);
    xhci_kick(x, s, ep->dci);
}

static void run_some(struct xhci *x, struct xhci_slot *s, struct xhci_ep *ep, struct xhci_stream *stream)
{
    for (unsigned n = 0; n < XHCI_BUDGET; n++) {
        if (!s->enabled || ep->state != XHCI_EP_RUNNING || stream->busy || x->quiet)
            return;
        if (x->command.active && x->command.slot == s) {
            ep->due |= (uint32_t)BIT(stream->id);
            s->kicked |= (uint32_t)BIT(ep->dci); /* the command's end goes on with it */
            return;
        }
        if (xhci_is_blocked(x)) {
            again(x, s, ep, stream);
            return;
        }
        if (!begin_next(x, s, ep, stream))
            return;
    }
    again(x, s, ep, stream);
    xhci_work_soon(x);
}

static void run(struct xhci *x, struct xhci_slot *s, struct xhci_ep *ep, struct xhci_stream *stream)
{
    run_some(x, s, ep, stream);
    xhci_stream_trim(stream);
}

void xhci_ep_run(struct xhci *x, struct xhci_slot *s, struct xhci_ep *ep)
{
    uint32_t due = ep->due;

    ep->due = 0;
    if (!ep->max_pstreams) {
        run(x, s, ep, &ep->own);
        return;
    }
    due &= (uint32_t)(BIT(xhci_ep_streams(ep)) - 1); /* doorbells may name others, which have no context */
    for (due &= ~UINT32_C(1); due; due &= due - 1)
        run(x, s, ep, &ep->streams[__builtin_ctz(due)]);
}
