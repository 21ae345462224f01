/* SPDX-License-Identifier: MIT */
/* What the agent does in a process of its own: the list of requests, and small ones. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent_tree.h"
#include "job.h"

const struct request_kind request_kinds[] = {
    {.name = "ping"},
    {.name = "exec", .streams = true, .hang_up = true},
    {.name = "put", .work = work_put, .streams = true},
    {.name = "get", .work = work_get, .streams = true},
    {.name = "status", .work = work_status},
    {.name = "booted", .work = work_booted, .hang_up = true},
    {.name = "clock", .work = work_clock},
    {.name = "freeze", .work = work_freeze, .streams = true},
    {.name = "identity", .work = work_identity},
    {.name = "mount", .work = work_mount},
    {.name = "foreign", .work = work_foreign},
    {.name = "watch", .work = work_watch, .streams = true, .hang_up = true},
    {.name = "sync", .work = work_sync},
    {.name = "power", .work = work_power},
    {.name = NULL},
};

void work_failed(struct agent_fields *ret, int err, const char *stage, const char *text)
{
    agent_fields_fini(ret);
    *ret = (struct agent_fields){.failed = false};
    agent_put_number(ret, AGENT_F_ERROR, (uint64_t)err);
    agent_put_text(ret, AGENT_F_STAGE, stage);
    agent_put_text(ret, AGENT_F_TEXT, text ? text : strerror(err));
}

/* ---- Helpers -------------------------------------------------------------------------------- */

int work_run(const char *const *argv)
{
    int status, null;
    pid_t pid = fork();

    if (pid == 0) {
        null = open("/dev/null", O_RDWR);
        for (int i = 0; i < 3; i++)
            dup2(null, i);
        signal(SIGPIPE, SIG_DFL);
        putenv((char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -1;
    }
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int work_write_file(const char *path, const char *text, mode_t mode)
{
    char temporary[4096];
    size_t len = strlen(text);
    int fd, r = 0;

    snprintf(temporary, sizeof(temporary), "%s.vz-new", path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, mode) < 0 || write(fd, text, len) != (ssize_t)len || fsync(fd) < 0)
        r = errno ? -errno : -EIO;
    if (close(fd) < 0 && !r)
        r = -errno;
    if (!r && rename(temporary, path) < 0)
        r = -errno;
    if (r)
        unlink(temporary);
    return r;
}

int work_read_file(const char *path, char *ret, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;

    if (fd < 0)
        return -errno;
    while (len < room - 1 && (n = read(fd, ret + len, room - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    ret[len] = '\0';
    return n < 0 ? -EIO : 0;
}

void work_each_line(const char *path, void (*take)(void *arg, const char *line), void *arg)
{
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;

    while (f && getline(&line, &room, f) > 0)
        take(arg, line);
    free(line);
    if (f)
        fclose(f);
}

void work_unescape(char *text)
{
    char *to = text;

    for (const char *p = text; *p; to++) {
        unsigned c;

        if (*p == '\\' && strspn(p + 1, "01234567") >= 3 && sscanf(p + 1, "%3o", &c) == 1) {
            *to = (char)c;
            p += 4;
        } else {
            *to = *p++;
        }
    }
    *to = '\0';
}

/* ---- Files ---------------------------------------------------------------------------------- */

static void put_result(int r, const struct tree_result *t, struct agent_fields *ret)
{
    if (r < 0)
        work_failed(ret, -r, "files", t->text[0] ? t->text : NULL);
    else
        agent_put_number(ret, AGENT_F_SKIPPED, t->skipped);
}

static bool flag(const struct request *q, enum agent_flag flag)
{
    return agent_get_number(q->data, q->len, AGENT_F_FLAGS, 0) & flag;
}

void work_put(const struct request *q, struct agent_fields *ret)
{
    char *path = agent_get_text(q->data, q->len, AGENT_F_PATH);
    const struct tree_options o = {.owners = flag(q, AGENT_OWNERS), .devices = geteuid() == 0,
                                   .into = flag(q, AGENT_INTO)};
    int fds[2] = {STDIN_FILENO, STDOUT_FILENO};
    const struct tree_io io = {.read = tree_fd_read, .write = tree_fd_write, .arg = fds};
    struct tree_result t = {0};

    umask(0);
    put_result(path ? tree_receive(path, &o, &io, &t) : -EINVAL, &t, ret);
}

void work_get(const struct request *q, struct agent_fields *ret)
{
    char *path = agent_get_text(q->data, q->len, AGENT_F_PATH);
    const struct tree_options o = {.owners = flag(q, AGENT_OWNERS), .follow = flag(q, AGENT_FOLLOW),
                                   .contents = flag(q, AGENT_CONTENTS)};
    int fds[2] = {STDIN_FILENO, STDOUT_FILENO};
    const struct tree_io io = {.read = tree_fd_read, .write = tree_fd_write, .arg = fds};
    struct tree_result t = {0};

    put_result(path ? tree_send(path, &o, &io, &t) : -EINVAL, &t, ret);
}

/* ---- Clock, disks, power -------------------------------------------------------------------- */

void work_clock(const struct request *q, struct agent_fields *ret)
{
    uint64_t ns = agent_get_number(q->data, q->len, AGENT_F_TIME_NS, 0);
    const struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};

    if (!ns || clock_settime(CLOCK_REALTIME, &t) < 0)
        work_failed(ret, ns ? errno : EINVAL, "clock", NULL);
}

void work_sync(const struct request *q, struct agent_fields *ret)
{
    sync();
}

/* A service manager does it in order; a small init by its own programs; else nobody but us. */
static void power(bool reboot_it)
{
    const char *const manager[] = {"systemctl", "--no-block", reboot_it ? "reboot" : "poweroff", NULL};
    const char *const program[] = {reboot_it ? "reboot" : "poweroff", NULL};
    char name[64] = "";

    usleep(100000); /* the answer goes first */
    if (access("/run/systemd/system", F_OK) == 0 && work_run(manager) == 0)
        return;
    work_read_file("/proc/1/comm", name, sizeof(name));
    if ((!strcmp(name, "init\n") || !strcmp(name, "openrc-init\n")) &&
        access("/etc/inittab", F_OK) == 0 && work_run(program) == 0)
        return;
    sync();
    reboot(reboot_it ? RB_AUTOBOOT : RB_POWER_OFF);
}

void work_power(const struct request *q, struct agent_fields *ret)
{
    pid_t pid;

    if (geteuid()) {
        work_failed(ret, EPERM, "power", NULL);
        return;
    }
    pid = fork();
    if (pid < 0)
        work_failed(ret, errno, "power", NULL);
    if (pid)
        return;
    for (int fd = 0; fd < 4; fd++)
        close(fd);
    setsid();
    power(flag(q, AGENT_REBOOT));
    _exit(EXIT_SUCCESS);
}

void work_booted(const struct request *q, struct agent_fields *ret)
{
    const char *const wait_for_it[] = {"systemctl", "is-system-running", "--wait", NULL};
    char name[64] = "";

    /* As process 1, which may not have set up /run yet. */
    work_read_file("/proc/1/comm", name, sizeof(name));
    if (strcmp(name, "systemd\n"))
        return;
    while (access("/run/systemd/private", F_OK) < 0)
        usleep(50000);
    work_run(wait_for_it); /* degraded is up as well */
}
