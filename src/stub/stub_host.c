/* SPDX-License-Identifier: MIT */
/* A machine's stubs: one thread that keeps some ready and takes others apart, so that who needs one
 * does not wait. It starts the parent of stubs as well, which dies with the thread that did. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>

#include "base/checked.h"
#include "stub/stub_impl.h"

#define KEEP_READY 2
#define REGION_FIRST UINT64_C(0x400000000000) /* until somebody asks for another */

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE BIT(1)
#endif

/* ---- its thread ---- */

static bool have_work_locked(const struct stub_host *h)
{
    return h->stop || h->reaps || !LIST_EMPTY(&h->dying) || h->waiting ||
           (h->ready_count < KEEP_READY && !h->make_error);
}

/* Those of another region are no good to anybody. */
static void drop_strangers_locked(struct stub_host *h)
{
    struct stub *s, *next;

    for (s = LIST_FIRST(&h->ready); s; s = next) {
        next = LIST_NEXT(s, next);
        if (s->region == h->region)
            continue;
        LIST_REMOVE(s, next);
        LIST_INSERT_HEAD(&h->dying, s, next);
        h->ready_count--;
    }
}

static void make_one(struct stub_host *h)
{
    uint64_t region = h->region;
    struct stub *s;
    char why[160] = "";
    int r;

    pthread_mutex_unlock(&h->lock);
    r = stub_make(h, region, &s, why);
    pthread_mutex_lock(&h->lock);
    h->tries++;
    h->make_error = r;
    if (r) {
        h->probe.works = false;
        memcpy(h->probe.why, why, sizeof(why));
    } else {
        LIST_INSERT_HEAD(&h->ready, s, next);
        h->ready_count++;
    }
    pthread_cond_broadcast(&h->changed);
}

static void unmake_one(struct stub_host *h)
{
    struct stub *s = LIST_FIRST(&h->dying);

    LIST_REMOVE(s, next);
    pthread_mutex_unlock(&h->lock);
    stub_unmake(s);
    pthread_mutex_lock(&h->lock);
}

/* A stub that has died is used by the thread that found that, which waits. */
static void reap_one(struct stub_host *h)
{
    struct stub *s;
    int status;

    LIST_FOREACH (s, &h->live_list, next)
        if (s->reap_wanted)
            break;
    if (!s)
        return;
    pthread_mutex_unlock(&h->lock);
    status = stub_reap(s);
    pthread_mutex_lock(&h->lock);
    s->reap_wanted = false;
    s->reaped = true;
    s->status = status;
    h->reaps--;
    pthread_cond_broadcast(&h->changed);
}

static void work_locked(struct stub_host *h)
{
    while (!h->stop) {
        drop_strangers_locked(h);
        if (h->reaps)
            reap_one(h);
        else if (h->waiting && !h->ready_count)
            make_one(h);
        else if (!LIST_EMPTY(&h->dying))
            unmake_one(h);
        else if (h->ready_count < KEEP_READY && !h->make_error)
            make_one(h);
        else if (!have_work_locked(h) || (h->waiting && h->ready_count))
            pthread_cond_wait(&h->changed, &h->lock);
    }
}

static void end_all_locked(struct stub_host *h)
{
    struct stub *s;

    while ((s = LIST_FIRST(&h->ready))) {
        LIST_REMOVE(s, next);
        LIST_INSERT_HEAD(&h->dying, s, next);
    }
    while (!LIST_EMPTY(&h->dying))
        unmake_one(h);
}

static void *host_main(void *arg)
{
    struct stub_host *h = arg;
    char why[160] = "";
    int r;

    pthread_setname_np(pthread_self(), "vz-stubs");
    r = parent_start(&h->parent, h->options.ram, h->options.ram_ro, why);
    pthread_mutex_lock(&h->lock);
    h->tries = 1;
    h->make_error = r;
    memcpy(h->probe.why, why, sizeof(why));
    pthread_cond_broadcast(&h->changed);
    if (r == 0)
        work_locked(h);
    end_all_locked(h);
    pthread_mutex_unlock(&h->lock);
    parent_end(&h->parent);
    return NULL;
}

static int start_thread(struct stub_host *h)
{
    sigset_t all, old;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&h->thread, NULL, host_main, h);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -r;
}

/* ---- for its users ---- */

static int check_options(const struct stub_host_options *o, char why[160])
{
    if (o->threads < 1 || o->threads > STUB_THREADS_MAX)
        return -EINVAL;
    if (o->mode == STUB_FUTEX || o->mode == STUB_PTRACE) {
        snprintf(why, 160, "this way to run user code is not there yet");
        return -ENOSYS;
    }
    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE)) {
        snprintf(why, 160, "programs may not use RDFSBASE here: the kernel is older than 5.9 or "
                           "the processor has no FSGSBASE");
        return -ENOSYS;
    }
    return 0;
}

int stub_host_create(struct stub_host **ret, const struct stub_host_options *options,
                     char why[160])
{
    char unused[160];
    struct stub_host *h;
    int r;

    if (!why)
        why = unused;
    why[0] = 0;
    r = check_options(options, why);
    if (r)
        return r;
    h = calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;
    h->options = *options;
    if (!h->options.max_stubs)
        h->options.max_stubs = 16;
    snprintf(h->name, sizeof(h->name), "%s", options->name ? options->name : "vz-stub");
    h->options.name = h->name;
    h->region = REGION_FIRST;
    h->parent.socket = -1;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    LIST_INIT(&h->ready);
    LIST_INIT(&h->dying);
    LIST_INIT(&h->live_list);
    r = start_thread(h);
    if (r) {
        pthread_cond_destroy(&h->changed);
        pthread_mutex_destroy(&h->lock);
        free(h);
        return r;
    }
    pthread_mutex_lock(&h->lock);
    while (!h->tries || (!h->ready_count && !h->make_error))
        pthread_cond_wait(&h->changed, &h->lock);
    r = h->make_error;
    memcpy(why, h->probe.why, sizeof(h->probe.why));
    h->probe.works = r == 0;
    h->probe.mode = STUB_NOTIFY;
    h->probe.sandbox = h->parent.sandbox;
    pthread_mutex_unlock(&h->lock);
    if (r) {
        stub_host_destroy(h);
        return r;
    }
    *ret = h;
    return 0;
}

void stub_host_destroy(struct stub_host *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stop = true;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

const struct stub_probe *stub_host_probe(struct stub_host *h)
{
    return &h->probe;
}

void stub_host_cpuid_thread(struct stub_host *host, bool on)
{
}

/* ---- stubs ---- */

int stub_create(struct stub **ret, struct stub_host *h, uint64_t region)
{
    struct stub *s = NULL;
    unsigned tries;
    int r = 0;

    if (region % STUB_REGION || !region || region > STUB_ADDRESS_END - 2 * STUB_REGION)
        return -EINVAL;
    pthread_mutex_lock(&h->lock);
    if (h->live >= h->options.max_stubs) {
        pthread_mutex_unlock(&h->lock);
        return -EBUSY;
    }
    h->live++;
    h->region = region;
    h->waiting++;
    h->make_error = 0;
    tries = h->tries;
    for (;;) {
        LIST_FOREACH (s, &h->ready, next)
            if (s->region == region)
                break;
        if (s || (r = h->tries != tries ? h->make_error : 0))
            break;
        h->region = region;
        pthread_cond_broadcast(&h->changed);
        pthread_cond_wait(&h->changed, &h->lock);
    }
    h->waiting--;
    if (s) {
        LIST_REMOVE(s, next);
        LIST_INSERT_HEAD(&h->live_list, s, next);
        h->ready_count--;
        *ret = s;
    } else {
        h->live--;
    }
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    return r;
}

void stub_destroy(struct stub *s)
{
    struct stub_host *h;

    if (!s)
        return;
    h = s->host;
    stub_kill(s);
    pthread_mutex_lock(&h->lock);
    LIST_REMOVE(s, next);
    LIST_INSERT_HEAD(&h->dying, s, next);
    h->live--;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

struct stub_thread *stub_thread(struct stub *stub, unsigned n)
{
    return n < stub->threads ? &stub->thread[n] : NULL;
}

/* A program can end its stub by what it does there: then it is the program's end, not the machine's. */
enum stub_event host_how_died(struct stub *s)
{
    struct stub_host *h = s->host;
    int status;

    stub_kill(s); /* it is dead already, or about to be */
    pthread_mutex_lock(&h->lock);
    if (!s->reaped && !s->reap_wanted) {
        s->reap_wanted = true;
        h->reaps++;
        pthread_cond_broadcast(&h->changed);
    }
    while (!s->reaped)
        pthread_cond_wait(&h->changed, &h->lock);
    status = s->status;
    pthread_mutex_unlock(&h->lock);
    if (status == -1 || !WIFSIGNALED(status))
        return STUB_DIED;
    switch (WTERMSIG(status)) {
    case SIGSYS: case SIGSEGV: case SIGBUS: case SIGILL: case SIGFPE: case SIGTRAP:
        return STUB_BROKEN;
    default:
        return STUB_DIED;
    }
}
