/* SPDX-License-Identifier: MIT */
/* The rate of the host's TSC, measured against CLOCK_MONOTONIC beside other work: the first pair of
 * readings is taken when a machine is made or before, the second when somebody needs the rate, which is long
 * afterwards as a rule. What CPUID or a hypervisor above says of the rate is not asked: AMD's
 * processors and most hypervisors say nothing, some say it of another processor, and the measured
 * rate has in it how the host's clock is disciplined. */
#ifndef VZ_BASE_TSC_RATE_H
#define VZ_BASE_TSC_RATE_H

#include "base/compiler.h"

/* One that is known is written {.khz = ...}. Not copied once it is in use. */
struct tsc_rate {
    uint64_t tsc, ns; /* the first readings */
    _Atomic uint32_t khz; /* 0: not known yet */
};

/* Take the first readings: those of the program's start, if that is not long ago. */
void tsc_rate_start(struct tsc_rate *r);

/* kHz, the same at every call and not 0, to some 0.3 ppm. Any thread. Waits where 2 ms have not
 * passed yet since the first readings. */
uint32_t tsc_rate_khz(struct tsc_rate *r);

#endif
