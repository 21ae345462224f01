/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "fake_usb_echo.h"
#include "unit.h"

static uint32_t portsc(struct fx *f, unsigned port)
{
    return fx_rd(f, fx_port(port, XHCI_PORT_SC));
}

static unsigned link_of(struct fx *f, unsigned port)
{
    return portsc(f, port) >> XHCI_PORT_PLS_SHIFT & 15;
}

/* ---- Ports ---------------------------------------------------------------------------------- */

START_TEST(a_usb2_port_is_enabled_by_a_reset)
{
    struct xhci_trb e;
    struct fx f;

    fx_create(&f);
    fx_start(&f);
    ck_assert_uint_eq(portsc(&f, 1), XHCI_PORT_PP | XHCI_RX_DETECT << XHCI_PORT_PLS_SHIFT);
    new_echo(&f, USB_HIGH);
    ck_assert(fx_event_of(&f, XHCI_EV_PORT, &e));
    ck_assert_uint_eq(e.parameter >> 24, 1);
    ck_assert_uint_eq(portsc(&f, 1), XHCI_PORT_PP | XHCI_PORT_CCS | XHCI_PORT_CSC | 3u << 10 |
                                         XHCI_POLLING << XHCI_PORT_PLS_SHIFT);
    fx_wr(&f, fx_port(1, 0), XHCI_PORT_PP | XHCI_PORT_CSC);
    fx_wr(&f, fx_port(1, 0), XHCI_PORT_PP | XHCI_PORT_PR);
    ck_assert(portsc(&f, 1) & XHCI_PORT_PR);
    fx_turn(&f);
    ck_assert(fx_event_of(&f, XHCI_EV_PORT, &e));
    ck_assert_uint_eq(portsc(&f, 1), XHCI_PORT_PP | XHCI_PORT_CCS | XHCI_PORT_PED | XHCI_PORT_PRC | 3u << 10);
    fx_wr(&f, fx_port(1, 0), XHCI_PORT_PP | XHCI_PORT_PRC | XHCI_PORT_PED); /* disable */
    ck_assert_uint_eq(portsc(&f, 1) & (XHCI_PORT_PED | XHCI_PORT_PRC), 0);
    fx_wr(&f, fx_port(1, 0), 0); /* power off, and on */
    ck_assert(!(portsc(&f, 1) & XHCI_PORT_CCS));
    fx_wr(&f, fx_port(1, 0), XHCI_PORT_PP);
    ck_assert(portsc(&f, 1) & XHCI_PORT_CCS);
    fx_destroy(&f);
}
END_TEST

START_TEST(a_usb3_port_trains_by_itself)
{
    struct fx f;
    struct echo *e;

    fx_create(&f);
    fx_start(&f);
    e = new_echo(&f, USB_SUPER);
    ck_assert_uint_eq(e->usb.port, 1 + XHCI_PORTS_USB2);
    ck_assert_uint_eq(portsc(&f, e->usb.port), XHCI_PORT_PP | XHCI_PORT_CCS | XHCI_PORT_PED | XHCI_PORT_CSC | 4u << 10);
    fx_wr(&f, fx_port(e->usb.port, 0), XHCI_PORT_PP | XHCI_PORT_WPR);
    fx_turn(&f);
    ck_assert_uint_eq(portsc(&f, e->usb.port) & (XHCI_PORT_PRC | XHCI_PORT_WRC), XHCI_PORT_PRC | XHCI_PORT_WRC);
    fx_destroy(&f);
}
END_TEST

START_TEST(links_sleep_and_a_device_wakes_them)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);

    fx_wr(&f, fx_port(1, 0), XHCI_PORT_PP | XHCI_PORT_LWS | XHCI_U3 << XHCI_PORT_PLS_SHIFT);
    ck_assert_uint_eq(link_of(&f, 1), XHCI_U3);
    usb_wakeup(&e->usb);
    ck_assert_uint_eq(link_of(&f, 1), XHCI_U3); /* the host has not asked for it */
    ck_assert_uint_eq(fx_control(&f, slot, 0, USB_SET_FEATURE, USB_REMOTE_WAKEUP, 0, 0, NULL), XHCI_SUCCESS);
    usb_wakeup(&e->usb);
    ck_assert_uint_eq(link_of(&f, 1), XHCI_RESUME);
    ck_assert(portsc(&f, 1) & XHCI_PORT_PLC);
    fx_wr(&f, fx_port(1, 0), XHCI_PORT_PP | XHCI_PORT_PLC);
    fx_wr(&f, fx_port(1, 0), XHCI_PORT_PP | XHCI_PORT_LWS | XHCI_U0 << XHCI_PORT_PLS_SHIFT);
    ck_assert_uint_eq(link_of(&f, 1), XHCI_U0);
    ck_assert(portsc(&f, 1) & XHCI_PORT_PLC);
    fx_destroy(&f);
}
END_TEST

START_TEST(a_thousand_plugs_and_the_last_one_is_there)
{
    struct echo *e = NULL;
    struct fx f;

    fx_create(&f);
    fx_start(&f);
    for (unsigned i = 0; i < 1000; i++) {
        struct xhci_trb event;

        e = new_echo(&f, i & 1 ? USB_HIGH : USB_SUPER);
        if (i % 3)
            fx_reset_port(&f, e->usb.port);
        if (i == 999)
            break;
        xhci_unplug(f.x, &e->usb, NULL, NULL);
        usb_dev_destroy(&e->usb.dev);
        while (fx_event(&f, &event))
            ;
    }
    fx_enumerate(&f, e->usb.port);
    fx_destroy(&f);
}
END_TEST

/* ---- Commands ------------------------------------------------------------------------------- */

START_TEST(commands_out_of_place_are_refused)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e), other;
    struct xhci_trb ev;

    ck_assert_uint_eq(fx_command(&f, XHCI_NO_OP_COMMAND, 0, 0, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_command(&f, 60, 0, 0, NULL), XHCI_TRB_ERROR);
    ck_assert_uint_eq(fx_command(&f, XHCI_DISABLE_SLOT, 0, 9u << 24, NULL), XHCI_SLOT_NOT_ENABLED);
    ck_assert_uint_eq(fx_command(&f, XHCI_STOP_ENDPOINT, 0, 200u << 24 | 1 << 16, NULL), XHCI_SLOT_NOT_ENABLED);
    ck_assert_uint_eq(fx_command(&f, XHCI_RESET_ENDPOINT, 0, slot << 24 | IN << 16, NULL), XHCI_CONTEXT_STATE_ERROR);
    ck_assert_uint_eq(fx_command(&f, XHCI_SET_TR_DEQUEUE, 0, slot << 24 | IN << 16, NULL), XHCI_CONTEXT_STATE_ERROR);
    ck_assert_uint_eq(fx_command(&f, XHCI_STOP_ENDPOINT, 0, slot << 24 | 9 << 16, NULL), XHCI_CONTEXT_STATE_ERROR);
    ck_assert_uint_eq(fx_configure(&f, slot, 4, XHCI_EP_BULK_IN, 512), XHCI_PARAMETER_ERROR); /* OUT's DCI */
    ck_assert_uint_eq(fx_command(&f, XHCI_ENABLE_SLOT, 0, 0, &ev), XHCI_SUCCESS);
    other = XHCI_TRB_SLOT(ev.control);
    ck_assert_uint_ne(other, slot);
    ck_assert_uint_eq(fx_command(&f, XHCI_ADDRESS_DEVICE, FX_RAM, other << 24, NULL), XHCI_TRB_ERROR);
    ck_assert_uint_eq(fx_command(&f, XHCI_DISABLE_SLOT, 0, other << 24, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_command(&f, XHCI_RESET_DEVICE, 0, slot << 24, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_ep_state(&f, slot, IN), XHCI_EP_DISABLED);
    ck_assert_uint_eq(load_le32(fx_at(&f, fx_context(slot) + 12)) >> 27, XHCI_SLOT_DEFAULT);
    fx_destroy(&f);
}
END_TEST

START_TEST(the_command_ring_stops_and_goes_on)
{
    struct xhci_trb e;
    struct fx f;

    fx_create(&f);
    fx_start(&f);
    ck_assert_uint_eq(fx_command(&f, XHCI_NO_OP_COMMAND, 0, 0, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_rd(&f, FX_OP + XHCI_CRCR), XHCI_CRCR_CRR);
    fx_wr(&f, FX_OP + XHCI_CRCR, XHCI_CRCR_CA);
    fx_turn(&f);
    ck_assert(fx_event_of(&f, XHCI_EV_COMMAND, &e));
    ck_assert_uint_eq(fx_code(&e), XHCI_RING_STOPPED);
    ck_assert_uint_eq(e.parameter, FX_COMMAND + 16);
    ck_assert_uint_eq(fx_rd(&f, FX_OP + XHCI_CRCR), 0);
    for (unsigned i = 0; i < 40; i++) /* over its link */
        ck_assert_uint_eq(fx_command(&f, XHCI_NO_OP_COMMAND, 0, 0, NULL), XHCI_SUCCESS);
    fx_destroy(&f);
}
END_TEST

/* ---- Control transfers ---------------------------------------------------------------------- */

START_TEST(control_transfers_have_stages)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);
    struct fx_ring *r = &f.ring[slot][1];
    struct xhci_trb ev;
    uint32_t len;

    ck_assert_uint_eq(fx_control(&f, slot, 0x80, USB_GET_DESCRIPTOR, 0x100, 0, 64, &len), XHCI_SUCCESS);
    ck_assert_uint_eq(len, 18);
    ck_assert_mem_eq(fx_at(&f, FX_DATA), echo_device, 18);
    ck_assert_uint_eq(fx_control(&f, slot, 0x80, USB_GET_DESCRIPTOR, 0x302, 0, 255, &len), XHCI_SUCCESS);
    ck_assert_mem_eq(fx_at(&f, FX_DATA), "\12\3e\0c\0h\0o\0", 10);
    ck_assert_uint_eq(fx_control(&f, slot, 0x80, USB_GET_DESCRIPTOR, 0x900, 0, 8, &len), XHCI_STALL_ERROR);
    ck_assert_uint_eq(fx_control(&f, slot, 0x40, 1, 0, 0, 0, &len), XHCI_STALL_ERROR);
    ck_assert_uint_eq(fx_ep_state(&f, slot, 1), XHCI_EP_STOPPED);
    /* A doorbell after each stage. */
    fx_put(&f, r, 0x80 | USB_GET_CONFIGURATION << 8 | UINT64_C(1) << 48, 8, XHCI_SETUP << 10 | XHCI_TRB_IDT);
    fx_ring_bell(&f, slot, 1);
    fx_put(&f, r, FX_DATA, 1, XHCI_DATA << 10 | XHCI_TRB_IOC | XHCI_TRB_DIR_IN);
    fx_ring_bell(&f, slot, 1);
    ck_assert(fx_event_of(&f, XHCI_EV_TRANSFER, &ev));
    ck_assert_uint_eq(*(uint8_t *)fx_at(&f, FX_DATA), 1);
    fx_put(&f, r, 0, 0, XHCI_STATUS << 10 | XHCI_TRB_IOC);
    fx_ring_bell(&f, slot, 1);
    ck_assert(fx_event_of(&f, XHCI_EV_TRANSFER, &ev));
    ck_assert_uint_eq(fx_code(&ev), XHCI_SUCCESS);
    fx_destroy(&f);
}
END_TEST

/* ---- Bulk transfers ------------------------------------------------------------------------- */

static void fill(struct fx *f, uint64_t gpa, unsigned len)
{
    for (unsigned i = 0; i < len; i++)
        ((uint8_t *)fx_at(f, gpa))[i] = (uint8_t)(i * 7 + i / 256);
}

START_TEST(data_goes_and_comes_in_all_sizes_and_offsets)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);
    uint32_t left;

    for (unsigned len = 1; len < 6000; len += len < 40 ? 1 : 511) {
        uint64_t from = FX_DATA + len % 64, to = FX_DATA + 0x10000 + len % 7;

        fill(&f, from, len);
        memset(fx_at(&f, to), 0, len + 1);
        ck_assert_uint_eq(fx_transfer(&f, slot, OUT, from, len, &left), XHCI_SUCCESS);
        ck_assert_uint_eq(fx_transfer(&f, slot, IN, to, len + 100, &left), XHCI_SHORT_PACKET);
        ck_assert_uint_eq(left, 100);
        ck_assert_mem_eq(fx_at(&f, from), fx_at(&f, to), len);
    }
    fx_destroy(&f);
}
END_TEST

/* A TD of three TRBs across the ring's link, of which the second one gets less than it has room for. */
START_TEST(a_short_packet_is_told_of_where_it_happened)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);
    struct xhci_trb ev;
    uint64_t second;

    for (unsigned i = 0; i < FX_RING_TRBS - 2; i++) {
        ck_assert_uint_eq(fx_transfer(&f, slot, OUT, FX_DATA, 700, NULL), XHCI_SUCCESS);
        ck_assert_uint_eq(fx_transfer(&f, slot, IN, FX_DATA, 700, NULL), XHCI_SUCCESS);
    }
    ck_assert_uint_eq(fx_transfer(&f, slot, OUT, FX_DATA, 700, NULL), XHCI_SUCCESS);
    fx_normal(&f, slot, IN, FX_DATA, 512, XHCI_TRB_CH | XHCI_TRB_ISP);
    second = fx_normal(&f, slot, IN, FX_DATA + 512, 512, XHCI_TRB_CH | XHCI_TRB_ISP);
    fx_put(&f, &f.ring[slot][IN], FX_DATA + 1024, 512, XHCI_NORMAL << 10 | XHCI_TRB_CH);
    fx_put(&f, &f.ring[slot][IN], 0x1234567890, 0, XHCI_EVENT_DATA << 10 | XHCI_TRB_IOC);
    fx_ring_bell(&f, slot, IN);
    ck_assert(fx_event(&f, &ev));
    ck_assert_uint_eq(ev.parameter, second);
    ck_assert_uint_eq(ev.status, XHCI_SHORT_PACKET << 24 | (512 - 188));
    ck_assert(fx_event(&f, &ev));
    ck_assert_uint_eq(ev.parameter, 0x1234567890);
    ck_assert(ev.control & XHCI_TRB_ED);
    ck_assert_uint_eq(ev.status, XHCI_SHORT_PACKET << 24 | 700);
    ck_assert(!fx_event(&f, &ev));
    fx_destroy(&f);
}
END_TEST

START_TEST(immediate_data_and_no_ops_work)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);
    struct xhci_trb ev;

    fx_put(&f, &f.ring[slot][OUT], 0x8877665544332211, 5, XHCI_NORMAL << 10 | XHCI_TRB_IDT | XHCI_TRB_IOC);
    fx_put(&f, &f.ring[slot][OUT], 0, 0, XHCI_NO_OP << 10 | XHCI_TRB_IOC);
    fx_ring_bell(&f, slot, OUT);
    ck_assert(fx_event_of(&f, XHCI_EV_TRANSFER, &ev));
    ck_assert(fx_event_of(&f, XHCI_EV_TRANSFER, &ev));
    ck_assert_uint_eq(e->len, 5);
    ck_assert_mem_eq(e->data, "\x11\x22\x33\x44\x55", 5);
    fx_destroy(&f);
}
END_TEST

START_TEST(a_stalled_endpoint_goes_on_after_a_reset)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);
    struct xhci_trb ev;
    uint32_t left;

    usb_halt(&e->usb, 0x81);
    ck_assert_uint_eq(fx_transfer(&f, slot, IN, FX_DATA, 64, &left), XHCI_STALL_ERROR);
    ck_assert_uint_eq(left, 64);
    ck_assert_uint_eq(fx_ep_state(&f, slot, IN), XHCI_EP_HALTED);
    fx_ring_bell(&f, slot, IN); /* of no use */
    ck_assert_uint_eq(fx_ep_state(&f, slot, IN), XHCI_EP_HALTED);
    ck_assert_uint_eq(fx_command(&f, XHCI_RESET_ENDPOINT, 0, slot << 24 | IN << 16, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_ep_state(&f, slot, IN), XHCI_EP_STOPPED);
    ck_assert_uint_eq(fx_control(&f, slot, 2, USB_CLEAR_FEATURE, 0, 0x81, 0, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(e->usb.halted, 0);
    memcpy(e->data, "again", 5);
    e->len = 5;
    fx_ring_bell(&f, slot, IN); /* the transfer that stalled is still the ring's first */
    ck_assert(fx_event_of(&f, XHCI_EV_TRANSFER, &ev));
    ck_assert_uint_eq(fx_code(&ev), XHCI_SHORT_PACKET);
    ck_assert_mem_eq(fx_at(&f, FX_DATA), "again", 5);
    fx_destroy(&f);
}
END_TEST

START_TEST(a_stop_takes_the_transfer_back_and_a_doorbell_gives_it_again)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);
    struct xhci_trb ev;
    uint64_t at;

    e->hold = true;
    at = fx_normal(&f, slot, IN, FX_DATA, 64, XHCI_TRB_IOC);
    fx_ring_bell(&f, slot, IN);
    ck_assert_ptr_nonnull(e->held);
    for (unsigned i = 0; i < 20; i++) {
        fx_put(&f, &f.command, 0, 0, XHCI_STOP_ENDPOINT << 10 | slot << 24 | IN << 16);
        fx_wr(&f, FX_DB, 0);
        fx_turn(&f);
        ck_assert(fx_event(&f, &ev)); /* first this, then the command's */
        ck_assert_uint_eq(XHCI_TRB_TYPE(ev.control), XHCI_EV_TRANSFER);
        ck_assert_uint_eq(ev.parameter, at);
        ck_assert_uint_eq(ev.status, XHCI_STOPPED << 24 | 64);
        ck_assert(fx_event(&f, &ev));
        ck_assert_uint_eq(XHCI_TRB_TYPE(ev.control), XHCI_EV_COMMAND);
        ck_assert_ptr_null(e->held);
        ck_assert_uint_eq(load_le64(fx_at(&f, fx_context(slot) + 32 * IN + 8)), at | 1);
        fx_ring_bell(&f, slot, IN);
        ck_assert_ptr_nonnull(e->held);
    }
    e->len = 10;
    e->hold = false;
    echo_in(e, e->held);
    ck_assert(fx_event(&f, &ev));
    ck_assert_uint_eq(ev.parameter, at);
    /* Nothing is under way. */
    fx_put(&f, &f.command, 0, 0, XHCI_STOP_ENDPOINT << 10 | slot << 24 | IN << 16);
    fx_wr(&f, FX_DB, 0);
    fx_turn(&f);
    ck_assert(fx_event(&f, &ev));
    ck_assert_uint_eq(fx_code(&ev), XHCI_STOPPED_LENGTH);
    ck_assert_uint_eq(ev.parameter, at + 16);
    fx_destroy(&f);
}
END_TEST

static void count(void *arg)
{
    ++*(unsigned *)arg;
}

START_TEST(unplugging_fails_what_is_under_way)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e), out = 0;
    struct xhci_trb ev;

    e->hold = true;
    fx_normal(&f, slot, IN, FX_DATA, 64, XHCI_TRB_IOC);
    fx_ring_bell(&f, slot, IN);
    xhci_unplug(f.x, &e->usb, count, &out);
    fx_turn(&f);
    ck_assert_uint_eq(out, 1);
    usb_dev_destroy(&e->usb.dev);
    ck_assert(fx_event_of(&f, XHCI_EV_TRANSFER, &ev));
    ck_assert_uint_eq(fx_code(&ev), XHCI_TRANSACTION_ERROR);
    ck_assert_uint_eq(fx_transfer(&f, slot, OUT, FX_DATA, 64, NULL), XHCI_TRANSACTION_ERROR);
    ck_assert_uint_eq(fx_command(&f, XHCI_DISABLE_SLOT, 0, slot << 24, NULL), XHCI_SUCCESS);
    fx_destroy(&f);
}
END_TEST

START_TEST(a_reset_takes_everything_back)
{
    struct fx f;
    struct echo *e;

    fx_with_echo(&f, &e);
    for (unsigned i = 0; i < 20; i++) {
        unsigned slot = i ? fx_enumerate(&f, 1) : 1;

        e->hold = true;
        ck_assert_uint_eq(fx_configure(&f, slot, i ? IN : 5, XHCI_EP_BULK_IN, 512), XHCI_SUCCESS);
        fx_normal(&f, slot, IN, FX_DATA, 64, XHCI_TRB_IOC);
        fx_ring_bell(&f, slot, IN);
        ck_assert_ptr_nonnull(e->held);
        fx_start(&f);
        ck_assert_ptr_null(e->held);
        ck_assert_uint_eq(e->usb.configuration, 0);
    }
    fx_destroy(&f);
}
END_TEST

/* ---- Events --------------------------------------------------------------------------------- */

static bool line(struct fx *f)
{
    return f->m.level[pci_intx_gsi(FX_DEVFN, 1)];
}

START_TEST(interrupts_are_moderated_and_none_is_lost)
{
    unsigned ir = FX_RT + XHCI_INTERRUPTERS;
    struct xhci_trb e;
    struct fx f;

    fx_create(&f);
    fx_start(&f);
    ck_assert(!line(&f));
    fx_wr(&f, ir + XHCI_IMOD, 0xffff); /* 16 ms */
    fx_put(&f, &f.command, 0, 0, XHCI_NO_OP_COMMAND << 10);
    fx_wr(&f, FX_DB, 0);
    fx_turn(&f);
    ck_assert(line(&f)); /* it was quiet */
    ck_assert(fx_rd(&f, FX_OP + XHCI_USBSTS) & XHCI_STS_EINT);
    fx_wr(&f, ir + XHCI_IMAN, XHCI_IMAN_IP | XHCI_IMAN_IE);
    ck_assert(!line(&f));
    ck_assert(fx_event(&f, &e));
    fx_put(&f, &f.command, 0, 0, XHCI_NO_OP_COMMAND << 10);
    fx_wr(&f, FX_DB, 0);
    fx_turn(&f);
    ck_assert(!line(&f)); /* too soon: a timer knows */
    usleep(20000);
    fake_loop_fire(f.m.loop);
    ck_assert(line(&f));
    /* While the driver is at work (EHB) there is none; when it says that it is done, there is one if it has missed an event. */
    fx_wr(&f, ir + XHCI_IMOD, 0);
    fx_wr(&f, ir + XHCI_IMAN, XHCI_IMAN_IP | XHCI_IMAN_IE);
    fx_put(&f, &f.command, 0, 0, XHCI_NO_OP_COMMAND << 10);
    fx_wr(&f, FX_DB, 0);
    fx_turn(&f);
    ck_assert(!line(&f));
    usleep(20000);
    ck_assert(fx_event(&f, &e)); /* the older one */
    fake_loop_fire(f.m.loop);
    ck_assert(line(&f));
    ck_assert(fx_event(&f, &e));
    fx_destroy(&f);
}
END_TEST

START_TEST(a_full_event_ring_waits)
{
    struct xhci_trb e;
    struct fx f;
    unsigned got = 0, full = 0;

    fx_create(&f);
    fx_start(&f);
    for (unsigned i = 0; i < 100; i++) {
        fx_put(&f, &f.command, 0, 0, XHCI_NO_OP_COMMAND << 10);
        if (i % 10 == 9) {
            fx_wr(&f, FX_DB, 0);
            fx_turn(&f);
        }
    }
    for (unsigned i = 0; i < 1000; i++) {
        if (fx_event(&f, &e)) {
            got += XHCI_TRB_TYPE(e.control) == XHCI_EV_COMMAND;
            full += fx_code(&e) == XHCI_RING_FULL;
        }
        fx_turn(&f);
    }
    ck_assert_uint_ge(full, 1);
    ck_assert_uint_ge(got, 64); /* the command ring itself has wrapped by then */
    ck_assert(!(fx_rd(&f, FX_OP + XHCI_USBSTS) & XHCI_STS_HCE));
    ck_assert_uint_eq(fx_command(&f, XHCI_NO_OP_COMMAND, 0, 0, NULL), XHCI_SUCCESS);
    fx_destroy(&f);
}
END_TEST

/* ---- Hostile -------------------------------------------------------------------------------- */

START_TEST(rings_that_lead_nowhere_end_in_errors)
{
    struct fx f;
    struct echo *e;
    unsigned slot = fx_with_echo(&f, &e);
    struct xhci_trb ev;

    /* A link to itself that never changes the cycle. */
    store_le64(fx_at(&f, f.ring[slot][IN].base), f.ring[slot][IN].base);
    store_le32(fx_at(&f, f.ring[slot][IN].base + 12), XHCI_LINK << 10 | 1);
    fx_ring_bell(&f, slot, IN);
    ck_assert_uint_eq(fx_ep_state(&f, slot, IN), XHCI_EP_ERROR);
    ck_assert_uint_eq(fx_command(&f, XHCI_SET_TR_DEQUEUE, FX_DATA | 1, slot << 24 | IN << 16, NULL), XHCI_SUCCESS);
    /* A buffer that is not in memory. */
    store_le64(fx_at(&f, FX_DATA), UINT64_MAX - 100);
    store_le32(fx_at(&f, FX_DATA + 8), 4096);
    store_le32(fx_at(&f, FX_DATA + 12), XHCI_NORMAL << 10 | 1);
    fx_ring_bell(&f, slot, IN);
    ck_assert(fx_event_of(&f, XHCI_EV_TRANSFER, &ev));
    ck_assert_uint_eq(fx_code(&ev), XHCI_DATA_BUFFER_ERROR);
    ck_assert_uint_eq(fx_ep_state(&f, slot, IN), XHCI_EP_HALTED);
    /* A chain without an end, all of one TRB. */
    store_le32(fx_at(&f, f.ring[slot][OUT].base + 12), XHCI_NORMAL << 10 | XHCI_TRB_CH | 1);
    store_le64(fx_at(&f, f.ring[slot][OUT].base + 16), f.ring[slot][OUT].base);
    store_le32(fx_at(&f, f.ring[slot][OUT].base + 28), XHCI_LINK << 10 | XHCI_TRB_CH | 1);
    fx_ring_bell(&f, slot, OUT);
    ck_assert_uint_eq(fx_ep_state(&f, slot, OUT), XHCI_EP_ERROR);
    /* The command ring. */
    store_le64(fx_at(&f, f.command.base + 16 * f.command.at), UINT64_C(1) << 60);
    store_le32(fx_at(&f, f.command.base + 16 * f.command.at + 12), XHCI_LINK << 10 | f.command.cycle);
    fx_wr(&f, FX_DB, 0);
    fx_turn(&f);
    ck_assert(fx_rd(&f, FX_OP + XHCI_USBSTS) & XHCI_STS_HCE);
    fx_start(&f);
    fx_enumerate(&f, 1);
    fx_destroy(&f);
}
END_TEST

/* ---- Rest ----------------------------------------------------------------------------------- */

START_TEST(a_controller_at_rest_goes_on_where_it_was)
{
    struct fx f, g;
    struct echo *e, *o;
    unsigned slot = fx_with_echo(&f, &e), quiet = 0;
    struct xhci_trb ev;

    ck_assert_uint_eq(fx_with_echo(&g, &o), slot);
    e->hold = true;
    fx_normal(&f, slot, IN, FX_DATA, 64, XHCI_TRB_IOC);
    fx_ring_bell(&f, slot, IN);
    xhci_quiesce(f.x, count, &quiet);
    xhci_quiesce(g.x, count, &quiet);
    ck_assert_uint_eq(quiet, 2);
    ck_assert_ptr_null(e->held);
    fake_machine_round_trip(&f.m, &g.m);
    memcpy(g.ram, f.ram, FX_RAM);
    memcpy(g.ring, f.ring, sizeof(g.ring));
    g.command = f.command;
    g.event_at = f.event_at;
    g.event_cycle = f.event_cycle;
    xhci_resume(g.x);
    memcpy(o->data, "hello", 5);
    o->len = 5;
    fx_turn(&g);
    ck_assert(fx_event(&g, &ev));
    ck_assert_mem_eq(fx_at(&g, FX_DATA), "hello", 5);
    ck_assert_uint_eq(fx_command(&g, XHCI_NO_OP_COMMAND, 0, 0, NULL), XHCI_SUCCESS);
    fx_destroy(&f);
    fx_destroy(&g);
}
END_TEST

/* Before the driver has let go of them. */
START_TEST(two_that_were_unplugged_are_no_device_twice)
{
    struct echo *e[2];
    struct fx f, g;

    fx_with_echo(&f, &e[0]);
    e[1] = new_echo(&f, USB_HIGH);
    fx_enumerate(&f, 2);
    for (unsigned i = 0; i < 2; i++) {
        xhci_unplug(f.x, &e[i]->usb, NULL, NULL);
        fx_turn(&f);
        usb_dev_destroy(&e[i]->usb.dev);
    }
    fx_create(&g);
    memcpy(g.ram, f.ram, FX_RAM);
    xhci_quiesce(f.x, NULL, NULL);
    xhci_quiesce(g.x, NULL, NULL);
    fake_machine_round_trip(&f.m, &g.m);
    fx_destroy(&f);
    fx_destroy(&g);
}
END_TEST

START_TEST(registers_take_anything)
{
    static const uint32_t values[] = {0, 1, 2, 0xffffffff, 0x80000000, 0xa5a5a5a5, 0x301, 0x10200};
    struct fx f;
    struct echo *e;

    fx_with_echo(&f, &e);
    for (unsigned v = 0; v < ARRAY_SIZE(values); v++) {
        for (unsigned reg = 0; reg < 0x4000; reg += 4) {
            fx_wr(&f, reg, values[v]);
            (void)fx_rd(&f, reg);
        }
        fx_turn(&f);
    }
    fx_start(&f);
    fx_enumerate(&f, 1);
    fx_destroy(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_usb2_port_is_enabled_by_a_reset);
    UNIT_TEST(s, a_usb3_port_trains_by_itself);
    UNIT_TEST(s, links_sleep_and_a_device_wakes_them);
    UNIT_TEST(s, a_thousand_plugs_and_the_last_one_is_there);
    UNIT_TEST(s, commands_out_of_place_are_refused);
    UNIT_TEST(s, the_command_ring_stops_and_goes_on);
    UNIT_TEST(s, control_transfers_have_stages);
    UNIT_TEST(s, data_goes_and_comes_in_all_sizes_and_offsets);
    UNIT_TEST(s, a_short_packet_is_told_of_where_it_happened);
    UNIT_TEST(s, immediate_data_and_no_ops_work);
    UNIT_TEST(s, a_stalled_endpoint_goes_on_after_a_reset);
    UNIT_TEST(s, a_stop_takes_the_transfer_back_and_a_doorbell_gives_it_again);
    UNIT_TEST(s, unplugging_fails_what_is_under_way);
    UNIT_TEST(s, a_reset_takes_everything_back);
    UNIT_TEST(s, interrupts_are_moderated_and_none_is_lost);
    UNIT_TEST(s, a_full_event_ring_waits);
    UNIT_TEST(s, rings_that_lead_nowhere_end_in_errors);
    UNIT_TEST(s, a_controller_at_rest_goes_on_where_it_was);
    UNIT_TEST(s, two_that_were_unplugged_are_no_device_twice);
    UNIT_TEST(s, registers_take_anything);
}

UNIT_TEST_MAIN("xhci", add_tests)
