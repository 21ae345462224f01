/* SPDX-License-Identifier: MIT */
/* vz_machine: the life of a machine and its threads (docs/threads.md).
 *
 *     NEW -> RUNNING <-> RESETTING        NEW -> ENDED (stopped before it was started)
 *               |            |
 *               +-> ENDING <-+ -> ENDED
 *
 * Devices ask for power-off and reset on a vCPU thread in the middle of an instruction. Such a
 * request is only noted, and all vCPUs are kicked; each then parks. The last one to park does the
 * work, while nothing of the guest runs, and lets the others go on or end. */
#include <vz/machine.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/config_impl.h"
#include "api/parts.h"
#include "base/error.h"
#include "loop/loop.h"

enum phase { PHASE_NEW, PHASE_RUNNING, PHASE_RESETTING, PHASE_ENDING, PHASE_ENDED, PHASE_COUNT };

struct machine_vcpu {
    struct vz_machine *machine;
    unsigned index;
    pthread_t thread;
};

struct vz_machine {
    struct vz_config *config; /* fixed once made, as the next two */
    struct parts parts;
    struct machine_vcpu *vcpu;

    pthread_mutex_t lock;     /* for all below; nothing but vcpu_kick() is called under it */
    pthread_cond_t changed;   /* phase or generation */
    enum phase phase;
    unsigned parked;          /* vCPU threads that wait in park() */
    bool all_stopped;         /* all were parked at once while ENDING */
    unsigned alive;           /* vCPU threads that have not returned for good */
    uint64_t generation;      /* counts the releases of parked threads */
    uint64_t resets;
    struct vz_machine_end end; /* from ENDING on */

    pthread_t loop_thread;
    unsigned threads;         /* vCPU threads to join */
    bool has_loop_thread;
};

/* Which moves are allowed: BIT(to) by from. */
static const unsigned moves[PHASE_COUNT] = {
    [PHASE_NEW] = BIT(PHASE_RUNNING) | BIT(PHASE_ENDED),
    [PHASE_RUNNING] = BIT(PHASE_RESETTING) | BIT(PHASE_ENDING),
    [PHASE_RESETTING] = BIT(PHASE_RUNNING) | BIT(PHASE_ENDING),
    [PHASE_ENDING] = BIT(PHASE_ENDED),
    [PHASE_ENDED] = 0,
};

/* Returns false, and does nothing, when there is no such move. */
static bool move_locked(struct vz_machine *m, enum phase to)
{
    if (!(moves[m->phase] & BIT(to)))
        return false;
    m->phase = to;
    pthread_cond_broadcast(&m->changed);
    return true;
}

static void kick_all_locked(struct vz_machine *m)
{
    for (unsigned i = 0; i < m->config->o.cpu_count; i++)
        m->parts.hv->vcpu_kick(m->parts.vcpu[i]);
}

/* The first reason to end is the one that counts. */
static void end_locked(struct vz_machine *m, enum vz_end_reason reason, uint32_t code,
                       const char *text)
{
    if (!move_locked(m, PHASE_ENDING))
        return;
    m->end.reason = reason;
    m->end.debug_code = code;
    snprintf(m->end.text, sizeof(m->end.text), "%s", text);
    kick_all_locked(m);
}

/* parts_request_fn: from a device, on a vCPU thread. */
static void on_request(void *arg, enum parts_request kind, uint32_t value)
{
    struct vz_machine *m = arg;

    pthread_mutex_lock(&m->lock);
    if (kind == PARTS_POWER_OFF)
        end_locked(m, VZ_END_POWEROFF, 0, "");
    else if (kind == PARTS_DEBUG_EXIT)
        end_locked(m, VZ_END_DEBUG_EXIT, value, "");
    else if (m->config->o.stop_at_reset)
        end_locked(m, VZ_END_RESET, 0, "");
    else if (move_locked(m, PHASE_RESETTING))
        kick_all_locked(m);
    pthread_mutex_unlock(&m->lock);
}

/* All vCPUs are parked: start over with the kernel. Drops the lock meanwhile. */
static void reset_locked(struct vz_machine *m)
{
    struct vz_error err = {0};
    int r;

    pthread_mutex_unlock(&m->lock);
    r = parts_reset(&m->parts, &err);
    if (!r)
        r = parts_boot(&m->parts, &err);
    pthread_mutex_lock(&m->lock);
    m->resets++;
    if (r < 0)
        end_locked(m, VZ_END_ERROR, 0, err.text);
    else
        move_locked(m, PHASE_RUNNING); /* or it has been stopped meanwhile */
}

/* Wait at the meeting point of the vCPU threads; the last to come does what was asked for. */
static void park_locked(struct vz_machine *m)
{
    uint64_t generation = m->generation;

    if (++m->parked < m->alive) {
        while (m->generation == generation)
            pthread_cond_wait(&m->changed, &m->lock);
        return;
    }
    if (m->phase == PHASE_RESETTING)
        reset_locked(m);
    m->all_stopped = m->phase == PHASE_ENDING;
    m->parked = 0;
    m->generation++;
    pthread_cond_broadcast(&m->changed);
}

static void handle_exit(struct vz_machine *m, unsigned index, int r, const struct hv_exit *e)
{
    char text[VZ_END_TEXT_MAX];

    if (r == -EINTR || (r == 0 && e->kind == HV_EXIT_NONE))
        return;
    if (r < 0)
        snprintf(text, sizeof(text), "CPU %u: %s", index, strerror(-r));
    else if (e->kind == HV_EXIT_SHUTDOWN)
        snprintf(text, sizeof(text), "CPU %u: triple fault: %.400s", index, e->text);
    else
        snprintf(text, sizeof(text), "CPU %u: internal error: %.400s", index, e->text);
    pthread_mutex_lock(&m->lock);
    end_locked(m, VZ_END_ERROR, 0, text);
    pthread_mutex_unlock(&m->lock);
}

/* The run loop of a vCPU. Returns when the machine ends. */
static void run_vcpu(struct vz_machine *m, unsigned index)
{
    struct hv_exit e;
    int r;

    pthread_mutex_lock(&m->lock);
    while (m->phase != PHASE_ENDING) {
        if (m->phase == PHASE_RESETTING) {
            park_locked(m);
            continue;
        }
        pthread_mutex_unlock(&m->lock);
        e.kind = HV_EXIT_NONE;
        e.text[0] = 0;
        r = m->parts.hv->vcpu_run(m->parts.vcpu[index], &e);
        handle_exit(m, index, r, &e);
        pthread_mutex_lock(&m->lock);
    }
    /* Nobody leaves before all have stopped. Whoever parked for a reset that became the end has
     * met the others already, who may be gone. */
    if (!m->all_stopped)
        park_locked(m);
    pthread_mutex_unlock(&m->lock);
}

static void *vcpu_thread(void *arg)
{
    struct machine_vcpu *v = arg;
    struct vz_machine *m = v->machine;
    char name[16];
    bool last;

    snprintf(name, sizeof(name), "vz-cpu%u", v->index);
    pthread_setname_np(pthread_self(), name);
    run_vcpu(m, v->index);
    pthread_mutex_lock(&m->lock);
    last = --m->alive == 0;
    pthread_mutex_unlock(&m->lock);
    if (last)
        loop_stop(m->parts.loop);
    return NULL;
}

static void *loop_thread(void *arg)
{
    struct vz_machine *m = arg;

    pthread_setname_np(pthread_self(), "vz-loop");
    loop_run(m->parts.loop);
    parts_drain(&m->parts);
    pthread_mutex_lock(&m->lock);
    move_locked(m, PHASE_ENDED);
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

/* A thread that the embedder's signals do not interrupt; faults still reach their handlers. */
static int start_thread(pthread_t *ret, void *(*fn)(void *), void *arg)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t blocked, old;
    int r;

    sigfillset(&blocked);
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &old);
    r = pthread_create(ret, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -r;
}

struct vz_machine *vz_machine_new(const struct vz_config *config, struct vz_error *err)
{
    struct vz_machine *m = calloc(1, sizeof(*m));

    if (m) {
        pthread_mutex_init(&m->lock, NULL);
        pthread_cond_init(&m->changed, NULL);
        m->end.reason = VZ_END_STOPPED;
        m->config = config_copy(config);
        m->vcpu = calloc(config->o.cpu_count, sizeof(*m->vcpu));
    }
    if (!m || !m->config || !m->vcpu) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        vz_machine_free(m);
        return NULL;
    }
    if (parts_init(&m->parts, m->config, on_request, m, err) < 0) {
        vz_machine_free(m);
        return NULL;
    }
    return m;
}

/* Under the lock, so that no thread gets anywhere before all exist. */
static int start_threads_locked(struct vz_machine *m)
{
    int r = start_thread(&m->loop_thread, loop_thread, m);

    if (r < 0) {
        move_locked(m, PHASE_ENDED); /* from NEW: nothing has run */
        return r;
    }
    m->has_loop_thread = true;
    move_locked(m, PHASE_RUNNING);
    while (!r && m->threads < m->config->o.cpu_count) {
        struct machine_vcpu *v = &m->vcpu[m->threads];

        *v = (struct machine_vcpu){.machine = m, .index = m->threads};
        r = start_thread(&v->thread, vcpu_thread, v);
        m->threads += !r;
    }
    m->alive = m->threads;
    if (r < 0)
        end_locked(m, VZ_END_ERROR, 0, "cannot start a thread");
    if (!m->alive)
        loop_stop(m->parts.loop);
    return r;
}

int vz_machine_start(struct vz_machine *m, struct vz_error *err)
{
    int r;

    pthread_mutex_lock(&m->lock);
    if (m->phase != PHASE_NEW) {
        pthread_mutex_unlock(&m->lock);
        error_set(err, EINVAL, VZ_ERROR_INVALID, "the machine was started or stopped before");
        return -1;
    }
    r = parts_boot(&m->parts, err);
    if (!r) {
        r = start_threads_locked(m);
        if (r < 0)
            error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot start a thread: %s", strerror(-r));
    }
    pthread_mutex_unlock(&m->lock);
    return r < 0 ? -1 : 0;
}

void vz_machine_wait(struct vz_machine *m, struct vz_machine_end *ret)
{
    pthread_mutex_lock(&m->lock);
    while (m->phase != PHASE_NEW && m->phase != PHASE_ENDED)
        pthread_cond_wait(&m->changed, &m->lock);
    if (ret)
        *ret = m->end;
    pthread_mutex_unlock(&m->lock);
}

void vz_machine_stop(struct vz_machine *m)
{
    pthread_mutex_lock(&m->lock);
    if (m->phase == PHASE_NEW)
        move_locked(m, PHASE_ENDED);
    else
        end_locked(m, VZ_END_STOPPED, 0, "");
    pthread_mutex_unlock(&m->lock);
}

void vz_machine_stats(struct vz_machine *m, vz_machine_stats_fn *fn, void *arg)
{
    uint64_t resets;

    pthread_mutex_lock(&m->lock);
    resets = m->resets;
    pthread_mutex_unlock(&m->lock);
    fn(arg, "machine.resets", resets);
    if (m->parts.hv->stats)
        m->parts.hv->stats(m->parts.vm, fn, arg);
}

void vz_machine_free(struct vz_machine *m)
{
    if (!m)
        return;
    if (m->has_loop_thread) {
        vz_machine_stop(m);
        vz_machine_wait(m, NULL);
        for (unsigned i = 0; i < m->threads; i++)
            pthread_join(m->vcpu[i].thread, NULL);
        pthread_join(m->loop_thread, NULL);
    }
    parts_fini(&m->parts);
    vz_config_free(m->config);
    free(m->vcpu);
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->lock);
    free(m);
}
