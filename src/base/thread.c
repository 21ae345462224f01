/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <semaphore.h>
#include <signal.h>

/* Inherited as the kernel has filters inherited: by who makes the thread, however deep in a library that is. */
static _Thread_local struct thread_policy *policy;

/* On the stack of who waits for it. */
struct beginning {
    struct thread_policy *policy;
    enum thread_kind kind;
    const char *name;
    void *(*fn)(void *arg);
    void *arg;
    int result;
    sem_t begun;
};

void thread_set_policy(struct thread_policy *p)
{
    policy = p;
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
    int r;

    thread_set_policy(b->policy);
    pthread_setname_np(pthread_self(), b->name);
    b->result = r = thread_enter(b->kind);
    sem_post(&b->begun); /* b is gone from here on */
    return r ? NULL : fn(fn_arg);
}

static void block_signals(sigset_t *ret_old)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t blocked;

    sigfillset(&blocked);
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, ret_old);
}

int thread_start(pthread_t *ret, enum thread_kind kind, const char *name, void *(*fn)(void *), void *arg)
{
    struct beginning b = {.policy = policy, .kind = kind, .name = name, .fn = fn, .arg = arg};
    pthread_t thread;
    sigset_t old;
    int r;

    sem_init(&b.begun, 0, 0);
    block_signals(&old);
    r = -pthread_create(&thread, NULL, begin, &b);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!r) {
        while (sem_wait(&b.begun)) /* EINTR */
            ;
        r = b.result;
        if (r)
            pthread_join(thread, NULL);
        else
            *ret = thread;
    }
    sem_destroy(&b.begun);
    return r;
}
