/* SPDX-License-Identifier: MIT */
/* The threads of a share. Requests are begun in their order, by whichever thread is free. One that waits for a
 * lock has no thread: the last of them tries all of those again, after 1 ms at first, and later after
 * 50 ms at most. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/thread.h"
#include "share/share_impl.h"
#include "share/share_pool.h"

#define WAITERS_MAX     1024u
#define RETRY_FIRST_NS  1000000u
#define RETRY_LAST_NS   50000000u

struct share_pool {
    struct share *s;
    pthread_mutex_t lock; /* a leaf; guards what follows */
    pthread_cond_t some, some_wait, idle;
    struct share_request *first, **last;
    struct share_request *waiting; /* for locks */
    unsigned waiter_count;
    unsigned busy; /* submitted, and not done */
    bool stop;
    bool refuse;               /* nobody may wait */
    uint64_t interrupt_unique; /* that one is to end; 0: none */

    unsigned count;
    pthread_t thread[]; /* the last one: retry() */
};

static void finish(struct share_pool *p, struct share_request *r, size_t written)
{
    r->done(r, written);
    pthread_mutex_lock(&p->lock);
    if (!--p->busy)
        pthread_cond_broadcast(&p->idle);
    pthread_mutex_unlock(&p->lock);
}

/* ---- Waiting -------------------------------------------------------------------------------- */

static void wait_for_lock(struct share_pool *p, struct share_request *r)
{
    int error;

    pthread_mutex_lock(&p->lock);
    error = p->refuse ? -EINTR : p->waiter_count >= WAITERS_MAX ? -ENOLCK : 0;
    if (!error) {
        p->waiter_count++;
        r->next = p->waiting;
        p->waiting = r;
        pthread_cond_signal(&p->some_wait);
    }
    pthread_mutex_unlock(&p->lock);
    if (error)
        finish(p, r, share_refuse(r, error));
}

static void serve(struct share_pool *p, struct share_request *r)
{
    size_t written;

    if (share_serve_or_wait(p->s, r, &written))
        finish(p, r, written);
    else
        wait_for_lock(p, r);
}

/* All that wait, of whom those that are interrupted come to their end. */
static void try_again(struct share_pool *p, struct share_request *r, uint64_t unique)
{
    while (r) {
        struct share_request *next = r->next;

        pthread_mutex_lock(&p->lock);
        p->waiter_count--;
        pthread_mutex_unlock(&p->lock);
        if (unique && share_unique(r) == unique)
            finish(p, r, share_refuse(r, -EINTR));
        else
            serve(p, r);
        r = next;
    }
}

static void sleep_locked(struct share_pool *p, uint64_t ns)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    ns += (uint64_t)until.tv_nsec;
    until.tv_sec += (time_t)(ns / 1000000000u);
    until.tv_nsec = (long)(ns % 1000000000u);
    pthread_cond_timedwait(&p->some_wait, &p->lock, &until);
}

static void *retry(void *arg)
{
    struct share_pool *p = arg;
    uint64_t pause = RETRY_FIRST_NS;

    share_thread_init();
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        struct share_request *r;
        uint64_t unique;

        if (!p->waiting) {
            pause = RETRY_FIRST_NS;
            pthread_cond_wait(&p->some_wait, &p->lock);
            continue;
        }
        if (!p->refuse && !p->interrupt_unique)
            sleep_locked(p, pause);
        pause = MIN(pause * 2, (uint64_t)RETRY_LAST_NS);
        unique = p->interrupt_unique;
        p->interrupt_unique = 0;
        r = p->waiting;
        p->waiting = NULL;
        pthread_mutex_unlock(&p->lock);
        try_again(p, r, unique);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

void pool_refuse_waits(struct share_pool *p, bool refuse)
{
    pthread_mutex_lock(&p->lock);
    p->refuse = refuse;
    pthread_cond_signal(&p->some_wait);
    pthread_mutex_unlock(&p->lock);
}

void pool_interrupt(struct share_pool *p, uint64_t unique)
{
    pthread_mutex_lock(&p->lock);
    p->interrupt_unique = unique;
    pthread_cond_signal(&p->some_wait);
    pthread_mutex_unlock(&p->lock);
}

/* ---- Serving -------------------------------------------------------------------------------- */

static struct share_request *next_locked(struct share_pool *p)
{
    struct share_request *r;

    while (!p->first && !p->stop)
        pthread_cond_wait(&p->some, &p->lock);
    r = p->first;
    if (r) {
        p->first = r->next;
        if (!p->first)
            p->last = &p->first;
    }
    return r;
}

static void *work(void *arg)
{
    struct share_pool *p = arg;

    share_thread_init();
    for (;;) {
        struct share_request *r;

        pthread_mutex_lock(&p->lock);
        r = next_locked(p);
        pthread_mutex_unlock(&p->lock);
        if (!r)
            return NULL;
        serve(p, r);
    }
}

void pool_submit(struct share_pool *p, struct share_request *r)
{
    r->next = NULL;
    pthread_mutex_lock(&p->lock);
    p->busy++;
    *p->last = r;
    p->last = &r->next;
    pthread_cond_signal(&p->some);
    pthread_mutex_unlock(&p->lock);
}

void pool_wait_idle(struct share_pool *p)
{
    pool_refuse_waits(p, true);
    pthread_mutex_lock(&p->lock);
    while (p->busy)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

int pool_create(struct share *s, unsigned threads, struct share_pool **ret)
{
    struct share_pool *p = calloc(1, sizeof(*p) + (threads + 1) * sizeof(p->thread[0]));
    pthread_condattr_t monotonic;
    int err = 0;

    if (!p)
        return -ENOMEM;
    p->s = s;
    p->last = &p->first;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->some, NULL);
    pthread_cond_init(&p->idle, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->some_wait, &monotonic);
    pthread_condattr_destroy(&monotonic);
    /* Without SIGXFSZ: a full disk is an error, not the end of the process. */
    for (; !err && p->count < threads + 1; p->count += !err)
        err = thread_start(&p->thread[p->count], THREAD_SHARE, "vz-share", p->count < threads ? work : retry, p);
    if (err) {
        pool_destroy(p);
        return err;
    }
    *ret = p;
    return 0;
}

void pool_destroy(struct share_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->some);
    pthread_cond_broadcast(&p->some_wait);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->count; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->some);
    pthread_cond_destroy(&p->idle);
    pthread_cond_destroy(&p->some_wait);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
