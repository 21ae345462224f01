/* SPDX-License-Identifier: MIT */
/* The socket device's description, and connections. */
#include <vz/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "config/config_impl.h"
#include "config/socket_connection.h"

OBJECT_DEFINE_COUNTED(socket_device);
OBJECT_DEFINE_COUNTED(socket_connection);

/* ---- The device ----------------------------------------------------------------------------- */

static void destroy_device(void *object)
{
    struct vz_socket_device *d = object;

    for (unsigned i = 0; i < d->forward_count; i++)
        free((char *)d->forward[i].path);
    free(d->forward);
}

static int copy_forwards(struct vz_socket_device *d, const struct vz_virtio_socket_options *o,
                         struct vz_error *err)
{
    d->forward = calloc(o->forward_count + 1, sizeof(*d->forward));
    if (!d->forward)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    for (unsigned i = 0; i < o->forward_count; i++) {
        char *path = options_text(o->forwards[i].path, "path", err);

        if (!path)
            return -EINVAL;
        d->forward[i] = o->forwards[i];
        d->forward[i].path = path;
        d->forward_count++;
    }
    return 0;
}

struct vz_socket_device *
vz_virtio_socket_device_new(const struct vz_virtio_socket_options *options, struct vz_error *err)
{
    struct vz_virtio_socket_options o = VZ_VIRTIO_SOCKET_OPTIONS_INIT;
    struct vz_socket_device *d;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    if (o.forward_count > VZ_SOCKET_FORWARDS_MAX) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "%u forwards are more than %u", o.forward_count,
                  VZ_SOCKET_FORWARDS_MAX);
        return NULL;
    }
    if (o.forward_count && !options_given(o.forwards, "forwards", err))
        return NULL;
    d = object_new(sizeof(*d), destroy_device, err);
    if (!d)
        return NULL;
    d->guest_cid = o.guest_cid;
    if (copy_forwards(d, &o, err) < 0) {
        vz_socket_device_unref(d);
        return NULL;
    }
    return d;
}

/* ---- Connections ---------------------------------------------------------------------------- */

struct vz_socket_connection {
    struct object object;
    atomic_int fd;
    uint32_t source_port, destination_port;
};

static void destroy_connection(void *object)
{
    vz_socket_connection_close(object);
}

struct vz_socket_connection *socket_connection_new(int fd, uint32_t source_port,
                                                   uint32_t destination_port)
{
    struct vz_socket_connection *c = object_new(sizeof(*c), destroy_connection, NULL);

    if (!c) {
        close(fd);
        return NULL;
    }
    atomic_init(&c->fd, fd);
    c->source_port = source_port;
    c->destination_port = destination_port;
    return c;
}

int vz_socket_connection_fd(const struct vz_socket_connection *c)
{
    return c ? atomic_load(&c->fd) : -1;
}

uint32_t vz_socket_connection_source_port(const struct vz_socket_connection *c)
{
    return c->source_port;
}

uint32_t vz_socket_connection_destination_port(const struct vz_socket_connection *c)
{
    return c->destination_port;
}

void vz_socket_connection_close(struct vz_socket_connection *c)
{
    int fd = c ? atomic_exchange(&c->fd, -1) : -1;

    if (fd >= 0)
        close(fd);
}
