/* SPDX-License-Identifier: MIT */
#include "device/socket_forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/unix_socket.h"
#include "config/config_impl.h"
#include "loop/loop.h"
#include "virtio/vsock.h"

#define BACKLOG 128

struct forward {
    struct socket_forwards *all;
    const struct vz_socket_forward *what;
    int fd; /* listens at path; -1: to the host */
    struct loop_fd *watch;
};

struct socket_forwards {
    struct virtio_dev *dev;
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
static void on_peer(void *arg, unsigned events)
{
    struct forward *f = arg;
    int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), r;

    if (fd < 0)
        return;
    r = vsock_connect_fd(f->all->dev, f->what->port, fd);
    if (r < 0)
        log_debug("%s: not connected to the guest's port %u: %s", f->what->path, f->what->port,
                  strerror(-r));
}

/* The guest at port: somebody at path is asked. */
static int open_peer(void *arg, uint32_t guest_port)
{
    const struct forward *f = arg;
    struct sockaddr_un a = address(f->what->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;

    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    r = -errno;
    log_debug("%s: the guest's connection to port %u is refused: %s", f->what->path, f->what->port,
              strerror(-r));
    if (fd >= 0)
        close(fd);
    return r;
}

static int listen_at(struct forward *f, struct loop *loop, struct vz_error *err)
{
    int fd = unix_socket_listen(f->what->path, BACKLOG);

    if (fd < 0)
        return error_set(err, -fd, VZ_ERROR_IO, "%s: %s", f->what->path, strerror(-fd));
    f->fd = fd; /* from now on path is ours to remove */
    return loop_fd_add(loop, fd, 0, on_peer, f, &f->watch);
}

int socket_forwards_open(const struct vz_socket_device *d, struct loop *loop,
                         struct socket_forwards **ret, struct vz_error *err)
{
    struct socket_forwards *all;
    int r = 0;

    *ret = NULL;
    if (!d || !d->forward_count)
        return 0;
    all = calloc(1, sizeof(*all) + d->forward_count * sizeof(all->forward[0]));
    if (!all)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    for (; !r && all->count < d->forward_count; all->count++) {
        struct forward *f = &all->forward[all->count];

        *f = (struct forward){.all = all, .what = &d->forward[all->count], .fd = -1};
        if (f->what->to_guest)
            r = listen_at(f, loop, err);
    }
    if (r < 0)
        socket_forwards_close(all);
    else
        *ret = all;
    return r;
}

int socket_forwards_start(struct socket_forwards *all, struct virtio_dev *dev,
                          struct vz_error *err)
{
    for (unsigned i = 0; all && i < all->count; i++) {
        struct forward *f = &all->forward[i];
        int r;

        all->dev = dev;
        if (f->fd >= 0) {
            loop_fd_set(f->watch, LOOP_READ);
            continue;
        }
        r = vsock_listen_open(dev, f->what->port, open_peer, f);
        if (r < 0)
            return error_set(err, -r, VZ_ERROR_INTERNAL, "port %u: %s", f->what->port,
                             strerror(-r));
    }
    return 0;
}

void socket_forwards_close(struct socket_forwards *all)
{
    for (unsigned i = 0; all && i < all->count; i++) {
        struct forward *f = &all->forward[i];

        loop_fd_remove(f->watch);
        if (f->fd >= 0) {
            close(f->fd);
            unlink(f->what->path);
        }
    }
    free(all);
}
