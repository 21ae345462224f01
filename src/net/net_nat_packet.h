/* SPDX-License-Identifier: MIT */
/* IP packets of a guest taken apart, and answers to them put together, for the parts of the NAT that
 * do without libslirp. Pure functions. */
#ifndef VZ_NET_NET_NAT_PACKET_H
#define VZ_NET_NET_NAT_PACKET_H

#include "base/compiler.h"

enum { NAT_ETH = 14, NAT_IPV4 = 20, NAT_IPV6 = 40, NAT_UDP = 8, NAT_ICMP = 8 };
#define NAT_HEADERS_MAX (NAT_ETH + NAT_IPV6)

/* A whole IPv4 or IPv6 packet, without extension headers. Pointers are into the frame. */
struct nat_packet {
    bool v6;
    uint8_t protocol, ttl;
    bool is_part;          /* a fragment: what follows IP's header may be anything */
    const uint8_t *frame;
    const uint8_t *from, *to; /* of nat_address_len() */
    unsigned l4;           /* offset in the frame */
    size_t l4_len;         /* bytes there, as IP says; all of them are in the frame */
};

static inline size_t nat_address_len(bool v6)
{
    return v6 ? 16 : 4;
}

/* false: no such packet, or cut short. */
bool nat_packet_parse(const uint8_t *frame, size_t len, struct nat_packet *ret) must_check;

/* The headers of a packet to whom headers (NAT_HEADERS_MAX of a frame of the guest's) came from,
 * that carries l4_len bytes of protocol and comes from `from`. Returns the offset of those bytes. */
size_t nat_packet_answer(uint8_t *out, const uint8_t *headers, const uint8_t *from,
                         uint8_t protocol, size_t l4_len);

/* The checksum of an answer's l4_len bytes at offset at, with the pseudo header where protocol has
 * one. The field itself must be 0. Host byte order. */
uint16_t nat_packet_checksum(const uint8_t *out, size_t at, uint8_t protocol, size_t l4_len);

/* Exchange bytes (an even number, at an even offset of what is summed), and bring the checksum at
 * sum, if there is one, in line (RFC 1624). */
void nat_packet_replace(uint8_t *bytes, const void *with, size_t len, uint8_t *sum);

#endif
