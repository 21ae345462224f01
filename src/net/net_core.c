/* SPDX-License-Identifier: MIT */
/* Between a network card and its backend: links, backpressure, and the offloads that one of the two
 * does not have. See net.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/trace.h"
#include "net/net_backend.h"

static void input_work(void *arg);

static int pending_init(struct net_pending *p)
{
    p->frame = malloc(NET_FRAME_MAX);
    p->segment = malloc(NET_FRAME_MAX);
    return p->frame && p->segment ? 0 : -ENOMEM;
}

static void pending_fini(struct net_pending *p)
{
    free(p->frame);
    free(p->segment);
}

static void pending_drop(struct net_pending *p)
{
    p->active = false;
    p->segment_len = 0;
}

int net_backend_init(struct net *n, const struct net_ops *ops, struct loop *loop, unsigned mtu)
{
    n->ops = ops;
    n->loop = loop;
    n->mtu = mtu;
    n->plugged = true;
    n->trace = trace_mask();
    n->input_work = (struct loop_work){.fn = input_work, .arg = n};
    return pending_init(&n->tx) < 0 || pending_init(&n->rx) < 0 ? -ENOMEM : 0;
}

void *net_state(struct net *n, const struct state_desc **ret)
{
    return n->ops->state ? n->ops->state(n, ret) : NULL;
}

int net_nat_forward_add(struct net *n, const struct net_forward *f, struct vz_error *err)
{
    return n->ops->nat->forward_add(n, f, err);
}

int net_nat_forward_remove(struct net *n, const struct net_forward *f, struct vz_error *err)
{
    return n->ops->nat->forward_remove(n, f, err);
}

void net_nat_guest_address(struct net *n, struct net_nat_address *ret)
{
    n->ops->nat->guest_address(n, ret);
}

void net_nat_on_address(struct net *n, void (*fn)(void *arg), void *arg)
{
    n->ops->nat->on_address(n, fn, arg);
}

void net_destroy(struct net *n)
{
    if (!n)
        return;
    if (n->ops && n->ops->close)
        n->ops->close(n);
    if (n->loop)
        loop_work_cancel(n->loop, &n->input_work);
    pending_fini(&n->tx);
    pending_fini(&n->rx);
    free(n);
}

bool net_link_up(const struct net *n)
{
    return n->plugged && !n->lost;
}

unsigned net_mtu(const struct net *n)
{
    return n->mtu;
}

const struct net_stats *net_stats(const struct net *n)
{
    return &n->stats;
}

void net_account(struct net *n, struct net_stats *sum)
{
    n->sum = sum;
}

void net_stats_tell(const struct net_stats *s, stats_fn *fn, void *arg)
{
#define TELL_(name) STATS_TELL_IN("net", name)
    NET_COUNTERS(TELL_)
#undef TELL_
}

/* What a frame asks of the side that gets it. */
static unsigned offloads_needed(const struct virtio_net_hdr *hdr)
{
    unsigned need = hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? NET_CSUM : 0;

    switch (hdr->gso_type & ~(unsigned)VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE: return need;
    case VIRTIO_NET_HDR_GSO_TCPV4: need |= NET_TSO4; break;
    case VIRTIO_NET_HDR_GSO_TCPV6: need |= NET_TSO6; break;
    case NET_GSO_UDP_L4: need |= NET_USO; break;
    default: need |= ~0u; break; /* nobody has it, and cutting will refuse it */
    }
    return need | (hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN ? NET_ECN : 0);
}

/* p->frame holds len bytes that the receiver, who takes `offloads`, cannot take as they are. Turn
 * them into one frame or begin to cut. false: malformed. */
static bool pending_begin(struct net_pending *p, size_t len, const struct virtio_net_hdr *hdr,
                          unsigned offloads)
{
    unsigned need = offloads_needed(hdr);
    uint8_t *whole;

    p->hdr = (struct virtio_net_hdr){0};
    p->segment_len = 0;
    if (need == NET_CSUM) {
        if (!offload_checksum(p->frame, len, hdr))
            return false;
    } else if (!(need & ~(offloads | NET_CSUM))) { /* large is fine, but for the checksum */
        if (!offload_complete(p->frame, len, hdr))
            return false;
        p->hdr = *hdr;
        p->hdr.flags = 0;
    } else {
        p->active = true;
        if (offload_split_begin(&p->split, p->frame, len, hdr))
            return true;
        p->active = false;
        return false;
    }
    whole = p->frame; /* the one segment is the frame itself */
    p->frame = p->segment;
    p->segment = whole;
    p->segment_len = len;
    p->active = true;
    p->split = (struct offload_split){.index = 1}; /* nothing after this one */
    return true;
}

/* Is there a segment to hand over? */
static bool pending_next(struct net_pending *p)
{
    if (p->active && !p->segment_len && !p->split.frame)
        p->active = false;
    if (p->active && !p->segment_len) {
        p->segment_len = offload_split_next(&p->split, p->segment);
        p->active = p->segment_len != 0;
    }
    return p->active;
}

/* ---- Guest to host -------------------------------------------------------------------------- */

/* 0, or -EAGAIN. */
static int send_now(struct net *n, const struct virtio_net_hdr *hdr, const struct iovec *iov,
                    unsigned count, size_t len)
{
    int r = n->ops->send(n, hdr, iov, count, len);

    if (r == -EAGAIN)
        return r;
    if (r < 0) {
        NET_COUNT(n, dropped, 1);
        net_backend_failed(n, r);
        return 0;
    }
    TRACE(n->trace, net, n->ops->name, n, "sent %zu", len);
    NET_COUNT(n, sent_frames, 1);
    NET_COUNT(n, sent_bytes, len);
    return 0;
}

static bool flush_tx(struct net *n)
{
    while (pending_next(&n->tx)) {
        struct iovec iov = {n->tx.segment, n->tx.segment_len};

        if (send_now(n, &n->tx.hdr, &iov, 1, iov.iov_len) < 0)
            return false;
        n->tx.segment_len = 0;
    }
    return true;
}

static size_t gather(uint8_t *to, const struct iovec *iov, unsigned count)
{
    size_t len = 0;

    for (unsigned i = 0; i < count; i++) {
        memcpy(to + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    return len;
}

bool net_send(struct net *n, const struct virtio_net_hdr *hdr, const struct iovec *iov,
              unsigned count)
{
    size_t len = 0;

    for (unsigned i = 0; i < count && len <= NET_FRAME_MAX; i++)
        len += MIN(iov[i].iov_len, (size_t)NET_FRAME_MAX + 1);
    if (len < NET_FRAME_MIN || len > NET_FRAME_MAX || !net_link_up(n)) {
        NET_COUNT(n, dropped, 1);
        return true;
    }
    if (!flush_tx(n)) {
        n->starved = true;
        return false;
    }
    if (!(offloads_needed(hdr) & ~n->ops->offloads)) {
        if (send_now(n, hdr, iov, count, len) == 0)
            return true;
        n->starved = true;
        return false;
    }
    if (!pending_begin(&n->tx, gather(n->tx.frame, iov, count), hdr, n->ops->offloads))
        NET_COUNT(n, dropped, 1);
    /* What does not go now goes before the next frame, or when there is room. */
    if (!flush_tx(n))
        n->starved = true;
    return true;
}

void net_backend_writable(struct net *n)
{
    if (!flush_tx(n) || !n->starved)
        return;
    n->starved = false;
    if (n->client)
        n->client->writable(n->client_arg);
}

/* ---- Host to guest -------------------------------------------------------------------------- */

static bool receive_now(struct net *n, const struct virtio_net_hdr *hdr, const uint8_t *frame,
                        size_t len)
{
    if (!n->client->receive(n->client_arg, hdr, frame, len)) {
        TRACE(n->trace, net, n->ops->name, n, "the guest has no room");
        n->full = true;
        n->ops->want_input(n, false);
        return false;
    }
    TRACE(n->trace, net, n->ops->name, n, "received %zu", len);
    NET_COUNT(n, received_frames, 1);
    NET_COUNT(n, received_bytes, len);
    return true;
}

static bool flush_rx(struct net *n)
{
    while (pending_next(&n->rx)) {
        if (!receive_now(n, &n->rx.hdr, n->rx.segment, n->rx.segment_len))
            return false;
        n->rx.segment_len = 0;
    }
    return true;
}

bool net_backend_receive(struct net *n, const struct virtio_net_hdr *hdr, const uint8_t *frame,
                         size_t len)
{
    if (!n->client || !net_link_up(n) || len < NET_FRAME_MIN || len > NET_FRAME_MAX) {
        NET_COUNT(n, dropped, 1);
        return true;
    }
    if (n->full || !flush_rx(n))
        return false;
    if (!(offloads_needed(hdr) & ~n->offloads))
        return receive_now(n, hdr, frame, len);
    memcpy(n->rx.frame, frame, len);
    if (!pending_begin(&n->rx, len, hdr, n->offloads))
        NET_COUNT(n, dropped, 1);
    (void)flush_rx(n); /* the rest follows */
    return true;
}

void net_backend_received(struct net *n)
{
    if (n->client)
        n->client->received(n->client_arg);
}

static void input_work(void *arg)
{
    struct net *n = arg;

    if (!n->client)
        return;
    n->full = false;
    if (flush_rx(n))
        n->ops->want_input(n, true);
    net_backend_received(n);
}

void net_accept_input(struct net *n)
{
    loop_work_queue(n->loop, &n->input_work);
}

/* ---- Life ----------------------------------------------------------------------------------- */

void net_attach(struct net *n, const struct net_client *client, void *arg)
{
    n->client = client;
    n->client_arg = arg;
    n->starved = false;
    n->full = false;
    pending_drop(&n->tx);
    pending_drop(&n->rx);
    net_set_offloads(n, 0);
    if (client)
        net_accept_input(n);
    else
        n->ops->want_input(n, false);
}

void net_set_offloads(struct net *n, unsigned offloads)
{
    n->offloads = offloads;
    if (n->ops->set_offloads)
        n->ops->set_offloads(n, offloads);
}

static void tell_link(struct net *n, int err)
{
    TRACE(n->trace, net, n->ops->name, n, "link %s%s%s", net_link_up(n) ? "up" : "down",
          err ? ": " : "", err ? strerror(-err) : "");
    if (n->client && n->client->link_changed)
        n->client->link_changed(n->client_arg, err);
}

void net_set_link(struct net *n, bool up)
{
    bool was_up = net_link_up(n);

    n->plugged = up;
    if (net_link_up(n) != was_up)
        tell_link(n, 0);
}

void net_backend_failed(struct net *n, int err)
{
    if (n->lost)
        return;
    n->lost = true;
    pending_drop(&n->tx);
    tell_link(n, err);
}
