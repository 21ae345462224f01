/* SPDX-License-Identifier: MIT */
/* One connection to an NBD server: connecting (nbd_dial.h), commands, answers. It knows nothing of disks, nor of
 * other connections. All on the loop thread, and nothing waits.
 *
 * What a server says before a connection is ready is read elsewhere. Here it is the header of each reply and, for who
 * asked, where there are zeroes (nbd_replies.c): anything but what the protocol has is the end of the connection. */
#ifndef VZ_BLOCK_NBD_LINK_H
#define VZ_BLOCK_NBD_LINK_H

#include <sys/queue.h>

#include "base/error.h"
#include "base/nbd_uri.h"
#include "block/blk.h"

struct blk_nbd_look;
struct child;
struct nbd_dial;
struct nbd_reader;

/* What a server says of an export. */
struct nbd_export {
    uint64_t size;
    uint32_t block_min, block_preferred, payload_max; /* bytes */
    bool read_only, can_flush, can_fua, can_trim, can_zero, can_multi, can_map;
};

/* What a server says of a part of its disk, from the command's offset on. */
struct nbd_status {
    bool zeroes; /* it reads as zeroes; else nothing is known */
    uint32_t len;
};

/* A command: a piece of a request, or one of our own. */
struct nbd_command {
    TAILQ_ENTRY(nbd_command) link;
    enum blk_op op;
    bool fua, may_unmap;
    uint64_t offset;
    uint32_t len;
    uint8_t *data;      /* READ, WRITE: len bytes */
    struct nbd_status *status; /* ask for this, whatever op says */
    uint64_t cookie;    /* of the link, which it is in flight on */
    /* The owner's. */
    struct blk_req *req; /* or */
    struct blk_nbd_look *look; /* with status below; both NULL: one of our own */
    struct nbd_status answer;
    bool own_data, is_replay;
    uint64_t skip;       /* where data belongs in the request */
    uint64_t covers;     /* FLUSH: the last write that it makes stable */
    uint64_t deadline_ns;
    uint32_t came;       /* READ: bytes that have been answered */
    int err;             /* 0 or -errno */
};
TAILQ_HEAD(nbd_commands, nbd_command);

enum nbd_link_state {
    NBD_LINK_CLOSED,
    NBD_LINK_CONNECTING,
    NBD_LINK_READY,
    NBD_LINK_LOST, /* err says why */
};

struct nbd_link {
    enum nbd_link_state state;
    struct nbd_dial *dial;         /* CONNECTING */
    int socket;                    /* READY, LOST if was_ready; else -1 */
    struct nbd_reader *reader;     /* with that */
    struct nbd_export export;      /* READY */
    bool was_ready;
    uint64_t since_ns;             /* connecting */
    struct loop *loop;
    struct loop_fd *watch;         /* of nbd_link_fd(), or NULL */
    void (*turned)(void *arg);     /* it was the descriptor's turn */
    void *arg;
    struct nbd_commands inflight;  /* in the order they are sent */
    struct nbd_command *unsent;    /* of those the first that has not been sent to its end, */
    size_t sent;                   /* but so many bytes; NULL: none */
    uint64_t last_cookie;
    struct nbd_commands *answered; /* where answers go, the owner's */
    unsigned count;                /* in flight */
    struct vz_error err;
};

/* The loop looks after it, and calls turned(arg) when there may be answers or another state. */
void nbd_link_init(struct nbd_link *l, struct loop *loop, struct nbd_commands *answered,
                   void (*turned)(void *arg), void *arg);

/* Start to connect; the state says what becomes of it. by: see nbd_dial_start(). dial: a connection to there that is in
 * the making already, which it takes over; or NULL. maps: nbd_command.status may be asked for, where the server knows. */
void nbd_link_connect(struct nbd_link *l, struct child *by, const struct nbd_uri *uri, bool maps,
                      struct nbd_dial *dial);
/* Too late: CONNECTING becomes LOST. */
void nbd_link_give_up(struct nbd_link *l);

/* Close it. What was in flight goes to the beginning of *to, in its order; no answer comes any more. */
void nbd_link_close(struct nbd_link *l, struct nbd_commands *to);

/* While the loop does not turn: for poll(), -1: none. */
int nbd_link_fd(const struct nbd_link *l, short *ret_events);
/* After it. */
void nbd_link_turn(struct nbd_link *l, short events);

/* READY: c is to be sent. It comes back in *answered with its err set, or is in flight until nbd_link_close(). */
void nbd_link_send(struct nbd_link *l, struct nbd_command *c);
/* READY: send what is to be sent, as far as that does not wait. */
void nbd_link_push(struct nbd_link *l);

/* ---- nbd_replies.c ---- */

/* NULL: no memory. */
struct nbd_reader *nbd_reader_new(void);
void nbd_reader_free(struct nbd_reader *r);

/* Take the replies that are there. 0; or -errno, and *ret_why: the connection is no good any more. */
int nbd_reader_turn(struct nbd_link *l, const char **ret_why) must_check;

#endif
