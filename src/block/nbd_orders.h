/* SPDX-License-Identifier: MIT */
/* What the process that makes connections to NBD servers is told (nbd_child.h, src/child/nbd_dialler.c), and what whoever
 * makes one says of it (nbd_connect.h). Both sides are of one build. Neither believes the other. */
#ifndef VZ_BLOCK_NBD_ORDERS_H
#define VZ_BLOCK_NBD_ORDERS_H

#include "base/child.h"
#include "base/nbd_uri.h"
#include "block/nbd_link.h"

/* ---- Orders, by the socket of base/child.h. Only LOCK is answered there ---- */

enum nbd_order_kind {
    NBD_ORDER_START, /* the first one. start */
    NBD_ORDER_KNOW,  /* uri: what TLS with that server reads will be open to it when it is locked */
    NBD_ORDER_LOCK,
    NBD_ORDER_DIAL, /* uri, and the end of a pair of sockets on which struct nbd_dialled is said */
};

struct nbd_order {
    uint32_t kind;
    bool maps; /* block status is to be asked for */
    union {
        struct nbd_order_start {
            bool locks, logs;
            uint32_t uid, gid;
        } start;
        struct nbd_uri uri;
    } u;
};

#define NBD_ORDER_LEN(member) (offsetof(struct nbd_order, u) + sizeof(((struct nbd_order *)0)->u.member))

/* ---- What became of a connection: one message, with its socket if there is one ---- */

enum nbd_wire_can {
    NBD_READ_ONLY = 1 << 0,
    NBD_CAN_FLUSH = 1 << 1,
    NBD_CAN_FUA = 1 << 2,
    NBD_CAN_TRIM = 1 << 3,
    NBD_CAN_ZERO = 1 << 4,
    NBD_CAN_MULTI = 1 << 5,
    NBD_CAN_MAP = 1 << 6,
};

struct nbd_dialled {
    struct child_answer answer;
    uint64_t size;
    uint32_t block_min, block_preferred, payload_max;
    uint32_t can; /* enum nbd_wire_can */
};

#endif
