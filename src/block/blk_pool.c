/* SPDX-License-Identifier: MIT */
/* Worker threads of one disk: see blk_pool.h. */
#include "block/blk_pool.h"

#include <errno.h>
#include <stdlib.h>

#include "base/thread.h"

struct blk_pool {
    int (*work)(void *arg, struct blk_req *req);
    void *arg;
    pthread_mutex_t lock; /* a leaf; guards what follows */
    pthread_cond_t some;
    struct blk_req *first, **last;
    unsigned queued, idle; /* requests in the list; threads that wait for one */
    bool stop;

    unsigned count, most; /* threads; of who submits */
    pthread_t thread[];
};

static struct blk_req *next_locked(struct blk_pool *p)
{
    struct blk_req *req;

    p->idle++;
    while (!p->first && !p->stop)
        pthread_cond_wait(&p->some, &p->lock);
    p->idle--;
    req = p->first;
    if (req) {
        p->first = req->next;
        p->queued--;
        if (!p->first)
            p->last = &p->first;
    }
    return req;
}

static void *worker(void *arg)
{
    struct blk_pool *p = arg;

    for (;;) {
        struct blk_req *req;

        pthread_mutex_lock(&p->lock);
        req = next_locked(p);
        pthread_mutex_unlock(&p->lock);
        if (!req)
            return NULL;
        blk_complete(req, p->work(p->arg, req));
    }
}

int blk_pool_create(unsigned count, int (*work)(void *arg, struct blk_req *req), void *arg,
                    struct blk_pool **ret)
{
    struct blk_pool *p = calloc(1, sizeof(*p) + count * sizeof(p->thread[0]));

    if (!p)
        return -ENOMEM;
    p->work = work;
    p->arg = arg;
    p->last = &p->first;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->some, NULL);
    p->most = count;
    *ret = p;
    return 0;
}

void blk_pool_destroy(struct blk_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->some);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->count; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->some);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* The host gives no thread at all: slowly, but done. */
static void do_here(struct blk_pool *p)
{
    struct blk_req *req;

    do {
        pthread_mutex_lock(&p->lock);
        req = p->first ? next_locked(p) : NULL;
        pthread_mutex_unlock(&p->lock);
        if (req)
            blk_complete(req, p->work(p->arg, req));
    } while (req);
}

void blk_pool_submit(struct blk_pool *p, struct blk_req *req)
{
    bool all_busy;

    req->next = NULL;
    pthread_mutex_lock(&p->lock);
    *p->last = req;
    p->last = &req->next;
    p->queued++;
    all_busy = p->queued > p->idle;
    pthread_cond_signal(&p->some);
    pthread_mutex_unlock(&p->lock);
    /* Without SIGXFSZ: a full disk is an error, not the end of the process. */
    if (all_busy && p->count < p->most &&
        thread_start(&p->thread[p->count], THREAD_DISK, "vz-disk", worker, p) == 0)
        p->count++;
    if (!p->count)
        do_here(p);
}

void blk_pool_cancel(struct blk_pool *p, struct blk_req *req)
{
    bool found = false;

    pthread_mutex_lock(&p->lock);
    for (struct blk_req **at = &p->first; *at; at = &(*at)->next) {
        if (*at != req)
            continue;
        *at = req->next;
        p->queued--;
        if (!*at)
            p->last = at;
        found = true;
        break;
    }
    pthread_mutex_unlock(&p->lock);
    if (found)
        blk_complete(req, -ECANCELED);
}
