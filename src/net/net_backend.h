/* SPDX-License-Identifier: MIT */
/* What a backend of net/ is, for net_core.c and the backends only. */
#ifndef VZ_NET_NET_BACKEND_H
#define VZ_NET_NET_BACKEND_H

#include "loop/loop.h"
#include "net/net.h"
#include "net/offload.h"

/* What a NAT has besides: the functions of net.h of the same names. */
struct net_nat_ops {
    int (*forward_add)(struct net *n, const struct net_forward *f, struct vz_error *err);
    int (*forward_remove)(struct net *n, const struct net_forward *f, struct vz_error *err);
    void (*guest_address)(struct net *n, struct net_nat_address *ret);
    void (*on_address)(struct net *n, void (*fn)(void *arg), void *arg);
};

/* All on the loop thread, or while the loop does not run. */
struct net_ops {
    const char *name;
    unsigned offloads; /* NET_*: what send() takes */
    /* A frame from the guest. 0: taken or dropped; -EAGAIN: net_backend_writable() will come. Other
     * -errno: this end is dead, see net_backend_failed(). The bytes may change while read. */
    int (*send)(struct net *n, const struct virtio_net_hdr *hdr, const struct iovec *iov,
                unsigned count, size_t len);
    /* Call net_backend_receive() when there is something; false: stop, there is no room. */
    void (*want_input)(struct net *n, bool wanted);
    /* Optional. The client's offloads changed. */
    void (*set_offloads)(struct net *n, unsigned offloads);
    /* Optional. See net_state(). */
    void *(*state)(struct net *n, const struct state_desc **ret);
    const struct net_nat_ops *nat; /* of a NAT */
    void (*close)(struct net *n); /* let go of all but n itself; also after half a create */
};

/* One direction's large packet, being cut, for a side that was full or cannot take it whole. */
struct net_pending {
    uint8_t *frame;   /* NET_FRAME_MAX */
    uint8_t *segment; /* NET_FRAME_MAX */
    size_t segment_len; /* cut but not yet taken; 0: none */
    struct virtio_net_hdr hdr;
    struct offload_split split;
    bool active;
};

struct net {
    const struct net_ops *ops;
    struct loop *loop;
    const struct net_client *client;
    void *client_arg;
    unsigned offloads; /* the client's */
    unsigned mtu;
    bool plugged, lost;
    bool starved;      /* net_send() said no: writable() is owed */
    bool full;         /* the client said no */
    struct net_pending tx, rx;
    struct loop_work input_work;
    struct net_stats stats;
    struct net_stats *sum;
    uint32_t trace; /* base/trace.h */
};

#define NET_COUNT(n, name, v)                                                                      \
    do {                                                                                           \
        STATS_ADD(&(n)->stats, name, v);                                                           \
        STATS_ADD((n)->sum, name, v);                                                              \
    } while (0)

/* n lies at the start of its backend's struct, which net_destroy() frees. 0 or -ENOMEM. */
int net_backend_init(struct net *n, const struct net_ops *ops, struct loop *loop,
                     unsigned mtu) must_check;

/* A frame for the guest. false: no room, keep it until want_input(true). Then call
 * net_backend_received(). */
bool net_backend_receive(struct net *n, const struct virtio_net_hdr *hdr, const uint8_t *frame,
                         size_t len) must_check;
void net_backend_received(struct net *n);

/* send() works again. */
void net_backend_writable(struct net *n);

/* This end is dead: the link goes down for good, and the client is told why. */
void net_backend_failed(struct net *n, int err);

#endif
