/* SPDX-License-Identifier: MIT */
/* Forwards from an address of the host to a guest of the other IP version, as IPv6 to a guest that
 * has IPv4 only. libslirp carries each connection in the version it came in, and the guest has
 * nobody there. So the socket of the host's address is ours, and whoever comes is passed on to a
 * hidden forward of slirp's on the loopback interface, at a port that the system chose: streams by
 * a relay, datagrams by a socket for each peer, so that answers find back. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "loop/listener.h"
#include "net/net_nat.h"

#define PEERS_MAX     256u
#define PEER_IDLE_NS  (240 * NS_PER_SEC) /* slirp's own limit */
#define PER_EVENT     64u                /* datagrams; then others on the loop have a turn */
#define DATAGRAM_MAX  65536u             /* fits in NET_FRAME_MAX */

/* Somebody who sent a datagram to the front. */
struct peer {
    LIST_ENTRY(peer) link;
    struct nat_front *front;
    union nat_address from;
    socklen_t from_len;
    int fd; /* connected to the hidden forward */
    struct loop_fd *watch;
    uint64_t last_ns;
};

struct nat_front {
    LIST_ENTRY(nat_front) link;
    struct net_nat *nat;
    bool udp;
    union nat_address host, hidden; /* as they came to be */
    socklen_t host_len, hidden_len;
    int fd;
    struct loop_listener *listener; /* TCP */
    struct loop_fd *watch;          /* UDP */
    LIST_HEAD(, peer) peers;        /* the last one heard of first */
    unsigned peer_count;
};

static int hidden_socket(const struct nat_front *f)
{
    int fd = socket(f->hidden.any.sa_family,
                    (f->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r;

    if (fd < 0)
        return -errno;
    if (connect(fd, &f->hidden.any, f->hidden_len) == 0 || errno == EINPROGRESS)
        return fd;
    r = -errno;
    close(fd);
    return r;
}

/* ---- Streams -------------------------------------------------------------------------------- */

static void on_connection(void *arg, int fd)
{
    const struct nat_front *f = arg;
    int inner = hidden_socket(f), on = 1;

    if (inner < 0) {
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(inner, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (net_relays_join(&f->nat->relays, fd, inner) < 0)
        log_debug("forward: a connection is refused, as there are too many");
}

/* ---- Datagrams ------------------------------------------------------------------------------ */

static void peer_free(struct peer *p)
{
    LIST_REMOVE(p, link);
    p->front->peer_count--;
    loop_fd_remove(p->watch);
    close(p->fd);
    free(p);
}

static void on_answer(void *arg, unsigned events)
{
    struct peer *p = arg;
    uint8_t *buffer = p->front->nat->gathered; /* nobody else is at it during this call */

    p->last_ns = clock_mono_ns();
    for (unsigned i = 0; i < PER_EVENT; i++) {
        ssize_t n = recv(p->fd, buffer, DATAGRAM_MAX, MSG_DONTWAIT);

        if (n < 0)
            return;
        (void)sendto(p->front->fd, buffer, (size_t)n, MSG_DONTWAIT, &p->from.any, p->from_len);
    }
}

/* Make room: those who have been silent for long, and if need be the one who has been so longest. */
static void drop_old_peers(struct nat_front *f, uint64_t now)
{
    struct peer *p = LIST_FIRST(&f->peers), *last = NULL, *next;

    for (; p; p = next) {
        next = LIST_NEXT(p, link);
        if (now - p->last_ns > PEER_IDLE_NS)
            peer_free(p);
        else if (!last || p->last_ns < last->last_ns)
            last = p;
    }
    if (last && f->peer_count >= PEERS_MAX)
        peer_free(last);
}

static struct peer *peer_new(struct nat_front *f, const union nat_address *from, socklen_t len)
{
    struct peer *p;

    drop_old_peers(f, clock_mono_ns());
    p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    *p = (struct peer){.front = f, .from = *from, .from_len = len, .fd = hidden_socket(f)};
    if (p->fd < 0 || loop_fd_add(f->nat->net.loop, p->fd, LOOP_READ, on_answer, p, &p->watch) < 0) {
        if (p->fd >= 0)
            close(p->fd);
        free(p);
        return NULL;
    }
    LIST_INSERT_HEAD(&f->peers, p, link);
    f->peer_count++;
    return p;
}

static struct peer *peer_of(struct nat_front *f, const union nat_address *from, socklen_t len)
{
    struct peer *p;

    LIST_FOREACH(p, &f->peers, link) {
        if (p->from_len == len && memcmp(&p->from, from, len) == 0) {
            LIST_REMOVE(p, link);
            LIST_INSERT_HEAD(&f->peers, p, link);
            return p;
        }
    }
    return peer_new(f, from, len);
}

static void on_datagram(void *arg, unsigned events)
{
    struct nat_front *f = arg;
    uint8_t *buffer = f->nat->gathered;

    for (unsigned i = 0; i < PER_EVENT; i++) {
        union nat_address from = {0};
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(f->fd, buffer, DATAGRAM_MAX, MSG_DONTWAIT, &from.any, &len);
        struct peer *p = n < 0 ? NULL : peer_of(f, &from, len);

        if (n < 0)
            return;
        if (!p)
            continue;
        p->last_ns = clock_mono_ns();
        (void)send(p->fd, buffer, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

/* ---- Life ----------------------------------------------------------------------------------- */

static void front_free(struct nat_front *f)
{
    while (!LIST_EMPTY(&f->peers))
        peer_free(LIST_FIRST(&f->peers));
    loop_listener_destroy(f->listener);
    loop_fd_remove(f->watch);
    if (f->hidden_len)
        (void)net_nat_slirp_unforward(f->nat, f->udp, &f->hidden, f->hidden_len);
    if (f->fd >= 0)
        close(f->fd);
    LIST_REMOVE(f, link);
    free(f);
}

/* The part of slirp: from the loopback address of the guest's IP version. 0 or -errno. */
static int open_hidden(struct nat_front *f, const struct nat_forward *forward)
{
    struct nat_forward h = *forward;
    socklen_t len = sizeof(f->hidden);
    int fd;

    h.host = (union nat_address){.any.sa_family = h.guest.any.sa_family};
    h.host_len = h.guest_len;
    if (h.host.any.sa_family == AF_INET)
        h.host.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        h.host.v6.sin6_addr = in6addr_loopback;
    fd = net_nat_slirp_forward(f->nat, &h);
    if (fd < 0)
        return fd;
    if (getsockname(fd, &f->hidden.any, &len) < 0)
        return -errno;
    f->hidden_len = len;
    return 0;
}

static int open_host(struct nat_front *f, const struct nat_forward *forward)
{
    const int on = 1;
    socklen_t len = sizeof(f->host);

    f->fd = socket(forward->host.any.sa_family,
                   (f->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (f->fd < 0)
        return -errno;
    if (forward->host.any.sa_family == AF_INET6)
        (void)setsockopt(f->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (!f->udp)
        (void)setsockopt(f->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(f->fd, &forward->host.any, forward->host_len) < 0 ||
        (!f->udp && listen(f->fd, LISTENER_BACKLOG) < 0) ||
        getsockname(f->fd, &f->host.any, &len) < 0)
        return -errno;
    f->host_len = len;
    return 0;
}

static int watch_host(struct nat_front *f)
{
    struct loop *loop = f->nat->net.loop;
    int r;

    if (f->udp)
        return loop_fd_add(loop, f->fd, LOOP_READ, on_datagram, f, &f->watch);
    r = loop_listener_create(loop, f->fd, on_connection, f, &f->listener);
    if (!r)
        loop_listener_set(f->listener, true);
    return r;
}

int net_nat_front_add(struct net_nat *t, const struct nat_forward *forward)
{
    struct nat_front *f = calloc(1, sizeof(*f));
    int r;

    if (!f)
        return -ENOMEM;
    *f = (struct nat_front){.nat = t, .udp = forward->udp, .fd = -1};
    LIST_INSERT_HEAD(&t->fronts, f, link);
    r = open_host(f, forward);
    if (!r)
        r = open_hidden(f, forward);
    if (!r)
        r = watch_host(f);
    if (r < 0) {
        front_free(f);
        return r;
    }
    return ntohs(f->host.v4.sin_port); /* at the same place in both */
}

bool net_nat_front_remove(struct net_nat *t, bool udp, const union nat_address *host)
{
    struct nat_front *f;

    LIST_FOREACH(f, &t->fronts, link) {
        if (f->udp != udp || f->host.any.sa_family != host->any.sa_family ||
            f->host.v4.sin_port != host->v4.sin_port ||
            (host->any.sa_family == AF_INET
                 ? f->host.v4.sin_addr.s_addr != host->v4.sin_addr.s_addr
                 : memcmp(&f->host.v6.sin6_addr, &host->v6.sin6_addr, 16) != 0))
            continue;
        front_free(f);
        return true;
    }
    return false;
}

void net_nat_fronts_close(struct net_nat *t)
{
    while (!LIST_EMPTY(&t->fronts))
        front_free(LIST_FIRST(&t->fronts));
}
