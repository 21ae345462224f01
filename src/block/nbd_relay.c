/* SPDX-License-Identifier: MIT */
/* What comes in plain is done by libnbd, and answered in plain. Who speaks plain reads whenever there is something, so
 * whatever is said to him or half said by him is waited for. */
#include "block/nbd_relay.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "block/nbd_library.h"
#include "block/nbd_wire.h"

#define DATA_MAX     (32 * MIB) /* of a request, */
#define INFLIGHT_MAX (64 * MIB) /* and of all: the last one may go beyond it */

struct relay {
    struct nbd_handle *h;
    int plain;
    uint64_t bytes; /* that requests have under way, with something for each */
    bool over;
};

struct errand {
    struct relay *relay;
    uint16_t type;
    uint64_t cookie;
    uint32_t len;
    uint32_t extent[2]; /* of NBD_BLOCK_STATUS: length and flags; 0: nothing is known */
    uint8_t data[];
};

/* ---- In plain ------------------------------------------------------------------------------- */

static void say(struct relay *r, const void *data, size_t len)
{
    while (len && !r->over) {
        ssize_t n = send(r->plain, data, len, MSG_NOSIGNAL);

        r->over = n <= 0;
        data = (const uint8_t *)data + MAX(n, 0);
        len -= (size_t)MAX(n, 0);
    }
}

static bool hear(struct relay *r, void *data, size_t len)
{
    r->over = r->over || (len && recv(r->plain, data, len, MSG_WAITALL) != (ssize_t)len);
    return !r->over;
}

static void reply(struct relay *r, uint64_t cookie, int error, const void *data, size_t len)
{
    uint8_t head[NBD_SIMPLE_LEN];

    store_be32(head, NBD_SIMPLE_MAGIC);
    store_be32(head + 4, (uint32_t)error);
    store_be64(head + 8, cookie);
    say(r, head, sizeof(head));
    say(r, data, error ? 0 : len);
}

static void reply_status(struct relay *r, const struct errand *e)
{
    uint8_t chunk[NBD_CHUNK_LEN + 12];

    store_be32(chunk, NBD_CHUNK_MAGIC);
    store_be16(chunk + 4, NBD_CHUNK_DONE);
    store_be16(chunk + 6, NBD_CHUNK_STATUS);
    store_be64(chunk + 8, e->cookie);
    store_be32(chunk + 16, 12);
    store_be32(chunk + 20, 0);
    store_be32(chunk + 24, e->extent[0]);
    store_be32(chunk + 28, e->extent[1]);
    say(r, chunk, sizeof(chunk));
}

/* ---- By libnbd ------------------------------------------------------------------------------ */

static uint64_t cost_of(const struct errand *e)
{
    return e->len + sizeof(*e);
}

static void end(void *arg)
{
    struct errand *e = arg;

    e->relay->bytes -= cost_of(e);
    free(e);
}

static int on_done(void *arg, int *error)
{
    struct errand *e = arg;

    if (*error == ENOTCONN)
        return 1; /* no answer: it is sent again, by another connection */
    if (!*error && e->type == NBD_BLOCK_STATUS)
        reply_status(e->relay, e);
    else
        reply(e->relay, e->cookie, *error, e->data, e->type == NBD_READ ? e->len : 0);
    return 1;
}

/* The first extent is what is asked for. Called before on_done(). */
static int on_extents(void *arg, const char *context, uint64_t offset, uint32_t *entries, size_t count, int *error)
{
    struct errand *e = arg;

    if (count >= 2)
        memcpy(e->extent, entries, sizeof(e->extent));
    return 0;
}

static int64_t have_done(struct errand *e, const struct nbd_request *q)
{
    const nbd_completion_callback done = {.callback = on_done, .user_data = e, .free = end};
    const nbd_extent_callback extents = {.callback = on_extents, .user_data = e};
    uint32_t flags = (q->flags & NBD_FUA ? LIBNBD_CMD_FLAG_FUA : 0u) |
                     (q->type == NBD_WRITE_ZEROES && q->flags & NBD_NO_HOLE ? LIBNBD_CMD_FLAG_NO_HOLE : 0u);
    struct nbd_handle *h = e->relay->h;

    switch (q->type) {
    case NBD_READ: return libnbd.aio_pread(h, e->data, q->len, q->offset, done, 0);
    case NBD_WRITE: return libnbd.aio_pwrite(h, e->data, q->len, q->offset, done, flags);
    case NBD_FLUSH: return libnbd.aio_flush(h, done, 0);
    case NBD_TRIM: return libnbd.aio_trim(h, q->len, q->offset, done, flags);
    case NBD_WRITE_ZEROES: return libnbd.aio_zero(h, q->len, q->offset, done, flags);
    default:
        return libnbd.aio_block_status(h, q->len, q->offset, extents, done, LIBNBD_CMD_FLAG_REQ_ONE);
    }
}

static bool is_request(const struct nbd_request *q)
{
    bool has_data = q->type == NBD_READ || q->type == NBD_WRITE;

    return (has_data && q->len <= DATA_MAX) || q->type == NBD_FLUSH || q->type == NBD_TRIM ||
           q->type == NBD_WRITE_ZEROES || q->type == NBD_BLOCK_STATUS;
}

static void take_request(struct relay *r)
{
    uint8_t head[NBD_REQUEST_LEN];
    struct nbd_request q;
    struct errand *e;
    uint32_t len;

    if (!hear(r, head, sizeof(head)))
        return;
    r->over = !nbd_get_request(head, &q) || !is_request(&q); /* NBD_DISCONNECT, too */
    len = q.type == NBD_READ || q.type == NBD_WRITE ? q.len : 0;
    e = r->over ? NULL : calloc(1, sizeof(*e) + len);
    r->over = !e;
    if (!e)
        return;
    *e = (struct errand){.relay = r, .type = q.type, .cookie = q.cookie, .len = len};
    r->bytes += cost_of(e);
    if (q.type == NBD_WRITE && !hear(r, e->data, len))
        end(e);
    else if (have_done(e, &q) < 0) /* libnbd has freed it */
        reply(r, q.cookie, libnbd.get_errno() ? libnbd.get_errno() : EIO, NULL, 0);
}

/* A command that libnbd does not take then has an error that is none of the server's: it is sent again, by another
 * connection. */
static bool is_over(const struct relay *r)
{
    return r->over || libnbd.aio_is_dead(r->h) || libnbd.aio_is_closed(r->h);
}

void nbd_relay(struct nbd_handle *h, int plain)
{
    struct relay r = {.h = h, .plain = plain};

    while (!is_over(&r)) {
        unsigned direction = libnbd.aio_get_direction(h);
        bool reads = direction & LIBNBD_AIO_DIRECTION_READ, writes = direction & LIBNBD_AIO_DIRECTION_WRITE;
        struct pollfd p[] = {
            {.fd = plain, .events = r.bytes < INFLIGHT_MAX ? POLLIN : 0},
            {.fd = libnbd.aio_get_fd(h), .events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0))}};

        if (poll(p, 2, -1) < 0)
            continue; /* cannot be: signals are blocked */
        if (p[1].revents & ~POLLOUT && reads)
            libnbd.aio_notify_read(h);
        else if (p[1].revents && writes)
            libnbd.aio_notify_write(h);
        if (p[0].revents & POLLIN && !is_over(&r))
            take_request(&r);
        else if (p[0].revents)
            r.over = true;
    }
    if (libnbd.aio_is_ready(h))
        libnbd.aio_disconnect(h, 0); /* a word of good-bye, if the socket takes it */
    libnbd.close(h);                 /* while there is a relay for what ends with it */
}
