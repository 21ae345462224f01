/* SPDX-License-Identifier: MIT */
#include "guest/remote.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli.h"

#define ENDING_MAX 3 /* SIGTERM and its like so often: we go, whatever the guest does */

static const int passed[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

struct passer {
    struct vz_agent_process *process;
    bool terminal;
    unsigned endings;
};

static void make_set(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
        sigaddset(set, passed[i]);
}

void remote_prepare(void)
{
    sigset_t set;

    make_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static bool window(unsigned *rows, unsigned *columns)
{
    struct winsize w;

    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &w) < 0 || !w.ws_row || !w.ws_col)
        return false;
    *rows = w.ws_row;
    *columns = w.ws_col;
    return true;
}

static void pass(struct passer *p, int number)
{
    unsigned rows, columns;

    if (number == SIGWINCH) {
        if (p->terminal && window(&rows, &columns))
            vz_agent_process_resize(p->process, rows, columns, NULL);
        return;
    }
    vz_agent_process_signal(p->process, number, NULL);
    if ((number == SIGINT || number == SIGTERM || number == SIGHUP) && ++p->endings == ENDING_MAX) {
        terminal_restore();
        _exit(EXIT_SIGNALED + number);
    }
}

static void *pass_main(void *arg)
{
    sigset_t set;
    int number;

    make_set(&set);
    while (sigwait(&set, &number) == 0) {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        pass(arg, number);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    }
    return NULL;
}

/* NAME=VALUE, or what NAME is here; NULL: it is not here. For free(). */
static char *variable(const char *text)
{
    const char *value = strchr(text, '=') ? NULL : getenv(text);
    char *both;

    if (strchr(text, '='))
        return strdup(text);
    return value && asprintf(&both, "%s=%s", text, value) > 0 ? both : NULL;
}

void remote_env(const struct given *given, bool terminal, const char **env)
{
    unsigned n = 0;

    if (terminal && getenv("TERM"))
        env[n++] = variable("TERM");
    for (const struct given *g = given; g->opt && n < REMOTE_ENV_MAX; g++) {
        if (!strcmp(g->opt->name, "env") && (env[n] = variable(g->value)))
            n++;
    }
    env[n] = NULL;
}

void remote_env_free(const char **env)
{
    for (; *env; env++)
        free((char *)*env);
}

static int status_of(const struct vz_agent_exit *e, const char *name, const char *program)
{
    switch (e->reason) {
    case VZ_AGENT_EXITED: return e->value;
    case VZ_AGENT_SIGNALED: return EXIT_SIGNALED + e->value;
    case VZ_AGENT_NOT_FOUND:
        cli_error("%s: %s: there is no such program in the guest", name, program);
        return EXIT_NOT_FOUND;
    case VZ_AGENT_NOT_EXECUTABLE:
        cli_error("%s: %s: %s", name, program, strerror(e->value));
        return EXIT_NOT_EXECUTABLE;
    }
    return EXIT_OURS;
}

int remote_run(struct vz_agent *agent, struct vz_agent_exec_options *o, const char *name)
{
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;
    struct passer p = {.terminal = o->terminal};
    struct vz_error err = {.text = ""};
    pthread_t thread;
    bool has_thread;
    int r;

    if (o->terminal)
        window(&o->rows, &o->columns);
    p.process = vz_agent_exec(agent, o, &err);
    if (!p.process) {
        cli_error("%s: %s", name, err.text);
        return EXIT_OURS;
    }
    if (o->terminal && isatty(STDIN_FILENO) && !terminal_raw())
        cli_error("the terminal cannot be put into raw mode");
    has_thread = !pthread_create(&thread, NULL, pass_main, &p);
    r = vz_agent_process_wait(p.process, &e, &err);
    terminal_restore();
    if (has_thread) {
        pthread_cancel(thread);
        pthread_join(thread, NULL);
    }
    if (r < 0)
        cli_error("%s: %s", name, err.text);
    else
        r = status_of(&e, name, o->argv[0]);
    vz_agent_process_free(p.process);
    return r < 0 ? EXIT_OURS : r;
}
