/* SPDX-License-Identifier: MIT */
/* The socket device: packets between the queues and the connections. See vsock.h; sections of
 * VIRTIO 1.2 in brackets.
 *
 * Toward the guest nothing is stored: a connection that has something to send (an owed packet, or
 * bytes in its socket and credit) waits in a list, and sends one packet a turn when the guest has a
 * buffer. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/le.h"
#include "virtio/vsock_impl.h"

enum { QUEUE_RX, QUEUE_TX, QUEUE_EVENT };

#define DEAF_NS      (2 * NS_PER_SEC) /* for a guest that gives no buffers back */
#define DEAF_LOOK_NS NS_PER_MS

#define HDR_LEN      sizeof(struct virtio_vsock_hdr)
#define PACKET_IOVS  32u
#define PORT_FIRST   0xc0000000u
#define VSOCK_F_STREAM 0 /* [5.10.3], which older headers lack */
#define SHUTDOWN_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

static struct vsock *to_vsock(struct virtio_dev *dev)
{
    return container_of(dev, struct vsock, dev);
}

/* --- to the guest --- */

static struct virtio_vsock_hdr header(const struct vsock *v, uint32_t host_port,
                                      uint32_t guest_port, uint16_t op)
{
    return (struct virtio_vsock_hdr){.src_cid = VSOCK_HOST_CID, .dst_cid = v->guest_cid,
                                     .src_port = host_port, .dst_port = guest_port, .op = op};
}

static uint16_t type_of(const struct vsock_conn *c)
{
    return c->seqpacket ? VIRTIO_VSOCK_TYPE_SEQPACKET : VIRTIO_VSOCK_TYPE_STREAM;
}

static struct virtio_vsock_hdr conn_header(struct vsock_conn *c, uint16_t op)
{
    struct virtio_vsock_hdr h = header(c->vsock, c->host_port, c->guest_port, op);

    h.type = type_of(c);
    h.buf_alloc = VSOCK_BUFFER;
    h.fwd_cnt = c->fwd_told = c->fwd_cnt;
    return h;
}

static void push(struct vsock *v, struct virtq_chain *p, const struct virtio_vsock_hdr *h)
{
    virtq_push(&v->dev.queue[QUEUE_RX], p, virtq_write(p, 0, h, sizeof(*h)) + h->len);
}

static void send_owed(struct vsock_conn *c, struct virtq_chain *p)
{
    static const uint16_t op[] = {VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RESPONSE,
                                  VIRTIO_VSOCK_OP_CREDIT_UPDATE, VIRTIO_VSOCK_OP_SHUTDOWN,
                                  VIRTIO_VSOCK_OP_RST};
    unsigned which = (unsigned)__builtin_ctz(c->owed);
    struct virtio_vsock_hdr h = conn_header(c, op[which]);

    c->owed &= (uint8_t)~BIT(which);
    if (h.op == VIRTIO_VSOCK_OP_SHUTDOWN)
        h.flags = c->shutdown_sent;
    push(c->vsock, p, &h);
    if (h.op == VIRTIO_VSOCK_OP_RST)
        vsock_conn_finish(c);
    else
        vsock_conn_update(c);
}

/* The host's end has no more bytes: for now (err EAGAIN), for good (0), or because it was closed. */
static void end_of_input(struct vsock_conn *c, int err)
{
    struct pollfd p = {.fd = c->fd};

    c->readable = false;
    if (err == EMSGSIZE) {
        c->owed |= OWE_RST;
    } else if (err != EAGAIN && err != EINTR) {
        c->shutdown_sent |= VIRTIO_VSOCK_SHUTDOWN_SEND;
        if (err || (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR))))
            c->shutdown_sent = SHUTDOWN_BOTH;
        c->owed |= OWE_SHUTDOWN;
    }
    vsock_conn_update(c);
}

/* A packet of data is in p, but for its header. */
static void push_bytes(struct vsock_conn *c, struct virtq_chain *p, uint32_t len, uint32_t flags)
{
    struct virtio_vsock_hdr h = conn_header(c, VIRTIO_VSOCK_OP_RW);

    h.len = len;
    h.flags = flags;
    c->tx_cnt += len;
    push(c->vsock, p, &h);
    /* To the end of the list: everyone has a turn. */
    TAILQ_REMOVE(&c->vsock->ready, c, ready_link);
    TAILQ_INSERT_TAIL(&c->vsock->ready, c, ready_link);
    vsock_conn_update(c);
}

static bool send_message(struct vsock_conn *c, struct virtq_chain *p, uint32_t room)
{
    uint32_t flags, len;
    int r = vsock_seq_fill(c);

    if (r < 0) {
        end_of_input(c, r == -EPIPE ? 0 : -r);
        return false;
    }
    len = vsock_seq_put(c, p, HDR_LEN, room, &flags);
    push_bytes(c, p, len, flags);
    return true;
}

/* Returns false when p was not used. */
static bool send_bytes(struct vsock_conn *c, struct virtq_chain *p)
{
    struct iovec iov[PACKET_IOVS];
    unsigned count = iov_slice(p->in, p->in_count, HDR_LEN, vsock_conn_credit(c), iov, PACKET_IOVS);
    ssize_t n;

    if (!count) {
        virtio_broken(&c->vsock->dev, "a buffer without room for a packet");
        return false;
    }
    if (c->seqpacket)
        return send_message(c, p, (uint32_t)iov_length(iov, count));
    n = readv(c->fd, iov, (int)count);
    if (n <= 0) {
        end_of_input(c, n < 0 ? errno : 0);
        return false;
    }
    push_bytes(c, p, (uint32_t)n, 0);
    return true;
}

static void send_stray(struct vsock *v, struct virtq_chain *p)
{
    const struct vsock_stray *s = &v->stray[--v->stray_count];
    struct virtio_vsock_hdr h = header(v, s->host_port, s->guest_port, VIRTIO_VSOCK_OP_RST);

    h.src_cid = s->cid;
    h.type = s->type;
    push(v, p, &h);
}

/* Has it heard of a restore? If not, look again soon. */
static bool hears(struct vsock *v)
{
    uint64_t now;

    if (!v->deaf_until_ns)
        return true;
    now = clock_mono_ns();
    if (now < v->deaf_until_ns &&
        (v->reset_owed || virtq_available(&v->dev.queue[QUEUE_EVENT]) <= v->event_room)) {
        loop_timer_arm(v->deaf, now + DEAF_LOOK_NS);
        return false;
    }
    v->deaf_until_ns = 0;
    return true;
}

static void look_again(void *arg)
{
    vsock_pump(arg);
}

void vsock_pump(struct vsock *v)
{
    struct virtq *q = &v->dev.queue[QUEUE_RX];
    bool strays_were_full = v->stray_count == VSOCK_STRAYS;
    unsigned budget = 4u * q->size_max; /* then others on the loop have a turn */

    if ((v->stray_count || !TAILQ_EMPTY(&v->ready)) && !hears(v))
        return;
    while (v->stray_count || !TAILQ_EMPTY(&v->ready)) {
        struct vsock_conn *c = TAILQ_FIRST(&v->ready);
        struct virtq_chain *p;

        if (!budget--) {
            virtio_kick(&v->dev, QUEUE_RX);
            break;
        }
        p = virtq_pop(q);
        if (!p)
            break;
        if (p->in_len < HDR_LEN) {
            virtq_push(q, p, 0);
            virtio_broken(&v->dev, "a buffer without room for a packet");
            break;
        }
        if (v->stray_count)
            send_stray(v, p);
        else if (c->owed)
            send_owed(c, p);
        else if (!send_bytes(c, p))
            virtq_unpop(q, p);
    }
    virtq_notify(q);
    if (strays_were_full && v->stray_count < VSOCK_STRAYS)
        virtio_kick(&v->dev, QUEUE_TX);
}

/* --- from the guest --- */

static void stray(struct vsock *v, const struct virtio_vsock_hdr *h)
{
    if (h->op != VIRTIO_VSOCK_OP_RST && v->stray_count < VSOCK_STRAYS)
        v->stray[v->stray_count++] = (struct vsock_stray){
            .cid = h->dst_cid, .host_port = h->dst_port, .guest_port = h->src_port,
            .type = h->type};
}

static struct vsock_listener *find_listener(struct vsock *v, uint32_t port)
{
    struct vsock_listener *l;

    LIST_FOREACH(l, &v->listeners, link) {
        if (l->port == port)
            return l;
    }
    return NULL;
}

/* The connection that a listener gets; NULL: refused. */
static struct vsock_conn *new_request(struct vsock *v, const struct vsock_listener *l,
                                      const struct virtio_vsock_hdr *h)
{
    struct vsock_conn *c;
    int type = h->type == VIRTIO_VSOCK_TYPE_SEQPACKET ? SOCK_SEQPACKET : SOCK_STREAM;
    int fd = l->open ? l->open(l->arg, h->src_port, type) : -1;

    if ((l->open && fd < 0) || vsock_conn_new(v, h->dst_port, h->src_port, type, fd, &c) < 0)
        return NULL;
    c->peer_alloc = h->buf_alloc;
    c->peer_fwd = h->fwd_cnt;
    return c;
}

static void on_request(struct vsock *v, const struct virtio_vsock_hdr *h)
{
    struct vsock_listener *l = find_listener(v, h->dst_port);
    struct vsock_conn *c = l ? new_request(v, l, h) : NULL;
    int fd;

    if (!c) {
        stray(v, h);
        return;
    }
    fd = c->user_fd;
    if (l->offered) {
        c->user_fd = -1;
        c->deferred = true;
        l->offered(l->arg, fd, c->host_port, c->guest_port, c->id);
        return;
    }
    c->connected = true;
    if (l->accept && !l->accept(l->arg, fd, c->host_port, c->guest_port)) {
        vsock_conn_free(c, 0);
        stray(v, h);
        return;
    }
    c->user_fd = -1;
    vsock_conn_owe(c, OWE_RESPONSE);
}

static void on_response(struct vsock_conn *c)
{
    int fd = c->user_fd;
    void (*done)(void *arg, int err, int fd) = c->done;

    if (c->connected || c->deferred)
        return;
    c->connected = true;
    c->user_fd = -1;
    c->done = NULL;
    if (done)
        done(c->done_arg, 0, fd);
}

static void on_bytes(struct vsock_conn *c, const struct virtio_vsock_hdr *h,
                     const struct virtq_chain *p)
{
    struct iovec iov[PACKET_IOVS];
    unsigned count = iov_slice(p->out, p->out_count, HDR_LEN, h->len, iov, PACKET_IOVS);

    if (iov_length(iov, count) != h->len ||
        !(c->seqpacket ? vsock_seq_send(c, iov, count, h->len, h->flags)
                       : vsock_conn_send(c, iov, count, h->len)))
        c->owed |= OWE_RST;
    else if (c->fwd_cnt - c->fwd_told >= VSOCK_BUFFER / 4)
        c->owed |= OWE_CREDIT;
}

static void on_packet(struct vsock_conn *c, const struct virtio_vsock_hdr *h,
                      const struct virtq_chain *p)
{
    c->peer_alloc = h->buf_alloc;
    c->peer_fwd = h->fwd_cnt;
    switch (h->op) {
    case VIRTIO_VSOCK_OP_RESPONSE: on_response(c); break;
    case VIRTIO_VSOCK_OP_RST: vsock_conn_finish(c); return;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        c->shutdown_got |= h->flags & SHUTDOWN_BOTH;
        vsock_conn_shutdown(c);
        break;
    case VIRTIO_VSOCK_OP_RW: on_bytes(c, h, p); break;
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE: break;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST: c->owed |= OWE_CREDIT; break;
    default: c->owed |= OWE_RST;
    }
    vsock_conn_update(c);
}

static bool is_known_type(const struct vsock *v, unsigned type)
{
    return type == VIRTIO_VSOCK_TYPE_STREAM ||
           (type == VIRTIO_VSOCK_TYPE_SEQPACKET && virtio_has(&v->dev, VIRTIO_VSOCK_F_SEQPACKET));
}

static void receive(struct vsock *v, const struct virtq_chain *p)
{
    struct virtio_vsock_hdr h;
    struct vsock_conn *c;

    /* [5.10.6: packets of others, and of unknown types] */
    if (virtq_read(p, 0, &h, sizeof(h)) < sizeof(h) || h.src_cid != v->guest_cid)
        return;
    c = vsock_conn_find(v, h.dst_port, h.src_port);
    if (h.dst_cid != VSOCK_HOST_CID || !is_known_type(v, h.type) || (c && h.type != type_of(c)))
        stray(v, &h);
    else if (c && h.op != VIRTIO_VSOCK_OP_REQUEST)
        on_packet(c, &h, p);
    else if (c)
        vsock_conn_owe(c, OWE_RST);
    else if (h.op == VIRTIO_VSOCK_OP_REQUEST)
        on_request(v, &h);
    else
        stray(v, &h);
}

static void receive_all(struct vsock *v)
{
    struct virtq *q = &v->dev.queue[QUEUE_TX];
    struct virtq_chain *p;

    while (v->stray_count < VSOCK_STRAYS && (p = virtq_pop(q))) {
        receive(v, p);
        virtq_push(q, p, 0);
    }
    virtq_notify(q);
}

static void send_event(struct vsock *v)
{
    struct virtq *q = &v->dev.queue[QUEUE_EVENT];
    struct virtio_vsock_event e = {.id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET};
    struct virtq_chain *p = v->reset_owed ? virtq_pop(q) : NULL;

    if (!p)
        return;
    v->reset_owed = false;
    v->event_room = virtq_available(q);
    v->deaf_until_ns = clock_mono_ns() + DEAF_NS;
    virtq_push(q, p, virtq_write(p, 0, &e, sizeof(e)));
    virtq_notify(q);
}

/* --- the device --- */

static void vsock_kick(struct virtio_dev *dev, unsigned index)
{
    struct vsock *v = to_vsock(dev);

    if (index == QUEUE_EVENT)
        send_event(v);
    if (index == QUEUE_TX)
        receive_all(v);
    vsock_pump(v);
}

static void close_all(struct vsock *v)
{
    for (unsigned i = 0; i < VSOCK_BUCKETS; i++) {
        while (!LIST_EMPTY(&v->bucket[i]))
            vsock_conn_free(LIST_FIRST(&v->bucket[i]), -ECONNRESET);
    }
    while (!LIST_EMPTY(&v->dying))
        vsock_conn_free(LIST_FIRST(&v->dying), 0);
    v->stray_count = 0;
}

static void vsock_reset(struct virtio_dev *dev)
{
    struct vsock *v = to_vsock(dev);

    v->reset_owed = false;
    v->deaf_until_ns = 0;
    loop_timer_disarm(v->deaf);
    close_all(v);
}

static int vsock_init(struct virtio_dev *dev, const void *options, struct vz_error *err)
{
    struct vsock *v = to_vsock(dev);
    const struct vsock_options *o = options;
    int r;

    if (o->guest_cid < 3 || o->guest_cid == UINT32_MAX)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "a guest's CID is 3 or more");
    v->guest_cid = o->guest_cid;
    v->next_port = PORT_FIRST;
    TAILQ_INIT(&v->ready);
    r = loop_timer_create(dev->loop, look_again, v, &v->deaf);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "vsock: %s", strerror(-r));
    store_le64(dev->config, o->guest_cid);
    return 0;
}

static void vsock_fini(struct virtio_dev *dev)
{
    struct vsock *v = to_vsock(dev);

    close_all(v);
    loop_timer_destroy(v->deaf);
    while (!LIST_EMPTY(&v->listeners))
        vsock_unlisten(dev, LIST_FIRST(&v->listeners)->port);
}

static int vsock_loaded(struct virtio_dev *dev, struct vz_error *err)
{
    struct vsock *v = to_vsock(dev);

    v->reset_owed = true;
    v->deaf_until_ns = clock_mono_ns() + DEAF_NS;
    return 0;
}

/* --- for the host --- */

/* Ask the guest; type and fd as in vsock_conn_new(). */
static int connect_guest(struct virtio_dev *dev, uint32_t guest_port, int type, int fd,
                         struct vsock_conn **ret)
{
    struct vsock *v = to_vsock(dev);
    int r;

    for (unsigned tries = 0; tries <= VSOCK_CONNECTIONS_MAX; tries++) {
        if (++v->next_port < PORT_FIRST || v->next_port == UINT32_MAX)
            v->next_port = PORT_FIRST;
        if (!vsock_conn_find(v, v->next_port, guest_port))
            break;
    }
    r = vsock_conn_new(v, v->next_port, guest_port, type, fd, ret);
    if (r < 0)
        return r;
    vsock_conn_owe(*ret, OWE_REQUEST);
    virtio_kick(dev, QUEUE_RX);
    return 0;
}

int vsock_connect(struct virtio_dev *dev, uint32_t guest_port,
                  void (*done)(void *arg, int err, int fd), void *arg)
{
    struct vsock_conn *c;
    int r;

    if (!dev->active)
        return -ENOTCONN;
    r = connect_guest(dev, guest_port, SOCK_STREAM, -1, &c);
    if (r < 0)
        return r;
    c->done = done;
    c->done_arg = arg;
    return 0;
}

uint32_t vsock_last_port(const struct virtio_dev *dev)
{
    return container_of(dev, struct vsock, dev)->next_port;
}

int vsock_connect_fd(struct virtio_dev *dev, uint32_t guest_port, int fd)
{
    struct vsock_conn *c;
    int type = SOCK_STREAM;
    socklen_t len = sizeof(type);

    (void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len);
    if (dev->active &&
        (type == SOCK_STREAM || virtio_has(dev, VIRTIO_VSOCK_F_SEQPACKET)))
        return connect_guest(dev, guest_port, type, fd, &c);
    close(fd);
    return -ENOTCONN;
}

void vsock_answer(struct virtio_dev *dev, uint32_t host_port, uint32_t guest_port, uint64_t id,
                  bool accept)
{
    struct vsock_conn *c = vsock_conn_find(to_vsock(dev), host_port, guest_port);

    if (!c || c->id != id || !c->deferred)
        return;
    c->deferred = false;
    c->connected = accept;
    vsock_conn_owe(c, accept ? OWE_RESPONSE : OWE_RST);
    virtio_kick(dev, QUEUE_RX);
}

static int add_listener(struct virtio_dev *dev, const struct vsock_listener *listener)
{
    struct vsock *v = to_vsock(dev);
    struct vsock_listener *l;

    if (find_listener(v, listener->port))
        return -EADDRINUSE;
    l = malloc(sizeof(*l));
    if (!l)
        return -ENOMEM;
    *l = *listener;
    LIST_INSERT_HEAD(&v->listeners, l, link);
    return 0;
}

int vsock_listen(struct virtio_dev *dev, uint32_t host_port,
                 bool (*accept)(void *arg, int fd, uint32_t host_port, uint32_t guest_port),
                 void *arg)
{
    return add_listener(dev, &(struct vsock_listener){.port = host_port, .accept = accept,
                                                      .arg = arg});
}

int vsock_listen_open(struct virtio_dev *dev, uint32_t host_port,
                      int (*open)(void *arg, uint32_t guest_port, int type), void *arg)
{
    return add_listener(dev, &(struct vsock_listener){.port = host_port, .open = open,
                                                      .arg = arg});
}

int vsock_listen_deferred(struct virtio_dev *dev, uint32_t host_port,
                          void (*offered)(void *arg, int fd, uint32_t host_port,
                                          uint32_t guest_port, uint64_t id),
                          void *arg)
{
    return add_listener(dev, &(struct vsock_listener){.port = host_port, .offered = offered,
                                                      .arg = arg});
}

void vsock_unlisten(struct virtio_dev *dev, uint32_t host_port)
{
    struct vsock_listener *l = find_listener(to_vsock(dev), host_port);

    if (l) {
        LIST_REMOVE(l, link);
        free(l);
    }
}

unsigned vsock_connections(const struct virtio_dev *dev)
{
    return container_of(dev, struct vsock, dev)->conn_count;
}

static const struct state_field vsock_state[] = {
    STATE_UINT(struct vsock, next_port),
    STATE_END,
};

const struct virtio_ops virtio_vsock_ops = {
    .name = "virtio-vsock", .id = VIRTIO_ID_VSOCK, .class_code = 0x028000, .queues = 3,
    .queue_max = 256, .features = BIT(VSOCK_F_STREAM) | BIT(VIRTIO_VSOCK_F_SEQPACKET),
    .config_len = sizeof(struct virtio_vsock_config),
    .size = sizeof(struct vsock), .init = vsock_init, .fini = vsock_fini, .kick = vsock_kick,
    .reset = vsock_reset, .state = vsock_state, .state_version = 1, .loaded = vsock_loaded,
};
