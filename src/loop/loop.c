/* SPDX-License-Identifier: MIT */
/* The event loop over epoll.
 *
 * Every timer is a timerfd of its own: arming from another thread is then one system call that
 * neither wakes nor waits for the loop thread. They are edge-triggered, so an expiry needs no read.
 * Disarming is a flag only: the timerfd may still go off once, and is then ignored.
 *
 * Works wait in a list; an eventfd wakes the loop, and is written to only when the loop sleeps. Before it does, it
 * looks for a while (base/spin.h): who queues a work then does so without a system call.
 *
 * What a handler removes may still be named by events of the same epoll_wait(), so removed
 * sources are marked dead and freed after the round. */
#include "loop/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/spin.h"

#define EVENTS_PER_ROUND 32
#define LOOP_SPIN_NS     50000u

/* What an epoll event points to: first member of loop_fd and loop_timer. */
struct source {
    struct loop *loop;
    bool is_timer, dead;
    struct source *next_dead;
};

struct loop_fd {
    struct source source;
    int fd;
    unsigned events;
    void (*fn)(void *arg, unsigned events);
    void *arg;
};

struct loop_timer {
    struct source source;
    int fd;
    void (*fn)(void *arg);
    void *arg;
    pthread_mutex_t lock; /* leaf; guards what follows and the timerfd's setting */
    bool armed;
    uint64_t deadline_ns;
};

struct loop {
    int epoll_fd, event_fd;
    _Atomic bool stop;
    _Atomic uintptr_t thread; /* pthread_self() of loop_run(), 0 when not running */

    pthread_mutex_t lock; /* leaf; guards the works and asleep */
    struct loop_work *first_work, **last_work;
    bool asleep; /* waits, or is about to, and nobody has woken it yet */
    _Atomic uint32_t queued; /* works so far, and stops: changes when there is something to do */

    /* Loop thread: */
    uint32_t done; /* what `queued` was when there was nothing left to do */
    struct spin spin;
    struct source *dead; /* to be freed after this round */
};

static int epoll_set(struct loop *loop, int op, int fd, uint32_t events, struct source *source)
{
    struct epoll_event ev = {.events = events, .data.ptr = source};

    return epoll_ctl(loop->epoll_fd, op, fd, &ev) < 0 ? -errno : 0;
}

int loop_create(struct loop **ret)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    int err;

    if (!loop)
        return -ENOMEM;
    pthread_mutex_init(&loop->lock, NULL);
    loop->last_work = &loop->first_work;
    loop->spin = spin_init(LOOP_SPIN_NS);
    loop->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->event_fd < 0 || loop->epoll_fd < 0)
        err = -errno;
    else
        err = epoll_set(loop, EPOLL_CTL_ADD, loop->event_fd, EPOLLIN, NULL);
    if (err < 0) {
        loop_destroy(loop);
        return err;
    }
    *ret = loop;
    return 0;
}

static void bury(struct loop *loop)
{
    while (loop->dead) {
        struct source *source = loop->dead;

        loop->dead = source->next_dead;
        free(source);
    }
}

/* Awake: run the works queued so far, but none that is queued meanwhile: those come in the next round,
 * after descriptors and timers had their turn. */
static void run_works(struct loop *loop)
{
    unsigned count = 0;

    pthread_mutex_lock(&loop->lock);
    loop->asleep = false;
    for (struct loop_work *work = loop->first_work; work; work = work->next)
        count++;
    for (; count && loop->first_work; count--) {
        struct loop_work *work = loop->first_work;

        loop->first_work = work->next;
        if (!loop->first_work)
            loop->last_work = &loop->first_work;
        work->queued = false;
        pthread_mutex_unlock(&loop->lock);
        work->fn(work->arg); /* may queue itself, cancel others, or free itself */
        pthread_mutex_lock(&loop->lock);
    }
    loop->done = atomic_load_explicit(&loop->queued, memory_order_relaxed) - (loop->first_work ? 1 : 0);
    pthread_mutex_unlock(&loop->lock);
}

void loop_destroy(struct loop *loop)
{
    if (!loop)
        return;
    bury(loop);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    if (loop->event_fd >= 0)
        close(loop->event_fd);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

static void wake(struct loop *loop)
{
    eventfd_write(loop->event_fd, 1); /* fails only when it is at its maximum: awake anyway */
}

/* Whoever gets true wakes the loop. */
static bool take_sleep_locked(struct loop *loop)
{
    bool was_asleep = loop->asleep;

    loop->asleep = false;
    return was_asleep;
}

void loop_work_queue(struct loop *loop, struct loop_work *work)
{
    bool was_asleep = false;

    pthread_mutex_lock(&loop->lock);
    if (!work->queued) {
        work->queued = true;
        work->next = NULL;
        *loop->last_work = work;
        loop->last_work = &work->next;
        atomic_fetch_add_explicit(&loop->queued, 1, memory_order_relaxed);
        was_asleep = take_sleep_locked(loop);
    }
    pthread_mutex_unlock(&loop->lock);
    if (was_asleep)
        wake(loop);
}

void loop_work_cancel(struct loop *loop, struct loop_work *work)
{
    struct loop_work **at = &loop->first_work;

    pthread_mutex_lock(&loop->lock);
    while (work->queued && *at && *at != work)
        at = &(*at)->next;
    if (work->queued && *at) {
        *at = work->next;
        if (!*at)
            loop->last_work = at;
        work->queued = false;
    }
    pthread_mutex_unlock(&loop->lock);
}

/* A timerfd went off: is the timer due? It may have been disarmed, or armed for later, since. */
static bool timer_take_due(struct loop_timer *t)
{
    bool due;

    pthread_mutex_lock(&t->lock);
    due = t->armed && clock_mono_ns() >= t->deadline_ns;
    if (due)
        t->armed = false;
    pthread_mutex_unlock(&t->lock);
    return due;
}

static void dispatch(struct source *source, uint32_t events)
{
    if (source->is_timer) {
        struct loop_timer *t = container_of(source, struct loop_timer, source);

        if (timer_take_due(t))
            t->fn(t->arg);
    } else {
        struct loop_fd *f = container_of(source, struct loop_fd, source);
        unsigned what = (events & EPOLLOUT ? LOOP_WRITE : 0) |
                        (events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? LOOP_READ : 0);

        f->fn(f->arg, what);
    }
}

/* Nothing to do but what descriptors bring, as far as one sees without the lock? */
static bool seems_idle(const struct loop *loop)
{
    return atomic_load_explicit(&loop->queued, memory_order_relaxed) == loop->done;
}

/* Then `asleep` says that this thread is about to sleep. */
static bool may_sleep(struct loop *loop)
{
    bool idle;

    pthread_mutex_lock(&loop->lock);
    idle = !loop->first_work && !loop->stop;
    loop->asleep = idle;
    pthread_mutex_unlock(&loop->lock);
    return idle;
}

/* Events, or 0: there is a work, or the time to look is over. */
static int look(struct loop *loop, struct epoll_event *ev, uint64_t since)
{
    int count = 0;

    while (count <= 0 && seems_idle(loop) && clock_mono_ns() - since < loop->spin.ns) {
        spin_pause();
        count = epoll_wait(loop->epoll_fd, ev, EVENTS_PER_ROUND, 0);
    }
    return count;
}

/* The next events, if there is nothing else to do. */
static int wait_for_events(struct loop *loop, struct epoll_event *ev)
{
    uint64_t since;
    int count;

    if (!seems_idle(loop))
        return epoll_wait(loop->epoll_fd, ev, EVENTS_PER_ROUND, 0);
    since = clock_mono_ns();
    count = look(loop, ev, since);
    if (count <= 0)
        count = epoll_wait(loop->epoll_fd, ev, EVENTS_PER_ROUND, may_sleep(loop) ? -1 : 0);
    spin_learn(&loop->spin, clock_mono_ns() - since);
    return count;
}

static void run_round(struct loop *loop)
{
    struct epoll_event ev[EVENTS_PER_ROUND];
    int count = wait_for_events(loop, ev);

    run_works(loop);
    for (int i = 0; i < count; i++) {
        struct source *source = ev[i].data.ptr;
        eventfd_t ignored;

        if (!source) {
            eventfd_read(loop->event_fd, &ignored);
        } else if (!source->dead) {
            dispatch(source, ev[i].events);
        }
    }
    bury(loop);
}

void loop_run(struct loop *loop)
{
    loop->thread = (uintptr_t)pthread_self();
    while (!loop->stop)
        run_round(loop);
    loop->stop = false;
    loop->thread = 0;
}

void loop_stop(struct loop *loop)
{
    loop->stop = true;
    atomic_fetch_add_explicit(&loop->queued, 1, memory_order_relaxed);
    wake(loop);
}

bool loop_is_current(const struct loop *loop)
{
    return loop->thread == (uintptr_t)pthread_self();
}

static void source_kill(struct source *source)
{
    source->dead = true;
    source->next_dead = source->loop->dead;
    source->loop->dead = source;
    if (!source->loop->thread)
        bury(source->loop);
}

/* ---- File descriptors ----------------------------------------------------------------------- */

static uint32_t to_epoll(unsigned events)
{
    return (events & LOOP_READ ? EPOLLIN : 0) | (events & LOOP_WRITE ? EPOLLOUT : 0);
}

int loop_fd_add(struct loop *loop, int fd, unsigned events,
                void (*fn)(void *arg, unsigned events), void *arg, struct loop_fd **ret)
{
    struct loop_fd *f = calloc(1, sizeof(*f));
    int err;

    if (!f)
        return -ENOMEM;
    *f = (struct loop_fd){.source.loop = loop, .fd = fd, .events = events, .fn = fn, .arg = arg};
    err = epoll_set(loop, EPOLL_CTL_ADD, fd, to_epoll(events), &f->source);
    if (!err && !events)
        err = epoll_set(loop, EPOLL_CTL_DEL, fd, 0, NULL);
    if (err < 0) {
        free(f);
        return err;
    }
    *ret = f;
    return 0;
}

/* Without events the fd is taken out, since epoll always reports hang-ups and would spin. */
void loop_fd_set(struct loop_fd *f, unsigned events)
{
    int op = !events ? EPOLL_CTL_DEL : f->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (events == f->events)
        return;
    epoll_set(f->source.loop, op, f->fd, to_epoll(events), &f->source);
    f->events = events;
}

void loop_fd_remove(struct loop_fd *f)
{
    if (!f)
        return;
    loop_fd_set(f, 0);
    source_kill(&f->source);
}

/* ---- Timers --------------------------------------------------------------------------------- */

int loop_timer_create(struct loop *loop, void (*fn)(void *arg), void *arg,
                      struct loop_timer **ret)
{
    struct loop_timer *t = calloc(1, sizeof(*t));
    int err;

    if (!t)
        return -ENOMEM;
    t->source = (struct source){.loop = loop, .is_timer = true};
    t->fn = fn;
    t->arg = arg;
    t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    err = t->fd < 0 ? -errno : epoll_set(loop, EPOLL_CTL_ADD, t->fd, EPOLLIN | EPOLLET, &t->source);
    if (err < 0) {
        if (t->fd >= 0)
            close(t->fd);
        free(t);
        return err;
    }
    pthread_mutex_init(&t->lock, NULL);
    *ret = t;
    return 0;
}

void loop_timer_destroy(struct loop_timer *t)
{
    if (!t)
        return;
    close(t->fd); /* which takes it out of the epoll set */
    pthread_mutex_destroy(&t->lock);
    source_kill(&t->source);
}

void loop_timer_arm(struct loop_timer *t, uint64_t deadline_ns)
{
    struct itimerspec at = {0};

    /* time_t is signed, and 0 would disarm */
    deadline_ns = MAX(MIN(deadline_ns, (uint64_t)INT64_MAX), UINT64_C(1));
    at.it_value = clock_timespec(deadline_ns);
    pthread_mutex_lock(&t->lock);
    t->armed = true;
    t->deadline_ns = deadline_ns;
    timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &at, NULL);
    pthread_mutex_unlock(&t->lock);
}

void loop_timer_disarm(struct loop_timer *t)
{
    pthread_mutex_lock(&t->lock);
    t->armed = false;
    pthread_mutex_unlock(&t->lock);
}
