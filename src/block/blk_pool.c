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
    bool stop;

    unsigned count;
    pthread_t thread[];
};

static struct blk_req *next_locked(struct blk_pool *p)
{
    struct blk_req *req;

    while (!p->first && !p->stop)
        pthread_cond_wait(&p->some, &p->lock);
    req = p->first;
    if (req) {
        p->first = req->next;
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
    int err = 0;

    if (!p)
        return -ENOMEM;
    p->work = work;
    p->arg = arg;
    p->last = &p->first;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->some, NULL);
    /* Without SIGXFSZ: a full disk is an error, not the end of the process. */
    for (; !err && p->count < count; p->count += !err)
        err = thread_start(&p->thread[p->count], THREAD_DISK, "vz-disk", worker, p);
    if (err) {
        blk_pool_destroy(p);
        return err;
    }
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

void blk_pool_submit(struct blk_pool *p, struct blk_req *req)
{
    req->next = NULL;
    pthread_mutex_lock(&p->lock);
    *p->last = req;
    p->last = &req->next;
    pthread_cond_signal(&p->some);
    pthread_mutex_unlock(&p->lock);
}

void blk_pool_cancel(struct blk_pool *p, struct blk_req *req)
{
    bool found = false;

    pthread_mutex_lock(&p->lock);
    for (struct blk_req **at = &p->first; *at; at = &(*at)->next) {
        if (*at != req)
            continue;
        *at = req->next;
        if (!*at)
            p->last = at;
        found = true;
        break;
    }
    pthread_mutex_unlock(&p->lock);
    if (found)
        blk_complete(req, -ECANCELED);
}
