/* SPDX-License-Identifier: MIT */
/* The threads of a share. Requests are begun in their order, by whichever thread is free. One that waits for a
 * lock has no thread: the last of them tries all of those again, after 1 ms at first, and later after
 * 50 ms at most. Of those that are free one looks for the next request for a while, if requests lately came so soon
 * (base/spin.h); the others sleep. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>

#include "base/clock.h"
#include "base/spin.h"
#include "base/thread.h"
#include "share/share_impl.h"
#include "share/share_pool.h"

#define WAITERS_MAX     1024u
#define INTERRUPTS_MAX  64u
#define SHARE_SPIN_NS   50000u
#define RETRY_FIRST_NS  1000000u
#define RETRY_LAST_NS   50000000u

/* Numbers of requests that are to end, where they wait; of too many at a time the last ones. */
struct interrupts {
    uint64_t unique[INTERRUPTS_MAX];
    unsigned count; /* more, if they are too many */
};

/* Threads that began together. */
struct crew {
    struct share_pool *pool;
    SLIST_ENTRY(crew) link;
    bool leaves;      /* others are in its place: who is free ends */
    unsigned working; /* how many have not ended */
    bool whole;       /* the first one has made the others, or err says why not */
    int err;
    unsigned count;
    pthread_t thread[]; /* the first one: retry() */
};

struct share_pool {
    struct share *s;
    pthread_mutex_t lock; /* a leaf; guards what follows */
    pthread_cond_t some, some_wait, idle;
    struct share_request *first, **last;
    void (*task)(struct share *s); /* pool_run(): until one has done it */
    struct share_source *source;
    bool woken; /* it may have some */
    struct share_request *waiting; /* for locks */
    unsigned waiter_count;
    unsigned busy; /* submitted, and not done */
    bool stop;
    bool refuse;                  /* nobody may wait any more: -EINTR */
    bool ask;                     /* who waits is to be tried again now */
    struct interrupts interrupts; /* since those that wait were tried last */
    unsigned threads;             /* of a crew, that of retry() aside */
    struct spin spin;
    uint64_t idle_since;     /* there has been nothing to do; 0: there is, or was lately */
    bool looking;            /* one looks, and need not be woken */
    _Atomic uint32_t called; /* how often one was to be woken */
    SLIST_HEAD(, crew) crews;  /* the first one serves */
};

static void *end_locked(struct crew *c)
{
    c->working--;
    pthread_mutex_unlock(&c->pool->lock);
    return NULL;
}

static void one_less(struct share_pool *p)
{
    pthread_mutex_lock(&p->lock);
    if (!--p->busy)
        pthread_cond_broadcast(&p->idle);
    pthread_mutex_unlock(&p->lock);
}

static void finish(struct share_pool *p, struct share_request *r, size_t written)
{
    r->done(r, written);
    one_less(p);
}

/* ---- Waiting -------------------------------------------------------------------------------- */

static void wait_for_lock(struct share_pool *p, struct share_request *r)
{
    int error;

    if (r->may_wait && !r->may_wait(r)) {
        one_less(p);
        return;
    }
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

static void serve(struct share_pool *p, struct share_request *r, bool again)
{
    size_t written;

    if (share_serve_or_wait(p->s, r, again, &written))
        finish(p, r, written);
    else
        wait_for_lock(p, r);
}

static bool is_interrupted(const struct interrupts *i, const struct share_request *r)
{
    uint64_t unique = i->count ? share_unique(r) : 0;
    bool is = false;

    for (unsigned k = 0; k < MIN(i->count, INTERRUPTS_MAX) && !is; k++)
        is = i->unique[k] == unique;
    return is;
}

/* All that wait, of whom those that are interrupted come to their end. */
static void try_again(struct share_pool *p, struct share_request *r, const struct interrupts *i)
{
    while (r) {
        struct share_request *next = r->next;

        pthread_mutex_lock(&p->lock);
        p->waiter_count--;
        pthread_mutex_unlock(&p->lock);
        if (is_interrupted(i, r))
            finish(p, r, share_refuse(r, -EINTR));
        else
            serve(p, r, true);
        r = next;
    }
}

static void sleep_locked(struct share_pool *p, uint64_t ns)
{
    const struct timespec until = clock_timespec(clock_mono_ns() + ns);

    pthread_cond_timedwait(&p->some_wait, &p->lock, &until);
}

static void *retry(void *arg)
{
    struct crew *c = arg;
    struct share_pool *p = c->pool;
    uint64_t pause = RETRY_FIRST_NS;

    share_thread_init();
    pthread_mutex_lock(&p->lock);
    while (!p->stop && !c->leaves) {
        struct interrupts interrupts;
        struct share_request *r;

        if (!p->waiting) {
            pause = RETRY_FIRST_NS;
            pthread_cond_wait(&p->some_wait, &p->lock);
            continue;
        }
        if (!p->refuse && !p->ask && !p->interrupts.count)
            sleep_locked(p, pause);
        pause = MIN(pause * 2, (uint64_t)RETRY_LAST_NS);
        interrupts = p->interrupts;
        p->interrupts.count = 0;
        p->ask = false;
        r = p->waiting;
        p->waiting = NULL;
        pthread_mutex_unlock(&p->lock);
        try_again(p, r, &interrupts);
        pthread_mutex_lock(&p->lock);
    }
    return end_locked(c);
}

void pool_ask_waiters(struct share_pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->ask = true;
    pthread_cond_signal(&p->some_wait);
    pthread_mutex_unlock(&p->lock);
}

void pool_interrupt(struct share_pool *p, uint64_t unique)
{
    pthread_mutex_lock(&p->lock);
    p->interrupts.unique[p->interrupts.count++ % INTERRUPTS_MAX] = unique;
    pthread_cond_signal(&p->some_wait);
    pthread_mutex_unlock(&p->lock);
}

/* ---- Calling threads that are free ---------------------------------------------------------- */

/* True: one looks, comes, and is no longer to be counted on by others. */
static bool tell_looker_locked(struct share_pool *p)
{
    bool looking = p->looking;

    p->looking = false;
    atomic_fetch_add_explicit(&p->called, 1, memory_order_relaxed);
    return looking;
}

static void call_locked(struct share_pool *p)
{
    if (p->idle_since)
        spin_learn(&p->spin, clock_mono_ns() - p->idle_since);
    p->idle_since = 0;
    if (!tell_looker_locked(p))
        pthread_cond_signal(&p->some);
}

static void look_locked(struct share_pool *p, uint32_t seen)
{
    uint64_t since = p->idle_since, ns = p->spin.ns;

    p->looking = true;
    pthread_mutex_unlock(&p->lock);
    while (atomic_load_explicit(&p->called, memory_order_relaxed) == seen && clock_mono_ns() - since < ns)
        spin_pause();
    pthread_mutex_lock(&p->lock);
    if (atomic_load_explicit(&p->called, memory_order_relaxed) == seen)
        p->looking = false;
}

/* There is nothing to do, and this thread is not needed elsewhere. */
static void wait_locked(struct share_pool *p)
{
    uint32_t seen = atomic_load_explicit(&p->called, memory_order_relaxed);

    if (!p->idle_since)
        p->idle_since = clock_mono_ns();
    if (p->spin.ns && !p->looking)
        look_locked(p, seen);
    if (atomic_load_explicit(&p->called, memory_order_relaxed) == seen)
        pthread_cond_wait(&p->some, &p->lock);
}

/* ---- Serving -------------------------------------------------------------------------------- */

static void do_task_locked(struct share_pool *p)
{
    void (*task)(struct share *s) = p->task;

    p->task = NULL;
    pthread_mutex_unlock(&p->lock);
    task(p->s);
    pthread_mutex_lock(&p->lock);
    p->busy--;
    pthread_cond_broadcast(&p->idle);
}

static struct share_request *first_locked(struct share_pool *p)
{
    struct share_request *r = p->first;

    p->first = r->next;
    if (!p->first)
        p->last = &p->first;
    return r;
}

/* What comes while it is asked wakes anew; one more of us is woken only if there is something for it. */
static struct share_request *take_locked(struct share_pool *p)
{
    struct share_source *source = p->source;
    struct share_request *r;
    bool more = false;

    p->woken = false;
    p->busy++;
    pthread_mutex_unlock(&p->lock);
    r = source->take(source, &more);
    pthread_mutex_lock(&p->lock);
    if (!r && !--p->busy)
        pthread_cond_broadcast(&p->idle);
    if (more) {
        p->woken = true;
        call_locked(p);
    }
    return r;
}

/* NULL: this thread ends. */
static struct share_request *next_locked(struct crew *c)
{
    struct share_pool *p = c->pool;
    struct share_request *r = NULL;

    while (!r && !c->leaves) {
        if (p->first)
            r = first_locked(p);
        else if (p->task)
            do_task_locked(p);
        else if (p->woken && p->source)
            r = take_locked(p);
        else if (p->stop)
            break;
        else
            wait_locked(p);
    }
    return r;
}

static void *work(void *arg)
{
    struct crew *c = arg;
    struct share_pool *p = c->pool;

    share_thread_init();
    for (;;) {
        struct share_request *r;

        pthread_mutex_lock(&p->lock);
        r = next_locked(c);
        if (!r)
            return end_locked(c);
        pthread_mutex_unlock(&p->lock);
        serve(p, r, false);
    }
}

static void wait_idle(struct share_pool *p)
{
    pthread_mutex_lock(&p->lock);
    while (p->busy)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void pool_set_source(struct share_pool *p, struct share_source *source)
{
    pthread_mutex_lock(&p->lock);
    p->source = source;
    p->woken = source;
    p->refuse = !source;
    call_locked(p);
    pthread_cond_signal(&p->some_wait);
    pthread_mutex_unlock(&p->lock);
    if (!source)
        wait_idle(p);
}

void pool_wake(struct share_pool *p)
{
    pthread_mutex_lock(&p->lock);
    if (!p->woken) {
        p->woken = true;
        call_locked(p);
    }
    pthread_mutex_unlock(&p->lock);
}

void pool_submit(struct share_pool *p, struct share_request *r)
{
    r->next = NULL;
    pthread_mutex_lock(&p->lock);
    p->busy++;
    *p->last = r;
    p->last = &r->next;
    call_locked(p);
    pthread_mutex_unlock(&p->lock);
}

void pool_run(struct share_pool *p, void (*fn)(struct share *s))
{
    pthread_mutex_lock(&p->lock);
    p->busy++;
    p->task = fn;
    call_locked(p);
    pthread_mutex_unlock(&p->lock);
    wait_idle(p);
}

static void dismiss_locked(struct share_pool *p, struct crew *c)
{
    c->leaves = true;
    tell_looker_locked(p);
    pthread_cond_broadcast(&p->some);
    pthread_cond_broadcast(&p->some_wait);
}

/* Wait for its threads, and forget it. */
static void crew_destroy(struct share_pool *p, struct crew *c)
{
    pthread_mutex_lock(&p->lock);
    SLIST_REMOVE(&p->crews, c, crew, link);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < c->count; i++)
        pthread_join(c->thread[i], NULL);
    free(c);
}

/* The first one makes the others: they are locked as it is, which takes each of them 0.2 ms otherwise. */
static void *lead(void *arg)
{
    struct crew *c = arg;
    struct share_pool *p = c->pool;
    unsigned count = 1;
    int err = 0;

    for (; !err && count < p->threads + 1; count += !err)
        err = thread_start(&c->thread[count], THREAD_FREE, "vz-share", work, c);
    pthread_mutex_lock(&p->lock);
    c->count = count;
    c->err = err;
    c->whole = true;
    pthread_cond_broadcast(&p->idle);
    pthread_mutex_unlock(&p->lock);
    return retry(c);
}

/* 0 or -errno; its first thread is there then. */
static int gather(struct crew *c)
{
    struct share_pool *p = c->pool;
    /* Without SIGXFSZ: a full disk is an error, not the end of the process. */
    int err = thread_start(&c->thread[0], THREAD_SHARE, "vz-share", lead, c);

    pthread_mutex_lock(&p->lock);
    while (!err && !c->whole)
        pthread_cond_wait(&p->idle, &p->lock);
    err = err ? err : c->err;
    if (err)
        dismiss_locked(p, c);
    pthread_mutex_unlock(&p->lock);
    return err;
}

/* A crew in front of the others. */
static int crew_create(struct share_pool *p, struct crew **ret)
{
    struct crew *c = calloc(1, sizeof(*c) + (p->threads + 1) * sizeof(c->thread[0]));
    int err = c ? 0 : -ENOMEM;

    if (err)
        return err;
    c->pool = p;
    pthread_mutex_lock(&p->lock);
    SLIST_INSERT_HEAD(&p->crews, c, link);
    c->working = p->threads + 1;
    pthread_mutex_unlock(&p->lock);
    err = gather(c);
    if (err) {
        crew_destroy(p, c);
        return err;
    }
    *ret = c;
    return 0;
}

static struct crew *ended(struct share_pool *p)
{
    struct crew *c;

    pthread_mutex_lock(&p->lock);
    SLIST_FOREACH(c, &p->crews, link) {
        if (!c->working)
            break;
    }
    pthread_mutex_unlock(&p->lock);
    return c;
}

int pool_renew(struct share_pool *p)
{
    struct crew *new, *c;
    int r = crew_create(p, &new);

    if (r < 0)
        return r;
    pthread_mutex_lock(&p->lock);
    SLIST_FOREACH(c, &p->crews, link) {
        if (c != new)
            dismiss_locked(p, c);
    }
    pthread_mutex_unlock(&p->lock);
    while ((c = ended(p))) /* the last ones may still be at it: next time */
        crew_destroy(p, c);
    return 0;
}

int pool_create(struct share *s, unsigned threads, struct share_pool **ret)
{
    struct share_pool *p = calloc(1, sizeof(*p));
    pthread_condattr_t monotonic;
    struct crew *first;
    int err;

    if (!p)
        return -ENOMEM;
    p->s = s;
    p->threads = threads;
    p->last = &p->first;
    p->spin = spin_init(SHARE_SPIN_NS);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->some, NULL);
    pthread_cond_init(&p->idle, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&p->some_wait, &monotonic);
    pthread_condattr_destroy(&monotonic);
    err = crew_create(p, &first);
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
    tell_looker_locked(p);
    pthread_cond_broadcast(&p->some);
    pthread_cond_broadcast(&p->some_wait);
    pthread_mutex_unlock(&p->lock);
    while (!SLIST_EMPTY(&p->crews))
        crew_destroy(p, SLIST_FIRST(&p->crews));
    pthread_cond_destroy(&p->some);
    pthread_cond_destroy(&p->idle);
    pthread_cond_destroy(&p->some_wait);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
