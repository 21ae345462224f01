/* SPDX-License-Identifier: MIT */
#include "sandbox/sandbox_process.h"

#include <signal.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "sandbox/sandbox_world.h"

static void *nothing(void *arg)
{
    return arg;
}

/* With its first thread the C library takes a signal for itself. */
int sandbox_process_begin(void)
{
    pthread_t thread;
    int r = thread_start(&thread, THREAD_FREE, "first", nothing, NULL);

    return r ? r : -pthread_join(thread, NULL);
}

int sandbox_process_lock(struct sandbox *s, enum thread_kind kind, unsigned own, const char *what)
{
    unsigned world = 0;
    char text[80];
    int r;

    if (s->options.mode != SANDBOX_LOG)
        world = sandbox_world_begin(false) | sandbox_world_empty(own);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* the rights of a user namespace have taken it back */
    sandbox_world_text(world, text);
    log_info("%s a process of its own, with namespaces of its own of: %s", what, text);
    thread_set_policy(&s->policy);
    r = thread_enter(kind);
    thread_set_policy(NULL);
    return r;
}
