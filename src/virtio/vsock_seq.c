/* SPDX-License-Identifier: MIT */
/* Connections of messages (VIRTIO 1.2 section 5.10.6.7, SOCK_SEQPACKET): a message is as many packets
 * as it takes, the last of them marked EOM. The host's end is a Unix socket of the same type, which
 * takes and gives whole messages: so the guest's are collected here until EOM, and the host's are
 * cut here as the guest has room and credit. MSG_EOR goes to the host as it comes; Unix sockets do
 * not tell of it, so none goes to the guest. Messages without a byte, which read() could not tell
 * from the end, are passed over.
 *
 * The guest's packets wait in a ring as records: a header of one to three bytes (EOM, EOR, length),
 * then the bytes. A record has at least one byte but for an EOM that comes late, so twice the credit
 * is room enough for all that an honest driver sends, and the few bytes more let the last record be
 * looked at as if it were a large one. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "virtio/vsock_impl.h"

#define HEADER_MAX 4u
#define RING_SIZE  (2 * VSOCK_BUFFER + HEADER_MAX)

/* --- guest to host --- */

static void put_byte(struct vsock_conn *c, unsigned byte)
{
    c->buffer[(c->head + c->used++) % RING_SIZE] = (uint8_t)byte;
}

static uint32_t byte_at(const struct vsock_conn *c, uint32_t off)
{
    return c->buffer[(c->head + off) % RING_SIZE];
}

/* Bit 0: EOM, 1: EOR, 2 to 6 of the length, 7: seven more bits follow, and so on. */
static void put_header(struct vsock_conn *c, uint32_t flags, uint32_t len)
{
    uint32_t rest = len >> 5;

    put_byte(c, (flags & 3) | (len & 31) << 2 | (rest ? 0x80 : 0));
    for (; rest; rest >>= 7)
        put_byte(c, (rest & 0x7f) | (rest >> 7 ? 0x80 : 0));
}

/* Of the record at off: where its bytes are. */
static uint32_t get_header(const struct vsock_conn *c, uint32_t off, uint32_t *ret_flags,
                           uint32_t *ret_len)
{
    uint32_t byte = byte_at(c, off++);

    *ret_flags = byte & 3;
    *ret_len = byte >> 2 & 31;
    for (unsigned shift = 5; byte & 0x80; shift += 7) {
        byte = byte_at(c, off++);
        *ret_len |= (byte & 0x7f) << shift;
    }
    return off;
}

static bool keep(struct vsock_conn *c, const struct iovec *iov, unsigned count, uint32_t len,
                 uint32_t flags)
{
    uint32_t tail, first;

    if (!c->buffer)
        c->buffer = malloc(RING_SIZE);
    if (!c->buffer || RING_SIZE - c->used < len + HEADER_MAX)
        return false;
    put_header(c, flags, len);
    tail = (c->head + c->used) % RING_SIZE;
    first = MIN(len, RING_SIZE - tail);
    iov_read(iov, count, 0, c->buffer + tail, first);
    iov_read(iov, count, first, c->buffer, len - first);
    c->used += len;
    c->unread += len;
    c->partial = !(flags & VIRTIO_VSOCK_SEQ_EOM);
    c->complete += !c->partial;
    return true;
}

static int eor(uint32_t flags)
{
    return flags & VIRTIO_VSOCK_SEQ_EOR ? MSG_EOR : 0;
}

/* Bytes of the ring, as the two pieces they may be in. */
static unsigned pieces(const struct vsock_conn *c, uint32_t off, uint32_t len, struct iovec iov[2])
{
    uint32_t at = (c->head + off) % RING_SIZE, first = MIN(len, RING_SIZE - at);

    iov[0] = (struct iovec){c->buffer + at, first};
    iov[1] = (struct iovec){c->buffer, len - first};
    return 2;
}

/* Collect the message at the head into message (NULL: only measure). Returns the bytes of ring it
 * takes. */
static uint32_t collect(const struct vsock_conn *c, uint8_t *message, uint32_t *ret_len,
                        uint32_t *ret_flags)
{
    uint32_t off = 0, flags = 0, len;

    *ret_len = 0;
    while (!(flags & VIRTIO_VSOCK_SEQ_EOM)) {
        struct iovec iov[2];

        off = get_header(c, off, &flags, &len);
        if (message)
            iov_read(iov, pieces(c, off, len, iov), 0, message + *ret_len, len);
        *ret_len += len;
        off += len;
    }
    *ret_flags = flags;
    return off;
}

/* The message at the head. 0: it is gone; or -errno. */
static int send_head(struct vsock_conn *c)
{
    uint32_t len, flags, taken = collect(c, NULL, &len, &flags);
    uint8_t *message = malloc(len + 1);
    ssize_t n;

    if (!message)
        return -ENOMEM;
    collect(c, message, &len, &flags);
    n = len ? send(c->fd, message, len, MSG_DONTWAIT | MSG_NOSIGNAL | eor(flags)) : 0;
    n = n < 0 ? -errno : 0;
    free(message);
    if (n < 0)
        return (int)n;
    c->head = (c->head + taken) % RING_SIZE;
    c->used -= taken;
    c->unread -= len;
    c->fwd_cnt += len;
    c->complete--;
    return 0;
}

static bool is_for_now(int err)
{
    return err == -EAGAIN || err == -EINTR || err == -ENOBUFS;
}

void vsock_seq_flush(struct vsock_conn *c)
{
    while (c->complete) {
        int r = send_head(c);

        if (is_for_now(r))
            break;
        if (r < 0) { /* the host closed it, or takes no message as long as this */
            c->complete = 0;
            c->owed |= OWE_RST;
            return;
        }
    }
    vsock_seq_tell_credit(c);
}

/* A message may be as long as all the credit, so it must not wait for bytes that the guest does not
 * know to be free. */
void vsock_seq_tell_credit(struct vsock_conn *c)
{
    uint32_t untold = c->fwd_cnt - c->fwd_told;

    if (untold && VSOCK_BUFFER - MIN(c->unread + untold, VSOCK_BUFFER) < VSOCK_BUFFER / 2)
        c->owed |= OWE_CREDIT;
}

/* One message in one packet, with nothing before it, needs no copy. 0, -EAGAIN: it has to wait. */
static int send_through(struct vsock_conn *c, const struct iovec *iov, unsigned count,
                        uint32_t flags)
{
    struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = count};

    if (c->complete || c->partial || !(flags & VIRTIO_VSOCK_SEQ_EOM))
        return -EAGAIN;
    return sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL | eor(flags)) < 0 ? -errno : 0;
}

bool vsock_seq_send(struct vsock_conn *c, const struct iovec *iov, unsigned count, uint32_t len,
                    uint32_t flags)
{
    int r;

    if (!c->connected || (c->shutdown_got & VIRTIO_VSOCK_SHUTDOWN_SEND) ||
        len > VSOCK_BUFFER - c->unread)
        return false;
    if (!len && !(c->partial && (flags & VIRTIO_VSOCK_SEQ_EOM)))
        return true;
    r = send_through(c, iov, count, flags);
    if (!r) {
        c->fwd_cnt += len;
        vsock_seq_tell_credit(c);
        return true;
    }
    if (!is_for_now(r) || !keep(c, iov, count, len, flags))
        return false;
    vsock_seq_flush(c);
    return true;
}

/* --- host to guest --- */

/* The next message of the host's. Its length; 0: there is none now; or -errno: never again. */
static ssize_t next_message(struct vsock_conn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    ssize_t n = recv(c->fd, NULL, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (!n) {
        (void)!recv(c->fd, NULL, 0, MSG_DONTWAIT); /* the end, or a message without a byte */
        return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP)) ? -EPIPE : 0;
    }
    if ((uint64_t)n > c->peer_alloc) {
        log_warn("a message of %zd bytes is more than the guest takes at once (%u)", n,
                 c->peer_alloc);
        return -EMSGSIZE;
    }
    c->message = malloc((size_t)n);
    if (!c->message)
        return -ENOMEM;
    n = recv(c->fd, c->message, (size_t)n, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

int vsock_seq_fill(struct vsock_conn *c)
{
    ssize_t n;

    if (c->message)
        return 0;
    n = next_message(c);
    if (n > 0) {
        c->message_len = (uint32_t)n;
        c->message_pos = 0;
        return 0;
    }
    free(c->message);
    c->message = NULL;
    return n ? (int)n : -EAGAIN;
}

uint32_t vsock_seq_put(struct vsock_conn *c, struct virtq_chain *p, size_t off, uint32_t room,
                       uint32_t *ret_flags)
{
    uint32_t len = MIN(c->message_len - c->message_pos, MIN(room, vsock_conn_credit(c)));

    (void)virtq_write(p, off, c->message + c->message_pos, len);
    c->message_pos += len;
    *ret_flags = c->message_pos == c->message_len ? VIRTIO_VSOCK_SEQ_EOM : 0;
    if (*ret_flags) {
        free(c->message);
        c->message = NULL;
    }
    return len;
}
