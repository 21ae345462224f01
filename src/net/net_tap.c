/* SPDX-License-Identifier: MIT */
/* A tap interface of the host: the guest's card is wired to the host's kernel, which takes large
 * and unfinished packets as a good card does. With a bridge, the tap becomes one of its ports. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "net/net_backend.h"

#define FRAMES_PER_EVENT 64u
#define IOV_MAX_ 64u /* pieces of a frame written at once; more are gathered first */
#ifndef TUN_F_USO4 /* since Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct net_tap {
    struct net net;
    int fd;
    char name[IFNAMSIZ];
    struct loop_fd *watch;
    bool want_read, want_write;
    uint8_t *buffer; /* header and frame from the host */
    size_t held;     /* bytes of it that the guest had no room for; 0: none */
    uint8_t *gathered; /* NET_FRAME_MAX */
};

#define BUFFER_SIZE (sizeof(struct virtio_net_hdr) + NET_FRAME_MAX)

static struct net_tap *from_net(struct net *n)
{
    return container_of(n, struct net_tap, net);
}

static void update_events(struct net_tap *t)
{
    loop_fd_set(t->watch, (t->want_read ? LOOP_READ : 0u) | (t->want_write ? LOOP_WRITE : 0u));
}

static unsigned build_iov(struct net_tap *t, const struct virtio_net_hdr *hdr,
                          const struct iovec *iov, unsigned count, struct iovec *ret)
{
    size_t len = 0;

    ret[0] = (struct iovec){(void *)hdr, sizeof(*hdr)};
    if (count < IOV_MAX_) {
        memcpy(ret + 1, iov, count * sizeof(*iov));
        return count + 1;
    }
    for (unsigned i = 0; i < count; i++) {
        memcpy(t->gathered + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    ret[1] = (struct iovec){t->gathered, len};
    return 2;
}

static int tap_send(struct net *n, const struct virtio_net_hdr *hdr, const struct iovec *iov,
                    unsigned count, size_t len)
{
    struct net_tap *t = from_net(n);
    struct iovec all[IOV_MAX_];

    count = build_iov(t, hdr, iov, count, all);
    if (writev(t->fd, all, (int)count) >= 0)
        return 0;
    if (errno == EAGAIN) {
        t->want_write = true;
        update_events(t);
        return -EAGAIN;
    }
    /* EINVAL: the guest's header makes no sense; EIO: the interface is down, for now. */
    if (errno == EBADFD || errno == ENODEV)
        return -errno;
    NET_COUNT(n, dropped, 1);
    return 0;
}

static bool deliver(struct net_tap *t, size_t len)
{
    struct virtio_net_hdr hdr;

    memcpy(&hdr, t->buffer, sizeof(hdr));
    if (net_backend_receive(&t->net, &hdr, t->buffer + sizeof(hdr), len - sizeof(hdr)))
        return true;
    t->held = len;
    return false;
}

static void read_frames(struct net_tap *t)
{
    for (unsigned i = 0; i < FRAMES_PER_EVENT && t->want_read; i++) {
        ssize_t len = read(t->fd, t->buffer, BUFFER_SIZE);

        if (len < 0 && (errno == EBADFD || errno == ENODEV)) {
            t->want_read = false;
            net_backend_failed(&t->net, -errno);
        }
        if (len < (ssize_t)sizeof(struct virtio_net_hdr) || !deliver(t, (size_t)len))
            break;
    }
    net_backend_received(&t->net);
    update_events(t);
}

static void on_event(void *arg, unsigned events)
{
    struct net_tap *t = arg;

    if (events & LOOP_WRITE) {
        t->want_write = false;
        net_backend_writable(&t->net);
    }
    if (events & LOOP_READ)
        read_frames(t);
    else
        update_events(t);
}

static void tap_want_input(struct net *n, bool wanted)
{
    struct net_tap *t = from_net(n);

    t->want_read = wanted && !n->lost;
    if (!n->client)
        t->held = 0;
    if (t->held && wanted) {
        size_t len = t->held;

        t->held = 0;
        (void)deliver(t, len); /* which keeps it again when it must */
    }
    update_events(t);
}

/* What the kernel may hand us: only what the guest takes, so that nothing needs cutting here. */
static void tap_set_offloads(struct net *n, unsigned offloads)
{
    struct net_tap *t = from_net(n);
    unsigned f = 0;

    if (offloads & NET_CSUM) {
        f = TUN_F_CSUM | (offloads & NET_TSO4 ? TUN_F_TSO4 : 0u) |
            (offloads & NET_TSO6 ? TUN_F_TSO6 : 0u);
        if (f != TUN_F_CSUM && (offloads & NET_ECN))
            f |= TUN_F_TSO_ECN;
    }
    if ((offloads & NET_USO) && f &&
        ioctl(t->fd, TUNSETOFFLOAD, f | TUN_F_USO4 | TUN_F_USO6) == 0)
        return;
    if (ioctl(t->fd, TUNSETOFFLOAD, f) < 0)
        (void)ioctl(t->fd, TUNSETOFFLOAD, 0); /* net_core.c makes up for all of it */
}

static void tap_close(struct net *n)
{
    struct net_tap *t = from_net(n);

    loop_fd_remove(t->watch);
    if (t->fd >= 0)
        close(t->fd);
    free(t->buffer);
    free(t->gathered);
}

static const struct net_ops tap_ops = {
    .name = "tap", .offloads = NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN, .send = tap_send,
    .want_input = tap_want_input, .set_offloads = tap_set_offloads, .close = tap_close};

static bool set_name(char *to, const char *name)
{
    if (!name)
        return true;
    if (!*name || strlen(name) >= IFNAMSIZ)
        return false;
    strcpy(to, name);
    return true;
}

static int open_tap(struct net_tap *t, const char *name, struct vz_error *err)
{
    struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int size = sizeof(struct virtio_net_hdr);

    if (!set_name(ifr.ifr_name, name))
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "tap: '%s' is no name of an interface (1 to 15 bytes)", name);
    t->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (t->fd < 0)
        return error_set(err, errno, VZ_ERROR_UNSUPPORTED, "tap: cannot open /dev/net/tun: %s",
                         strerror(errno));
    if (ioctl(t->fd, TUNSETIFF, &ifr) < 0)
        return error_set(err, errno, VZ_ERROR_UNSUPPORTED, "tap: cannot make or use '%s': %s",
                         name ? name : "an interface", strerror(errno));
    if (ioctl(t->fd, TUNSETVNETHDRSZ, &size) < 0)
        return error_set(err, errno, VZ_ERROR_UNSUPPORTED, "tap: no offload headers: %s",
                         strerror(errno));
    memcpy(t->name, ifr.ifr_name, IFNAMSIZ);
    return 0;
}

/* Its MTU, or the least there is when nobody knows. */
static unsigned ask_mtu(int sock, const char *name)
{
    struct ifreq ifr = {0};

    strcpy(ifr.ifr_name, name);
    if (ioctl(sock, SIOCGIFMTU, &ifr) < 0 || ifr.ifr_mtu < (int)NET_MTU_MIN)
        return NET_MTU_MIN;
    return MIN((unsigned)ifr.ifr_mtu, NET_MTU_MAX);
}

static int switch_on(int sock, const char *name)
{
    struct ifreq ifr = {0};

    strcpy(ifr.ifr_name, name);
    if (ioctl(sock, SIOCGIFFLAGS, &ifr) < 0)
        return -errno;
    if (ifr.ifr_flags & IFF_UP)
        return 0;
    ifr.ifr_flags |= IFF_UP;
    return ioctl(sock, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

static int join_bridge(int sock, const char *name, const char *bridge, struct vz_error *err)
{
    struct ifreq ifr = {0}, port = {0};

    if (!set_name(ifr.ifr_name, bridge))
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "bridge: '%s' is no name of an interface (1 to 15 bytes)", bridge);
    strcpy(port.ifr_name, name);
    if (ioctl(sock, SIOCGIFINDEX, &port) < 0)
        return error_set(err, errno, VZ_ERROR_IO, "bridge: %s is gone: %s", name,
                         strerror(errno));
    ifr.ifr_ifindex = port.ifr_ifindex;
    if (ioctl(sock, SIOCBRADDIF, &ifr) < 0 && errno != EBUSY) /* busy: it is in there already */
        return error_set(err, errno, errno == EPERM ? VZ_ERROR_UNSUPPORTED : VZ_ERROR_INVALID,
                         "bridge: cannot put %s into '%s': %s", name, bridge, strerror(errno));
    return 0;
}

static int set_up_interface(struct net_tap *t, const struct net_tap_options *o,
                            struct vz_error *err)
{
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r = 0;

    if (sock < 0)
        return error_set(err, errno, VZ_ERROR_IO, "tap: no socket: %s", strerror(errno));
    if (o->bridge)
        r = join_bridge(sock, t->name, o->bridge, err);
    if (!r && o->bridge) {
        r = switch_on(sock, t->name);
        if (r < 0)
            error_set(err, -r, VZ_ERROR_UNSUPPORTED, "tap: cannot switch on %s: %s", t->name,
                      strerror(-r));
    }
    t->net.mtu = ask_mtu(sock, t->name);
    close(sock);
    return r;
}

int net_tap_create(struct loop *loop, const struct net_tap_options *options, struct net **ret,
                   struct vz_error *err)
{
    struct net_tap *t = calloc(1, sizeof(*t));
    int r;

    if (!t)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    t->fd = -1;
    t->buffer = malloc(BUFFER_SIZE);
    t->gathered = malloc(NET_FRAME_MAX);
    r = net_backend_init(&t->net, &tap_ops, loop, NET_MTU_MIN);
    if (!r && (!t->buffer || !t->gathered))
        r = -ENOMEM;
    if (r < 0)
        error_set(err, -r, VZ_ERROR_NO_MEMORY, "tap: %s", strerror(-r));
    if (!r)
        r = open_tap(t, options->name, err);
    if (!r)
        r = set_up_interface(t, options, err);
    if (!r) {
        r = loop_fd_add(loop, t->fd, 0, on_event, t, &t->watch);
        if (r < 0)
            error_set(err, -r, VZ_ERROR_IO, "tap: cannot watch %s: %s", t->name, strerror(-r));
    }
    if (r < 0) {
        net_destroy(&t->net);
        return r;
    }
    *ret = &t->net;
    return 0;
}

const char *net_tap_name(const struct net *n)
{
    return container_of(n, const struct net_tap, net)->name;
}
