/* SPDX-License-Identifier: MIT */
/* Checksums and segmentation: see offload.h. */
#include "net/offload.h"

#include <endian.h>
#include <netinet/in.h>
#include <string.h>

#include "base/be.h"
#include "net/net.h"

enum { ETH_HEADER = 14, ETH_TYPE_IPV4 = 0x0800, ETH_TYPE_IPV6 = 0x86dd, ETH_TYPE_VLAN = 0x8100,
       ETH_TYPE_QINQ = 0x88a8 };
enum { IPV4_HEADER = 20, IPV6_HEADER = 40, TCP_HEADER = 20, UDP_HEADER = 8 };
enum { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_CWR = 0x80 };
#define IPV6_EXTENSIONS_MAX 8u /* more than any sender uses */

/* Sums do not mind byte order until the end (RFC 1071 2.B), so add native words, four bytes at a
 * time, and swap once. */
uint64_t offload_sum(const void *data, size_t len, uint64_t sum)
{
    const uint8_t *p = data;
    uint64_t native = 0;
    uint16_t folded;

    for (; len >= 4; p += 4, len -= 4) {
        uint32_t word;

        memcpy(&word, p, 4);
        native += word;
    }
    if (len) {
        uint8_t rest[4] = {0};
        uint32_t word;

        memcpy(rest, p, len);
        memcpy(&word, rest, 4);
        native += word;
    }
    folded = (uint16_t)~offload_fold(native);
    return sum + be16toh(folded);
}

uint16_t offload_fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* The upper protocol behind IPv6's extension headers. */
static bool parse_ipv6(const uint8_t *frame, size_t len, struct offload_headers *h,
                       unsigned *ret_protocol)
{
    unsigned next, at = h->l3 + IPV6_HEADER;

    if (len < at || frame[h->l3] >> 4 != 6)
        return false;
    next = frame[h->l3 + 6];
    for (unsigned i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
        if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS) {
            h->l4 = at;
            *ret_protocol = next;
            return true;
        }
        if (len < at + 8)
            return false;
        next = frame[at];
        at += (frame[at + 1] + 1u) * 8;
    }
    return false;
}

static bool parse_ipv4(const uint8_t *frame, size_t len, struct offload_headers *h,
                       unsigned *ret_protocol)
{
    const uint8_t *ip = frame + h->l3;
    unsigned header;

    if (len < h->l3 + IPV4_HEADER || ip[0] >> 4 != 4)
        return false;
    header = (ip[0] & 15u) * 4;
    if (header < IPV4_HEADER || (load_be16(ip + 6) & 0x3fff)) /* more fragments, or an offset */
        return false;
    h->l4 = h->l3 + header;
    *ret_protocol = ip[9];
    return true;
}

bool offload_parse(const uint8_t *frame, size_t len, struct offload_headers *ret)
{
    struct offload_headers h = {.l3 = ETH_HEADER};
    unsigned type, protocol;

    if (len < ETH_HEADER)
        return false;
    type = load_be16(frame + 12);
    for (unsigned i = 0; i < 2 && (type == ETH_TYPE_VLAN || type == ETH_TYPE_QINQ); i++) {
        h.l3 += 4;
        if (len < h.l3)
            return false;
        type = load_be16(frame + h.l3 - 2);
    }
    h.ipv6 = type == ETH_TYPE_IPV6;
    if (!h.ipv6 && type != ETH_TYPE_IPV4)
        return false;
    if (!(h.ipv6 ? parse_ipv6 : parse_ipv4)(frame, len, &h, &protocol))
        return false;
    h.tcp = protocol == IPPROTO_TCP;
    if (!h.tcp && protocol != IPPROTO_UDP)
        return false;
    if (len < h.l4 + (h.tcp ? TCP_HEADER : UDP_HEADER))
        return false;
    h.payload = h.l4 + (h.tcp ? (frame[h.l4 + 12] >> 4) * 4u : UDP_HEADER);
    if (h.payload < h.l4 + (h.tcp ? TCP_HEADER : UDP_HEADER) || len < h.payload)
        return false;
    *ret = h;
    return true;
}

bool offload_checksum(uint8_t *frame, size_t len, const struct virtio_net_hdr *hdr)
{
    size_t start = hdr->csum_start, at = start + hdr->csum_offset;
    uint16_t sum;

    if (start > len || at + 2 > len)
        return false;
    /* The field holds the sum of the pseudo header already. A UDP checksum of 0 would mean none
     * (RFC 768), and all ones are as good a zero for everybody else. */
    sum = offload_fold(offload_sum(frame + start, len - start, 0));
    store_be16(frame + at, sum ? sum : 0xffff);
    return true;
}

/* Lengths and checksums of a whole packet; frame is [0, len). */
static void finish_packet(uint8_t *frame, size_t len, const struct offload_headers *h)
{
    uint8_t *ip = frame + h->l3, *l4 = frame + h->l4;
    uint8_t *check = l4 + (h->tcp ? 16 : 6);
    size_t l4_len = len - h->l4;
    uint64_t sum = l4_len + (h->tcp ? IPPROTO_TCP : IPPROTO_UDP);
    uint16_t folded;

    if (h->ipv6) {
        store_be16(ip + 4, (unsigned)(len - h->l3 - IPV6_HEADER));
        sum = offload_sum(ip + 8, 32, sum);
    } else {
        store_be16(ip + 2, (unsigned)(len - h->l3));
        store_be16(ip + 10, 0);
        store_be16(ip + 10, offload_fold(offload_sum(ip, h->l4 - h->l3, 0)));
        sum = offload_sum(ip + 12, 8, sum);
    }
    if (!h->tcp)
        store_be16(l4 + 4, (unsigned)l4_len);
    store_be16(check, 0);
    folded = offload_fold(offload_sum(l4, l4_len, sum));
    store_be16(check, !folded && !h->tcp ? 0xffff : folded);
}

/* Is the frame what gso_type says? */
static bool parse_gso(const uint8_t *frame, size_t len, const struct virtio_net_hdr *hdr,
                      struct offload_headers *ret)
{
    unsigned type = hdr->gso_type & ~(unsigned)VIRTIO_NET_HDR_GSO_ECN;

    if (!offload_parse(frame, len, ret))
        return false;
    switch (type) {
    case VIRTIO_NET_HDR_GSO_TCPV4: return ret->tcp && !ret->ipv6;
    case VIRTIO_NET_HDR_GSO_TCPV6: return ret->tcp && ret->ipv6;
    case NET_GSO_UDP_L4: return !ret->tcp;
    default: return false;
    }
}

bool offload_complete(uint8_t *frame, size_t len, const struct virtio_net_hdr *hdr)
{
    struct offload_headers h;

    if (!parse_gso(frame, len, hdr, &h) ||
        len - h.l3 > 65535u + (h.ipv6 ? IPV6_HEADER : 0))
        return false;
    finish_packet(frame, len, &h);
    return true;
}

bool offload_split_begin(struct offload_split *s, const uint8_t *frame, size_t len,
                         const struct virtio_net_hdr *hdr)
{
    *s = (struct offload_split){.frame = frame, .len = len, .gso_size = hdr->gso_size};
    if (!hdr->gso_size || !parse_gso(frame, len, hdr, &s->headers) ||
        s->headers.payload - s->headers.l3 + hdr->gso_size > 65535u)
        return false;
    s->pos = s->headers.payload;
    return true;
}

size_t offload_split_next(struct offload_split *s, uint8_t *out)
{
    const struct offload_headers *h = &s->headers;
    size_t size = MIN(s->len - s->pos, (size_t)s->gso_size), len = h->payload + size;
    bool last = s->pos + size == s->len;

    if (!size && s->index) /* a packet without payload is one segment */
        return 0;
    memcpy(out, s->frame, h->payload);
    memcpy(out + h->payload, s->frame + s->pos, size);
    if (h->tcp) {
        uint8_t *tcp = out + h->l4;

        store_be32(tcp + 4, load_be32(tcp + 4) + (uint32_t)(s->pos - h->payload));
        if (!last)
            tcp[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
        if (s->index)
            tcp[13] &= (uint8_t)~TCP_CWR; /* RFC 3168 6.1.2: once */
    }
    if (!h->ipv6)
        store_be16(out + h->l3 + 4, load_be16(out + h->l3 + 4) + s->index);
    finish_packet(out, len, h);
    s->pos += size;
    s->index++;
    return len;
}
