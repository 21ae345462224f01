/* SPDX-License-Identifier: MIT */
/* A serial line as a pseudo-terminal. Our end never sees a hang-up, since we hold the other end
 * open ourselves: programs may open and close it at will. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "char/char_backend.h"
#include "loop/loop.h"

struct char_pty {
    struct char_dev c;
    int fd, other_fd;
    bool in_wanted, out_wanted;
    struct loop_fd *watch;
    char path[64];
};

static struct char_pty *to_pty(struct char_dev *c)
{
    return container_of(c, struct char_pty, c);
}

static void update(struct char_pty *p)
{
    if (p->watch)
        loop_fd_set(p->watch, (p->in_wanted ? LOOP_READ : 0) | (p->out_wanted ? LOOP_WRITE : 0));
}

static void on_event(void *arg, unsigned events)
{
    struct char_pty *p = arg;
    uint8_t data[1024];
    size_t room;
    ssize_t n;

    if (events & LOOP_WRITE) {
        p->out_wanted = false;
        update(p);
        char_backend_writable(&p->c);
    }
    if (!(events & LOOP_READ))
        return;
    room = char_backend_room(&p->c);
    n = room ? read(p->fd, data, MIN(room, sizeof(data))) : 0;
    if (n > 0) {
        char_backend_receive(&p->c, data, (size_t)n);
    } else if (!room || errno != EINTR) {
        p->in_wanted = false;
        update(p);
    }
}

static ssize_t pty_write(struct char_dev *c, const uint8_t *data, size_t len)
{
    struct char_pty *p = to_pty(c);
    ssize_t n = write(p->fd, data, len);

    if (n >= 0)
        return n;
    if (errno != EAGAIN && errno != EINTR)
        return -errno;
    p->out_wanted = true;
    update(p);
    return -EAGAIN;
}

static void pty_want_input(struct char_dev *c, bool wanted)
{
    to_pty(c)->in_wanted = wanted;
    update(to_pty(c));
}

/* Nobody may ever read it: the end of a machine does not wait for that. */
static int pty_wait(struct char_dev *c, int timeout_ms)
{
    return -ETIMEDOUT;
}

static void pty_close(struct char_dev *c)
{
    struct char_pty *p = to_pty(c);

    loop_fd_remove(p->watch);
    if (p->fd >= 0)
        close(p->fd);
    if (p->other_fd >= 0)
        close(p->other_fd);
}

static const struct char_ops pty_ops = {
    .name = "the pseudo-terminal", .write = pty_write, .want_input = pty_want_input,
    .wait = pty_wait, .close = pty_close};

static int open_pair(struct char_pty *p)
{
    struct termios t;

    p->fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (p->fd < 0 || grantpt(p->fd) < 0 || unlockpt(p->fd) < 0)
        return -errno;
    if (ptsname_r(p->fd, p->path, sizeof(p->path)))
        return -errno;
    p->other_fd = open(p->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (p->other_fd < 0 || tcgetattr(p->other_fd, &t) < 0)
        return -errno;
    cfmakeraw(&t);
    if (tcsetattr(p->other_fd, TCSANOW, &t) < 0)
        return -errno;
    return loop_fd_add(p->c.loop, p->fd, 0, on_event, p, &p->watch);
}

int char_pty_create(struct loop *loop, struct char_dev **ret, struct vz_error *err)
{
    struct char_pty *p = calloc(1, sizeof(*p));
    int r;

    if (!p || char_backend_init(&p->c, &pty_ops, loop) < 0) {
        free(p);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    p->fd = p->other_fd = -1;
    r = open_pair(p);
    if (r < 0) {
        char_destroy(&p->c);
        return error_set(err, -r, VZ_ERROR_IO, "pseudo-terminal: %s", strerror(-r));
    }
    p->c.path = p->path;
    *ret = &p->c;
    return 0;
}
