/* SPDX-License-Identifier: MIT */
/* A connection in the making: see nbd_dial.h. Two hold it, the caller and the thread, and the last one frees it. */
#include "block/nbd_dial.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"
#include "block/nbd_library.h"

struct nbd_dial {
    struct nbd_uri uri;
    bool maps;
    pthread_t thread;
    int over_fd, stop_fd; /* eventfds */
    _Atomic unsigned holders;
    _Atomic bool stop, resolving;

    /* The thread's, until it is over; then the caller's. */
    struct nbd_handle *handle;
    bool ready;
    struct vz_error err;
};

static void unhold(struct nbd_dial *d)
{
    if (--d->holders)
        return;
    libnbd.close(d->handle);
    close(d->over_fd);
    close(d->stop_fd);
    free(d);
}

/* Is there somebody at the other end? Then what goes wrong is what they say. */
static bool is_connected(struct nbd_handle *h)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);

    return !getpeername(libnbd.aio_get_fd(h), (struct sockaddr *)&peer, &len);
}

static void fail(struct nbd_dial *d, bool was_connected)
{
    const char *text = libnbd.get_error();

    if (d->stop)
        return; /* nobody asks */
    error_set(&d->err, 0, was_connected ? VZ_ERROR_NBD_NEGOTIATION_FAILED : VZ_ERROR_NBD_DISCONNECTED, "%s",
              text ? text : "the connection was closed");
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

/* Replies in chunks cost two more reads each, and are only needed for block status. */
static int set_up(struct nbd_handle *h, const struct nbd_uri *u, bool maps)
{
    if (libnbd.set_export_name(h, u->export) < 0 || libnbd.set_pread_initialize(h, false) < 0 ||
        libnbd.set_request_structured_replies(h, maps) < 0)
        return -1;
    return maps && libnbd.add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ? -1 : set_tls(h, u);
}

static int begin(struct nbd_dial *d)
{
    const struct nbd_uri *u = &d->uri;
    int r;

    d->handle = libnbd.create();
    if (!d->handle || set_up(d->handle, u, d->maps) < 0)
        return -1;
    d->resolving = true; /* before stop is read, as nbd_dial_abandon() writes and reads them the other way round */
    r = d->stop ? -1 : u->socket[0] ? libnbd.aio_connect_unix(d->handle, u->socket)
                                    : libnbd.aio_connect_tcp(d->handle, u->host, u->port);
    d->resolving = false;
    return r;
}

/* Wait for the socket, and go on. */
static int turn(struct nbd_dial *d, bool *connected)
{
    struct nbd_handle *h = d->handle;
    unsigned direction = libnbd.aio_get_direction(h);
    bool reads = direction & LIBNBD_AIO_DIRECTION_READ, writes = direction & LIBNBD_AIO_DIRECTION_WRITE;
    struct pollfd p[2] = {{.fd = d->stop_fd, .events = POLLIN}, {.fd = libnbd.aio_get_fd(h)}};

    *connected = *connected || is_connected(h);
    p[1].events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
    if (poll(p, 2, -1) < 0)
        return 0; /* cannot be: signals are blocked */
    if (p[0].revents)
        return -1;
    if (reads && p[1].revents & ~POLLOUT)
        return libnbd.aio_notify_read(h);
    return writes ? libnbd.aio_notify_write(h) : 0;
}

static void wait_ready(struct nbd_dial *d)
{
    struct nbd_handle *h = d->handle;
    bool connected = false;

    while (!libnbd.aio_is_ready(h)) {
        if (libnbd.aio_is_dead(h) || libnbd.aio_is_closed(h) || turn(d, &connected) < 0) {
            fail(d, connected);
            return;
        }
    }
    d->ready = true;
}

static void *run(void *arg)
{
    struct nbd_dial *d = arg;

    if (begin(d) < 0)
        fail(d, false);
    else
        wait_ready(d);
    eventfd_write(d->over_fd, 1);
    unhold(d);
    return NULL;
}

int nbd_dial_start(const struct nbd_uri *uri, bool maps, struct nbd_dial **ret)
{
    struct nbd_dial *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    d->uri = *uri;
    d->maps = maps;
    d->holders = 2;
    d->over_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = d->over_fd < 0 || d->stop_fd < 0 ? -errno : thread_start(&d->thread, THREAD_NBD, "vz-nbd-connect", run, d);
    if (r < 0) {
        d->holders = 1;
        unhold(d);
        return r;
    }
    *ret = d;
    return 0;
}

int nbd_dial_fd(const struct nbd_dial *d)
{
    return d->over_fd;
}

struct nbd_handle *nbd_dial_take(struct nbd_dial *d, struct vz_error *err)
{
    struct nbd_handle *h = NULL;

    pthread_join(d->thread, NULL);
    if (d->ready) {
        h = d->handle;
        d->handle = NULL;
    } else {
        *err = d->err;
    }
    unhold(d);
    return h;
}

void nbd_dial_abandon(struct nbd_dial *d)
{
    if (!d)
        return;
    d->stop = true;
    eventfd_write(d->stop_fd, 1);
    if (d->resolving)
        pthread_detach(d->thread);
    else
        pthread_join(d->thread, NULL);
    unhold(d);
}
