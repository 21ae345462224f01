/* SPDX-License-Identifier: MIT */
/* The thread of a machine: while nothing runs it waits for something to do; a start makes it build
 * the machine, and be its event loop until the run ends. machine_still.c is what it does when all
 * has to stand still in between. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/trace.h"
#include "loop/loop.h"
#include "machine/machine_impl.h"

void machine_wake(struct vz_machine *m)
{
    eventfd_write(m->wake_fd, 1);
}

void machine_sleep(struct vz_machine *m)
{
    struct pollfd p = {.fd = m->wake_fd, .events = POLLIN};
    eventfd_t ignored;

    while (poll(&p, 1, -1) < 0 && errno == EINTR)
        ;
    eventfd_read(m->wake_fd, &ignored);
}

void machine_move_locked(struct vz_machine *m, enum vz_machine_state to)
{
    bool ok = machine_state_move_ok(m->state, to);

    if (!ok)
        log_error("bug: a machine went from %s to %s", vz_machine_state_name(m->state),
                  vz_machine_state_name(to));
    assert(ok);
    TRACE(m->trace, machine, "machine", m, "%s, was %s", vz_machine_state_name(to),
          vz_machine_state_name(m->state));
    m->state = to;
    pthread_cond_broadcast(&m->changed);
    machine_tell_state(m, to);
}

struct machine_op *machine_settle_locked(struct vz_machine *m, enum vz_machine_state to)
{
    struct machine_op *op = m->op;

    m->op = NULL;
    machine_move_locked(m, to);
    return op;
}

/* ---- In the loop ---------------------------------------------------------------------------- */

/* The wake descriptor. */
static void on_wake(void *arg, unsigned events)
{
    struct vz_machine *m = arg;
    eventfd_t ignored;

    eventfd_read(m->wake_fd, &ignored);
    machine_serve_calls(m);
    machine_still_step(m);
    machine_deliver(m);
}

static void run(struct vz_machine *m)
{
    do {
        machine_deliver(m);
        loop_run(m->parts.loop);
    } while (machine_still_serve(m));
}

/* ---- Beginning and end ---------------------------------------------------------------------- */

/* What programs have set, to the devices. */
static void apply_settings(struct vz_machine *m)
{
    machine_apply_memory_target(m);
    machine_apply_listeners(m);
    machine_apply_clipboard(m);
}

static bool goes_on(void *arg)
{
    struct vz_machine *m = arg;

    return !atomic_load(&m->cancel);
}

static int build(struct vz_machine *m, const struct machine_file *file, struct vz_error *err)
{
    const struct parts_owner owner = {.request = machine_on_request, .tell = machine_tell_device, .goes_on = goes_on,
                                      .opened = m->opened, .arg = m, .nat = m->nat.pid ? &m->nat : NULL,
                                      .nbd = m->nbd_by, .restored = file != NULL,
                                      .map_memory = file && file->map_memory};
    struct parts *p = &m->parts;
    int r = parts_init(p, m->config, &owner, err);

    if (!r && !file)
        r = parts_boot(p, err);
    if (r < 0)
        return r;
    r = loop_fd_add(p->loop, m->wake_fd, LOOP_READ, on_wake, m, &p->wake);
    if (!r)
        r = machine_still_prepare(m);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot make the event loop: %s",
                         strerror(-r));
    apply_settings(m);
    return 0;
}

/* Let the CPUs go. From then on the machine is running; perhaps not for long, when it was freed
 * meanwhile. Or it is restored next, and they stand still. */
static int go(struct vz_machine *m, bool restoring, struct vz_error *err)
{
    struct machine_op *op = NULL;
    int r;

    pthread_mutex_lock(&m->lock);
    m->resets = 0;
    r = machine_go_locked(m);
    if (!r && !restoring)
        op = machine_settle_locked(m, VZ_STATE_RUNNING);
    pthread_mutex_unlock(&m->lock);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot start a thread: %s", strerror(-r));
    apply_settings(m); /* those that came meanwhile */
    machine_op_complete(m, op, NULL);
    return 0;
}

static void start_failed(struct vz_machine *m, bool restoring, const struct vz_error *err)
{
    enum vz_machine_state to = restoring ? VZ_STATE_STOPPED : VZ_STATE_ERROR;
    struct machine_op *op;

    machine_still_release(m);
    parts_fini(&m->parts);
    machine_sandbox_release(m);
    machine_forget_usb(m);
    machine_forget_listeners(m);
    machine_forget_clipboard(m);
    pthread_mutex_lock(&m->lock);
    still_clear(&m->still);
    machine_end_locked(m, restoring ? VZ_END_STOPPED : VZ_END_ERROR, 0, restoring ? "" : err->text);
    still_clear(&m->still);
    op = machine_settle_locked(m, to);
    pthread_mutex_unlock(&m->lock);
    machine_op_complete(m, op, err);
}

/* Devices did not finish their requests: that is an error, of the stop too. */
static void note_stuck_locked(struct vz_machine *m, struct vz_error *ret)
{
    error_set(ret, 0, VZ_ERROR_IO, "a disk has not answered for %u s; its requests, and with them "
              "the machine's memory and files, are abandoned", m->late_ms / 1000);
    m->end.reason = VZ_END_ERROR;
    snprintf(m->end.text, sizeof(m->end.text), "%s", ret->text);
}

/* From now on no call is added. Returns whether devices are stuck; *ret is what it means for an
 * operation that the end was faster than. */
static bool go_idle(struct vz_machine *m, struct vz_error *ret)
{
    bool stuck;

    pthread_mutex_lock(&m->lock);
    machine_collect_stats_locked(m);
    stuck = m->still.phase == STILL_STUCK;
    still_move(&m->still, STILL_IDLE);
    error_set(ret, 0, VZ_ERROR_INVALID_TRANSITION, "the machine ended first%s%.180s",
              m->end.text[0] ? ": " : "", m->end.text);
    if (stuck)
        note_stuck_locked(m, ret);
    pthread_mutex_unlock(&m->lock);
    return stuck;
}

/* The last move, to stopped or error. Returns the operation that it completes or makes too late. */
static struct machine_op *settle_end(struct vz_machine *m, bool *ret_stopped)
{
    struct machine_op *op;

    pthread_mutex_lock(&m->lock);
    still_clear(&m->still);
    *ret_stopped = m->state == VZ_STATE_STOPPING && m->end.reason == VZ_END_STOPPED;
    if (m->state == VZ_STATE_PAUSED)
        machine_move_locked(m, VZ_STATE_STOPPING); /* freed while paused */
    op = machine_settle_locked(m, machine_end_is_error(m->end.reason) ? VZ_STATE_ERROR
                                                                      : VZ_STATE_STOPPED);
    machine_tell_end(m, &m->end);
    pthread_mutex_unlock(&m->lock);
    return op;
}

/* Take the machine apart, and tell everyone. */
static void finish(struct vz_machine *m)
{
    struct machine_op *op;
    struct vz_error late;
    bool stopped, stuck;

    runner_end(&m->runner);
    device_slots_drain(m->parts.slots);
    stuck = go_idle(m, &late);
    machine_serve_calls(m);
    machine_hang_up_usb(m);
    machine_still_release(m);
    if (stuck)
        parts_abandon(&m->parts);
    else
        parts_fini(&m->parts);
    machine_sandbox_release(m);
    machine_forget_usb(m);
    machine_forget_listeners(m);
    machine_forget_clipboard(m);
    op = settle_end(m, &stopped);
    if (op && op->failed) /* a restore */
        late = op->err;
    machine_op_complete(m, op, stopped ? NULL : &late);
}

/* To a running machine, or for file to a paused one. */
static void start(struct vz_machine *m, struct machine_file *file)
{
    struct vz_error err = {0};

    pthread_mutex_lock(&m->lock);
    if (!m->ending.waiting)
        m->end = (struct vz_machine_end){.reason = VZ_END_STOPPED};
    pthread_mutex_unlock(&m->lock);
    if (machine_sandbox_prepare(m, &err) < 0 || (file && machine_restore_prepare(m, file, &err) < 0) ||
        build(m, file, &err) < 0 || machine_sandbox_enter(m, &err) < 0 || go(m, file, &err) < 0) {
        start_failed(m, file, &err);
        return;
    }
    run(m);
    finish(m);
}

static bool is_beginning_locked(const struct vz_machine *m)
{
    return m->state == VZ_STATE_STARTING || m->state == VZ_STATE_RESTORING;
}

void *machine_thread(void *arg)
{
    struct vz_machine *m = arg;
    struct machine_file *file;
    bool quit = false, want_start;

    while (!quit) {
        machine_deliver(m);
        machine_sleep(m);
        pthread_mutex_lock(&m->lock);
        want_start = is_beginning_locked(m);
        file = want_start ? m->op->file : NULL;
        pthread_mutex_unlock(&m->lock);
        if (want_start)
            start(m, file);
        pthread_mutex_lock(&m->lock);
        quit = m->quit && !is_beginning_locked(m);
        pthread_mutex_unlock(&m->lock);
    }
    machine_deliver(m);
    return NULL;
}
