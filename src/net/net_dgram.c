/* SPDX-License-Identifier: MIT */
/* A datagram socket of Ethernet frames, one a datagram: to another machine, a switch, or whatever
 * program holds the other end. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/error.h"
#include "net/net_backend.h"

#define FRAMES_PER_EVENT 64u /* then others on the loop get a turn */

struct net_dgram {
    struct net net;
    int fd, type; /* SOCK_DGRAM, SOCK_SEQPACKET */
    struct loop_fd *watch;
    bool want_read, want_write;
    uint8_t *buffer; /* NET_FRAME_MAX + 1, to notice longer ones */
    size_t held;     /* bytes of a frame that the guest had no room for; 0: none */
};

static struct net_dgram *from_net(struct net *n)
{
    return container_of(n, struct net_dgram, net);
}

static void update_events(struct net_dgram *d)
{
    loop_fd_set(d->watch, (d->want_read ? LOOP_READ : 0u) | (d->want_write ? LOOP_WRITE : 0u));
}

/* Errors that say something about one datagram only. */
static bool is_passing(int err)
{
    return err == EMSGSIZE || err == ENOBUFS || err == ENOMEM || err == EINTR ||
           err == EHOSTUNREACH || err == ENETUNREACH || err == ENETDOWN;
}

/* A UDP peer that is not there may come yet; a Unix one that went away does not come back. */
static bool is_end(const struct net_dgram *d, int err)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);

    if (is_passing(err))
        return false;
    if (err == ECONNREFUSED && getsockname(d->fd, (struct sockaddr *)&name, &len) == 0)
        return name.ss_family == AF_UNIX;
    return true;
}

static int dgram_send(struct net *n, const struct virtio_net_hdr *hdr, const struct iovec *iov,
                      unsigned count, size_t len)
{
    struct net_dgram *d = from_net(n);
    struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = count};

    if (sendmsg(d->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return 0;
    if (errno == EAGAIN) {
        d->want_write = true;
        update_events(d);
        return -EAGAIN;
    }
    if (is_end(d, errno))
        return -errno;
    NET_COUNT(n, dropped, 1);
    return 0;
}

static bool deliver(struct net_dgram *d, size_t len)
{
    static const struct virtio_net_hdr plain = {0};

    if (net_backend_receive(&d->net, &plain, d->buffer, len))
        return true;
    d->held = len;
    return false;
}

static void read_frames(struct net_dgram *d)
{
    for (unsigned i = 0; i < FRAMES_PER_EVENT && d->want_read; i++) {
        ssize_t len = recv(d->fd, d->buffer, NET_FRAME_MAX + 1, MSG_DONTWAIT);

        if (len < 0 && errno == EAGAIN)
            break;
        if (len < 0 ? is_end(d, errno) : !len && d->type == SOCK_SEQPACKET) {
            d->want_read = false;
            net_backend_failed(&d->net, len ? -errno : -EPIPE);
            break;
        }
        if (len >= 0 && !deliver(d, (size_t)len))
            break;
    }
    net_backend_received(&d->net);
    update_events(d);
}

static void on_event(void *arg, unsigned events)
{
    struct net_dgram *d = arg;

    if (events & LOOP_WRITE) {
        d->want_write = false;
        net_backend_writable(&d->net);
    }
    if (events & LOOP_READ)
        read_frames(d);
    else
        update_events(d);
}

static void dgram_want_input(struct net *n, bool wanted)
{
    struct net_dgram *d = from_net(n);

    d->want_read = wanted && !n->lost;
    if (!n->client)
        d->held = 0;
    if (d->held && wanted) {
        size_t len = d->held;

        d->held = 0;
        (void)deliver(d, len); /* which keeps it again, and clears want_read, when it must */
    }
    update_events(d);
}

static void dgram_close(struct net *n)
{
    struct net_dgram *d = from_net(n);

    loop_fd_remove(d->watch);
    free(d->buffer);
}

static const struct net_ops dgram_ops = {
    .name = "datagram socket", .send = dgram_send, .want_input = dgram_want_input,
    .close = dgram_close};

/* Its type, or -errno. */
static int check_socket(int fd, struct vz_error *err)
{
    int type = 0;
    socklen_t len = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return error_set(err, errno, VZ_ERROR_INVALID, "network: descriptor %d is no socket", fd);
    if (type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return error_set(err, EPROTOTYPE, VZ_ERROR_INVALID,
                         "network: descriptor %d is no datagram socket", fd);
    return type;
}

int net_dgram_create(struct loop *loop, int fd, unsigned mtu, struct net **ret,
                     struct vz_error *err)
{
    struct net_dgram *d;
    int r = check_socket(fd, err);

    if (r < 0)
        return r;
    if (mtu < NET_MTU_MIN || mtu > NET_MTU_MAX)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "network: MTU %u is not %u to %u", mtu,
                         NET_MTU_MIN, NET_MTU_MAX);
    d = calloc(1, sizeof(*d));
    if (!d)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    d->fd = fd;
    d->type = r;
    d->buffer = malloc(NET_FRAME_MAX + 1);
    r = net_backend_init(&d->net, &dgram_ops, loop, mtu);
    if (!r && !d->buffer)
        r = -ENOMEM;
    if (!r)
        r = loop_fd_add(loop, fd, 0, on_event, d, &d->watch);
    if (r < 0) {
        net_destroy(&d->net);
        return error_set(err, -r, VZ_ERROR_IO, "network: cannot watch descriptor %d", fd);
    }
    *ret = &d->net;
    return 0;
}
