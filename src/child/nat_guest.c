/* SPDX-License-Identifier: MIT */
/* A NAT's frames, from and to the machine's process: this is the card in front of it, as virtio/net is in one process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "child/nat_child.h"
#include "loop/loop.h"
#include "net/net_nat_batch.h"

struct nat_guest {
    struct net *net;
    int fd;
    struct loop_fd *watch;  /* NULL: the machine has gone */
    bool stuck, want_write; /* the NAT has no room; the socket */
    bool news;              /* is to be told */
    uint64_t dropped;       /* as was told */
    struct nat_batch *batch;
};

static void update_events(struct nat_guest *g)
{
    if (g->watch)
        loop_fd_set(g->watch, (g->stuck ? 0u : LOOP_READ) | (g->want_write ? LOOP_WRITE : 0u));
}

/* ---- To the machine ------------------------------------------------------------------------- */

/* false: there is no room. Who has gone takes all. */
static bool send_message(struct nat_guest *g, const struct nat_message *m, const void *data, size_t len)
{
    struct iovec iov[] = {{(void *)m, sizeof(*m)}, {(void *)data, len}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

    if (sendmsg(g->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno != EAGAIN)
        return true;
    if (!g->want_write) {
        g->want_write = true;
        update_events(g);
    }
    return false;
}

static void tell_news(struct nat_guest *g)
{
    const struct nat_message m = {.kind = NAT_MESSAGE_NEWS};
    struct nat_news news = {.dropped = net_stats(g->net)->dropped};

    if (!g->news && news.dropped == g->dropped)
        return;
    net_nat_guest_address(g->net, &news.address);
    g->news = !send_message(g, &m, &news, sizeof(news));
    if (!g->news)
        g->dropped = news.dropped;
}

static void on_address(void *arg)
{
    struct nat_guest *g = arg;

    g->news = true;
    tell_news(g);
}

static bool on_frame(void *arg, const struct virtio_net_hdr *hdr, const uint8_t *frame, size_t len)
{
    const struct nat_message m = {.kind = NAT_MESSAGE_FRAME, .header = *hdr};

    return send_message(arg, &m, frame, len);
}

static void on_frames(void *arg)
{
}

static void on_room(void *arg)
{
    struct nat_guest *g = arg;

    g->stuck = false;
    update_events(g);
}

static const struct net_client client = {.receive = on_frame, .received = on_frames, .writable = on_room};

/* ---- From the machine ----------------------------------------------------------------------- */

/* false: the NAT has no room. What makes no sense is nothing. */
static bool take(struct nat_guest *g, unsigned i)
{
    struct iovec iov = {.iov_base = g->batch->frame[i]};
    const struct nat_message *m = nat_batch_message(g->batch, i, &iov.iov_len);

    if (!m)
        return true;
    if (m->kind == NAT_MESSAGE_OFFLOADS)
        net_set_offloads(g->net, m->offloads & (NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN | NET_USO));
    return m->kind != NAT_MESSAGE_FRAME || net_send(g->net, &m->header, &iov, 1);
}

static void deliver(struct nat_guest *g)
{
    struct nat_batch *b = g->batch;

    while (b->at < b->count && !g->stuck) {
        g->stuck = !take(g, b->at);
        b->at += !g->stuck;
    }
}

/* false: there is nothing more behind that for now. */
static bool receive(struct nat_guest *g)
{
    int n = nat_batch_receive(g->batch, g->fd);

    if (n < 0 || (n > 0 && !g->batch->msg[n - 1].msg_len)) {
        loop_fd_remove(g->watch);
        g->watch = NULL;
    }
    return n == NAT_BATCH && g->watch;
}

static void on_event(void *arg, unsigned events)
{
    struct nat_guest *g = arg;
    bool more = true;

    if (events & LOOP_WRITE) {
        g->want_write = false;
        net_accept_input(g->net);
    }
    deliver(g);
    for (unsigned i = 0; events & LOOP_READ && more && !g->stuck && i < NAT_BATCHES_PER_EVENT; i++) {
        more = receive(g);
        deliver(g);
    }
    tell_news(g);
    update_events(g);
}

/* ---- Life ----------------------------------------------------------------------------------- */

struct net *nat_guest_net(const struct nat_guest *g)
{
    return g->net;
}

void nat_guest_free(struct nat_guest *g)
{
    if (!g)
        return;
    if (g->net)
        net_attach(g->net, NULL, NULL);
    net_destroy(g->net);
    loop_fd_remove(g->watch);
    close(g->fd);
    free(g->batch);
    free(g);
}

int nat_guest_new(struct loop *loop, const struct net_nat_options *o, int fd, struct nat_guest **ret,
                  struct vz_error *err)
{
    struct nat_guest *g = calloc(1, sizeof(*g));
    int r;

    if (!g) {
        close(fd);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    g->fd = fd;
    g->batch = nat_batch_new();
    if (!g->batch) {
        nat_guest_free(g);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    r = net_nat_create(loop, o, &g->net, err);
    if (!r) {
        r = loop_fd_add(loop, fd, LOOP_READ, on_event, g, &g->watch);
        if (r < 0)
            error_set(err, -r, VZ_ERROR_IO, "NAT: no socket for frames: %s", strerror(-r));
    }
    if (r < 0) {
        nat_guest_free(g);
        return r;
    }
    net_attach(g->net, &client, g);
    net_nat_on_address(g->net, on_address, g);
    *ret = g;
    return 0;
}
