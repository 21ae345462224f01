/* SPDX-License-Identifier: MIT */
/* The guest's TCP connections through the NAT, remembered so that they end in good order when the
 * machine is restored somewhere else: their far ends are gone then, but a guest that waits for data
 * would never hear of it. So it is sent a segment from before what it has; TCP answers such with an
 * acknowledgement (RFC 9293 3.10.7.4), and that one libslirp, which knows no such connection, answers
 * with a reset that fits. Of a connection that is over already, the guest says so itself. */
#include "net/net_nat.h"

#include <netinet/in.h>
#include <string.h>

#include "base/be.h"
#include "state/state.h"

enum { TCP_HEADER = 20, TCP_FLAGS = 13, TCP_FLAG_FIN = 1, TCP_FLAG_SYN = 2, TCP_FLAG_RST = 4, TCP_FLAG_ACK = 16 };

static const struct state_field flow_fields[] = {
    STATE_BOOL(struct nat_flow, used),
    STATE_BYTES(struct nat_flow, headers),
    STATE_UINT(struct nat_flow, guest_port),
    STATE_UINT(struct nat_flow, peer_port),
    STATE_UINT(struct nat_flow, next),
    STATE_BOOL(struct nat_flow, ended),
    STATE_END,
};

const struct state_field nat_flows_fields[] = {
    STATE_STRUCT_ARRAY(struct nat_flows, flow, flow_fields), STATE_END};

static bool flow_is(const struct nat_flow *f, const struct nat_packet *p, uint16_t guest_port,
                    uint16_t peer_port)
{
    const size_t at = NAT_ETH + (p->v6 ? 24 : 16);

    return f->used && f->guest_port == guest_port && f->peer_port == peer_port &&
           !memcmp(f->headers + 12, p->frame + 12, 2) &&
           !memcmp(f->headers + at, p->to, nat_address_len(p->v6));
}

/* A connection has its place in one of these; the newest is the first. */
static struct nat_flow *ways_of(struct nat_flows *flows, uint16_t guest_port, uint16_t peer_port)
{
    unsigned set = (guest_port ^ peer_port * 31u) % (NAT_FLOWS / NAT_FLOW_WAYS);

    return &flows->flow[set * NAT_FLOW_WAYS];
}

/* When all are taken: one that may be over already goes, else the one that came first. */
static struct nat_flow *make_room(struct nat_flow *ways)
{
    unsigned n = NAT_FLOW_WAYS - 1;

    for (unsigned i = NAT_FLOW_WAYS; i--;)
        if (!ways[i].used || (ways[i].ended && ways[n].used && !ways[n].ended))
            n = i;
    memmove(&ways[1], &ways[0], n * sizeof(*ways));
    return &ways[0];
}

void nat_flows_from_guest(struct nat_flows *flows, const struct nat_packet *p)
{
    const uint8_t *tcp = p->frame + p->l4;
    struct nat_flow *ways, *f = NULL;
    uint16_t guest_port, peer_port;

    if (p->protocol != IPPROTO_TCP || p->is_part || p->l4_len < TCP_HEADER)
        return;
    guest_port = (uint16_t)load_be16(tcp);
    peer_port = (uint16_t)load_be16(tcp + 2);
    ways = ways_of(flows, guest_port, peer_port);
    for (unsigned i = 0; !f && i < NAT_FLOW_WAYS; i++)
        f = flow_is(&ways[i], p, guest_port, peer_port) ? &ways[i] : NULL;
    if (tcp[TCP_FLAGS] & TCP_FLAG_RST) {
        if (f)
            f->used = false;
        return;
    }
    if (!f) {
        f = make_room(ways);
        *f = (struct nat_flow){.used = true, .guest_port = guest_port, .peer_port = peer_port};
        memcpy(f->headers, p->frame, NAT_ETH + (p->v6 ? NAT_IPV6 : NAT_IPV4));
    }
    if (tcp[TCP_FLAGS] & TCP_FLAG_ACK)
        f->next = load_be32(tcp + 8);
    f->ended = tcp[TCP_FLAGS] & TCP_FLAG_FIN || (f->ended && !(tcp[TCP_FLAGS] & TCP_FLAG_SYN));
}

static void probe(struct net_nat *t, const struct nat_flow *f)
{
    bool v6 = load_be16(f->headers + 12) == 0x86dd;
    uint8_t out[NAT_HEADERS_MAX + TCP_HEADER] = {0};
    size_t at = nat_packet_answer(out, f->headers, f->headers + NAT_ETH + (v6 ? 24 : 16),
                                  IPPROTO_TCP, TCP_HEADER);
    uint8_t *tcp = out + at;

    store_be16(tcp, f->peer_port);
    store_be16(tcp + 2, f->guest_port);
    store_be32(tcp + 4, f->next - 1);
    tcp[12] = TCP_HEADER / 4 << 4;
    tcp[TCP_FLAGS] = TCP_FLAG_ACK;
    store_be16(tcp + 16, nat_packet_checksum(out, at, IPPROTO_TCP, TCP_HEADER));
    net_nat_to_guest(t, out, at + TCP_HEADER);
}

/* They are nobody's any more, but stay: the guest may be saved again before it has heard of that, and of those that it
 * has no more it says so itself the next time. */
static int flows_loaded(void *object, struct vz_error *err)
{
    struct net_nat *t = container_of(object, struct net_nat, flows);

    for (unsigned i = 0; i < NAT_FLOWS; i++) {
        if (t->flows.flow[i].used)
            probe(t, &t->flows.flow[i]);
    }
    return 0;
}

static const struct state_desc flows_state = {NAT_FLOWS_STATE, .loaded = flows_loaded};

/* Whatever byte another process has put there. */
static void tidy_bool(bool *b)
{
    uint8_t byte;

    memcpy(&byte, b, sizeof(byte));
    *b = byte & 1;
}

void nat_flows_tidy(struct nat_flows *flows)
{
    for (unsigned i = 0; i < NAT_FLOWS; i++) {
        tidy_bool(&flows->flow[i].used);
        tidy_bool(&flows->flow[i].ended);
    }
}

void *nat_flows_state(struct net *n, const struct state_desc **ret)
{
    *ret = &flows_state;
    return &container_of(n, struct net_nat, net)->flows;
}
