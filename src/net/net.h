/* SPDX-License-Identifier: MIT */
/* The host's end of a network card: where the guest's frames go to and come from. Clients:
 * virtio/net. Backends: nat (libslirp), dgram (a socket of frames), tap, bridge (a tap in a
 * bridge).
 *
 * A frame is an Ethernet frame without preamble and FCS. With it goes a struct virtio_net_hdr
 * (VIRTIO 1.2 5.1.6; host byte order, which is little-endian): a checksum still to be filled in
 * (NEEDS_CSUM), or a large TCP or UDP packet still to be cut into segments (gso_type). Both sides
 * say what they can take (NET_*); this layer does the rest (offload.h), so neither need care.
 *
 * Threads: all on the loop thread, or while the loop does not run. Nothing blocks. */
#ifndef VZ_NET_NET_H
#define VZ_NET_NET_H

#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/stats.h"

struct child;
struct loop;
struct net;
struct state_desc;
struct vz_error;

#define NET_FRAME_MIN 14u     /* an Ethernet header */
#define NET_FRAME_MAX 65557u  /* 65535 bytes of packet, an Ethernet header, two VLAN tags */
#define NET_MTU_MIN   1500u
#define NET_MTU_MAX   65535u

/* gso_type of UDP segmentation (VIRTIO 1.3 5.1.6), which older headers lack. */
#define NET_GSO_UDP_L4 5

/* What a side takes. TSO and USO without CSUM: large packets whose checksums are right. */
enum {
    NET_CSUM = 1, /* frames with NEEDS_CSUM */
    NET_TSO4 = 2, NET_TSO6 = 4,
    NET_ECN = 8,  /* TSO packets with CWR set */
    NET_USO = 16, /* UDP, both versions of IP */
};

/* What the guest's device answers. */
struct net_client {
    /* A frame for the guest: valid only during the call. false: no room; it is offered again after
     * net_accept_input(). hdr has no more to do than the client takes. */
    bool (*receive)(void *arg, const struct virtio_net_hdr *hdr, const uint8_t *frame, size_t len);
    /* That was the last frame for now: interrupt the guest. */
    void (*received)(void *arg);
    /* net_send() returned false some time ago; now there is room. Never from inside net_send(). */
    void (*writable)(void *arg);
    /* Optional. net_link_up() changed. err: 0, or the -errno that ended the attachment for good. */
    void (*link_changed)(void *arg, int err);
};

/* Connect the device, or with NULL disconnect it: no callback comes after that; frames under way
 * are dropped. *client is the caller's, and stays alive. A device is moved to another network by
 * disconnecting it from one and connecting it to the other, at any time. */
void net_attach(struct net *n, const struct net_client *client, void *arg);

/* What receive() takes from now on: NET_*. Initially nothing. */
void net_set_offloads(struct net *n, unsigned offloads);

/* A frame from the guest, which may still be writing to it: nothing in it is trusted or read twice.
 * false: no room, keep it; writable() comes. true: on its way, or dropped (no link, broken). */
bool net_send(struct net *n, const struct virtio_net_hdr *hdr, const struct iovec *iov,
              unsigned count) must_check;

/* The client has room again. Cheap; frames come later, from the loop. */
void net_accept_input(struct net *n);

bool net_link_up(const struct net *n);
/* Pull the plug, or put it back; frames are dropped meanwhile. A lost attachment stays down. */
void net_set_link(struct net *n, bool up);

/* The greatest packet (without Ethernet header) the network takes: NET_MTU_MIN..NET_MTU_MAX. */
unsigned net_mtu(const struct net *n);

#define NET_COUNTERS(X)                                                                            \
    X(sent_frames) X(sent_bytes) X(received_frames) X(received_bytes)                              \
    X(dropped) /* both ways: no link, malformed, or the host had no room */

struct net_stats {
    NET_COUNTERS(STATS_FIELD)
};
const struct net_stats *net_stats(const struct net *n);
/* Count into a sum of several networks as well. NULL: no more. */
void net_account(struct net *n, struct net_stats *sum);
void net_stats_tell(const struct net_stats *s, stats_fn *fn, void *arg); /* "net.sent_frames", ... */

/* What a saved machine keeps of a network, so that the guest hears that its connections have ended: an
 * object, and its table. It is loaded into the network of the restored machine, connected already. NULL:
 * nothing. */
void *net_state(struct net *n, const struct state_desc **ret);

/* Disconnected; not from inside a callback of n's. NULL is fine. */
void net_destroy(struct net *n);

/* ---- Backends: 0 or -errno with err filled in ----------------------------------------------- */

/* A connected datagram (or seqpacket) socket: each datagram is a frame. It stays the caller's, must
 * outlive the network, and its flags are not changed. */
int net_dgram_create(struct loop *loop, int fd, unsigned mtu, struct net **ret,
                     struct vz_error *err) must_check;

struct net_tap_options {
    const char *name;   /* of the interface; NULL: the kernel chooses. An existing one is used */
    const char *bridge; /* put it into this bridge, and switch it on; NULL: neither */
};

/* -EPERM where the process may not (CAP_NET_ADMIN, or the owner of a persistent tap). */
int net_tap_create(struct loop *loop, const struct net_tap_options *options, struct net **ret,
                   struct vz_error *err) must_check;
/* The interface's name; valid as long as n. */
const char *net_tap_name(const struct net *n);

/* ---- NAT ------------------------------------------------------------------------------------ */

struct net_forward {
    bool udp;             /* false: TCP */
    const char *host;     /* numeric IPv4 or IPv6 address to listen on; NULL: 127.0.0.1 */
    uint16_t host_port;   /* 0: any free one, see net_nat_forward_add() */
    const char *guest;    /* numeric address; NULL: the one DHCP gives */
    uint16_t guest_port;
};

/* All zero is the default. Addresses are in network byte order; 0 means the default. */
struct net_nat_options {
    struct in_addr network, mask; /* 10.0.2.0/24 */
    unsigned mtu;                 /* 1500 */
    bool no_ipv6;
    bool isolated;                /* no way out: only DHCP, DNS and forwards */
    bool no_host_loopback;        /* the router's address does not reach the host's 127.0.0.1 */
    const char *resolv_conf;      /* NULL: /etc/resolv.conf */
    int (*open_resolv_conf)(void *arg); /* optional: in its place, a descriptor for it as it is now, or -1 */
    void *open_arg;
    uint16_t dns_port;            /* of the host's name servers; 0: 53 */
    const char *hostname;         /* for DHCP to tell the guest; NULL: none */
    const struct net_forward *forwards;
    unsigned forward_count;
    struct child *child;          /* the process that it is to be in (net_nat_child.h); NULL: this one */
};

/* What net_nat_create() will ask of the host, while it may be asked still: for a card that may get a NAT later on. */
void net_nat_prepare(void);
/* A router in this process, or in options->child: at network + 2, DNS at + 3, DHCP gives + 15; IPv6 with router
 * advertisements in fec0::/64. Names are asked for where the host asks: of all its name servers, of
 * both versions of IP, also when they change; its search domains are told by DHCP. */
int net_nat_create(struct loop *loop, const struct net_nat_options *options, struct net **ret,
                   struct vz_error *err) must_check;

/* Start or end forwarding. Add returns the host's port (what the system chose for port 0). n must
 * be a NAT. */
int net_nat_forward_add(struct net *n, const struct net_forward *f, struct vz_error *err);
int net_nat_forward_remove(struct net *n, const struct net_forward *f, struct vz_error *err);

struct net_nat_address {
    bool has_ipv4, has_ipv6;
    struct in_addr ipv4;
    struct in6_addr ipv6; /* routable; link-local ones are not told */
};

/* What the guest calls itself, as seen in its DHCP, ARP and NDP traffic. Any thread. */
void net_nat_guest_address(struct net *n, struct net_nat_address *ret);

/* fn(arg) is called on the loop thread when that has changed. NULL: nobody. */
void net_nat_on_address(struct net *n, void (*fn)(void *arg), void *arg);

#endif
