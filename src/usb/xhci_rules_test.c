/* SPDX-License-Identifier: MIT */
/* What the specification says of commands, rings, events and registers, rule by rule; xhci_test.c has how a driver uses
 * them. */
#include "base/clock.h"
#include "fake_usb_echo.h"
#include "unit.h"
#include "usb/xhci_impl.h"

#define IR (FX_RT + XHCI_INTERRUPTERS)

static uint32_t slot_word(struct fx *f, unsigned slot, unsigned word)
{
    return load_le32(fx_at(f, fx_context(slot) + 4 * word));
}

static unsigned slot_state(struct fx *f, unsigned slot)
{
    return slot_word(f, slot, 3) >> 27;
}

static unsigned enable_slot(struct fx *f)
{
    struct xhci_trb e;

    ck_assert_uint_eq(fx_command(f, XHCI_ENABLE_SLOT, 0, 0, &e), XHCI_SUCCESS);
    return XHCI_TRB_SLOT(e.control);
}

/* Its completion code. */
static unsigned address(struct fx *f, unsigned slot, unsigned port, uint32_t flags)
{
    uint8_t *input = fx_at(f, fx_context(slot) + 0x800);

    memset(fx_at(f, fx_context(slot) + 0x800), 0, 0x200);
    store_le64(fx_at(f, FX_DCBAA + 8 * slot), fx_context(slot));
    store_le32(input + 4, 3);
    store_le32(input + 32, 1u << 27 | USB_HIGH << 20);
    store_le32(input + 36, port << 16);
    fx_put_ep(f, slot, 1, XHCI_EP_CONTROL, 64);
    return fx_command(f, XHCI_ADDRESS_DEVICE, fx_context(slot) + 0x800, slot << 24 | flags, NULL);
}

/* ---- Commands (4.6) ------------------------------------------------------------------------- */

START_TEST(an_address_may_be_given_in_two_steps)
{
    struct fx f;
    unsigned slot;

    fx_create(&f);
    new_echo(&f, USB_HIGH);
    fx_start(&f);
    fx_reset_port(&f, 1);
    slot = enable_slot(&f);
    ck_assert_uint_eq(fx_command(&f, XHCI_EVALUATE_CONTEXT, FX_DATA, slot << 24, NULL), XHCI_CONTEXT_STATE_ERROR);
    ck_assert_uint_eq(fx_command(&f, XHCI_CONFIGURE_ENDPOINT, FX_DATA, slot << 24, NULL), XHCI_CONTEXT_STATE_ERROR);
    ck_assert_uint_eq(fx_command(&f, XHCI_RESET_DEVICE, 0, slot << 24, NULL), XHCI_CONTEXT_STATE_ERROR);
    ck_assert_uint_eq(address(&f, slot, 1, XHCI_TRB_BSR), XHCI_SUCCESS);
    ck_assert_uint_eq(slot_word(&f, slot, 3), (uint32_t)XHCI_SLOT_DEFAULT << 27); /* no address */
    ck_assert_uint_eq(fx_ep_state(&f, slot, 1), XHCI_EP_RUNNING);
    ck_assert_uint_eq(fx_control(&f, slot, 0x80, USB_GET_DESCRIPTOR, 0x100, 0, 8, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_command(&f, XHCI_RESET_DEVICE, 0, slot << 24, NULL), XHCI_CONTEXT_STATE_ERROR);
    ck_assert_uint_eq(address(&f, slot, 1, XHCI_TRB_BSR), XHCI_CONTEXT_STATE_ERROR);
    ck_assert_uint_eq(address(&f, slot, 1, 0), XHCI_SUCCESS);
    ck_assert_uint_eq(slot_word(&f, slot, 3), (uint32_t)XHCI_SLOT_ADDRESSED << 27 | slot);
    ck_assert_uint_eq(address(&f, slot, 1, 0), XHCI_CONTEXT_STATE_ERROR);
    fx_destroy(&f);
}
END_TEST

START_TEST(an_address_that_is_refused_changes_nothing)
{
    struct fx f;
    unsigned slot;

    fx_create(&f);
    new_echo(&f, USB_HIGH);
    fx_start(&f);
    fx_reset_port(&f, 1);
    slot = enable_slot(&f);
    ck_assert_uint_eq(address(&f, slot, 2, 0), XHCI_TRANSACTION_ERROR); /* nobody is there */
    ck_assert_uint_eq(address(&f, slot, 0, 0), XHCI_PARAMETER_ERROR);
    ck_assert_uint_eq(address(&f, slot, XHCI_PORTS_ALL + 1, 0), XHCI_PARAMETER_ERROR);
    ck_assert_uint_eq(slot_state(&f, slot), XHCI_SLOT_ENABLED);
    ck_assert_uint_eq(address(&f, slot, 1, XHCI_TRB_BSR), XHCI_SUCCESS);
    ck_assert_uint_eq(address(&f, slot, 2, 0), XHCI_TRANSACTION_ERROR);
    ck_assert_uint_eq(slot_state(&f, slot), XHCI_SLOT_DEFAULT);
    ck_assert_uint_eq(address(&f, slot, 1, 0), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_control(&f, slot, 0x80, USB_GET_DESCRIPTOR, 0x100, 0, 18, NULL), XHCI_SUCCESS);
    fx_destroy(&f);
}
END_TEST

START_TEST(endpoints_that_are_refused_leave_the_others)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);
    uint8_t *input = fx_at(&f, fx_context(slot) + 0x800);

    /* IN is to go, and what would come is none. */
    memset(input, 0, 32);
    store_le32(input, 1u << IN);
    store_le32(input + 4, 1u | 1u << 5);
    fx_put_ep(&f, slot, 5, XHCI_EP_BULK_OUT, 512); /* of an IN's number */
    ck_assert_uint_eq(fx_command(&f, XHCI_CONFIGURE_ENDPOINT, fx_context(slot) + 0x800, slot << 24, NULL),
                      XHCI_PARAMETER_ERROR);
    ck_assert_uint_eq(fx_ep_state(&f, slot, IN), XHCI_EP_RUNNING);
    store_le32(fx_at(&f, FX_DATA), 1);
    ck_assert_uint_eq(fx_transfer(&f, slot, OUT, FX_DATA, 4, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_transfer(&f, slot, IN, FX_DATA + 64, 4, NULL), XHCI_SUCCESS);
    /* One that is there is not added again, but may be exchanged. */
    ck_assert_uint_eq(fx_configure(&f, slot, IN, XHCI_EP_BULK_IN, 512), XHCI_PARAMETER_ERROR);
    memset(input, 0, 32);
    store_le32(input, 1u << IN);
    store_le32(input + 4, 1u | 1u << IN);
    fx_put_ep(&f, slot, IN, XHCI_EP_BULK_IN, 512);
    ck_assert_uint_eq(fx_command(&f, XHCI_CONFIGURE_ENDPOINT, fx_context(slot) + 0x800, slot << 24, NULL),
                      XHCI_SUCCESS);
    ck_assert_uint_eq(slot_state(&f, slot), XHCI_SLOT_CONFIGURED);
    /* All of them go. */
    ck_assert_uint_eq(fx_command(&f, XHCI_CONFIGURE_ENDPOINT, 0, slot << 24 | XHCI_TRB_DC, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(slot_state(&f, slot), XHCI_SLOT_ADDRESSED);
    ck_assert_uint_eq(fx_ep_state(&f, slot, IN), XHCI_EP_DISABLED);
    ck_assert_uint_eq(fx_ep_state(&f, slot, OUT), XHCI_EP_DISABLED);
    ck_assert_uint_eq(fx_ep_state(&f, slot, 1), XHCI_EP_RUNNING);
    fx_destroy(&f);
}
END_TEST

START_TEST(the_control_endpoint_is_evaluated_anew)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);
    uint8_t *input = fx_at(&f, fx_context(slot) + 0x800);

    memset(input, 0, 32);
    store_le32(input + 4, 2);
    store_le32(input + 64 + 4, 512u << 16 | XHCI_EP_CONTROL << 3);
    ck_assert_uint_eq(fx_command(&f, XHCI_EVALUATE_CONTEXT, fx_context(slot) + 0x800, slot << 24, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(load_le32(fx_at(&f, fx_context(slot) + 32 + 4)) >> 16, 512);
    ck_assert_uint_eq(fx_ep_state(&f, slot, 1), XHCI_EP_RUNNING);
    store_le32(input + 4, 1u << IN);
    ck_assert_uint_eq(fx_command(&f, XHCI_EVALUATE_CONTEXT, fx_context(slot) + 0x800, slot << 24, NULL),
                      XHCI_PARAMETER_ERROR);
    fx_destroy(&f);
}
END_TEST

START_TEST(slots_come_to_an_end)
{
    struct xhci_trb e;
    struct fx f;

    fx_create(&f);
    fx_start(&f);
    fx_wr(&f, FX_OP + XHCI_CONFIG, 2);
    ck_assert_uint_eq(enable_slot(&f), 1);
    ck_assert_uint_eq(enable_slot(&f), 2);
    ck_assert_uint_eq(fx_command(&f, XHCI_ENABLE_SLOT, 0, 0, &e), XHCI_NO_SLOTS);
    ck_assert_uint_eq(XHCI_TRB_SLOT(e.control), 0);
    ck_assert_uint_eq(fx_command(&f, XHCI_DISABLE_SLOT, 0, 1u << 24, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_command(&f, XHCI_DISABLE_SLOT, 0, 1u << 24, &e), XHCI_SLOT_NOT_ENABLED);
    ck_assert_uint_eq(XHCI_TRB_SLOT(e.control), 1); /* which one is not */
    ck_assert_uint_eq(enable_slot(&f), 1);
    for (unsigned type = XHCI_FORCE_EVENT; type < 64; type++) {
        if (type != XHCI_GET_PORT_BANDWIDTH && type != XHCI_NO_OP_COMMAND)
            ck_assert_uint_eq(fx_command(&f, type, 0, 0, NULL), XHCI_TRB_ERROR);
    }
    fx_destroy(&f);
}
END_TEST

static void keeps(struct usb_dev *d, struct usb_xfer *x) {}

static const struct usb_dev_ops stubborn = {.name = "stubborn", .reset = echo_reset, .control = echo_control,
                                            .submit = echo_submit, .cancel = keeps};

/* 4.6.1.2: of a device that does not let go. */
START_TEST(a_command_that_waits_is_aborted)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);
    struct xhci_trb ev;
    uint64_t at, next;

    e->usb.ops = &stubborn;
    e->hold = true;
    fx_normal(&f, slot, IN, FX_DATA, 64, XHCI_TRB_IOC);
    fx_ring_bell(&f, slot, IN);
    at = fx_put(&f, &f.command, 0, 0, XHCI_STOP_ENDPOINT << 10 | slot << 24 | IN << 16);
    next = fx_put(&f, &f.command, 0, 0, XHCI_NO_OP_COMMAND << 10);
    fx_wr(&f, FX_DB, 0);
    fx_turn(&f);
    ck_assert(!fx_event(&f, &ev));
    fx_wr(&f, FX_OP + XHCI_CRCR, XHCI_CRCR_CS);
    fx_turn(&f);
    ck_assert(!fx_event(&f, &ev)); /* that one waits for its end */
    ck_assert_uint_eq(fx_rd(&f, FX_OP + XHCI_CRCR), XHCI_CRCR_CRR);
    fx_wr(&f, FX_OP + XHCI_CRCR, XHCI_CRCR_CA);
    fx_turn(&f);
    ck_assert(fx_event(&f, &ev));
    ck_assert_uint_eq(fx_code(&ev), XHCI_COMMAND_ABORTED);
    ck_assert_uint_eq(ev.parameter, at);
    ck_assert(fx_event(&f, &ev));
    ck_assert_uint_eq(fx_code(&ev), XHCI_RING_STOPPED);
    ck_assert_uint_eq(ev.parameter, next);
    ck_assert_uint_eq(fx_rd(&f, FX_OP + XHCI_CRCR), 0);
    fx_wr(&f, FX_DB, 0);
    fx_turn(&f);
    ck_assert(fx_event(&f, &ev));
    ck_assert_uint_eq(ev.parameter, next);
    /* The transfer is where it was. */
    ck_assert_uint_eq(fx_ep_state(&f, slot, IN), XHCI_EP_RUNNING);
    e->len = 64;
    echo_in(e, e->held);
    fx_turn(&f);
    ck_assert(fx_event_of(&f, XHCI_EV_TRANSFER, &ev));
    ck_assert_uint_eq(fx_code(&ev), XHCI_SUCCESS);
    fx_destroy(&f);
}
END_TEST

/* ---- Transfers (4.10, 4.11) ------------------------------------------------------------------ */

static unsigned send(struct fx *f, unsigned slot, unsigned len)
{
    return fx_transfer(f, slot, OUT, FX_DATA, len, NULL);
}

/* 4.10.1.1: of two TRBs, of which the first one is not filled. */
START_TEST(a_short_packet_is_told_of_at_the_end)
{
    static const struct {
        uint32_t first;
        unsigned events;
    } cases[] = {{0, 1}, {XHCI_TRB_ISP, 2}, {XHCI_TRB_IOC, 1}, {XHCI_TRB_ISP | XHCI_TRB_IOC, 1}};
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct xhci_trb ev;
        uint64_t first, last, told;

        ck_assert_uint_eq(send(&f, slot, 100), XHCI_SUCCESS);
        first = fx_normal(&f, slot, IN, FX_DATA, 512, XHCI_TRB_CH | cases[i].first);
        last = fx_normal(&f, slot, IN, FX_DATA + 512, 512, XHCI_TRB_IOC);
        fx_ring_bell(&f, slot, IN);
        for (unsigned n = 1; n <= cases[i].events; n++) {
            told = n == 1 && cases[i].first ? first : last;
            ck_assert(fx_event(&f, &ev));
            ck_assert_uint_eq(ev.parameter, told);
            ck_assert_uint_eq(ev.status, (uint32_t)XHCI_SHORT_PACKET << 24 | (told == first ? 412 : 512));
        }
        ck_assert(!fx_event(&f, &ev));
    }
    fx_destroy(&f);
}
END_TEST

START_TEST(trbs_out_of_place_are_errors)
{
    static const uint32_t wrong[] = {
        XHCI_ISOCH << 10, XHCI_SETUP << 10 | XHCI_TRB_IDT, XHCI_STATUS << 10, XHCI_ENABLE_SLOT << 10, 0, 50u << 10,
        XHCI_NORMAL << 10 | XHCI_TRB_IDT}; /* bytes in the TRB itself, from the device */
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);

    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct fx_ring *r = &f.ring[slot][IN];
        struct xhci_trb ev;
        uint64_t at = fx_put(&f, r, FX_DATA, 8, wrong[i]);

        fx_ring_bell(&f, slot, IN);
        ck_assert(fx_event_of(&f, XHCI_EV_TRANSFER, &ev));
        ck_assert_uint_eq(fx_code(&ev), XHCI_TRB_ERROR);
        ck_assert_uint_eq(ev.parameter, at);
        ck_assert_uint_eq(fx_ep_state(&f, slot, IN), XHCI_EP_ERROR);
        fx_ring_bell(&f, slot, IN); /* nothing comes of it in that state */
        ck_assert(!fx_event(&f, &ev));
        ck_assert_uint_eq(fx_command(&f, XHCI_RESET_ENDPOINT, 0, slot << 24 | IN << 16, NULL),
                          XHCI_CONTEXT_STATE_ERROR);
        ck_assert_uint_eq(fx_command(&f, XHCI_SET_TR_DEQUEUE, (r->base + 16 * r->at) | r->cycle,
                                     slot << 24 | IN << 16, NULL), XHCI_SUCCESS);
        ck_assert_uint_eq(fx_ep_state(&f, slot, IN), XHCI_EP_STOPPED);
    }
    ck_assert_uint_eq(send(&f, slot, 8), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_transfer(&f, slot, IN, FX_DATA, 8, NULL), XHCI_SUCCESS);
    fx_destroy(&f);
}
END_TEST

START_TEST(doorbells_of_nobody)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);
    struct xhci_trb ev;

    fx_ring_bell(&f, slot + 1, 1); /* a slot that is not enabled */
    fx_ring_bell(&f, XHCI_SLOTS, 1);
    fx_ring_bell(&f, slot, 0); /* reserved targets */
    fx_ring_bell(&f, slot, 32);
    fx_ring_bell(&f, 0, 1);
    ck_assert(!fx_event(&f, &ev));
    fx_ring_bell(&f, slot, 9);
    ck_assert(fx_event(&f, &ev));
    ck_assert_uint_eq(XHCI_TRB_TYPE(ev.control), XHCI_EV_TRANSFER);
    ck_assert_uint_eq(fx_code(&ev), XHCI_EP_NOT_ENABLED);
    ck_assert_uint_eq(XHCI_TRB_SLOT(ev.control), slot);
    ck_assert_uint_eq(XHCI_TRB_EP(ev.control), 9);
    for (unsigned i = 0; i < 1000; i++) /* by a driver that does not read */
        fx_ring_bell(&f, slot, 9);
    ck_assert(!(fx_rd(&f, FX_OP + XHCI_USBSTS) & XHCI_STS_HCE));
    fx_destroy(&f);
}
END_TEST

/* ---- Events (4.9.4) -------------------------------------------------------------------------- */

#define SEGMENTS 3u

static const uint32_t sizes[SEGMENTS] = {16, 40, 17};

static uint64_t segment(unsigned n)
{
    return FX_DATA + 0x10000 * (SEGMENTS - n); /* not in order of addresses */
}

START_TEST(an_event_ring_has_segments)
{
    struct fx f;

    fx_create(&f);
    fx_start(&f);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        store_le64(fx_at(&f, FX_ERST + 16 * i), segment(i));
        store_le64(fx_at(&f, FX_ERST + 16 * i + 8), sizes[i]);
    }
    fx_wr(&f, IR + XHCI_ERSTSZ, SEGMENTS);
    fake_write(&f.m, FX_BAR + IR + XHCI_ERDP, 8, segment(0));
    fake_write(&f.m, FX_BAR + IR + XHCI_ERSTBA, 8, FX_ERST);
    for (unsigned lap = 0; lap < 3; lap++) {
        for (unsigned s = 0; s < SEGMENTS; s++) {
            for (unsigned i = 0; i < sizes[s]; i++) {
                uint64_t at = fx_put(&f, &f.command, 0, 0, XHCI_NO_OP_COMMAND << 10), event = segment(s) + 16 * i;

                fx_wr(&f, FX_DB, 0);
                fx_turn(&f);
                ck_assert_uint_eq(load_le64(fx_at(&f, event)), at);
                ck_assert_uint_eq(load_le32(fx_at(&f, event + 12)) & 1, !(lap & 1));
                fake_write(&f.m, FX_BAR + IR + XHCI_ERDP, 8, event | XHCI_ERDP_EHB | s);
            }
        }
    }
    fx_destroy(&f);
}
END_TEST

START_TEST(events_that_lead_nowhere_stop_the_controller)
{
    struct fx f;

    fx_create(&f);
    fx_start(&f);
    store_le64(fx_at(&f, FX_ERST), UINT64_C(1) << 60);
    fake_write(&f.m, FX_BAR + IR + XHCI_ERDP, 8, UINT64_C(1) << 60);
    fake_write(&f.m, FX_BAR + IR + XHCI_ERSTBA, 8, FX_ERST);
    fx_put(&f, &f.command, 0, 0, XHCI_NO_OP_COMMAND << 10);
    fx_wr(&f, FX_DB, 0);
    fx_turn(&f);
    ck_assert_uint_eq(fx_rd(&f, FX_OP + XHCI_USBSTS) & (XHCI_STS_HSE | XHCI_STS_HCH), XHCI_STS_HSE | XHCI_STS_HCH);
    ck_assert(!(fx_rd(&f, FX_OP + XHCI_USBCMD) & XHCI_CMD_RS));
    fx_start(&f);
    ck_assert_uint_eq(fx_command(&f, XHCI_NO_OP_COMMAND, 0, 0, NULL), XHCI_SUCCESS);
    fx_destroy(&f);
}
END_TEST

static void count(void *arg)
{
    ++*(unsigned *)arg;
}

/* An event that leads nowhere is the last thing before it rests: what is saved stops. */
START_TEST(a_controller_that_must_stop_when_it_is_at_rest_does_so_later)
{
    struct fx f, g;
    struct echo *e, *other;
    unsigned slot = fx_with_echo(&f, &e), quiet = 0;

    ck_assert_uint_eq(fx_with_echo(&g, &other), slot);
    e->usb.ops = &stubborn;
    e->hold = true;
    fx_normal(&f, slot, IN, FX_DATA, 64, 0);
    fx_ring_bell(&f, slot, IN);
    fx_put(&f, &f.command, 0, 0, XHCI_STOP_ENDPOINT << 10 | slot << 24 | IN << 16);
    fx_wr(&f, FX_DB, 0);
    fx_turn(&f);
    store_le64(fx_at(&f, FX_ERST), UINT64_C(1) << 60);
    fake_write(&f.m, FX_BAR + IR + XHCI_ERDP, 8, UINT64_C(1) << 60);
    fake_write(&f.m, FX_BAR + IR + XHCI_ERSTBA, 8, FX_ERST);
    xhci_quiesce(f.x, count, &quiet);
    xhci_quiesce(g.x, count, &quiet);
    ck_assert_uint_eq(quiet, 1);
    e->len = 64;
    echo_in(e, e->held);
    fx_turn(&f);
    ck_assert_uint_eq(quiet, 2);
    ck_assert_uint_eq(fx_rd(&f, FX_OP + XHCI_USBSTS) & (XHCI_STS_HSE | XHCI_STS_HCH), XHCI_STS_HSE);
    fake_machine_round_trip(&f.m, &g.m);
    xhci_resume(g.x);
    fx_turn(&g);
    ck_assert_uint_eq(fx_rd(&g, FX_OP + XHCI_USBSTS) & (XHCI_STS_HSE | XHCI_STS_HCH), XHCI_STS_HSE | XHCI_STS_HCH);
    fx_destroy(&f);
    fx_destroy(&g);
}
END_TEST

static bool interrupts_at_once(struct fx *f, uint32_t interval)
{
    struct xhci_trb e;
    bool line = true;

    fx_wr(f, IR + XHCI_IMOD, interval);
    for (unsigned i = 0; i < 2; i++) {
        fx_put(f, &f->command, 0, 0, XHCI_NO_OP_COMMAND << 10);
        fx_wr(f, FX_DB, 0);
        fx_turn(f);
        line = line && f->m.level[pci_intx_gsi(FX_DEVFN, 1)];
        fx_wr(f, IR + XHCI_IMAN, XHCI_IMAN_IP | XHCI_IMAN_IE);
        ck_assert(fx_event(f, &e));
    }
    return line;
}

/* Linux's 40 us would be over before anybody was woken at their end. */
START_TEST(short_intervals_between_interrupts_are_none)
{
    struct fx f;

    fx_create(&f);
    fx_start(&f);
    ck_assert(interrupts_at_once(&f, 160));
    ck_assert(!interrupts_at_once(&f, 0xffff)); /* 16 ms */
    fx_destroy(&f);
}
END_TEST

START_TEST(microframes_begin_anew)
{
    struct xhci_trb e;
    struct fx f;

    fx_create(&f);
    fx_start(&f);
    f.x->regs.started_ns = clock_mono_ns() - UINT64_C(0x3ff0) * 125000; /* soon, */
    ck_assert_uint_ge(fx_rd(&f, FX_RT + XHCI_MFINDEX), 0x3ff0);
    fake_loop_fire(f.m.loop);
    ck_assert(!fx_event(&f, &e)); /* but nobody has asked */
    fx_wr(&f, FX_OP + XHCI_USBCMD, XHCI_CMD_RS | XHCI_CMD_INTE | XHCI_CMD_EWE);
    fake_loop_fire(f.m.loop);
    ck_assert(fx_event(&f, &e));
    ck_assert_uint_eq(XHCI_TRB_TYPE(e.control), XHCI_EV_MFINDEX);
    ck_assert_uint_eq(fx_code(&e), XHCI_SUCCESS);
    fx_wr(&f, FX_OP + XHCI_USBCMD, 0);
    fx_turn(&f);
    ck_assert_uint_eq(fx_rd(&f, FX_RT + XHCI_MFINDEX), 0);
    fake_loop_fire(f.m.loop);
    ck_assert(!fx_event(&f, &e));
    fx_destroy(&f);
}
END_TEST

/* ---- Registers (5) --------------------------------------------------------------------------- */

START_TEST(capabilities_claim_no_more_than_there_is)
{
    struct fx f;
    uint32_t hcc, at, ports = 0;

    fx_create(&f);
    ck_assert_uint_eq(fx_rd(&f, XHCI_CAPLENGTH), FX_OP | 0x0110u << 16);
    hcc = fx_rd(&f, XHCI_HCCPARAMS1);
    ck_assert_uint_eq(hcc & BIT(2), 0); /* contexts have 32 bytes (CSZ) */
    ck_assert_uint_eq(hcc & (BIT(5) | BIT(6) | BIT(11)), 0); /* no light reset, latency tolerance, contiguous frames */
    ck_assert_uint_eq(fx_rd(&f, XHCI_HCSPARAMS2) >> 21, 0); /* no scratchpads */
    ck_assert_uint_eq(fx_rd(&f, XHCI_HCCPARAMS2), 0);
    for (at = (hcc >> 16) * 4; at;) { /* protocols: each port is in one */
        uint32_t head = fx_rd(&f, at), range = fx_rd(&f, at + 8);

        ck_assert_uint_eq(head & 0xff, 2);
        ck_assert_uint_eq(fx_rd(&f, at + 4), 0x20425355);
        ck_assert_uint_eq(range & 0xff, ports + 1);
        ports += range >> 8 & 0xff;
        at = head >> 8 & 0xff ? at + 4 * (head >> 8 & 0xff) : 0;
    }
    ck_assert_uint_eq(ports, fx_rd(&f, XHCI_HCSPARAMS1) >> 24);
    fx_destroy(&f);
}
END_TEST

START_TEST(a_link_goes_only_where_it_may)
{
    static const uint8_t refused[] = {XHCI_U1, XHCI_U2, XHCI_RX_DETECT, XHCI_INACTIVE, XHCI_POLLING, 9, 10, 11,
                                      XHCI_RESUME};
    struct fx f;
    unsigned port;

    fx_create(&f);
    fx_start(&f);
    port = new_echo(&f, USB_SUPER)->usb.port;
    for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
        fx_wr(&f, fx_port(port, 0), XHCI_PORT_PP | XHCI_PORT_LWS | (uint32_t)refused[i] << XHCI_PORT_PLS_SHIFT);
        ck_assert_uint_eq(fx_rd(&f, fx_port(port, 0)) >> XHCI_PORT_PLS_SHIFT & 15, XHCI_U0);
    }
    fx_wr(&f, fx_port(port, 0), XHCI_PORT_PP | XHCI_U3 << XHCI_PORT_PLS_SHIFT); /* without the strobe */
    ck_assert_uint_eq(fx_rd(&f, fx_port(port, 0)) & (XHCI_PORT_PLS_MASK | XHCI_PORT_LWS), 0);
    fx_wr(&f, fx_port(1, XHCI_PORT_PMSC), 0xffffffff);
    ck_assert_uint_eq(fx_rd(&f, fx_port(1, XHCI_PORT_PMSC)), 0xfff8); /* no L1, no test mode */
    fx_wr(&f, fx_port(port, XHCI_PORT_PMSC), 0xffffffff);
    ck_assert_uint_eq(fx_rd(&f, fx_port(port, XHCI_PORT_PMSC)), 0x1ffff);
    fx_destroy(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, an_address_may_be_given_in_two_steps);
    UNIT_TEST(s, an_address_that_is_refused_changes_nothing);
    UNIT_TEST(s, endpoints_that_are_refused_leave_the_others);
    UNIT_TEST(s, the_control_endpoint_is_evaluated_anew);
    UNIT_TEST(s, slots_come_to_an_end);
    UNIT_TEST(s, a_command_that_waits_is_aborted);
    UNIT_TEST(s, a_short_packet_is_told_of_at_the_end);
    UNIT_TEST(s, trbs_out_of_place_are_errors);
    UNIT_TEST(s, doorbells_of_nobody);
    UNIT_TEST(s, an_event_ring_has_segments);
    UNIT_TEST(s, events_that_lead_nowhere_stop_the_controller);
    UNIT_TEST(s, a_controller_that_must_stop_when_it_is_at_rest_does_so_later);
    UNIT_TEST(s, short_intervals_between_interrupts_are_none);
    UNIT_TEST(s, microframes_begin_anew);
    UNIT_TEST(s, capabilities_claim_no_more_than_there_is);
    UNIT_TEST(s, a_link_goes_only_where_it_may);
}

UNIT_TEST_MAIN("xhci-rules", add_tests)
