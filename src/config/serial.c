/* SPDX-License-Identifier: MIT */
/* Serial ports and their attachments. */
#include <vz/serial.h>

#include <stdlib.h>

#include "config/config_impl.h"

OBJECT_DEFINE_COUNTED(serial_attachment);
OBJECT_DEFINE_COUNTED(serial_port);

static void destroy_attachment(void *object)
{
    free(((struct vz_serial_attachment *)object)->path);
}

static struct vz_serial_attachment *attachment_new(enum serial_attachment_kind kind,
                                                   struct vz_error *err)
{
    struct vz_serial_attachment *a = object_new(sizeof(*a), destroy_attachment, err);

    if (a) {
        a->kind = kind;
        a->read_fd = a->write_fd = -1;
    }
    return a;
}

struct vz_serial_attachment *vz_null_serial_attachment_new(struct vz_error *err)
{
    return attachment_new(SERIAL_NULL, err);
}

struct vz_serial_attachment *vz_stdio_serial_attachment_new(struct vz_error *err)
{
    return attachment_new(SERIAL_STDIO, err);
}

struct vz_serial_attachment *vz_fd_serial_attachment_new(int read_fd, int write_fd,
                                                         struct vz_error *err)
{
    struct vz_serial_attachment *a = attachment_new(SERIAL_FD, err);

    if (a) {
        a->read_fd = read_fd;
        a->write_fd = write_fd;
    }
    return a;
}

struct vz_serial_attachment *vz_file_serial_attachment_new(const char *path, bool append,
                                                           struct vz_error *err)
{
    char *copy = options_text(path, "path", err);
    struct vz_serial_attachment *a = copy ? attachment_new(SERIAL_FILE, err) : NULL;

    if (!a) {
        free(copy);
        return NULL;
    }
    a->path = copy;
    a->append = append;
    return a;
}

struct vz_serial_attachment *vz_pty_serial_attachment_new(struct vz_error *err)
{
    return attachment_new(SERIAL_PTY, err);
}

struct vz_serial_attachment *vz_unix_serial_attachment_new(const char *path, struct vz_error *err)
{
    struct vz_serial_attachment *a = vz_file_serial_attachment_new(path, false, err);

    if (a)
        a->kind = SERIAL_UNIX;
    return a;
}

static void destroy_port(void *object)
{
    vz_serial_attachment_unref(((struct vz_serial_port *)object)->attachment);
}

static struct vz_serial_port *port_new(struct vz_serial_attachment *attachment, bool is_virtio,
                                       struct vz_error *err)
{
    struct vz_serial_port *p = object_new(sizeof(*p), destroy_port, err);

    if (!p)
        return NULL;
    p->is_virtio = is_virtio;
    p->attachment = attachment ? vz_serial_attachment_ref(attachment)
                               : vz_null_serial_attachment_new(err);
    if (!p->attachment) {
        vz_serial_port_unref(p);
        return NULL;
    }
    return p;
}

struct vz_serial_port *vz_uart_serial_port_new(struct vz_serial_attachment *attachment,
                                               struct vz_error *err)
{
    return port_new(attachment, false, err);
}

struct vz_serial_port *vz_virtio_serial_port_new(struct vz_serial_attachment *attachment,
                                                 struct vz_error *err)
{
    return port_new(attachment, true, err);
}
