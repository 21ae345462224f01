/* SPDX-License-Identifier: MIT */
/* Which address did the guest get? DHCP's acknowledgement tells (RFC 2131); a guest with an address
 * of its own choice says it in ARP (RFC 826), and its IPv6 address in neighbour discovery (RFC
 * 4861) or whatever else it sends from it. */
#include <string.h>

#include "net/net_nat.h"

enum { ETH = 14, ARP_LEN = 28, IPV4 = 20, IPV6 = 40, UDP = 8, BOOTP = 240 };
static const uint8_t arp_start[6] = {0, 1, 8, 0, 6, 4}; /* Ethernet, IPv4 */

static void set_ipv4(struct net_nat *t, const uint8_t *bytes)
{
    struct in_addr a;

    memcpy(&a, bytes, sizeof(a));
    if (!a.s_addr || (a.s_addr & t->mask.s_addr) != t->network.s_addr)
        return;
    pthread_mutex_lock(&t->lock);
    if (!t->address.has_ipv4 || t->address.ipv4.s_addr != a.s_addr)
        t->address_changed = true;
    t->address.has_ipv4 = true;
    t->address.ipv4 = a;
    pthread_mutex_unlock(&t->lock);
}

static void set_ipv6(struct net_nat *t, const uint8_t *bytes)
{
    if (memcmp(bytes, &t->prefix6, 8) != 0)
        return;
    pthread_mutex_lock(&t->lock);
    /* A guest has several, some of them short-lived: the first one stays. */
    if (!t->address.has_ipv6) {
        t->address_changed = true;
        t->address.has_ipv6 = true;
        memcpy(&t->address.ipv6, bytes, 16);
    }
    pthread_mutex_unlock(&t->lock);
}

void net_nat_learn_from_guest(struct net_nat *t, const uint8_t *frame, size_t len)
{
    const uint8_t *packet = frame + ETH;

    if (len < ETH)
        return;
    if (frame[12] == 0x08 && frame[13] == 0x06 && len >= ETH + ARP_LEN &&
        memcmp(packet, arp_start, sizeof(arp_start)) == 0)
        set_ipv4(t, packet + 14); /* sender's; 0.0.0.0 in a probe (RFC 5227) */
    else if (frame[12] == 0x86 && frame[13] == 0xdd && len >= ETH + IPV6 && !t->address.has_ipv6)
        set_ipv6(t, packet + 8);
}

/* Is that option in a DHCP message, and where? */
static const uint8_t *dhcp_option(const uint8_t *options, size_t len, uint8_t code)
{
    size_t at = 0;

    while (at + 1 < len && options[at] != 255) {
        if (!options[at]) {
            at++;
            continue;
        }
        if (options[at + 1] > len - at - 2)
            return NULL;
        if (options[at] == code && options[at + 1])
            return options + at + 2;
        at += 2u + options[at + 1];
    }
    return NULL;
}

void net_nat_learn_from_router(struct net_nat *t, const uint8_t *frame, size_t len)
{
    const uint8_t *ip = frame + ETH, *udp = ip + IPV4, *bootp = udp + UDP, *type;

    if (len < ETH + IPV4 + UDP + BOOTP || frame[12] != 0x08 || frame[13] != 0x00 ||
        ip[0] != 0x45 || ip[9] != IPPROTO_UDP || udp[0] || udp[1] != 67)
        return;
    type = dhcp_option(bootp + BOOTP, len - (ETH + IPV4 + UDP + BOOTP), 53);
    if (type && *type == 5) /* DHCPACK */
        set_ipv4(t, bootp + 16);
}

void net_nat_tell_address(struct net_nat *t)
{
    if (!t->address_changed)
        return;
    t->address_changed = false;
    if (t->on_address)
        t->on_address(t->on_address_arg);
}

void nat_guest_address(struct net *n, struct net_nat_address *ret)
{
    struct net_nat *t = container_of(n, struct net_nat, net);

    pthread_mutex_lock(&t->lock);
    *ret = t->address;
    pthread_mutex_unlock(&t->lock);
}

void nat_on_address(struct net *n, void (*fn)(void *arg), void *arg)
{
    struct net_nat *t = container_of(n, struct net_nat, net);

    t->on_address = fn;
    t->on_address_arg = arg;
}
