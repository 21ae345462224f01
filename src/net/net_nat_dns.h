/* SPDX-License-Identifier: MIT */
/* The name server that the NAT tells its guest (network + 3, fec0::3): it asks those of the host, all
 * of them, as the host's resolv.conf has them at that moment. libslirp knows the first one with an
 * IPv4 address only. For net_nat*.c.
 *
 * By UDP (net_nat_dns.c): a query of the guest is sent to the server that answered last; after a
 * second without an answer, or after one that says that it cannot tell (SERVFAIL, REFUSED), to the
 * next one as well. The first answer goes to the guest, cut short (TC) if it is too long for a
 * packet. By TCP (net_nat_dns_tcp.c): the guest's connection is led to a socket of ours, and from
 * there by a relay to the first server that takes one.
 *
 * Loop thread, or while the loop does not run. */
#ifndef VZ_NET_NET_NAT_DNS_H
#define VZ_NET_NET_NAT_DNS_H

#include "net/net_nat.h"
#include "net/resolv.h"

#define NAT_DNS_QUERIES_MAX 256u

struct dns_query;
struct dns_stream;
struct loop_listener;

struct nat_dns {
    struct net_nat *nat;
    struct resolv resolv;
    unsigned good; /* the server that answered last */
    struct in_addr address4;
    struct in6_addr address6;
    LIST_HEAD(, dns_query) queries; /* the newest first */
    unsigned query_count;
    struct loop_timer *timer;
    /* TCP, by version of IP: where the guest's connections are led to. Made at the first one. */
    struct dns_door {
        int fd;
        uint16_t port; /* 0: none */
        struct loop_listener *listener;
    } door[2];
    LIST_HEAD(, dns_stream) streams; /* not yet connected to a server */
};

/* 0 or -errno. */
int nat_dns_create(struct net_nat *t, const struct net_nat_options *o, struct nat_dns **ret) must_check;
void nat_dns_destroy(struct nat_dns *d); /* NULL is fine */

/* A packet of the guest's, in frame. true: it was a query, and is taken care of. Otherwise frame may
 * have been changed. Any content. */
bool nat_dns_from_guest(struct nat_dns *d, uint8_t *frame, const struct nat_packet *p);
/* A frame for the guest; it may be changed. */
void nat_dns_to_guest(struct nat_dns *d, uint8_t *frame, size_t len);

/* net_nat_dns_tcp.c */
void nat_dns_tcp_from_guest(struct nat_dns *d, uint8_t *frame, const struct nat_packet *p);
void nat_dns_tcp_close(struct nat_dns *d);
void nat_dns_tcp_tick(struct nat_dns *d, uint64_t now);

/* See that the timer goes off in time. */
void nat_dns_wake(struct nat_dns *d);

#endif
