/* SPDX-License-Identifier: MIT */
/* Standing still. What needs all CPUs and devices of a machine at rest (a reset, a pause, the end of
 * the run) is a request; requests wait in one queue while the machine goes from phase to phase until
 * it rests, and are served then, one after the other, before anything moves again.
 *
 *     going -> parking -> parked -> quiescing -> resting -> going
 *
 * Here are the queue and the phase, which know nothing of threads: whoever calls holds the machine's
 * lock. machine_still.c does what the phases say. To add a request: a kind beside those in
 * machine_still.c, and for an operation of programs a row in machine_state.c. */
#ifndef VZ_MACHINE_STILL_H
#define VZ_MACHINE_STILL_H

#include <sys/queue.h>

#include "base/compiler.h"

struct still;
struct vz_error;
struct vz_machine;

enum still_phase {
    STILL_IDLE,      /* there is nothing that could move: no CPUs */
    STILL_GOING,     /* CPUs run guest code, the loop turns */
    STILL_PARKING,   /* CPUs are asked to stand still */
    STILL_PARKED,    /* they do; the loop turns */
    STILL_QUIESCING, /* and has devices finish what is under way */
    STILL_RESTING,   /* nothing moves, the loop neither */
    STILL_STUCK,     /* a device did not finish in time, and the run ends without it */
    STILL_PHASES
};

/* What becomes of a request when a device does not finish in time. */
enum still_late {
    STILL_WAIT,   /* it waits on */
    STILL_FAIL,   /* it fails, and the machine goes on */
    STILL_ABANDON /* the machine is stuck: devices and their memory are left to themselves */
};

/* Who is served first; among equals, who came first. */
enum still_rank {
    STILL_END,
    STILL_RESET,  /* what it takes back must not be kept by an operation */
    STILL_OP
};

struct still_kind {
    const char *name;
    enum still_late late;
    enum still_rank rank;
    /* All rests: do it. On the machine's thread, with no lock held. 0, or below 0 with *err. NULL:
     * the run ends, and what else waits will not be served. */
    int (*fn)(struct vz_machine *m, struct still *s, struct vz_error *err);
    /* It is out of the queue: served (err NULL), or failed, by fn or by being late. Not called when
     * the run ends before its turn. Thread and lock as fn. *s may be freed. */
    void (*done)(struct vz_machine *m, struct still *s, const struct vz_error *err);
};

/* A request: the caller's memory. Set kind; the rest is the queue's and starts as zero. */
struct still {
    const struct still_kind *kind;
    bool waiting;         /* in the queue */
    uint64_t deadline_ns; /* of devices, for this request; 0: they were not asked yet */
    TAILQ_ENTRY(still) link;
};

struct still_queue {
    enum still_phase phase;
    TAILQ_HEAD(, still) requests;
};

void still_init(struct still_queue *q);

/* May a machine go from the one phase to the other? */
bool still_move_ok(enum still_phase from, enum still_phase to);
/* Go there. Another move than those of the table, or one that leaves a request behind, is a bug of
 * ours: it is logged and ends the process. */
void still_move(struct still_queue *q, enum still_phase to);
const char *still_phase_name(enum still_phase phase);

/* Have it wait. Returns false when it does already. */
bool still_add(struct still_queue *q, struct still *s);
/* Whose turn it is, or NULL. It stays in the queue. */
struct still *still_first(const struct still_queue *q);
void still_remove(struct still_queue *q, struct still *s);
/* The run is over: forget what waits. */
void still_clear(struct still_queue *q);

/* Devices have been asked to be quiet. Requests that do not wait for ever, and have no deadline yet,
 * get this one. Returns the first deadline of all, or 0: none has any. */
uint64_t still_limit(struct still_queue *q, uint64_t deadline_ns);
/* The request that is too late the longest, or NULL. */
struct still *still_late(const struct still_queue *q, uint64_t now_ns);

#endif
