/* SPDX-License-Identifier: MIT */
/* Merging TCP segments into large packets: see offload.h. */
#include <netinet/in.h>
#include <string.h>

#include "base/be.h"
#include "net/net.h"
#include "net/offload.h"

enum { TCP_PSH = 0x08, TCP_ACK = 0x10, TCP_HEADER = 20, IPV6_HEADER = 40 };

/* Data and nothing special, without padding behind it? */
static bool is_plain_data(const uint8_t *frame, size_t len, const struct offload_headers *h)
{
    size_t ip_len = h->ipv6 ? load_be16(frame + h->l3 + 4) + (size_t)IPV6_HEADER
                            : load_be16(frame + h->l3 + 2);

    return h->tcp && len > h->payload && ip_len == len - h->l3 &&
           (frame[h->l4 + 13] & ~TCP_PSH) == TCP_ACK;
}

void offload_merge_begin(struct offload_merge *m, uint8_t *out, const uint8_t *frame, size_t len)
{
    *m = (struct offload_merge){.out = out, .first = frame, .first_len = len};
    if (!offload_parse(frame, len, &m->headers) || !is_plain_data(frame, len, &m->headers))
        return;
    m->gso_size = len - m->headers.payload;
    m->next_seq = load_be32(frame + m->headers.l4 + 4) + (uint32_t)m->gso_size;
    m->open = !(frame[m->headers.l4 + 13] & TCP_PSH);
}

/* Headers that are the same but for lengths, checksums, sequence number and window. */
static bool same_flow(const uint8_t *a, const uint8_t *b, const struct offload_headers *h)
{
    const uint8_t *ip_a = a + h->l3, *ip_b = b + h->l3, *tcp_a = a + h->l4, *tcp_b = b + h->l4;
    size_t ip_len = h->l4 - h->l3;

    if (memcmp(a, b, h->l3) != 0 || memcmp(tcp_a, tcp_b, 4) != 0 ||
        memcmp(tcp_a + 8, tcp_b + 8, 5) != 0 ||
        memcmp(tcp_a + TCP_HEADER, tcp_b + TCP_HEADER, h->payload - h->l4 - TCP_HEADER) != 0)
        return false;
    if (h->ipv6)
        return memcmp(ip_a, ip_b, 4) == 0 && memcmp(ip_a + 6, ip_b + 6, ip_len - 6) == 0;
    return memcmp(ip_a, ip_b, 2) == 0 && memcmp(ip_a + 6, ip_b + 6, 4) == 0 &&
           memcmp(ip_a + 12, ip_b + 12, ip_len - 12) == 0;
}

bool offload_merge_add(struct offload_merge *m, const uint8_t *frame, size_t len)
{
    struct offload_headers h;
    size_t payload, so_far = m->len ? m->len : m->first_len;

    if (!m->open || !offload_parse(frame, len, &h) || !is_plain_data(frame, len, &h) ||
        h.l3 != m->headers.l3 || h.l4 != m->headers.l4 || h.payload != m->headers.payload ||
        h.ipv6 != m->headers.ipv6 || !same_flow(m->first, frame, &h))
        return false;
    payload = len - h.payload;
    if (payload > m->gso_size || load_be32(frame + h.l4 + 4) != m->next_seq ||
        so_far - h.l3 + payload > 65535u)
        return false;
    if (!m->len)
        memcpy(m->out, m->first, m->first_len);
    memcpy(m->out + so_far, frame + h.payload, payload);
    m->out[h.l4 + 13] |= frame[h.l4 + 13] & TCP_PSH;
    m->len = so_far + payload;
    m->next_seq += (uint32_t)payload;
    m->open = payload == m->gso_size && !(frame[h.l4 + 13] & TCP_PSH);
    return true;
}

/* Lengths, IPv4's checksum, and the pseudo header's sum that NEEDS_CSUM wants in the field. */
static void finish(struct offload_merge *m)
{
    const struct offload_headers *h = &m->headers;
    uint8_t *ip = m->out + h->l3;
    uint64_t sum = m->len - h->l4 + IPPROTO_TCP;

    if (h->ipv6) {
        store_be16(ip + 4, (unsigned)(m->len - h->l3 - IPV6_HEADER));
        sum = offload_sum(ip + 8, 32, sum);
    } else {
        store_be16(ip + 2, (unsigned)(m->len - h->l3));
        store_be16(ip + 10, 0);
        store_be16(ip + 10, offload_fold(offload_sum(ip, h->l4 - h->l3, 0)));
        sum = offload_sum(ip + 12, 8, sum);
    }
    store_be16(m->out + h->l4 + 16, (uint16_t)~offload_fold(sum));
}

const uint8_t *offload_merge_end(struct offload_merge *m, struct virtio_net_hdr *ret_hdr,
                                 size_t *ret_len)
{
    if (!m->len) {
        *ret_hdr = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_DATA_VALID};
        *ret_len = m->first_len;
        return m->first;
    }
    finish(m);
    *ret_hdr = (struct virtio_net_hdr){
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = m->headers.ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
        .hdr_len = (uint16_t)m->headers.payload, .gso_size = (uint16_t)m->gso_size,
        .csum_start = (uint16_t)m->headers.l4, .csum_offset = 16};
    *ret_len = m->len;
    return m->out;
}
