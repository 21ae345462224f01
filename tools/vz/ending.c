/* SPDX-License-Identifier: MIT */
/* What asks vz to end (kill, a closed terminal, Ctrl-C where the terminal is not raw) turns the
 * machine off, so that nothing is left behind: no sockets, and nothing the guest said that is not
 * written. A second signal of the kind ends the process at once.
 *
 * Besides terminal.c the other place with mutable state outside of main()'s stack, for the same
 * reason: signal handlers have no other way to it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <vz/vz.h>

#include "cli.h"

static int pipe_fd[2] = {-1, -1};     /* a byte in it: a signal came, or ending_finish() */
static volatile sig_atomic_t came;    /* which signal, or 0 */
static pthread_t thread;
static bool has_thread;

static const int signals[] = {SIGHUP, SIGINT, SIGTERM};

static void on_signal(int sig)
{
    int keep = errno;
    ssize_t n;

    terminal_restore();
    came = sig;
    n = write(pipe_fd[1], "", 1);
    (void)n;
    errno = keep;
}

static void *ending_thread(void *arg)
{
    char byte;
    ssize_t n;

    do
        n = read(pipe_fd[0], &byte, 1);
    while (n < 0 && errno == EINTR);
    if (came)
        vz_machine_stop(arg, NULL, NULL);
    return NULL;
}

bool ending_prepare(void)
{
    struct sigaction old, sa = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};

    if (pipe2(pipe_fd, O_CLOEXEC) < 0)
        return false;
    sigfillset(&sa.sa_mask);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        /* What our parent told us to ignore (nohup) stays ignored. */
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &sa, NULL);
    }
    return true;
}

bool ending_start(struct vz_machine *machine)
{
    has_thread = !pthread_create(&thread, NULL, ending_thread, machine);
    return has_thread;
}

void ending_stop(void)
{
    ssize_t n;

    if (!has_thread)
        return;
    has_thread = false;
    n = write(pipe_fd[1], "", 1);
    (void)n;
    pthread_join(thread, NULL);
}

void ending_finish(void)
{
    if (!came)
        return;
    signal(came, SIG_DFL);
    raise(came);
}
