/* SPDX-License-Identifier: MIT */
/* The machine's side of a NAT in a process of its own: a network whose frames go to and come from that by a socket, as
 * many at once as there are, and which asks it for the rest. That process is taken for as hostile as the network: what
 * it sends is looked at, and whoever says nonsense has no network any more. */
#include "net/net_nat_process.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/child.h"
#include "base/error.h"
#include "net/net_backend.h"
#include "net/net_nat_batch.h"
#include "state/state.h"

#define PIECES_MAX 32u

struct nat_process {
    struct net net;
    struct child *child;
    uint32_t number; /* there */
    int fd;
    struct loop_fd *watch; /* NULL: it is gone */
    bool want_read, want_write;
    struct nat_batch *batch;
    uint8_t *gathered;      /* NET_FRAME_MAX: a frame that is in many pieces */
    struct nat_flows flows; /* for net_ops.state */
    uint64_t dropped;       /* there, as it said last */
    void (*on_address)(void *arg);
    void *on_address_arg;

    pthread_mutex_t lock; /* a leaf */
    struct net_nat_address address;
};

static struct nat_process *from_net(struct net *n)
{
    return container_of(n, struct nat_process, net);
}

static void update_events(struct nat_process *p)
{
    if (p->watch)
        loop_fd_set(p->watch, (p->want_read ? LOOP_READ : 0u) | (p->want_write ? LOOP_WRITE : 0u));
}

static void lose(struct nat_process *p)
{
    loop_fd_remove(p->watch);
    p->watch = NULL;
    net_backend_failed(&p->net, -EPIPE);
}

/* ---- To it ---------------------------------------------------------------------------------- */

/* 0, or -errno: -EAGAIN, writable() comes. */
static int send_message(struct nat_process *p, const struct nat_message *m, const struct iovec *iov, unsigned count)
{
    struct iovec all[1 + PIECES_MAX] = {{(void *)m, sizeof(*m)}};
    struct msghdr msg = {.msg_iov = all, .msg_iovlen = 1 + count};

    if (count)
        memcpy(all + 1, iov, count * sizeof(*iov));
    if (sendmsg(p->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        return 0;
    if (errno != EAGAIN)
        return -errno;
    p->want_write = true;
    update_events(p);
    return -EAGAIN;
}

static struct iovec gather(struct nat_process *p, const struct iovec *iov, unsigned count)
{
    size_t len = 0;

    for (unsigned i = 0; i < count; i++) {
        memcpy(p->gathered + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    return (struct iovec){p->gathered, len};
}

static int process_send(struct net *n, const struct virtio_net_hdr *hdr, const struct iovec *iov, unsigned count,
                        size_t len)
{
    struct nat_process *p = from_net(n);
    const struct nat_message m = {.kind = NAT_MESSAGE_FRAME, .header = *hdr};
    struct iovec whole;
    int r;

    if (count > PIECES_MAX) {
        whole = gather(p, iov, count);
        iov = &whole;
        count = 1;
    }
    r = send_message(p, &m, iov, count);
    if (r == -ENOBUFS || r == -ENOMEM || r == -EINTR) {
        NET_COUNT(n, dropped, 1);
        r = 0;
    }
    return r;
}

/* Late is better than never, and early no matter: what the guest does not take is cut on this side. */
static void process_set_offloads(struct net *n, unsigned offloads)
{
    const struct nat_message m = {.kind = NAT_MESSAGE_OFFLOADS, .offloads = offloads};

    (void)send_message(from_net(n), &m, NULL, 0);
}

/* ---- From it -------------------------------------------------------------------------------- */

/* Such as a guest can be given; its own lengths are checked where the frame is cut. */
static bool is_header(const struct virtio_net_hdr *h, size_t len)
{
    unsigned type = h->gso_type & ~(unsigned)VIRTIO_NET_HDR_GSO_ECN;
    bool needs_sum = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
    bool large = type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6;

    if (h->flags & ~(VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID) || h->hdr_len > len)
        return false;
    if (needs_sum && (size_t)h->csum_start + h->csum_offset + 2 > len)
        return false;
    return h->gso_type == VIRTIO_NET_HDR_GSO_NONE || (large && needs_sum && h->gso_size);
}

static void take_news(struct nat_process *p, const uint8_t *data)
{
    struct nat_news news;

    memcpy(&news, data, sizeof(news));
    NET_COUNT(&p->net, dropped, news.dropped - p->dropped);
    p->dropped = news.dropped;
    pthread_mutex_lock(&p->lock);
    p->address = news.address;
    pthread_mutex_unlock(&p->lock);
    if (p->on_address)
        p->on_address(p->on_address_arg);
}

enum taken { TAKEN, NO_ROOM, NONSENSE };

static enum taken take(struct nat_process *p, unsigned i)
{
    struct nat_batch *b = p->batch;
    size_t len;
    const struct nat_message *m = nat_batch_message(b, i, &len);

    if (!m)
        return NONSENSE; /* or the end */
    if (m->kind == NAT_MESSAGE_NEWS && len == sizeof(struct nat_news)) {
        take_news(p, b->frame[i]);
        return TAKEN;
    }
    if (m->kind != NAT_MESSAGE_FRAME || !is_header(&m->header, len))
        return NONSENSE;
    return net_backend_receive(&p->net, &m->header, b->frame[i], len) ? TAKEN : NO_ROOM;
}

/* What was received already. false: stop. */
static bool deliver(struct nat_process *p)
{
    struct nat_batch *b = p->batch;
    enum taken t = TAKEN;

    while (b->at < b->count && p->want_read && (t = take(p, b->at)) == TAKEN)
        b->at++;
    if (t == NONSENSE) {
        b->at = b->count;
        lose(p);
    }
    return t == TAKEN && p->watch && p->want_read;
}

/* false: there is no more behind that for now. */
static bool receive(struct nat_process *p)
{
    int n = nat_batch_receive(p->batch, p->fd);

    if (n < 0)
        lose(p);
    return n == NAT_BATCH;
}

static void read_frames(struct nat_process *p)
{
    bool more = deliver(p);

    for (unsigned i = 0; more && i < NAT_BATCHES_PER_EVENT; i++) {
        more = receive(p);
        more &= deliver(p);
    }
    net_backend_received(&p->net);
}

static void on_event(void *arg, unsigned events)
{
    struct nat_process *p = arg;

    if (events & LOOP_WRITE) {
        p->want_write = false;
        net_backend_writable(&p->net);
    }
    if (p->watch && events & LOOP_READ)
        read_frames(p);
    update_events(p);
}

static void process_want_input(struct net *n, bool wanted)
{
    struct nat_process *p = from_net(n);
    struct nat_batch *b = p->batch;

    p->want_read = wanted && !n->lost;
    if (!n->client)
        b->at = b->count;
    if (wanted && b->at < b->count)
        (void)deliver(p);
    update_events(p);
}

/* ---- What it is asked ----------------------------------------------------------------------- */

static int ask(struct nat_process *p, struct nat_question *q, size_t len, void *data, size_t data_len,
               struct vz_error *err)
{
    q->number = p->number;
    return child_ask(p->child, q, len, -1, data, data_len, err);
}

static int ask_forward(struct net *n, enum nat_op op, const struct net_forward *f, struct vz_error *err)
{
    struct nat_question q = {.op = op};
    struct nat_wire_forward *w = &q.u.forward;

    w->udp = f->udp;
    w->host_port = f->host_port;
    w->guest_port = f->guest_port;
    if (!nat_wire_put(w->host, sizeof(w->host), f->host) || !nat_wire_put(w->guest, sizeof(w->guest), f->guest))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "forward: an address is too long to be a numeric one");
    return ask(from_net(n), &q, NAT_QUESTION_LEN(forward), NULL, 0, err);
}

static int process_forward_add(struct net *n, const struct net_forward *f, struct vz_error *err)
{
    return ask_forward(n, NAT_OP_FORWARD_ADD, f, err);
}

static int process_forward_remove(struct net *n, const struct net_forward *f, struct vz_error *err)
{
    return ask_forward(n, NAT_OP_FORWARD_REMOVE, f, err);
}

static void process_guest_address(struct net *n, struct net_nat_address *ret)
{
    struct nat_process *p = from_net(n);

    pthread_mutex_lock(&p->lock);
    *ret = p->address;
    pthread_mutex_unlock(&p->lock);
}

static void process_on_address(struct net *n, void (*fn)(void *arg), void *arg)
{
    from_net(n)->on_address = fn;
    from_net(n)->on_address_arg = arg;
}

static int flows_loaded(void *object, struct vz_error *err)
{
    struct nat_process *p = container_of(object, struct nat_process, flows);
    struct nat_question q = {.op = NAT_OP_FLOWS_SET};
    int r;

    q.u.flows = p->flows;
    r = ask(p, &q, NAT_QUESTION_LEN(flows), NULL, 0, err);
    return MIN(r, 0);
}

static const struct state_desc flows_state = {NAT_FLOWS_STATE, .loaded = flows_loaded};

static void *process_state(struct net *n, const struct state_desc **ret)
{
    struct nat_process *p = from_net(n);
    struct nat_question q = {.op = NAT_OP_FLOWS_GET};

    if (ask(p, &q, offsetof(struct nat_question, u), &p->flows, sizeof(p->flows), NULL) < 0)
        memset(&p->flows, 0, sizeof(p->flows));
    nat_flows_tidy(&p->flows);
    *ret = &flows_state;
    return &p->flows;
}

/* ---- Life ----------------------------------------------------------------------------------- */

static void process_close(struct net *n)
{
    struct nat_process *p = from_net(n);
    struct nat_question q = {.op = NAT_OP_DESTROY};

    loop_fd_remove(p->watch);
    if (p->fd >= 0)
        close(p->fd);
    if (p->number)
        (void)ask(p, &q, offsetof(struct nat_question, u), NULL, 0, NULL);
    free(p->batch);
    free(p->gathered);
    pthread_mutex_destroy(&p->lock);
}

static const struct net_nat_ops process_nat_ops = {.forward_add = process_forward_add,
                                                   .forward_remove = process_forward_remove,
                                                   .guest_address = process_guest_address,
                                                   .on_address = process_on_address};

/* What slirp does not take is cut there, by net_core.c. */
static const struct net_ops process_ops = {.name = "NAT process",
                                           .offloads = NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN | NET_USO,
                                           .send = process_send,
                                           .want_input = process_want_input,
                                           .set_offloads = process_set_offloads,
                                           .state = process_state,
                                           .nat = &process_nat_ops,
                                           .close = process_close};

static int create_there(struct nat_process *p, const struct net_nat_options *o, struct vz_error *err)
{
    const int buffer = NAT_SOCKET_BUFFER;
    struct nat_question q = {.op = NAT_OP_CREATE};
    struct nat_wire_options *w = &q.u.options;
    int pair[2], r;

    *w = (struct nat_wire_options){.network = o->network,
                                   .mask = o->mask,
                                   .mtu = o->mtu,
                                   .no_ipv6 = o->no_ipv6,
                                   .isolated = o->isolated,
                                   .no_host_loopback = o->no_host_loopback,
                                   .dns_port = o->dns_port};
    if (!nat_wire_put(w->hostname, sizeof(w->hostname), o->hostname))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "NAT: the host name is too long");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(err, errno, VZ_ERROR_IO, "NAT: no pair of sockets: %s", strerror(errno));
    p->fd = pair[0];
    for (unsigned i = 0; i < 2; i++)
        (void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    r = child_ask(p->child, &q, NAT_QUESTION_LEN(options), pair[1], NULL, 0, err);
    close(pair[1]);
    if (r >= 0)
        p->number = (uint32_t)r;
    return MIN(r, 0);
}

static int make_parts(struct nat_process *p, struct loop *loop, const struct net_nat_options *o, struct vz_error *err)
{
    int r = net_backend_init(&p->net, &process_ops, loop, o->mtu ? o->mtu : NET_MTU_MIN);

    p->batch = nat_batch_new();
    p->gathered = malloc(NET_FRAME_MAX);
    if (r < 0 || !p->batch || !p->gathered)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    r = create_there(p, o, err);
    if (r < 0)
        return r;
    r = loop_fd_add(loop, p->fd, 0, on_event, p, &p->watch);
    return r < 0 ? error_set(err, -r, VZ_ERROR_IO, "NAT: cannot start: %s", strerror(-r)) : 0;
}

int nat_process_create(struct loop *loop, const struct net_nat_options *o, struct net **ret, struct vz_error *err)
{
    struct nat_process *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    p->fd = -1;
    p->child = o->child;
    pthread_mutex_init(&p->lock, NULL);
    r = make_parts(p, loop, o, err);
    for (unsigned i = 0; r >= 0 && i < o->forward_count; i++)
        r = MIN(process_forward_add(&p->net, &o->forwards[i], err), 0);
    if (r < 0) {
        net_destroy(&p->net);
        return r;
    }
    *ret = &p->net;
    return 0;
}
