/* SPDX-License-Identifier: MIT */
/* A disk on an NBD server.
 *
 * The connections (libnbd) are on the disk's loop; they are made by threads, so that no name server or handshake
 * holds anybody up. When a connection is lost all are given up, and there is a new attempt until one succeeds.
 * Requests wait meanwhile, and those that were under way are sent again. Writes that completed but were not
 * flushed yet are kept, and written again before anything else: the server may have lost them with its
 * memory. A request that has no answer after the timeout ends with -ETIMEDOUT, connected or not. */
#ifndef VZ_BLOCK_BLK_NBD_H
#define VZ_BLOCK_BLK_NBD_H

#include "base/nbd_uri.h"
#include "block/blk.h"

/* What became of the connection. Loop thread. err NULL: there is one (again); else VZ_ERROR_NBD_DISCONNECTED: it
 * was lost, or VZ_ERROR_NBD_NEGOTIATION_FAILED: there is a server, but not the disk that was there. Attempts go
 * on in both cases. Not called before blk_nbd_open() has returned. */
typedef void blk_nbd_tell_fn(void *arg, const struct vz_error *err);

struct child;
struct nbd_dial;

struct blk_nbd_options {
    const char *uri;
    struct child *by;      /* the process that makes connections (nbd_child.h), and outlives the disk; NULL: this one */
    uint32_t timeout_ms;   /* for a request, and for connecting at the start; 0: none */
    bool read_only;        /* refuse writes even where the server takes them */
    bool no_sync;          /* flushes do nothing */
    bool looks;            /* blk_nbd_look() will be called: reading costs a bit more then */
    struct nbd_dial *dial; /* the first connection, by blk_nbd_dial() of the same uri: taken over, whatever comes; or NULL */
    bool (*goes_on)(void *arg); /* asked ten times a second while it is connected: false: give up; may be NULL */
    void *goes_on_arg;
    blk_nbd_tell_fn *tell; /* may be NULL */
    void *arg;
};

/* Connect. 0, or -errno with err:
 *   VZ_ERROR_INVALID                 the address
 *   VZ_ERROR_NBD_DISCONNECTED        nobody there, or no answer in time
 *   VZ_ERROR_NBD_NEGOTIATION_FAILED  no such export, TLS refused, no NBD server, ...
 *   VZ_ERROR_CANCELLED               goes_on() says so
 *   VZ_ERROR_UNSUPPORTED             what the server cannot do and we need; a build without libnbd */
int blk_nbd_open(const struct blk_nbd_options *options, struct loop *loop, struct blk **ret,
                 struct vz_error *err) must_check;

/* Begin to connect, for who cannot wait in blk_nbd_open(): when the descriptor is readable that is over, well or not, and
 * blk_nbd_open() tells at once. Or hang up: nothing is waited for; NULL is fine. 0 or -errno, errors as above. */
int blk_nbd_dial(struct child *by, const char *uri, struct nbd_dial **ret, struct vz_error *err) must_check;
int blk_nbd_dial_fd(const struct nbd_dial *d);
void blk_nbd_hang_up(struct nbd_dial *d);

/* No more: all that is under way ends with -ECANCELED, soon, and so does whatever comes. Only closing is left. Loop
 * thread. Of another disk: does nothing. */
void blk_nbd_abandon(struct blk *b);

/* Wait no longer than ms for any answer from now on. Loop thread. b may have filters above it; of other disks it does
 * nothing. */
void blk_nbd_hurry(struct blk *b, uint32_t ms);

/* What a server knows of a part of its disk. The caller's memory until done(). */
struct blk_nbd_look {
    uint64_t offset, len; /* bytes, up to 1 GiB */
    /* 0 or -errno. Loop thread, not inside blk_nbd_look(). Unlike a request it is not waited for by blk_drain(). */
    void (*done)(struct blk_nbd_look *look, int err);
    bool ret_zeroes;      /* it reads as zeroes; else nothing is known */
    uint64_t ret_len;     /* from offset on, in whole blocks; 0: nothing is known of any of it */
};

/* Ask. false: the server cannot tell, and nothing follows. b is what blk_nbd_open() made, with looks. */
bool blk_nbd_look(struct blk *b, struct blk_nbd_look *look);

#endif
