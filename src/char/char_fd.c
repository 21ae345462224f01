/* SPDX-License-Identifier: MIT */
/* A serial line on file descriptors: terminals, pipes, sockets, and files to write to.
 *
 * The descriptors are shared with other processes (a shell's terminal), so O_NONBLOCK must not be
 * set on them. Instead a second open file description is made of terminals and pipes, and sockets
 * are sent to with MSG_DONTWAIT; what allows neither is written in small pieces when poll() says
 * so. Regular files are written at once. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "char/char_backend.h"
#include "loop/loop.h"

#define PIECE 4096u /* what a writable pipe takes without blocking (PIPE_BUF) */

struct char_fd {
    struct char_dev c;
    int in_fd, out_fd;     /* -1: none */
    int own_fd;            /* to be closed: our own description of out_fd, or the file; or -1 */
    bool out_is_socket;
    bool out_nonblock;
    struct loop_fd *in, *out; /* NULL: not pollable, always ready */
    bool in_eof;
    bool in_wanted;
};

static struct char_fd *to_fd(struct char_dev *c)
{
    return container_of(c, struct char_fd, c);
}

static bool is_ready(int fd, short events, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n;

    do
        n = poll(&p, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static ssize_t write_some(struct char_fd *f, const uint8_t *data, size_t len)
{
    if (f->out_is_socket)
        return send(f->out_fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (!f->out_nonblock && f->out) {
        if (!is_ready(f->out_fd, POLLOUT, 0)) {
            errno = EAGAIN;
            return -1;
        }
        len = MIN(len, (size_t)PIECE);
    }
    return write(f->out_fd, data, len);
}

static ssize_t fd_write(struct char_dev *c, const uint8_t *data, size_t len)
{
    struct char_fd *f = to_fd(c);
    ssize_t n;

    if (f->out_fd < 0)
        return (ssize_t)len;
    do
        n = write_some(f, data, len);
    while (n < 0 && errno == EINTR);
    if (n >= 0) {
        if (f->out)
            loop_fd_set(f->out, 0);
        return n;
    }
    if (errno != EAGAIN)
        return -errno;
    if (f->out)
        loop_fd_set(f->out, LOOP_WRITE);
    return -EAGAIN;
}

static int fd_wait(struct char_dev *c, int timeout_ms)
{
    return is_ready(to_fd(c)->out_fd, POLLOUT, timeout_ms) ? 0 : -ETIMEDOUT;
}

static void out_event(void *arg, unsigned events)
{
    struct char_fd *f = arg;

    loop_fd_set(f->out, 0);
    char_backend_writable(&f->c);
}

static void set_wanted(struct char_fd *f, bool wanted)
{
    f->in_wanted = wanted;
    if (f->in)
        loop_fd_set(f->in, wanted ? LOOP_READ : 0);
}

/* Once per turn of the loop, so that a fast host cannot keep the loop here. */
static void read_some(struct char_fd *f)
{
    uint8_t data[256];
    size_t room = char_backend_room(&f->c);
    ssize_t n;

    if (f->in_eof || !room || !f->in_wanted) {
        set_wanted(f, false);
        return;
    }
    n = read(f->in_fd, data, MIN(room, sizeof(data)));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        f->in_eof = true; /* a terminal that hung up reports an error: the same to us */
        set_wanted(f, false);
        return;
    }
    char_backend_receive(&f->c, data, (size_t)n);
    if (!f->in)
        char_accept_input(&f->c);
}

static void in_event(void *arg, unsigned events)
{
    read_some(arg);
}

static void fd_want_input(struct char_dev *c, bool wanted)
{
    struct char_fd *f = to_fd(c);

    if (f->in_fd < 0 || f->in_eof)
        return;
    set_wanted(f, wanted);
    if (wanted && !f->in)
        read_some(f); /* a regular file: nobody will say that it is ready */
}

static void fd_close(struct char_dev *c)
{
    struct char_fd *f = to_fd(c);

    loop_fd_remove(f->in);
    loop_fd_remove(f->out);
    if (f->own_fd >= 0)
        close(f->own_fd);
}

static const struct char_ops fd_ops = {
    .name = "the host's descriptor", .write = fd_write, .want_input = fd_want_input,
    .wait = fd_wait, .close = fd_close};

/* Find out how out_fd can be written without blocking. */
static void prepare_output(struct char_fd *f)
{
    char path[32];
    struct stat st;
    int fd;

    if (fstat(f->out_fd, &st) < 0)
        return;
    f->out_is_socket = S_ISSOCK(st.st_mode);
    if (fcntl(f->out_fd, F_GETFL) & O_NONBLOCK)
        f->out_nonblock = true;
    if (f->out_nonblock || !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", f->out_fd);
    fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return;
    f->own_fd = f->out_fd = fd;
    f->out_nonblock = true;
}

/* 0 also for what cannot be polled: it is always ready. */
static int watch(struct char_fd *f, int fd, void (*fn)(void *, unsigned), struct loop_fd **ret)
{
    int r = loop_fd_add(f->c.loop, fd, 0, fn, f, ret);

    return r == -EPERM ? 0 : r;
}

static int create(struct loop *loop, int in_fd, int out_fd, int own_fd, struct char_dev **ret,
                  struct vz_error *err)
{
    struct char_fd *f = calloc(1, sizeof(*f));
    int r = -ENOMEM;

    if (!f)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    f->in_fd = in_fd;
    f->out_fd = out_fd;
    f->own_fd = -1;
    r = char_backend_init(&f->c, &fd_ops, loop);
    if (r < 0) {
        free(f);
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    /* Input first and on its own number: epoll knows a descriptor once, and a socket or a
     * terminal may be given for both directions. */
    if (in_fd >= 0)
        r = watch(f, in_fd, in_event, &f->in);
    if (!r && out_fd >= 0) {
        prepare_output(f);
        if (f->out_fd == in_fd && f->in)
            f->out_fd = f->own_fd = fcntl(out_fd, F_DUPFD_CLOEXEC, 3);
        r = f->out_fd < 0 ? -errno : watch(f, f->out_fd, out_event, &f->out);
    }
    if (r < 0) {
        char_destroy(&f->c);
        return error_set(err, -r, VZ_ERROR_IO, "serial line: %s", strerror(-r));
    }
    if (own_fd >= 0)
        f->own_fd = own_fd;
    *ret = &f->c;
    return 0;
}

int char_fd_create(struct loop *loop, int in_fd, int out_fd, struct char_dev **ret,
                   struct vz_error *err)
{
    return create(loop, in_fd, out_fd, -1, ret, err);
}

static int file_create(struct loop *loop, const char *path, int how, struct char_dev **ret,
                       struct vz_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | how | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    int r;

    if (fd < 0)
        return error_set(err, errno, VZ_ERROR_IO, "%s: %s", path, strerror(errno));
    r = create(loop, -1, fd, fd, ret, err);
    if (r < 0) {
        close(fd);
        error_prefix(err, "%s", path);
    }
    return r;
}

int char_file_create(struct loop *loop, const char *path, struct char_dev **ret,
                     struct vz_error *err)
{
    return file_create(loop, path, O_TRUNC, ret, err);
}

int char_file_append_create(struct loop *loop, const char *path, struct char_dev **ret,
                            struct vz_error *err)
{
    return file_create(loop, path, O_APPEND, ret, err);
}
