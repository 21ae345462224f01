/* SPDX-License-Identifier: MIT */
#include "hv/soft/rest.h"

#define WORK_SHARE 50u /* one part in so many of its time, which is more than an idle guest's ticks take */

bool rest_is_due(struct rest *r, uint64_t now, uint64_t worked)
{
    bool calm = (worked - r->worked) * WORK_SHARE < now - r->since;

    r->since = now;
    r->worked = worked;
    r->calm = calm ? MIN(r->calm + 1, REST_STRETCHES + 1) : 0;
    if (r->calm != (r->rested ? REST_STRETCHES : REST_STRETCHES_FIRST))
        return false;
    r->calm = REST_STRETCHES + 1;
    r->rested = true;
    return true;
}
