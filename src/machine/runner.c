/* SPDX-License-Identifier: MIT */
#include "machine/runner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"

void runner_init(struct runner *r, const struct runner_owner *owner)
{
    *r = (struct runner){.owner = *owner};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
}

void runner_fini(struct runner *r)
{
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
}

/* Stand still until released. Drops the lock meanwhile. */
static void park_locked(struct runner *r)
{
    uint64_t generation = r->generation;

    if (++r->parked == r->count) {
        pthread_mutex_unlock(&r->lock);
        r->owner.parked(r->owner.arg);
        pthread_mutex_lock(&r->lock);
    }
    while (r->generation == generation)
        pthread_cond_wait(&r->changed, &r->lock);
}

static void run_once(struct runner *r, struct runner_cpu *cpu)
{
    struct hv_exit e = {.kind = HV_EXIT_NONE};
    char text[480];
    int n = r->hv->vcpu_run(cpu->vcpu, &e);

    if (n == -EINTR || (n == 0 && e.kind == HV_EXIT_NONE))
        return;
    if (n < 0)
        snprintf(text, sizeof(text), "CPU %u: %s", cpu->index, strerror(-n));
    else if (e.kind == HV_EXIT_SHUTDOWN)
        snprintf(text, sizeof(text), "CPU %u: triple fault: %.400s", cpu->index, e.text);
    else
        snprintf(text, sizeof(text), "CPU %u: internal error: %.400s", cpu->index, e.text);
    r->owner.failed(r->owner.arg, n == 0 && e.kind == HV_EXIT_SHUTDOWN, text);
}

static void *cpu_thread(void *arg)
{
    struct runner_cpu *cpu = arg;
    struct runner *r = cpu->runner;

    pthread_mutex_lock(&r->lock);
    while (r->mode != RUNNER_END) {
        if (r->mode == RUNNER_PARK) {
            park_locked(r);
            continue;
        }
        pthread_mutex_unlock(&r->lock);
        run_once(r, cpu);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static int start_cpu(struct runner_cpu *cpu)
{
    char name[16];

    snprintf(name, sizeof(name), "vz-cpu%u", cpu->index);
    return thread_start(&cpu->thread, THREAD_CPU, name, cpu_thread, cpu);
}

/* Change what the threads are to do. */
static void set_mode_locked(struct runner *r, enum runner_mode mode)
{
    r->mode = mode;
    if (mode != RUNNER_PARK) {
        r->parked = 0;
        r->generation++;
    }
    pthread_cond_broadcast(&r->changed);
    for (unsigned i = 0; mode != RUNNER_RUN && i < r->count; i++)
        r->hv->vcpu_kick(r->cpu[i].vcpu);
}

static void join(struct runner *r, unsigned threads)
{
    pthread_mutex_lock(&r->lock);
    set_mode_locked(r, RUNNER_END);
    pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(r->cpu[i].thread, NULL);
    r->mode = RUNNER_IDLE;
    r->count = 0;
}

int runner_start(struct runner *r, const struct hv_ops *hv, struct hv_vcpu *const *vcpu,
                 unsigned count, bool parked)
{
    unsigned threads = 0;
    int err = 0;

    /* Under the lock, so that no thread gets anywhere before all exist. */
    pthread_mutex_lock(&r->lock);
    r->hv = hv;
    r->count = count;
    r->mode = parked ? RUNNER_PARK : RUNNER_RUN;
    r->parked = 0;
    for (unsigned i = 0; !err && i < count; i++) {
        r->cpu[i] = (struct runner_cpu){.runner = r, .vcpu = vcpu[i], .index = i};
        err = start_cpu(&r->cpu[i]);
        threads += !err;
    }
    if (err < 0) {
        r->count = threads;
        r->mode = RUNNER_END; /* before any has seen RUN */
    }
    pthread_mutex_unlock(&r->lock);
    if (err < 0)
        join(r, threads);
    return err;
}

void runner_park(struct runner *r)
{
    pthread_mutex_lock(&r->lock);
    if (r->mode == RUNNER_RUN)
        set_mode_locked(r, RUNNER_PARK);
    pthread_mutex_unlock(&r->lock);
}

void runner_release(struct runner *r)
{
    pthread_mutex_lock(&r->lock);
    if (r->mode == RUNNER_PARK)
        set_mode_locked(r, RUNNER_RUN);
    pthread_mutex_unlock(&r->lock);
}

void runner_end(struct runner *r)
{
    if (r->count)
        join(r, r->count);
}
