/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* Inherited as the kernel has filters inherited: by who makes the thread, however deep in a library that is. */
static _Thread_local struct thread_policy *policy;

/* On the stack of who waits for it; the thread's own where nobody does. */
struct beginning {
    struct thread_policy *policy;
    enum thread_kind kind;
    char name[16];
    void *(*fn)(void *arg);
    void *arg;
    int result;
    sem_t begun;
    bool waited_for;
};

struct thread_policy *thread_set_policy(struct thread_policy *p)
{
    struct thread_policy *old = policy;

    policy = p;
    return old;
}

bool thread_has_policy(void)
{
    return policy;
}

int thread_enter(enum thread_kind kind)
{
    return policy && kind != THREAD_FREE ? policy->enter(policy, kind) : 0;
}

static void *begin(void *arg)
{
    struct beginning *b = arg;
    void *(*fn)(void *) = b->fn;
    void *fn_arg = b->arg;
    int r = 0;

    thread_set_policy(b->policy);
    pthread_setname_np(pthread_self(), b->name); /* another one's name is a file in /proc */
    if (b->waited_for) {
        b->result = r = thread_enter(b->kind);
        sem_post(&b->begun); /* b is gone from here on */
    } else {
        free(b);
    }
    return r ? NULL : fn(fn_arg);
}

void thread_blocked_signals(sigset_t *ret)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};

    sigfillset(ret);
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
        sigdelset(ret, faults[i]);
}

static int create(pthread_t *ret, struct beginning *b)
{
    sigset_t blocked, old;
    int r;

    thread_blocked_signals(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &old);
    r = -pthread_create(ret, NULL, begin, b);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r;
}

static int create_and_wait(pthread_t *ret, struct beginning *b)
{
    pthread_t thread;
    int r;

    sem_init(&b->begun, 0, 0);
    r = create(&thread, b);
    if (!r) {
        while (sem_wait(&b->begun)) /* EINTR */
            ;
        r = b->result;
        if (r)
            pthread_join(thread, NULL);
        else
            *ret = thread;
    }
    sem_destroy(&b->begun);
    return r;
}

int thread_start(pthread_t *ret, enum thread_kind kind, const char *name, void *(*fn)(void *), void *arg)
{
    struct beginning b = {.policy = policy, .kind = kind, .fn = fn, .arg = arg}, *own;
    pthread_t thread;
    int r;

    snprintf(b.name, sizeof(b.name), "%s", name);
    b.waited_for = policy && kind != THREAD_FREE;
    if (b.waited_for)
        return create_and_wait(ret, &b);
    own = malloc(sizeof(*own));
    if (!own)
        return -ENOMEM;
    *own = b;
    r = create(&thread, own);
    if (r)
        free(own);
    else
        *ret = thread;
    return r;
}
