/* SPDX-License-Identifier: MIT */
/* What a virtio network card is made of (VIRTIO 1.2 section 5.1). */
#ifndef VZ_VIRTIO_VIRTIO_NET_H
#define VZ_VIRTIO_VIRTIO_NET_H

#include "base/compiler.h"

struct net;
struct virtio_dev;

/* virtio_params.options of virtio_net_ops. Queues: one pair and the control queue. */
struct virtio_net_options {
    /* On the device's loop; the caller's, outlives the device or is replaced first. NULL: no link
     * for now. */
    struct net *net;
    uint8_t mac[6];  /* unicast; all zero: a random one, locally administered */
    unsigned mtu;    /* told to the driver: NET_MTU_MIN..NET_MTU_MAX; 0: the network's */
    bool no_offload; /* offer neither checksums nor large packets */
};

/* Loop thread, or while the loop does not run. */

/* Wire the card to another network, or with NULL to none; the guest sees its link go down and up,
 * and announces itself to the new one. The old one is free to be destroyed when this returns. */
void virtio_net_set_net(struct virtio_dev *dev, struct net *net);

/* What the guest calls itself now. */
void virtio_net_mac(struct virtio_dev *dev, uint8_t ret[6]);

/* fn(arg, err) is called on the loop thread when the network is lost for good (-errno): the time to
 * destroy it, but not from inside fn. NULL: nobody. */
void virtio_net_on_lost(struct virtio_dev *dev, void (*fn)(void *arg, int err), void *arg);

#endif
