/* SPDX-License-Identifier: MIT */
#include "machine/still.h"

#include <assert.h>

#include "base/log.h"

#define TO(phase) BIT(STILL_##phase)

/* As dqlite's sm.h: names, allowed moves, and what must hold after a move. */
static const struct {
    const char *name;
    uint64_t to;
    enum { ANY, SOMEBODY, NOBODY } waits; /* in the queue, on arrival */
} phases[STILL_PHASES] = {
    /* To parking: the end was asked for before there were CPUs. */
    [STILL_IDLE] = {"idle", TO(GOING) | TO(PARKING), ANY},
    [STILL_GOING] = {"going", TO(PARKING), NOBODY},
    [STILL_PARKING] = {"parking", TO(PARKED), SOMEBODY},
    [STILL_PARKED] = {"parked", TO(QUIESCING), SOMEBODY},
    /* To going: all that waited have failed for being late. */
    [STILL_QUIESCING] = {"quiescing", TO(RESTING) | TO(STUCK) | TO(GOING), SOMEBODY},
    [STILL_RESTING] = {"resting", TO(GOING) | TO(IDLE), ANY},
    [STILL_STUCK] = {"stuck", TO(IDLE), SOMEBODY},
};

void still_init(struct still_queue *q)
{
    q->phase = STILL_IDLE;
    TAILQ_INIT(&q->requests);
}

const char *still_phase_name(enum still_phase phase)
{
    return phases[phase].name;
}

bool still_move_ok(enum still_phase from, enum still_phase to)
{
    return phases[from].to & BIT(to);
}

static bool holds(const struct still_queue *q, enum still_phase to)
{
    bool empty = TAILQ_EMPTY(&q->requests);

    return phases[to].waits == ANY || (phases[to].waits == NOBODY) == empty;
}

void still_move(struct still_queue *q, enum still_phase to)
{
    bool ok = still_move_ok(q->phase, to) && holds(q, to);

    if (!ok)
        log_error("bug: a machine went from %s to %s%s", phases[q->phase].name, phases[to].name,
                  TAILQ_EMPTY(&q->requests) ? "; nothing waits" : "; requests wait");
    assert(ok);
    q->phase = to;
}

bool still_add(struct still_queue *q, struct still *s)
{
    struct still *other;

    if (s->waiting)
        return false;
    s->waiting = true;
    s->deadline_ns = 0;
    TAILQ_FOREACH(other, &q->requests, link) {
        if (other->kind->rank > s->kind->rank)
            break;
    }
    if (other)
        TAILQ_INSERT_BEFORE(other, s, link);
    else
        TAILQ_INSERT_TAIL(&q->requests, s, link);
    return true;
}

struct still *still_first(const struct still_queue *q)
{
    return TAILQ_FIRST(&q->requests);
}

void still_remove(struct still_queue *q, struct still *s)
{
    TAILQ_REMOVE(&q->requests, s, link);
    s->waiting = false;
}

void still_clear(struct still_queue *q)
{
    while (!TAILQ_EMPTY(&q->requests))
        still_remove(q, TAILQ_FIRST(&q->requests));
}

uint64_t still_limit(struct still_queue *q, uint64_t deadline_ns)
{
    uint64_t first = 0;
    struct still *s;

    TAILQ_FOREACH(s, &q->requests, link) {
        if (s->kind->late == STILL_WAIT)
            continue;
        if (!s->deadline_ns)
            s->deadline_ns = deadline_ns;
        if (!first || s->deadline_ns < first)
            first = s->deadline_ns;
    }
    return first;
}

struct still *still_late(const struct still_queue *q, uint64_t now_ns)
{
    struct still *s, *late = NULL;

    TAILQ_FOREACH(s, &q->requests, link) {
        if (s->deadline_ns && s->deadline_ns <= now_ns &&
            (!late || s->deadline_ns < late->deadline_ns))
            late = s;
    }
    return late;
}
