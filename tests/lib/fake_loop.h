/* SPDX-License-Identifier: MIT */
/* A loop without a thread, for tests: it defines the functions of loop/loop.h, so that the real
 * ones are not linked. Time passes when the test fires a timer by hand. */
#ifndef VZ_TESTS_FAKE_LOOP_H
#define VZ_TESTS_FAKE_LOOP_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "loop/loop.h"

#define FAKE_LOOP_MAX 64

struct loop_fd {
    struct loop *loop;
    int fd;
    unsigned events;
    void (*fn)(void *arg, unsigned events);
    void *arg;
};

struct loop_timer {
    struct loop *loop;
    void (*fn)(void *arg);
    void *arg;
    bool armed;
    uint64_t deadline_ns;
};

struct loop {
    pthread_mutex_t lock; /* over the work, which any thread may queue */
    struct loop_work *work[FAKE_LOOP_MAX];
    unsigned work_count;
    struct loop_fd *fd[FAKE_LOOP_MAX];
    struct loop_timer *timer[FAKE_LOOP_MAX];
};

int loop_create(struct loop **ret)
{
    *ret = calloc(1, sizeof(**ret));
    if (*ret)
        pthread_mutex_init(&(*ret)->lock, NULL);
    return *ret ? 0 : -ENOMEM;
}

void loop_destroy(struct loop *loop)
{
    if (loop)
        pthread_mutex_destroy(&loop->lock);
    free(loop);
}

void loop_run(struct loop *loop) {}
void loop_stop(struct loop *loop) {}

bool loop_is_current(const struct loop *loop)
{
    return true;
}

void loop_work_queue(struct loop *loop, struct loop_work *work)
{
    pthread_mutex_lock(&loop->lock);
    if (!work->queued && loop->work_count < FAKE_LOOP_MAX) {
        work->queued = true;
        loop->work[loop->work_count++] = work;
    }
    pthread_mutex_unlock(&loop->lock);
}

void loop_work_cancel(struct loop *loop, struct loop_work *work)
{
    pthread_mutex_lock(&loop->lock);
    for (unsigned i = 0; i < loop->work_count; i++) {
        if (loop->work[i] == work)
            loop->work[i] = NULL;
    }
    work->queued = false;
    pthread_mutex_unlock(&loop->lock);
}

int loop_fd_add(struct loop *loop, int fd, unsigned events, void (*fn)(void *arg, unsigned events),
                void *arg, struct loop_fd **ret)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
        return -EPERM;
    for (unsigned i = 0; i < FAKE_LOOP_MAX; i++) {
        if (loop->fd[i] && loop->fd[i]->fd == fd)
            return -EEXIST;
    }
    for (unsigned i = 0; i < FAKE_LOOP_MAX; i++) {
        if (loop->fd[i])
            continue;
        *ret = loop->fd[i] = malloc(sizeof(**ret));
        *loop->fd[i] =
            (struct loop_fd){.loop = loop, .fd = fd, .events = events, .fn = fn, .arg = arg};
        return 0;
    }
    return -ENOMEM;
}

void loop_fd_set(struct loop_fd *f, unsigned events)
{
    f->events = events;
}

void loop_fd_remove(struct loop_fd *f)
{
    if (!f)
        return;
    for (unsigned i = 0; i < FAKE_LOOP_MAX; i++) {
        if (f->loop->fd[i] == f)
            f->loop->fd[i] = NULL;
    }
    free(f);
}

int loop_timer_create(struct loop *loop, void (*fn)(void *arg), void *arg, struct loop_timer **ret)
{
    for (unsigned i = 0; i < FAKE_LOOP_MAX; i++) {
        if (loop->timer[i])
            continue;
        *ret = loop->timer[i] = malloc(sizeof(**ret));
        **ret = (struct loop_timer){.loop = loop, .fn = fn, .arg = arg};
        return 0;
    }
    return -ENOMEM;
}

void loop_timer_destroy(struct loop_timer *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i < FAKE_LOOP_MAX; i++) {
        if (t->loop->timer[i] == t)
            t->loop->timer[i] = NULL;
    }
    free(t);
}

void loop_timer_arm(struct loop_timer *t, uint64_t deadline_ns)
{
    t->armed = true;
    t->deadline_ns = deadline_ns;
}

void loop_timer_disarm(struct loop_timer *t)
{
    t->armed = false;
}

/* Call every armed timer once, whatever its deadline. Returns how many. */
static inline unsigned fake_loop_fire(struct loop *loop)
{
    unsigned count = 0;

    for (unsigned i = 0; i < FAKE_LOOP_MAX; i++) {
        struct loop_timer *t = loop->timer[i];

        if (t && t->armed) {
            t->armed = false;
            t->fn(t->arg);
            count++;
        }
    }
    return count;
}

/* One turn: what was queued, then every descriptor that is ready. */
static inline void fake_loop_turn(struct loop *loop)
{
    unsigned count;

    pthread_mutex_lock(&loop->lock);
    count = loop->work_count;
    for (unsigned i = 0; i < count; i++) {
        struct loop_work *work = loop->work[i];

        if (!work)
            continue;
        work->queued = false;
        pthread_mutex_unlock(&loop->lock);
        work->fn(work->arg);
        pthread_mutex_lock(&loop->lock);
    }
    loop->work_count -= count;
    for (unsigned i = 0; i < loop->work_count; i++)
        loop->work[i] = loop->work[i + count];
    pthread_mutex_unlock(&loop->lock);
    for (unsigned i = 0; i < FAKE_LOOP_MAX; i++) {
        struct loop_fd *f = loop->fd[i];
        struct pollfd p;

        if (!f)
            continue;
        p = (struct pollfd){.fd = f->fd,
                            .events = (short)((f->events & LOOP_READ ? POLLIN : 0) |
                                              (f->events & LOOP_WRITE ? POLLOUT : 0))};
        if (f->events && poll(&p, 1, 0) > 0)
            f->fn(f->arg, (p.revents & POLLOUT ? LOOP_WRITE : 0) |
                              (p.revents & ~POLLOUT ? LOOP_READ : 0));
    }
}

#endif
