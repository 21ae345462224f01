/* SPDX-License-Identifier: MIT */
/* The command ring (4.9.3), and what commands do to slots and endpoints (4.6). Contexts are the guest's memory: what
 * is in the output contexts is for the driver to read; what we go by is in struct xhci_slot. A command that takes
 * something away from a device waits until the TDs are back. */
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "base/trace.h"
#include "usb/xhci_impl.h"

#define CTX_WORDS (XHCI_CONTEXT_SIZE / 4)

/* A context's words, in our byte order. */
struct context {
    uint32_t word[CTX_WORDS];
};

static bool read_context(struct xhci *x, uint64_t gpa, struct context *ret)
{
    uint8_t raw[XHCI_CONTEXT_SIZE];

    if (mem_read(x->mem, gpa, raw, sizeof(raw)) < 0)
        return false;
    for (unsigned i = 0; i < CTX_WORDS; i++)
        ret->word[i] = load_le32(raw + 4 * i);
    return true;
}

static void write_context(struct xhci *x, uint64_t gpa, const struct context *c)
{
    uint8_t raw[XHCI_CONTEXT_SIZE];

    for (unsigned i = 0; i < CTX_WORDS; i++)
        store_le32(raw + 4 * i, c->word[i]);
    if (mem_write(x->mem, gpa, raw, sizeof(raw)) < 0)
        xhci_fatal(x, "a context is not in memory");
}

static uint64_t context_at(const struct xhci_slot *s, unsigned dci)
{
    return s->context + XHCI_CONTEXT_SIZE * dci;
}

struct usb_dev *xhci_slot_device(const struct xhci *x, const struct xhci_slot *s)
{
    return s->port && s->port <= XHCI_PORTS_ALL && !x->port[s->port - 1].leaving ? x->port[s->port - 1].dev
                                                                                 : NULL;
}

/* ---- Slots and endpoints -------------------------------------------------------------------- */

static void disable_ep(struct xhci_ep *ep)
{
    xhci_ep_free(ep);
    *ep = (struct xhci_ep){.dci = ep->dci};
}

void xhci_slot_disable(struct xhci *x, struct xhci_slot *s)
{
    for (unsigned i = 1; i < XHCI_EPS; i++)
        disable_ep(&s->ep[i]);
    s->enabled = false;
    s->state = s->port = 0;
    s->context = 0;
    s->kicked = 0;
}

bool xhci_ep_make_streams(struct xhci_ep *ep)
{
    ep->due = UINT32_MAX;
    if (!ep->max_pstreams)
        return true;
    if (!ep->streams)
        ep->streams = calloc(XHCI_STREAMS, sizeof(ep->streams[0]));
    ep->stream_count = ep->streams ? XHCI_STREAMS : 0;
    for (unsigned i = 0; i < ep->stream_count; i++)
        ep->streams[i].id = (uint16_t)i;
    return ep->streams;
}

/* 6.2.3: how many streams may it have? Those of one array, without others behind it. */
static bool may_stream(unsigned type, uint32_t word)
{
    unsigned max = XHCI_EP_MAX_PSTREAMS(word);

    return !max || (max <= XHCI_MAX_PSTREAMS && xhci_is_bulk(type) && (word & XHCI_EP_LSA));
}

/* 6.2.3. False: no endpoint can be like that. */
static bool may_be_ep(unsigned dci, const struct context *c)
{
    unsigned type = c->word[1] >> 3 & 7;

    return type && (dci == 1) == (type == XHCI_EP_CONTROL) &&
           (dci == 1 || (type >= XHCI_EP_CONTROL) == (dci & 1)) && may_stream(type, c->word[0]);
}

/* It may be one. False: there is no memory. */
static bool enable_ep(struct xhci_slot *s, unsigned dci, struct context *c)
{
    struct xhci_ep *ep = &s->ep[dci];
    unsigned type = c->word[1] >> 3 & 7;

    disable_ep(ep);
    ep->max_pstreams = XHCI_EP_MAX_PSTREAMS(c->word[0]);
    if (!xhci_ep_make_streams(ep)) {
        ep->max_pstreams = 0;
        return false;
    }
    ep->type = (uint8_t)type;
    ep->state = XHCI_EP_RUNNING;
    ep->cycle = c->word[2] & 1;
    ep->dequeue = (uint64_t)c->word[3] << 32 | (c->word[2] & ~UINT32_C(15));
    c->word[0] = (c->word[0] & ~UINT32_C(7)) | XHCI_EP_RUNNING;
    return true;
}

void xhci_ep_set_state(struct xhci *x, const struct xhci_slot *s, struct xhci_ep *ep,
                       enum xhci_ep_state state)
{
    struct context c;

    ep->state = (uint8_t)state;
    if (!read_context(x, context_at(s, ep->dci), &c))
        return;
    c.word[0] = (c.word[0] & ~UINT32_C(7)) | state;
    if (state != XHCI_EP_RUNNING && !ep->max_pstreams) { /* 4.6.9, 4.6.8: where it goes on */
        c.word[2] = (uint32_t)ep->dequeue | ep->cycle;
        c.word[3] = (uint32_t)(ep->dequeue >> 32);
    }
    write_context(x, context_at(s, ep->dci), &c);
}

static void set_slot_state(struct xhci *x, struct xhci_slot *s, enum xhci_slot_state state,
                           struct context *c)
{
    s->state = (uint8_t)state;
    c->word[3] = (uint32_t)state << 27 | (state >= XHCI_SLOT_ADDRESSED ? s->id : 0);
    write_context(x, context_at(s, 0), c);
}

/* ---- The commands: completion codes --------------------------------------------------------- */

static unsigned do_no_op(struct xhci *x, struct xhci_command *c)
{
    return XHCI_SUCCESS;
}

/* What the driver may write at any time, as it is now. */
static struct xhci_regs registers(struct xhci *x)
{
    struct xhci_regs r;

    device_lock(&x->pci.dev);
    r = x->regs;
    device_unlock(&x->pci.dev);
    return r;
}

static unsigned do_enable_slot(struct xhci *x, struct xhci_command *c)
{
    unsigned max = MIN(registers(x).config & 0xff, XHCI_SLOTS);

    for (unsigned n = 1; n <= max; n++) {
        if (!x->slot[n].enabled) {
            xhci_slot_disable(x, &x->slot[n]);
            x->slot[n].enabled = true;
            c->slot = &x->slot[n];
            return XHCI_SUCCESS;
        }
    }
    return XHCI_NO_SLOTS;
}

static unsigned do_disable_slot(struct xhci *x, struct xhci_command *c)
{
    struct context out;

    if (c->slot->context && read_context(x, c->slot->context, &out))
        set_slot_state(x, c->slot, XHCI_SLOT_ENABLED, &out);
    xhci_slot_disable(x, c->slot);
    return XHCI_SUCCESS;
}

/* The device's context, from the driver's array (6.1). */
static bool find_context(struct xhci *x, struct xhci_slot *s)
{
    uint8_t raw[8];

    if (mem_read(x->mem, registers(x).dcbaap + 8u * s->id, raw, sizeof(raw)) < 0)
        return false;
    s->context = load_le64(raw) & ~UINT64_C(63);
    return s->context && mem_ptr(x->mem, s->context, XHCI_CONTEXT_SIZE * XHCI_EPS, MEM_READ);
}

/* A device has one slot: two would give it two transfers for the same endpoint. */
static bool is_taken(const struct xhci *x, const struct xhci_slot *s, unsigned port)
{
    for (unsigned n = 1; n <= XHCI_SLOTS; n++) {
        const struct xhci_slot *other = &x->slot[n];

        if (other != s && other->enabled && other->state && other->port == port)
            return true;
    }
    return false;
}

/* 4.6.5 */
static unsigned do_address(struct xhci *x, struct xhci_command *c)
{
    uint64_t input = c->trb.parameter & ~UINT64_C(15);
    bool block = c->trb.control & XHCI_TRB_BSR;
    struct xhci_slot *s = c->slot;
    struct context control, slot, ep0;
    unsigned port, was = s->port;

    if (s->state > XHCI_SLOT_DEFAULT || (block && s->state))
        return XHCI_CONTEXT_STATE_ERROR;
    if (!read_context(x, input, &control) || !read_context(x, input + 32, &slot) ||
        !read_context(x, input + 64, &ep0) || !find_context(x, s))
        return XHCI_TRB_ERROR;
    port = slot.word[1] >> 16 & 0xff;
    if (control.word[0] || control.word[1] != 3 || slot.word[0] & 0xfffff || !port ||
        port > XHCI_PORTS_ALL)
        return XHCI_PARAMETER_ERROR;
    if (is_taken(x, s, port))
        return XHCI_TRB_ERROR;
    if (!may_be_ep(1, &ep0))
        return XHCI_PARAMETER_ERROR;
    s->port = (uint8_t)port;
    if (!xhci_slot_device(x, s)) {
        s->port = (uint8_t)was;
        return XHCI_TRANSACTION_ERROR;
    }
    if (!enable_ep(s, 1, &ep0))
        return XHCI_RESOURCE_ERROR;
    write_context(x, context_at(s, 1), &ep0);
    set_slot_state(x, s, block ? XHCI_SLOT_DEFAULT : XHCI_SLOT_ADDRESSED, &slot);
    return XHCI_SUCCESS;
}

/* 4.6.6, with the flag that takes all of them away. */
static unsigned deconfigure(struct xhci *x, struct xhci_slot *s)
{
    struct context c;

    if (s->state < XHCI_SLOT_ADDRESSED)
        return XHCI_CONTEXT_STATE_ERROR;
    for (unsigned i = 2; i < XHCI_EPS; i++) {
        xhci_ep_set_state(x, s, &s->ep[i], XHCI_EP_DISABLED);
        disable_ep(&s->ep[i]);
    }
    if (!read_context(x, s->context, &c))
        return XHCI_TRB_ERROR;
    c.word[0] = (c.word[0] & ~(UINT32_C(31) << 27)) | UINT32_C(1) << 27;
    set_slot_state(x, s, XHCI_SLOT_ADDRESSED, &c);
    return XHCI_SUCCESS;
}

static bool read_added(struct xhci *x, uint64_t input, unsigned dci, struct context *ret)
{
    return read_context(x, input + XHCI_CONTEXT_SIZE * (dci + 1), ret);
}

/* A command that fails changes nothing (4.6.6). */
static bool may_configure(struct xhci *x, const struct xhci_slot *s, uint64_t input, uint32_t drop, uint32_t add)
{
    struct context c;

    for (unsigned i = 2; i < XHCI_EPS; i++) {
        if (!(add & BIT(i)))
            continue;
        if (s->ep[i].state != XHCI_EP_DISABLED && !(drop & BIT(i)))
            return false;
        if (!read_added(x, input, i, &c) || !may_be_ep(i, &c))
            return false;
    }
    return true;
}

/* The driver may have written its contexts anew since may_configure(). */
static unsigned configure_eps(struct xhci *x, struct xhci_slot *s, uint64_t input, uint32_t drop, uint32_t add)
{
    struct context c;

    for (unsigned i = 2; i < XHCI_EPS; i++) {
        if (drop & BIT(i)) {
            xhci_ep_set_state(x, s, &s->ep[i], XHCI_EP_DISABLED);
            disable_ep(&s->ep[i]);
        }
    }
    for (unsigned i = 2; i < XHCI_EPS; i++) {
        if (!(add & BIT(i)))
            continue;
        if (!read_added(x, input, i, &c) || !may_be_ep(i, &c))
            return XHCI_PARAMETER_ERROR;
        if (!enable_ep(s, i, &c))
            return XHCI_RESOURCE_ERROR;
        write_context(x, context_at(s, i), &c);
    }
    return XHCI_SUCCESS;
}

/* 4.6.6 */
static unsigned do_configure(struct xhci *x, struct xhci_command *c)
{
    uint64_t input = c->trb.parameter & ~UINT64_C(15);
    struct xhci_slot *s = c->slot;
    struct context control, slot, in;
    unsigned code;
    bool any = false;

    if (c->trb.control & XHCI_TRB_DC)
        return deconfigure(x, s);
    if (s->state < XHCI_SLOT_ADDRESSED)
        return XHCI_CONTEXT_STATE_ERROR;
    if (!read_context(x, input, &control) || !read_context(x, input + 32, &in) ||
        !read_context(x, s->context, &slot))
        return XHCI_TRB_ERROR;
    control.word[0] = c->stops; /* those that have no TDs: the driver may have written others since */
    if ((control.word[0] & 3) || (control.word[1] & 3) != 1 ||
        !may_configure(x, s, input, control.word[0], control.word[1]))
        return XHCI_PARAMETER_ERROR;
    code = configure_eps(x, s, input, control.word[0], control.word[1]);
    for (unsigned i = 2; i < XHCI_EPS; i++)
        any = any || s->ep[i].state != XHCI_EP_DISABLED;
    slot.word[0] = (slot.word[0] & ~(UINT32_C(31) << 27)) | (in.word[0] & UINT32_C(31) << 27);
    set_slot_state(x, s, any ? XHCI_SLOT_CONFIGURED : XHCI_SLOT_ADDRESSED, &slot);
    return code;
}

/* 4.6.7: latencies, interrupters, and the packet size of the control endpoint, which we do not go by. */
static unsigned do_evaluate(struct xhci *x, struct xhci_command *c)
{
    uint64_t input = c->trb.parameter & ~UINT64_C(15);
    struct xhci_slot *s = c->slot;
    struct context control, in, out;

    if (s->state < XHCI_SLOT_DEFAULT)
        return XHCI_CONTEXT_STATE_ERROR;
    if (!read_context(x, input, &control))
        return XHCI_TRB_ERROR;
    if (control.word[0] || control.word[1] & ~UINT32_C(3))
        return XHCI_PARAMETER_ERROR;
    if (control.word[1] & 1) {
        if (!read_context(x, input + 32, &in) || !read_context(x, context_at(s, 0), &out))
            return XHCI_TRB_ERROR;
        out.word[1] = (out.word[1] & ~UINT32_C(0xffff)) | (in.word[1] & 0xffff);
        out.word[2] = (out.word[2] & ~(UINT32_C(0x3ff) << 22)) | (in.word[2] & UINT32_C(0x3ff) << 22);
        write_context(x, context_at(s, 0), &out);
    }
    if (control.word[1] & 2) {
        if (!read_context(x, input + 64, &in) || !read_context(x, context_at(s, 1), &out))
            return XHCI_TRB_ERROR;
        out.word[1] = (out.word[1] & 0xffff) | (in.word[1] & ~UINT32_C(0xffff));
        write_context(x, context_at(s, 1), &out);
    }
    return XHCI_SUCCESS;
}

static struct xhci_ep *ep_of(const struct xhci_command *c)
{
    return &c->slot->ep[XHCI_TRB_EP(c->trb.control)];
}

/* 4.6.8 */
static unsigned do_reset_ep(struct xhci *x, struct xhci_command *c)
{
    struct xhci_ep *ep = ep_of(c);

    if (ep->state != XHCI_EP_HALTED)
        return XHCI_CONTEXT_STATE_ERROR;
    ep->has_setup = ep->has_data = false;
    xhci_ep_set_state(x, c->slot, ep, XHCI_EP_STOPPED);
    return XHCI_SUCCESS;
}

/* 4.6.9 */
static unsigned do_stop_ep(struct xhci *x, struct xhci_command *c)
{
    struct xhci_ep *ep = ep_of(c);

    if (ep->state != XHCI_EP_RUNNING)
        return XHCI_CONTEXT_STATE_ERROR;
    xhci_ep_stopped(x, c->slot, ep);
    xhci_ep_set_state(x, c->slot, ep, XHCI_EP_STOPPED);
    return XHCI_SUCCESS;
}

/* 4.6.10 */
static unsigned do_set_dequeue(struct xhci *x, struct xhci_command *c)
{
    struct xhci_ep *ep = ep_of(c);

    unsigned stream = ep->max_pstreams ? XHCI_TRB_STREAM(c->trb.status) : 0;

    if (ep->state != XHCI_EP_STOPPED && ep->state != XHCI_EP_ERROR)
        return XHCI_CONTEXT_STATE_ERROR;
    if (ep->max_pstreams && (!stream || stream >= xhci_ep_streams(ep)))
        return XHCI_INVALID_STREAM_ID;
    if (stream && XHCI_TRB_SCT(c->trb.parameter) != XHCI_SCT_PRIMARY)
        return XHCI_INVALID_STREAM_TYPE;
    xhci_stream_set(x, ep, stream, c->trb.parameter & ~UINT64_C(15), c->trb.parameter & 1);
    if (stream && ep->streams[stream].td)
        ep->streams[stream].td->cancelled = false; /* nobody is told of it any more */
    ep->has_setup = ep->has_data = false;
    xhci_ep_set_state(x, c->slot, ep, XHCI_EP_STOPPED);
    return XHCI_SUCCESS;
}

/* 4.6.11 */
static unsigned do_reset_device(struct xhci *x, struct xhci_command *c)
{
    struct xhci_slot *s = c->slot;
    struct context out;

    if (s->state < XHCI_SLOT_ADDRESSED)
        return XHCI_CONTEXT_STATE_ERROR;
    if (deconfigure(x, s) != XHCI_SUCCESS || !read_context(x, s->context, &out))
        return XHCI_TRB_ERROR;
    s->ep[1].has_setup = s->ep[1].has_data = false;
    set_slot_state(x, s, XHCI_SLOT_DEFAULT, &out);
    return XHCI_SUCCESS;
}

/* 4.6.15: of every port, what is left of its bandwidth in percent: all that periodic endpoints may take. */
static unsigned do_port_bandwidth(struct xhci *x, struct xhci_command *c)
{
    uint8_t percent[1 + XHCI_PORTS_ALL];

    memset(percent, 80, sizeof(percent));
    percent[0] = 0;
    return mem_write(x->mem, c->trb.parameter & ~UINT64_C(15), percent, sizeof(percent)) < 0
               ? XHCI_TRB_ERROR : XHCI_SUCCESS;
}

/* ---- The ring ------------------------------------------------------------------------------- */

enum stops { STOPS_NOTHING, STOPS_ENDPOINT, STOPS_DROPPED, STOPS_SLOT };

static const struct command_kind {
    const char *name;
    bool slot; /* is of one, which has to be enabled */
    enum stops stops;
    unsigned (*run)(struct xhci *x, struct xhci_command *c);
} kinds[64] = {
    [XHCI_ENABLE_SLOT] = {"enable slot", false, STOPS_NOTHING, do_enable_slot},
    [XHCI_DISABLE_SLOT] = {"disable slot", true, STOPS_SLOT, do_disable_slot},
    [XHCI_ADDRESS_DEVICE] = {"address device", true, STOPS_SLOT, do_address},
    [XHCI_CONFIGURE_ENDPOINT] = {"configure endpoint", true, STOPS_DROPPED, do_configure},
    [XHCI_EVALUATE_CONTEXT] = {"evaluate context", true, STOPS_NOTHING, do_evaluate},
    [XHCI_RESET_ENDPOINT] = {"reset endpoint", true, STOPS_ENDPOINT, do_reset_ep},
    [XHCI_STOP_ENDPOINT] = {"stop endpoint", true, STOPS_ENDPOINT, do_stop_ep},
    [XHCI_SET_TR_DEQUEUE] = {"set TR dequeue pointer", true, STOPS_ENDPOINT, do_set_dequeue},
    [XHCI_RESET_DEVICE] = {"reset device", true, STOPS_SLOT, do_reset_device},
    [XHCI_GET_PORT_BANDWIDTH] = {"get port bandwidth", false, STOPS_NOTHING, do_port_bandwidth},
    [XHCI_NO_OP_COMMAND] = {"no op", false, STOPS_NOTHING, do_no_op},
};

static void complete(struct xhci *x, const struct xhci_command *c, unsigned code)
{
    const struct command_kind *kind = &kinds[XHCI_TRB_TYPE(c->trb.control)];
    uint32_t slot = c->slot ? c->slot->id : kind->slot ? XHCI_TRB_SLOT(c->trb.control) : 0; /* 6.4.2.2 */
    const struct xhci_trb event = {.parameter = c->gpa, .status = code << 24,
                                   .control = (uint32_t)XHCI_EV_COMMAND << 10 | slot << 24};

    TRACE(x->trace, usb, "xhci", x, "command %u of slot %u: %u", XHCI_TRB_TYPE(c->trb.control), slot, code);
    XHCI_COUNT(x, commands, 1);
    if (code != XHCI_SUCCESS)
        XHCI_COUNT(x, errors, 1);
    xhci_event(x, 0, &event, true);
}

/* Of which endpoints it wants the TDs back, if they have any. */
static uint32_t stops_of(struct xhci *x, const struct xhci_command *c, enum stops stops)
{
    struct context control;

    switch (stops) {
    case STOPS_ENDPOINT: return (uint32_t)BIT(XHCI_TRB_EP(c->trb.control));
    case STOPS_SLOT: return UINT32_MAX;
    case STOPS_DROPPED:
        if (c->trb.control & XHCI_TRB_DC)
            return ~UINT32_C(3);
        return read_context(x, c->trb.parameter & ~UINT64_C(15), &control) ? control.word[0] : 0;
    default: return 0;
    }
}

/* It waits no more, and what came meanwhile goes on: xhci_ep_run(). */
static void command_over(struct xhci *x, const struct xhci_command *c)
{
    x->command.active = false;
    if (c->slot && c->slot->kicked)
        x->kicked |= BIT(c->slot->id);
}

void xhci_command_finish(struct xhci *x)
{
    struct xhci_command c = x->command;
    bool busy = false;

    for (unsigned i = 1; c.active && i < XHCI_EPS; i++) {
        if (!(c.stops & BIT(i)))
            continue;
        xhci_ep_cancel(x, &c.slot->ep[i]);
        busy = busy || c.slot->ep[i].busy;
    }
    if (!c.active || busy)
        return;
    complete(x, &c, kinds[XHCI_TRB_TYPE(c.trb.control)].run(x, &c));
    command_over(x, &c);
}

static void begin(struct xhci *x, struct xhci_command *c)
{
    const struct command_kind *kind = &kinds[XHCI_TRB_TYPE(c->trb.control)];
    unsigned slot = XHCI_TRB_SLOT(c->trb.control), dci = XHCI_TRB_EP(c->trb.control);

    if (!kind->run) {
        complete(x, c, XHCI_TRB_ERROR);
        return;
    }
    if (kind->slot && (!slot || slot > XHCI_SLOTS || !x->slot[slot].enabled)) {
        complete(x, c, XHCI_SLOT_NOT_ENABLED);
        return;
    }
    c->slot = kind->slot ? &x->slot[slot] : NULL;
    if ((kind->run == do_stop_ep || kind->run == do_reset_ep || kind->run == do_set_dequeue) && !dci) {
        complete(x, c, XHCI_TRB_ERROR);
        return;
    }
    c->stops = c->slot ? stops_of(x, c, kind->stops) : 0;
    c->active = true;
    x->command = *c;
    xhci_command_finish(x);
}

static void set_ring(struct xhci *x, uint64_t crcr)
{
    device_lock(&x->pci.dev);
    x->regs.crcr = crcr;
    device_unlock(&x->pci.dev);
}

/* The next TRB of the ring, from crcr on, that is not a link; false: there is none. */
static bool take(struct xhci *x, uint64_t crcr, struct xhci_command *ret)
{
    uint8_t raw[16];

    for (unsigned links = 0; links < XHCI_BUDGET; links++) {
        uint64_t at = crcr & ~UINT64_C(15);

        if (mem_read(x->mem, at, raw, sizeof(raw)) < 0) {
            xhci_fatal(x, "the command ring is not in memory");
            return false;
        }
        *ret = (struct xhci_command){.gpa = at, .trb = {load_le64(raw), load_le32(raw + 8), load_le32(raw + 12)}};
        if ((ret->trb.control & XHCI_TRB_C) != (crcr & 1))
            return false;
        if (XHCI_TRB_TYPE(ret->trb.control) != XHCI_LINK) {
            set_ring(x, crcr + 16);
            return true;
        }
        crcr = (ret->trb.parameter & ~UINT64_C(15)) |
               ((crcr ^ (ret->trb.control & XHCI_TRB_TC ? 1 : 0)) & 1);
    }
    xhci_fatal(x, "the command ring is nothing but links");
    return false;
}

/* While the ring runs, its pointer is the loop's. */
void xhci_commands(struct xhci *x)
{
    struct xhci_command c;
    struct xhci_regs r;

    xhci_command_finish(x);
    for (unsigned i = 0; i < XHCI_BUDGET && x->command_due && !x->command.active; i++) {
        r = registers(x);
        if (!r.command_running || !take(x, r.crcr, &c)) {
            x->command_due = false;
            return;
        }
        begin(x, &c);
        if (xhci_is_blocked(x))
            return;
    }
}

void xhci_commands_stop(struct xhci *x)
{
    const struct xhci_command ring = {.gpa = registers(x).crcr & ~UINT64_C(15)}, c = x->command;

    xhci_command_finish(x);
    if (x->command.active && !x->abort_commands)
        return; /* it is at its end soon, and then the ring stops */
    if (x->command.active) {
        complete(x, &c, XHCI_COMMAND_ABORTED);
        command_over(x, &c);
    }
    x->stop_commands = x->abort_commands = x->command_due = false;
    complete(x, &ring, XHCI_RING_STOPPED);
    device_lock(&x->pci.dev);
    x->regs.command_running = false;
    device_unlock(&x->pci.dev);
}
