/* SPDX-License-Identifier: MIT */
/* Ports of the host that lead into the guest. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "net/net_nat.h"

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* A numeric address of either kind. Its length as a sockaddr; 0: it is none. */
static socklen_t parse_address(const char *text, uint16_t port, union address *ret)
{
    *ret = (union address){0};
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

struct forward {
    union address host, guest;
    socklen_t host_len, guest_len;
    int flags;
};

static const char *host_of(const struct net_forward *f)
{
    return f->host ? f->host : "127.0.0.1";
}

static int parse(const struct net_forward *f, struct forward *ret, struct vz_error *err)
{
    ret->flags = f->udp ? SLIRP_HOSTFWD_UDP : 0;
    ret->host_len = parse_address(host_of(f), f->host_port, &ret->host);
    if (!ret->host_len)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "forward: '%s' is no numeric address",
                         host_of(f));
    if (ret->host.any.sa_family == AF_INET6)
        ret->flags |= SLIRP_HOSTFWD_V6ONLY;
    /* 0.0.0.0 is whom DHCP gave the first address. */
    ret->guest_len = parse_address(f->guest ? f->guest : "0.0.0.0", f->guest_port, &ret->guest);
    if (!ret->guest_len)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "forward: '%s' is no numeric address",
                         f->guest);
    if (!f->guest_port)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "forward: the guest's port is missing");
    return 0;
}

/* A port nobody uses, for port 0: asked of the system, as slirp does not tell which it got.
 * Somebody else may take it in between; then adding the forward fails. */
static int choose_port(struct forward *f)
{
    int fd = socket(f->host.any.sa_family,
                    (f->flags & SLIRP_HOSTFWD_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    union address got = f->host;
    socklen_t len = sizeof(got);

    if (fd < 0)
        return -errno;
    if (bind(fd, &got.any, f->host_len) < 0 || getsockname(fd, &got.any, &len) < 0) {
        int r = -errno;

        close(fd);
        return r;
    }
    close(fd);
    f->host.v4.sin_port = got.v4.sin_port; /* at the same place in both */
    return 0;
}

int net_nat_forward_add(struct net *n, const struct net_forward *f, struct vz_error *err)
{
    struct net_nat *t = container_of(n, struct net_nat, net);
    struct forward p;
    int r = parse(f, &p, err);

    if (r < 0)
        return r;
    if (!f->host_port)
        r = choose_port(&p);
    if (!r && slirp_add_hostxfwd(t->slirp, &p.host.any, p.host_len, &p.guest.any, p.guest_len,
                                 p.flags) < 0)
        r = -errno;
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_IO, "forward: cannot listen on %s port %u (%s): %s",
                         host_of(f), f->host_port, f->udp ? "UDP" : "TCP", strerror(-r));
    loop_work_queue(n->loop, &t->work);
    return ntohs(p.host.v4.sin_port);
}

int net_nat_forward_remove(struct net *n, const struct net_forward *f, struct vz_error *err)
{
    struct net_nat *t = container_of(n, struct net_nat, net);
    struct forward p;
    int r = parse(f, &p, err);

    if (r < 0)
        return r;
    if (slirp_remove_hostxfwd(t->slirp, &p.host.any, p.host_len, p.flags) < 0)
        return error_set(err, ENOENT, VZ_ERROR_INVALID, "forward: none from %s port %u (%s)",
                         host_of(f), f->host_port, f->udp ? "UDP" : "TCP");
    return 0;
}
