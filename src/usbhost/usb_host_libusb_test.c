/* SPDX-License-Identifier: MIT */
/* The host's end by libusb, in whose place is one that the test drives: what it is asked, in which order, and what
 * becomes of its answers. */
#include "usbhost/usb_host.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/iov.h"
#include "fake_loop.h"
#include "unit.h"
#include "usbhost/usb_library.h"

#define LOG_MAX 4096u

/* ---- A libusb ------------------------------------------------------------------------------- */

static struct {
    char log[LOG_MAX]; /* "claim 0;" */
    pthread_mutex_t lock;
    unsigned drivers; /* bit per interface that a driver of the host's has */
    int claim, reset, submit, configuration;
    struct libusb_transfer *waiting[8];
    unsigned count, room; /* bytes of transfers that the kernel takes; 0: any */
    libusb_pollfd_removed_cb removed;
    void *removed_arg;
    int event;
} fake;

static void note(const char *what, int n)
{
    char text[64];

    pthread_mutex_lock(&fake.lock);
    snprintf(text, sizeof(text), "%s %d;", what, n);
    ck_assert_uint_lt(strlen(fake.log) + strlen(text), LOG_MAX);
    strcat(fake.log, text);
    pthread_mutex_unlock(&fake.lock);
}

static int fake_init(libusb_context **ret)
{
    *ret = (libusb_context *)&fake;
    return 0;
}

static int fake_set_option(libusb_context *c, enum libusb_option option, ...)
{
    ck_assert_int_eq(option, LIBUSB_OPTION_NO_DEVICE_DISCOVERY);
    return 0;
}

static int fake_wrap(libusb_context *c, intptr_t fd, libusb_device_handle **ret)
{
    *ret = (libusb_device_handle *)&fake;
    return 0;
}

/* It says of its descriptors that they are gone, whoever asked for it. */
static void fake_close(libusb_device_handle *h)
{
    note("close", 0);
    if (fake.removed)
        fake.removed(fake.event, fake.removed_arg);
}

static void fake_exit(libusb_context *c) { note("exit", 0); }
static libusb_device *fake_device(libusb_device_handle *h) { return (libusb_device *)&fake; }
static int fake_speed(libusb_device *d) { return LIBUSB_SPEED_SUPER_PLUS; }
static const char *fake_error(int e) { return "ERROR"; }

static int fake_get_configuration(libusb_device_handle *h, int *ret)
{
    *ret = fake.configuration;
    return 0;
}

static int fake_active(libusb_device_handle *h, int i)
{
    return fake.drivers >> i & 1;
}

static int fake_detach(libusb_device_handle *h, int i)
{
    note("detach", i);
    fake.drivers &= ~(1u << i);
    return 0;
}

static int fake_attach(libusb_device_handle *h, int i)
{
    note("attach", i);
    fake.drivers |= 1u << i;
    return 0;
}

static int fake_claim(libusb_device_handle *h, int i)
{
    note("claim", i);
    return fake.claim;
}

static int fake_release(libusb_device_handle *h, int i)
{
    note("release", i);
    return 0;
}

static int fake_reset(libusb_device_handle *h)
{
    note("reset", 0);
    return fake.reset;
}

static int fake_set_configuration(libusb_device_handle *h, int c)
{
    note("configuration", c);
    return 0;
}

static int fake_set_alt(libusb_device_handle *h, int i, int alt)
{
    note("interface", 10 * i + alt);
    return 0;
}

static int fake_clear_halt(libusb_device_handle *h, unsigned char ep)
{
    note("clear", ep);
    return 0;
}

static struct libusb_transfer *fake_alloc(int packets)
{
    return calloc(1, sizeof(struct libusb_transfer));
}

static void fake_free(struct libusb_transfer *t)
{
    free(t);
}

static int fake_submit(struct libusb_transfer *t)
{
    if (fake.submit)
        return fake.submit;
    if (fake.room && (unsigned)t->length > fake.room)
        return LIBUSB_ERROR_NO_MEM;
    ck_assert_uint_lt(fake.count, 8);
    fake.waiting[fake.count++] = t;
    return 0;
}

static int fake_cancel(struct libusb_transfer *t)
{
    note("cancel", t->endpoint);
    return 0;
}

static const struct libusb_pollfd **fake_pollfds(libusb_context *c)
{
    static struct libusb_pollfd one;
    static const struct libusb_pollfd *all[] = {&one, NULL};

    one = (struct libusb_pollfd){.fd = fake.event, .events = POLLIN};
    return all;
}

static void fake_free_pollfds(const struct libusb_pollfd **all) {}

static void fake_notifiers(libusb_context *c, libusb_pollfd_added_cb added, libusb_pollfd_removed_cb removed, void *arg)
{
    fake.removed = removed;
    fake.removed_arg = arg;
}

static int fake_events(libusb_context *c, struct timeval *t, int *completed)
{
    return 0;
}

/* It ends: moved bytes, which for IN are all b. */
static void end(unsigned i, enum libusb_transfer_status status, int moved, uint8_t b)
{
    struct libusb_transfer *t = fake.waiting[i];
    bool control = t->type == LIBUSB_TRANSFER_TYPE_CONTROL;

    fake.waiting[i] = fake.waiting[--fake.count];
    if ((control ? t->buffer[0] : t->endpoint) & 0x80)
        memset(t->buffer + (control ? 8 : 0), b, (size_t)moved);
    t->status = status;
    t->actual_length = moved;
    t->callback(t);
}

/* ---- Its device ------------------------------------------------------------------------------ */

static const uint8_t descriptors[] = {
    18, 1, 0, 2, 0xff, 0, 0, 64, 0x34, 0x12, 0x78, 0x56, 0, 1, 1, 2, 3, 2,
    9, 2, 36, 0, 2, 1, 0, 0x80, 50, 9, 4, 0, 0, 0, 0xff, 0, 0, 0, 9, 4, 3, 0, 0, 0xff, 0, 0, 0, 9, 4, 3, 1, 0, 0xff, 0, 0, 0,
    9, 2, 18, 0, 1, 2, 0, 0x80, 50, 9, 4, 1, 0, 0, 0xff, 0, 0, 0};

static struct loop *loop;

static void install(void)
{
    memset(&fake, 0, sizeof(fake));
    pthread_mutex_init(&fake.lock, NULL);
    fake.configuration = 1;
    fake.event = eventfd(0, EFD_CLOEXEC);
    libusb = (struct usb_library){
        .alloc_transfer = fake_alloc, .attach_kernel_driver = fake_attach, .cancel_transfer = fake_cancel,
        .claim_interface = fake_claim, .clear_halt = fake_clear_halt, .close = fake_close, .detach_kernel_driver = fake_detach,
        .error_name = fake_error, .exit = fake_exit, .free_pollfds = fake_free_pollfds, .free_transfer = fake_free,
        .get_configuration = fake_get_configuration, .get_device = fake_device, .get_device_speed = fake_speed,
        .get_pollfds = fake_pollfds, .handle_events_timeout_completed = fake_events, .init = fake_init,
        .kernel_driver_active = fake_active, .release_interface = fake_release, .reset_device = fake_reset,
        .set_configuration = fake_set_configuration, .set_interface_alt_setting = fake_set_alt, .set_option = fake_set_option,
        .set_pollfd_notifiers = fake_notifiers, .submit_transfer = fake_submit, .wrap_sys_device = fake_wrap};
    ck_assert_int_eq(loop_create(&loop), 0);
}

/* A node is a file that can be read. */
static int node(void)
{
    char path[] = "/tmp/vz-usb-node.XXXXXX";
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    unlink(path);
    ck_assert_int_eq(write(fd, descriptors, sizeof(descriptors)), sizeof(descriptors));
    return fd;
}

static struct usb_host *open_host(void)
{
    struct vz_error err = {0};
    struct usb_host *h;

    ck_assert_msg(usb_host_of_fd(node(), loop, &h, &err) == 0, "%s", err.text);
    return h;
}

static void close_host(struct usb_host *h)
{
    h->ops->close(h);
    close(fake.event);
    fake_loop_turn(loop);
    loop_destroy(loop);
}

static unsigned ended;
static enum usb_host_result result;

static void on_order(struct usb_host_order *o, enum usb_host_result r)
{
    ended++;
    result = r;
}

/* By another thread. */
static enum usb_host_result order(struct usb_host *h, enum usb_host_order_kind kind, uint8_t index, uint8_t value)
{
    struct usb_host_order o = {.kind = kind, .index = index, .value = value, .done = on_order};

    ended = 0;
    h->ops->order(h, &o);
    for (unsigned i = 0; !ended && i < 20000; i++) {
        usleep(500);
        fake_loop_turn(loop);
    }
    ck_assert_uint_eq(ended, 1);
    return result;
}

static void on_xfer(struct usb_host_xfer *x, enum usb_host_result r)
{
    ended++;
    result = r;
}

static void logged(const char *text)
{
    ck_assert_str_eq(fake.log, text);
    fake.log[0] = '\0';
}

/* ---- Having it ------------------------------------------------------------------------------- */

START_TEST(it_is_taken_from_the_host_and_given_back)
{
    struct usb_host *h;

    install();
    fake.drivers = 1 << 3 | 1 << 1;
    h = open_host();
    logged("claim 0;detach 3;claim 3;");
    ck_assert_uint_eq(h->speed, 4);
    ck_assert_uint_eq(h->configuration, 1);
    ck_assert_uint_eq(h->descriptors_len, sizeof(descriptors));
    ck_assert_int_eq(order(h, USB_HOST_RESET, 0, 0), USB_HOST_OK);
    logged("reset 0;");
    ck_assert_int_eq(order(h, USB_HOST_GIVE_BACK, 0, 0), USB_HOST_OK);
    logged("release 0;release 3;reset 0;attach 3;");
    close_host(h);
    logged("close 0;exit 0;");
}
END_TEST

START_TEST(who_closes_it_gives_it_back)
{
    struct usb_host *h;

    install();
    fake.drivers = 1;
    h = open_host();
    ck_assert_int_eq(order(h, USB_HOST_SET_CONFIGURATION, 0, 2), USB_HOST_OK);
    fake.log[0] = '\0';
    close_host(h);
    logged("release 1;configuration 1;attach 0;close 0;exit 0;");
}
END_TEST

START_TEST(what_another_program_has_is_refused)
{
    struct vz_error err = {0};
    struct usb_host *h;

    install();
    fake.drivers = 1;
    fake.claim = LIBUSB_ERROR_BUSY;
    ck_assert_int_lt(usb_host_of_fd(node(), loop, &h, &err), 0);
    ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_INITIALIZATION_FAILURE);
    ck_assert_ptr_nonnull(strstr(err.text, "another program"));
    logged("detach 0;claim 0;attach 0;close 0;exit 0;"); /* its driver is there again, and nobody was disturbed */
    loop_destroy(loop);
}
END_TEST

/* ---- Orders --------------------------------------------------------------------------------- */

START_TEST(a_configuration_that_a_reset_has_set_is_not_set_again)
{
    struct usb_host *h;

    install();
    h = open_host();
    order(h, USB_HOST_SET_CONFIGURATION, 0, 1);
    order(h, USB_HOST_SET_INTERFACE, 3, 1);
    fake.log[0] = '\0';
    order(h, USB_HOST_RESET, 0, 0);
    order(h, USB_HOST_SET_CONFIGURATION, 0, 1);
    logged("reset 0;interface 30;");
    order(h, USB_HOST_SET_CONFIGURATION, 0, 1); /* the guest asks twice, so it means it */
    logged("release 0;release 3;configuration 1;claim 0;claim 3;");
    order(h, USB_HOST_SET_CONFIGURATION, 0, 0);
    logged("release 0;release 3;configuration -1;");
    close_host(h);
}
END_TEST

START_TEST(drivers_that_come_with_a_configuration_are_sent_away)
{
    struct usb_host *h;

    install();
    h = open_host();
    fake.log[0] = '\0';
    fake.drivers = 1 << 1; /* as the host does then */
    order(h, USB_HOST_SET_CONFIGURATION, 0, 2);
    logged("release 0;release 3;configuration 2;detach 1;claim 1;");
    close_host(h);
}
END_TEST

START_TEST(settings_and_halts_are_the_host_s_too)
{
    struct usb_host *h;

    install();
    h = open_host();
    fake.log[0] = '\0';
    ck_assert_int_eq(order(h, USB_HOST_SET_INTERFACE, 3, 1), USB_HOST_OK);
    ck_assert_int_eq(order(h, USB_HOST_SET_INTERFACE, 7, 1), USB_HOST_STALLED);
    ck_assert_int_eq(order(h, USB_HOST_CLEAR_HALT, 0x81, 0), USB_HOST_OK);
    logged("interface 31;clear 129;");
    close_host(h);
}
END_TEST

START_TEST(a_reset_that_loses_the_device_says_so)
{
    struct usb_host *h;

    install();
    h = open_host();
    fake.reset = LIBUSB_ERROR_NOT_FOUND; /* it has other descriptors now */
    ck_assert_int_eq(order(h, USB_HOST_RESET, 0, 0), USB_HOST_GONE);
    fake.reset = LIBUSB_ERROR_NO_DEVICE;
    ck_assert_int_eq(order(h, USB_HOST_RESET, 0, 0), USB_HOST_GONE);
    fake.reset = LIBUSB_ERROR_IO;
    ck_assert_int_eq(order(h, USB_HOST_RESET, 0, 0), USB_HOST_FAILED);
    close_host(h);
}
END_TEST

/* ---- Transfers ------------------------------------------------------------------------------ */

static uint8_t bytes[1 << 20];
static const struct iovec iov[] = {{bytes, 1000}, {bytes + 1000, sizeof(bytes) - 1000}};

static struct usb_host_xfer bulk(uint8_t ep, size_t len)
{
    ended = 0;
    return (struct usb_host_xfer){.type = USB_HOST_BULK, .ep = ep, .iov = iov, .iov_count = 2, .len = len, .done = on_xfer};
}

START_TEST(long_transfers_go_in_pieces)
{
    struct usb_host_xfer x = bulk(0x81, sizeof(bytes));
    struct usb_host *h;
    size_t moved = 0;

    install();
    h = open_host();
    h->ops->submit(h, &x);
    while (!ended && moved < 500000) {
        ck_assert_uint_eq(fake.count, 1);
        ck_assert_int_le(fake.waiting[0]->length, 120 * 1024);
        ck_assert_int_eq(fake.waiting[0]->length % 3072, 0);
        moved += (size_t)fake.waiting[0]->length;
        end(0, LIBUSB_TRANSFER_COMPLETED, fake.waiting[0]->length, 7);
    }
    end(0, LIBUSB_TRANSFER_COMPLETED, 5, 9); /* a short packet ends it */
    ck_assert_uint_eq(ended, 1);
    ck_assert_int_eq(result, USB_HOST_OK);
    ck_assert_uint_eq(x.actual, moved + 5);
    ck_assert_uint_eq(bytes[moved - 1], 7);
    ck_assert_uint_eq(bytes[moved + 4], 9);
    close_host(h);
}
END_TEST

START_TEST(where_the_kernel_has_little_memory_pieces_are_smaller)
{
    struct usb_host_xfer x = bulk(0x02, 100000);
    struct usb_host *h;

    install();
    h = open_host();
    fake.room = 20000;
    h->ops->submit(h, &x);
    while (!ended)
        end(0, LIBUSB_TRANSFER_COMPLETED, fake.waiting[0]->length, 0);
    ck_assert_int_eq(result, USB_HOST_OK);
    ck_assert_uint_eq(x.actual, 100000);
    fake.room = 100;
    x = bulk(0x02, 100000);
    h->ops->submit(h, &x);
    ck_assert_uint_eq(ended, 1);
    ck_assert_int_eq(result, USB_HOST_FAILED);
    close_host(h);
}
END_TEST

START_TEST(requests_have_their_setup_and_a_limit_of_time)
{
    struct usb_host_xfer x = bulk(0x80, 8);
    struct usb_host *h;

    install();
    h = open_host();
    x.type = USB_HOST_CONTROL;
    memcpy(x.setup, "\xc0\1\2\3\4\5\x08\0", 8);
    h->ops->submit(h, &x);
    ck_assert_int_eq(fake.waiting[0]->length, 16);
    ck_assert_uint_eq(fake.waiting[0]->endpoint, 0);
    ck_assert_uint_gt(fake.waiting[0]->timeout, 0);
    ck_assert_mem_eq(fake.waiting[0]->buffer, x.setup, 8);
    end(0, LIBUSB_TRANSFER_COMPLETED, 4, 0x42);
    ck_assert_int_eq(result, USB_HOST_OK);
    ck_assert_uint_eq(x.actual, 4);
    ck_assert_uint_eq(bytes[3], 0x42);
    x = bulk(0, 0);
    x.type = USB_HOST_CONTROL;
    h->ops->submit(h, &x);
    ck_assert_int_eq(fake.waiting[0]->length, 8);
    end(0, LIBUSB_TRANSFER_TIMED_OUT, 0, 0);
    ck_assert_int_eq(result, USB_HOST_FAILED);
    close_host(h);
}
END_TEST

START_TEST(ends_are_told_apart)
{
    static const struct {
        enum libusb_transfer_status status;
        enum usb_host_result result;
    } ends[] = {{LIBUSB_TRANSFER_STALL, USB_HOST_STALLED}, {LIBUSB_TRANSFER_OVERFLOW, USB_HOST_OVERFLOW},
                {LIBUSB_TRANSFER_ERROR, USB_HOST_FAILED}, {LIBUSB_TRANSFER_CANCELLED, USB_HOST_FAILED}};
    struct usb_host_xfer x;
    struct usb_host *h;

    install();
    h = open_host();
    for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
        x = bulk(0x81, 512);
        h->ops->submit(h, &x);
        end(0, ends[i].status, 100, 0);
        ck_assert_int_eq(result, ends[i].result);
        ck_assert_uint_eq(x.actual, 100);
    }
    close_host(h);
}
END_TEST

START_TEST(what_is_cancelled_tells_how_far_it_came)
{
    struct usb_host_xfer x = bulk(0x81, 300000);
    struct usb_host *h;

    install();
    h = open_host();
    h->ops->submit(h, &x);
    end(0, LIBUSB_TRANSFER_COMPLETED, fake.waiting[0]->length, 0);
    fake.log[0] = '\0';
    h->ops->cancel(h, &x);
    h->ops->cancel(h, &x);
    logged("cancel 129;");
    end(0, LIBUSB_TRANSFER_CANCELLED, 512, 0);
    ck_assert_int_eq(result, USB_HOST_CANCELLED);
    ck_assert_uint_eq(x.actual, 120 * 1024 + 512);
    x = bulk(0x81, 512); /* it was faster */
    h->ops->submit(h, &x);
    h->ops->cancel(h, &x);
    end(0, LIBUSB_TRANSFER_COMPLETED, 512, 0);
    ck_assert_int_eq(result, USB_HOST_OK);
    close_host(h);
}
END_TEST

/* ---- Loss ----------------------------------------------------------------------------------- */

static void on_lost(void *arg)
{
    ++*(unsigned *)arg;
}

START_TEST(it_is_told_of_once_that_it_is_gone)
{
    struct usb_host_xfer x = bulk(0x81, 512);
    struct usb_host *h;
    unsigned lost = 0;

    install();
    h = open_host();
    h->lost = on_lost;
    h->arg = &lost;
    h->ops->submit(h, &x);
    end(0, LIBUSB_TRANSFER_NO_DEVICE, 0, 0);
    ck_assert_int_eq(result, USB_HOST_GONE);
    ck_assert_uint_eq(lost, 0);
    fake_loop_turn(loop);
    ck_assert_uint_eq(lost, 1);
    fake.submit = LIBUSB_ERROR_NO_DEVICE;
    x = bulk(0x81, 512);
    h->ops->submit(h, &x);
    ck_assert_int_eq(result, USB_HOST_GONE);
    fake_loop_turn(loop);
    ck_assert_uint_eq(lost, 1);
    fake.log[0] = '\0';
    close_host(h);
    logged("close 0;exit 0;"); /* there is nothing to give back */
}
END_TEST

START_TEST(who_does_nothing_with_it_hears_of_it_too)
{
    struct usb_host *h;
    unsigned lost = 0;
    int fd = node();
    struct vz_error err;

    install();
    ck_assert_int_eq(usb_host_of_fd(fd, loop, &h, &err), 0);
    h->lost = on_lost;
    h->arg = &lost;
    fake.removed(fd, fake.removed_arg);
    fake_loop_turn(loop);
    ck_assert_uint_eq(lost, 1);
    close_host(h);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, it_is_taken_from_the_host_and_given_back);
    UNIT_TEST(s, who_closes_it_gives_it_back);
    UNIT_TEST(s, what_another_program_has_is_refused);
    UNIT_TEST(s, a_configuration_that_a_reset_has_set_is_not_set_again);
    UNIT_TEST(s, drivers_that_come_with_a_configuration_are_sent_away);
    UNIT_TEST(s, settings_and_halts_are_the_host_s_too);
    UNIT_TEST(s, a_reset_that_loses_the_device_says_so);
    UNIT_TEST(s, long_transfers_go_in_pieces);
    UNIT_TEST(s, where_the_kernel_has_little_memory_pieces_are_smaller);
    UNIT_TEST(s, requests_have_their_setup_and_a_limit_of_time);
    UNIT_TEST(s, ends_are_told_apart);
    UNIT_TEST(s, what_is_cancelled_tells_how_far_it_came);
    UNIT_TEST(s, it_is_told_of_once_that_it_is_gone);
    UNIT_TEST(s, who_does_nothing_with_it_hears_of_it_too);
}

UNIT_TEST_MAIN("usb_host_libusb", add_tests)
