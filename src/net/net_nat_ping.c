/* SPDX-License-Identifier: MIT */
/* Pings of the guest to the world. They go out by one socket for each version of IP: one for pings
 * (which the host grants by net.ipv4.ping_group_range), or else a raw one (CAP_NET_RAW). Each has a
 * number of ours, by which an answer, or an error, finds back to it. A host that grants neither is
 * told to the guest as what it is, a prohibition (ping: "Packet filtered"). */
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/be.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "net/net_nat_icmp.h"

#ifndef ICMP_FILTER
#define ICMP_FILTER 1 /* of SOL_RAW; <linux/icmp.h> collides with <netinet/ip_icmp.h> */
#endif
#ifndef SOL_RAW
#define SOL_RAW 255
#endif

#define PINGS_MAX 1024u /* that may still be answered */
#define PER_EVENT 32u

struct ping {
    bool used;
    uint16_t seq;    /* ours */
    size_t asked_len; /* of the ICMP message; an answer has no more */
    uint8_t to[16];
    uint8_t original[NAT_HEADERS_MAX + NAT_ICMP]; /* of the guest's frame */
    size_t len;
};

/* One version of IP. */
struct side {
    struct nat_ping *all;
    bool v6, tried, raw;
    int fd; /* -1: none */
    struct loop_fd *watch;
};

struct nat_ping {
    struct net_nat *nat;
    struct side side[2];
    uint16_t next_seq, id;
    struct ping ping[PINGS_MAX];
};

/* ---- The sockets ---------------------------------------------------------------------------- */

static void on_event(void *arg, unsigned events);

/* Of all that comes to the host only answers, or nothing: what nobody reads would fill the socket. */
static void filter(int fd, bool v6, bool answers)
{
    uint32_t others4 = answers ? ~(UINT32_C(1) << ICMP_ECHOREPLY) : UINT32_MAX;
    struct icmp6_filter others6;

    ICMP6_FILTER_SETBLOCKALL(&others6);
    if (answers)
        ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &others6);
    if (v6)
        (void)setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &others6, sizeof(others6));
    else
        (void)setsockopt(fd, SOL_RAW, ICMP_FILTER, &others4, sizeof(others4));
}

static void open_socket(struct side *s)
{
    int family = s->v6 ? AF_INET6 : AF_INET, protocol = s->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;

    s->fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (s->fd < 0) {
        s->fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
        s->raw = s->fd >= 0;
    }
    if (s->raw)
        filter(s->fd, s->v6, false);
}

static void open_side(struct side *s)
{
    s->tried = true;
    if (s->fd < 0)
        open_socket(s);
    if (s->fd < 0) {
        log_warn("the guest's pings are refused, since the host lets this process send none: %s "
                 "(vz doctor says what to do)", strerror(errno));
        return;
    }
    if (s->raw)
        filter(s->fd, s->v6, true);
    nat_icmp_listen(s->fd, s->v6);
    if (loop_fd_add(s->all->nat->net.loop, s->fd, LOOP_READ, on_event, s, &s->watch) < 0) {
        close(s->fd);
        s->fd = -1;
    }
}

/* ---- To the guest --------------------------------------------------------------------------- */

/* The ping that these first NAT_ICMP bytes of a message are about. A raw socket hears of what others
 * on the host sent too. */
static const struct ping *find(const struct side *s, const uint8_t *icmp)
{
    const struct ping *p = &s->all->ping[load_be16(icmp + 6) % PINGS_MAX];

    return p->used && p->seq == load_be16(icmp + 6) &&
                   (!s->raw || load_be16(icmp + 4) == s->all->id) &&
                   (load_be16(p->original + 12) == 0x86dd) == s->v6
               ? p : NULL;
}

static void answer(struct nat_ping *g, const struct ping *p, bool v6, const uint8_t *icmp,
                   size_t len)
{
    uint8_t *out = g->nat->merged; /* nobody else is at it */
    uint8_t protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
    size_t at = nat_packet_answer(out, p->original, p->to, protocol, len);

    memcpy(out + at, icmp, len);
    memcpy(out + at + 4, p->original + p->len - 4, 4); /* the guest's own numbers */
    store_be16(out + at + 2, 0);
    store_be16(out + at + 2, nat_packet_checksum(out, at, protocol, len));
    net_nat_to_guest(g->nat, out, at + len);
}

/* From that address came len bytes of IPv4 (a raw socket has IP's header too) or ICMP. */
static void on_answer(struct side *s, const union nat_address *from, const uint8_t *data, size_t len)
{
    size_t skip = s->raw && !s->v6 && len ? 4u * (data[0] & 0xf) : 0;
    const uint8_t *icmp = data + skip;
    const struct ping *p;

    if (len < skip + NAT_ICMP || icmp[0] != (s->v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY))
        return;
    p = find(s, icmp);
    if (p && len - skip <= p->asked_len &&
        memcmp(p->to, s->v6 ? (const void *)&from->v6.sin6_addr
                                 : (const void *)&from->v4.sin_addr, nat_address_len(s->v6)) == 0)
        answer(s->all, p, s->v6, icmp, len - skip);
}

static void hear_errors(struct side *s)
{
    struct nat_icmp_heard h;

    for (unsigned i = 0; i < PER_EVENT && nat_icmp_hear(s->all->nat, s->fd, s->v6, &h); i++) {
        const struct ping *p = h.len < NAT_ICMP ? NULL : find(s, h.data);

        if (p)
            nat_icmp_tell(s->all->nat, p->original, p->len, h.from, &h.error);
    }
}

static void on_event(void *arg, unsigned events)
{
    struct side *s = arg;
    uint8_t *buffer = s->all->nat->gathered; /* nobody else is at it */

    hear_errors(s);
    for (unsigned i = 0; i < PER_EVENT; i++) {
        union nat_address from = {0};
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(s->fd, buffer, 65535, MSG_DONTWAIT, &from.any, &len);

        if (n < 0)
            return;
        on_answer(s, &from, buffer, (size_t)n);
    }
}

/* ---- From the guest ------------------------------------------------------------------------- */

static const uint8_t *router_of(const struct nat_ping *g, bool v6)
{
    return v6 ? (const uint8_t *)&g->nat->router6 : (const uint8_t *)&g->nat->router;
}

static void refuse(struct nat_ping *g, const struct nat_packet *p, uint8_t type, uint8_t code)
{
    const struct nat_icmp error = {.type = type, .code = code};

    nat_icmp_tell(g->nat, p->frame, p->l4 + NAT_ICMP, router_of(g, p->v6), &error);
}

/* What the host says to sending, as a router would. */
static void refuse_errno(struct nat_ping *g, const struct nat_packet *p, int err)
{
    bool prohibited = err == EACCES || err == EPERM, host = err == EHOSTUNREACH;

    if (p->v6)
        refuse(g, p, ICMP6_DST_UNREACH,
               prohibited ? ICMP6_DST_UNREACH_ADMIN
                          : host ? ICMP6_DST_UNREACH_ADDR : ICMP6_DST_UNREACH_NOROUTE);
    else
        refuse(g, p, ICMP_DEST_UNREACH,
               prohibited ? ICMP_PKT_FILTERED : host ? ICMP_HOST_UNREACH : ICMP_NET_UNREACH);
}

static struct ping *remember(struct nat_ping *g, const struct nat_packet *p)
{
    uint16_t seq = g->next_seq++;
    size_t headers = NAT_ETH + (p->v6 ? NAT_IPV6 : NAT_IPV4);
    struct ping *i = &g->ping[seq % PINGS_MAX];

    *i = (struct ping){.used = true, .seq = seq, .asked_len = p->l4_len,
                       .len = headers + NAT_ICMP};
    memcpy(i->to, p->to, nat_address_len(p->v6));
    memcpy(i->original, p->frame, headers); /* without options of IPv4's */
    if (!p->v6)
        i->original[NAT_ETH] = 0x45;
    memcpy(i->original + headers, p->frame + p->l4, NAT_ICMP);
    return i;
}

static int send_out(struct side *s, const struct nat_packet *p, const uint8_t *icmp)
{
    union nat_address to = {.any.sa_family = s->v6 ? AF_INET6 : AF_INET};
    int ttl = p->ttl - 1;

    if (s->v6) {
        memcpy(&to.v6.sin6_addr, p->to, 16);
        (void)setsockopt(s->fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof(ttl));
    } else {
        memcpy(&to.v4.sin_addr, p->to, 4);
        (void)setsockopt(s->fd, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
    }
    return sendto(s->fd, icmp, p->l4_len, MSG_DONTWAIT | MSG_NOSIGNAL, &to.any,
                  s->v6 ? sizeof(to.v6) : sizeof(to.v4)) < 0 ? errno : 0;
}

static void pass_on(struct side *s, const struct nat_packet *p)
{
    struct nat_ping *g = s->all;
    const struct ping *i = remember(g, p);
    uint8_t *icmp = g->nat->merged; /* nobody else is at it */
    int err;

    memcpy(icmp, p->frame + p->l4, p->l4_len);
    store_be16(icmp + 2, 0);
    store_be16(icmp + 4, g->id); /* a socket for pings puts in its own, and the checksum too */
    store_be16(icmp + 6, i->seq);
    if (!s->v6)
        store_be16(icmp + 2, offload_fold(offload_sum(icmp, p->l4_len, 0)));
    hear_errors(s); /* of earlier ones, which would be taken for this one's */
    err = send_out(s, p, icmp);
    if (err && err != EAGAIN && err != ENOBUFS)
        refuse_errno(g, p, err);
}

/* To somebody beyond the router, whom slirp does not answer for. */
static bool is_for_world(const struct net_nat *t, const struct nat_packet *p)
{
    uint32_t to;

    if (p->v6)
        return p->to[0] != 0xff && memcmp(p->to, &t->prefix6, 8) != 0 &&
               !(p->to[0] == 0xfe && (p->to[1] & 0xc0) == 0x80);
    memcpy(&to, p->to, 4);
    return (to & t->mask.s_addr) != t->network.s_addr && p->to[0] && p->to[0] < 224;
}

bool nat_ping_from_guest(struct nat_ping *g, const struct nat_packet *p)
{
    struct side *s = &g->side[p->v6];

    if (p->protocol != (p->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) || !is_for_world(g->nat, p))
        return false;
    if (!s->tried && !g->nat->isolated)
        open_side(s);
    if (p->is_part) /* slirp puts it together; with a raw socket it would believe any answer */
        return s->fd < 0 || s->raw;
    if (p->l4_len < NAT_ICMP || p->frame[p->l4] != (p->v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO) ||
        p->frame[p->l4 + 1])
        return p->v6; /* slirp has nothing to say to it but on the guest's own network */
    if (g->nat->isolated)
        return true;
    if (s->fd < 0)
        refuse_errno(g, p, EACCES);
    else if (p->ttl <= 1)
        refuse(g, p, p->v6 ? ICMP6_TIME_EXCEEDED : ICMP_TIME_EXCEEDED, 0);
    else
        pass_on(s, p);
    return true;
}

/* ---- Life ----------------------------------------------------------------------------------- */

struct nat_ping *nat_ping_create(struct net_nat *t)
{
    struct nat_ping *g = calloc(1, sizeof(*g));

    if (!g)
        return NULL;
    g->nat = t;
    g->id = (uint16_t)(clock_mono_ns() ^ (uint64_t)getpid() * 31);
    for (unsigned i = 0; i < 2; i++)
        g->side[i] = (struct side){.all = g, .v6 = i, .fd = -1};
    for (unsigned i = 0; i < 2 && thread_has_policy(); i++) /* later it may not */
        open_socket(&g->side[i]);
    return g;
}

void nat_ping_destroy(struct nat_ping *g)
{
    for (unsigned i = 0; g && i < 2; i++) {
        loop_fd_remove(g->side[i].watch);
        if (g->side[i].fd >= 0)
            close(g->side[i].fd);
    }
    free(g);
}
