/* SPDX-License-Identifier: MIT */
/* The bytes of a disk: the contract between storage devices (virtio-blk and whatever follows) and
 * what holds the bytes. Backends: raw (image file or host block device) and mem (RAM disk); null,
 * delay, fault and log stack on another one or stand for one, in tests and when hunting a fault.
 *
 * Threads: everything here is called on the disk's loop thread, or, while loop_run() is not
 * running, by the one thread that holds the loop. Only blk_complete() may be called on any thread.
 *
 * A request completes exactly once, on the loop thread, and never inside the call that submitted
 * it. Nothing is allocated between submit and completion, so submitting cannot fail: what is wrong
 * with a request, or with the host, arrives in done(). */
#ifndef VZ_BLOCK_BLK_H
#define VZ_BLOCK_BLK_H

#include <pthread.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/error.h"
#include "base/stats.h"
#include "loop/loop.h"

struct blk;
struct blk_req;
struct loop_fd;

#define BLK_SECTOR       512u  /* sizes and offsets are multiples of this at least */
#define BLK_IOV_MAX      1024u /* pieces of a request */
#define BLK_BLOCK_MAX    4096u /* greatest block_size */

enum blk_op {
    BLK_READ,
    BLK_WRITE,
    BLK_FLUSH,   /* all writes that completed before this was submitted reach stable storage */
    BLK_DISCARD, /* the range's content is not needed any more; it may read as anything after */
    BLK_ZERO,    /* the range reads as zeroes afterwards */
    BLK_OP_COUNT,
};

/* The caller's memory, not to be touched between blk_submit() and done(). */
struct blk_req {
    enum blk_op op;
    bool fua;                /* WRITE, ZERO: on stable storage before done() */
    bool unmap;              /* ZERO: the range may be given back to the host's file system */
    uint64_t offset, len;    /* bytes, multiples of block_size; not for FLUSH */
    const struct iovec *iov; /* READ, WRITE: adds up to len; the caller's until done() */
    unsigned iov_count;      /* 1..BLK_IOV_MAX */
    /* err: 0 or -errno. After an error of READ the buffers may be partly filled, and after one of
     * WRITE, DISCARD or ZERO the range may hold old and new bytes in any mixture. May submit again,
     * this request too; must not close the disk. */
    void (*done)(struct blk_req *req, int err);

    /* The core's, and that of the backend which holds the request. */
    struct blk *blk;         /* where it was submitted */
    struct blk_req *next;
    uint64_t moved, deadline_ns, started_ns;
    int err;
};

struct blk_ops {
    const char *name;
    /* Take req and blk_complete() or blk_finish() it later. Cannot fail. Range, alignment and
     * read-only were checked. b may lie under filters: req->blk is then the topmost. */
    void (*submit)(struct blk *b, struct blk_req *req);
    /* Optional: requests between blk_plug() and this may be held back until now. */
    void (*unplug)(struct blk *b);
    /* Optional: a hint that nobody needs req any more; its completion still comes. */
    void (*cancel)(struct blk *b, struct blk_req *req);
    /* Optional: the loop does not turn, so make requests that wait for it go on; may wait for the
     * host. false: there are none, what is in flight completes by itself on other threads. */
    bool (*wait)(struct blk *b);
    /* Optional: look whether the size changed. */
    void (*check_size)(struct blk *b);
    /* Optional: make what holds the bytes longer; the core tells of the size. Nothing is under way;
     * size was checked. On a thread of its own, so it may wait for the host, and touches nothing of the
     * loop's. 0 or -errno with err filled in. */
    int (*grow)(struct blk *b, uint64_t size, struct vz_error *err);
    /* Optional: it has just been flushed, and nothing comes any more but the close, which need not wait for
     * the host again. */
    void (*rest)(struct blk *b);
    /* Idle. Undo everything but blk_fini(). */
    void (*close)(struct blk *b);
};

/* What a storage device hears. */
struct blk_client {
    void (*resized)(void *arg); /* b->size has changed */
};

#define BLK_COUNTERS(X)                                                                            \
    X(reads) X(writes) X(flushes) X(discards) X(zeroes) X(bytes_read) X(bytes_written)            \
    X(errors) /* requests that ended with one */                                                   \
    X(reconnects) /* connections that were made anew, of disks on the network */                   \
    X(limited) /* requests that a speed limit held back */                                         \
    X(refused) /* of them: out of range, misaligned, or writes to a read-only disk */

/* How long requests of one kind took, from submission to done(). The last of the counts is of all that
 * took longer, the others are of those that took less than 2^i microseconds, and no less than half of that. */
#define BLK_TIME_COUNTS 24u
struct blk_time {
    _Atomic uint64_t total_ns, max_ns;
    _Atomic uint64_t count[BLK_TIME_COUNTS];
};

struct blk_stats { /* read on any thread */
    BLK_COUNTERS(STATS_FIELD)
    struct blk_time time[BLK_OP_COUNT]; /* of one disk; a sum has none */
};
void blk_stats_tell(const struct blk_stats *s, stats_fn *fn, void *arg); /* "block.reads", ... */

struct blk_drain {
    void (*idle)(void *arg);
    void *arg;
    struct blk_drain *next; /* the core's */
};

/* A disk on its way to be longer. The caller's memory until done(). */
struct blk_growth {
    uint64_t size; /* bytes */
    /* r: 0, or -errno with err. Loop thread, or inside blk_drain_wait(); never inside blk_grow(). Must not
     * close the disk. */
    void (*done)(struct blk_growth *g, int r);
    struct vz_error err;

    /* The core's. */
    struct blk *blk, *holder;
    bool running; /* thread is there */
    int result;   /* above 0: not done yet */
    pthread_t thread;
    struct loop_work work;
};

/* The base of every backend's struct. */
struct blk {
    const struct blk_ops *ops;
    struct loop *loop;
    uint32_t trace;               /* base/trace.h */
    struct blk *child;            /* of a filter, which owns it; or NULL */

    /* What devices tell their guests. Loop thread; only size changes. */
    uint64_t size;                /* bytes, a multiple of block_size */
    uint32_t block_size;          /* power of two, BLK_SECTOR..BLK_BLOCK_MAX */
    uint32_t physical_block_size; /* writes of less may be slow; power of two, >= block_size */
    uint32_t discard_granularity; /* bytes; 0: discards are accepted but do nothing */
    bool read_only;
    bool is_part;                 /* of another disk, which counts the times */
    struct blk_stats stats;
    struct blk_stats *sum;        /* of several disks, counted into as well; NULL: none */

    /* The core's. Loop thread. */
    const struct blk_client *client;
    void *client_arg;
    unsigned inflight, plugged;
    struct blk_drain *drains;
    struct blk_growth *growth;         /* under way; until its end requests wait here: */
    struct blk_req *held, **last_held;
    unsigned held_count;               /* of those in flight */
    struct loop_work work;

    /* Guarded by lock, a leaf: requests that wait for done(), in order of completion. */
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct blk_req *first, **last;
};

/* ---- For devices ---------------------------------------------------------------------------- */

/* Start req. Out of range, misaligned or a write to a read-only disk ends in done() with -EINVAL
 * or -EROFS. */
void blk_submit(struct blk *b, struct blk_req *req);

/* Around several blk_submit() calls: the backend may pass them on together. They nest. */
void blk_plug(struct blk *b);
void blk_unplug(struct blk *b);

/* A hint; done() still comes, with -ECANCELED if the hint was in time. req is in flight. */
void blk_cancel(struct blk *b, struct blk_req *req);

/* Call d->idle(d->arg) on the loop thread, not inside this call, once nothing is in flight. d is
 * the caller's memory until then. Does not keep others from submitting. */
void blk_drain(struct blk *b, struct blk_drain *d);

/* The blocking form: done() of all that is in flight is called inside. Loop thread or no loop
 * running; not from done(). */
void blk_drain_wait(struct blk *b);

/* Attach a device. A disk has one at most: -EBUSY. client NULL detaches. client is the caller's. */
int blk_attach(struct blk *b, const struct blk_client *client, void *arg) must_check;
void blk_detach(struct blk *b);

/* Look whether the size changed, now; backends also look by themselves every second. */
void blk_check_size(struct blk *b);

/* Make the disk longer, to g->size, while devices use it. What is under way ends first, what comes then
 * waits, and the host is waited for on a thread: the loop goes on. After a success g->done() calls
 * blk_grown(), by which devices hear of it (or does not: it is being closed). 0; or -errno with g->err filled in, and the disk is as it was. Of
 * these, what the host says comes by g->done(), the others from here, without it:
 *   -EINVAL  shorter than it is, or not a multiple of block_size
 *   -EROFS   read-only
 *   -ENOTSUP of a kind that keeps its size
 *   -EBUSY   it is being made longer already
 *   others   as ftruncate(2) and write(2) */
int blk_grow(struct blk *b, struct blk_growth *g) must_check;
void blk_grown(struct blk *b);

/* Drains first. The device is detached. NULL is fine. Closes the child of a filter as well. */
void blk_close(struct blk *b);

/* Nothing is in flight, the last request was a flush, which succeeded, and the next call is blk_close(): that is
 * faster then. */
void blk_rest(struct blk *b);

/* Exchange the disk below a filter, with nothing in flight: for one with the same size, blocks and bytes, which it owns from
 * here on; or NULL, until it gets one or is closed, and nothing is submitted. Returns the one before, now the caller's. */
struct blk *blk_exchange(struct blk *filter, struct blk *child) must_check;

/* ---- For backends --------------------------------------------------------------------------- */

/* Fill in the base: child NULL, or for a filter the disk below, whose properties it takes over and
 * which it owns from here on. Properties are set by the caller. */
void blk_init(struct blk *b, const struct blk_ops *ops, struct loop *loop, struct blk *child);
void blk_fini(struct blk *b); /* closes no child; for a failed open, and the core */

/* Any thread, any time: have done(err) called on the loop thread soon. */
void blk_complete(struct blk_req *req, int err);
/* Call done(err) now. Loop thread, not inside submit. */
void blk_finish(struct blk_req *req, int err);
/* Hand a request on to the disk below as it is; that one completes it. */
void blk_pass(struct blk *child, struct blk_req *req);
/* The topmost of the filters on b, or b: the disk whose counters are looked at. */
struct blk *blk_top(struct blk *b);
/* Loop thread: the disk's size is now size. Tells the client if that is news. */
void blk_set_size(struct blk *b, uint64_t size);

#endif
