/* SPDX-License-Identifier: MIT */
/* When a vCPU has had nothing to do for so long that what makes it fast had better be the host's again. Idle guests
 * tick on, so it is measured by the time they take: little of each of some stretches in a row. */
#ifndef VZ_HV_SOFT_REST_H
#define VZ_HV_SOFT_REST_H

#include "base/compiler.h"

#define REST_LOOK_NS   (UINT64_C(2) * 1000 * 1000 * 1000) /* a stretch, at least */
#define REST_STRETCHES 15u
/* What little work has made is made again as soon, so for who has worked no more than this since the start or the restore
 * a few stretches do, and the first time short ones; */
#define REST_YOUNG_NS       (UINT64_C(500) * 1000 * 1000)
#define REST_YOUNG_LOOK_NS  (UINT64_C(250) * 1000 * 1000)
#define REST_STRETCHES_SOON 2u
/* and next to so much work since the last rest it does not matter: a few long ones. */
#define REST_MUCH_NS (UINT64_C(1) * 1000 * 1000 * 1000)

/* All zero: it begins. */
struct rest {
    uint64_t since, worked; /* when the stretch began, and the vCPU's work until then; ns */
    uint64_t rested_at;     /* its work until it rested last */
    unsigned calm;          /* stretches in a row in which it did next to nothing; REST_STRETCHES + 1: it has rested since */
    bool rested;            /* ever */
};

/* Need it be looked at before there is work, though nothing happens? */
static inline bool rest_awaited(const struct rest *r)
{
    return r->calm < REST_STRETCHES;
}

/* ns that the stretch takes, at least */
static inline uint64_t rest_look_ns(const struct rest *r)
{
    return r->rested || r->worked >= REST_YOUNG_NS ? REST_LOOK_NS : REST_YOUNG_LOOK_NS;
}

/* Is the stretch over? */
static inline bool rest_look(const struct rest *r, uint64_t now)
{
    return now - r->since >= rest_look_ns(r);
}

/* It is, and the vCPU has worked for so many ns in its life: is it time to rest? Once, until it has worked again. */
bool rest_is_due(struct rest *r, uint64_t now, uint64_t worked);

/* It was, and there was something to give back. */
static inline void rest_done(struct rest *r)
{
    r->rested_at = r->worked;
    r->rested = true;
}

#endif
