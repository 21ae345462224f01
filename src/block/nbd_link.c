/* SPDX-License-Identifier: MIT */
/* One connection, by libnbd (which blk_nbd_open() has loaded): see nbd_link.h. A libnbd handle is good for one connection; when that is lost the
 * commands in flight end with ENOTCONN, which is no answer of the server's: they stay in the list. */
#include "block/nbd_link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "block/nbd_library.h"

/* How soon the host notices that the other one is gone, without a word and without requests. */
#define PROBE_IDLE_S  10
#define PROBE_EVERY_S 5
#define PROBES        3

void nbd_link_init(struct nbd_link *l, struct nbd_commands *answered)
{
    *l = (struct nbd_link){.answered = answered};
    TAILQ_INIT(&l->inflight);
}

/* ---- Connecting ----------------------------------------------------------------------------- */

static void lose(struct nbd_link *l, const char *why)
{
    const char *text = why ? why : libnbd.get_error();

    if (l->state == NBD_LINK_LOST)
        return;
    l->state = NBD_LINK_LOST;
    error_set(&l->err, 0, l->negotiating ? VZ_ERROR_NBD_NEGOTIATION_FAILED : VZ_ERROR_NBD_DISCONNECTED,
              "%s", text ? text : "the connection was closed");
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

/* Is there somebody at the other end? Then what goes wrong is what they say. */
static bool is_connected(struct nbd_handle *h)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int fd = libnbd.aio_get_fd(h);

    return fd >= 0 && !getpeername(fd, (struct sockaddr *)&peer, &len);
}

/* After libnbd did something. */
static void look(struct nbd_link *l)
{
    if (l->state == NBD_LINK_CLOSED || l->state == NBD_LINK_LOST)
        return;
    if (libnbd.aio_is_dead(l->handle) || libnbd.aio_is_closed(l->handle)) {
        lose(l, NULL);
    } else if (l->state == NBD_LINK_CONNECTING) {
        l->negotiating = is_connected(l->handle);
        if (!libnbd.aio_is_ready(l->handle))
            return;
        l->state = NBD_LINK_READY;
        l->was_ready = true;
        l->negotiating = false;
        set_probes(libnbd.aio_get_fd(l->handle));
    }
}

static int set_tls(struct nbd_handle *h, const struct nbd_uri *u)
{
    if (!u->tls)
        return libnbd.set_tls(h, LIBNBD_TLS_DISABLE);
    if (libnbd.set_tls(h, LIBNBD_TLS_REQUIRE) < 0 ||
        (u->certificates[0] && libnbd.set_tls_certificates(h, u->certificates) < 0) ||
        (u->psk_file[0] && libnbd.set_tls_psk_file(h, u->psk_file) < 0) ||
        (u->user[0] && libnbd.set_tls_username(h, u->user) < 0))
        return -1;
    return libnbd.set_tls_verify_peer(h, !u->no_verify);
}

void nbd_link_connect(struct nbd_link *l, const struct nbd_uri *u)
{
    struct nbd_handle *h = libnbd.create();

    l->handle = h;
    l->state = NBD_LINK_CONNECTING;
    l->negotiating = false;
    l->since_ns = clock_mono_ns();
    if (!h || libnbd.set_export_name(h, u->export) < 0 || set_tls(h, u) < 0 ||
        (u->socket[0] ? libnbd.aio_connect_unix(h, u->socket) : libnbd.aio_connect_tcp(h, u->host, u->port)) < 0)
        lose(l, NULL);
    look(l);
}

void nbd_link_close(struct nbd_link *l, struct nbd_commands *to)
{
    if (l->state == NBD_LINK_READY)
        libnbd.aio_disconnect(l->handle, 0); /* a word of good-bye, if the socket takes it */
    libnbd.close(l->handle);
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
    };
    return 0;
}

/* ---- Turning -------------------------------------------------------------------------------- */

int nbd_link_fd(const struct nbd_link *l, short *ret_events)
{
    unsigned direction;

    if (l->state != NBD_LINK_CONNECTING && l->state != NBD_LINK_READY)
        return -1;
    direction = libnbd.aio_get_direction(l->handle);
    *ret_events = (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                          (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
    return libnbd.aio_get_fd(l->handle);
}

void nbd_link_turn(struct nbd_link *l, short events)
{
    unsigned direction;
    bool bad = events & (POLLERR | POLLHUP | POLLNVAL);
    int r = 0;

    if ((l->state != NBD_LINK_CONNECTING && l->state != NBD_LINK_READY) || !events)
        return;
    direction = libnbd.aio_get_direction(l->handle);
    if ((events & POLLIN || bad) && direction & LIBNBD_AIO_DIRECTION_READ)
        r = libnbd.aio_notify_read(l->handle);
    else if ((events & POLLOUT || bad) && direction & LIBNBD_AIO_DIRECTION_WRITE)
        r = libnbd.aio_notify_write(l->handle);
    if (r < 0)
        lose(l, NULL);
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

static int64_t send_by(struct nbd_handle *h, const struct nbd_command *c, nbd_completion_callback done)
{
    uint32_t fua = c->fua ? LIBNBD_CMD_FLAG_FUA : 0;

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

    c->sent_ns = clock_mono_ns();
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
