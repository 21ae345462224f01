/* SPDX-License-Identifier: MIT */
/* Names asked for by TCP. The guest's packets to its name server are turned into ones to the router,
 * at the port of a listening socket of ours on the loopback interface; libslirp connects to that,
 * and what it sends back is turned around. Whoever connects there, and other users of the host
 * could, gets what he could have of the host's servers anyway. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/be.h"
#include "base/clock.h"
#include "loop/listener.h"
#include "net/net_nat_dns.h"
#include "net/net_nat_packet.h"

enum { TCP = 20, TCP_CHECKSUM = 16, DNS_PORT = 53 };
#define CONNECT_NS (3 * NS_PER_SEC)

/* A connection of the guest's for which a server is looked for. */
struct dns_stream {
    LIST_ENTRY(dns_stream) link;
    struct nat_dns *dns;
    int guest_fd, fd; /* fd: to the server; -1: none */
    struct loop_fd *watch;
    unsigned tried;   /* servers so far */
    uint64_t since_ns;
};

static void stream_close_server(struct dns_stream *s)
{
    loop_fd_remove(s->watch);
    s->watch = NULL;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static void stream_free(struct dns_stream *s)
{
    stream_close_server(s);
    if (s->guest_fd >= 0)
        close(s->guest_fd);
    LIST_REMOVE(s, link);
    free(s);
}

static void on_connected(void *arg, unsigned events);

/* false: that one takes no connection. */
static bool try_server(struct dns_stream *s, unsigned server)
{
    const union resolv_server *a = &s->dns->resolv.server[server];

    s->since_ns = clock_mono_ns();
    s->fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd >= 0 &&
        (connect(s->fd, &a->any, resolv_server_len(a)) == 0 || errno == EINPROGRESS) &&
        loop_fd_add(s->dns->nat->net.loop, s->fd, LOOP_WRITE, on_connected, s, &s->watch) == 0)
        return true;
    stream_close_server(s);
    return false;
}

static void next_server(struct dns_stream *s)
{
    const struct nat_dns *d = s->dns;

    stream_close_server(s);
    while (s->tried < d->resolv.count) {
        if (try_server(s, (d->good + s->tried++) % d->resolv.count)) {
            nat_dns_wake(s->dns);
            return;
        }
    }
    stream_free(s);
}

static void on_connected(void *arg, unsigned events)
{
    struct dns_stream *s = arg;
    struct net_relays *relays = &s->dns->nat->relays;
    int err = 0, guest_fd = s->guest_fd, fd;
    socklen_t len = sizeof(err);

    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err) {
        next_server(s);
        return;
    }
    loop_fd_remove(s->watch);
    fd = s->fd;
    s->watch = NULL;
    s->fd = s->guest_fd = -1;
    stream_free(s);
    (void)!net_relays_join(relays, guest_fd, fd);
}

void nat_dns_tcp_tick(struct nat_dns *d, uint64_t now)
{
    struct dns_stream *s, *next;

    for (s = LIST_FIRST(&d->streams); s; s = next) {
        next = LIST_NEXT(s, link);
        if (now - s->since_ns >= CONNECT_NS)
            next_server(s);
    }
}

static void on_connection(void *arg, int fd)
{
    struct nat_dns *d = arg;
    struct dns_stream *s = calloc(1, sizeof(*s));

    if (!s) {
        close(fd);
        return;
    }
    *s = (struct dns_stream){.dns = d, .guest_fd = fd, .fd = -1};
    LIST_INSERT_HEAD(&d->streams, s, link);
    if (resolv_refresh(&d->resolv))
        d->good = 0;
    next_server(s);
}

/* ---- The way there -------------------------------------------------------------------------- */

static int open_door(struct nat_dns *d, struct dns_door *door, bool v6)
{
    union nat_address a = {.any.sa_family = v6 ? AF_INET6 : AF_INET};
    socklen_t len = v6 ? sizeof(a.v6) : sizeof(a.v4);

    if (v6)
        a.v6.sin6_addr = in6addr_loopback;
    else
        a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    door->fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (door->fd < 0 || bind(door->fd, &a.any, len) < 0 || listen(door->fd, LISTENER_BACKLOG) < 0 ||
        getsockname(door->fd, &a.any, &len) < 0)
        return -errno;
    return loop_listener_create(d->nat->net.loop, door->fd, on_connection, d, &door->listener) < 0
               ? -ENOMEM
               : ntohs(a.v4.sin_port);
}

static void close_door(struct dns_door *door)
{
    loop_listener_destroy(door->listener);
    if (door->fd >= 0)
        close(door->fd);
    *door = (struct dns_door){.fd = -1};
}

/* The port, or 0. */
static uint16_t door_of(struct nat_dns *d, bool v6)
{
    struct dns_door *door = &d->door[v6];
    int port;

    if (door->port)
        return door->port;
    port = open_door(d, door, v6);
    if (port < 0) {
        close_door(door);
        return 0;
    }
    loop_listener_set(door->listener, true);
    return door->port = (uint16_t)port;
}

static const void *router_of(const struct nat_dns *d, bool v6)
{
    return v6 ? (const void *)&d->nat->router6 : (const void *)&d->nat->router;
}

/* Exchange an address and a port of a TCP packet, at these places. */
static void redirect(uint8_t *frame, const struct nat_packet *p, const uint8_t *address_at,
                     const void *address, unsigned port_at, uint16_t port)
{
    uint8_t *tcp = frame + p->l4, *at = frame + (address_at - frame), be[2];
    uint8_t old[16];
    size_t len = nat_address_len(p->v6);

    store_be16(be, port);
    nat_packet_replace(tcp + port_at, be, 2, tcp + TCP_CHECKSUM);
    memcpy(old, at, len);
    nat_packet_replace(at, address, len, tcp + TCP_CHECKSUM);
    if (!p->v6) {
        memcpy(at, old, len); /* once more, for IP's own checksum */
        nat_packet_replace(at, address, len, frame + NAT_ETH + 10);
    }
}

void nat_dns_tcp_from_guest(struct nat_dns *d, uint8_t *frame, const struct nat_packet *p)
{
    uint16_t port = door_of(d, p->v6);

    if (port)
        redirect(frame, p, p->to, router_of(d, p->v6), 2, port);
}

void nat_dns_to_guest(struct nat_dns *d, uint8_t *frame, size_t len)
{
    struct nat_packet p;

    if ((!d->door[0].port && !d->door[1].port) || !nat_packet_parse(frame, len, &p) ||
        p.protocol != IPPROTO_TCP || p.is_part || p.l4_len < TCP || !d->door[p.v6].port ||
        load_be16(frame + p.l4) != d->door[p.v6].port ||
        memcmp(p.from, router_of(d, p.v6), nat_address_len(p.v6)) != 0)
        return;
    redirect(frame, &p, p.from, p.v6 ? (const void *)&d->address6 : (const void *)&d->address4, 0,
             DNS_PORT);
}

void nat_dns_tcp_close(struct nat_dns *d)
{
    while (!LIST_EMPTY(&d->streams))
        stream_free(LIST_FIRST(&d->streams));
    close_door(&d->door[0]);
    close_door(&d->door[1]);
}
