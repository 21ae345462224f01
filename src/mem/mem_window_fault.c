/* SPDX-License-Identifier: MIT */
/* The handler of SIGBUS: see mem_window.h. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "mem/mem_window.h"

static struct sigaction before;

static void pass_on(int sig, siginfo_t *info, void *context)
{
    struct sigaction to = before;

    if (to.sa_flags & (int)SA_RESETHAND)
        before = (struct sigaction){.sa_handler = SIG_DFL};
    if (to.sa_flags & SA_SIGINFO)
        to.sa_sigaction(sig, info, context);
    else if (to.sa_handler != SIG_DFL && to.sa_handler != SIG_IGN)
        to.sa_handler(sig);
    else
        abort(); /* the default action, for those who may not set that any more */
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    int e = errno;

    if (info->si_code <= 0 || !mem_window_mend_at(info->si_addr)) /* somebody has sent it; or it is another's */
        pass_on(sig, info, context);
    errno = e;
}

static int caught;

static void catch_faults(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&sa.sa_mask);
    caught = sigaction(SIGBUS, &sa, &before) < 0 ? -errno : 0;
}

int mem_windows_catch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, catch_faults);
    return caught;
}
