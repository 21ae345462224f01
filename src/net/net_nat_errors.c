/* SPDX-License-Identifier: MIT */
/* ICMP errors, and those of the guest's UDP sockets: nobody serves that port, there is no way to that
 * host, too many hops. The guest sends by a socket of libslirp's for each of its ports; which port
 * that is, is known while the datagram is handed over for which the socket was made. */
#include "net/net_nat_icmp.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/be.h"
#include "net/offload.h"

#define ORIGINAL_MAX 548u /* bytes of a packet that an error quotes (RFC 1812, 4.3.2.3) */
#define PER_SOCKET   16u  /* errors; then others have a turn */

/* ---- Any error ------------------------------------------------------------------------------ */

void nat_icmp_tell(struct net_nat *t, const uint8_t *original, size_t len, const uint8_t *from,
                   const struct nat_icmp *error)
{
    uint8_t out[NAT_HEADERS_MAX + NAT_ICMP + ORIGINAL_MAX];
    bool v6 = load_be16(original + 12) == 0x86dd;
    uint8_t protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
    size_t quoted = MIN(len - NAT_ETH, (size_t)ORIGINAL_MAX), l4_len = NAT_ICMP + quoted;
    size_t at = nat_packet_answer(out, original, from, protocol, l4_len);

    memset(out + at, 0, NAT_ICMP);
    out[at] = error->type;
    out[at + 1] = error->code;
    if (v6)
        store_be32(out + at + 4, error->info);
    else if (error->type == ICMP_DEST_UNREACH && error->code == ICMP_FRAG_NEEDED)
        store_be16(out + at + 6, error->info);
    else if (error->type == ICMP_PARAMETERPROB)
        store_be32(out + at + 4, error->info);
    memcpy(out + at + NAT_ICMP, original + NAT_ETH, quoted);
    store_be16(out + at + 2, nat_packet_checksum(out, at, protocol, l4_len));
    net_nat_to_guest(t, out, at + l4_len);
}

void nat_icmp_listen(int fd, bool v6)
{
    const int on = 1;

    if (v6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
    else
        (void)setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
}

/* The address of who tells: of the host itself the guest knows the router only. */
static void set_from(const struct net_nat *t, bool v6, const union nat_address *a, uint8_t *from)
{
    if (v6 && a->any.sa_family == AF_INET6 && !IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr))
        memcpy(from, &a->v6.sin6_addr, 16);
    else if (v6)
        memcpy(from, &t->router6, 16);
    else if (a->any.sa_family == AF_INET && ntohl(a->v4.sin_addr.s_addr) >> 24 != 127)
        memcpy(from, &a->v4.sin_addr, 4);
    else
        memcpy(from, &t->router, 4);
}

static const struct sock_extended_err *find_error(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
            (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
            return (const void *)CMSG_DATA(c);
    }
    return NULL;
}

bool nat_icmp_hear(struct net_nat *t, int fd, bool v6, struct nat_icmp_heard *ret)
{
    for (;;) {
        uint8_t control[512] __attribute__((aligned(8)));
        struct iovec iov = {ret->data, sizeof(ret->data)};
        struct msghdr m = {.msg_name = &ret->to, .msg_namelen = sizeof(ret->to), .msg_iov = &iov,
                           .msg_iovlen = 1, .msg_control = control,
                           .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT);
        const struct sock_extended_err *e = n < 0 ? NULL : find_error(&m);
        union nat_address from = {0};

        if (n < 0)
            return false;
        if (!e || e->ee_origin != (v6 ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP))
            continue; /* what sending said already */
        memcpy(&from, SO_EE_OFFENDER(e), v6 ? sizeof(from.v6) : sizeof(from.v4));
        set_from(t, v6, &from, ret->from);
        ret->error = (struct nat_icmp){e->ee_type, e->ee_code, e->ee_info};
        ret->len = (size_t)n;
        return true;
    }
}

/* ---- UDP ------------------------------------------------------------------------------------ */

static bool is_udp(int fd)
{
    int protocol = 0;
    socklen_t len = sizeof(protocol);

    return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 && protocol == IPPROTO_UDP;
}

void nat_errors_watch(struct net_nat *t, int fd, const struct nat_packet *p)
{
    struct epoll_event ev = {.events = 0, .data.fd = fd}; /* errors are told in any case */
    struct nat_fd *f;

    if (p->protocol != IPPROTO_UDP || p->is_part || p->l4_len < NAT_UDP || !is_udp(fd) ||
        !net_nat_know_fd(t, fd) || epoll_ctl(t->error_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
        return;
    f = &t->fds[fd];
    f->tells = true;
    f->v6 = p->v6;
    f->guest_port = load_be16(p->frame + p->l4);
    memcpy(f->headers, p->frame, sizeof(f->headers)); /* a UDP packet has as many */
    nat_icmp_listen(fd, p->v6);
}

/* The datagram that did not get there, as the guest sent it. Its length as a frame. */
static size_t restore(struct net_nat *t, const struct nat_fd *f, const struct nat_icmp_heard *h,
                      uint8_t *out)
{
    uint8_t *ip = out + NAT_ETH, *udp = ip + (f->v6 ? NAT_IPV6 : NAT_IPV4);
    size_t len = NAT_UDP + h->len;

    memcpy(out, f->headers, NAT_HEADERS_MAX);
    if (f->v6) {
        store_be16(ip + 4, (uint32_t)len);
        set_from(t, true, &h->to, ip + 24);
    } else {
        ip[0] = 0x45;
        store_be16(ip + 2, (uint32_t)(NAT_IPV4 + len));
        set_from(t, false, &h->to, ip + 16);
        store_be16(ip + 10, 0);
        store_be16(ip + 10, offload_fold(offload_sum(ip, NAT_IPV4, 0)));
    }
    store_be16(udp, f->guest_port);
    memcpy(udp + 2, &h->to.v4.sin_port, 2); /* at the same place in both */
    store_be16(udp + 4, (uint32_t)len);
    store_be16(udp + 6, 0);
    memcpy(udp + NAT_UDP, h->data, h->len);
    return (size_t)(udp - out) + len;
}

static void tell(struct net_nat *t, int fd)
{
    const struct nat_fd *f = &t->fds[fd];
    struct nat_icmp_heard h;
    uint8_t original[NAT_HEADERS_MAX + NAT_UDP + sizeof(h.data)];

    for (unsigned i = 0; i < PER_SOCKET && f->tells && nat_icmp_hear(t, fd, f->v6, &h); i++) {
        size_t len = restore(t, f, &h, original);

        nat_icmp_tell(t, original, len, h.from, &h.error);
    }
}

void nat_errors_collect(struct net_nat *t)
{
    struct epoll_event ev[16];
    int count = epoll_wait(t->error_fd, ev, ARRAY_SIZE(ev), 0);

    for (int i = 0; i < count; i++)
        tell(t, ev[i].data.fd);
}
