/* SPDX-License-Identifier: MIT */
/* Ports of the host that lead into the guest. libslirp serves them where both ends are of one IP
 * version, with two wishes of ours on its socket: a backlog (its own of 1 lets Linux drop the SYNs
 * of whoever comes third, which costs each a second) and that accept() never waits. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "loop/listener.h"
#include "net/net_nat.h"

#define DATAGRAM_BUFFER (1 << 20) /* bytes of datagrams that may wait; less if the host says so */

/* A numeric address of either kind. Its length as a sockaddr; 0: it is none. */
static socklen_t parse_address(const char *text, uint16_t port, union nat_address *ret)
{
    *ret = (union nat_address){0};
    if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        return sizeof(ret->v4);
    }
    if (inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(port);
        return sizeof(ret->v6);
    }
    return 0;
}

static const char *host_of(const struct net_forward *f)
{
    return f->host ? f->host : "127.0.0.1";
}

static int parse(const struct net_forward *f, struct nat_forward *ret, struct vz_error *err)
{
    ret->udp = f->udp;
    ret->host_len = parse_address(host_of(f), f->host_port, &ret->host);
    if (!ret->host_len)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "forward: '%s' is no numeric address",
                         host_of(f));
    /* 0.0.0.0 is whom DHCP gave the first address. */
    ret->guest_len = parse_address(f->guest ? f->guest : "0.0.0.0", f->guest_port, &ret->guest);
    if (!ret->guest_len)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "forward: '%s' is no numeric address",
                         f->guest);
    if (!f->guest_port)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "forward: the guest's port is missing");
    return 0;
}

/* ---- slirp's -------------------------------------------------------------------------------- */

static int flags_of(bool udp, const union nat_address *host)
{
    return (udp ? SLIRP_HOSTFWD_UDP : 0) |
           (host->any.sa_family == AF_INET6 ? SLIRP_HOSTFWD_V6ONLY : 0);
}

struct search {
    struct net_nat *nat;
    int found;
};

static int search_poll(int fd, int events, void *arg)
{
    struct search *s = arg;

    if (fd >= 0 && ((unsigned)fd >= s->nat->fd_count || s->nat->fds[fd].round != s->nat->round))
        s->found = fd;
    return fd;
}

/* slirp does not tell which descriptor it made, but waits for it from now on: it is the one that
 * was not there in this round. */
static int find_new_fd(struct net_nat *t)
{
    struct search s = {.nat = t, .found = -1};
    uint32_t timeout_ms = UINT32_MAX;

    libslirp.pollfds_fill(t->slirp, &timeout_ms, search_poll, &s);
    return s.found;
}

static void prepare(int fd, bool udp)
{
    const int buffer = DATAGRAM_BUFFER;

    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (udp)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    else
        (void)listen(fd, LISTENER_BACKLOG);
}

int net_nat_slirp_forward(struct net_nat *t, const struct nat_forward *f)
{
    int fd;

    net_nat_update_wait(t);
    if (libslirp.add_hostxfwd(t->slirp, &f->host.any, f->host_len, &f->guest.any, f->guest_len,
                           flags_of(f->udp, &f->host)) < 0)
        return -errno;
    fd = find_new_fd(t);
    if (fd < 0)
        return -ENOTSOCK;
    prepare(fd, f->udp);
    if (net_nat_know_fd(t, fd))
        t->fds[fd].listens = !f->udp;
    loop_work_queue(t->net.loop, &t->work);
    return fd;
}

int net_nat_slirp_unforward(struct net_nat *t, bool udp, const union nat_address *host,
                            socklen_t host_len)
{
    return libslirp.remove_hostxfwd(t->slirp, &host->any, host_len, flags_of(udp, host)) < 0 ? -ENOENT
                                                                                          : 0;
}

/* ---- Ours ----------------------------------------------------------------------------------- */

/* Returns the host's port, or -errno. */
static int add(struct net_nat *t, const struct nat_forward *f)
{
    union nat_address got = f->host;
    socklen_t len = sizeof(got);
    int fd;

    if (f->host.any.sa_family != f->guest.any.sa_family)
        return net_nat_front_add(t, f);
    fd = net_nat_slirp_forward(t, f);
    if (fd < 0)
        return fd;
    return getsockname(fd, &got.any, &len) < 0 ? -errno : ntohs(got.v4.sin_port);
}

int nat_forward_add(struct net *n, const struct net_forward *f, struct vz_error *err)
{
    struct net_nat *t = container_of(n, struct net_nat, net);
    struct nat_forward p;
    int r = parse(f, &p, err);

    if (r < 0)
        return r;
    r = add(t, &p);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_IO, "forward: cannot listen on %s port %u (%s): %s",
                         host_of(f), f->host_port, f->udp ? "UDP" : "TCP", strerror(-r));
    return r;
}

int nat_forward_remove(struct net *n, const struct net_forward *f, struct vz_error *err)
{
    struct net_nat *t = container_of(n, struct net_nat, net);
    struct nat_forward p;
    int r = parse(f, &p, err);

    if (r < 0)
        return r;
    if (!net_nat_front_remove(t, p.udp, &p.host) &&
        net_nat_slirp_unforward(t, p.udp, &p.host, p.host_len) < 0)
        return error_set(err, ENOENT, VZ_ERROR_INVALID, "forward: none from %s port %u (%s)",
                         host_of(f), f->host_port, f->udp ? "UDP" : "TCP");
    return 0;
}
