/* SPDX-License-Identifier: MIT */
/* A USB device of the host by libusb: its node is opened here, so that libusb opens nothing and looks at no other
 * device; transfers go through its asynchronous interface, whose descriptors the loop watches; orders are
 * usb_orders.c's. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/iov.h"
#include "base/log.h"
#include "usbhost/usb_find.h"
#include "usbhost/usb_orders.h"

/* The kernel lends all of USB together 16 MiB by default (usbcore.usbfs_memory_mb), so a transfer goes in pieces.
 * Each is a multiple of every packet size there is (3 KiB of a fast interrupt endpoint included), as is one half as
 * long, and so on. */
#define PIECE_MAX       (120u * 1024)
#define PIECE_MIN       (15u * 1024)
#define CONTROL_MS      5000u /* what Linux's drivers give devices for an answer */
#define DESCRIPTORS_MAX 65536u
#define WATCHES         8u

struct watch {
    struct libusb_host *host;
    int fd; /* of libusb; -1 */
    struct loop_fd *watched;
};

/* What is under way for a transfer. Kept for the next one. */
struct piece {
    struct libusb_host *host;
    struct usb_host_xfer *x;
    struct libusb_transfer *transfer;
    uint8_t *buffer;
    size_t room, asked;
    bool cancelled;
    LIST_ENTRY(piece) link; /* of those that are free */
};

struct libusb_host {
    struct usb_host h;
    struct usb_orders orders;
    struct loop *loop;
    struct loop_work news;
    libusb_context *context;
    libusb_device_handle *handle;
    int fd;
    struct watch watch[WATCHES];
    LIST_HEAD(, piece) spare;
    size_t piece; /* bytes, at most */
    bool lost, told, closing;
    uint8_t descriptors[DESCRIPTORS_MAX];
};

static struct libusb_host *to_libusb(struct usb_host *h)
{
    return container_of(h, struct libusb_host, h);
}

/* ---- It is gone ----------------------------------------------------------------------------- */

static void on_news(void *arg)
{
    struct libusb_host *l = arg;

    if (!l->lost || l->told)
        return;
    l->told = true;
    if (l->h.lost)
        l->h.lost(l->h.arg);
}

static void lose(struct libusb_host *l)
{
    if (l->closing)
        return;
    l->lost = true;
    loop_work_queue(l->loop, &l->news);
}

/* ---- Transfers ------------------------------------------------------------------------------ */

static void free_piece(struct piece *p)
{
    if (p->transfer)
        libusb.free_transfer(p->transfer);
    free(p->buffer);
    free(p);
}

static struct piece *new_piece(struct libusb_host *l)
{
    struct piece *p = LIST_FIRST(&l->spare);

    if (p) {
        LIST_REMOVE(p, link);
        return p;
    }
    p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->host = l;
    p->transfer = libusb.alloc_transfer(0);
    if (p->transfer)
        return p;
    free_piece(p);
    return NULL;
}

static void end(struct piece *p, enum usb_host_result result)
{
    struct libusb_host *l = p->host;
    struct usb_host_xfer *x = p->x;

    p->x = NULL;
    LIST_INSERT_HEAD(&l->spare, p, link);
    x->backend = NULL;
    if (result == USB_HOST_GONE)
        lose(l);
    x->done(x, result);
}

static bool make_room(struct piece *p, size_t len)
{
    uint8_t *more = len > p->room ? realloc(p->buffer, len) : p->buffer;

    if (len > p->room && !more)
        return false;
    p->buffer = more;
    p->room = MAX(p->room, len);
    return true;
}

static void LIBUSB_CALL on_transfer(struct libusb_transfer *t);

/* len bytes, from where it stands. */
static int submit_piece(struct piece *p, size_t len)
{
    const struct usb_host_xfer *x = p->x;
    bool control = x->type == USB_HOST_CONTROL;
    size_t setup = control ? USB_HOST_SETUP : 0;

    if (!make_room(p, MAX(setup + len, 1u)))
        return LIBUSB_ERROR_NO_MEM;
    memcpy(p->buffer, x->setup, setup);
    if (!(x->ep & 0x80))
        iov_read(x->iov, x->iov_count, x->actual, p->buffer + setup, len);
    p->asked = len;
    p->transfer->dev_handle = p->host->handle;
    p->transfer->endpoint = control ? 0 : x->ep;
    p->transfer->type = control                           ? LIBUSB_TRANSFER_TYPE_CONTROL
                        : x->type == USB_HOST_INTERRUPT ? LIBUSB_TRANSFER_TYPE_INTERRUPT
                                                          : LIBUSB_TRANSFER_TYPE_BULK;
    p->transfer->timeout = control ? CONTROL_MS : 0;
    p->transfer->buffer = p->buffer;
    p->transfer->length = (int)(setup + len);
    p->transfer->callback = on_transfer;
    p->transfer->user_data = p;
    return libusb.submit_transfer(p->transfer);
}

/* The next piece. Where the kernel has no more memory for USB, it takes smaller ones from now on. */
static int go_on(struct piece *p)
{
    struct libusb_host *l = p->host;
    size_t left = p->x->len - p->x->actual;
    int r;

    if (p->x->type == USB_HOST_CONTROL)
        return submit_piece(p, left);
    while ((r = submit_piece(p, MIN(left, l->piece))) == LIBUSB_ERROR_NO_MEM && l->piece > PIECE_MIN)
        l->piece /= 2;
    if (r == LIBUSB_ERROR_NO_MEM)
        log_once(LOG_WARN, "usb: the host's kernel has no memory left for USB transfers, which fail "
                           "(/sys/module/usbcore/parameters/usbfs_memory_mb allows it more)");
    return r;
}

static enum usb_host_result result_of(const struct piece *p, enum libusb_transfer_status status)
{
    switch (status) {
    case LIBUSB_TRANSFER_COMPLETED: return USB_HOST_OK;
    case LIBUSB_TRANSFER_STALL: return USB_HOST_STALLED;
    case LIBUSB_TRANSFER_OVERFLOW: return USB_HOST_OVERFLOW;
    case LIBUSB_TRANSFER_NO_DEVICE: return USB_HOST_GONE;
    case LIBUSB_TRANSFER_CANCELLED: return p->cancelled ? USB_HOST_CANCELLED : USB_HOST_FAILED;
    default: return USB_HOST_FAILED;
    }
}

static enum usb_host_result refusal(int r)
{
    return r == LIBUSB_ERROR_NO_DEVICE ? USB_HOST_GONE : USB_HOST_FAILED;
}

static void LIBUSB_CALL on_transfer(struct libusb_transfer *t)
{
    struct piece *p = t->user_data;
    struct usb_host_xfer *x = p->x;
    bool control = x->type == USB_HOST_CONTROL;
    size_t moved = MIN((size_t)MAX(t->actual_length, 0), p->asked);
    enum usb_host_result result = result_of(p, t->status);
    int r;

    if (x->ep & 0x80)
        iov_write(x->iov, x->iov_count, x->actual, p->buffer + (control ? USB_HOST_SETUP : 0), moved);
    x->actual += moved;
    if (result != USB_HOST_OK || control || moved < p->asked || x->actual == x->len) {
        end(p, result);
        return;
    }
    r = p->cancelled ? 0 : go_on(p);
    if (p->cancelled || r < 0)
        end(p, p->cancelled ? USB_HOST_CANCELLED : refusal(r));
}

static void submit(struct usb_host *h, struct usb_host_xfer *x)
{
    struct piece *p = new_piece(to_libusb(h));
    int r;

    x->actual = 0;
    x->backend = p;
    if (!p) {
        x->done(x, USB_HOST_FAILED);
        return;
    }
    p->x = x;
    p->cancelled = false;
    r = go_on(p);
    if (r < 0)
        end(p, refusal(r));
}

static void cancel(struct usb_host *h, struct usb_host_xfer *x)
{
    struct piece *p = x->backend;

    if (!p || p->cancelled)
        return;
    p->cancelled = true;
    (void)libusb.cancel_transfer(p->transfer); /* fails where it is at its end */
}

static void order(struct usb_host *h, struct usb_host_order *o)
{
    usb_orders_give(&to_libusb(h)->orders, o);
}

/* ---- libusb's descriptors ------------------------------------------------------------------- */

static void on_ready(void *arg, unsigned events)
{
    const struct watch *w = arg;
    struct timeval now = {0, 0};

    (void)libusb.handle_events_timeout_completed(w->host->context, &now, NULL);
}

static void unwatch(struct watch *w)
{
    loop_fd_remove(w->watched);
    w->watched = NULL;
}

/* libusb lets go of the device's node when that is gone, and it hears of it by this. */
static void LIBUSB_CALL on_removed(int fd, void *arg)
{
    struct libusb_host *l = arg;

    for (unsigned i = 0; i < WATCHES; i++) {
        if (l->watch[i].watched && l->watch[i].fd == fd)
            unwatch(&l->watch[i]);
    }
    if (fd == l->fd)
        lose(l);
}

static int watch(struct libusb_host *l, const struct libusb_pollfd *p, unsigned i)
{
    unsigned events = (p->events & POLLIN ? LOOP_READ : 0) | (p->events & POLLOUT ? LOOP_WRITE : 0);
    struct watch *w = &l->watch[i];

    *w = (struct watch){.host = l, .fd = p->fd};
    return loop_fd_add(l->loop, p->fd, events, on_ready, w, &w->watched);
}

static int watch_all(struct libusb_host *l, struct vz_error *err)
{
    const struct libusb_pollfd **all = libusb.get_pollfds(l->context);
    unsigned i = 0;
    int r = all ? 0 : -ENOMEM;

    for (; !r && all[i]; i++)
        r = i < WATCHES ? watch(l, all[i], i) : -ENOSPC;
    if (all)
        libusb.free_pollfds(all);
    libusb.set_pollfd_notifiers(l->context, NULL, on_removed, l);
    return r < 0 ? error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot watch a USB device: %s", strerror(-r)) : 0;
}

/* ---- Closing -------------------------------------------------------------------------------- */

static void free_host(struct libusb_host *l)
{
    struct piece *p;

    l->closing = true;
    for (unsigned i = 0; i < WATCHES; i++)
        unwatch(&l->watch[i]);
    while ((p = LIST_FIRST(&l->spare))) {
        LIST_REMOVE(p, link);
        free_piece(p);
    }
    if (l->handle)
        libusb.close(l->handle);
    if (l->context)
        libusb.exit(l->context);
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}

static void close_host(struct usb_host *h)
{
    struct libusb_host *l = to_libusb(h);

    usb_orders_stop(&l->orders);
    if ((l->orders.claim.claimed || l->orders.claim.detached) && !l->lost)
        (void)usb_claim_give_back(&l->orders.claim);
    loop_work_cancel(l->loop, &l->news);
    free_host(l);
}

static const struct usb_host_end_ops ops = {.name = "libusb", .submit = submit, .cancel = cancel, .order = order,
                                        .close = close_host};

/* ---- Opening -------------------------------------------------------------------------------- */

static const char *advice(int e)
{
    switch (e) {
    case EACCES:
    case EPERM: return ": its user may not use it (a rule of udev's, or 'setfacl -m u:USER:rw' on it, allows that)";
    case ENOENT:
    case ENXIO:
    case ENODEV: return ": a container is given it by --device, or all by --device /dev/bus/usb";
    default: return "";
    }
}

static int open_node(const char *device, int *ret, struct vz_error *err)
{
    char node[USB_NODE_MAX];
    struct usb_found found;
    struct usb_name name;
    int r = usb_name_parse(device, &name, err);

    if (!r)
        r = usb_find(NULL, &name, &found, err);
    if (r < 0)
        return r;
    usb_found_node(&found, node);
    *ret = open(node, O_RDWR | O_CLOEXEC);
    r = errno;
    return *ret < 0 ? error_set(err, r, VZ_ERROR_IO, "%s: %s%s", node, strerror(r), advice(r)) : 0;
}

static int failed(const char *what, int r, struct vz_error *err)
{
    return error_set(err, EIO, VZ_ERROR_DEVICE_INITIALIZATION_FAILURE, "libusb: %s: %s", what, libusb.error_name(r));
}

/* It is told to look for no devices: else it would start a thread that waits for them. The option is the process's. */
static int wrap(struct libusb_host *l, struct vz_error *err)
{
    int configuration = 0, r = libusb.set_option(NULL, LIBUSB_OPTION_NO_DEVICE_DISCOVERY);

    if (!r)
        r = libusb.init(&l->context);
    if (r < 0)
        return failed("cannot begin", r, err);
    r = libusb.wrap_sys_device(l->context, l->fd, &l->handle);
    if (r < 0)
        return failed("cannot use the device", r, err);
    r = libusb.get_configuration(l->handle, &configuration);
    if (r < 0)
        return failed("the device does not answer", r, err);
    l->h.configuration = (uint8_t)configuration;
    return 0;
}

static unsigned speed_of(int speed)
{
    static const unsigned speeds[] = {[LIBUSB_SPEED_LOW] = 2, [LIBUSB_SPEED_FULL] = 1, [LIBUSB_SPEED_HIGH] = 3,
                                      [LIBUSB_SPEED_SUPER] = 4, [LIBUSB_SPEED_SUPER_PLUS] = 4};

    return speed > 0 && speed < (int)ARRAY_SIZE(speeds) ? speeds[speed] : speed > 0 ? 4 : 1;
}

/* What the kernel has read of them is in the node. */
static int describe(struct libusb_host *l, struct vz_error *err)
{
    ssize_t n = 0;
    size_t len = 0;

    while (len < sizeof(l->descriptors) &&
           (n = pread(l->fd, l->descriptors + len, sizeof(l->descriptors) - len, (off_t)len)) > 0)
        len += (size_t)n;
    if (n < 0)
        return error_set(err, errno, VZ_ERROR_IO, "a USB device's descriptors: %s", strerror(errno));
    l->h.descriptors = l->descriptors;
    l->h.descriptors_len = len;
    l->h.speed = speed_of(libusb.get_device_speed(libusb.get_device(l->handle)));
    l->orders.claim = (struct usb_claim){.handle = l->handle, .descriptors = l->descriptors, .descriptors_len = len,
                                         .first = l->h.configuration, .active = l->h.configuration};
    return 0;
}

static int start(struct libusb_host *l, struct vz_error *err)
{
    int r = usb_claim_take(&l->orders.claim, err);

    if (r < 0)
        return r;
    r = usb_orders_start(&l->orders, l->loop);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "a USB device's thread: %s", strerror(-r));
    return watch_all(l, err);
}

int usb_host_of_fd(int fd, struct loop *loop, struct usb_host **ret, struct vz_error *err)
{
    struct libusb_host *l = calloc(1, sizeof(*l));
    int r;

    if (!l) {
        close(fd);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    l->h.ops = &ops;
    l->loop = loop;
    l->news = (struct loop_work){.fn = on_news, .arg = l};
    l->piece = PIECE_MAX;
    l->fd = fd;
    r = wrap(l, err);
    if (!r)
        r = describe(l, err);
    if (!r)
        r = start(l, err);
    if (!r)
        *ret = &l->h;
    else
        close_host(&l->h);
    return r;
}

int usb_host_open(const struct usb_host_options *o, struct usb_host **ret, struct vz_error *err)
{
    int fd = -1, r = usb_library_load(err);

    if (!r)
        r = open_node(o->device, &fd, err);
    return r ? r : usb_host_of_fd(fd, o->loop, ret, err);
}

void usb_host_prepare(void)
{
    (void)!usb_library_load(NULL);
}
