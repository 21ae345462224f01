/* SPDX-License-Identifier: MIT */
/* Keeping the TSCs of a machine's CPUs in step when their states are set.
 *
 * States are read and set one vCPU after the other, so the same TSC on all of them comes out as
 * slightly different ones, and as very different ones where this process had to wait in between.
 * Linux tolerates no difference at all. */
#ifndef VZ_ARCH_X86_TSC_H
#define VZ_ARCH_X86_TSC_H

#include "base/compiler.h"

/* What vCPU 0 has, for the others to be measured by. */
struct tsc_first {
    uint64_t offset; /* its TSC now is the host's plus this */
    uint64_t tsc;    /* as its state said when that was set */
    /* States belong together, as those of a saved machine do, so their TSCs are to be compared too.
     * False: whoever sets them may mean each as it is, whenever it is. */
    bool together;
    uint32_t khz;
};

/* The offset of another vCPU whose state says tsc, which would make it `offset`: the first one's,
 * if either the states' TSCs or what comes out are within a second of each other. */
uint64_t tsc_settle(const struct tsc_first *first, uint64_t tsc, uint64_t offset);

#endif
