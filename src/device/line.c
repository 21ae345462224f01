/* SPDX-License-Identifier: MIT */
#include "device/line.h"

#include "char/char.h"
#include "config/config_impl.h"

static int open_dev(struct line *l, struct loop *loop, const struct vz_config *c,
                    const struct vz_serial_attachment *a, struct vz_error *err)
{
    switch (a ? a->kind : SERIAL_NULL) {
    case SERIAL_STDIO:
        return char_fd_create(loop, c->stdio_read_fd, c->stdio_write_fd, &l->dev, err);
    case SERIAL_FD:
        return char_fd_create(loop, a->read_fd, a->write_fd, &l->dev, err);
    case SERIAL_FILE:
        return a->append ? char_file_append_create(loop, a->path, &l->dev, err)
                         : char_file_create(loop, a->path, &l->dev, err);
    case SERIAL_PTY:
        return char_pty_create(loop, &l->dev, err);
    case SERIAL_UNIX:
        return char_unix_create(loop, a->path, &l->dev, err);
    default:
        return char_null_create(loop, &l->dev, err);
    }
}

int line_open(struct line *l, struct loop *loop, const struct vz_config *c,
              const struct vz_serial_attachment *a, _Atomic unsigned *lost, struct vz_error *err)
{
    int r = open_dev(l, loop, c, a, err);

    l->is_stdio = a && a->kind == SERIAL_STDIO;
    if (!r)
        char_account(l->dev, l->is_stdio ? "standard output" : a ? a->path : NULL, lost);
    return r;
}

void line_close(struct line *l)
{
    char_destroy(l->dev);
}
