/* SPDX-License-Identifier: MIT */
/* A disk that becomes longer, for the core: what it does with requests meanwhile. */
#ifndef VZ_BLOCK_BLK_GROW_H
#define VZ_BLOCK_BLK_GROW_H

#include "block/blk.h"

/* A request is to be submitted to b, which counts it already: is it held back? */
bool blk_growth_hold(struct blk *b, struct blk_req *req) must_check;
/* Nobody needs req any more: is it one of those, and ends now? */
bool blk_growth_cancel(struct blk *b, struct blk_req *req);

/* Is nothing under way but what is held back? Then blk_growth_step() has something to do. */
static inline bool blk_growth_may_go(const struct blk *b)
{
    return b->growth && b->inflight == b->held_count;
}
/* Begin, if nothing is under way any more. Not from inside a backend. */
void blk_growth_step(struct blk *b);
/* The loop does not turn: if nothing is under way, come to the end of it. false: there is none, or something is. */
bool blk_growth_wait(struct blk *b) must_check;

#endif
