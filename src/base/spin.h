/* SPDX-License-Identifier: MIT */
/* How long a thread looks for work before it sleeps. To put a thread to sleep and wake it takes tens of microseconds, most of
 * all where the host is itself a virtual machine; a device's answer to a small request, or the guest's next request, is
 * often there sooner. So whoever waits looks for a while first, if waits were short lately; where they are long, as in
 * an idle machine, it does not. It learns as KVM does for halted CPUs (halt_poll_ns). A wait is short in which two
 * sleeping threads can wake each other: if it had to be shorter, those who both sleep would never begin to look. */
#ifndef VZ_BASE_SPIN_H
#define VZ_BASE_SPIN_H

#include "base/clock.h"

#define SPIN_FIRST_NS 10000u
#define SPIN_SHORT_NS 200000u

/* One thread's, or under its lock. */
struct spin {
    uint32_t ns;  /* how long to look next time */
    uint32_t max; /* 0: never */
};

/* With a `max` of 0 if this process has one CPU only: nobody could bring work meanwhile. */
struct spin spin_init(uint32_t max);

/* A wait took so long, looking and sleeping. */
void spin_learn(struct spin *s, uint64_t waited_ns);

/* Between two looks, about a microsecond. Others who want this CPU have it: they may be those who bring the work. */
void spin_pause(void);

#endif
