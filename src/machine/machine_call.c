/* SPDX-License-Identifier: MIT */
/* Calls into a machine's devices: programs come from any thread, devices are the machine's
 * thread's. The caller waits in between, unless what it asks for takes its time: that has a completion. */
#include "machine/machine_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

bool machine_is_current(const struct vz_machine *m)
{
    return pthread_equal(pthread_self(), m->thread);
}

bool machine_can_wait(const struct vz_machine *m, struct vz_error *err)
{
    if (!machine_is_current(m))
        return true;
    error_set(err, 0, VZ_ERROR_INVALID_STATE, "the machine's own thread cannot wait for it");
    return false;
}

static int refuse(enum vz_machine_state state, struct vz_error *err)
{
    error_set(err, 0, VZ_ERROR_INVALID_STATE, "a machine that is %s has no running devices",
              vz_machine_state_name(state));
    return -1;
}

/* Are there devices? Else *ret_state is what the machine is in the meantime. */
static bool is_live_locked(const struct vz_machine *m, enum vz_machine_state *ret_state)
{
    *ret_state = m->ending.waiting ? VZ_STATE_STOPPING : m->state;
    return machine_is_live_locked(m);
}

/* Queue it, unless there are no devices. */
static bool append(struct vz_machine *m, struct machine_call *call, enum vz_machine_state *ret_state)
{
    bool live;

    pthread_mutex_lock(&m->lock);
    live = is_live_locked(m, ret_state);
    if (live) {
        *m->last_call = call;
        m->last_call = &call->next;
    }
    pthread_mutex_unlock(&m->lock);
    return live;
}

/* The caller makes its call itself. */
static int give_turn(struct machine_call *call, struct vz_error *err)
{
    waiter_done(&call->turn, NULL);
    return waiter_wait(&call->over, err) < 0 ? call->result : 0;
}

/* call: of who makes it himself; NULL: nobody does. The interrupt controllers of a paused machine get their state of before
 * the pause back, so a device that interrupts meanwhile does so between a thaw and a freeze. */
static int run(struct vz_machine *m, machine_call_fn *fn, void *arg, struct machine_call *call, struct vz_error *err)
{
    struct vz_error e = {0};
    bool frozen = m->parts.frozen != NULL;
    int r = frozen ? parts_thaw(&m->parts, &e) : 0, result = call ? give_turn(call, err) : fn(m, arg, err);

    if (frozen)
        device_slots_settle(m->parts.slots); /* whose loop does not turn */
    if (frozen && !r)
        r = parts_freeze(&m->parts, &e);
    if (r < 0) {
        pthread_mutex_lock(&m->lock);
        machine_end_locked(m, VZ_END_ERROR, 0, e.text);
        pthread_mutex_unlock(&m->lock);
    }
    return result;
}

/* On the machine's thread. call: as run()'s. */
static int run_if_live(struct vz_machine *m, machine_call_fn *fn, void *arg, struct machine_call *call,
                       struct vz_error *err)
{
    enum vz_machine_state state;
    bool live;

    pthread_mutex_lock(&m->lock);
    live = is_live_locked(m, &state);
    pthread_mutex_unlock(&m->lock);
    if (live)
        return run(m, fn, arg, call, err);
    refuse(state, err);
    if (call)
        waiter_done(&call->turn, err);
    return -1;
}

/* The machine's thread waits for us, unless it is not live any more. What threads are made are in its sandbox. */
static void take_turn(struct vz_machine *m, struct machine_call *call)
{
    struct thread_policy *own;
    struct vz_error e = {0};

    if (waiter_wait(&call->turn, NULL) < 0)
        return;
    own = thread_set_policy(m->locked ? &m->sandbox.policy : NULL); /* it may have none after all */
    call->result = call->fn(m, call->arg, &e);
    thread_set_policy(own);
    waiter_done(&call->over, call->result < 0 ? &e : NULL);
}

static int call_machine(struct vz_machine *m, struct machine_call *call, struct vz_error *err)
{
    enum vz_machine_state state;

    if (!options_given(m, "machine", err))
        return -1;
    if (machine_is_current(m))
        return run_if_live(m, call->fn, call->arg, NULL, err);
    if (!append(m, call, &state))
        return refuse(state, err);
    machine_wake(m);
    if (call->opens)
        take_turn(m, call);
    return waiter_wait(&call->waiter, err) < 0 ? -1 : call->result;
}

int machine_call(struct vz_machine *m, machine_call_fn *fn, void *arg, struct vz_error *err)
{
    struct machine_call call = {.fn = fn, .arg = arg, .waiter = WAITER_INIT};

    return call_machine(m, &call, err);
}

int machine_call_opening(struct vz_machine *m, machine_call_fn *fn, void *arg, struct vz_error *err)
{
    struct machine_call call = {.fn = fn, .arg = arg, .waiter = WAITER_INIT, .turn = WAITER_INIT, .over = WAITER_INIT,
                                .opens = m && m->sandbox_mode != VZ_SANDBOX_NONE};

    return call_machine(m, &call, err);
}

static struct machine_call *pop(struct vz_machine *m)
{
    struct machine_call *call;

    pthread_mutex_lock(&m->lock);
    call = m->first_call;
    if (call) {
        m->first_call = call->next;
        if (!m->first_call)
            m->last_call = &m->first_call;
    }
    pthread_mutex_unlock(&m->lock);
    return call;
}

void machine_serve_calls(struct vz_machine *m)
{
    struct machine_call *call;

    while ((call = pop(m))) {
        struct vz_error err = {0};

        call->result = run_if_live(m, call->fn, call->arg, call->opens ? call : NULL, &err);
        waiter_done(&call->waiter, call->result < 0 ? &err : NULL); /* now it is gone */
    }
}

/* ---- What takes its time -------------------------------------------------------------------- */

static void call_done(struct event *e, void *machine)
{
    struct machine_work *w = container_of(e, struct machine_work, event);

    if (w->fn)
        w->fn(w->arg, machine, w->failed ? &w->err : NULL);
    if (w->release)
        w->release(w);
    free(w);
}

void machine_complete_work(struct machine_work *w, const struct vz_error *err)
{
    w->failed = err != NULL;
    if (err && err != &w->err)
        w->err = *err;
    w->event.fn = call_done;
    machine_complete(w->machine, &w->event, w->direct);
}

static struct machine_work *copy_work(const void *what, size_t size)
{
    struct machine_work *w = malloc(size);

    if (w)
        memcpy(w, what, size);
    return w;
}

static void begin_work(struct machine_work *w, machine_call_fn *fn, const struct vz_error *refused)
{
    if (refused)
        machine_complete_work(w, refused);
    else if ((w->opens ? machine_call_opening : machine_call)(w->machine, fn, w, &w->err) < 0)
        machine_complete_work(w, &w->err);
}

int machine_begin_work(const void *what, size_t size, machine_call_fn *fn, const struct vz_error *refused)
{
    struct machine_work *w = copy_work(what, size);

    if (!w)
        return -1;
    begin_work(w, fn, refused);
    return 0;
}

static void wait_done(void *arg, struct vz_machine *m, const struct vz_error *err)
{
    waiter_done(arg, err);
}

int machine_begin_work_wait(const void *what, size_t size, machine_call_fn *fn, const struct vz_error *refused,
                            struct vz_error *err)
{
    struct waiter waiter = WAITER_INIT;
    struct machine_work *w;

    if (!machine_can_wait(((const struct machine_work *)what)->machine, err))
        return -1;
    w = copy_work(what, size);
    if (!w) {
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
        return -1;
    }
    w->fn = wait_done;
    w->arg = &waiter;
    w->direct = true;
    begin_work(w, fn, refused);
    return waiter_wait(&waiter, err);
}
