/* SPDX-License-Identifier: MIT */
/* What is saved of a controller at rest: no TD is with a device then, and those that were wait in their rings, whose
 * dequeue pointers are here. What follows from other fields is not saved. */
#include <errno.h>

#include "base/error.h"
#include "usb/xhci_impl.h"

static const struct state_field trb_state[] = {
    STATE_UINT(struct xhci_trb, parameter), STATE_UINT(struct xhci_trb, status),
    STATE_UINT(struct xhci_trb, control), STATE_END};

static const struct state_field intr_state[] = {
    STATE_UINT_MAX(struct xhci_intr, iman, 3),
    STATE_UINT(struct xhci_intr, imod),
    STATE_UINT_MAX(struct xhci_intr, erstsz, XHCI_SEGMENTS),
    STATE_UINT(struct xhci_intr, erstba),
    STATE_UINT(struct xhci_intr, erdp),
    STATE_BOOL(struct xhci_intr, wants),
    STATE_BOOL(struct xhci_intr, full),
    STATE_UINT_MAX(struct xhci_intr, segment, XHCI_SEGMENTS - 1),
    STATE_UINT(struct xhci_intr, index),
    STATE_BOOL(struct xhci_intr, cycle),
    STATE_BOOL(struct xhci_intr, mapped),
    STATE_STRUCT_ARRAY(struct xhci_intr, held, trb_state),
    STATE_UINT_MAX(struct xhci_intr, held_count, XHCI_HELD),
    STATE_END,
};

static const struct state_field port_state[] = {
    STATE_UINT(struct xhci_port, sc), STATE_UINT(struct xhci_port, pmsc), STATE_END};

static const struct state_field stream_state[] = {STATE_UINT(struct xhci_stream, moved), STATE_END};

static const struct state_field ep_state[] = {
    STATE_UINT_MAX(struct xhci_ep, type, XHCI_EP_INTERRUPT_IN),
    STATE_UINT_MAX(struct xhci_ep, state, XHCI_EP_ERROR),
    STATE_UINT_MAX(struct xhci_ep, max_pstreams, XHCI_MAX_PSTREAMS),
    STATE_UINT(struct xhci_ep, dequeue),
    STATE_BOOL(struct xhci_ep, cycle),
    STATE_BYTES(struct xhci_ep, setup),
    STATE_BOOL(struct xhci_ep, has_setup),
    STATE_BOOL(struct xhci_ep, has_data),
    STATE_STRUCT(struct xhci_ep, own, stream_state),
    STATE_LIST(struct xhci_ep, streams, stream_count, XHCI_STREAMS, stream_state),
    STATE_END,
};

static const struct state_field slot_state[] = {
    STATE_BOOL(struct xhci_slot, enabled),
    STATE_UINT_MAX(struct xhci_slot, state, XHCI_SLOT_CONFIGURED),
    STATE_UINT_MAX(struct xhci_slot, port, XHCI_PORTS_ALL),
    STATE_UINT(struct xhci_slot, context),
    STATE_STRUCT_ARRAY(struct xhci_slot, ep, ep_state),
    STATE_END,
};

const struct state_field xhci_state[] = {
    STATE_UINT(struct xhci, regs.usbcmd),
    STATE_UINT(struct xhci, regs.usbsts),
    STATE_UINT(struct xhci, regs.dnctrl),
    STATE_UINT(struct xhci, regs.config),
    STATE_UINT(struct xhci, regs.dcbaap),
    STATE_UINT(struct xhci, regs.crcr),
    STATE_BOOL(struct xhci, regs.command_running),
    STATE_BOOL(struct xhci, regs.saved),
    STATE_BOOL(struct xhci, regs.pending.reset),
    STATE_STRUCT_ARRAY(struct xhci, intr, intr_state),
    STATE_STRUCT_ARRAY(struct xhci, port, port_state),
    STATE_STRUCT_ARRAY(struct xhci, slot, slot_state),
    STATE_BOOL(struct xhci, command_due),
    STATE_END,
};

/* Guest memory is there: bus_load() comes after it. The table may be gone by now, as when firmware had a ring, and the
 * system after it has no driver: then there is no ring, until a driver sets one up. */
static void map_rings(struct xhci *x)
{
    for (unsigned n = 0; n < XHCI_INTRS; n++) {
        struct xhci_intr *i = &x->intr[n];

        if (i->mapped && xhci_intr_map_locked(x, i) && i->segment < i->erstsz &&
            i->index < i->table[i->segment].size)
            continue;
        i->mapped = i->full = false;
        i->segment = i->index = i->held_count = 0;
    }
}

static bool is_shared(const struct xhci *x, unsigned slot)
{
    const struct xhci_slot *s = &x->slot[slot];

    for (unsigned n = 1; s->port && n < slot; n++) { /* 0: it was unplugged */
        if (s->enabled && s->state && x->slot[n].enabled && x->slot[n].state && s->port == x->slot[n].port)
            return true;
    }
    return false;
}

static int load_streams(struct xhci_slot *s, struct vz_error *err)
{
    for (unsigned i = 0; i < XHCI_EPS; i++) {
        struct xhci_ep *ep = &s->ep[i];

        if ((ep->max_pstreams && !xhci_is_bulk(ep->type)) ||
            (ep->stream_count && (!ep->max_pstreams || ep->stream_count != XHCI_STREAMS)))
            return error_set(err, EINVAL, VZ_ERROR_RESTORE, "xhci: endpoint %u of slot %u cannot have streams", i, s->id);
        if (!xhci_ep_make_streams(ep))
            return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    return 0;
}

int xhci_loaded(void *object, struct vz_error *err)
{
    struct xhci *x = object;
    int r;

    for (unsigned n = 0; n < XHCI_PORTS_ALL; n++) {
        if (x->port[n].sc & XHCI_PORT_PR)
            x->regs.pending.port_reset |= (uint32_t)BIT(n);
    }
    map_rings(x);
    for (unsigned n = 1; n <= XHCI_SLOTS; n++) {
        r = load_streams(&x->slot[n], err);
        if (r < 0)
            return r;
        if (x->slot[n].enabled && x->slot[n].state && !x->slot[n].context)
            return error_set(err, EINVAL, VZ_ERROR_RESTORE, "xhci: slot %u has no context", n);
        if (is_shared(x, n))
            return error_set(err, EINVAL, VZ_ERROR_RESTORE, "xhci: slot %u has another one's device", n);
    }
    /* It was told to stop, or had to, when it was at rest already. */
    x->regs.pending.halt = !(x->regs.usbcmd & XHCI_CMD_RS) && !(x->regs.usbsts & XHCI_STS_HCH);
    x->regs.started_ns = 0;
    xhci_wrap_arm_locked(x);
    xhci_work_soon(x);
    return 0;
}
