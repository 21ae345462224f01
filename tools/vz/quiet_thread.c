/* SPDX-License-Identifier: MIT */
#include "quiet_thread.h"

#include <signal.h>

bool quiet_thread_start(pthread_t *ret, void *(*fn)(void *), void *arg)
{
    sigset_t all, old;
    int no;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    no = pthread_create(ret, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return no == 0;
}
