/* SPDX-License-Identifier: MIT */
/* NAT through libslirp: a router, DHCP and DNS server made of ordinary sockets of this process.
 *
 * libslirp wants to be asked before each poll() which descriptors it waits for. They live in an
 * epoll set of our own, itself watched by the loop; after anything happened, one work (turn) lets
 * slirp serve what is ready and compares the set with what it waits for now.
 *
 * Frames for the guest wait in a queue, so that slirp never calls the guest's device from inside a
 * call of that device. While frames wait that the guest has no room for, slirp is not asked to read
 * more from its sockets: the senders feel it, and nothing is dropped. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "net/net_nat_dns.h"
#include "net/net_nat_icmp.h"
#include "net/net_nat_process.h"

#define QUEUE_BYTES_STOP ((size_t)256 * 1024)  /* no more reading from sockets beyond this */
#define QUEUE_BYTES_MAX  ((size_t)4096 * 1024) /* answers to the guest's own frames are dropped */
#define READY_MAX 128
#define ACCEPTS_PER_TURN 32u

struct nat_timer {
    struct net_nat *nat;
    struct loop_timer *timer;
    SlirpTimerId id;
    void *arg;
};

/* ---- The queue to the guest ----------------------------------------------------------------- */

void net_nat_to_guest(struct net_nat *t, const void *data, size_t len)
{
    struct nat_frame *f = NULL;

    if (t->net.client && len <= NET_FRAME_MAX && t->queued_bytes <= QUEUE_BYTES_MAX)
        f = malloc(sizeof(*f) + len);
    if (!f) {
        NET_COUNT(&t->net, dropped, 1);
        return;
    }
    f->next = NULL;
    f->len = len;
    memcpy(f->data, data, len);
    nat_dns_to_guest(t->dns, f->data, len);
    *t->last = f;
    t->last = &f->next;
    t->queued_bytes += len;
    loop_work_queue(t->net.loop, &t->work);
}

static ssize_t send_packet(const void *data, size_t len, void *arg)
{
    struct net_nat *t = arg;

    net_nat_learn_from_router(t, data, len);
    net_nat_guard_to_guest(t, data, len);
    net_nat_to_guest(t, data, len);
    return (ssize_t)len;
}

static void pop_frame(struct net_nat *t)
{
    struct nat_frame *f = t->first;

    t->first = f->next;
    if (!t->first)
        t->last = &t->first;
    t->queued_bytes -= f->len;
    free(f);
}

/* The next frame and those behind it that continue it. Returns how many were taken; 0: the guest
 * has no room. */
static unsigned deliver_some(struct net_nat *t)
{
    struct virtio_net_hdr hdr = {0};
    struct offload_merge m;
    const uint8_t *frame = t->first->data;
    const unsigned large = NET_CSUM | NET_TSO4 | NET_TSO6;
    size_t len = t->first->len;
    unsigned count = 1;

    if ((t->net.offloads & large) == large) {
        offload_merge_begin(&m, t->merged, frame, len);
        for (struct nat_frame *f = t->first->next; f; f = f->next, count++)
            if (!offload_merge_add(&m, f->data, f->len))
                break;
        frame = offload_merge_end(&m, &hdr, &len);
    }
    return net_backend_receive(&t->net, &hdr, frame, len) ? count : 0;
}

/* Hand the guest what it takes. */
static void deliver(struct net_nat *t)
{
    bool any = t->first != NULL;

    while (t->first && t->wanted) {
        unsigned count = deliver_some(t);

        if (!count)
            break;
        while (count--)
            pop_frame(t);
    }
    if (any)
        net_backend_received(&t->net);
}

/* ---- Descriptors ---------------------------------------------------------------------------- */

static uint32_t to_epoll(int events)
{
    return (events & SLIRP_POLL_IN ? EPOLLIN : 0u) | (events & SLIRP_POLL_OUT ? EPOLLOUT : 0u) |
           (events & SLIRP_POLL_PRI ? EPOLLPRI : 0u);
}

static int from_epoll(uint32_t events)
{
    return (events & EPOLLIN ? SLIRP_POLL_IN : 0) | (events & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
           (events & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (events & EPOLLERR ? SLIRP_POLL_ERR : 0) |
           (events & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

bool net_nat_know_fd(struct net_nat *t, int fd)
{
    unsigned count = MAX(t->fd_count * 2, (unsigned)fd + 64);
    struct nat_fd *fds;

    if ((unsigned)fd < t->fd_count)
        return true;
    fds = realloc(t->fds, count * sizeof(*fds));
    if (!fds)
        return false;
    memset(fds + t->fd_count, 0, (count - t->fd_count) * sizeof(*fds));
    t->fds = fds;
    t->fd_count = count;
    return true;
}

/* slirp waits for this one. Its index for get_revents() is the descriptor itself. */
static int add_poll(int fd, int events, void *arg)
{
    struct net_nat *t = arg;

    if (fd < 0 || !net_nat_know_fd(t, fd))
        return -1;
    t->fds[fd].wanted |= to_epoll(events);
    t->fds[fd].round = t->round;
    return fd;
}

static int get_revents(int index, void *arg)
{
    struct net_nat *t = arg;

    return index >= 0 && (unsigned)index < t->fd_count ? from_epoll(t->fds[index].ready) : 0;
}

/* The descriptor is about to be closed: it leaves the set, or its number's next owner would find it
 * there. */
static void unregister_fd(int fd, void *arg)
{
    struct net_nat *t = arg;

    if (fd < 0 || (unsigned)fd >= t->fd_count)
        return;
    if (t->fds[fd].watched)
        epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    if (t->fds[fd].tells)
        epoll_ctl(t->error_fd, EPOLL_CTL_DEL, fd, NULL);
    t->fds[fd] = (struct nat_fd){0};
}

static void register_fd(int fd, void *arg)
{
    struct net_nat *t = arg;

    unregister_fd(fd, t);
    if (t->input)
        nat_errors_watch(t, fd, t->input);
}

static void sync_fd(struct net_nat *t, int fd)
{
    struct nat_fd *f = &t->fds[fd];
    uint32_t events = f->round == t->round ? f->wanted : 0;
    struct epoll_event ev = {.events = events, .data.fd = fd};

    f->ready = 0;
    f->wanted = 0;
    if (events == f->watched)
        return;
    if (!events)
        epoll_ctl(t->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    else if (epoll_ctl(t->epoll_fd, f->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) < 0 &&
             errno == ENOENT) /* closed and opened again unnoticed */
        epoll_ctl(t->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
    f->watched = events;
}

/* Ask slirp what it waits for, and bring the set and the timer in line with that. */
void net_nat_update_wait(struct net_nat *t)
{
    uint32_t timeout_ms = UINT32_MAX;

    t->round++;
    libslirp.pollfds_fill(t->slirp, &timeout_ms, add_poll, t);
    for (unsigned fd = 0; fd < t->fd_count; fd++)
        if (t->fds[fd].watched || t->fds[fd].wanted)
            sync_fd(t, (int)fd);
    if (timeout_ms == UINT32_MAX)
        loop_timer_disarm(t->timer);
    else
        loop_timer_arm(t->timer, clock_mono_ns() + timeout_ms * NS_PER_MS);
}

static void collect_ready(struct net_nat *t)
{
    struct epoll_event ev[READY_MAX];
    int count = epoll_wait(t->epoll_fd, ev, READY_MAX, 0);

    t->knocked = false;
    for (int i = 0; i < count; i++) {
        t->fds[ev[i].data.fd].ready = ev[i].events;
        t->knocked |= t->fds[ev[i].data.fd].listens;
    }
}

/* slirp takes one connection from a port in each round, so it gets more rounds for whoever else has
 * come to it. Nothing else is ready in them. */
static bool more_have_come(struct net_nat *t)
{
    bool any = false;

    for (unsigned fd = 0; fd < t->fd_count; fd++) {
        struct pollfd p = {.fd = (int)fd, .events = POLLIN};

        t->fds[fd].ready = t->fds[fd].listens && (t->fds[fd].ready & EPOLLIN) &&
                           poll(&p, 1, 0) > 0 && (p.revents & POLLIN) ? EPOLLIN : 0u;
        any |= t->fds[fd].ready != 0;
    }
    return any;
}

/* ---- Turns ---------------------------------------------------------------------------------- */

static void turn(void *arg)
{
    struct net_nat *t = arg;

    deliver(t);
    nat_errors_collect(t);
    if (t->queued_bytes <= QUEUE_BYTES_STOP) {
        collect_ready(t);
        libslirp.pollfds_poll(t->slirp, 0, get_revents, t);
        for (unsigned i = 1; i < ACCEPTS_PER_TURN && t->knocked && more_have_come(t); i++)
            libslirp.pollfds_poll(t->slirp, 0, get_revents, t);
        net_nat_update_wait(t);
        loop_fd_set(t->watch, LOOP_READ);
        deliver(t);
    } else {
        loop_fd_set(t->watch, 0); /* until the guest has taken some */
    }
    net_nat_tell_address(t);
}

static void on_ready(void *arg, unsigned events)
{
    struct net_nat *t = arg;

    loop_work_queue(t->net.loop, &t->work);
}

static void on_timeout(void *arg)
{
    on_ready(arg, 0);
}

static void refuse(struct net_nat *t)
{
    uint8_t frame[NAT_REFUSAL_MAX];

    send_packet(frame, net_nat_refusal(t->gathered, frame), t);
}

/* A frame of the guest's, in t->gathered: to who sees to it. */
static void input(struct net_nat *t, size_t len)
{
    struct nat_packet p;
    bool known = nat_packet_parse(t->gathered, len, &p);

    if (known && (nat_dns_from_guest(t->dns, t->gathered, &p) || nat_ping_from_guest(t->ping, &p)))
        return;
    if (known)
        nat_flows_from_guest(&t->flows, &p);
    t->input = known ? &p : NULL;
    if (known && p.protocol == IPPROTO_UDP)
        nat_errors_collect(t); /* an old error would be taken for one of sending this */
    libslirp.input(t->slirp, t->gathered, (int)len);
    t->input = NULL;
}

static int nat_send(struct net *n, const struct virtio_net_hdr *hdr, const struct iovec *iov,
                    unsigned count, size_t len)
{
    struct net_nat *t = container_of(n, struct net_nat, net);
    size_t at = 0;

    /* Always a copy: slirp looks at headers more than once, and the guest may still write. */
    for (unsigned i = 0; i < count; i++) {
        memcpy(t->gathered + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    net_nat_learn_from_guest(t, t->gathered, len);
    switch (net_nat_guard_from_guest(t, t->gathered, len)) {
    case NAT_PASS: input(t, len); break;
    case NAT_REFUSE: refuse(t); break;
    case NAT_DROP: NET_COUNT(&t->net, dropped, 1); break;
    }
    loop_work_queue(n->loop, &t->work);
    return 0;
}

static void nat_want_input(struct net *n, bool wanted)
{
    struct net_nat *t = container_of(n, struct net_nat, net);

    t->wanted = wanted;
    while (!n->client && t->first)
        pop_frame(t);
    if (wanted)
        loop_work_queue(n->loop, &t->work);
}

/* ---- What slirp asks of us ------------------------------------------------------------------ */

static void guest_error(const char *msg, void *arg)
{
    log_debug("network: the guest sent nonsense: %s", msg);
}

static int64_t clock_get_ns(void *arg)
{
    return (int64_t)clock_mono_ns();
}

static void fire(void *arg)
{
    struct nat_timer *timer = arg;

    libslirp.handle_timer(timer->nat->slirp, timer->id, timer->arg);
    loop_work_queue(timer->nat->net.loop, &timer->nat->work);
}

static void *timer_new(SlirpTimerId id, void *cb_arg, void *arg)
{
    struct net_nat *t = arg;
    struct nat_timer *timer = calloc(1, sizeof(*timer));

    if (!timer)
        return NULL;
    *timer = (struct nat_timer){.nat = t, .id = id, .arg = cb_arg};
    if (loop_timer_create(t->net.loop, fire, timer, &timer->timer) < 0) {
        free(timer);
        return NULL;
    }
    return timer;
}

static void timer_free(void *arg, void *ignored)
{
    struct nat_timer *timer = arg;

    if (timer)
        loop_timer_destroy(timer->timer);
    free(timer);
}

static void timer_mod(void *arg, int64_t expire_ms, void *ignored)
{
    struct nat_timer *timer = arg;

    if (timer) /* without memory for it there are no router advertisements, only answers */
        loop_timer_arm(timer->timer, (uint64_t)MAX(expire_ms, INT64_C(0)) * NS_PER_MS);
}

static void notify(void *arg)
{
    on_ready(arg, 0);
}

static const SlirpCb callbacks = {
    .send_packet = send_packet, .guest_error = guest_error, .clock_get_ns = clock_get_ns,
    .timer_free = timer_free, .timer_mod = timer_mod, .register_poll_fd = register_fd,
    .unregister_poll_fd = unregister_fd, .notify = notify, .timer_new_opaque = timer_new};

/* ---- Life ----------------------------------------------------------------------------------- */

static void nat_close(struct net *n)
{
    struct net_nat *t = container_of(n, struct net_nat, net);

    net_nat_fronts_close(t);
    nat_ping_destroy(t->ping);
    nat_dns_destroy(t->dns);
    t->dns = NULL;
    net_relays_close(&t->relays);
    if (t->slirp)
        libslirp.cleanup(t->slirp);
    n->client = NULL;
    while (t->first)
        pop_frame(t);
    loop_work_cancel(n->loop, &t->work);
    loop_timer_destroy(t->timer);
    loop_fd_remove(t->watch);
    if (t->epoll_fd >= 0)
        close(t->epoll_fd);
    if (t->error_fd >= 0)
        close(t->error_fd);
    free(t->fds);
    free(t->gathered);
    free(t->merged);
    pthread_mutex_destroy(&t->lock);
}

static const struct net_nat_ops router_ops = {.forward_add = nat_forward_add, .forward_remove = nat_forward_remove,
                                              .guest_address = nat_guest_address, .on_address = nat_on_address};

/* Large IPv4 TCP packets may come whole: slirp is a TCP endpoint, and its MTU is that of what it
 * sends. It refuses IPv6 packets over the MTU. */
static const struct net_ops nat_ops = {
    .name = "NAT", .offloads = NET_TSO4 | NET_ECN, .send = nat_send, .want_input = nat_want_input,
    .state = nat_flows_state, .nat = &router_ops, .close = nat_close};

static struct in_addr host_number(const struct net_nat *t, uint32_t number)
{
    return (struct in_addr){t->network.s_addr | htonl(number)};
}

/* What DHCP tells of the host's search domains, options 15 and 119: as they are now. */
static void set_search(SlirpConfig *c, const struct resolv *r,
                       const char *list[RESOLV_SEARCH_MAX + 1])
{
    for (unsigned i = 0; i < r->search_count; i++)
        list[i] = r->search[i];
    if (!r->search_count)
        return;
    c->vdnssearch = list;
    c->vdomainname = list[0];
}

static int make_slirp(struct net_nat *t, const struct net_nat_options *o)
{
    const char *search[RESOLV_SEARCH_MAX + 1] = {NULL};
    SlirpConfig c = {
        .version = 4, .restricted = o->isolated, .in_enabled = true, .vnetwork = t->network,
        .vnetmask = t->mask, .vhost = host_number(t, 2), .vdhcp_start = host_number(t, 15),
        .vnameserver = host_number(t, 3), .in6_enabled = !o->no_ipv6, .vprefix_len = 64,
        .vhostname = o->hostname, .if_mtu = t->net.mtu, .if_mru = t->net.mtu};
    int r;

    inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &c.vhost6);
    inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
    t->prefix6 = c.vprefix_addr6;
    t->router = c.vhost;
    t->router6 = c.vhost6;
    t->guarded = o->no_host_loopback;
    r = nat_dns_create(t, o, &t->dns);
    if (r < 0)
        return r;
    t->dns->address4 = c.vnameserver;
    t->dns->address6 = c.vnameserver6;
    set_search(&c, &t->dns->resolv, search);
    t->slirp = libslirp.new(&c, &callbacks, t);
    return t->slirp ? 0 : -EINVAL;
}

static int check_options(struct net_nat *t, const struct net_nat_options *o, struct vz_error *err)
{
    uint32_t mask;

    t->network.s_addr = o->network.s_addr ? o->network.s_addr : htonl(0x0a000200);
    t->mask.s_addr = o->mask.s_addr ? o->mask.s_addr : htonl(0xffffff00);
    mask = ntohl(t->mask.s_addr);
    if ((~mask & (~mask + 1)) || ~mask < 31 || (t->network.s_addr & ~t->mask.s_addr))
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "NAT: the network and its mask do not fit, or are too small");
    if (o->mtu && (o->mtu < NET_MTU_MIN || o->mtu > NET_MTU_MAX - 15))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "NAT: MTU %u is not %u to %u", o->mtu,
                         NET_MTU_MIN, NET_MTU_MAX - 15);
    return 0;
}

static int make_parts(struct net_nat *t, struct loop *loop, const struct net_nat_options *o)
{
    int r = net_backend_init(&t->net, &nat_ops, loop, o->mtu ? o->mtu : NET_MTU_MIN);

    t->gathered = malloc(NET_FRAME_MAX);
    t->merged = malloc(NET_FRAME_MAX);
    t->ping = nat_ping_create(t);
    t->isolated = o->isolated;
    if (r < 0 || !t->gathered || !t->merged || !t->ping)
        return -ENOMEM;
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    t->error_fd = epoll_create1(EPOLL_CLOEXEC);
    if (t->epoll_fd < 0 || t->error_fd < 0)
        return -errno;
    r = loop_fd_add(loop, t->epoll_fd, LOOP_READ, on_ready, t, &t->watch);
    if (!r)
        r = loop_timer_create(loop, on_timeout, t, &t->timer);
    return r ? r : make_slirp(t, o);
}

void net_nat_prepare(void)
{
    if (slirp_library_load(NULL) < 0)
        return; /* whoever needs it is told then */
}

int net_nat_create(struct loop *loop, const struct net_nat_options *options, struct net **ret,
                   struct vz_error *err)
{
    static const struct net_nat_options defaults = {0};
    const struct net_nat_options *o = options ? options : &defaults;
    struct net_nat *t = o->child ? NULL : calloc(1, sizeof(*t));
    int r;

    if (o->child)
        return nat_process_create(loop, o, ret, err);
    if (!t)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    t->epoll_fd = t->error_fd = -1;
    t->last = &t->first;
    t->work = (struct loop_work){.fn = turn, .arg = t};
    t->relays.loop = loop;
    pthread_mutex_init(&t->lock, NULL);
    r = check_options(t, o, err);
    if (!r)
        r = slirp_library_load(err);
    if (!r) {
        r = make_parts(t, loop, o);
        if (r < 0)
            error_set(err, -r, VZ_ERROR_IO, "NAT: cannot start: %s", strerror(-r));
    }
    for (unsigned i = 0; !r && i < o->forward_count; i++)
        r = MIN(net_nat_forward_add(&t->net, &o->forwards[i], err), 0);
    if (r < 0) {
        net_destroy(&t->net);
        return r;
    }
    loop_work_queue(loop, &t->work);
    *ret = &t->net;
    return 0;
}
