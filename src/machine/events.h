/* SPDX-License-Identifier: MIT */
/* What a machine has to tell its program: completions and events, in order, each once. They wait
 * here until the machine's thread, or vz_machine_dispatch(), delivers them. */
#ifndef VZ_MACHINE_EVENTS_H
#define VZ_MACHINE_EVENTS_H

#include <pthread.h>

#include "base/compiler.h"

/* Embedded in what it stands for; fn is called once, and the memory is fn's from then on. */
struct event {
    void (*fn)(struct event *e, void *machine);
    struct event *next;
};

struct events {
    pthread_mutex_t lock; /* a leaf */
    struct event *first, **last;
    unsigned waiting;     /* how many */
    int fd;               /* -1: none; readable while something waits */
};

/* A guest can make events faster than a program takes them: so many may wait. */
#define EVENTS_GUEST_MAX 4096u

/* 0 or -errno; then fini is not needed. */
int events_init(struct events *e, bool with_fd) must_check;
void events_fini(struct events *e); /* nothing waits any more */

/* Any thread. */
void events_push(struct events *e, struct event *event);
/* The same for what the guest can cause. false: too many wait, and event is still the caller's. */
bool events_push_guest(struct events *e, struct event *event) must_check;

/* Call what waits, and what is added meanwhile, at most max of them; no lock is held. Returns how
 * many: with max, others may wait still. */
unsigned events_deliver(struct events *e, void *machine, unsigned max);

#endif
