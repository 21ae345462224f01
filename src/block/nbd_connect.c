/* SPDX-License-Identifier: MIT */
/* A connection in the making: see nbd_connect.h. Two hold it, the one who wants it and the thread, and the last one
 * frees it. */
#include "block/nbd_connect.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/pass_fd.h"
#include "base/thread.h"
#include "block/nbd_library.h"
#include "block/nbd_orders.h"
#include "block/nbd_relay.h"

/* How soon the host notices that the other one is gone, without a word and without requests. */
#define PROBE_IDLE_S  10
#define PROBE_EVERY_S 5
#define PROBES        3

struct nbd_connect {
    struct nbd_uri uri;
    bool maps;
    pthread_t thread;
    int caller; /* the thread's */
    _Atomic unsigned holders;
    _Atomic bool resolving;
    struct nbd_handle *handle;
    struct nbd_dialled dialled;
};

static void unhold(struct nbd_connect *c)
{
    if (!--c->holders)
        free(c);
}

static bool is_unwanted(const struct nbd_connect *c)
{
    struct pollfd p = {.fd = c->caller};

    return poll(&p, 1, 0) > 0;
}

/* Is there somebody at the other end? Then what goes wrong is what they say. */
static bool is_connected(struct nbd_handle *h)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);

    return !getpeername(libnbd.aio_get_fd(h), (struct sockaddr *)&peer, &len);
}

static void fail_with(struct nbd_connect *c, enum vz_error_code code, const char *text)
{
    struct vz_error err;

    error_set(&err, 0, code, "%s", text);
    c->dialled.answer = (struct child_answer){.result = -EIO, .code = err.code};
    memcpy(c->dialled.answer.text, err.text, sizeof(err.text));
}

static void fail(struct nbd_connect *c, bool was_connected)
{
    const char *text = libnbd.get_error();

    fail_with(c, was_connected ? VZ_ERROR_NBD_NEGOTIATION_FAILED : VZ_ERROR_NBD_DISCONNECTED,
              text ? text : "the connection was closed");
}

/* ---- Connecting ----------------------------------------------------------------------------- */

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

/* CVE-2024-7383: up to 1.18.4, and to 1.20.1, it takes any certificate where it is to trust whom the host trusts, and over
 * sockets of this host. */
static bool checks_all(struct nbd_handle *h)
{
    const char *version = libnbd.get_version(h);
    unsigned major = 0, minor = 0, patch = 0;

    if (!version || sscanf(version, "%u.%u.%u", &major, &minor, &patch) != 3)
        return false;
    return major > 1 || minor > 20 || (minor == 20 && patch >= 2) || (minor == 18 && patch >= 5);
}

static bool is_unchecked(struct nbd_handle *h, const struct nbd_uri *u)
{
    return u->tls && !u->no_verify && !u->psk_file[0] && (!u->certificates[0] || u->socket[0]) && !checks_all(h);
}

/* libnbd takes a folder in which it finds nothing for none, and trusts others then. */
static bool has_no_authority(const struct nbd_uri *u)
{
    char path[sizeof(u->certificates) + 16];

    snprintf(path, sizeof(path), "%s/ca-cert.pem", u->certificates);
    return u->tls && u->certificates[0] && access(path, R_OK) < 0;
}

/* Replies in chunks cost more bytes, and are only needed for block status; those of 64 bits are not known here. */
static int set_up(struct nbd_handle *h, const struct nbd_uri *u, bool maps)
{
    if (libnbd.set_export_name(h, u->export) < 0 || libnbd.set_request_structured_replies(h, maps) < 0 ||
        (libnbd.set_request_extended_headers && libnbd.set_request_extended_headers(h, false) < 0))
        return -1;
    return maps && libnbd.add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ? -1 : set_tls(h, u);
}

static int begin(struct nbd_connect *c)
{
    const struct nbd_uri *u = &c->uri;
    int r;

    if (set_up(c->handle, u, c->maps) < 0)
        return -1;
    c->resolving = true; /* before it is looked whether somebody waits: nbd_connect_let_go() does it the other way round */
    r = is_unwanted(c) ? -1 : u->socket[0] ? libnbd.aio_connect_unix(c->handle, u->socket)
                                           : libnbd.aio_connect_tcp(c->handle, u->host, u->port);
    c->resolving = false;
    return r;
}

/* Wait for the socket, and go on. */
static int turn(struct nbd_connect *c, bool *connected)
{
    struct nbd_handle *h = c->handle;
    unsigned direction = libnbd.aio_get_direction(h);
    bool reads = direction & LIBNBD_AIO_DIRECTION_READ, writes = direction & LIBNBD_AIO_DIRECTION_WRITE;
    struct pollfd p[2] = {{.fd = c->caller}, {.fd = libnbd.aio_get_fd(h)}};

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

static bool make(struct nbd_connect *c)
{
    struct nbd_handle *h;
    bool connected = false;

    if (has_no_authority(&c->uri)) {
        fail_with(c, VZ_ERROR_NBD_NEGOTIATION_FAILED, "there is no ca-cert.pem in the folder with certificates, or it cannot be read");
        return false;
    }
    c->handle = libnbd.create();
    if (c->handle && is_unchecked(c->handle, &c->uri)) {
        fail_with(c, VZ_ERROR_NBD_NEGOTIATION_FAILED,
                  "this libnbd does not check the server's certificate (CVE-2024-7383): get 1.20.2, or 1.18.5, or a later one; "
                  "or name who is trusted by tls-certificates=FOLDER, with a ca-cert.pem, of a server on the network");
        return false;
    }
    if (!c->handle || begin(c) < 0) {
        fail(c, false);
        return false;
    }
    h = c->handle;
    while (!libnbd.aio_is_ready(h)) {
        if (libnbd.aio_is_dead(h) || libnbd.aio_is_closed(h) || turn(c, &connected) < 0) {
            fail(c, connected);
            return false;
        }
    }
    return true;
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

/* ---- What it is ----------------------------------------------------------------------------- */

static uint32_t block_size(struct nbd_handle *h, int type, uint32_t otherwise)
{
    int64_t size = libnbd.get_block_size(h, type);

    return size > 0 ? (uint32_t)MIN(size, INT64_C(0x80000000)) : otherwise;
}

static bool describe(struct nbd_connect *c)
{
    struct nbd_handle *h = c->handle;
    struct nbd_dialled *d = &c->dialled;
    int64_t size = libnbd.get_size(h);

    if (size < 0) {
        fail(c, true);
        return false;
    }
    d->size = (uint64_t)size;
    d->block_min = block_size(h, LIBNBD_SIZE_MINIMUM, 1);
    d->block_preferred = block_size(h, LIBNBD_SIZE_PREFERRED, 4096);
    d->payload_max = block_size(h, LIBNBD_SIZE_MAXIMUM, 32 * MIB);
    d->can = (libnbd.is_read_only(h) == 1 ? NBD_READ_ONLY : 0u) | (libnbd.can_flush(h) == 1 ? NBD_CAN_FLUSH : 0u) |
             (libnbd.can_fua(h) == 1 ? NBD_CAN_FUA : 0u) | (libnbd.can_trim(h) == 1 ? NBD_CAN_TRIM : 0u) |
             (libnbd.can_zero(h) == 1 ? NBD_CAN_ZERO : 0u) | (libnbd.can_multi_conn(h) == 1 ? NBD_CAN_MULTI : 0u) |
             (libnbd.can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1 ? NBD_CAN_MAP : 0u);
    return true;
}

/* fd goes along unless it is -1. */
static bool say(const struct nbd_connect *c, int fd)
{
    return pass_fd_send(c->caller, &c->dialled, sizeof(c->dialled), fd, 0) == (ssize_t)sizeof(c->dialled);
}

/* libnbd reads no byte more than belongs to the handshake, and sends none when it is closed: the socket is as good as
 * new. */
static void hand_over(struct nbd_connect *c)
{
    int fd = libnbd.aio_get_fd(c->handle), pair[2];

    set_probes(fd);
    if (!c->uri.tls) {
        (void)say(c, fd);
        return;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        c->dialled.answer = (struct child_answer){-EMFILE, VZ_ERROR_NBD_DISCONNECTED, "no pair of sockets for TLS"};
        (void)say(c, -1);
        return;
    }
    if (say(c, pair[1])) {
        close(pair[1]);
        close(c->caller);
        c->caller = -1;
        nbd_relay(c->handle, pair[0]);
        c->handle = NULL;
    } else {
        close(pair[1]);
    }
    close(pair[0]);
}

static void *run(void *arg)
{
    struct nbd_connect *c = arg;

    if (make(c) && describe(c))
        hand_over(c);
    else
        (void)say(c, -1);
    libnbd.close(c->handle);
    if (c->caller >= 0)
        close(c->caller);
    unhold(c);
    return NULL;
}

int nbd_connect_start(const struct nbd_uri *uri, bool maps, int caller, struct nbd_connect **ret)
{
    struct nbd_connect *c = calloc(1, sizeof(*c));
    int r = -ENOMEM;

    if (c) {
        c->uri = *uri;
        c->maps = maps;
        c->caller = caller;
        c->holders = 2;
        r = thread_start(&c->thread, THREAD_NBD, "vz-nbd-connect", run, c);
    }
    if (r < 0) {
        close(caller);
        free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void nbd_connect_leave(struct nbd_connect *c)
{
    pthread_detach(c->thread);
    unhold(c);
}

void nbd_connect_let_go(struct nbd_connect *c)
{
    if (!c)
        return;
    if (c->resolving || c->uri.tls) {
        nbd_connect_leave(c);
        return;
    }
    pthread_join(c->thread, NULL);
    unhold(c);
}
