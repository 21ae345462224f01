/* SPDX-License-Identifier: MIT */
#include "net/net_nat_packet.h"

#include <netinet/in.h>
#include <string.h>

#include "base/be.h"
#include "net/offload.h"

enum { TYPE_IPV4 = 0x0800, TYPE_IPV6 = 0x86dd, TTL = 64 };

static bool parse_ipv4(const uint8_t *ip, size_t len, struct nat_packet *ret)
{
    size_t header = 4u * (ip[0] & 0xf), total = len < NAT_IPV4 ? 0 : load_be16(ip + 2);

    if (len < NAT_IPV4 || ip[0] >> 4 != 4 || header < NAT_IPV4 || total < header || total > len)
        return false;
    *ret = (struct nat_packet){.protocol = ip[9], .ttl = ip[8], .from = ip + 12, .to = ip + 16,
                               .is_part = load_be16(ip + 6) & 0x3fff,
                               .l4 = (unsigned)(NAT_ETH + header), .l4_len = total - header};
    return true;
}

static bool parse_ipv6(const uint8_t *ip, size_t len, struct nat_packet *ret)
{
    if (len < NAT_IPV6 || ip[0] >> 4 != 6 || load_be16(ip + 4) > len - NAT_IPV6)
        return false;
    *ret = (struct nat_packet){.v6 = true, .protocol = ip[6], .ttl = ip[7], .from = ip + 8,
                               .to = ip + 24, .is_part = ip[6] == IPPROTO_FRAGMENT,
                               .l4 = NAT_ETH + NAT_IPV6, .l4_len = load_be16(ip + 4)};
    return true;
}

bool nat_packet_parse(const uint8_t *frame, size_t len, struct nat_packet *ret)
{
    bool good = false;

    if (len < NAT_ETH + 1)
        return false;
    if (load_be16(frame + 12) == TYPE_IPV4)
        good = parse_ipv4(frame + NAT_ETH, len - NAT_ETH, ret);
    else if (load_be16(frame + 12) == TYPE_IPV6)
        good = parse_ipv6(frame + NAT_ETH, len - NAT_ETH, ret);
    ret->frame = frame;
    return good;
}

static bool is_v6(const uint8_t *frame)
{
    return load_be16(frame + 12) == TYPE_IPV6;
}

size_t nat_packet_answer(uint8_t *out, const uint8_t *headers, const uint8_t *from,
                         uint8_t protocol, size_t l4_len)
{
    uint8_t *ip = out + NAT_ETH;

    memset(out, 0, NAT_HEADERS_MAX);
    memcpy(out, headers + 6, 6);
    memcpy(out + 6, headers, 6);
    memcpy(out + 12, headers + 12, 2);
    if (is_v6(headers)) {
        ip[0] = 0x60;
        store_be16(ip + 4, (uint32_t)l4_len);
        ip[6] = protocol;
        ip[7] = TTL;
        memcpy(ip + 8, from, 16);
        memcpy(ip + 24, headers + NAT_ETH + 8, 16);
        return NAT_ETH + NAT_IPV6;
    }
    ip[0] = 0x45;
    store_be16(ip + 2, (uint32_t)(NAT_IPV4 + l4_len));
    ip[8] = TTL;
    ip[9] = protocol;
    memcpy(ip + 12, from, 4);
    memcpy(ip + 16, headers + NAT_ETH + 12, 4);
    store_be16(ip + 10, offload_fold(offload_sum(ip, NAT_IPV4, 0)));
    return NAT_ETH + NAT_IPV4;
}

uint16_t nat_packet_checksum(const uint8_t *out, size_t at, uint8_t protocol, size_t l4_len)
{
    const uint8_t *ip = out + NAT_ETH;
    uint64_t sum = offload_sum(out + at, l4_len, 0);
    uint16_t folded;

    if (is_v6(out))
        sum = offload_sum(ip + 8, 32, sum + l4_len + protocol);
    else if (protocol != IPPROTO_ICMP)
        sum = offload_sum(ip + 12, 8, sum + l4_len + protocol);
    folded = offload_fold(sum);
    return !folded && protocol == IPPROTO_UDP ? 0xffff : folded;
}

void nat_packet_replace(uint8_t *bytes, const void *with, size_t len, uint8_t *sum)
{
    const uint8_t *new = with;

    for (size_t i = 0; sum && i < len; i += 2) {
        uint64_t s = (uint16_t)~load_be16(sum) + (uint64_t)(uint16_t)~load_be16(bytes + i) +
                     load_be16(new + i);

        store_be16(sum, offload_fold(s));
    }
    memcpy(bytes, with, len);
}
