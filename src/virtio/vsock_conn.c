/* SPDX-License-Identifier: MIT */
/* Connections of the socket device and their host ends: see vsock_impl.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "virtio/vsock_impl.h"

#define SHUTDOWN_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

static unsigned bucket_of(uint32_t host_port, uint32_t guest_port)
{
    return (host_port * 31 + guest_port) % VSOCK_BUCKETS;
}

struct vsock_conn *vsock_conn_find(struct vsock *v, uint32_t host_port, uint32_t guest_port)
{
    struct vsock_conn *c;

    LIST_FOREACH(c, &v->bucket[bucket_of(host_port, guest_port)], link) {
        if (c->host_port == host_port && c->guest_port == guest_port)
            return c;
    }
    return NULL;
}

uint32_t vsock_conn_credit(const struct vsock_conn *c)
{
    uint32_t used = c->tx_cnt - c->peer_fwd;

    return used < c->peer_alloc ? c->peer_alloc - used : 0;
}

/* Is there something for the host that can go? */
static bool has_output(const struct vsock_conn *c)
{
    return c->seqpacket ? c->complete : c->used;
}

static bool wants_to_read(const struct vsock_conn *c)
{
    return c->connected && !c->dying && !(c->shutdown_sent & VIRTIO_VSOCK_SHUTDOWN_SEND) &&
           !(c->shutdown_got & VIRTIO_VSOCK_SHUTDOWN_RCV) && vsock_conn_credit(c);
}

void vsock_conn_update(struct vsock_conn *c)
{
    struct vsock *v = c->vsock;
    bool more = c->readable || c->message;
    bool ready = !c->dying && (c->owed || (more && wants_to_read(c)));

    loop_fd_set(c->watch, (wants_to_read(c) && !more ? LOOP_READ : 0) |
                              (has_output(c) ? LOOP_WRITE : 0));
    if (ready && !c->in_ready)
        TAILQ_INSERT_TAIL(&v->ready, c, ready_link);
    else if (!ready && c->in_ready)
        TAILQ_REMOVE(&v->ready, c, ready_link);
    c->in_ready = ready;
}

/* --- guest to host --- */

/* Take everything: into the ring, whose room the credit check has made sure of. */
static bool keep(struct vsock_conn *c, const struct iovec *iov, unsigned count, size_t off)
{
    size_t len = iov_length(iov, count) - off;
    uint32_t tail = (c->head + c->used) % VSOCK_BUFFER, first;

    if (!len)
        return true;
    if (!c->buffer)
        c->buffer = malloc(VSOCK_BUFFER);
    if (!c->buffer)
        return false;
    first = (uint32_t)MIN(len, (size_t)(VSOCK_BUFFER - tail));
    iov_read(iov, count, off, c->buffer + tail, first);
    iov_read(iov, count, off + first, c->buffer, len - first);
    c->used += (uint32_t)len;
    return true;
}

bool vsock_conn_send(struct vsock_conn *c, const struct iovec *iov, unsigned count, size_t len)
{
    struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = count};
    ssize_t n = 0;

    if (!c->connected || (c->shutdown_got & VIRTIO_VSOCK_SHUTDOWN_SEND) ||
        len > VSOCK_BUFFER - c->used)
        return false;
    if (!c->used && len) {
        n = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        n = MAX(n, (ssize_t)0);
        c->fwd_cnt += (uint32_t)n;
    }
    return keep(c, iov, count, (size_t)n);
}

void vsock_conn_shutdown(struct vsock_conn *c)
{
    if (has_output(c))
        return; /* again when the buffer is empty */
    if ((c->shutdown_got & SHUTDOWN_BOTH) == SHUTDOWN_BOTH)
        vsock_conn_owe(c, OWE_RST); /* and with that sent it ends */
    else if (c->shutdown_got & VIRTIO_VSOCK_SHUTDOWN_SEND)
        shutdown(c->fd, SHUT_WR);
}

static void flush(struct vsock_conn *c)
{
    while (c->used) {
        ssize_t n = send(c->fd, c->buffer + c->head, MIN(c->used, VSOCK_BUFFER - c->head),
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) { /* the host closed it */
            c->used = 0;
            c->owed |= OWE_RST;
            return;
        }
        c->head = (c->head + (uint32_t)n) % VSOCK_BUFFER;
        c->used -= (uint32_t)n;
        c->fwd_cnt += (uint32_t)n;
    }
    if (c->fwd_cnt - c->fwd_told >= VSOCK_BUFFER / 4)
        c->owed |= OWE_CREDIT;
}

static void on_event(void *arg, unsigned events)
{
    struct vsock_conn *c = arg;
    struct vsock *v = c->vsock;

    if (events & LOOP_READ)
        c->readable = true;
    if (events & LOOP_WRITE) {
        if (c->seqpacket)
            vsock_seq_flush(c);
        else
            flush(c);
        if (c->dying && !has_output(c)) {
            vsock_conn_free(c, 0);
            return;
        }
        if (c->shutdown_got)
            vsock_conn_shutdown(c);
    }
    vsock_conn_update(c);
    vsock_pump(v);
}

/* --- life --- */

int vsock_conn_new(struct vsock *v, uint32_t host_port, uint32_t guest_port, int type, int fd,
                   struct vsock_conn **ret)
{
    struct vsock_conn *c = NULL;
    const int buffer = 2 * VSOCK_BUFFER; /* a message goes whole or not at all */
    int pair[2] = {fd, -1}, r = -EAGAIN;

    if (v->conn_count >= VSOCK_CONNECTIONS_MAX)
        goto fail;
    if (fd < 0 && socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    for (unsigned i = 0; i < 2 && type == SOCK_SEQPACKET; i++)
        (void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    (void)fcntl(pair[0], F_SETFL, O_NONBLOCK); /* ours; the user chooses for the other */
    c = calloc(1, sizeof(*c));
    if (!c) {
        r = -ENOMEM;
        goto fail;
    }
    *c = (struct vsock_conn){.vsock = v, .host_port = host_port, .guest_port = guest_port,
                             .seqpacket = type == SOCK_SEQPACKET, .fd = pair[0],
                             .user_fd = pair[1], .id = ++v->next_id};
    r = loop_fd_add(v->dev.loop, c->fd, 0, on_event, c, &c->watch);
    if (r < 0)
        goto fail;
    LIST_INSERT_HEAD(&v->bucket[bucket_of(host_port, guest_port)], c, link);
    v->conn_count++;
    *ret = c;
    return 0;
fail:
    free(c);
    for (unsigned i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            close(pair[i]);
    }
    return r;
}

void vsock_conn_free(struct vsock_conn *c, int err)
{
    struct vsock *v = c->vsock;

    if (c->in_ready)
        TAILQ_REMOVE(&v->ready, c, ready_link);
    LIST_REMOVE(c, link);
    v->conn_count--;
    loop_fd_remove(c->watch);
    close(c->fd);
    if (c->user_fd >= 0)
        close(c->user_fd);
    if (c->done)
        c->done(c->done_arg, err, -1);
    free(c->buffer);
    free(c->message);
    free(c);
}

void vsock_conn_finish(struct vsock_conn *c)
{
    if (!has_output(c)) {
        vsock_conn_free(c, -ECONNREFUSED);
        return;
    }
    c->dying = true;
    c->owed = 0;
    LIST_REMOVE(c, link);
    LIST_INSERT_HEAD(&c->vsock->dying, c, link);
    vsock_conn_update(c);
}
