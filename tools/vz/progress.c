/* SPDX-License-Identifier: MIT */
/* Besides ending.c and terminal.c the third place with mutable state outside of main()'s stack, again
 * since signal handlers have no other way to it. */
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "now_ms.h"

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number; /* a second one ends us at once */
}

void interrupt_catch(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction old, sa = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &sa, NULL);
    }
}

bool interrupt_came(void)
{
    return caught;
}

void interrupt_raise(void)
{
    if (!caught)
        return;
    signal(caught, SIG_DFL);
    raise(caught);
}

void progress_begin(struct progress *p, const char *what)
{
    *p = (struct progress){.what = what, .start_ms = now_ms()};
}

static void tell(const struct progress *p, uint64_t done, uint64_t total, uint64_t took_ms)
{
    double rate = (double)(done - p->start_done) * 1000 / (double)took_ms;

    if (total)
        fprintf(stderr, "\r%s: %3.0f %%, %.1f MiB/s, %.0f s left \033[K", p->what,
                100.0 * (double)done / (double)total, rate / (1 << 20),
                rate > 0 ? (double)(total - done) / rate : 0);
    else
        fprintf(stderr, "\r%s: %.1f MiB, %.1f MiB/s \033[K", p->what, (double)done / (1 << 20),
                rate / (1 << 20));
}

bool progress_show(struct progress *p, uint64_t done, uint64_t total)
{
    uint64_t now = now_ms(), took = now - p->start_ms + 1;

    if (!p->began)
        p->start_done = done;
    p->began = true;
    if (!caught && isatty(STDERR_FILENO) && took > 1000 && (now - p->told_ms > 200 || done == total)) {
        tell(p, done, total, took);
        p->told_ms = now;
        if (total && done == total)
            progress_end(p);
    }
    return !caught;
}

void progress_end(struct progress *p)
{
    if (p->told_ms)
        fputc('\n', stderr);
    p->told_ms = 0;
}
