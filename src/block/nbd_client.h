/* SPDX-License-Identifier: MIT */
/* The thread of a disk on an NBD server and all that is its own: connections, commands, what is to be written
 * again. blk_nbd.c has what the disk's loop thread does. */
#ifndef VZ_BLOCK_NBD_CLIENT_H
#define VZ_BLOCK_NBD_CLIENT_H

#include <pthread.h>

#include "block/blk_nbd.h"
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

/* For the loop thread. */
struct nbd_news {
    bool connected;
    struct vz_error err;
};

struct nbd_client {
    struct blk *b;
    struct nbd_uri uri;
    uint32_t timeout_ms;
    bool no_sync;
    pthread_t thread;
    int wake_fd; /* an eventfd */

    /* Guarded by lock, a leaf. */
    pthread_mutex_t lock;
    pthread_cond_t opened;
    struct blk_req *todo, **todo_last; /* requests that the thread has not taken */
    bool asleep;                       /* the thread wants wake_fd */
    bool stop;
    bool is_open, has_failed;          /* the first attempt */
    struct vz_error first_err;
    struct nbd_news news[NBD_NEWS_MAX];
    unsigned news_count;
    uint64_t size; /* of the export, in whole blocks */
    struct loop_work tell;

    /* The thread's. */
    enum nbd_client_state state;
    struct nbd_link link[NBD_LINKS_MAX];
    unsigned link_count;     /* in use */
    struct nbd_export export; /* of the connection that is there */
    bool write_through;      /* by FUA on each write, as the server cannot flush */
    struct nbd_commands wait, answered;
    struct write_log log;
    struct write_log_entry *replayed; /* the last one sent again; NULL: none yet */
    uint64_t replayed_bytes;          /* since the last flush */
    bool lost_write;         /* one could not be written again: the next flush says so */
    bool trimming_log;       /* a flush of our own is under way */
    bool was_lost;
    unsigned refusals;       /* attempts in a row that failed with a server there */
    uint64_t retry_ns, backoff_ms;
};

/* Start the thread, and wait for the first connection. c has b (with its loop), uri, timeout_ms, no_sync, tell.
 * On success c->export and c->size say what is there. 0 or -errno with err. */
int nbd_client_start(struct nbd_client *c, struct vz_error *err) must_check;
/* The disk is idle. */
void nbd_client_stop(struct nbd_client *c);

/* Loop thread. */
void nbd_client_submit(struct nbd_client *c, struct blk_req *req);
void nbd_client_kick(struct nbd_client *c);
/* Complete it with -ECANCELED if the thread has not taken it. */
void nbd_client_cancel(struct nbd_client *c, struct blk_req *req);

/* Does the export have what the disk needs? 0 or -errno with err. */
int nbd_client_check(const struct nbd_client *c, const struct nbd_export *e, struct vz_error *err) must_check;

#endif
