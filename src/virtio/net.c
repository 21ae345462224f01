/* SPDX-License-Identifier: MIT */
/* The network card (VIRTIO 1.2 section 5.1): frames between the guest's rings and net/net.h. What
 * the network behind it cannot do with offloaded frames, net/ makes up for; so the same features
 * are offered whatever is behind, and the network may change while the guest runs. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "base/le.h"
#include "virtio/virtio_net_impl.h"

#define HDR_LEN sizeof(struct virtio_net_hdr_v1) /* always with num_buffers (5.1.6.1) */

static const uint64_t offload_features =
    BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
    BIT(VIRTIO_NET_F_HOST_ECN) | BIT(NET_F_HOST_USO) | NET_GUEST_OFFLOADS |
    BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
static const uint64_t basic_features =
    BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_STATUS) |
    BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) |
    BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) | BIT(VIRTIO_NET_F_CTRL_VLAN) |
    BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE);

/* ---- Guest to host -------------------------------------------------------------------------- */

/* What the driver may ask for depends on what it negotiated (5.1.6.2). */
static bool hdr_allowed(const struct virtio_net *v, const struct virtio_net_hdr *h)
{
    switch (h->gso_type & ~(unsigned)VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE: break;
    case VIRTIO_NET_HDR_GSO_TCPV4:
        if (!virtio_has(&v->dev, VIRTIO_NET_F_HOST_TSO4))
            return false;
        break;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        if (!virtio_has(&v->dev, VIRTIO_NET_F_HOST_TSO6))
            return false;
        break;
    case NET_GSO_UDP_L4:
        if (!virtio_has(&v->dev, NET_F_HOST_USO))
            return false;
        break;
    default: return false;
    }
    return !(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || virtio_has(&v->dev, VIRTIO_NET_F_CSUM);
}

/* false: the network has no room. */
static bool send_chain(struct virtio_net *v, const struct virtq_chain *c)
{
    struct iovec iov[VIRTQ_SIZE_MAX];
    struct virtio_net_hdr_v1 full;
    struct virtio_net_hdr h;
    unsigned count;

    if (virtq_read(c, 0, &full, sizeof(full)) < sizeof(full))
        return true; /* no frame in it */
    memcpy(&h, &full, sizeof(h)); /* num_buffers means nothing here */
    h.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    if (!v->net || !hdr_allowed(v, &h))
        return true;
    count = iov_slice(c->out, c->out_count, HDR_LEN, SIZE_MAX, iov, VIRTQ_SIZE_MAX);
    return !count || net_send(v->net, &h, iov, count);
}

static void tx_kick(struct virtio_net *v)
{
    struct virtq *q = &v->dev.queue[NET_QUEUE_TX];
    struct virtq_chain *c;

    while ((c = virtq_pop(q))) {
        if (!send_chain(v, c)) {
            virtq_unpop(q, c); /* until on_writable() */
            break;
        }
        virtq_push(q, c, 0);
    }
    virtq_notify(q);
}

static void on_writable(void *arg)
{
    virtio_kick(arg, NET_QUEUE_TX);
}

/* ---- Host to guest -------------------------------------------------------------------------- */

/* Chains for need bytes; without mergeable buffers one that holds them all (5.1.6.3.1). Returns how
 * many; 0: not enough, nothing taken. */
static unsigned take_buffers(struct virtio_net *v, size_t need, struct virtq_chain **ret)
{
    struct virtq *q = &v->dev.queue[NET_QUEUE_RX];
    unsigned count = 0, max = virtio_has(&v->dev, VIRTIO_NET_F_MRG_RXBUF) ? NET_RX_BUFFERS_MAX : 1;
    size_t room = 0;

    v->rx_dropped = false;
    while (room < need && count < max) {
        struct virtq_chain *c = virtq_pop(q);

        if (!c)
            break;
        ret[count++] = c;
        room += c->in_len;
    }
    if (room >= need)
        return count;
    if (count < max && virtio_is_live(&v->dev)) { /* more may come */
        while (count)
            virtq_unpop(q, ret[--count]);
        return 0;
    }
    /* It will never fit: the frame is dropped, and so are buffers too small for it. */
    v->rx_dropped = true;
    v->rx_pushed |= count > 0;
    for (unsigned i = 0; i < count; i++)
        virtq_push(q, ret[i], 0);
    return 0;
}

static void fill(struct virtio_net *v, struct virtq_chain **chain, unsigned count,
                 const struct virtio_net_hdr *hdr, const uint8_t *frame, size_t len)
{
    struct virtio_net_hdr_v1 full = {0};
    size_t at = 0;

    memcpy(&full, hdr, sizeof(*hdr));
    full.num_buffers = (uint16_t)count;
    for (unsigned i = 0; i < count; i++) {
        size_t head = i ? 0 : virtq_write(chain[i], 0, &full, sizeof(full));
        size_t n = virtq_write(chain[i], head, frame + at, len - at);

        at += n;
        virtq_push(&v->dev.queue[NET_QUEUE_RX], chain[i], head + n);
    }
    v->rx_pushed = true;
}

static bool on_receive(void *arg, const struct virtio_net_hdr *hdr, const uint8_t *frame,
                       size_t len)
{
    struct virtio_net *v = arg;
    struct virtq *q = &v->dev.queue[NET_QUEUE_RX];
    struct virtq_chain *chain[NET_RX_BUFFERS_MAX];
    unsigned count;

    if (!virtio_is_live(&v->dev))
        return !v->dev.quiet; /* nobody there; or kept for after the pause */
    if (!virtio_net_wanted(v, frame, len))
        return true;
    if (!virtq_pending(q))
        return false;
    count = take_buffers(v, HDR_LEN + len, chain);
    if (count)
        fill(v, chain, count, hdr, frame, len);
    return count || v->rx_dropped;
}

static void on_received(void *arg)
{
    struct virtio_net *v = arg;

    if (v->rx_pushed)
        virtq_notify(&v->dev.queue[NET_QUEUE_RX]);
    v->rx_pushed = false;
}

/* ---- Link ----------------------------------------------------------------------------------- */

static void set_status(struct virtio_net *v, bool announce)
{
    uint16_t status = v->net && net_link_up(v->net) ? VIRTIO_NET_S_LINK_UP : 0;

    if (announce && status && virtio_has(&v->dev, VIRTIO_NET_F_GUEST_ANNOUNCE) &&
        virtio_has(&v->dev, VIRTIO_NET_F_CTRL_VQ))
        status |= VIRTIO_NET_S_ANNOUNCE;
    virtio_config_set(&v->dev, offsetof(struct virtio_net_config, status), &status,
                      sizeof(status));
}

static void on_link_changed(void *arg, int err)
{
    struct virtio_net *v = arg;

    set_status(v, true);
    if (err && v->on_lost)
        v->on_lost(v->on_lost_arg, err);
}

static const struct net_client net_client = {
    .receive = on_receive, .received = on_received, .writable = on_writable,
    .link_changed = on_link_changed};

void virtio_net_apply_offloads(struct virtio_net *v)
{
    uint64_t g = v->guest_offloads;
    const uint64_t uso = BIT(NET_F_GUEST_USO4) | BIT(NET_F_GUEST_USO6);
    unsigned offloads = 0;

    if (g & BIT(VIRTIO_NET_F_GUEST_CSUM)) /* the others need it (5.1.3.1) */
        offloads = NET_CSUM | (g & BIT(VIRTIO_NET_F_GUEST_TSO4) ? NET_TSO4 : 0u) |
                   (g & BIT(VIRTIO_NET_F_GUEST_TSO6) ? NET_TSO6 : 0u) |
                   (g & BIT(VIRTIO_NET_F_GUEST_ECN) ? NET_ECN : 0u) |
                   ((g & uso) == uso ? NET_USO : 0u);
    if (v->net)
        net_set_offloads(v->net, offloads);
}

void virtio_net_set_net(struct virtio_dev *dev, struct net *net)
{
    struct virtio_net *v = virtio_net_of(dev);

    if (v->net)
        net_attach(v->net, NULL, NULL);
    v->net = NULL;
    set_status(v, false);
    v->net = net;
    if (net)
        net_attach(net, &net_client, v);
    virtio_net_apply_offloads(v);
    set_status(v, true);
    virtio_kick(dev, NET_QUEUE_TX);
}

void virtio_net_mac(struct virtio_dev *dev, uint8_t ret[6])
{
    memcpy(ret, virtio_net_of(dev)->mac, 6);
}

void virtio_net_on_lost(struct virtio_dev *dev, void (*fn)(void *arg, int err), void *arg)
{
    struct virtio_net *v = virtio_net_of(dev);

    v->on_lost = fn;
    v->on_lost_arg = arg;
}

/* ---- Life ----------------------------------------------------------------------------------- */

static int random_mac(uint8_t *ret)
{
    if (getrandom(ret, 6, 0) != 6)
        return -EIO;
    ret[0] = (uint8_t)((ret[0] & 0xfc) | 0x02); /* locally administered, unicast */
    return 0;
}

static void fill_config(struct virtio_net *v)
{
    struct virtio_net_config c = {.max_virtqueue_pairs = 1};
    unsigned mtu = v->options.mtu ? v->options.mtu : v->net ? net_mtu(v->net) : NET_MTU_MIN;

    memcpy(c.mac, v->options.mac, 6);
    c.mtu = (uint16_t)mtu;
    c.status = v->net && net_link_up(v->net) ? VIRTIO_NET_S_LINK_UP : 0;
    virtio_config_set(&v->dev, 0, &c, v->dev.ops->config_len);
}

static int net_init(struct virtio_dev *dev, const void *options, struct vz_error *err)
{
    static const uint8_t zero[6];
    struct virtio_net *v = virtio_net_of(dev);

    if (options)
        v->options = *(const struct virtio_net_options *)options;
    if (v->options.mtu && (v->options.mtu < NET_MTU_MIN || v->options.mtu > NET_MTU_MAX))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "network card: MTU %u is not %u to %u",
                         v->options.mtu, NET_MTU_MIN, NET_MTU_MAX);
    if (v->options.mac[0] & 1)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "network card: its MAC address is one of a group, not of a card");
    if (memcmp(v->options.mac, zero, 6) == 0 && random_mac(v->options.mac) < 0)
        return error_set(err, EIO, VZ_ERROR_IO, "network card: no random numbers for an address");
    if (!v->options.no_offload)
        dev->features |= offload_features;
    v->net = v->options.net;
    fill_config(v);
    virtio_net_ctrl_reset(v);
    if (v->net)
        net_attach(v->net, &net_client, v);
    return 0;
}

static void net_fini(struct virtio_dev *dev)
{
    struct virtio_net *v = virtio_net_of(dev);

    if (v->net)
        net_attach(v->net, NULL, NULL);
}

static void net_start(struct virtio_dev *dev)
{
    struct virtio_net *v = virtio_net_of(dev);

    v->guest_offloads &= dev->driver_features & NET_GUEST_OFFLOADS;
    virtio_net_apply_offloads(v);
    set_status(v, false); /* a restored one may have had another network */
}

static void net_kick(struct virtio_dev *dev, unsigned index)
{
    struct virtio_net *v = virtio_net_of(dev);

    switch (index) {
    case NET_QUEUE_TX: tx_kick(v); break;
    case NET_QUEUE_CTRL: virtio_net_ctrl_kick(v); break;
    default:
        if (v->net)
            net_accept_input(v->net);
        break;
    }
}

static void net_reset(struct virtio_dev *dev)
{
    struct virtio_net *v = virtio_net_of(dev);

    virtio_net_ctrl_reset(v);
    fill_config(v);
    if (v->net)
        net_set_offloads(v->net, 0);
    v->rx_pushed = false;
}

const struct virtio_ops virtio_net_ops = {
    .name = "virtio-net", .id = VIRTIO_ID_NET, .class_code = 0x020000, .features = basic_features,
    .queues = NET_QUEUES, .queue_max = 256,
    .config_len = offsetof(struct virtio_net_config, speed), .size = sizeof(struct virtio_net),
    .init = net_init, .fini = net_fini, .start = net_start, .kick = net_kick, .reset = net_reset,
    .state = virtio_net_state, .state_version = 1,
};
