/* SPDX-License-Identifier: MIT */
/* The socket device, and ports of it joined to Unix sockets of the host. The device reads and
 * writes those sockets itself; nothing is copied here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/unix_socket.h"
#include "config/objects.h"
#include "device/device_kinds.h"
#include "device/virtio_slot.h"
#include "loop/listener.h"
#include "virtio/vsock.h"

struct forward {
    struct device_slot *slot;
    const struct vz_socket_forward *what;
    int fd; /* listens at path; -1: to the host */
    struct loop_listener *listener;
};

/* slot->host */
struct forwards {
    unsigned count;
    struct forward forward[];
};

static struct sockaddr_un address(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    strncpy(a.sun_path, path, sizeof(a.sun_path) - 1); /* its length was validated */
    return a;
}

/* Somebody at path: the guest's port is asked. */
static void on_peer(void *arg, int fd)
{
    struct forward *f = arg;
    int r = vsock_connect_fd(f->slot->model, f->what->port, fd);

    if (r < 0)
        log_debug("%s: not connected to the guest's port %u: %s", f->what->path, f->what->port,
                  strerror(-r));
}

/* The guest at port: somebody at path is asked, who must take sockets of that type. */
static int open_peer(void *arg, uint32_t guest_port, int type)
{
    const struct forward *f = arg;
    struct sockaddr_un a = address(f->what->path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;

    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    r = -errno;
    log_debug("%s: the guest's connection to port %u is refused: %s", f->what->path, f->what->port,
              strerror(-r));
    if (fd >= 0)
        close(fd);
    return r;
}

static int listen_at(struct forward *f, struct vz_error *err)
{
    int fd = unix_socket_listen(f->what->path, LISTENER_BACKLOG), r;

    if (fd < 0)
        return error_set(err, -fd, VZ_ERROR_IO, "%s: %s", f->what->path, strerror(-fd));
    f->fd = fd; /* from now on path is ours to remove */
    r = loop_listener_create(f->slot->env->loop, fd, on_peer, f, &f->listener);
    return r < 0 ? error_set(err, -r, VZ_ERROR_IO, "%s: %s", f->what->path, strerror(-r)) : 0;
}

static int vsock_open(struct device_slot *s, struct vz_error *err)
{
    const struct vz_socket_device *d = s->config;
    struct forwards *all = calloc(1, sizeof(*all) + d->forward_count * sizeof(all->forward[0]));
    int r = 0;

    if (!all)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    s->host = all;
    for (; !r && all->count < d->forward_count; all->count++) {
        struct forward *f = &all->forward[all->count];

        *f = (struct forward){.slot = s, .what = &d->forward[all->count], .fd = -1};
        if (f->what->to_guest)
            r = listen_at(f, err);
    }
    return r;
}

static int vsock_create(struct device_slot *s, struct vz_error *err)
{
    const struct vz_socket_device *d = s->config;
    const struct vsock_options o = {.guest_cid = d->guest_cid};

    return virtio_slot_create(s, &virtio_vsock_ops, &o, 0, err);
}

/* Let connections through. */
static int vsock_start(struct device_slot *s, struct vz_error *err)
{
    struct forwards *all = s->host;

    for (unsigned i = 0; i < all->count; i++) {
        struct forward *f = &all->forward[i];
        int r = 0;

        if (f->fd >= 0)
            loop_listener_set(f->listener, true);
        else
            r = vsock_listen_open(s->model, f->what->port, open_peer, f);
        if (r < 0)
            return error_set(err, -r, VZ_ERROR_INTERNAL, "port %u: %s", f->what->port,
                             strerror(-r));
    }
    return 0;
}

static void vsock_close(struct device_slot *s)
{
    struct forwards *all = s->host;

    for (unsigned i = 0; all && i < all->count; i++) {
        struct forward *f = &all->forward[i];

        loop_listener_destroy(f->listener);
        if (f->fd >= 0) {
            close(f->fd);
            unlink(f->what->path);
        }
    }
    free(all);
}

const struct device_kind vsock_kind = {
    .type = &config_virtio_socket_type, VIRTIO_SLOT, .model = "virtio/vsock",
    .open = vsock_open, .create = vsock_create, .start = vsock_start, .close = vsock_close};
