/* SPDX-License-Identifier: MIT */
/* What vsock.c (packets), vsock_conn.c (connections, their host ends) and vsock_seq.c (those of
 * messages) share. Loop thread. */
#ifndef VZ_VIRTIO_VSOCK_IMPL_H
#define VZ_VIRTIO_VSOCK_IMPL_H

#include <linux/virtio_vsock.h>
#include <sys/queue.h>

#include "virtio/vsock.h"

#define VSOCK_BUFFER   (256u * 1024) /* per connection, what the guest may send ahead */
#define VSOCK_BUCKETS  256u
#define VSOCK_STRAYS   64u

/* Packets owed to the guest for a connection, sent from the lowest bit on. */
enum { OWE_REQUEST = 1, OWE_RESPONSE = 2, OWE_CREDIT = 4, OWE_SHUTDOWN = 8, OWE_RST = 16 };

struct vsock_conn {
    struct vsock *vsock;
    LIST_ENTRY(vsock_conn) link;       /* of its bucket, or of the dying */
    TAILQ_ENTRY(vsock_conn) ready_link;
    uint32_t host_port, guest_port;
    int fd;                            /* our end of the socket pair */
    int user_fd;                       /* the other end while connecting, or -1 */
    struct loop_fd *watch;
    void (*done)(void *arg, int err, int fd); /* while connecting */
    void *done_arg;
    uint8_t *buffer;                   /* guest's bytes the socket did not take; a ring */
    uint32_t head, used;
    /* Of messages only: whole ones in the ring, bytes of the guest in it, and whether the last
     * message lacks its end; and one of the host's that is on its way. */
    bool seqpacket, partial;
    uint32_t complete, unread;
    uint8_t *message; /* NULL: none */
    uint32_t message_len, message_pos;
    uint32_t fwd_cnt, fwd_told;        /* bytes that left the buffer; as last told */
    uint32_t tx_cnt, peer_alloc, peer_fwd;
    uint8_t owed, shutdown_sent, shutdown_got; /* VIRTIO_VSOCK_SHUTDOWN_* */
    bool connected, readable, in_ready, dying;
    bool deferred; /* vsock_answer() is to come */
    uint64_t id;   /* no other one had it */
};

struct vsock_listener {
    LIST_ENTRY(vsock_listener) link;
    uint32_t port;
    /* One of them: who answers at once, who has a socket, who answers later. */
    bool (*accept)(void *arg, int fd, uint32_t host_port, uint32_t guest_port);
    int (*open)(void *arg, uint32_t guest_port, int type);
    void (*offered)(void *arg, int fd, uint32_t host_port, uint32_t guest_port, uint64_t id);
    void *arg;
};

/* A reset owed for what is no connection. */
struct vsock_stray {
    uint64_t cid; /* as whom to send it: of whom the guest asked, which may be nobody's */
    uint32_t host_port, guest_port;
    uint16_t type;
};

struct vsock {
    struct virtio_dev dev;
    uint32_t guest_cid, next_port;
    uint64_t next_id;
    unsigned conn_count, stray_count;
    struct vsock_stray stray[VSOCK_STRAYS];
    LIST_HEAD(, vsock_conn) bucket[VSOCK_BUCKETS];
    LIST_HEAD(, vsock_conn) dying; /* gone for the guest, with bytes left for the host */
    TAILQ_HEAD(, vsock_conn) ready;
    LIST_HEAD(, vsock_listener) listeners;
    bool reset_owed; /* connections were lost by a restore: the guest must be told */
    /* It forgets all connections when it hears that, those made meanwhile too: so it is sent no packets before. It has
     * heard when it gives buffers for events back, of which it had event_room; or at this time, whatever it does. */
    uint64_t deaf_until_ns;
    unsigned event_room;
    struct loop_timer *deaf;
};

/* vsock_conn.c */
/* fd: the host's end, of that type (SOCK_*), taken in any case; -1: make a pair, of which user_fd is
 * to be given away. */
int vsock_conn_new(struct vsock *v, uint32_t host_port, uint32_t guest_port, int type, int fd,
                   struct vsock_conn **ret) must_check;
struct vsock_conn *vsock_conn_find(struct vsock *v, uint32_t host_port, uint32_t guest_port);
/* Close and free. err: for done() of one that is still connecting. */
void vsock_conn_free(struct vsock_conn *c, int err);
/* The guest has forgotten it: the host gets what is buffered, then the end. */
void vsock_conn_finish(struct vsock_conn *c);
/* Hand bytes of the guest to the host. false: more than the credit allows, or the host is gone. */
bool vsock_conn_send(struct vsock_conn *c, const struct iovec *iov, unsigned count, size_t len);
/* What the guest shut down, once everything before it was sent. */
void vsock_conn_shutdown(struct vsock_conn *c);
/* Watch the socket for what is of use now, and queue the connection if it has something to send. */
void vsock_conn_update(struct vsock_conn *c);
uint32_t vsock_conn_credit(const struct vsock_conn *c);

/* vsock_seq.c: the same for connections of messages. */
/* A packet of the guest's. false: as vsock_conn_send(), or longer than the host's socket takes. */
bool vsock_seq_send(struct vsock_conn *c, const struct iovec *iov, unsigned count, uint32_t len,
                    uint32_t flags);
/* Hand over what waits and is whole. */
void vsock_seq_flush(struct vsock_conn *c);
void vsock_seq_tell_credit(struct vsock_conn *c);
/* Have a message of the host's. 0; -EAGAIN: there is none now; other -errno: never again, and
 * -EMSGSIZE: the guest cannot take it. */
int vsock_seq_fill(struct vsock_conn *c) must_check;
/* Put as much of it as fits in room, and the credit, into p at off. Returns how much, and flags. */
uint32_t vsock_seq_put(struct vsock_conn *c, struct virtq_chain *p, size_t off, uint32_t room,
                       uint32_t *ret_flags);

/* vsock.c: send what is owed, as far as the guest has room. */
void vsock_pump(struct vsock *v);
static inline void vsock_conn_owe(struct vsock_conn *c, unsigned what)
{
    c->owed |= (uint8_t)what;
    vsock_conn_update(c);
}

#endif
