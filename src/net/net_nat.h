/* SPDX-License-Identifier: MIT */
/* The parts of the NAT backend, for net_nat*.c only: the engine (net_nat.c), port forwards
 * (net_nat_forward.c; net_nat_front.c where host and guest differ in IP version), the guest's
 * address (net_nat_address.c), and what of the host it may not reach (net_nat_guard.c). */
#ifndef VZ_NET_NET_NAT_H
#define VZ_NET_NET_NAT_H

#include <pthread.h>

#include "net/net_backend.h"
#include "net/net_nat_packet.h"
#include "net/net_relay.h"
#include "net/slirp_library.h"
#include "state/state.h"

struct nat_frame {
    struct nat_frame *next;
    size_t len;
    uint8_t data[];
};

/* By descriptor. Masks are epoll's. */
struct nat_fd {
    uint32_t wanted;  /* by slirp, in this round */
    uint32_t watched; /* what the epoll set has; 0: not in it */
    uint32_t ready;
    uint32_t round;
    bool listens;     /* slirp takes TCP connections there */
    /* Errors of a UDP socket are told to the guest: who sends by it. See net_nat_errors.c. */
    bool tells, v6;
    uint16_t guest_port;
    uint8_t headers[NAT_HEADERS_MAX]; /* of a datagram of its */
};

#define NAT_PEERS_MAX 256u
#define NAT_REFUSAL_MAX 74u /* bytes: headers of Ethernet, IPv6 and TCP */

/* A program of the host that has sent the guest a UDP datagram. */
struct nat_peer {
    bool v6;
    uint16_t host_port, guest_port;
};

union nat_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* A forward, read. */
struct nat_forward {
    bool udp;
    union nat_address host, guest;
    socklen_t host_len, guest_len;
};

/* A TCP connection that the guest has or had. */
struct nat_flow {
    bool used;
    uint8_t headers[NAT_HEADERS_MAX]; /* of a segment of the guest's */
    uint16_t guest_port, peer_port;
    uint32_t next; /* what the guest expects: its last acknowledgement */
    bool ended;    /* it has sent all that it will */
};

#define NAT_FLOWS     256u
#define NAT_FLOW_WAYS 4u

struct nat_flows {
    struct nat_flow flow[NAT_FLOWS];
};

struct nat_dns;
struct nat_ping;
struct nat_front;

enum nat_verdict { NAT_PASS, NAT_DROP, NAT_REFUSE };

/* The loop thread's, but for what the lock guards. */
struct net_nat {
    struct net net;
    Slirp *slirp;
    struct in_addr network, mask;
    struct in_addr router;
    struct in6_addr prefix6, router6; /* the former of 64 bits */
    bool guarded;                     /* the host's loopback is out of reach */
    bool isolated;                    /* and so is the rest of the world */
    struct nat_peer peers[NAT_PEERS_MAX];
    unsigned peer_count, next_peer;
    int epoll_fd;
    struct loop_fd *watch;
    struct loop_timer *timer;
    struct loop_work work;
    struct nat_fd *fds;
    unsigned fd_count;
    bool knocked;                    /* somebody is at a port, in this turn */
    uint32_t round;
    struct nat_frame *first, **last; /* for the guest */
    size_t queued_bytes;
    bool wanted;                     /* the guest has room */
    uint8_t *gathered;               /* NET_FRAME_MAX: a frame of the guest's in one piece */
    uint8_t *merged;                 /* NET_FRAME_MAX: a large packet for the guest */
    struct net_relays relays;
    LIST_HEAD(, nat_front) fronts;
    struct nat_dns *dns;
    struct nat_ping *ping;
    struct nat_flows flows;
    const struct nat_packet *input;  /* the guest's, while slirp has it */
    int error_fd;                    /* an epoll set of sockets that may have errors */
    bool address_changed;
    void (*on_address)(void *arg);
    void *on_address_arg;

    pthread_mutex_t lock; /* a leaf */
    struct net_nat_address address;
};

/* Make fds[fd] exist. false: no memory. */
bool net_nat_know_fd(struct net_nat *t, int fd) must_check;

/* For net_nat_ops. */
int nat_forward_add(struct net *n, const struct net_forward *f, struct vz_error *err);
int nat_forward_remove(struct net *n, const struct net_forward *f, struct vz_error *err);
void nat_guest_address(struct net *n, struct net_nat_address *ret);
void nat_on_address(struct net *n, void (*fn)(void *arg), void *arg);

/* Bring what is waited for in line with what slirp waits for now. */
void net_nat_update_wait(struct net_nat *t);

/* Have slirp forward f. Returns the descriptor it listens on, which is slirp's, or -errno. Both ends
 * must be of one IP version: slirp takes others and then serves nobody. */
int net_nat_slirp_forward(struct net_nat *t, const struct nat_forward *f) must_check;
int net_nat_slirp_unforward(struct net_nat *t, bool udp, const union nat_address *host,
                            socklen_t host_len);

/* Forward f, whose ends are of different IP versions. Returns the host's port, or -errno. */
int net_nat_front_add(struct net_nat *t, const struct nat_forward *f) must_check;
/* false: there is none at that address of the host. */
bool net_nat_front_remove(struct net_nat *t, bool udp, const union nat_address *host);
void net_nat_fronts_close(struct net_nat *t);

/* Queue a frame for the guest. */
void net_nat_to_guest(struct net_nat *t, const void *frame, size_t len);

/* net_nat_flows.c: note the connection that a packet of the guest's belongs to; for net_ops.state. */
void nat_flows_from_guest(struct nat_flows *flows, const struct nat_packet *p);
void *nat_flows_state(struct net *n, const struct state_desc **ret);
extern const struct state_field nat_flows_fields[]; /* of a struct nat_flows */
/* A state is restored with and without a process. What is done with it then is one's own. */
#define NAT_FLOWS_STATE .name = "nat-connections", .version = 1, .fields = nat_flows_fields
/* From another process, which may have put anything there. */
void nat_flows_tidy(struct nat_flows *flows);

/* Look at a frame for what it says about the guest's address. Any content. */
void net_nat_learn_from_guest(struct net_nat *t, const uint8_t *frame, size_t len);
void net_nat_learn_from_router(struct net_nat *t, const uint8_t *frame, size_t len);
/* Call on_address if something was learned. */
void net_nat_tell_address(struct net_nat *t);

/* May the guest's frame go on? NAT_REFUSE: answer with net_nat_refusal(). Any content. */
enum nat_verdict net_nat_guard_from_guest(const struct net_nat *t, const uint8_t *frame,
                                          size_t len);
/* Note whom the guest may answer. */
void net_nat_guard_to_guest(struct net_nat *t, const uint8_t *frame, size_t len);
/* The frame that says no to one that was to be refused. Returns its length. */
size_t net_nat_refusal(const uint8_t *syn, uint8_t ret[NAT_REFUSAL_MAX]);

#endif
