/* SPDX-License-Identifier: MIT */
#include "hv/soft/rest.h"

#define WORK_SHARE 50u /* one part in so many of its time, which is more than an idle guest's ticks take */

/* So many calm stretches in a row are enough. */
static unsigned enough(const struct rest *r)
{
    bool soon = !r->rested || r->worked < REST_YOUNG_NS || r->worked - r->rested_at >= REST_MUCH_NS;

    return soon ? REST_STRETCHES_SOON : REST_STRETCHES;
}

bool rest_is_due(struct rest *r, uint64_t now, uint64_t worked)
{
    bool calm = (worked - r->worked) * WORK_SHARE < now - r->since;

    r->since = now;
    r->worked = worked;
    r->calm = calm ? MIN(r->calm + 1, REST_STRETCHES + 1) : 0;
    if (r->calm < enough(r) || r->calm > REST_STRETCHES)
        return false;
    r->calm = REST_STRETCHES + 1;
    return true;
}
