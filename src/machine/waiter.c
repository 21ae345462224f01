/* SPDX-License-Identifier: MIT */
#include "machine/waiter.h"

void waiter_done(struct waiter *w, const struct vz_error *err)
{
    pthread_mutex_lock(&w->lock);
    w->done = true;
    w->failed = err != NULL;
    if (err)
        w->err = *err;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

int waiter_wait(struct waiter *w, struct vz_error *err)
{
    pthread_mutex_lock(&w->lock);
    while (!w->done)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    if (w->failed && err)
        *err = w->err;
    return w->failed ? -1 : 0;
}
