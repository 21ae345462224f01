/* SPDX-License-Identifier: MIT */
/* The thread of a machine: while nothing runs it waits for something to do; a start makes it build
 * the machine, and be its event loop. What needs the whole machine to stand still (a reset, a
 * pause, the end) goes one way: the CPUs park, then the devices get quiet, then the loop is left;
 * and done is what was wanted. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/error.h"
#include "board/pc/board.h"
#include "loop/loop.h"
#include "machine/machine_impl.h"

void machine_wake(struct vz_machine *m)
{
    eventfd_write(m->wake_fd, 1);
}

void machine_move_locked(struct vz_machine *m, enum vz_machine_state to)
{
    if (!machine_state_move_ok(m->state, to))
        return; /* a bug of ours; the table wins */
    m->state = to;
    pthread_cond_broadcast(&m->changed);
    machine_tell_state(m, to);
}

bool machine_end_locked(struct vz_machine *m, enum vz_end_reason reason, uint32_t code,
                        const char *text)
{
    if (m->has_end)
        return false;
    m->has_end = true;
    m->end.reason = reason;
    m->end.debug_code = code;
    snprintf(m->end.text, sizeof(m->end.text), "%s", text);
    return true;
}

/* Deliver what waits, unless the program fetches it. */
static void deliver(struct vz_machine *m)
{
    if (!m->use_events_fd)
        events_deliver(&m->events, m);
}

/* ---- What CPUs and devices ask for, on their threads ---------------------------------------- */

/* On a vCPU thread, under a device's lock. */
static void on_request(void *arg, enum chipset_request kind, uint32_t value)
{
    struct vz_machine *m = arg;

    pthread_mutex_lock(&m->lock);
    if (kind == CHIPSET_POWER_OFF)
        machine_end_locked(m, VZ_END_POWEROFF, 0, "");
    else if (kind == CHIPSET_DEBUG_EXIT)
        machine_end_locked(m, VZ_END_DEBUG_EXIT, value, "");
    else if (m->config->options.stop_at_reset)
        machine_end_locked(m, VZ_END_RESET, 0, "");
    else
        m->want_reset = true;
    pthread_mutex_unlock(&m->lock);
    runner_park(&m->runner);
}

static void on_failed(void *arg, const char *text)
{
    struct vz_machine *m = arg;

    pthread_mutex_lock(&m->lock);
    machine_end_locked(m, VZ_END_ERROR, 0, text);
    pthread_mutex_unlock(&m->lock);
    runner_park(&m->runner);
}

static void on_parked(void *arg)
{
    struct vz_machine *m = arg;

    pthread_mutex_lock(&m->lock);
    m->parked = true;
    pthread_mutex_unlock(&m->lock);
    machine_wake(m);
}

void machine_init_runner(struct vz_machine *m)
{
    const struct runner_owner owner = {.parked = on_parked, .failed = on_failed, .arg = m};

    runner_init(&m->runner, &owner);
}

/* ---- In the loop ---------------------------------------------------------------------------- */

static void on_quiet(void *arg)
{
    struct vz_machine *m = arg;

    if (m->quiescing) /* else that has been given up */
        loop_stop(m->parts.loop);
}

static void on_end_timeout(void *arg)
{
    struct vz_machine *m = arg;

    m->hung = true;
    loop_stop(m->parts.loop);
}

static void on_pause_timeout(void *arg)
{
    struct vz_machine *m = arg;

    m->pause_hung = true;
    loop_stop(m->parts.loop);
}

/* The end of the run, or a pause, waits for devices. */
static void limit(struct vz_machine *m, struct loop_timer **timer, void (*fn)(void *arg))
{
    if (*timer || loop_timer_create(m->parts.loop, fn, m, timer) < 0)
        return;
    loop_timer_arm(*timer, clock_mono_ns() + m->end_timeout_ms * NS_PER_MS);
}

static void drop_timer(struct loop_timer **timer)
{
    loop_timer_destroy(*timer);
    *timer = NULL;
}

/* The wake descriptor, in the loop. */
static void on_wake(void *arg, unsigned events)
{
    struct vz_machine *m = arg;
    eventfd_t ignored;
    bool press, quiesce, ended, pausing;

    eventfd_read(m->wake_fd, &ignored);
    machine_serve_calls(m);
    pthread_mutex_lock(&m->lock);
    press = m->want_button;
    m->want_button = false;
    quiesce = m->parked && !m->quiescing;
    ended = m->has_end;
    pausing = m->state == VZ_STATE_PAUSING;
    pthread_mutex_unlock(&m->lock);
    if (press)
        acpi_pm_power_button(m->parts.board->pm);
    if (quiesce) {
        m->quiescing = true;
        device_slots_quiesce(m->parts.slots, on_quiet, m);
    }
    if (m->quiescing && ended)
        limit(m, &m->end_timer, on_end_timeout);
    else if (m->quiescing && pausing)
        limit(m, &m->pause_timer, on_pause_timeout);
    deliver(m);
}

/* ---- Out of the loop ------------------------------------------------------------------------ */

static void wait_wake(struct vz_machine *m)
{
    struct pollfd p = {.fd = m->wake_fd, .events = POLLIN};
    eventfd_t ignored;

    while (poll(&p, 1, -1) < 0 && errno == EINTR)
        ;
    eventfd_read(m->wake_fd, &ignored);
}

/* The operation under way is over with this move: both in one step, so that the next operation,
 * which may begin at once, is not taken for it. Returns the operation, or NULL. */
static struct machine_op *settle_locked(struct vz_machine *m, enum vz_machine_state to)
{
    struct machine_op *op = m->op;

    m->op = NULL;
    machine_move_locked(m, to);
    return op;
}

static void complete(struct vz_machine *m, struct machine_op *op, const struct vz_error *err)
{
    if (op)
        machine_op_complete(m, op, err);
}

/* Move on, and complete the operation; unless the run is to end. Returns whether it moved. */
static bool settle_unless_ended(struct vz_machine *m, enum vz_machine_state to, int r,
                                const struct vz_error *err)
{
    struct machine_op *op = NULL;
    bool ended;

    pthread_mutex_lock(&m->lock);
    if (r < 0)
        machine_end_locked(m, VZ_END_ERROR, 0, err->text);
    ended = m->has_end;
    if (!ended)
        op = settle_locked(m, to);
    pthread_mutex_unlock(&m->lock);
    complete(m, op, NULL);
    return !ended;
}

/* Wait until somebody resumes or stops. Returns whether to resume. */
static bool sleep_paused(struct vz_machine *m)
{
    enum vz_machine_state state;
    bool ended;

    do {
        deliver(m);
        wait_wake(m);
        machine_serve_calls(m);
        pthread_mutex_lock(&m->lock);
        state = m->state;
        ended = m->has_end;
        pthread_mutex_unlock(&m->lock);
    } while (state == VZ_STATE_PAUSED && !ended);
    return state == VZ_STATE_RESUMING && !ended;
}

/* From pausing to running, or to the end. */
static void be_paused(struct vz_machine *m)
{
    struct vz_error err = {0};
    int r = parts_freeze(&m->parts, &err);

    if (!settle_unless_ended(m, VZ_STATE_PAUSED, r, &err) || !sleep_paused(m))
        return;
    r = parts_thaw(&m->parts, &err);
    settle_unless_ended(m, VZ_STATE_RUNNING, r, &err);
}

static void reset(struct vz_machine *m)
{
    struct vz_error err = {0};
    int r = board_reset(m->parts.board);

    if (r < 0)
        error_set(&err, -r, VZ_ERROR_INTERNAL, "reset: %s", strerror(-r));
    else
        r = parts_boot(&m->parts, &err);
    pthread_mutex_lock(&m->lock);
    m->resets++;
    if (r < 0)
        machine_end_locked(m, VZ_END_ERROR, 0, err.text);
    pthread_mutex_unlock(&m->lock);
}

/* All stands still: do what is wanted. Returns false when the run ends. */
static bool serve_still(struct vz_machine *m)
{
    for (;;) {
        bool want_reset, end;
        enum vz_machine_state state;

        pthread_mutex_lock(&m->lock);
        end = m->has_end;
        want_reset = m->want_reset;
        state = m->state;
        m->want_reset = false;
        m->parked = end || want_reset || state == VZ_STATE_PAUSING;
        pthread_mutex_unlock(&m->lock);
        if (end)
            return false;
        if (want_reset)
            reset(m);
        else if (state == VZ_STATE_PAUSING)
            be_paused(m);
        else
            return true;
    }
}

/* A device does not finish what it has under way, so there is no pause. */
static void give_up_pause(struct vz_machine *m)
{
    struct machine_op *op = NULL;
    struct vz_error err;

    error_set(&err, 0, VZ_ERROR_IO, "a disk has not answered for %u s; the machine runs on",
              m->end_timeout_ms / 1000);
    pthread_mutex_lock(&m->lock);
    if (!m->has_end && m->state == VZ_STATE_PAUSING)
        op = settle_locked(m, VZ_STATE_RUNNING);
    pthread_mutex_unlock(&m->lock);
    complete(m, op, &err);
}

/* Let the CPUs go on, unless somebody wants the machine to stand still again: while it does,
 * runner_park() has no effect. So looking and letting go are one step. Returns whether they do go
 * on. */
static bool release(struct vz_machine *m)
{
    bool wanted;

    pthread_mutex_lock(&m->lock);
    wanted = m->has_end || m->want_reset || m->state == VZ_STATE_PAUSING;
    m->parked = wanted;
    if (!wanted)
        runner_release(&m->runner);
    pthread_mutex_unlock(&m->lock);
    return !wanted;
}

/* The life of a started machine. */
static void run(struct vz_machine *m)
{
    for (;;) {
        bool hung;

        loop_run(m->parts.loop);
        hung = m->pause_hung;
        m->quiescing = m->pause_hung = false;
        drop_timer(&m->end_timer);
        drop_timer(&m->pause_timer);
        if (hung)
            give_up_pause(m);
        else if (!serve_still(m))
            return;
        if (release(m))
            device_slots_resume(m->parts.slots);
        else
            machine_wake(m); /* to come here again, once the devices are quiet, which most still are */
        deliver(m);
    }
}

/* ---- Beginning and end ---------------------------------------------------------------------- */

/* What programs have set, to the devices. */
static void apply_settings(struct vz_machine *m)
{
    machine_apply_memory_target(m);
    machine_apply_listeners(m);
}

static int build(struct vz_machine *m, struct vz_error *err)
{
    const struct parts_owner owner = {.request = on_request, .tell = machine_tell_device,
                                      .arg = m};
    struct parts *p = &m->parts;
    int r = parts_init(p, m->config, &owner, err);

    if (!r)
        r = parts_boot(p, err);
    if (r < 0)
        return r;
    apply_settings(m);
    r = loop_fd_add(p->loop, m->wake_fd, LOOP_READ, on_wake, m, &p->wake);
    if (!r)
        r = runner_start(&m->runner, p->hv, p->vcpu, m->config->options.cpu_count);
    if (r < 0)
        error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot start a thread: %s", strerror(-r));
    return r;
}

static void start_failed(struct vz_machine *m, const struct vz_error *err)
{
    struct machine_op *op;

    parts_fini(&m->parts);
    machine_forget_listeners(m);
    pthread_mutex_lock(&m->lock);
    m->has_end = false;
    machine_end_locked(m, VZ_END_ERROR, 0, err->text);
    m->has_end = false;
    op = settle_locked(m, VZ_STATE_ERROR);
    pthread_mutex_unlock(&m->lock);
    complete(m, op, err);
}

/* The last move, to stopped or error. Returns the operation that it completes or makes too late. */
static struct machine_op *settle_end(struct vz_machine *m, bool *ret_stopped)
{
    struct machine_op *op;

    pthread_mutex_lock(&m->lock);
    m->has_end = m->parked = m->want_reset = m->want_button = false;
    *ret_stopped = m->state == VZ_STATE_STOPPING && m->end.reason == VZ_END_STOPPED;
    if (m->state == VZ_STATE_PAUSED)
        machine_move_locked(m, VZ_STATE_STOPPING); /* freed while paused */
    op = settle_locked(m, m->end.reason == VZ_END_ERROR ? VZ_STATE_ERROR : VZ_STATE_STOPPED);
    machine_tell_end(m, &m->end);
    pthread_mutex_unlock(&m->lock);
    return op;
}

/* Devices did not finish their requests: that is an error, of the stop too. */
static void note_hung_locked(struct vz_machine *m, struct vz_error *ret)
{
    error_set(ret, 0, VZ_ERROR_IO, "a disk has not answered for %u s; its requests, and with them "
              "the machine's memory and files, are abandoned", m->end_timeout_ms / 1000);
    m->end.reason = VZ_END_ERROR;
    snprintf(m->end.text, sizeof(m->end.text), "%s", ret->text);
}

/* Take the machine apart, and tell everyone. */
static void finish(struct vz_machine *m)
{
    struct vz_error late;
    struct machine_op *op;
    bool stopped;

    runner_end(&m->runner);
    device_slots_drain(m->parts.slots);
    pthread_mutex_lock(&m->lock);
    machine_collect_stats_locked(m);
    m->live = false; /* no call is added any more */
    error_set(&late, 0, VZ_ERROR_INVALID_TRANSITION, "the machine ended first%s%.180s",
              m->end.text[0] ? ": " : "", m->end.text);
    if (m->hung)
        note_hung_locked(m, &late);
    pthread_mutex_unlock(&m->lock);
    machine_serve_calls(m);
    if (m->hung)
        parts_abandon(&m->parts);
    else
        parts_fini(&m->parts);
    m->hung = false;
    machine_forget_listeners(m);
    op = settle_end(m, &stopped);
    complete(m, op, stopped ? NULL : &late);
}

static void start(struct vz_machine *m)
{
    struct vz_error err = {0};
    struct machine_op *op;
    bool ended;

    pthread_mutex_lock(&m->lock);
    if (!m->has_end)
        m->end = (struct vz_machine_end){.reason = VZ_END_STOPPED};
    pthread_mutex_unlock(&m->lock);
    if (build(m, &err) < 0) {
        start_failed(m, &err);
        return;
    }
    pthread_mutex_lock(&m->lock);
    m->live = true;
    m->resets = 0;
    op = settle_locked(m, VZ_STATE_RUNNING);
    ended = m->has_end;
    pthread_mutex_unlock(&m->lock);
    if (ended) /* perhaps freed before there were CPUs to park */
        runner_park(&m->runner);
    apply_settings(m); /* those that came meanwhile */
    complete(m, op, NULL);
    deliver(m);
    run(m);
    finish(m);
}

void *machine_thread(void *arg)
{
    struct vz_machine *m = arg;
    bool quit = false, want_start;

    pthread_setname_np(pthread_self(), "vz-loop");
    while (!quit) {
        deliver(m);
        wait_wake(m);
        pthread_mutex_lock(&m->lock);
        want_start = m->state == VZ_STATE_STARTING;
        pthread_mutex_unlock(&m->lock);
        if (want_start)
            start(m);
        pthread_mutex_lock(&m->lock);
        quit = m->quit && m->state != VZ_STATE_STARTING;
        pthread_mutex_unlock(&m->lock);
    }
    deliver(m);
    return NULL;
}
