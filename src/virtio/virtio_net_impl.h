/* SPDX-License-Identifier: MIT */
/* The parts of the network card, for net.c (frames) and net_ctrl.c (the control queue) only. */
#ifndef VZ_VIRTIO_VIRTIO_NET_IMPL_H
#define VZ_VIRTIO_VIRTIO_NET_IMPL_H

#include "net/net.h"
#include "virtio/virtio.h"
#include "virtio/virtio_net.h"

enum { NET_QUEUE_RX, NET_QUEUE_TX, NET_QUEUE_CTRL, NET_QUEUES };

/* Feature bits of VIRTIO 1.3 that older headers lack. */
enum { NET_F_GUEST_USO4 = 54, NET_F_GUEST_USO6 = 55, NET_F_HOST_USO = 56 };

/* Offloads that the driver may switch while running (5.1.6.5.6). */
#define NET_GUEST_OFFLOADS                                                                         \
    (BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) |                                 \
     BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(NET_F_GUEST_USO4) |          \
     BIT(NET_F_GUEST_USO6))

#define NET_MAC_TABLE_MAX 64u /* more, and the filter is open for that kind */
#define NET_RX_BUFFERS_MAX 64u /* of one frame: 65557 bytes in buffers of 1526 need 43 */

struct net_mac_table {
    uint32_t count; /* up to NET_MAC_TABLE_MAX */
    bool overflow;  /* the driver's had more */
    uint8_t mac[NET_MAC_TABLE_MAX * 6];
};

/* The loop thread's. */
struct virtio_net {
    struct virtio_dev dev;
    struct net *net;
    struct virtio_net_options options;
    void (*on_lost)(void *arg, int err);
    void *on_lost_arg;
    bool rx_pushed;  /* something to notify about */
    bool rx_dropped; /* the last frame fits no buffers there will be */

    /* The receive filter (5.1.6.5.1) and what else the control queue sets; saved. */
    uint8_t mac[6];
    bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
    struct net_mac_table unicast, multicast;
    uint8_t vlan[4096 / 8];
    uint64_t guest_offloads; /* feature bits; of those negotiated */
};

static inline struct virtio_net *virtio_net_of(struct virtio_dev *dev)
{
    return container_of(dev, struct virtio_net, dev);
}

void virtio_net_ctrl_kick(struct virtio_net *v);
/* Back to what it is without a driver. */
void virtio_net_ctrl_reset(struct virtio_net *v);
/* Does the filter let a frame of NET_FRAME_MIN bytes or more in? */
bool virtio_net_wanted(const struct virtio_net *v, const uint8_t *frame, size_t len) must_check;
/* guest_offloads changed: tell the network. */
void virtio_net_apply_offloads(struct virtio_net *v);

extern const struct state_field virtio_net_state[];

#endif
