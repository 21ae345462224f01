/* SPDX-License-Identifier: MIT */
/* Taking TDs from transfer rings (4.9.2, 4.11). A ring is the guest's memory: each TRB is read once, and a TD has a
 * limited number of them, links included. */
#include <errno.h>
#include <stdlib.h>

#include "base/iov.h"
#include "base/le.h"
#include "usb/xhci_impl.h"

#define TRBS_FIRST 16u
#define TRBS_KEPT  128u /* of a ring's TD for its next one: a device may have a thousand rings */

/* ---- Where rings stand ---------------------------------------------------------------------- */

static uint64_t stream_context(const struct xhci_ep *ep, unsigned id)
{
    return ep->dequeue + XHCI_STREAM_SIZE * id;
}

bool xhci_stream_at(struct xhci *x, const struct xhci_ep *ep, unsigned id, uint64_t *ret_dequeue, bool *ret_cycle)
{
    uint64_t at = ep->dequeue | ep->cycle;
    uint8_t raw[8];

    if (id) {
        if (mem_read(x->mem, stream_context(ep, id), raw, sizeof(raw)) < 0)
            return false;
        at = load_le64(raw);
        if (XHCI_TRB_SCT(at) != XHCI_SCT_PRIMARY)
            return false;
    }
    *ret_dequeue = at & ~UINT64_C(15);
    *ret_cycle = at & 1;
    return true;
}

void xhci_stream_set(struct xhci *x, struct xhci_ep *ep, unsigned id, uint64_t dequeue, bool cycle)
{
    uint8_t raw[8];

    (id ? &ep->streams[id] : &ep->own)->moved = 0;
    if (!id) {
        ep->dequeue = dequeue;
        ep->cycle = cycle;
        return;
    }
    store_le64(raw, dequeue | XHCI_SCT_PRIMARY << 1 | cycle);
    if (mem_write(x->mem, stream_context(ep, id), raw, sizeof(raw)) < 0)
        xhci_fatal(x, "a stream context is not in memory");
}

/* ---- TDs ------------------------------------------------------------------------------------ */

struct walk {
    struct xhci *x;
    struct xhci_td *td;
    uint64_t at;
    bool cycle;
};

static void free_td(struct xhci_td *td)
{
    if (!td)
        return;
    free(td->trb);
    free(td->iov);
    free(td);
}

void xhci_stream_trim(struct xhci_stream *stream)
{
    struct xhci_td *td = stream->td;

    if (!td || stream->busy || td->cancelled || td->trb_room <= TRBS_KEPT)
        return;
    free_td(td);
    stream->td = NULL;
}

void xhci_ep_free(struct xhci_ep *ep)
{
    free_td(ep->own.td);
    for (unsigned i = 0; i < ep->stream_count; i++)
        free_td(ep->streams[i].td);
    free(ep->streams);
    ep->own.td = NULL;
    ep->streams = NULL;
    ep->stream_count = 0;
}

static struct xhci_td *td_of(struct xhci *x, struct xhci_slot *s, struct xhci_ep *ep, struct xhci_stream *stream)
{
    struct xhci_td *td = stream->td ? stream->td : calloc(1, sizeof(*td));

    if (!td)
        return NULL;
    stream->td = td;
    td->x = x;
    td->slot = s;
    td->ep = ep;
    td->stream = stream;
    td->count = 0;
    td->ended = td->cancelled = false;
    td->before = 0;
    td->xfer = (struct usb_xfer){.ep = (uint8_t)(ep->dci / 2 | (ep->dci & 1 ? USB_DIR_IN : 0)), .stream = stream->id};
    return td;
}

/* One more; there is room for XHCI_TD_TRBS at most. */
static bool add(struct xhci_td *td, uint64_t gpa, const struct xhci_trb *trb)
{
    if (td->count == td->trb_room) {
        unsigned room = td->trb_room ? 2 * td->trb_room : TRBS_FIRST;
        void *more = room > XHCI_TD_TRBS ? NULL : realloc(td->trb, room * sizeof(td->trb[0]));

        if (!more)
            return false;
        td->trb = more;
        td->trb_room = room;
    }
    td->trb[td->count++] = (struct xhci_td_trb){.gpa = gpa, .trb = *trb};
    return true;
}

bool xhci_trb_has_data(const struct xhci_trb *trb)
{
    unsigned type = XHCI_TRB_TYPE(trb->control);

    return type == XHCI_NORMAL || type == XHCI_DATA || type == XHCI_ISOCH;
}

static bool may_be_here(const struct xhci_ep *ep, unsigned type)
{
    bool control = ep->type == XHCI_EP_CONTROL;

    switch (type) {
    case XHCI_SETUP:
    case XHCI_DATA:
    case XHCI_STATUS: return control;
    case XHCI_ISOCH: return ep->type == XHCI_EP_ISOCH_IN || ep->type == XHCI_EP_ISOCH_OUT;
    case XHCI_NORMAL:
    case XHCI_EVENT_DATA:
    case XHCI_NO_OP: return true;
    default: return false;
    }
}

/* The TRBs of the TD. 1, 0: it is not whole yet, -EPROTO. */
static int gather(struct walk *w, const struct xhci_ep *ep)
{
    struct xhci_trb trb;
    uint8_t raw[16];

    for (unsigned n = 0; n < XHCI_TD_TRBS; n++) {
        if (mem_read(w->x->mem, w->at, raw, sizeof(raw)) < 0)
            return -EPROTO;
        trb = (struct xhci_trb){load_le64(raw), load_le32(raw + 8), load_le32(raw + 12)};
        if ((trb.control & XHCI_TRB_C) != w->cycle)
            return 0;
        if (XHCI_TRB_TYPE(trb.control) == XHCI_LINK) {
            /* Not before the first: it belongs to no TD (FreeBSD has one with IOC behind every TD). */
            if (w->td->count && (trb.control & XHCI_TRB_IOC) && !add(w->td, w->at, &trb))
                return -EPROTO;
            w->at = trb.parameter & ~UINT64_C(15);
            w->cycle ^= !!(trb.control & XHCI_TRB_TC);
            continue;
        }
        if (!add(w->td, w->at, &trb) || !may_be_here(ep, XHCI_TRB_TYPE(trb.control)))
            return -EPROTO;
        w->at += 16;
        if (!(trb.control & XHCI_TRB_CH))
            return 1;
    }
    return -EPROTO;
}

/* One more piece of memory; what follows another one is put to it. */
static void add_iov(struct xhci_td *td, void *host, size_t len)
{
    struct iovec *last = td->xfer.iov_count ? &td->iov[td->xfer.iov_count - 1] : NULL;

    td->xfer.len += len;
    if (last && (uint8_t *)last->iov_base + last->iov_len == host)
        last->iov_len += len;
    else
        td->iov[td->xfer.iov_count++] = (struct iovec){.iov_base = host, .iov_len = len};
}

static bool is_in(const struct xhci_td *td, const struct xhci_trb *trb)
{
    if (td->ep->type == XHCI_EP_CONTROL)
        return td->trb[0].trb.control & XHCI_TRB_DIR_IN;
    return td->xfer.ep & USB_DIR_IN;
}

/* 4.11.7: up to 8 bytes of data to the device may be in the TRB itself. */
static void *buffer_of(struct xhci *x, struct xhci_td *td, struct xhci_trb *trb)
{
    bool in = is_in(td, trb);
    uint32_t len = XHCI_TRB_LEN(trb->status);

    if (trb->control & XHCI_TRB_IDT)
        return !in && len <= 8 ? &trb->parameter : NULL;
    return mem_ptr(x->mem, trb->parameter, len, in ? MEM_WRITE : MEM_READ);
}

static int map(struct xhci *x, struct xhci_td *td)
{
    void *more;

    if (td->iov_room < td->trb_room) {
        more = realloc(td->iov, td->trb_room * sizeof(td->iov[0]));
        if (!more)
            return -EPROTO;
        td->iov = more;
        td->iov_room = td->trb_room;
    }
    for (unsigned i = 0; i < td->count; i++) {
        struct xhci_trb *trb = &td->trb[i].trb;
        uint32_t len = XHCI_TRB_LEN(trb->status);
        void *host;

        if (!xhci_trb_has_data(trb) || !len)
            continue;
        host = buffer_of(x, td, trb);
        if (!host)
            return trb->control & XHCI_TRB_IDT ? -EPROTO : -EFAULT;
        add_iov(td, host, len);
    }
    td->xfer.iov = td->iov;
    return 1;
}

static void skip(struct xhci_td *td, size_t len)
{
    td->before = MIN(len, td->xfer.len);
    td->xfer.len -= td->before;
    if (td->before)
        td->xfer.iov_count = iov_slice(td->iov, td->xfer.iov_count, td->before, td->xfer.len, td->iov, td->xfer.iov_count);
}

int xhci_td_take(struct xhci *x, struct xhci_slot *s, struct xhci_ep *ep, struct xhci_stream *stream)
{
    struct walk w = {.x = x};
    int r = 0;

    if (!xhci_stream_at(x, ep, stream->id, &w.at, &w.cycle))
        return 0;
    w.td = td_of(x, s, ep, stream);
    if (w.td)
        r = gather(&w, ep);

    if (r <= 0)
        return r;
    w.td->next = w.at;
    w.td->next_cycle = w.cycle;
    r = map(x, w.td);
    if (r > 0)
        skip(w.td, stream->moved);
    return r;
}
