/* SPDX-License-Identifier: MIT */
/* What the network says of the guest's packets by ICMP: answers to its pings, and errors. libslirp
 * takes any ICMP message for an answer where it has a raw socket, and hears of no error at all. For
 * net_nat*.c; loop thread. */
#ifndef VZ_NET_NET_NAT_ICMP_H
#define VZ_NET_NET_NAT_ICMP_H

#include "net/net_nat.h"
#include "net/net_nat_packet.h"

/* Type and code of an error, both of the IP version at hand. */
struct nat_icmp {
    uint8_t type, code;
    uint32_t info; /* an MTU, or a pointer into the packet */
};

/* Tell the guest that a packet of its came to an end at `from`. original: the packet as a frame, with
 * eight bytes at least behind IP's header. */
void nat_icmp_tell(struct net_nat *t, const uint8_t *original, size_t len, const uint8_t *from,
                   const struct nat_icmp *error);

/* An error of the host's queue (IP_RECVERR) for a socket, and where it came from. */
struct nat_icmp_heard {
    struct nat_icmp error;
    uint8_t from[16];     /* who tells; the router for the host itself */
    union nat_address to; /* where the packet went */
    size_t len;
    uint8_t data[512];    /* what was in it behind IP's header, or its start */
};

/* Have the kernel queue errors for fd. */
void nat_icmp_listen(int fd, bool v6);
/* The next one that came by ICMP. false: there is none left. */
bool nat_icmp_hear(struct net_nat *t, int fd, bool v6, struct nat_icmp_heard *ret);

/* ---- net_nat_errors.c: UDP ------------------------------------------------------------------ */

/* slirp made fd to send on the guest's datagram p. Without memory its errors are not told. */
void nat_errors_watch(struct net_nat *t, int fd, const struct nat_packet *p);
/* Tell of what came, and so take it away before slirp's next call for the socket fails by it. */
void nat_errors_collect(struct net_nat *t);

/* ---- net_nat_ping.c ------------------------------------------------------------------------- */

/* NULL: without memory. */
struct nat_ping *nat_ping_create(struct net_nat *t);
void nat_ping_destroy(struct nat_ping *g); /* NULL is fine */

/* A packet of the guest's. true: it was a ping, and is taken care of. */
bool nat_ping_from_guest(struct nat_ping *g, const struct nat_packet *p);

#endif
