/* SPDX-License-Identifier: MIT */
/* Raw mode for the terminal on standard input, and the promise that it is always undone.
 *
 * The saved modes are mutable state outside of main()'s stack (ending.c has the rest of it): signal
 * handlers and atexit() have no other way to find them. What the handlers call (tcsetattr,
 * sigaction, raise, kill, tcgetpgrp) is async-signal-safe by POSIX. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved_modes, raw_modes;
static volatile sig_atomic_t is_raw;   /* is the terminal ours to restore? */

/* What ends a process at once; ending.c has what ends it in good order. */
static const int fatal_signals[] = {SIGQUIT, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ,
                                    SIGSEGV, SIGBUS,  SIGILL,  SIGFPE,  SIGABRT, SIGTRAP, SIGSYS};

void terminal_restore(void)
{
    if (is_raw) {
        is_raw = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &saved_modes);
    }
}

static void on_fatal(int sig)
{
    int keep = errno;

    terminal_restore();
    /* SA_RESETHAND: the default action is back, and takes place when the handler returns. */
    raise(sig);
    errno = keep;
}

static void on_stop(int sig)
{
    int keep = errno;

    if (is_raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved_modes);
    kill(getpid(), SIGSTOP);
    errno = keep;
}

static void on_continue(int sig)
{
    int keep = errno;

    /* In the background the terminal is somebody else's. */
    if (is_raw && tcgetpgrp(STDIN_FILENO) == getpgrp())
        tcsetattr(STDIN_FILENO, TCSANOW, &raw_modes);
    errno = keep;
}

static void handle(int sig, void (*fn)(int), int flags)
{
    struct sigaction old, sa = {.sa_handler = fn, .sa_flags = flags};

    /* What our parent told us to ignore (nohup) stays ignored. */
    if (sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
        return;
    sigfillset(&sa.sa_mask);
    sigaction(sig, &sa, NULL);
}

bool terminal_raw(void)
{
    if (tcgetattr(STDIN_FILENO, &saved_modes) < 0)
        return false;
    raw_modes = saved_modes;
    cfmakeraw(&raw_modes);
    raw_modes.c_oflag |= OPOST; /* our own messages want their carriage returns */

    atexit(terminal_restore);
    for (size_t i = 0; i < sizeof(fatal_signals) / sizeof(fatal_signals[0]); i++)
        handle(fatal_signals[i], on_fatal, (int)SA_RESETHAND | SA_ONSTACK);
    handle(SIGTSTP, on_stop, SA_RESTART);
    handle(SIGCONT, on_continue, SA_RESTART);

    is_raw = 1;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw_modes) < 0) {
        is_raw = 0;
        return false;
    }
    return true;
}
