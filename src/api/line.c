/* SPDX-License-Identifier: MIT */
#include "api/line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "api/config_impl.h"
#include "base/error.h"
#include "char/char.h"

static int system_error(struct vz_error *err, const char *what)
{
    int e = errno;

    return error_set(err, e, VZ_ERROR_IO, "%s: %s", what, strerror(e));
}

static int open_append(struct line *l, struct loop *loop, const char *path, struct vz_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);

    if (fd < 0)
        return system_error(err, path);
    l->own_fd[0] = fd + 1;
    return char_fd_create(loop, -1, fd, &l->dev, err);
}

/* We keep the terminal's end open too: without one, reading gives an error instead of nothing. */
static int open_pty(struct line *l, struct loop *loop, struct vz_error *err)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), other;
    struct termios modes;

    if (fd < 0)
        return system_error(err, "a new pseudo-terminal");
    l->own_fd[0] = fd + 1;
    if (grantpt(fd) < 0 || unlockpt(fd) < 0 || ptsname_r(fd, l->path, sizeof(l->path)) != 0 ||
        (other = open(l->path, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
        return system_error(err, "a new pseudo-terminal");
    l->own_fd[1] = other + 1;
    if (tcgetattr(other, &modes) == 0) {
        cfmakeraw(&modes); /* echo and the like are the guest's to do */
        tcsetattr(other, TCSANOW, &modes);
    }
    return char_fd_create(loop, fd, fd, &l->dev, err);
}

int line_open(struct line *l, struct loop *loop, const struct vz_config *c,
              const struct vz_serial_attachment *a, struct vz_error *err)
{
    switch (a ? a->kind : SERIAL_NULL) {
    case SERIAL_STDIO:
        return char_fd_create(loop, c->stdio_read_fd, c->stdio_write_fd, &l->dev, err);
    case SERIAL_FD:
        return char_fd_create(loop, a->read_fd, a->write_fd, &l->dev, err);
    case SERIAL_FILE:
        return a->append ? open_append(l, loop, a->path, err)
                         : char_file_create(loop, a->path, &l->dev, err);
    case SERIAL_PTY:
        return open_pty(l, loop, err);
    default:
        return char_null_create(loop, &l->dev, err);
    }
}

void line_close(struct line *l)
{
    char_destroy(l->dev);
    for (unsigned i = 0; i < ARRAY_SIZE(l->own_fd); i++) {
        if (l->own_fd[i])
            close(l->own_fd[i] - 1);
    }
}
