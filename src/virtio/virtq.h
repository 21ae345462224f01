/* SPDX-License-Identifier: MIT */
/* A virtqueue as a device sees it (VIRTIO 1.2 section 2.6 and 2.7): requests come out, answers go
 * back. Nothing of the ring's format, of guest addresses, barriers or byte order shows.
 *
 * A request is a chain of buffers in guest memory, as iovecs: first those the device reads (out),
 * then those it writes (in); "in" and "out" are the driver's words and so the specification's.
 * The guest may change out bytes at any time: copy out once, check, then use.
 *
 * Every queue owns one struct virtq_chain per slot, allocated before the guest runs. virtq_pop()
 * lends one out; it and its iovecs stay valid until virtq_push() or virtq_unpop() of it, which may
 * come much later (asynchronous work) and in any order. Every chain popped must be given back in
 * one of these ways, also when the device is being reset meanwhile: a reset waits for it.
 *
 * Threads: all of this on the loop thread only; or, in a device that says so (virtio_dev.any_thread), on any thread
 * that holds its queue_lock. */
#ifndef VZ_VIRTIO_VIRTQ_H
#define VZ_VIRTIO_VIRTQ_H

#include <sys/uio.h>

#include "base/compiler.h"
#include "base/iov.h"
#include "mem/mem.h"
#include "state/state.h"

struct virtio_dev;
struct virtq;

#define VIRTQ_SIZE_MAX 1024u /* slots of a queue, and so segments of a chain */

struct virtq_chain {
    struct virtq *queue;
    const struct iovec *out, *in; /* device reads; device writes. In guest memory */
    unsigned out_count, in_count; /* of iovecs; none is empty */
    size_t out_len, in_len;       /* bytes; together below 4 GiB */
    /* virtio_ops.request_size bytes for the device's use, zero at first, kept between uses. */
    void *priv;
    /* The queue's. */
    struct iovec *iov;
    uint16_t head; /* first descriptor */
    bool busy;     /* lent out */
};

/* What the guest programmed through the transport. Under the device's lock. */
struct virtq_regs {
    uint16_t size;   /* slots; the driver may lower it from the device's maximum */
    uint16_t vector; /* MSI-X vector or VIRTIO_MSI_NO_VECTOR */
    bool enabled;
    bool resetting;  /* the driver waits for the end of a queue reset (2.6.1) */
    gpa_t desc, driver, device; /* descriptor table, avail ring, used ring */
};

struct virtq {
    struct virtio_dev *dev;
    unsigned index;
    uint16_t size_max; /* constant */
    struct virtq_regs regs;

    /* The rest belongs to the loop thread. */
    bool running;   /* set up, and neither reset, broken nor stopped since */
    bool event_idx, indirect;
    uint16_t size;
    void *desc, *driver, *device; /* in guest memory, sizes checked */
    struct mem_hold held; /* device: the one that is written to */
    uint16_t next_avail;  /* free-running, as the next */
    uint16_t next_used;
    uint16_t signalled;   /* next_used when an interrupt was last considered */
    bool signalled_valid;
    bool started;         /* next_* hold a position: the queue was running */
    unsigned inflight;    /* chains lent out */
    unsigned budget;      /* pops left in this kick, see virtio_ops.kick */
    uint8_t *chains;      /* size_max of them, chain_stride bytes apart */
    size_t chain_stride;
    size_t request_at;    /* where in a chain the request of its device is; 0: it has none */
};

/* The next request, or NULL when there is none now: then the driver has been asked to kick when it
 * adds one. Bounds and memory ranges are checked. A chain that breaks a rule is not returned: the
 * device goes to DEVICE_NEEDS_RESET (2.1.2) and its queues yield nothing more until it is reset. */
struct virtq_chain *virtq_pop(struct virtq *q) must_check;

/* Is there a request? As virtq_pop(), but takes nothing. */
bool virtq_pending(struct virtq *q);
/* How many there are, about. */
unsigned virtq_available(struct virtq *q);

/* Give the chain back with written bytes in its in part, from its start on (more than in_len counts
 * as in_len). The driver is not told before virtq_notify(). */
void virtq_push(struct virtq *q, struct virtq_chain *c, size_t written);

/* Put the chain popped last back, as if virtq_pop() had not been called. Only if no other of this
 * queue has been popped since. */
void virtq_unpop(struct virtq *q, struct virtq_chain *c);

/* Give a chain back that is neither served nor to be popped again: the device keeps its number, c->head,
 * in its state, and borrows the chain by that when the queue runs again (virtq_take()). For chains that
 * are held for long, of which others were pushed before; in drain, while q->running. */
void virtq_keep(struct virtq *q, struct virtq_chain *c);
/* Lend out a chain that was kept, maybe by another device whose state was loaded: all is checked as when
 * it was popped. NULL: as virtq_pop(), for a chain that breaks a rule. */
struct virtq_chain *virtq_take(struct virtq *q, uint16_t head) must_check;

/* Interrupt the driver if it wants to know about what was pushed since the last call. Cheap. Call
 * it once after a batch of pushes. */
void virtq_notify(struct virtq *q);

/* Copy from the out part, from off on; returns bytes copied, short at the end of the chain. */
size_t virtq_read(const struct virtq_chain *c, size_t off, void *buf, size_t len);
/* Copy into the in part, likewise. */
size_t virtq_write(const struct virtq_chain *c, size_t off, const void *buf, size_t len);

/* --- for the device core (virtio.c) only --- */

/* Allocate the chains. 0 or -ENOMEM. */
int virtq_init(struct virtq *q, struct virtio_dev *dev, unsigned index, uint16_t size_max,
               size_t request_size) must_check;
void virtq_fini(struct virtq *q);
/* Begin with what regs says, from the rings' start, or where a saved queue left off. false: the
 * driver gave bad addresses, and the device is broken now. */
bool virtq_start(struct virtq *q, const struct virtq_regs *regs, uint64_t features,
                 bool restored) must_check;
void virtq_stop(struct virtq *q);
/* The same from a thread that is not the loop's: what it holds of memory it holds until virtq_stop(). */
void virtq_break(struct virtq *q);

extern const struct state_field virtq_state[];

#endif
