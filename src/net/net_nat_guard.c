/* SPDX-License-Identifier: MIT */
/* What keeps the guest away from the host's loopback interface, where services listen that trust
 * whoever reaches them. libslirp turns the router's address (and 255.255.255.255) into 127.0.0.1 or
 * ::1, and passes on 127.0.0.0/8 and ::1 as they are. Its own switch against the former also loses
 * the guest's answers to UDP forwards, as to it they are datagrams to the router like any other.
 *
 * So frames are looked at here: no new TCP connection to the router, and of UDP only answers to
 * what came from there. DHCP, DNS, and what else the router answers itself pass. */
#include <string.h>

#include "base/be.h"
#include "net/net_nat.h"

enum { ETH = 14, IPV4 = 20, IPV6 = 40, TCP = 20, UDP = 8 };
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

/* ---- Who in the host has written to the guest by UDP ---------------------------------------- */

static bool is_peer(const struct net_nat *t, bool v6, unsigned guest_port, unsigned host_port)
{
    for (unsigned i = 0; i < t->peer_count; i++) {
        const struct nat_peer *p = &t->peers[i];

        if (p->v6 == v6 && p->guest_port == guest_port && p->host_port == host_port)
            return true;
    }
    return false;
}

static void remember_peer(struct net_nat *t, bool v6, const uint8_t *udp)
{
    struct nat_peer p = {.v6 = v6, .host_port = (uint16_t)load_be16(udp),
                         .guest_port = (uint16_t)load_be16(udp + 2)};

    if (is_peer(t, v6, p.guest_port, p.host_port))
        return;
    t->peers[t->next_peer] = p;
    t->next_peer = (t->next_peer + 1) % NAT_PEERS_MAX;
    t->peer_count = MAX(t->peer_count, t->next_peer ? t->next_peer : NAT_PEERS_MAX);
}

void net_nat_guard_to_guest(struct net_nat *t, const uint8_t *frame, size_t len)
{
    const uint8_t *ip = frame + ETH;

    if (!t->guarded || len < ETH + IPV4 + UDP)
        return;
    if (load_be16(frame + 12) == 0x0800 && ip[0] == 0x45 && ip[9] == IPPROTO_UDP &&
        memcmp(ip + 12, &t->router, 4) == 0 && !(load_be16(ip + 6) & 0x1fff))
        remember_peer(t, false, ip + IPV4);
    else if (load_be16(frame + 12) == 0x86dd && len >= ETH + IPV6 + UDP && ip[6] == IPPROTO_UDP &&
             memcmp(ip + 8, &t->router6, 16) == 0)
        remember_peer(t, true, ip + IPV6);
}

/* ---- What the guest sends ------------------------------------------------------------------- */

static bool opens_connection(const uint8_t *tcp)
{
    return (tcp[13] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* To the router: p is what follows the IP header, of len bytes. */
static enum nat_verdict judge_transport(const struct net_nat *t, bool v6, uint8_t protocol,
                                        const uint8_t *p, size_t len)
{
    if (protocol == IPPROTO_TCP)
        return len < TCP ? NAT_DROP : opens_connection(p) ? NAT_REFUSE : NAT_PASS;
    if (protocol == IPPROTO_UDP) {
        unsigned service = v6 ? 547 : 67; /* DHCP */

        if (len < UDP)
            return NAT_DROP;
        return load_be16(p + 2) == service || is_peer(t, v6, load_be16(p), load_be16(p + 2))
                   ? NAT_PASS : NAT_DROP;
    }
    return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6 ? NAT_PASS : NAT_DROP;
}

static enum nat_verdict judge_ipv4(const struct net_nat *t, const uint8_t *ip, size_t len)
{
    static const uint8_t everybody[4] = {255, 255, 255, 255};
    size_t header;

    if (len < IPV4 || (ip[0] & 0xf) < 5)
        return NAT_PASS; /* slirp drops it */
    if (ip[16] == 127 || ip[16] == 0)
        return NAT_DROP;
    if (memcmp(ip + 16, &t->router, 4) != 0 && memcmp(ip + 16, everybody, 4) != 0)
        return NAT_PASS;
    if (load_be16(ip + 6) & 0x3fff) { /* in pieces: the first has the ports, TCP has no need */
        if (ip[9] == IPPROTO_TCP)
            return NAT_DROP;
        if (load_be16(ip + 6) & 0x1fff)
            return NAT_PASS;
    }
    header = 4u * (ip[0] & 0xf);
    return len < header ? NAT_DROP
                        : judge_transport(t, false, ip[9], ip + header, len - header);
}

static enum nat_verdict judge_ipv6(const struct net_nat *t, const uint8_t *ip, size_t len)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, zero[15];

    if (len < IPV6)
        return NAT_PASS;
    if (memcmp(ip + 24, mapped, 12) == 0 || (memcmp(ip + 24, zero, 15) == 0 && ip[39] <= 1))
        return NAT_DROP;
    if (memcmp(ip + 24, &t->router6, 16) != 0)
        return NAT_PASS;
    return judge_transport(t, true, ip[6], ip + IPV6, len - IPV6);
}

enum nat_verdict net_nat_guard_from_guest(const struct net_nat *t, const uint8_t *frame, size_t len)
{
    if (!t->guarded || len < ETH)
        return NAT_PASS;
    switch (load_be16(frame + 12)) {
    case 0x0800: return judge_ipv4(t, frame + ETH, len - ETH);
    case 0x86dd: return judge_ipv6(t, frame + ETH, len - ETH);
    default: return NAT_PASS;
    }
}

/* ---- Connection refused --------------------------------------------------------------------- */

/* RFC 9293, 3.5.2: a reset that acknowledges the SYN. Addresses and ports change places. */
size_t net_nat_refusal(const uint8_t *syn, uint8_t ret[NAT_REFUSAL_MAX])
{
    bool v6 = load_be16(syn + 12) == 0x86dd;
    size_t ip = v6 ? IPV6 : IPV4, at = v6 ? 8 : 12, address = v6 ? 16 : 4;
    size_t syn_ip = v6 ? IPV6 : 4u * (syn[ETH] & 0xf);
    const uint8_t *from = syn + ETH + syn_ip;
    uint8_t *to = ret + ETH + ip;
    uint32_t ack = load_be32(from + 4) + 1;

    memset(ret, 0, NAT_REFUSAL_MAX);
    memcpy(ret, syn + 6, 6);
    memcpy(ret + 6, syn, 6);
    memcpy(ret + 12, syn + 12, 2);
    ret[ETH] = v6 ? 0x60 : 0x45;
    memcpy(ret + ETH + at, syn + ETH + at + address, address);
    memcpy(ret + ETH + at + address, syn + ETH + at, address);
    if (v6) {
        store_be16(ret + ETH + 4, TCP);
        ret[ETH + 6] = IPPROTO_TCP;
        ret[ETH + 7] = 64;
    } else {
        store_be16(ret + ETH + 2, IPV4 + TCP);
        ret[ETH + 8] = 64;
        ret[ETH + 9] = IPPROTO_TCP;
        store_be16(ret + ETH + 10, offload_fold(offload_sum(ret + ETH, IPV4, 0)));
    }
    memcpy(to, from + 2, 2);
    memcpy(to + 2, from, 2);
    store_be32(to + 8, ack);
    to[12] = TCP / 4 << 4;
    to[13] = TCP_RST | TCP_ACK;
    store_be16(to + 16, offload_fold(offload_sum(to, TCP, offload_sum(ret + ETH + at, 2 * address,
                                                                      TCP + IPPROTO_TCP))));
    return ETH + ip + TCP;
}
