/* SPDX-License-Identifier: MIT */
/* What a machine's process says to vz-vnc, the process of its VNC server, and hears from it. Both have a socket that keeps
 * messages apart. By the first (VNC_SOCKET) orders come, one at a time, and are answered; START brings the other, by
 * which vz-vnc asks for a display's channel (<vz/display_channel.h>), one for each client, and gets its descriptor, or
 * none, and says when that has gone. When the first one's other end is closed, vz-vnc ends. */
#ifndef VZ_TOOLS_VNC_ORDERS_H
#define VZ_TOOLS_VNC_ORDERS_H

#include <stdint.h>

#include <vz/error.h>

enum vnc_order_kind {
    VNC_ORDER_START = 1, /* struct vnc_order_start; the first one, and only that */
    VNC_ORDER_VIEW,      /* a new address for one browser; the server begins with the first one, unless it has begun */
    /* vz-vnc's own, by the other socket: struct vnc_wish. */
    VNC_WISH_CHANNEL,
    VNC_WISH_CLOSED,     /* is not answered */
};

#define VNC_PATH_MAX 4096u
#define VNC_NAME_MAX 63u

struct vnc_order {
    uint32_t kind;
    uint32_t number; /* the answer has it, too: one that comes when nobody waits for it any more is no other order's */
};

#define VNC_CLIENTS_MAX 8u

struct vnc_wish {
    uint32_t kind;
    uint32_t client; /* less than VNC_CLIENTS_MAX */
};

struct vnc_order_start {
    struct vnc_order order;
    uint32_t uid, gid; /* root's becomes this; 0: it stays */
    uint8_t locks;     /* it gives up what it does not need, before anybody can connect, */
    uint8_t logs;      /* or says only what it would not have (src/sandbox/) */
    uint8_t listens;   /* at once, and says on standard error where */
    uint8_t tls;       /* as in struct vnc_options, as what follows; empty: NULL */
    char name[VNC_NAME_MAX + 1]; /* of the machine, for clients; may be cut */
    char address[256], password_file[VNC_PATH_MAX], certificate[VNC_PATH_MAX], key[VNC_PATH_MAX];
};

/* With VIEW's comes a file in memory, with JSON: address, password, url. */
struct vnc_answer {
    int32_t code;    /* of enum vz_error_code; 0: done */
    uint32_t number; /* of the order; with a channel 0 */
    char text[VZ_ERROR_TEXT_MAX];
};

#endif
