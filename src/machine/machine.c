/* SPDX-License-Identifier: MIT */
/* vz_machine: what programs call. Calls check and note what is wanted; the machine's thread does
 * it. */
#include <vz/machine.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/thread.h"
#include "base/trace.h"
#include "board/pc/board.h"
#include "machine/machine_impl.h"

/* ---- Making and freeing --------------------------------------------------------------------- */

static int copy_options(struct vz_machine *m, const struct vz_machine_options *options,
                        struct vz_error *err)
{
    struct vz_machine_options o = VZ_MACHINE_OPTIONS_INIT;
    int r = options_copy(&o, sizeof(o), options, err);

    m->delegate = (struct vz_machine_delegate)VZ_MACHINE_DELEGATE_INIT;
    if (!r)
        r = options_copy(&m->delegate, sizeof(m->delegate), o.delegate, err);
    m->delegate_arg = o.delegate_arg;
    m->use_events_fd = o.use_events_fd;
    return r ? r : machine_sandbox_options(m, &o, err);
}

static int make_disk_stats(struct vz_machine *m, struct vz_error *err)
{
    unsigned count = m->config->storage_devices.count + MACHINE_USB_MAX;

    m->disk_stats = calloc(count, sizeof(*m->disk_stats));
    return m->disk_stats ? 0 : error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

static int open_descriptors(struct vz_machine *m, struct vz_error *err)
{
    int r = 0;

    m->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->wake_fd < 0)
        r = -errno;
    if (!r)
        r = events_init(&m->events, m->use_events_fd);
    if (r < 0) {
        if (m->wake_fd >= 0)
            close(m->wake_fd);
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "no file descriptor for the machine: %s",
                         strerror(-r));
    }
    return 0;
}

static struct vz_machine *allocate(const struct vz_config *config,
                                   const struct vz_machine_options *options, struct vz_error *err)
{
    struct vz_machine *m = calloc(1, sizeof(*m));

    if (!m) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    m->end.reason = VZ_END_STOPPED;
    m->last_call = &m->first_call;
    machine_init_clipboard(m);
    if (copy_options(m, options, err) < 0 || !(m->config = vz_config_copy(config, err)) ||
        make_disk_stats(m, err) < 0 || open_descriptors(m, err) < 0) {
        vz_config_unref(m->config);
        free(m->disk_stats);
        machine_sandbox_free(m);
        free(m);
        return NULL;
    }
    return m;
}

static void release(struct vz_machine *m)
{
    events_fini(&m->events);
    machine_free_listeners(m);
    machine_fini_clipboard(m);
    runner_fini(&m->runner);
    close(m->wake_fd);
    machine_sandbox_free(m);
    vz_config_unref(m->config);
    free(m->disk_stats);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

struct vz_machine *vz_machine_new(const struct vz_config *config,
                                  const struct vz_machine_options *options, struct vz_error *err)
{
    struct vz_machine *m;
    int r;

    if (vz_config_validate(config, NULL, NULL, err) < 0)
        return NULL;
    m = allocate(config, options, err);
    if (!m)
        return NULL;
    trace_check();
    m->trace = trace_mask();
    m->memory_target = machine_first_memory_target(m->config);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->changed, NULL);
    machine_init_still(m);
    r = thread_start(&m->thread, THREAD_FREE, "vz-loop", machine_thread, m);
    if (r < 0) {
        error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot start a thread: %s", strerror(-r));
        release(m);
        return NULL;
    }
    return m;
}

void vz_machine_free(struct vz_machine *m)
{
    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    m->quit = true;
    atomic_store(&m->cancel, true);
    machine_end_locked(m, VZ_END_STOPPED, 0, "");
    pthread_mutex_unlock(&m->lock);
    machine_wake(m);
    pthread_join(m->thread, NULL);
    machine_join_background(m);
    events_deliver(&m->events, m, UINT_MAX); /* those of a program that did not fetch them */
    release(m);
}

/* ---- Operations ----------------------------------------------------------------------------- */

static void begin_locked(struct vz_machine *m, struct machine_op *op,
                         enum vz_machine_state through)
{
    m->op = op;
    atomic_store(&m->cancel, false);
    machine_move_locked(m, through);
    if (op->kind == MACHINE_OP_STOP)
        machine_end_locked(m, VZ_END_STOPPED, 0, "");
    else if (op->kind != MACHINE_OP_START)
        machine_ask_locked(m, op);
}

/* Begin op; it completes in any case. */
static void begin(struct vz_machine *m, struct machine_op *op)
{
    enum vz_machine_state through, from;
    struct vz_error err;
    bool ok;

    pthread_mutex_lock(&m->lock);
    from = m->state;
    ok = !m->quit && machine_state_begin(from, op->kind, &through);
    if (ok)
        begin_locked(m, op, through);
    pthread_mutex_unlock(&m->lock);
    if (!ok) {
        error_set(&err, 0,
                  op->kind == MACHINE_OP_SAVE ? VZ_ERROR_INVALID_STATE : VZ_ERROR_INVALID_TRANSITION,
                  "cannot %s a machine that is %s%s", machine_op_name(op->kind),
                  vz_machine_state_name(from),
                  op->kind == MACHINE_OP_SAVE      ? ": pause it first"
                  : op->kind == MACHINE_OP_RESTORE ? ": it must be stopped"
                                                   : "");
        machine_op_complete(m, op, &err);
    }
    machine_wake(m);
}

int machine_begin_file(struct vz_machine *m, enum machine_op_kind kind, struct machine_file *f,
                       vz_machine_done_fn *fn, void *arg)
{
    struct machine_op *op = m ? calloc(1, sizeof(*op)) : NULL;

    if (!op) {
        machine_file_free(f);
        return -1;
    }
    *op = (struct machine_op){.kind = kind, .fn = fn, .arg = arg, .file = f};
    begin(m, op);
    return 0;
}

static int begin_async(struct vz_machine *m, enum machine_op_kind kind, vz_machine_done_fn *fn,
                       void *arg)
{
    return machine_begin_file(m, kind, NULL, fn, arg);
}

static void wait_done(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    waiter_done(arg, err);
}

int machine_begin_file_wait(struct vz_machine *m, enum machine_op_kind kind, struct machine_file *f,
                            struct vz_error *err)
{
    struct waiter w = WAITER_INIT;
    struct machine_op *op;

    if (!options_given(m, "machine", err)) {
        machine_file_free(f);
        return -1;
    }
    op = calloc(1, sizeof(*op));
    if (!op || machine_is_current(m)) {
        error_set(err, 0, op ? VZ_ERROR_INVALID_STATE : VZ_ERROR_NO_MEMORY, "%s",
                  op ? "the machine's own thread cannot wait for it" : "out of memory");
        machine_file_free(f);
        free(op);
        return -1;
    }
    *op = (struct machine_op){.kind = kind, .fn = wait_done, .arg = &w, .direct = true, .file = f};
    begin(m, op);
    return waiter_wait(&w, err);
}

static int begin_wait(struct vz_machine *m, enum machine_op_kind kind, struct vz_error *err)
{
    return machine_begin_file_wait(m, kind, NULL, err);
}

static bool can_begin(const struct vz_machine *m, enum machine_op_kind kind)
{
    enum vz_machine_state through;

    return m && machine_state_begin(vz_machine_get_state(m), kind, &through);
}

int vz_machine_start(struct vz_machine *machine, vz_machine_done_fn *fn, void *arg)
{
    return begin_async(machine, MACHINE_OP_START, fn, arg);
}

int vz_machine_start_wait(struct vz_machine *machine, struct vz_error *err)
{
    return begin_wait(machine, MACHINE_OP_START, err);
}

bool vz_machine_can_start(const struct vz_machine *machine)
{
    return can_begin(machine, MACHINE_OP_START);
}

int vz_machine_pause(struct vz_machine *machine, vz_machine_done_fn *fn, void *arg)
{
    return begin_async(machine, MACHINE_OP_PAUSE, fn, arg);
}

int vz_machine_pause_wait(struct vz_machine *machine, struct vz_error *err)
{
    return begin_wait(machine, MACHINE_OP_PAUSE, err);
}

bool vz_machine_can_pause(const struct vz_machine *machine)
{
    return can_begin(machine, MACHINE_OP_PAUSE);
}

int vz_machine_resume(struct vz_machine *machine, vz_machine_done_fn *fn, void *arg)
{
    return begin_async(machine, MACHINE_OP_RESUME, fn, arg);
}

int vz_machine_resume_wait(struct vz_machine *machine, struct vz_error *err)
{
    return begin_wait(machine, MACHINE_OP_RESUME, err);
}

bool vz_machine_can_resume(const struct vz_machine *machine)
{
    return can_begin(machine, MACHINE_OP_RESUME);
}

int vz_machine_stop(struct vz_machine *machine, vz_machine_done_fn *fn, void *arg)
{
    return begin_async(machine, MACHINE_OP_STOP, fn, arg);
}

int vz_machine_stop_wait(struct vz_machine *machine, struct vz_error *err)
{
    return begin_wait(machine, MACHINE_OP_STOP, err);
}

bool vz_machine_can_stop(const struct vz_machine *machine)
{
    return can_begin(machine, MACHINE_OP_STOP);
}

bool vz_machine_can_save(const struct vz_machine *machine)
{
    return can_begin(machine, MACHINE_OP_SAVE);
}

bool vz_machine_can_restore(const struct vz_machine *machine)
{
    return can_begin(machine, MACHINE_OP_RESTORE);
}

/* ---- The rest of its life ------------------------------------------------------------------- */

enum vz_machine_state vz_machine_get_state(const struct vz_machine *machine)
{
    struct vz_machine *m = (struct vz_machine *)machine; /* its lock is not part of its value */
    enum vz_machine_state state;

    pthread_mutex_lock(&m->lock);
    state = m->state;
    pthread_mutex_unlock(&m->lock);
    return state;
}

bool vz_machine_can_request_stop(const struct vz_machine *m)
{
    return m && vz_machine_get_state(m) == VZ_STATE_RUNNING;
}

static int press_power_button(struct vz_machine *m, void *arg, struct vz_error *err)
{
    acpi_pm_power_button(m->parts.board->pm);
    return 0;
}

int vz_machine_request_stop(struct vz_machine *m, struct vz_error *err)
{
    if (!options_given(m, "machine", err))
        return -1;
    if (!vz_machine_can_request_stop(m)) {
        error_set(err, 0, VZ_ERROR_INVALID_STATE, "a machine that is %s has no guest to ask",
                  vz_machine_state_name(vz_machine_get_state(m)));
        return -1;
    }
    return machine_call(m, press_power_button, NULL, err);
}

static int ask_listening(struct vz_machine *m, void *arg, struct vz_error *err)
{
    *(bool *)arg = acpi_pm_hears_power_button(m->parts.board->pm);
    return 0;
}

bool vz_machine_hears_request_stop(struct vz_machine *m)
{
    bool hears = false;

    if (m)
        machine_call(m, ask_listening, &hears, NULL); /* not live: no */
    return hears;
}

const struct vz_config *vz_machine_config(const struct vz_machine *m)
{
    return m ? m->config : NULL;
}

void vz_machine_wait(struct vz_machine *m, struct vz_machine_end *ret)
{
    pthread_mutex_lock(&m->lock);
    while (m->state != VZ_STATE_STOPPED && m->state != VZ_STATE_ERROR)
        pthread_cond_wait(&m->changed, &m->lock);
    if (ret)
        *ret = m->end;
    pthread_mutex_unlock(&m->lock);
}

int vz_machine_events_fd(const struct vz_machine *m)
{
    return m ? m->events.fd : -1;
}

unsigned vz_machine_dispatch(struct vz_machine *m)
{
    return m && m->use_events_fd ? events_deliver(&m->events, m, EVENTS_GUEST_MAX) : 0;
}

/* ---- What else there is to know ------------------------------------------------------------- */

static void add_stat(void *arg, const char *name, uint64_t value)
{
    struct vz_machine *m = arg;

    if (m->stat_count < MACHINE_STATS_MAX)
        m->stat[m->stat_count++] = (struct machine_stat){name, value};
}

void machine_collect_stats_locked(struct vz_machine *m)
{
    m->stat_count = 0;
    m->lost_output = device_slots_lost_output(m->parts.slots);
    add_stat(m, "machine.resets", m->resets);
    parts_stats(&m->parts, add_stat, m);
    if (m->parts.hv->stats)
        m->parts.hv->stats(m->parts.vm, add_stat, m);
    machine_collect_disk_stats_locked(m);
}

void vz_machine_stats(struct vz_machine *m, vz_machine_stats_fn *fn, void *arg)
{
    struct machine_stat stat[MACHINE_STATS_MAX];
    unsigned count;

    if (!m || !fn)
        return;
    pthread_mutex_lock(&m->lock);
    if (machine_is_live_locked(m))
        machine_collect_stats_locked(m);
    count = m->stat_count;
    memcpy(stat, m->stat, count * sizeof(*stat));
    pthread_mutex_unlock(&m->lock);
    for (unsigned i = 0; i < count; i++)
        fn(arg, stat[i].name, stat[i].value);
}

unsigned vz_machine_lost_output(struct vz_machine *m)
{
    unsigned count;

    if (!m)
        return 0;
    pthread_mutex_lock(&m->lock);
    if (machine_is_live_locked(m))
        machine_collect_stats_locked(m);
    count = m->lost_output;
    pthread_mutex_unlock(&m->lock);
    return count;
}

unsigned vz_machine_serial_count(const struct vz_machine *m)
{
    return m ? m->config->serial_ports.count : 0;
}

const char *vz_machine_accel(struct vz_machine *m)
{
    const char *name = NULL;

    if (!m)
        return NULL;
    pthread_mutex_lock(&m->lock);
    if (machine_is_live_locked(m))
        name = m->parts.hv->name;
    pthread_mutex_unlock(&m->lock);
    return name;
}

int vz_machine_serial_path(struct vz_machine *m, unsigned index, char *ret, size_t len)
{
    int r = -1;

    if (!m || !ret)
        return -1;
    pthread_mutex_lock(&m->lock);
    if (machine_is_live_locked(m))
        r = device_slots_path(m->parts.slots, "serialPorts", index, 0, ret, len);
    pthread_mutex_unlock(&m->lock);
    return r < 0 ? -1 : 0;
}
