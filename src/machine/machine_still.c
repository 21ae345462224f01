/* SPDX-License-Identifier: MIT */
/* How a machine comes to rest, and what is done then. Whoever needs it (a device for a reset, a
 * program for a pause, a CPU that cannot go on) puts a request into the queue of still.h; the CPUs
 * park, the devices get quiet, the loop is left, and the requests are served. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "board/pc/board.h"
#include "loop/loop.h"
#include "machine/machine_impl.h"

/* ---- Asking, on any thread ------------------------------------------------------------------ */

static void park_locked(struct vz_machine *m)
{
    still_move(&m->still, STILL_PARKING);
    runner_park(&m->runner);
}

static void ask_locked(struct vz_machine *m, struct still *s)
{
    if (!still_add(&m->still, s))
        return;
    if (m->still.phase == STILL_GOING)
        park_locked(m);
    machine_wake(m);
}

void machine_end_locked(struct vz_machine *m, enum vz_end_reason reason, uint32_t code,
                        const char *text)
{
    if (m->ending.waiting)
        return;
    m->end = (struct vz_machine_end){.reason = reason, .debug_code = code};
    snprintf(m->end.text, sizeof(m->end.text), "%s", text);
    ask_locked(m, &m->ending);
}

/* With a crash kernel the guest has plans of its own. */
static void panicked_locked(struct vz_machine *m, uint32_t events)
{
    bool crash_kernel = events & PVPANIC_CRASH_LOADED;

    machine_tell_panic(m, crash_kernel);
    machine_wake(m);
    if (!crash_kernel && !m->config->options.continue_at_panic)
        machine_end_locked(m, VZ_END_PANIC, 0, "the guest's kernel panicked");
}

void machine_on_request(void *arg, enum chipset_request kind, uint32_t value)
{
    struct vz_machine *m = arg;

    pthread_mutex_lock(&m->lock);
    if (kind == CHIPSET_POWER_OFF)
        machine_end_locked(m, VZ_END_POWEROFF, 0, "");
    else if (kind == CHIPSET_DEBUG_EXIT)
        machine_end_locked(m, VZ_END_DEBUG_EXIT, value, "");
    else if (kind == CHIPSET_PANIC)
        panicked_locked(m, value);
    else if (m->config->options.stop_at_reset)
        machine_end_locked(m, VZ_END_RESET, 0, "");
    else
        ask_locked(m, &m->reset);
    pthread_mutex_unlock(&m->lock);
}

/* A CPU cannot go on. */
static void on_failed(void *arg, bool by_guest, const char *text)
{
    struct vz_machine *m = arg;

    pthread_mutex_lock(&m->lock);
    machine_end_locked(m, by_guest ? VZ_END_FAULT : VZ_END_ERROR, 0, text);
    pthread_mutex_unlock(&m->lock);
}

/* ---- The kinds ------------------------------------------------------------------------------ */

static int reset(struct vz_machine *m, struct still *s, struct vz_error *err)
{
    int r = board_reset(m->parts.board);

    m->parts.features = 0;
    m->parts.phys_bits = 0;
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_INTERNAL, "reset: %s", strerror(-r));
    return parts_boot(&m->parts, err);
}

static void reset_done(struct vz_machine *m, struct still *s, const struct vz_error *err)
{
    pthread_mutex_lock(&m->lock);
    m->resets++;
    if (err)
        machine_end_locked(m, VZ_END_ERROR, 0, err->text);
    pthread_mutex_unlock(&m->lock);
}

static int pause(struct vz_machine *m, struct still *s, struct vz_error *err)
{
    return parts_freeze(&m->parts, err);
}

static int resume(struct vz_machine *m, struct still *s, struct vz_error *err)
{
    return parts_thaw(&m->parts, err);
}

static struct machine_file *file_of(struct still *s)
{
    return container_of(s, struct machine_op, still)->file;
}

static int save(struct vz_machine *m, struct still *s, struct vz_error *err)
{
    return machine_save_now(m, file_of(s), err);
}

static int restore(struct vz_machine *m, struct still *s, struct vz_error *err)
{
    return machine_restore_now(m, file_of(s), err);
}

/* A machine that could not be restored is taken apart, which completes the operation. */
static void restore_failed(struct vz_machine *m, struct machine_op *op, const struct vz_error *err)
{
    op->failed = true;
    op->err = *err;
    pthread_mutex_lock(&m->lock);
    machine_end_locked(m, VZ_END_STOPPED, 0, "");
    pthread_mutex_unlock(&m->lock);
}

/* Move to the state that the table has for it. When the run is to end instead, the operation
 * completes with that. */
static void op_done(struct vz_machine *m, struct still *s, const struct vz_error *err)
{
    struct machine_op *op = container_of(s, struct machine_op, still);
    enum vz_machine_state to = machine_state_after(op->kind, err == NULL);
    bool ended;

    if (to == VZ_STATE_STOPPED) {
        restore_failed(m, op, err);
        return;
    }
    pthread_mutex_lock(&m->lock);
    if (to == VZ_STATE_ERROR)
        machine_end_locked(m, VZ_END_ERROR, 0, err->text);
    ended = m->ending.waiting;
    if (!ended)
        machine_settle_locked(m, to);
    pthread_mutex_unlock(&m->lock);
    if (!ended)
        machine_op_complete(m, op, err);
}

static const struct still_kind ending_kind = {"end", STILL_ABANDON, STILL_END, NULL, NULL};
static const struct still_kind reset_kind = {"reset", STILL_WAIT, STILL_RESET, reset, reset_done};
static const struct still_kind op_kinds[MACHINE_OP_COUNT] = {
    [MACHINE_OP_PAUSE] = {"pause", STILL_FAIL, STILL_OP, pause, op_done},
    [MACHINE_OP_RESUME] = {"resume", STILL_WAIT, STILL_OP, resume, op_done},
    [MACHINE_OP_SAVE] = {"save", STILL_WAIT, STILL_OP, save, op_done},
    [MACHINE_OP_RESTORE] = {"restore", STILL_WAIT, STILL_OP, restore, op_done},
};

void machine_ask_locked(struct vz_machine *m, struct machine_op *op)
{
    op->still.kind = &op_kinds[op->kind];
    ask_locked(m, &op->still);
}

/* ---- Coming to rest ------------------------------------------------------------------------- */

/* The last CPU's thread. */
static void on_parked(void *arg)
{
    struct vz_machine *m = arg;

    pthread_mutex_lock(&m->lock);
    still_move(&m->still, STILL_PARKED);
    pthread_mutex_unlock(&m->lock);
    machine_wake(m);
}

static void on_quiet(void *arg)
{
    struct vz_machine *m = arg;

    pthread_mutex_lock(&m->lock);
    if (m->still.phase == STILL_QUIESCING) { /* else that was given up */
        still_move(&m->still, STILL_RESTING);
        loop_stop(m->parts.loop);
    }
    pthread_mutex_unlock(&m->lock);
}

static void limit(struct vz_machine *m)
{
    uint64_t deadline = 0;
    bool ends;

    pthread_mutex_lock(&m->lock);
    ends = m->still.phase == STILL_QUIESCING && m->ending.waiting;
    if (m->still.phase == STILL_QUIESCING)
        deadline = still_limit(&m->still, clock_mono_ns() + m->late_ms * NS_PER_MS);
    pthread_mutex_unlock(&m->lock);
    if (ends)
        device_slots_hurry(m->parts.slots);
    if (deadline)
        loop_timer_arm(m->late, deadline);
}

/* A request that is too late and fails, taken out of the queue; or NULL. The loop is left when
 * there is nothing to wait for. */
static struct still *take_late_locked(struct vz_machine *m)
{
    struct still *s = still_late(&m->still, clock_mono_ns());

    if (s && s->kind->late == STILL_ABANDON) {
        still_move(&m->still, STILL_STUCK);
        loop_stop(m->parts.loop);
        return NULL;
    }
    if (s)
        still_remove(&m->still, s);
    if (!still_first(&m->still))
        loop_stop(m->parts.loop);
    return s;
}

static struct still *take_late(struct vz_machine *m)
{
    struct still *s = NULL;

    pthread_mutex_lock(&m->lock);
    if (m->still.phase == STILL_QUIESCING)
        s = take_late_locked(m);
    pthread_mutex_unlock(&m->lock);
    return s;
}

static void on_late(void *arg)
{
    struct vz_machine *m = arg;
    struct vz_error err;
    struct still *s;

    while ((s = take_late(m))) {
        error_set(&err, 0, VZ_ERROR_IO, "a disk has not answered for %u s; the machine runs on",
                  m->late_ms / 1000);
        s->kind->done(m, s, &err);
    }
    limit(m);
}

void machine_still_step(struct vz_machine *m)
{
    bool parked;

    pthread_mutex_lock(&m->lock);
    parked = m->still.phase == STILL_PARKED;
    if (parked)
        still_move(&m->still, STILL_QUIESCING);
    pthread_mutex_unlock(&m->lock);
    if (parked)
        device_slots_quiesce(m->parts.slots, on_quiet, m);
    limit(m);
}

/* ---- At rest -------------------------------------------------------------------------------- */

enum step { SERVE, HOLD, GO, TURN, END };

/* Looking and letting the CPUs go are one step, since nobody parks them while they stand still. */
static enum step look_locked(struct vz_machine *m, struct still **ret)
{
    struct still *s = *ret = still_first(&m->still);

    if (m->still.phase == STILL_STUCK)
        return END;
    if (m->still.phase == STILL_QUIESCING && s)
        return TURN; /* somebody came after all others had failed */
    if (s && !s->kind->fn)
        return END;
    if (s) {
        still_remove(&m->still, s);
        return SERVE;
    }
    if (m->state == VZ_STATE_PAUSED)
        return HOLD;
    still_move(&m->still, STILL_GOING);
    runner_release(&m->runner);
    return GO;
}

static enum step look(struct vz_machine *m, struct still **ret)
{
    enum step step;

    pthread_mutex_lock(&m->lock);
    step = look_locked(m, ret);
    pthread_mutex_unlock(&m->lock);
    return step;
}

static void serve(struct vz_machine *m, struct still *s)
{
    struct vz_error err = {0};
    int r;

    mem_protect(m->parts.board->mem);
    r = s->kind->fn(m, s, &err);
    s->kind->done(m, s, r < 0 ? &err : NULL);
}

/* Paused: until somebody wants something. */
static void hold(struct vz_machine *m)
{
    machine_deliver(m);
    machine_sleep(m);
    machine_serve_calls(m);
}

bool machine_still_serve(struct vz_machine *m)
{
    struct still *s;
    enum step step;

    device_slots_settle(m->parts.slots);
    while ((step = look(m, &s)) == SERVE || step == HOLD) {
        if (step == SERVE)
            serve(m, s);
        else
            hold(m);
    }
    if (step == GO)
        device_slots_resume(m->parts.slots);
    return step != END;
}

/* ---- Beginning and end ---------------------------------------------------------------------- */

void machine_init_still(struct vz_machine *m)
{
    const struct runner_owner owner = {.parked = on_parked, .failed = on_failed, .arg = m};

    still_init(&m->still);
    m->reset.kind = &reset_kind;
    m->ending.kind = &ending_kind;
    m->late_ms = MACHINE_LATE_MS;
    runner_init(&m->runner, &owner);
}

int machine_still_prepare(struct vz_machine *m)
{
    return loop_timer_create(m->parts.loop, on_late, m, &m->late);
}

void machine_still_release(struct vz_machine *m)
{
    loop_timer_destroy(m->late);
    m->late = NULL;
}

int machine_go_locked(struct vz_machine *m)
{
    struct parts *p = &m->parts;
    bool parked = still_first(&m->still) != NULL; /* a restore, or freed before there were CPUs */
    int r = runner_start(&m->runner, p->hv, p->vcpu, m->config->options.cpu_count, parked);

    if (r < 0)
        return r;
    if (parked)
        park_locked(m);
    else
        still_move(&m->still, STILL_GOING);
    return 0;
}
