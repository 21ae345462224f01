/* SPDX-License-Identifier: MIT */
/* A device of the host behind the controller, whose host end is scripted. */
#include "fake_usb_host.h"
#include "fake_xhci_driver.h"
#include "unit.h"
#include "usb/usb_host_device.h"

#define IN        3u /* DCIs: bulk endpoints 0x81 and 0x02, an interrupt endpoint 0x83 of setting 1 */
#define OUT       4u
#define INTERRUPT 7u

static const uint8_t descriptors[] = {
    18, 1, 0, 2, 0xff, 0, 0, 64, 0x34, 0x12, 0x78, 0x56, 0, 1, 1, 2, 3, 1,
    9, 2, 48, 0, 1, 1, 0, 0x80, 50,
    9, 4, 0, 0, 2, 0xff, 0, 0, 0, 7, 5, 0x81, 2, 0, 2, 0, 7, 5, 0x02, 2, 0, 2, 0,
    9, 4, 0, 1, 1, 0xff, 0, 0, 0, 7, 5, 0x83, 3, 8, 0, 4,
    9, 2, 18, 0, 1, 2, 0, 0x80, 50, 9, 4, 0, 0, 0, 0xff, 0, 0, 0};

struct rig {
    struct fx f;
    struct fake_usb_host host;
    struct usb_dev *dev;
    unsigned slot, lost, given_back;
};

static void on_lost(void *arg)
{
    ((struct rig *)arg)->lost++;
}

static void on_given_back(void *arg)
{
    ((struct rig *)arg)->given_back++;
}

static void turn(struct rig *r)
{
    for (unsigned i = 0; i < 4; i++) {
        fx_turn(&r->f);
        fake_usb_turn(&r->host);
    }
    fx_turn(&r->f);
}

static void plug(struct rig *r, unsigned speed)
{
    struct usb_host_device_options o = {.host = &r->host.h, .lost = on_lost, .arg = r};
    struct vz_error err = {0};

    memset(r, 0, sizeof(*r));
    fx_create(&r->f);
    fake_usb_init(&r->host, speed, descriptors, sizeof(descriptors));
    ck_assert_msg(usb_host_device_create(r->f.m.bus, 1, &o, &r->dev, &err) == 0, "%s", err.text);
    ck_assert_int_eq(xhci_plug(r->f.x, r->dev), 0);
    fx_start(&r->f);
}

/* A control transfer that ends when the host does: begun by fx_control(), whose first look finds nothing. */
static unsigned control(struct rig *r, uint8_t type, uint8_t request, uint16_t value, uint16_t index, uint16_t length,
                        uint32_t *ret_len)
{
    struct fx_ring *ring = &r->f.ring[r->slot][1];
    unsigned code = fx_control(&r->f, r->slot, type, request, value, index, length, ret_len);
    struct xhci_trb e;

    turn(r);
    while (fx_event(&r->f, &e))
        code = fx_code(&e);
    if (code == XHCI_STALL_ERROR && fx_ep_state(&r->f, r->slot, 1) == XHCI_EP_HALTED) {
        ck_assert_uint_eq(fx_command(&r->f, XHCI_RESET_ENDPOINT, 0, r->slot << 24 | 1 << 16, NULL), XHCI_SUCCESS);
        ck_assert_uint_eq(fx_command(&r->f, XHCI_SET_TR_DEQUEUE, (ring->base + 16 * ring->at) | ring->cycle,
                                     r->slot << 24 | 1 << 16, NULL), XHCI_SUCCESS);
    }
    return code;
}

static void make(struct rig *r)
{
    plug(r, USB_HIGH);
    fx_reset_port(&r->f, r->dev->port);
    turn(r);
    r->slot = fx_address(&r->f, r->dev->port);
    ck_assert_uint_eq(control(r, 0, USB_SET_CONFIGURATION, 1, 0, 0, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_configure(&r->f, r->slot, IN, XHCI_EP_BULK_IN, 512), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_configure(&r->f, r->slot, OUT, XHCI_EP_BULK_OUT, 512), XHCI_SUCCESS);
}

static void unmake(struct rig *r)
{
    fx_destroy(&r->f);
    ck_assert(r->host.closed);
}

static const struct usb_host_order *last_order(const struct rig *r)
{
    ck_assert_uint_gt(r->host.order_count, 0);
    return &r->host.log[(r->host.order_count - 1) % FAKE_USB_ORDERS];
}

/* The next event of a transfer: its code, and how much is missing. 0: there is none. */
static unsigned event(struct rig *r, uint32_t *ret_left)
{
    struct xhci_trb e;

    if (!fx_event_of(&r->f, XHCI_EV_TRANSFER, &e))
        return 0;
    if (ret_left)
        *ret_left = e.status & 0xffffff;
    return fx_code(&e);
}

static void restart(struct rig *r, unsigned dci)
{
    struct fx_ring *ring = &r->f.ring[r->slot][dci];

    if (fx_ep_state(&r->f, r->slot, dci) == XHCI_EP_HALTED)
        ck_assert_uint_eq(fx_command(&r->f, XHCI_RESET_ENDPOINT, 0, r->slot << 24 | dci << 16, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_command(&r->f, XHCI_SET_TR_DEQUEUE, (ring->base + 16 * ring->at) | ring->cycle,
                                 r->slot << 24 | dci << 16, NULL), XHCI_SUCCESS);
}

/* ---- What goes on to the device, and what the host does -------------------------------------- */

START_TEST(the_host_does_what_it_has_to_know_of)
{
    struct rig r;

    make(&r);
    ck_assert_uint_eq(r.host.order_count, 2);
    ck_assert_int_eq(r.host.log[0].kind, USB_HOST_RESET);
    ck_assert_int_eq(r.host.log[1].kind, USB_HOST_SET_CONFIGURATION);
    ck_assert_uint_eq(r.host.log[1].value, 1);
    ck_assert_uint_eq(control(&r, 1, USB_SET_INTERFACE, 1, 0, 0, NULL), XHCI_SUCCESS);
    ck_assert_int_eq(last_order(&r)->kind, USB_HOST_SET_INTERFACE);
    ck_assert_uint_eq(last_order(&r)->value, 1);
    ck_assert_uint_eq(control(&r, 2, USB_CLEAR_FEATURE, USB_ENDPOINT_HALT, 0x83, 0, NULL), XHCI_SUCCESS);
    ck_assert_int_eq(last_order(&r)->kind, USB_HOST_CLEAR_HALT);
    ck_assert_uint_eq(last_order(&r)->index, 0x83);
    ck_assert_uint_eq(control(&r, 0, USB_SET_ADDRESS, 9, 0, 0, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(r.host.requests, 0);
    unmake(&r);
}
END_TEST

START_TEST(all_else_goes_on_to_the_device)
{
    static const uint8_t setup[] = {0xa1, 0xfe, 0x34, 0x12, 0x78, 0x56, 5, 0};
    struct rig r;
    uint32_t len;

    make(&r);
    memcpy(r.host.in, "abcde", 5);
    ck_assert_uint_eq(control(&r, 0xa1, 0xfe, 0x1234, 0x5678, 5, &len), XHCI_SUCCESS);
    ck_assert_mem_eq(r.host.last_setup, setup, sizeof(setup));
    ck_assert_mem_eq(fx_at(&r.f, FX_DATA), "abcde", 5);
    memcpy(fx_at(&r.f, FX_DATA), "12345678", 8);
    ck_assert_uint_eq(control(&r, 0x21, 9, 0, 0, 8, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(r.host.out_len, 8);
    ck_assert_mem_eq(r.host.out, "12345678", 8);
    ck_assert_uint_eq(control(&r, 0x21, 10, 0, 0, 0, NULL), XHCI_SUCCESS); /* without data */
    ck_assert_uint_eq(r.host.last_setup[6], 0);
    r.host.in_len = 3;
    ck_assert_uint_eq(control(&r, 0x80, USB_GET_DESCRIPTOR, USB_DT_STRING << 8, 0, 255, &len), XHCI_SUCCESS);
    ck_assert_uint_eq(r.host.requests, 4);
    unmake(&r);
}
END_TEST

START_TEST(configurations_are_given_as_the_guest_may_have_them)
{
    struct rig r;
    uint32_t len;

    make(&r);
    ck_assert_uint_eq(control(&r, 0x80, USB_GET_DESCRIPTOR, USB_DT_CONFIG << 8, 0, 48, &len), XHCI_SUCCESS);
    ck_assert_mem_eq(fx_at(&r.f, FX_DATA), descriptors + 18, 48);
    ck_assert_uint_eq(control(&r, 0x80, USB_GET_DESCRIPTOR, USB_DT_CONFIG << 8 | 1, 0, 18, &len), XHCI_SUCCESS);
    ck_assert_mem_eq(fx_at(&r.f, FX_DATA), descriptors + 66, 18);
    ck_assert_uint_eq(control(&r, 0x80, USB_GET_DESCRIPTOR, USB_DT_CONFIG << 8 | 2, 0, 9, &len), XHCI_STALL_ERROR);
    ck_assert_uint_eq(r.host.requests, 0);
    ck_assert_uint_eq(control(&r, 0, USB_GET_DESCRIPTOR, USB_DT_CONFIG << 8, 0, 48, NULL), XHCI_SUCCESS); /* the wrong way */
    ck_assert_uint_eq(r.host.requests, 1);
    ck_assert_uint_eq(r.host.out_len, 48);
    unmake(&r);
}
END_TEST

START_TEST(what_is_not_there_cannot_be_chosen)
{
    struct rig r;
    unsigned orders;

    make(&r);
    orders = r.host.order_count;
    ck_assert_uint_eq(control(&r, 0, USB_SET_CONFIGURATION, 3, 0, 0, NULL), XHCI_STALL_ERROR);
    ck_assert_uint_eq(control(&r, 0, USB_SET_CONFIGURATION, 0x101, 0, 0, NULL), XHCI_STALL_ERROR);
    ck_assert_uint_eq(control(&r, 1, USB_SET_INTERFACE, 2, 0, 0, NULL), XHCI_STALL_ERROR);
    ck_assert_uint_eq(control(&r, 1, USB_SET_INTERFACE, 0, 0x100, 0, NULL), XHCI_STALL_ERROR);
    ck_assert_uint_eq(control(&r, 2, USB_CLEAR_FEATURE, USB_ENDPOINT_HALT, 0x85, 0, NULL), XHCI_STALL_ERROR);
    ck_assert_uint_eq(control(&r, 0, USB_SET_FEATURE, 2, 0x400, 0, NULL), XHCI_STALL_ERROR); /* a test mode */
    ck_assert_uint_eq(r.host.order_count, orders);
    ck_assert_uint_eq(r.host.requests, 0);
    ck_assert_uint_eq(fx_configure(&r.f, r.slot, 6, XHCI_EP_BULK_OUT, 512), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, 6, FX_DATA, 16, NULL), XHCI_STALL_ERROR);
    unmake(&r);
}
END_TEST

START_TEST(settings_have_endpoints_of_their_own)
{
    struct rig r;
    uint32_t left;

    make(&r);
    ck_assert_uint_eq(fx_configure(&r.f, r.slot, INTERRUPT, XHCI_EP_INTERRUPT_IN, 8), XHCI_SUCCESS);
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, INTERRUPT, FX_DATA, 8, NULL), XHCI_STALL_ERROR);
    restart(&r, INTERRUPT);
    ck_assert_uint_eq(control(&r, 1, USB_SET_INTERFACE, 1, 0, 0, NULL), XHCI_SUCCESS);
    r.host.in_len = 5;
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, INTERRUPT, FX_DATA, 8, &left), XHCI_SHORT_PACKET);
    ck_assert_uint_eq(left, 3);
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, IN, FX_DATA, 8, NULL), XHCI_STALL_ERROR);
    unmake(&r);
}
END_TEST

/* ---- Transfers ------------------------------------------------------------------------------ */

START_TEST(bytes_go_both_ways)
{
    struct rig r;
    uint32_t left;

    make(&r);
    memset(fx_at(&r.f, FX_DATA), 0x5a, 5000);
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, OUT, FX_DATA, 5000, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(r.host.out_len, 5000);
    ck_assert_uint_eq(r.host.out[4999], 0x5a);
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, OUT, FX_DATA, 0, NULL), XHCI_SUCCESS); /* an empty packet is one */
    ck_assert_uint_eq(r.host.submitted, 2);
    memset(r.host.in, 0xa5, 700);
    r.host.in_len = 700;
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, IN, FX_DATA, 4096, &left), XHCI_SHORT_PACKET);
    ck_assert_uint_eq(left, 4096 - 700);
    ck_assert_uint_eq(*((uint8_t *)fx_at(&r.f, FX_DATA) + 699), 0xa5);
    ck_assert_uint_eq(*((uint8_t *)fx_at(&r.f, FX_DATA) + 700), 0x5a);
    unmake(&r);
}
END_TEST

START_TEST(a_stall_is_the_guest_s_to_clear)
{
    struct rig r;

    make(&r);
    r.host.result = USB_HOST_STALLED;
    r.host.in_len = 0;
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, IN, FX_DATA, 512, NULL), XHCI_STALL_ERROR);
    ck_assert_uint_eq(fx_ep_state(&r.f, r.slot, IN), XHCI_EP_HALTED);
    restart(&r, IN);
    ck_assert_uint_eq(control(&r, 2, USB_CLEAR_FEATURE, USB_ENDPOINT_HALT, 0x81, 0, NULL), XHCI_SUCCESS);
    ck_assert_int_eq(last_order(&r)->kind, USB_HOST_CLEAR_HALT);
    r.host.result = USB_HOST_OK;
    r.host.in_len = 512;
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, IN, FX_DATA, 512, NULL), XHCI_SUCCESS);
    unmake(&r);
}
END_TEST

START_TEST(a_request_that_is_stalled_leaves_the_next_one_well)
{
    struct rig r;

    make(&r);
    r.host.result = USB_HOST_STALLED;
    r.host.in_len = 0;
    ck_assert_uint_eq(control(&r, 0xc0, 1, 0, 0, 8, NULL), XHCI_STALL_ERROR);
    ck_assert_uint_eq(control(&r, 0x40, 1, 0, 0, 0, NULL), XHCI_STALL_ERROR);
    r.host.result = USB_HOST_OK;
    r.host.in_len = 8;
    ck_assert_uint_eq(control(&r, 0xc0, 1, 0, 0, 8, NULL), XHCI_SUCCESS);
    unmake(&r);
}
END_TEST

START_TEST(other_failures_have_their_codes)
{
    struct rig r;

    make(&r);
    r.host.result = USB_HOST_OVERFLOW;
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, IN, FX_DATA, 512, NULL), XHCI_BABBLE_ERROR);
    restart(&r, IN);
    r.host.result = USB_HOST_FAILED;
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, IN, FX_DATA, 512, NULL), XHCI_TRANSACTION_ERROR);
    ck_assert_uint_eq(fx_ep_state(&r.f, r.slot, IN), XHCI_EP_HALTED);
    unmake(&r);
}
END_TEST

START_TEST(a_slow_answer_keeps_nobody_else)
{
    struct rig r;
    struct usb_host_xfer *slow;

    make(&r);
    r.host.hold = true;
    ck_assert_uint_eq(control(&r, 0xc0, 1, 0, 0, 8, NULL), XHCI_SUCCESS); /* the setup's; the data waits */
    ck_assert_uint_eq(r.host.waiting_count, 1);
    slow = r.host.waiting[0];
    r.host.hold = false;
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, OUT, FX_DATA, 64, NULL), XHCI_SUCCESS);
    memcpy(r.host.in, "slowness", 8);
    fake_usb_end(&r.host, slow, USB_HOST_OK, 8);
    turn(&r);
    ck_assert_uint_eq(event(&r, NULL), XHCI_SUCCESS);
    ck_assert_mem_eq(fx_at(&r.f, FX_DATA), "slowness", 8);
    unmake(&r);
}
END_TEST

START_TEST(a_request_after_a_reset_waits_for_it)
{
    struct rig r;

    make(&r);
    r.host.hold_orders = true;
    fx_reset_port(&r.f, r.dev->port);
    ck_assert_uint_eq(last_order(&r)->kind, USB_HOST_RESET);
    fx_control(&r.f, r.slot, 0xc0, 1, 0, 0, 8, NULL);
    turn(&r);
    ck_assert_uint_eq(r.host.requests, 0);
    fx_reset_port(&r.f, r.dev->port); /* another one; the request comes back for that, and goes again */
    r.host.hold_orders = false;
    turn(&r);
    ck_assert_uint_eq(r.host.requests, 1);
    ck_assert_uint_eq(event(&r, NULL), XHCI_SUCCESS);
    unmake(&r);
}
END_TEST

/* ---- Taking back ----------------------------------------------------------------------------- */

START_TEST(stopping_an_endpoint_waits_for_the_host_to_let_go)
{
    struct rig r;
    struct xhci_trb e;
    uint32_t left;

    make(&r);
    r.host.hold = true;
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, IN, FX_DATA, 2048, NULL), 0);
    fx_put(&r.f, &r.f.command, 0, 0, (uint32_t)XHCI_STOP_ENDPOINT << 10 | r.slot << 24 | IN << 16);
    fx_wr(&r.f, FX_DB, 0);
    fx_turn(&r.f);
    ck_assert_uint_eq(r.host.cancelled, 1);
    ck_assert(!fx_event(&r.f, &e));
    fake_usb_end(&r.host, r.host.waiting[0], USB_HOST_CANCELLED, 512);
    fx_turn(&r.f);
    ck_assert_uint_eq(event(&r, &left), XHCI_STOPPED);
    ck_assert_uint_eq(left, 2048 - 512);
    ck_assert(fx_event_of(&r.f, XHCI_EV_COMMAND, &e));
    ck_assert_uint_eq(fx_code(&e), XHCI_SUCCESS);
    restart(&r, IN);
    r.host.hold = false;
    r.host.in_len = 100;
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, IN, FX_DATA, 2048, &left), XHCI_SHORT_PACKET); /* as new */
    ck_assert_uint_eq(left, 2048 - 100);
    unmake(&r);
}
END_TEST

static void quiet(void *arg)
{
    ++*(unsigned *)arg;
}

static void pause_in_the_middle(struct rig *r, size_t moved)
{
    unsigned count = 0;

    xhci_quiesce(r->f.x, quiet, &count);
    ck_assert_uint_eq(count, 0);
    fake_usb_end(&r->host, r->host.waiting[0], USB_HOST_CANCELLED, moved);
    fx_turn(&r->f);
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(event(r, NULL), 0);
    xhci_resume(r->f.x);
    fx_turn(&r->f);
}

START_TEST(a_pause_sends_and_loses_nothing_twice)
{
    struct rig r;
    uint8_t *data;

    make(&r);
    data = fx_at(&r.f, FX_DATA);
    for (unsigned i = 0; i < 4096; i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    r.host.hold = true;
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, OUT, FX_DATA, 4096, NULL), 0);
    pause_in_the_middle(&r, 1024);
    ck_assert_uint_eq(r.host.waiting[0]->len, 3072);
    pause_in_the_middle(&r, 512);
    fake_usb_end(&r.host, r.host.waiting[0], USB_HOST_OK, 2560);
    fx_turn(&r.f);
    ck_assert_uint_eq(event(&r, NULL), XHCI_SUCCESS);
    ck_assert_uint_eq(r.host.out_len, 4096);
    ck_assert_mem_eq(r.host.out, data, 4096);
    unmake(&r);
}
END_TEST

START_TEST(a_pause_keeps_what_has_come)
{
    struct rig r;
    uint32_t left;

    make(&r);
    r.host.hold = true;
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, IN, FX_DATA, 4096, NULL), 0);
    memset(r.host.in, 1, 4096);
    pause_in_the_middle(&r, 1024);
    memset(r.host.in, 2, 4096);
    fake_usb_end(&r.host, r.host.waiting[0], USB_HOST_OK, 1000);
    fx_turn(&r.f);
    ck_assert_uint_eq(event(&r, &left), XHCI_SHORT_PACKET);
    ck_assert_uint_eq(left, 4096 - 2024);
    ck_assert_uint_eq(*((uint8_t *)fx_at(&r.f, FX_DATA) + 1023), 1);
    ck_assert_uint_eq(*((uint8_t *)fx_at(&r.f, FX_DATA) + 1024), 2);
    unmake(&r);
}
END_TEST

START_TEST(a_slow_order_keeps_no_command)
{
    struct rig r;
    struct xhci_trb e;

    make(&r);
    r.host.hold_orders = true;
    fx_control(&r.f, r.slot, 1, USB_SET_INTERFACE, 1, 0, 0, NULL);
    ck_assert_ptr_nonnull(r.host.order);
    ck_assert_uint_eq(fx_command(&r.f, XHCI_STOP_ENDPOINT, 0, r.slot << 24 | 1 << 16, &e), XHCI_SUCCESS);
    restart(&r, 1);
    fx_control(&r.f, r.slot, 0xc0, 1, 0, 0, 8, NULL); /* waits for the order */
    ck_assert_uint_eq(r.host.requests, 0);
    r.host.hold_orders = false;
    turn(&r);
    ck_assert_uint_eq(r.host.requests, 1);
    ck_assert_uint_eq(fx_configure(&r.f, r.slot, INTERRUPT, XHCI_EP_INTERRUPT_IN, 8), XHCI_SUCCESS); /* of setting 1 */
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, INTERRUPT, FX_DATA, 8, NULL), XHCI_SUCCESS);
    unmake(&r);
}
END_TEST

/* ---- Coming and going ------------------------------------------------------------------------ */

START_TEST(every_speed_has_its_port)
{
    static const unsigned speeds[] = {USB_LOW, USB_FULL, USB_HIGH, USB_SUPER};
    struct rig r;

    for (unsigned i = 0; i < ARRAY_SIZE(speeds); i++) {
        plug(&r, speeds[i]);
        ck_assert_uint_eq(r.dev->port > XHCI_PORTS_USB2, speeds[i] == USB_SUPER);
        ck_assert_uint_eq(fx_rd(&r.f, fx_port(r.dev->port, XHCI_PORT_SC)) >> XHCI_PORT_SPEED_SHIFT & 15, speeds[i]);
        unmake(&r);
    }
}
END_TEST

START_TEST(a_device_that_is_lost_fails_and_is_told_of_once)
{
    struct rig r;

    make(&r);
    r.host.hold = true;
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, IN, FX_DATA, 512, NULL), 0);
    r.host.h.lost(r.host.h.arg);
    fake_usb_end(&r.host, r.host.waiting[0], USB_HOST_GONE, 0);
    r.host.h.lost(r.host.h.arg);
    turn(&r);
    ck_assert_uint_eq(r.lost, 1);
    ck_assert(usb_host_device_is_lost(r.dev));
    ck_assert_uint_eq(event(&r, NULL), XHCI_TRANSACTION_ERROR);
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, OUT, FX_DATA, 512, NULL), XHCI_TRANSACTION_ERROR);
    ck_assert_uint_eq(r.host.waiting_count, 0);
    xhci_unplug(r.f.x, r.dev, NULL, NULL);
    usb_host_device_give_back(r.dev, on_given_back, &r);
    ck_assert_uint_eq(r.given_back, 1);
    unmake(&r);
}
END_TEST

START_TEST(a_reset_that_makes_another_device_of_it_loses_it)
{
    struct rig r;

    make(&r);
    r.host.order_result = USB_HOST_GONE;
    fx_reset_port(&r.f, r.dev->port);
    turn(&r);
    ck_assert_uint_eq(r.lost, 1);
    unmake(&r);
}
END_TEST

START_TEST(it_is_given_back_when_it_is_out)
{
    struct rig r;

    make(&r);
    r.host.hold = true;
    ck_assert_uint_eq(fx_transfer(&r.f, r.slot, IN, FX_DATA, 512, NULL), 0);
    xhci_unplug(r.f.x, r.dev, on_given_back, &r);
    ck_assert_uint_eq(r.given_back, 0);
    fake_usb_end(&r.host, r.host.waiting[0], USB_HOST_CANCELLED, 0);
    turn(&r);
    ck_assert_uint_eq(r.given_back, 1);
    usb_host_device_give_back(r.dev, on_given_back, &r);
    ck_assert_int_eq(last_order(&r)->kind, USB_HOST_GIVE_BACK);
    ck_assert_uint_eq(r.given_back, 1);
    turn(&r);
    ck_assert_uint_eq(r.given_back, 2);
    unmake(&r);
}
END_TEST

START_TEST(a_machine_s_reset_and_a_saved_state_leave_it_whole)
{
    struct state_writer w = {0};
    struct rig r;

    make(&r);
    ck_assert_int_eq(bus_save(r.f.m.bus, &w), 0);
    ck_assert_int_eq(bus_load(r.f.m.bus, w.data, w.len, NULL), 0);
    state_writer_fini(&w);
    fx_start(&r.f);
    fx_reset_port(&r.f, r.dev->port);
    turn(&r);
    r.slot = fx_address(&r.f, r.dev->port);
    ck_assert_uint_eq(control(&r, 0, USB_SET_CONFIGURATION, 1, 0, 0, NULL), XHCI_SUCCESS);
    unmake(&r);
}
END_TEST

START_TEST(a_device_that_makes_no_sense_is_refused)
{
    struct usb_host_device_options o = {.host = NULL};
    struct fake_usb_host host;
    struct vz_error err = {0};
    struct usb_dev *d;
    struct fx f;

    fx_create(&f);
    fake_usb_init(&host, USB_HIGH, descriptors, 20);
    o.host = &host.h;
    ck_assert_int_lt(usb_host_device_create(f.m.bus, 1, &o, &d, &err), 0);
    ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_INITIALIZATION_FAILURE);
    ck_assert(!host.closed);
    fx_destroy(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, the_host_does_what_it_has_to_know_of);
    UNIT_TEST(s, all_else_goes_on_to_the_device);
    UNIT_TEST(s, configurations_are_given_as_the_guest_may_have_them);
    UNIT_TEST(s, what_is_not_there_cannot_be_chosen);
    UNIT_TEST(s, settings_have_endpoints_of_their_own);
    UNIT_TEST(s, bytes_go_both_ways);
    UNIT_TEST(s, a_stall_is_the_guest_s_to_clear);
    UNIT_TEST(s, a_request_that_is_stalled_leaves_the_next_one_well);
    UNIT_TEST(s, other_failures_have_their_codes);
    UNIT_TEST(s, a_slow_answer_keeps_nobody_else);
    UNIT_TEST(s, a_request_after_a_reset_waits_for_it);
    UNIT_TEST(s, stopping_an_endpoint_waits_for_the_host_to_let_go);
    UNIT_TEST(s, a_pause_sends_and_loses_nothing_twice);
    UNIT_TEST(s, a_pause_keeps_what_has_come);
    UNIT_TEST(s, a_slow_order_keeps_no_command);
    UNIT_TEST(s, every_speed_has_its_port);
    UNIT_TEST(s, a_device_that_is_lost_fails_and_is_told_of_once);
    UNIT_TEST(s, a_reset_that_makes_another_device_of_it_loses_it);
    UNIT_TEST(s, it_is_given_back_when_it_is_out);
    UNIT_TEST(s, a_machine_s_reset_and_a_saved_state_leave_it_whole);
    UNIT_TEST(s, a_device_that_makes_no_sense_is_refused);
}

UNIT_TEST_MAIN("usb_host_device", add_tests)
