/* SPDX-License-Identifier: MIT */
/* A job's process: its descriptors, and what becomes of the fork. Whatever fails in the child is written
 * to the result pipe, which otherwise ends at exec. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "job.h"

#define RESULT_FD 3
#define PATH_DEFAULT "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct ends {
    int ours, theirs;
};

/* What a job's process is connected by; -1: nothing. */
struct plumbing {
    struct ends end[4]; /* its descriptors 0, 1, 2 and RESULT_FD */
};

static void close_all(struct plumbing *p, bool ours)
{
    for (unsigned i = 0; i < 4; i++) {
        if (p->end[i].theirs >= 0)
            close(p->end[i].theirs);
        if (ours && p->end[i].ours >= 0)
            close(p->end[i].ours);
    }
}

static int make_pipe(struct ends *e, bool to_child)
{
    int fd[2];

    if (pipe2(fd, O_CLOEXEC) < 0)
        return -errno;
    *e = to_child ? (struct ends){fd[1], fd[0]} : (struct ends){fd[0], fd[1]};
    return fcntl(e->ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int open_null(struct ends *e)
{
    e->ours = -1;
    e->theirs = open("/dev/null", O_RDWR | O_CLOEXEC);
    return e->theirs < 0 ? -errno : 0;
}

/* One end for all three. */
static int make_terminal(struct plumbing *p, const struct request *q)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), slave, zero = 0;
    struct winsize size = {
        .ws_row = (unsigned short)agent_get_number(q->data, q->len, AGENT_F_ROWS, 24),
        .ws_col = (unsigned short)agent_get_number(q->data, q->len, AGENT_F_COLUMNS, 80)};

    if (master < 0)
        master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0)
        return -errno;
    p->end[0].ours = master;
    p->end[1].ours = fcntl(master, F_DUPFD_CLOEXEC, 0);
    if (p->end[1].ours < 0 || ioctl(master, TIOCSPTLCK, &zero) < 0)
        return -errno;
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return -errno;
    (void)!ioctl(master, TIOCSWINSZ, &size);
    p->end[0].theirs = slave;
    for (unsigned i = 1; i < 3; i++)
        p->end[i].theirs = fcntl(slave, F_DUPFD_CLOEXEC, 0);
    return p->end[1].theirs < 0 || p->end[2].theirs < 0 ? -errno : 0;
}

static int make_plumbing(struct job *j, const struct request *q, struct plumbing *p)
{
    uint64_t flags = agent_get_number(q->data, q->len, AGENT_F_FLAGS, 0);
    bool exec = !j->kind->work;
    int r = make_pipe(&p->end[RESULT_FD], false);

    j->is_pty = exec && (flags & AGENT_PTY) && !(flags & AGENT_DETACH);
    j->detached = exec && (flags & AGENT_DETACH);
    if (r || j->is_pty)
        return r ? r : make_terminal(p, q);
    for (unsigned i = 0; !r && i < 3; i++) {
        bool wanted = j->kind->streams && !j->detached && (i < 2 || exec) &&
                      !(i == 0 && exec && (flags & AGENT_NO_STDIN));

        r = wanted ? make_pipe(&p->end[i], i == 0) : open_null(&p->end[i]);
    }
    return r;
}

/* ---- The child ------------------------------------------------------------------------------ */

static void write_result(struct agent_fields *f)
{
    const uint8_t *p = agent_bytes_front(&f->b);
    size_t left = f->failed ? 0 : f->b.len;

    while (left) {
        ssize_t n = write(RESULT_FD, p, left);

        if (n <= 0)
            _exit(EXIT_FAILURE);
        p += n;
        left -= (size_t)n;
    }
}

static void fail(int err, const char *stage, const char *what)
{
    struct agent_fields f = {.failed = false};
    char text[512];

    snprintf(text, sizeof(text), "%.400s: %s", what, strerror(err));
    work_failed(&f, err, stage, text);
    write_result(&f);
    _exit(EXIT_FAILURE);
}

/* Descriptors 0 to 3 are what they should be, and there are no others. */
static void take_descriptors(const struct plumbing *p)
{
    int high[4];

    for (int i = 0; i < 4; i++)
        high[i] = fcntl(p->end[i].theirs, F_DUPFD_CLOEXEC, 10);
    for (int i = 0; i < 4; i++) {
        if (high[i] < 0 || dup2(high[i], i) < 0)
            _exit(EXIT_FAILURE);
    }
    fcntl(RESULT_FD, F_SETFD, FD_CLOEXEC);
    if (close_range(RESULT_FD + 1, ~0u, 0) < 0) {
        for (int fd = RESULT_FD + 1; fd < 4096; fd++)
            close(fd);
    }
}

/* As a process begins in this world: the agent's own ways are not its. */
static void take_signals(void)
{
    sigset_t none;
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    sigemptyset(&none);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (fd >= 0) {
        (void)!write(fd, "0", 1);
        close(fd);
    }
}

static char *text_of(const char *name, const char *value)
{
    char *text;

    return asprintf(&text, "%s=%s", name, value) < 0 ? NULL : text;
}

/* The user's own, and over it what was asked for. */
static void take_environment(const struct user *u, char **given)
{
    clearenv();
    putenv((char *)PATH_DEFAULT);
    putenv(text_of("HOME", u->home));
    putenv(text_of("USER", u->name));
    putenv(text_of("LOGNAME", u->name));
    putenv(text_of("SHELL", u->shell));
    for (; given && *given; given++) {
        if (strchr(*given, '=') && **given != '=')
            putenv(*given);
    }
}

static void run_program(const struct job *j, const struct request *q)
{
    char *name = agent_get_text(q->data, q->len, AGENT_F_USER);
    char *cwd = agent_get_text(q->data, q->len, AGENT_F_CWD);
    size_t count = 0, envs = 0;
    char **argv = agent_get_texts(q->data, q->len, AGENT_F_ARG, &count);
    char **env = agent_get_texts(q->data, q->len, AGENT_F_ENV, &envs);
    struct user u;
    int r = argv && env && count ? user_find(name, &u) : -EINVAL;

    if (r)
        fail(-r, argv && count ? "user" : "request", name && *name ? name : "exec");
    if (j->is_pty) {
        (void)!fchown(STDIN_FILENO, u.uid, u.gid);
        (void)!ioctl(STDIN_FILENO, TIOCSCTTY, 0);
    }
    r = user_become(&u);
    if (r)
        fail(-r, "user", u.name);
    if (cwd ? chdir(cwd) < 0 : chdir(u.home) < 0 && chdir("/") < 0)
        fail(errno, "cwd", cwd ? cwd : "/");
    take_environment(&u, env);
    execvp(argv[0], argv);
    fail(errno, "exec", argv[0]);
}

static void do_work(const struct job *j, const struct request *q)
{
    struct agent_fields f = {.failed = false};
    char *name = agent_get_text(q->data, q->len, AGENT_F_USER);
    struct user u;
    int r = j->kind->streams ? user_find(name, &u) : 0;

    if (!r && name && *name)
        r = user_become(&u);
    if (r)
        fail(-r, "user", name && *name ? name : "root");
    if (j->kind->streams)
        (void)!chdir(u.home); /* what relative paths mean */
    signal(SIGPIPE, SIG_IGN); /* an end of the stream, as another */
    j->kind->work(q, &f);
    write_result(&f);
    _exit(EXIT_SUCCESS);
}

/* ---- The parent ----------------------------------------------------------------------------- */

int spawn_job(struct job *j, const struct request *q)
{
    struct plumbing p = {.end = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}}};
    int r = make_plumbing(j, q, &p);

    if (!r) {
        j->pid = fork();
        r = j->pid < 0 ? -errno : 0;
    }
    if (r) {
        close_all(&p, true);
        return r;
    }
    if (j->pid == 0) {
        setsid();
        take_descriptors(&p);
        take_signals();
        if (j->kind->work)
            do_work(j, q);
        run_program(j, q);
    }
    close_all(&p, false);
    j->in.fd = p.end[0].ours;
    j->out[1].fd = p.end[1].ours;
    j->out[2].fd = p.end[2].ours;
    j->result_fd = p.end[RESULT_FD].ours;
    return 0;
}
