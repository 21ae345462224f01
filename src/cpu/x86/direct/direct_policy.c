/* SPDX-License-Identifier: MIT */
/* Which programs are run natively. An event costs a stub some ten microseconds with all that follows
 * (two switches, import, one instruction, export, mappings, cold caches), and an ordinary program's
 * code is three to eight times as fast there: so it pays for those whose stretches of user mode last.
 *
 * A program that has no stub is timed in the JIT. One that has is judged by an account: what its traps
 * and mappings have cost against what they have gained. By the length of stretches alone a program that
 * does nothing but map, fork and rewrite code would keep its stub for ever. */
#include <sys/syscall.h>
#include <time.h>

#include "base/clock.h"
#include "cpu/x86/direct/direct_priv.h"

/* In traps: */
#define RIPE_TIME       200 /* of user mode, */
#define RIPE_AGAIN       20 /* the same where there is a stub already, */
#define RIPE_STRETCH      3 /* in stretches of this mean length at least, */
#define RIPE_MOST        75 /* none of which counts for more: it may have waited for a processor */
#define STRETCHES_KEPT 4096 /* then the past counts half */

#define VISITS            8 /* of the main loop by the kernel, between looks at short stretches */

#define TRAPS_JUDGED    256
#define TRAPS_LOOKED_AT  32 /* by then it may be clear enough, */
#define COST_LOOKED_AT_MS 5 /* or by then, on a host where hand-overs wait for others' time slices: */
#define CLEARLY           2
#define GAIN              2 /* JIT's time - native time, per native time */
#define LONG_STRETCH     32 /* in traps: would have paid; two in a row, since one may have waited */
#define REST_MS          40
#define REST_MAX_MS    2000

#define TRAP_STEP        64 /* a part of it, towards each, */
#define TRAP_MOST        64 /* to so many times the least at most */
#define TRAP_PRICED       2 /* times what half of them take at most, */
#define COMMAND_MOST_US   8 /* and so much for each command */

/* Libc is not called: the guest's vector state may be in the host's registers. */
uint64_t policy_work(const struct direct_vm *v)
{
    struct timespec t = {0};
    long ret;

    __asm__ volatile("syscall" : "=a"(ret), "+m"(t) : "0"((long)SYS_clock_gettime), "D"((long)CLOCK_THREAD_CPUTIME_ID), "S"(&t)
                     : "rcx", "r11", "memory");
    return ((uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec) * v->us / 1000;
}

void policy_begin(struct direct *d)
{
    d->timing = true;
    d->began_work = policy_work(d->vm);
    d->began = clock_tsc();
}

uint64_t policy_native_work(const struct direct_vm *v, struct space *s, uint64_t ticks)
{
    uint64_t now, had;

    if (ticks < LONG_STRETCH * v->trap)
        return ticks; /* to ask for each would cost more than it tells */
    now = stub_worked_ns(s->stub);
    had = (now - s->worked_ns) * v->us / 1000;
    s->worked_ns = now;
    return MIN(ticks, had);
}

void policy_refused(struct direct *d, struct space *s, uint64_t ticks)
{
    s->account.cost += MIN(ticks, TRAP_PRICED * d->vm->trap);
    d->cost += ticks;
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

    if (time >= RIPE_STRETCH * d->vm->trap) /* it may have waited for others' time slices */
        time = MIN(time, policy_work(d->vm) - d->began_work);
    d->timing = false;
    d->long_stretches = time > LONG_STRETCH * d->vm->trap ? d->long_stretches + 1 : 0;
    if (d->space && d->long_stretches > 1)
        d->space->rests_until = d->space->account.rest = 0; /* that would have paid */
    if (time < RIPE_STRETCH * d->vm->trap)
        policy_look_away(c);
    h->time += MIN(time, RIPE_MOST * d->vm->trap);
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
    v->trap = v->least_trap = ticks + AROUND_TRAP_US * v->us;
}

/* What events take of late: half of them less, half of them more. */
static void note_trap(struct direct_vm *v, uint64_t ticks)
{
    uint64_t least = v->least_trap, trap = v->trap;

    trap = ticks > trap ? trap + trap / TRAP_STEP : trap - trap / TRAP_STEP;
    v->trap = MIN(MAX(trap, least), TRAP_MOST * least);
}

static void demote(struct direct *d, struct space *s, uint64_t now)
{
    uint64_t ms = 1000 * d->vm->us;

    s->account.rest = s->account.rest ? MIN(2 * s->account.rest, REST_MAX_MS * ms) : REST_MS * ms;
    s->rests_until = now + s->account.rest;
    d->history->time = d->history->stretches = 0; /* it has to qualify again besides */
}

/* What an event counts for. One in some waits for others' time slices, which it would in the JIT too; where all of them
 * do that shows. */
static uint64_t price(const struct direct_vm *v, uint64_t trap, unsigned commands)
{
    return MIN(trap, TRAP_PRICED * v->trap + commands * COMMAND_MOST_US * v->us);
}

bool policy_trap(struct direct *d, struct space *s, const struct direct_times *t)
{
    struct direct_vm *v = d->vm;
    struct account *a = &s->account;
    uint64_t most = t->left - t->entered, native = MIN(t->native, most);
    uint64_t trap = AROUND_TRAP_US * v->us + t->left - t->began - native;
    uint64_t looked_at = COST_LOOKED_AT_MS * 1000 * v->us;
    bool bad, look;

    note_trap(v, trap);
    trap = price(v, trap, t->commands);
    a->traps++;
    look = a->traps % TRAPS_LOOKED_AT == 0 || a->cost / looked_at != (a->cost + trap) / looked_at;
    a->cost += trap;
    d->cost += trap;
    a->gain += GAIN * MIN(t->worked, native);
    if (native > v->trap * TRAPS_LOOKED_AT)
        a->rest = 0; /* a long stretch: it may be what it was taken for */
    if (a->traps < TRAPS_JUDGED && (!look || a->cost < CLEARLY * a->gain))
        return false;
    bad = a->cost > a->gain && !v->always;
    if (bad)
        demote(d, s, t->left);
    else
        a->rest /= 2;
    a->traps = 0;
    a->cost = a->gain = 0;
    return bad;
}
