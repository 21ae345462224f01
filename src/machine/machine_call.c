/* SPDX-License-Identifier: MIT */
/* Calls into a machine's devices: programs come from any thread, devices are the machine's
 * thread's. The caller waits in between. */
#include "machine/machine_impl.h"

#include "base/error.h"

bool machine_is_current(const struct vz_machine *m)
{
    return pthread_equal(pthread_self(), m->thread);
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

/* The interrupt controllers of a paused machine get their state of before the pause back, so a
 * device that interrupts meanwhile does so between a thaw and a freeze. */
static int run(struct vz_machine *m, machine_call_fn *fn, void *arg, struct vz_error *err)
{
    struct vz_error e = {0};
    bool frozen = m->parts.frozen != NULL;
    int r = frozen ? parts_thaw(&m->parts, &e) : 0, result = fn(m, arg, err);

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

/* On the machine's thread. */
static int run_if_live(struct vz_machine *m, machine_call_fn *fn, void *arg, struct vz_error *err)
{
    enum vz_machine_state state;
    bool live;

    pthread_mutex_lock(&m->lock);
    live = is_live_locked(m, &state);
    pthread_mutex_unlock(&m->lock);
    return live ? run(m, fn, arg, err) : refuse(state, err);
}

int machine_call(struct vz_machine *m, machine_call_fn *fn, void *arg, struct vz_error *err)
{
    struct machine_call call = {.fn = fn, .arg = arg, .waiter = WAITER_INIT};
    enum vz_machine_state state;

    if (!options_given(m, "machine", err))
        return -1;
    if (machine_is_current(m))
        return run_if_live(m, fn, arg, err);
    if (!append(m, &call, &state))
        return refuse(state, err);
    machine_wake(m);
    return waiter_wait(&call.waiter, err) < 0 ? -1 : call.result;
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

        call->result = run_if_live(m, call->fn, call->arg, &err);
        waiter_done(&call->waiter, call->result < 0 ? &err : NULL); /* now it is gone */
    }
}
