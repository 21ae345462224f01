/* SPDX-License-Identifier: MIT */
/* The threads of a machine's CPUs: they run guest code, meet and stand still when asked to, and go
 * on or end.
 *
 * Whoever wants something done while no CPU runs calls runner_park(). Once all threads stand still,
 * parked() is called, and they stay so until runner_release() or runner_end(). */
#ifndef VZ_MACHINE_RUNNER_H
#define VZ_MACHINE_RUNNER_H

#include <pthread.h>

#include "hv/hv.h"

struct runner;

struct runner_owner {
    /* All threads stand still. On one of them; nothing is locked. */
    void (*parked)(void *arg);
    /* A CPU cannot go on; text says why, and whether the guest brought it there. On its thread;
     * nothing is locked. It must lead to a runner_park() or a runner_end(), or the CPU is run
     * again. */
    void (*failed)(void *arg, bool by_guest, const char *text);
    void *arg;
};

enum runner_mode { RUNNER_IDLE, RUNNER_RUN, RUNNER_PARK, RUNNER_END };

struct runner_cpu {
    struct runner *runner;
    struct hv_vcpu *vcpu;
    unsigned index;
    pthread_t thread;
};

struct runner {
    struct runner_owner owner;
    const struct hv_ops *hv; /* these change only between runner_end() and runner_start() */
    unsigned count;
    struct runner_cpu cpu[HV_VCPUS_MAX];

    pthread_mutex_t lock;    /* for what follows; a leaf, but for vcpu_kick(). The owner's may be held. */
    pthread_cond_t changed;
    enum runner_mode mode;
    unsigned parked;
    uint64_t generation;     /* counts releases */
};

void runner_init(struct runner *r, const struct runner_owner *owner);
void runner_fini(struct runner *r); /* after runner_end() */

/* Start a thread per CPU; parked: as if runner_park() had been called before any of them ran. 0 or
 * -errno; then no thread is left. */
int runner_start(struct runner *r, const struct hv_ops *hv, struct hv_vcpu *const *vcpu,
                 unsigned count, bool parked) must_check;

/* Ask them to stand still. Any thread, also a CPU's in the middle of vcpu_run(). Does nothing when
 * that was asked for already, or no threads run. */
void runner_park(struct runner *r);
void runner_release(struct runner *r);

/* Make all threads return, and wait for them. Not on one of them. */
void runner_end(struct runner *r);

#endif
