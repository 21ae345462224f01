/* SPDX-License-Identifier: MIT */
/* One connection: see nbd_link.h. When it is lost the commands in flight have no answer, and stay in the list. */
#include "block/nbd_link.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/error.h"
#include "block/nbd_dial.h"
#include "block/nbd_wire.h"
#include "loop/loop.h"

#define AT_ONCE 16u /* commands that one call sends */

void nbd_link_init(struct nbd_link *l, struct loop *loop, struct nbd_commands *answered,
                   void (*turned)(void *arg), void *arg)
{
    *l = (struct nbd_link){.socket = -1, .loop = loop, .answered = answered, .turned = turned, .arg = arg};
    TAILQ_INIT(&l->inflight);
}

static void lose(struct nbd_link *l, const char *why)
{
    if (l->state == NBD_LINK_LOST)
        return;
    l->state = NBD_LINK_LOST;
    error_set(&l->err, 0, VZ_ERROR_NBD_DISCONNECTED, "%s", why);
}

/* ---- Watching ------------------------------------------------------------------------------- */

int nbd_link_fd(const struct nbd_link *l, short *ret_events)
{
    *ret_events = POLLIN;
    if (l->state == NBD_LINK_CONNECTING)
        return nbd_dial_fd(l->dial);
    if (l->state != NBD_LINK_READY)
        return -1;
    *ret_events = (short)(POLLIN | (l->unsent ? POLLOUT : 0));
    return l->socket;
}

static void on_event(void *arg, unsigned events)
{
    struct nbd_link *l = arg;

    nbd_link_turn(l, (short)((events & LOOP_READ ? POLLIN : 0) | (events & LOOP_WRITE ? POLLOUT : 0)));
    l->turned(l->arg);
}

static void unwatch(struct nbd_link *l)
{
    if (l->watch)
        loop_fd_remove(l->watch);
    l->watch = NULL;
}

/* What is it waiting for now? */
static void look(struct nbd_link *l)
{
    unsigned events;
    short wanted;
    int fd = nbd_link_fd(l, &wanted);

    if (fd < 0) {
        unwatch(l);
        return;
    }
    events = LOOP_READ | (wanted & POLLOUT ? LOOP_WRITE : 0u);
    if (l->watch)
        loop_fd_set(l->watch, events);
    else if (loop_fd_add(l->loop, fd, events, on_event, l, &l->watch) < 0)
        lose(l, "out of memory, or of descriptors");
}

/* ---- Connecting ----------------------------------------------------------------------------- */

void nbd_link_connect(struct nbd_link *l, struct child *by, const struct nbd_uri *u, bool maps, struct nbd_dial *dial)
{
    struct vz_error err;

    l->state = NBD_LINK_CONNECTING;
    l->since_ns = clock_mono_ns();
    l->dial = dial;
    if (!dial && nbd_dial_start(by, u, maps, &l->dial, &err) < 0)
        lose(l, err.text);
    look(l);
}

/* There is one, or not. */
static void take_connection(struct nbd_link *l)
{
    struct nbd_dial *dial = l->dial;

    unwatch(l);
    l->dial = NULL;
    l->socket = nbd_dial_take(dial, &l->export, &l->err);
    l->state = l->socket >= 0 ? NBD_LINK_READY : NBD_LINK_LOST;
    if (l->socket < 0)
        return;
    l->was_ready = true;
    l->reader = nbd_reader_new();
    if (!l->reader)
        lose(l, "out of memory");
}

void nbd_link_give_up(struct nbd_link *l)
{
    lose(l, "the server does not answer");
    unwatch(l);
    nbd_dial_abandon(l->dial);
    l->dial = NULL;
}

/* A word of good-bye, if the socket takes it, between two requests. */
static void say_good_bye(struct nbd_link *l)
{
    uint8_t head[NBD_REQUEST_LEN];

    if (l->state != NBD_LINK_READY || l->sent)
        return;
    nbd_put_request(head, &(struct nbd_request){.type = NBD_DISCONNECT});
    (void)!send(l->socket, head, sizeof(head), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Who made the connection may have wished that it waits for the server to take what was sent. */
static void close_now(int fd)
{
    const struct linger none = {.l_onoff = 0};

    if (fd < 0)
        return;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(fd);
}

void nbd_link_close(struct nbd_link *l, struct nbd_commands *to)
{
    say_good_bye(l);
    unwatch(l);
    nbd_dial_abandon(l->dial);
    close_now(l->socket);
    nbd_reader_free(l->reader);
    l->dial = NULL;
    l->socket = -1;
    l->reader = NULL;
    l->state = NBD_LINK_CLOSED;
    l->count = 0;
    l->unsent = NULL;
    l->sent = 0;
    TAILQ_CONCAT(&l->inflight, to, link);
    TAILQ_CONCAT(to, &l->inflight, link);
}

/* ---- Turning -------------------------------------------------------------------------------- */

void nbd_link_turn(struct nbd_link *l, short events)
{
    const char *why;

    if (!events || (l->state != NBD_LINK_CONNECTING && l->state != NBD_LINK_READY))
        return;
    if (l->state == NBD_LINK_CONNECTING) {
        take_connection(l);
    } else {
        if (events & POLLOUT)
            nbd_link_push(l);
        if (events & ~POLLOUT && l->state == NBD_LINK_READY && nbd_reader_turn(l, &why) < 0)
            lose(l, why);
    }
    look(l);
}

/* ---- Commands ------------------------------------------------------------------------------- */

static struct nbd_request request_of(const struct nbd_command *c)
{
    static const uint16_t type[] = {[BLK_READ] = NBD_READ,
                                    [BLK_WRITE] = NBD_WRITE,
                                    [BLK_FLUSH] = NBD_FLUSH,
                                    [BLK_DISCARD] = NBD_TRIM,
                                    [BLK_ZERO] = NBD_WRITE_ZEROES};
    struct nbd_request r = {.type = type[c->op], .cookie = c->cookie, .offset = c->offset, .len = c->len};

    if (c->status) {
        r.type = NBD_BLOCK_STATUS;
        r.flags = NBD_ONE_EXTENT;
    } else if (c->op == BLK_WRITE || c->op == BLK_ZERO) {
        r.flags = (uint16_t)((c->fua ? NBD_FUA : 0) | (c->op == BLK_ZERO && !c->may_unmap ? NBD_NO_HOLE : 0));
    } else if (c->op == BLK_FLUSH) {
        r.offset = r.len = 0;
    }
    return r;
}

static size_t data_len(const struct nbd_command *c)
{
    return c->op == BLK_WRITE && !c->status ? c->len : 0;
}

/* From c on, and of it what has not been sent: *ret_count pieces, which head has room for. */
static void gather(const struct nbd_command *c, size_t sent, uint8_t head[AT_ONCE][NBD_REQUEST_LEN],
                   struct iovec iov[2 * AT_ONCE], unsigned *ret_count)
{
    unsigned n = 0;

    for (unsigned i = 0; c && i < AT_ONCE; i++, c = TAILQ_NEXT(c, link), sent = 0) {
        const struct nbd_request r = request_of(c);
        size_t of_head = MIN(sent, (size_t)NBD_REQUEST_LEN), of_data = sent - of_head;

        nbd_put_request(head[i], &r);
        if (of_head < NBD_REQUEST_LEN)
            iov[n++] = (struct iovec){head[i] + of_head, NBD_REQUEST_LEN - of_head};
        if (of_data < data_len(c))
            iov[n++] = (struct iovec){c->data + of_data, data_len(c) - of_data};
    }
    *ret_count = n;
}

static void note_sent(struct nbd_link *l, size_t n)
{
    n += l->sent;
    while (l->unsent && n >= NBD_REQUEST_LEN + data_len(l->unsent)) {
        n -= NBD_REQUEST_LEN + data_len(l->unsent);
        l->unsent = TAILQ_NEXT(l->unsent, link);
    }
    l->sent = n;
}

void nbd_link_push(struct nbd_link *l)
{
    uint8_t head[AT_ONCE][NBD_REQUEST_LEN];
    struct iovec iov[2 * AT_ONCE];
    struct msghdr msg = {.msg_iov = iov};
    unsigned count;
    ssize_t n;

    while (l->state == NBD_LINK_READY && l->unsent) {
        gather(l->unsent, l->sent, head, iov, &count);
        msg.msg_iovlen = count;
        n = sendmsg(l->socket, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && errno != EINTR)
            lose(l, strerror(errno));
        note_sent(l, (size_t)MAX(n, 0));
    }
    look(l);
}

void nbd_link_send(struct nbd_link *l, struct nbd_command *c)
{
    c->err = 0; /* half an answer may have come on another connection */
    c->came = 0;
    c->cookie = ++l->last_cookie;
    TAILQ_INSERT_TAIL(&l->inflight, c, link);
    l->count++;
    if (!l->unsent)
        l->unsent = c;
}
