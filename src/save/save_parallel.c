/* SPDX-License-Identifier: MIT */
#include "save/save_parallel.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "base/thread.h"

#define TICK_NS 100000000

struct job {
    uint64_t count;
    int (*piece)(void *arg, unsigned worker, uint64_t n);
    void *arg;

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t ended;
    uint64_t next, done;
    unsigned running;
    int result;
};

struct worker {
    struct job *job;
    unsigned index;
    pthread_t thread;
};

unsigned save_workers(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : CPU_COUNT(&set);

    return MIN((unsigned)n, SAVE_WORKERS_MAX);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct job *j = w->job;

    pthread_mutex_lock(&j->lock);
    while (!j->result && j->next < j->count) {
        uint64_t n = j->next++;
        int r;

        pthread_mutex_unlock(&j->lock);
        r = j->piece(j->arg, w->index, n);
        pthread_mutex_lock(&j->lock);
        j->done++;
        if (r < 0 && !j->result)
            j->result = r;
    }
    j->running--;
    pthread_cond_signal(&j->ended);
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

static int tick(const struct save_progress *p, uint64_t done, uint64_t total)
{
    return p && p->tick ? p->tick(p->arg, done, total) : 0;
}

/* Until all have ended. */
static void wait_locked(struct job *j, const struct save_progress *progress)
{
    struct timespec until;
    uint64_t done;
    int r;

    clock_gettime(CLOCK_MONOTONIC, &until);
    while (j->running) {
        until.tv_nsec += TICK_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        while (j->running && pthread_cond_timedwait(&j->ended, &j->lock, &until) != ETIMEDOUT)
            ;
        done = j->done;
        pthread_mutex_unlock(&j->lock);
        r = tick(progress, done, j->count);
        pthread_mutex_lock(&j->lock);
        if (r && !j->result)
            j->result = r;
    }
}

int save_parallel(uint64_t count, int (*piece)(void *arg, unsigned worker, uint64_t n), void *arg,
                  const struct save_progress *progress)
{
    struct job j = {.count = count, .piece = piece, .arg = arg, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct worker worker[SAVE_WORKERS_MAX];
    unsigned threads = 0, wanted = save_workers();
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&j.ended, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_lock(&j.lock);
    for (; threads < wanted && threads < count; threads++) {
        worker[threads] = (struct worker){.job = &j, .index = threads};
        if (thread_start(&worker[threads].thread, THREAD_SAVE, "vz-save", work, &worker[threads]))
            break;
        j.running++;
    }
    if (count && !threads)
        j.result = -EAGAIN;
    wait_locked(&j, progress);
    pthread_mutex_unlock(&j.lock);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(worker[i].thread, NULL);
    pthread_cond_destroy(&j.ended);
    pthread_mutex_destroy(&j.lock);
    return j.result;
}
