/* SPDX-License-Identifier: MIT */
/* When a vCPU has had nothing to do for so long that what makes it fast had better be the host's again. Idle guests
 * tick on, so it is measured by the time they take: little of each of some stretches in a row. */
#ifndef VZ_HV_SOFT_REST_H
#define VZ_HV_SOFT_REST_H

#include "base/compiler.h"

#define REST_LOOK_NS   (UINT64_C(2) * 1000 * 1000 * 1000) /* a stretch, at least */
#define REST_STRETCHES 15u
#define REST_STRETCHES_FIRST 2u /* behind the start: most of what that has left is never run again */

/* All zero: it begins. */
struct rest {
    uint64_t since, worked; /* when the stretch began, and the vCPU's work until then; ns */
    unsigned calm;          /* stretches in a row in which it did next to nothing; REST_STRETCHES + 1: it has rested since */
    bool rested;            /* ever */
};

/* Need it be looked at before there is work, though nothing happens? */
static inline bool rest_awaited(const struct rest *r)
{
    return r->calm < REST_STRETCHES;
}

/* Is the stretch over? */
static inline bool rest_look(const struct rest *r, uint64_t now)
{
    return now - r->since >= REST_LOOK_NS;
}

/* It is, and the vCPU has worked for so many ns in its life: is it time to rest? Once, until it has worked again. */
bool rest_is_due(struct rest *r, uint64_t now, uint64_t worked);

#endif
