/* SPDX-License-Identifier: MIT */
/* One connection, by libnbd (which blk_nbd_open() has loaded): see nbd_link.h. A libnbd handle is good for one
 * connection; when that is lost the commands in flight end with ENOTCONN, which is no answer of the server's: they
 * stay in the list. */
#include "block/nbd_link.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "block/nbd_dial.h"
#include "block/nbd_library.h"
#include "loop/loop.h"

/* How soon the host notices that the other one is gone, without a word and without requests. */
#define PROBE_IDLE_S  10
#define PROBE_EVERY_S 5
#define PROBES        3

void nbd_link_init(struct nbd_link *l, struct loop *loop, struct nbd_commands *answered,
                   void (*turned)(void *arg), void *arg)
{
    *l = (struct nbd_link){.loop = loop, .answered = answered, .turned = turned, .arg = arg};
    TAILQ_INIT(&l->inflight);
}

static void lose(struct nbd_link *l, const char *why)
{
    const char *text = why ? why : libnbd.get_error();

    if (l->state == NBD_LINK_LOST)
        return;
    l->state = NBD_LINK_LOST;
    error_set(&l->err, 0, VZ_ERROR_NBD_DISCONNECTED, "%s", text ? text : "the connection was closed");
}

static void set_probes(int fd)
{
    const int on = 1, idle = PROBE_IDLE_S, every = PROBE_EVERY_S, probes = PROBES;
    const unsigned unanswered_ms = 1000 * (PROBE_IDLE_S + PROBE_EVERY_S * PROBES);

    /* All of them fail on a socket that is not TCP's, where the other end cannot go without a word. */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof(unanswered_ms));
}

/* ---- Watching ------------------------------------------------------------------------------- */

int nbd_link_fd(const struct nbd_link *l, short *ret_events)
{
    unsigned direction;

    *ret_events = POLLIN;
    if (l->state == NBD_LINK_CONNECTING)
        return nbd_dial_fd(l->dial);
    if (l->state != NBD_LINK_READY)
        return -1;
    direction = libnbd.aio_get_direction(l->handle);
    *ret_events = (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                          (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
    return libnbd.aio_get_fd(l->handle);
}

static void on_event(void *arg, unsigned events)
{
    struct nbd_link *l = arg;

    nbd_link_turn(l, (short)((events & LOOP_READ ? POLLIN : 0) | (events & LOOP_WRITE ? POLLOUT : 0)));
    l->turned(l->arg);
}

static void unwatch(struct nbd_link *l)
{
    if (!l->watch)
        return;
    loop_fd_remove(l->watch);
    close(l->watch_fd);
    l->watch = NULL;
}

/* epoll forgets a socket with its last descriptor, which a child of ours may have, or by the number under which it
 * came to know it: that number has to be ours until then. */
static int watch(struct nbd_link *l, int fd, unsigned events)
{
    int r;

    l->watch_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (l->watch_fd < 0)
        return -errno;
    r = loop_fd_add(l->loop, l->watch_fd, events, on_event, l, &l->watch);
    if (r < 0)
        close(l->watch_fd);
    return r;
}

/* After libnbd did something: is the connection still there, and what is it waiting for? */
static void look(struct nbd_link *l)
{
    unsigned events;
    short wanted;
    int fd;

    if (l->state == NBD_LINK_READY && (libnbd.aio_is_dead(l->handle) || libnbd.aio_is_closed(l->handle)))
        lose(l, NULL);
    fd = nbd_link_fd(l, &wanted);
    if (fd < 0) {
        unwatch(l);
        return;
    }
    events = (wanted & POLLIN ? LOOP_READ : 0) | (wanted & POLLOUT ? LOOP_WRITE : 0);
    if (l->watch)
        loop_fd_set(l->watch, events);
    else if (watch(l, fd, events) < 0)
        lose(l, "out of memory, or of descriptors");
}

/* ---- Connecting ----------------------------------------------------------------------------- */

void nbd_link_connect(struct nbd_link *l, const struct nbd_uri *u, bool maps, struct nbd_dial *dial)
{
    l->state = NBD_LINK_CONNECTING;
    l->since_ns = clock_mono_ns();
    l->is_secret = u->tls;
    l->dial = dial;
    if (!dial && nbd_dial_start(u, maps, &l->dial) < 0)
        lose(l, "out of memory");
    look(l);
}

/* The thread has made a connection, or not. */
static void take_connection(struct nbd_link *l)
{
    struct nbd_dial *dial = l->dial;

    unwatch(l);
    l->dial = NULL;
    l->handle = nbd_dial_take(dial, &l->err);
    l->state = l->handle ? NBD_LINK_READY : NBD_LINK_LOST;
    if (l->handle) {
        l->was_ready = true;
        set_probes(libnbd.aio_get_fd(l->handle));
    }
}

void nbd_link_give_up(struct nbd_link *l)
{
    lose(l, "the server does not answer");
    unwatch(l);
    nbd_dial_abandon(l->dial);
    l->dial = NULL;
}

void nbd_link_close(struct nbd_link *l, struct nbd_commands *to)
{
    if (l->state == NBD_LINK_READY)
        libnbd.aio_disconnect(l->handle, 0); /* a word of good-bye, if the socket takes it */
    unwatch(l);
    nbd_dial_abandon(l->dial);
    libnbd.close(l->handle);
    l->dial = NULL;
    l->handle = NULL;
    l->state = NBD_LINK_CLOSED;
    l->count = 0;
    TAILQ_CONCAT(&l->inflight, to, link);
    TAILQ_CONCAT(to, &l->inflight, link);
}

/* ---- The export ----------------------------------------------------------------------------- */

static uint32_t block_size(struct nbd_handle *h, int type, uint32_t otherwise)
{
    int64_t size = libnbd.get_block_size(h, type);

    return size > 0 ? (uint32_t)MIN(size, INT64_C(0x80000000)) : otherwise;
}

int nbd_link_export(struct nbd_link *l, struct nbd_export *ret, struct vz_error *err)
{
    struct nbd_handle *h = l->handle;
    int64_t size = libnbd.get_size(h);

    if (size < 0)
        return error_set(err, EPROTO, VZ_ERROR_NBD_NEGOTIATION_FAILED, "%s", libnbd.get_error());
    *ret = (struct nbd_export){
        .size = (uint64_t)size,
        .block_min = block_size(h, LIBNBD_SIZE_MINIMUM, 1),
        .block_preferred = block_size(h, LIBNBD_SIZE_PREFERRED, 4096),
        .payload_max = block_size(h, LIBNBD_SIZE_MAXIMUM, 32 * MIB),
        .read_only = libnbd.is_read_only(h) == 1,
        .can_flush = libnbd.can_flush(h) == 1,
        .can_fua = libnbd.can_fua(h) == 1,
        .can_trim = libnbd.can_trim(h) == 1,
        .can_zero = libnbd.can_zero(h) == 1,
        .can_multi = libnbd.can_multi_conn(h) == 1,
        .can_map = libnbd.can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1,
    };
    return 0;
}

/* ---- Turning -------------------------------------------------------------------------------- */

/* Is there another answer, or the beginning of one? libnbd must not be made to look for it in vain: it would wait for
 * it then, and send nothing meanwhile. In TLS the bytes that are there say nothing. */
static bool has_answer(const struct nbd_link *l)
{
    uint8_t byte;

    return l->count && !l->is_secret && libnbd.aio_get_direction(l->handle) == LIBNBD_AIO_DIRECTION_READ &&
           recv(libnbd.aio_get_fd(l->handle), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* All the answers that are there: each of them makes one less to come, so there is an end to it. */
static int read_answers(struct nbd_link *l)
{
    unsigned before;
    int r;

    do {
        before = l->count;
        r = libnbd.aio_notify_read(l->handle);
    } while (r >= 0 && l->count < before && has_answer(l));
    return r;
}

void nbd_link_turn(struct nbd_link *l, short events)
{
    bool bad = events & (POLLERR | POLLHUP | POLLNVAL);
    unsigned direction;
    int r = 0;

    if (!events || (l->state != NBD_LINK_CONNECTING && l->state != NBD_LINK_READY))
        return;
    if (l->state == NBD_LINK_CONNECTING) {
        take_connection(l);
    } else {
        direction = libnbd.aio_get_direction(l->handle);
        if ((events & POLLIN || bad) && direction & LIBNBD_AIO_DIRECTION_READ)
            r = read_answers(l);
        else if (direction & LIBNBD_AIO_DIRECTION_WRITE)
            r = libnbd.aio_notify_write(l->handle);
        if (r < 0)
            lose(l, NULL);
    }
    look(l);
}

/* ---- Commands ------------------------------------------------------------------------------- */

/* A command of libnbd's has to know both. */
struct sent {
    struct nbd_link *l;
    struct nbd_command *c;
};

static int answer(void *data, int *error)
{
    struct sent *s = data;

    if (*error == ENOTCONN)
        return 1;
    s->c->err = -*error;
    TAILQ_REMOVE(&s->l->inflight, s->c, link);
    s->l->count--;
    TAILQ_INSERT_TAIL(s->l->answered, s->c, link);
    return 1;
}

/* The first extent is what is asked for. Called before answer(). */
static int on_extents(void *data, const char *context, uint64_t offset, uint32_t *entries, size_t count, int *error)
{
    const struct sent *s = data;

    if (!*error && count >= 2 && entries[0])
        *s->c->status = (struct nbd_status){entries[1] & LIBNBD_STATE_ZERO, MIN(entries[0], s->c->len)};
    return 0;
}

static int64_t send_by(struct nbd_handle *h, const struct nbd_command *c, nbd_completion_callback done)
{
    uint32_t fua = c->fua ? LIBNBD_CMD_FLAG_FUA : 0;

    if (c->status)
        return libnbd.aio_block_status(h, c->len, c->offset,
                                       (nbd_extent_callback){.callback = on_extents, .user_data = done.user_data}, done,
                                       LIBNBD_CMD_FLAG_REQ_ONE);
    switch (c->op) {
    case BLK_READ: return libnbd.aio_pread(h, c->data, c->len, c->offset, done, 0);
    case BLK_WRITE: return libnbd.aio_pwrite(h, c->data, c->len, c->offset, done, fua);
    case BLK_FLUSH: return libnbd.aio_flush(h, done, 0);
    case BLK_DISCARD: return libnbd.aio_trim(h, c->len, c->offset, done, 0);
    default:
        return libnbd.aio_zero(h, c->len, c->offset, done,
                            fua | (c->may_unmap ? 0 : LIBNBD_CMD_FLAG_NO_HOLE));
    }
}

void nbd_link_send(struct nbd_link *l, struct nbd_command *c)
{
    struct sent *s = malloc(sizeof(*s));
    nbd_completion_callback done = {.callback = answer, .user_data = s, .free = free};
    int errno_value = ENOMEM;

    TAILQ_INSERT_TAIL(&l->inflight, c, link);
    l->count++;
    if (s) {
        *s = (struct sent){l, c};
        if (send_by(l->handle, c, done) >= 0) {
            look(l);
            return;
        }
        errno_value = libnbd.get_errno(); /* libnbd has freed s */
        look(l);
        if (l->state == NBD_LINK_LOST)
            return;
    }
    TAILQ_REMOVE(&l->inflight, c, link);
    l->count--;
    c->err = errno_value ? -errno_value : -EIO;
    TAILQ_INSERT_TAIL(l->answered, c, link);
}
