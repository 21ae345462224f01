/* SPDX-License-Identifier: MIT */
/* Which programs are run natively. An event costs a stub some ten microseconds with all that follows
 * (two switches, import, one instruction, export, mappings, cold caches), and an ordinary program's
 * code is three to eight times as fast there: so it pays for those whose stretches of user mode last.
 *
 * A program that has no stub is timed in the JIT. One that has is judged by an account: what its traps
 * and mappings have cost against what they have gained. By the length of stretches alone a program that
 * does nothing but map, fork and rewrite code would keep its stub for ever. */
#include "base/clock.h"
#include "cpu/x86/direct/direct_priv.h"

/* In traps: */
#define RIPE_TIME       150 /* of user mode, */
#define RIPE_AGAIN       20 /* the same where there is a stub already, */
#define RIPE_STRETCH      2 /* in stretches of this mean length at least */
#define STRETCHES_KEPT 4096 /* then the past counts half */

#define VISITS            8 /* of the main loop by the kernel, between looks at short stretches */

#define TRAPS_JUDGED    256
#define TRAPS_LOOKED_AT  32 /* by then it may be clear enough: */
#define CLEARLY           2
#define GAIN              2 /* JIT's time - native time, per native time */
#define REST_MS           5
#define REST_MAX_MS    3000

void policy_begin(struct direct *d)
{
    d->timing = true;
    d->began = clock_tsc();
}

void policy_look_away(struct x86_cpu *c)
{
    c->user_ends = false;
    c->direct->visits = VISITS;
}

void policy_end(struct x86_cpu *c)
{
    struct direct *d = c->direct;
    struct history *h = d->history;
    uint64_t time = clock_tsc() - d->began;

    d->timing = false;
    if (d->space && time > TRAPS_LOOKED_AT * d->vm->trap)
        d->space->rests_until = d->space->account.rest = 0; /* that would have paid */
    if (time < RIPE_STRETCH * d->vm->trap)
        policy_look_away(c);
    h->time += time;
    h->stretches++;
    if (h->stretches > STRETCHES_KEPT) {
        h->stretches /= 2;
        h->time /= 2;
    }
    d->jit_time += time;
    c->count.direct_jit_us = d->jit_time / d->vm->us;
}

bool policy_is_ripe(const struct direct *d, bool again)
{
    const struct history *h = d->history;

    return d->vm->always || (h->time >= (again ? RIPE_AGAIN : RIPE_TIME) * d->vm->trap &&
                             h->time >= h->stretches * RIPE_STRETCH * d->vm->trap);
}

void policy_round_trip(struct direct_vm *v, uint64_t ticks)
{
    if (likely(ticks >= v->round_trip) || ticks < v->us)
        return;
    v->round_trip = ticks;
    v->trap = ticks + AROUND_TRAP_US * v->us;
}

static void demote(struct direct *d, struct space *s, uint64_t now)
{
    uint64_t ms = 1000 * d->vm->us;

    s->account.rest = s->account.rest ? MIN(2 * s->account.rest, REST_MAX_MS * ms) : REST_MS * ms;
    s->rests_until = now + s->account.rest;
    d->history->time = d->history->stretches = 0; /* it has to qualify again besides */
}

bool policy_trap(struct direct *d, struct space *s, uint64_t native, uint64_t preparing, uint64_t now)
{
    struct account *a = &s->account;
    int64_t mapping = (int64_t)(d->maps * d->vm->map + d->unmaps * d->vm->unmap);
    /* What is measured as time in the stub has part of the event in it, and its commands. */
    int64_t gain = (int64_t)(native - d->vm->round_trip * 3 / 2) - mapping;
    bool bad;

    a->cost += (int64_t)(d->vm->trap + preparing) + mapping;
    a->gain += GAIN * MAX(gain, 0);
    if (gain > (int64_t)(d->vm->trap * TRAPS_LOOKED_AT))
        a->rest = 0; /* a long stretch: it may be what it was taken for */
    a->traps++;
    if (a->traps < TRAPS_JUDGED && (a->traps % TRAPS_LOOKED_AT || a->cost < CLEARLY * a->gain))
        return false;
    bad = a->cost > a->gain && !d->vm->always;
    if (bad)
        demote(d, s, now);
    else
        a->rest /= 2;
    a->traps = 0;
    a->cost = a->gain = 0;
    return bad;
}
