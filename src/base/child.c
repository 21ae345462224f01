/* SPDX-License-Identifier: MIT */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/pass_fd.h"
#include "base/pidfd.h"
#include "base/program_file.h"
#include "base/thread.h"

#define ANSWER_TIMEOUT_MS 10000
#define END_TIMEOUT_MS    2000
#define ENVIRONMENT_MAX   16
#define ERRNO_MAX         4095

extern char **environ;

/* ---- Starting it ---------------------------------------------------------------------------- */

/* What else is in the environment may be a secret. */
static void choose_environment(char *ret[ENVIRONMENT_MAX + 1])
{
    static const char *const wanted[] = {
        "LD_",           "VZ_LOG=",       "VZ_TRACE=",       "ASAN_OPTIONS=", "UBSAN_OPTIONS=",
        "TSAN_OPTIONS=", "LSAN_OPTIONS=", "GLIBC_TUNABLES=", "HOME=",         "LOGNAME="};
    size_t count = 0;

    for (char **e = environ; e && *e; e++)
        for (size_t i = 0; i < ARRAY_SIZE(wanted) && count < ENVIRONMENT_MAX; i++)
            if (!strncmp(*e, wanted[i], strlen(wanted[i])))
                ret[count++] = *e;
    ret[count] = NULL;
}

/* As threads of ours have it: who presses Ctrl-C means the program, which then ends this. */
static void block_signals(posix_spawnattr_t *a)
{
    sigset_t blocked, all;

    sigfillset(&all);
    thread_blocked_signals(&blocked);
    posix_spawnattr_setsigmask(a, &blocked);
    posix_spawnattr_setsigdefault(a, &all);
    posix_spawnattr_setflags(a, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

/* socket and life lie above both numbers that they get there. */
static int spawn(pid_t *ret, const char *name, int image, int socket, int life)
{
    char path[32], *argv[] = {(char *)name, NULL}, *env[ENVIRONMENT_MAX + 1];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int r;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", image);
    choose_environment(env);
    posix_spawnattr_init(&attr);
    block_signals(&attr);
    posix_spawn_file_actions_init(&actions);
    r = posix_spawn_file_actions_adddup2(&actions, socket, CHILD_SOCKET);
    if (!r)
        r = posix_spawn_file_actions_adddup2(&actions, life, CHILD_LIFE);
    if (!r)
        r = posix_spawn(ret, path, &actions, &attr, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return -r;
}

/* Out of the way of the numbers that a program may have closed. */
static int move_up(int *fd)
{
    int up = *fd > STDERR_FILENO ? *fd : fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

    if (up < 0)
        return -errno;
    if (up != *fd)
        close(*fd);
    *fd = up;
    return 0;
}

static void close_all(const int *fd, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fd[i] >= 0)
            close(fd[i]);
}

/* fd: 0 and 1 the socket, ours and the child's; 2 and 3 its life, the child's end and ours; 4 the program. Both pairs
 * are sockets, which can be shut down though others have them, too (child_end()). */
static int open_all(int fd[5], const char *name, const uint8_t *image, size_t len)
{
    int r = 0;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd + 2) < 0)
        return -errno;
    fd[4] = program_file(name, image, len);
    for (unsigned i = 0; !r && i < 5; i++)
        r = fd[i] < 0 ? fd[i] : move_up(&fd[i]);
    return r;
}

int child_start(struct child *ret, const char *name, const uint8_t *image, size_t len, struct vz_error *err)
{
    int fd[5] = {-1, -1, -1, -1, -1}, r = open_all(fd, name, image, len);

    *ret = (struct child)CHILD_NONE;
    if (!r)
        r = spawn(&ret->pid, name, fd[4], fd[1], fd[2]);
    if (r < 0) {
        ret->pid = 0;
        close_all(fd, ARRAY_SIZE(fd));
        return error_set(err, -r, VZ_ERROR_INTERNAL, "the process %s cannot be started: %s", name, strerror(-r));
    }
    ret->pidfd = pidfd_of(ret->pid);
    ret->socket = fd[0];
    ret->life = fd[3];
    close_all((const int[]){fd[1], fd[2], fd[4]}, 3);
    return 0;
}

/* For whoever has it: a process that this one has forked meanwhile, and that executes nothing, has our ends, too. */
static void hang_up(int fd)
{
    if (fd < 0)
        return;
    shutdown(fd, SHUT_RDWR);
    close(fd);
}

void child_end(struct child *c)
{
    hang_up(c->life);
    hang_up(c->socket);
    c->life = c->socket = -1;
    if (c->pid > 0) {
        pidfd_kill_late(c->pidfd, END_TIMEOUT_MS); /* it is stopped, or a server's that has taken it over */
        pidfd_reap(c->pidfd, c->pid);
    }
    c->pid = 0;
    c->pidfd = -ESRCH;
}

/* ---- Talking to it -------------------------------------------------------------------------- */

/* There is room, unless it has stopped reading them. */
static int send_question(int socket, const void *question, size_t len, int fd)
{
    return pass_fd_send(socket, question, len, fd, MSG_DONTWAIT) == (ssize_t)len ? 0 : -EPIPE;
}

static int receive_answer(int socket, struct child_answer *a, void *data, size_t data_len)
{
    struct iovec iov[] = {{a, sizeof(*a)}, {data, data_len}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    struct pollfd p = {.fd = socket, .events = POLLIN};
    ssize_t n;
    int r;

    do
        r = poll(&p, 1, ANSWER_TIMEOUT_MS);
    while (r < 0 && errno == EINTR);
    n = r > 0 ? recvmsg(socket, &msg, 0) : -1;
    a->text[sizeof(a->text) - 1] = '\0';
    if (n >= (ssize_t)sizeof(*a) && a->result < -ERRNO_MAX)
        return -EPIPE;
    return n == (ssize_t)(sizeof(*a) + data_len) || (n == (ssize_t)sizeof(*a) && a->result < 0) ? 0 : -EPIPE;
}

static int ended(struct child *c, struct vz_error *err)
{
    child_end(c);
    return error_set(err, EPIPE, VZ_ERROR_INTERNAL, "the process for it has ended");
}

/* It has not read what it was told before, or there are too many descriptors under way, of whichever process. */
static bool is_for_now(ssize_t err)
{
    return err == -EAGAIN || err == -ENOBUFS || err == -ENOMEM || err == -ETOOMANYREFS;
}

int child_tell(struct child *c, const void *data, size_t len, int fd, struct vz_error *err)
{
    ssize_t n = c->socket < 0 ? -EPIPE : pass_fd_send(c->socket, data, len, fd, MSG_DONTWAIT);

    if (n == (ssize_t)len)
        return 0;
    return is_for_now(n) ? error_set(err, EAGAIN, VZ_ERROR_INTERNAL, "the process for it has no time") : ended(c, err);
}

bool child_has_time(const struct child *c)
{
    struct pollfd p = {.fd = c->socket, .events = POLLOUT};
    int r;

    do
        r = poll(&p, 1, ANSWER_TIMEOUT_MS);
    while (r < 0 && errno == EINTR);
    return r > 0;
}

int child_ask(struct child *c, const void *question, size_t len, int fd, void *data, size_t data_len,
              struct vz_error *err)
{
    struct child_answer a;
    int r = c->socket < 0 ? -EPIPE : send_question(c->socket, question, len, fd);

    if (!r)
        r = receive_answer(c->socket, &a, data, data_len);
    if (r < 0)
        return ended(c, err);
    return a.result < 0 ? error_set(err, -a.result, (enum vz_error_code)a.code, "%s", a.text) : a.result;
}
