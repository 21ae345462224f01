/* SPDX-License-Identifier: MIT */
/* A disk on an NBD server and all that is its own: connections, commands, what is to be written again. All on the
 * disk's loop thread; only connections are made elsewhere (nbd_dial.h). blk_nbd.c has what makes a disk of it. */
#ifndef VZ_BLOCK_NBD_CLIENT_H
#define VZ_BLOCK_NBD_CLIENT_H

#include "block/blk_nbd.h"
#include "block/buffers.h"
#include "block/nbd_link.h"
#include "block/write_log.h"

#define NBD_LINKS_MAX 4u
#define NBD_NEWS_MAX  16u

enum nbd_client_state {
    NBD_DOWN,       /* waits for retry_ns */
    NBD_CONNECTING, /* the first connection */
    NBD_REPLAYING,  /* writes of before are written again */
    NBD_UP,
};

/* For the disk's user. */
struct nbd_news {
    bool connected;
    struct vz_error err;
};

struct nbd_client {
    struct blk *b;
    struct nbd_uri uri;
    uint32_t timeout_ms;
    bool no_sync;
    bool maps;               /* block status will be asked for */
    struct child *by;        /* who makes connections: see nbd_dial_start() */
    struct nbd_dial *dial;   /* the first connection, in the making already; or NULL */
    bool (*goes_on)(void *arg); /* while the first connection is made; may be NULL */
    void *goes_on_arg;

    bool is_open;            /* there was a connection once */
    bool is_abandoned;
    struct vz_error first_err;
    struct nbd_news news[NBD_NEWS_MAX];
    unsigned news_count;
    uint64_t size;           /* of the export, in whole blocks */
    struct loop_work tell;   /* there are news */
    struct loop_work again;  /* answers have come inside a submission: it is nbd_client's turn */
    struct loop_timer *timer;
    uint64_t timer_ns;       /* when it goes off; 0: it is not armed */
    uint64_t lost_ns;        /* in which nobody could take answers: no deadline counts that */
    bool turning;
    bool has_cancelled;      /* a command has a deadline, whatever timeout_ms says */

    struct blk_req *todo, **todo_last; /* requests of which there are no commands yet */
    struct blk_req *making;  /* one of which there are not all, for want of room: from made (bytes) on; NULL: none */
    uint64_t made;
    uint64_t copied;         /* bytes of data that commands have for themselves */
    unsigned pieces;         /* commands of requests */
    uint8_t *zeroes;         /* for a server that knows none; NULL: not needed yet */
    enum nbd_client_state state;
    struct nbd_link link[NBD_LINKS_MAX];
    unsigned link_count;     /* in use */
    struct nbd_export export; /* of the connection that is there */
    bool write_through;      /* by FUA on each write, as the server cannot flush */
    struct nbd_commands wait, answered;
    struct buffers buffers;  /* for data of commands, and of the log */
    struct write_log log;
    struct write_log_entry *replayed; /* the last one sent again; NULL: none yet */
    uint64_t replayed_bytes;          /* since the last flush */
    bool lost_write;         /* one could not be written again: the next flush says so */
    bool trimming_log;       /* a flush of our own is under way */
    bool was_lost;
    unsigned refusals;       /* attempts in a row that failed with a server there */
    uint64_t retry_ns, backoff_ms;
};

/* Make the first connection, and wait for it. c has b (with its loop), and what comes before is_open, and tell. On success c->export and c->size say what is there.
 * 0 or -errno with err: -ECANCELED, ... */
int nbd_client_start(struct nbd_client *c, struct vz_error *err) must_check;
/* Nothing is in flight. */
void nbd_client_stop(struct nbd_client *c);

/* By when the server must have done what it is asked for now. */
uint64_t nbd_client_deadline_ns(const struct nbd_client *c);

void nbd_client_submit(struct nbd_client *c, struct blk_req *req);
void nbd_client_kick(struct nbd_client *c);
/* Finish it with -ECANCELED if no command was made of it; else soon, with the server's answer or without. */
void nbd_client_cancel(struct nbd_client *c, struct blk_req *req);
/* See blk_nbd.h. */
void nbd_client_abandon(struct nbd_client *c);
void nbd_client_hurry(struct nbd_client *c, uint32_t ms);
bool nbd_client_look(struct nbd_client *c, struct blk_nbd_look *look);
/* The loop does not turn: wait for whatever comes next. false: there is nothing to wait for. */
bool nbd_client_wait(struct nbd_client *c);

/* Does the export have what the disk needs? 0 or -errno with err. */
int nbd_client_check(const struct nbd_client *c, const struct nbd_export *e, struct vz_error *err) must_check;

#endif
