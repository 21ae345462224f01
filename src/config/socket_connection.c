/* SPDX-License-Identifier: MIT */
/* Connections to guests' sockets. */
#include "config/socket_connection.h"

#include <unistd.h>

#include "config/object.h"

struct vz_socket_connection *vz_socket_connection_ref(struct vz_socket_connection *object)
{
    return object_ref(object);
}

void vz_socket_connection_unref(struct vz_socket_connection *object)
{
    object_unref(object);
}

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
