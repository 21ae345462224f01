/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is waited for in a turn: the listener, signals, connections, jobs. */
struct waiting {
    struct pollfd *poll;
    size_t count, room;
};

int guest_open(struct guest *g)
{
    sigset_t child;

    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    g->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return g->signal_fd < 0 ? -1 : 0;
}

static bool is_full(const struct guest *g)
{
    unsigned count = 0;

    for (const struct connection *c = g->connections; c; c = c->next)
        count++;
    return count >= CONNECTIONS_MAX;
}

/* The host's connections only: any user of the guest can connect to it by vsock, too. */
static void accept_one(struct guest *g)
{
    struct sockaddr_vm from = {.svm_cid = VMADDR_CID_ANY};
    socklen_t len = sizeof(from);
    int fd = accept4(g->listen_fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (len < sizeof(from) || from.svm_family != AF_VSOCK || from.svm_cid != VMADDR_CID_HOST)
        close(fd);
    else
        connection_new(g, fd);
}

static void reap(struct guest *g)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    while (read(g->signal_fd, &info, sizeof(info)) > 0)
        continue;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        job_exited(g, pid, status);
}

static struct pollfd *add(struct waiting *w, size_t n)
{
    struct pollfd *p;

    if (w->count + n > w->room) {
        w->room = (w->count + n) * 2;
        p = realloc(w->poll, w->room * sizeof(*p));
        if (!p)
            abort(); /* some hundred bytes: whoever started us starts us again */
        w->poll = p;
    }
    p = w->poll + w->count;
    w->count += n;
    return p;
}

static void wait_for_all(struct guest *g, struct waiting *w, int timeout_ms)
{
    *add(w, 1) = (struct pollfd){.fd = is_full(g) ? -1 : g->listen_fd, .events = POLLIN};
    *add(w, 1) = (struct pollfd){.fd = g->signal_fd, .events = POLLIN};
    for (const struct connection *c = g->connections; c; c = c->next) {
        short events = (short)((c->out.len < OUT_MAX ? POLLIN : 0) | (c->out.len ? POLLOUT : 0));

        *add(w, 1) = (struct pollfd){.fd = c->fd, .events = events};
    }
    for (const struct job *j = g->jobs; j; j = j->next) {
        int due = job_timeout(j);

        job_poll(j, add(w, JOB_POLLS));
        if (due >= 0 && (timeout_ms < 0 || due < timeout_ms))
            timeout_ms = due;
    }
    if (poll(w->poll, w->count, timeout_ms) < 0) {
        for (size_t i = 0; i < w->count; i++)
            w->poll[i].revents = 0;
    }
}

/* New connections and jobs come at the front of their lists, so both are as they were waited for. */
static void serve_jobs(struct guest *g, struct job *first, const struct pollfd *p)
{
    for (struct job *j = first; j; j = j->next, p += JOB_POLLS)
        job_ready(j, p);
    for (struct job **at = &g->jobs; *at;) {
        struct job *j = *at, *next = j->next;

        if (job_finish(j))
            *at = next;
        else
            at = &j->next;
    }
}

static void serve_connections(struct guest *g, struct connection *first, const struct pollfd *p)
{
    for (struct connection *c = first; c; c = c->next, p++) {
        if (c->over)
            continue;
        if (p->revents & (POLLIN | POLLHUP | POLLERR) && c->out.len < OUT_MAX)
            connection_input(c);
        else
            connection_frames(c); /* that were held up */
    }
}

static void flush_connections(struct guest *g)
{
    struct connection *next;

    for (struct connection *c = g->connections; c; c = next) {
        next = c->next;
        if (c->out.len)
            connection_flush(c);
        if (c->over)
            connection_free(c);
    }
}

void guest_turn(struct guest *g, int timeout_ms)
{
    struct waiting w = {NULL};
    struct connection *connections = g->connections;
    struct job *jobs = g->jobs;
    size_t n = 0;

    wait_for_all(g, &w, timeout_ms);
    for (const struct connection *c = connections; c; c = c->next)
        n++;
    if (w.poll[1].revents)
        reap(g);
    serve_connections(g, connections, w.poll + 2);
    serve_jobs(g, jobs, w.poll + 2 + n);
    if (w.poll[0].revents)
        accept_one(g);
    flush_connections(g);
    free(w.poll);
}

void guest_run(struct guest *g)
{
    while (g->listen_fd >= 0 || g->connections || g->jobs)
        guest_turn(g, -1);
}
