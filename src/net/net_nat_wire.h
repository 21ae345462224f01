/* SPDX-License-Identifier: MIT */
/* What the two sides of a NAT in a process of its own say to each other: the machine's (net_nat_process.c) and the
 * process' (src/child/nat_child.c). Both are of one build. Neither believes the other. */
#ifndef VZ_NET_NET_NAT_WIRE_H
#define VZ_NET_NET_NAT_WIRE_H

#include <string.h>

#include "net/net.h"
#include "net/net_nat.h"

/* ---- Questions, by the socket of base/child.h ---- */

enum nat_op {
    NAT_OP_START, /* the first one. start */
    NAT_OP_LOCK,
    NAT_OP_CREATE,         /* options, and with it one end of a pair of sockets for frames. Result: its number */
    NAT_OP_DESTROY,        /* of NAT number */
    NAT_OP_FORWARD_ADD,    /* forward. Result: the host's port */
    NAT_OP_FORWARD_REMOVE, /* forward */
    NAT_OP_FLOWS_GET,      /* answered with a struct nat_flows */
    NAT_OP_FLOWS_SET,      /* flows, of a machine that was saved */
};

#define NAT_WIRE_ADDRESS_MAX 64u
#define NAT_WIRE_PATH_MAX    256u
#define NAT_CHILD_NETS_MAX   16u

/* Strings end with NUL, and empty ones are NULL. */
struct nat_question {
    uint32_t op;
    uint32_t number;
    union {
        struct nat_wire_start {
            bool locks, logs;
            uint32_t uid, gid;
            char resolv_conf[NAT_WIRE_PATH_MAX];
        } start;
        struct nat_wire_options {
            struct in_addr network, mask;
            uint32_t mtu;
            bool no_ipv6, isolated, no_host_loopback;
            uint16_t dns_port;
            char hostname[NAT_WIRE_PATH_MAX];
        } options;
        struct nat_wire_forward {
            bool udp;
            uint16_t host_port, guest_port;
            char host[NAT_WIRE_ADDRESS_MAX], guest[NAT_WIRE_ADDRESS_MAX];
        } forward;
        struct nat_flows flows;
    } u;
};

/* How many bytes of a question there are. */
#define NAT_QUESTION_LEN(member) (offsetof(struct nat_question, u) + sizeof(((struct nat_question *)0)->u.member))

/* false: it is too long. */
static inline bool nat_wire_put(char *to, size_t size, const char *text)
{
    size_t len = text ? strlen(text) : 0;

    if (len >= size)
        return false;
    memset(to, 0, size);
    memcpy(to, text ? text : "", len);
    return true;
}

/* NULL for nothing. Whatever came, it ends. */
static inline const char *nat_wire_get(char *from, size_t size)
{
    from[size - 1] = '\0';
    return from[0] ? from : NULL;
}

/* ---- Frames, by a SOCK_SEQPACKET of each NAT: one a message ---- */

enum nat_message_kind {
    NAT_MESSAGE_FRAME,    /* header, and a frame behind it */
    NAT_MESSAGE_OFFLOADS, /* to the NAT: offloads is what the guest takes */
    NAT_MESSAGE_NEWS,     /* from it: a struct nat_news is behind it */
};

struct nat_message {
    uint32_t kind;
    uint32_t offloads;
    struct virtio_net_hdr header;
    uint16_t unused;
};

struct nat_news {
    struct net_nat_address address; /* the guest's */
    uint64_t dropped;               /* frames, in all */
};

/* So that many large frames are under way; less where the host says so. */
#define NAT_SOCKET_BUFFER (1 << 20)

#endif
