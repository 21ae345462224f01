/* SPDX-License-Identifier: MIT */
/* A serial line that a peer reaches through a Unix socket: it may come and go as it likes. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/unix_socket.h"
#include "char/char_backend.h"
#include "loop/listener.h"
#include "loop/loop.h"

struct char_unix {
    struct char_dev c;
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    int listen_fd, fd; /* fd: the peer, or -1 */
    bool in_wanted, out_wanted;
    struct loop_listener *listen;
    struct loop_fd *peer;
};

static struct char_unix *to_unix(struct char_dev *c)
{
    return container_of(c, struct char_unix, c);
}

static void watch_peer(struct char_unix *u)
{
    if (u->peer)
        loop_fd_set(u->peer, (u->in_wanted ? LOOP_READ : 0) | (u->out_wanted ? LOOP_WRITE : 0));
}

static void peer_gone(struct char_unix *u)
{
    if (u->fd < 0)
        return;
    loop_fd_remove(u->peer);
    close(u->fd);
    u->peer = NULL;
    u->fd = -1;
    u->out_wanted = false;
    char_backend_opened(&u->c, false);
    char_backend_writable(&u->c); /* what waits is dropped */
}

static void peer_read(struct char_unix *u)
{
    uint8_t data[4096];
    size_t room = char_backend_room(&u->c);
    ssize_t n;

    if (!room) {
        u->in_wanted = false;
        watch_peer(u);
        return;
    }
    n = recv(u->fd, data, MIN(room, sizeof(data)), MSG_DONTWAIT);
    if (n > 0)
        char_backend_receive(&u->c, data, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        peer_gone(u);
}

static void peer_event(void *arg, unsigned events)
{
    struct char_unix *u = arg;

    if (events & LOOP_WRITE) {
        u->out_wanted = false;
        watch_peer(u);
        char_backend_writable(&u->c);
    }
    if ((events & LOOP_READ) && u->fd >= 0)
        peer_read(u);
}

/* While the guest takes no input the peer is not watched, and may have gone unnoticed. */
static void check_peer(struct char_unix *u)
{
    struct pollfd p = {.fd = u->fd, .events = POLLRDHUP};

    if (u->fd >= 0 && poll(&p, 1, 0) > 0)
        peer_gone(u);
}

static void on_connection(void *arg, int fd)
{
    struct char_unix *u = arg;

    check_peer(u);
    if (u->fd >= 0 || loop_fd_add(u->c.loop, fd, 0, peer_event, u, &u->peer) < 0) {
        close(fd);
        return;
    }
    u->fd = fd;
    u->in_wanted = true;
    watch_peer(u);
    char_backend_opened(&u->c, true);
}

static ssize_t unix_write(struct char_dev *c, const uint8_t *data, size_t len)
{
    struct char_unix *u = to_unix(c);
    ssize_t n;

    if (u->fd < 0)
        return (ssize_t)len;
    n = send(u->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    if (errno != EAGAIN && errno != EINTR)
        return (ssize_t)len; /* the peer is going; its end comes through peer_read() */
    u->out_wanted = true;
    watch_peer(u);
    return -EAGAIN;
}

static void unix_want_input(struct char_dev *c, bool wanted)
{
    to_unix(c)->in_wanted = wanted;
    watch_peer(to_unix(c));
}

static int unix_wait(struct char_dev *c, int timeout_ms)
{
    struct pollfd p = {.fd = to_unix(c)->fd, .events = POLLOUT};

    return poll(&p, 1, timeout_ms) > 0 ? 0 : -ETIMEDOUT;
}

static void unix_close(struct char_dev *c)
{
    struct char_unix *u = to_unix(c);

    loop_fd_remove(u->peer);
    loop_listener_destroy(u->listen);
    if (u->fd >= 0)
        close(u->fd);
    if (u->listen_fd >= 0) {
        close(u->listen_fd);
        unlink(u->path);
    }
}

static const struct char_ops unix_ops = {
    .name = "the Unix socket", .write = unix_write, .want_input = unix_want_input,
    .wait = unix_wait, .close = unix_close};

static int start_listening(struct char_unix *u)
{
    int r;

    u->listen_fd = unix_socket_listen(u->path, LISTENER_BACKLOG);
    if (u->listen_fd < 0)
        return u->listen_fd;
    r = loop_listener_create(u->c.loop, u->listen_fd, on_connection, u, &u->listen);
    if (!r)
        loop_listener_set(u->listen, true);
    return r;
}

int char_unix_create(struct loop *loop, const char *path, struct char_dev **ret,
                     struct vz_error *err)
{
    struct char_unix *u;
    int r;

    if (strlen(path) >= sizeof(u->path))
        return error_set(err, ENAMETOOLONG, VZ_ERROR_INVALID, "%s: too long for a Unix socket",
                         path);
    u = calloc(1, sizeof(*u));
    if (!u || char_backend_init(&u->c, &unix_ops, loop) < 0) {
        free(u);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    u->fd = u->listen_fd = -1;
    strcpy(u->path, path);
    u->c.path = u->path;
    u->c.no_peer = true;
    r = start_listening(u);
    if (r < 0) {
        char_destroy(&u->c);
        return error_set(err, -r, VZ_ERROR_IO, "%s: %s", path, strerror(-r));
    }
    *ret = &u->c;
    return 0;
}
