/* SPDX-License-Identifier: MIT */
#include "virtio/vsock.h"

#include <errno.h>
#include <linux/virtio_vsock.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_virtio_driver.h"
#include "unit.h"

#define TX (FV_DATA + 0x1000)
#define RX (FV_DATA + 0x100000)

struct fixture {
    struct fv v;
    uint16_t type; /* of what send_op() sends and expect() expects */
    uint32_t credit, fwd_cnt;
    uint64_t cid;  /* to whom send_op() sends */
    int fd, err;
    unsigned calls;
    unsigned next_rx;
};

static const struct vsock_options options = {.guest_cid = 3};

static bool on_accept(void *arg, int fd, uint32_t host_port, uint32_t guest_port)
{
    struct fixture *f = arg;

    f->calls++;
    f->fd = fd;
    return guest_port != 666;
}

static void on_done(void *arg, int err, int fd)
{
    struct fixture *f = arg;

    f->calls++;
    f->err = err;
    f->fd = fd;
}

static void setup_features(struct fixture *f, uint64_t features)
{
    memset(f, 0, sizeof(*f));
    f->fd = -1;
    f->type = VIRTIO_VSOCK_TYPE_STREAM;
    f->credit = 16;
    f->cid = VSOCK_HOST_CID;
    fv_create(&f->v, &virtio_vsock_ops, &options);
    fv_start(&f->v, features, 256);
    for (unsigned i = 0; i < 256; i++) {
        struct fv_buf b = {RX + i * 4096, 4096, true};

        fv_add(&f->v, 0, &b, 1);
    }
    fv_kick(&f->v, 0);
    ck_assert_int_eq(vsock_listen(f->v.dev, 5000, on_accept, f), 0);
    ck_assert_int_eq(vsock_listen(f->v.dev, 5000, on_accept, f), -EADDRINUSE);
}

static void setup(struct fixture *f)
{
    setup_features(f, 0);
}

static void send_op(struct fixture *f, uint32_t guest_port, uint32_t host_port, uint16_t op,
                    uint32_t flags, const char *data)
{
    struct virtio_vsock_hdr h = {.src_cid = 3, .dst_cid = f->cid, .src_port = guest_port,
                                 .dst_port = host_port, .type = f->type, .op = op, .flags = flags,
                                 .buf_alloc = f->credit, .fwd_cnt = f->fwd_cnt, .len = (uint32_t)strlen(data)};
    struct fv_buf b = {TX, sizeof(h) + h.len, false};

    memcpy(fv_at(&f->v, TX), &h, sizeof(h));
    memcpy(fv_at(&f->v, TX + sizeof(h)), data, h.len);
    fv_request(&f->v, 1, &b, 1);
    fv_turn(&f->v);
}

static struct virtio_vsock_hdr expect(struct fixture *f, uint16_t op, const char *data)
{
    struct virtio_vsock_hdr h;
    struct vring_used_elem e;

    fv_turn(&f->v);
    ck_assert_msg(fv_used(&f->v, 0, &e), "nothing came");
    memcpy(&h, fv_at(&f->v, RX + e.id * 4096), sizeof(h));
    ck_assert_uint_eq(h.op, op);
    ck_assert_uint_eq(h.type, f->type);
    ck_assert_uint_eq(h.src_cid, f->cid);
    ck_assert_uint_eq(h.dst_cid, 3);
    ck_assert_uint_eq(h.len, strlen(data));
    ck_assert_uint_eq(e.len, sizeof(h) + h.len);
    ck_assert_mem_eq(fv_at(&f->v, RX + e.id * 4096 + sizeof(h)), data, h.len);
    return h;
}

static void expect_nothing(struct fixture *f)
{
    struct vring_used_elem e;

    fv_turn(&f->v);
    ck_assert(!fv_used(&f->v, 0, &e));
}

START_TEST(the_guest_connects_talks_and_leaves)
{
    struct fixture f;
    char got[16];

    setup(&f);
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    expect(&f, VIRTIO_VSOCK_OP_RESPONSE, "");
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, 0, "hello");
    ck_assert_int_eq(read(f.fd, got, sizeof(got)), 5);
    ck_assert_int_eq(write(f.fd, "answer", 6), 6);
    expect(&f, VIRTIO_VSOCK_OP_RW, "answer");
    ck_assert_int_eq(write(f.fd, "more than the credit", 20), 20);
    expect(&f, VIRTIO_VSOCK_OP_RW, "more than ");
    expect_nothing(&f);
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, "");
    ck_assert_int_eq(read(f.fd, got, sizeof(got)), 0);
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_SHUTDOWN, 3, "");
    expect(&f, VIRTIO_VSOCK_OP_RST, "");
    ck_assert_uint_eq(vsock_connections(f.v.dev), 0);
    close(f.fd);
    fv_destroy(&f.v);
}
END_TEST

START_TEST(who_is_not_expected_is_reset)
{
    struct fixture f;

    setup(&f);
    send_op(&f, 1000, 77, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    expect(&f, VIRTIO_VSOCK_OP_RST, "");
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, 0, "x");
    expect(&f, VIRTIO_VSOCK_OP_RST, "");
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RST, 0, "");
    expect_nothing(&f);
    send_op(&f, 666, 5000, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    ck_assert_uint_eq(f.calls, 1);
    expect(&f, VIRTIO_VSOCK_OP_RST, "");
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    expect(&f, VIRTIO_VSOCK_OP_RESPONSE, "");
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    expect(&f, VIRTIO_VSOCK_OP_RST, "");
    fv_destroy(&f.v);
}
END_TEST

START_TEST(who_calls_nobody_s_address_is_reset_by_that_address)
{
    static const uint64_t others[] = {0, 1, 4, UINT32_MAX, UINT64_MAX};
    struct fixture f;

    setup(&f);
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
        f.cid = others[i];
        send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_REQUEST, 0, "");
        expect(&f, VIRTIO_VSOCK_OP_RST, "");
    }
    f.cid = VSOCK_HOST_CID;
    for (f.type = 0; f.type < 5; f.type++) { /* the second was not negotiated */
        if (f.type == VIRTIO_VSOCK_TYPE_STREAM)
            continue;
        send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_REQUEST, 0, "");
        expect(&f, VIRTIO_VSOCK_OP_RST, "");
    }
    ck_assert_uint_eq(f.calls, 0);
    fv_destroy(&f.v);
}
END_TEST

/* ---- Messages ------------------------------------------------------------------------------- */

#define EOM VIRTIO_VSOCK_SEQ_EOM

static void setup_messages(struct fixture *f, uint32_t credit)
{
    setup_features(f, BIT(VIRTIO_VSOCK_F_SEQPACKET));
    f->type = VIRTIO_VSOCK_TYPE_SEQPACKET;
    f->credit = credit;
    send_op(f, 1000, 5000, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    expect(f, VIRTIO_VSOCK_OP_RESPONSE, "");
}

static void finish_messages(struct fixture *f)
{
    close(f->fd);
    fv_destroy(&f->v);
}

START_TEST(messages_keep_their_ends_both_ways)
{
    struct fixture f;
    char got[64];
    int type;
    socklen_t len = sizeof(type);

    setup_messages(&f, 16);
    ck_assert_int_eq(getsockopt(f.fd, SOL_SOCKET, SO_TYPE, &type, &len), 0);
    ck_assert_int_eq(type, SOCK_SEQPACKET);
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, EOM, "one");
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, 0, "two in ");
    ck_assert_int_eq(recv(f.fd, got, sizeof(got), MSG_DONTWAIT), 3);
    ck_assert_int_lt(recv(f.fd, got, sizeof(got), MSG_DONTWAIT), 0); /* not whole */
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, 0, "three ");
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, EOM | VIRTIO_VSOCK_SEQ_EOR, "parts");
    ck_assert_int_eq(recv(f.fd, got, sizeof(got), MSG_DONTWAIT), 18);
    ck_assert_mem_eq(got, "two in three parts", 18);

    ck_assert_int_eq(write(f.fd, "ab", 2), 2);
    ck_assert_int_eq(write(f.fd, "cde", 3), 3);
    ck_assert_uint_eq(expect(&f, VIRTIO_VSOCK_OP_RW, "ab").flags, EOM);
    ck_assert_uint_eq(expect(&f, VIRTIO_VSOCK_OP_RW, "cde").flags, EOM);
    ck_assert_int_eq(write(f.fd, "longer than room", 16), 16); /* of 16 five are not given back */
    ck_assert_uint_eq(expect(&f, VIRTIO_VSOCK_OP_RW, "longer than").flags, 0);
    expect_nothing(&f);
    f.fwd_cnt = 5;
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, "");
    ck_assert_uint_eq(expect(&f, VIRTIO_VSOCK_OP_RW, " room").flags, EOM);
    finish_messages(&f);
}
END_TEST

START_TEST(messages_wait_for_a_slow_reader_in_order)
{
    struct fixture f;
    char text[16], got[64];
    unsigned sent = 0;

    setup_messages(&f, 16);
    for (; sent < 3000; sent++) { /* more than a Unix socket takes */
        snprintf(text, sizeof(text), "%u", sent);
        send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, 0, text);
        send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, EOM, "!");
    }
    for (unsigned i = 0; i < sent; i++) {
        ssize_t n = recv(f.fd, got, sizeof(got), MSG_DONTWAIT);

        snprintf(text, sizeof(text), "%u!", i);
        ck_assert_int_eq(n, strlen(text));
        ck_assert_mem_eq(got, text, strlen(text));
        if (i % 100 == 0)
            fv_turn(&f.v);
    }
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_SHUTDOWN, 3, "");
    ck_assert_int_eq(recv(f.fd, got, sizeof(got), MSG_DONTWAIT), 0);
    finish_messages(&f);
}
END_TEST

/* The guest may send a message as long as all it is told to have room for, at any time. */
START_TEST(a_message_may_be_as_long_as_the_credit)
{
    struct fixture f;
    static char part[4000], got[300000];
    uint32_t len = 0;

    memset(part, 'x', sizeof(part) - 1);
    setup_messages(&f, 16);
    for (unsigned i = 0; i < 15; i++) { /* not yet told to be free */
        send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, EOM, part);
        ck_assert_int_eq(recv(f.fd, got, sizeof(got), MSG_DONTWAIT), 3999);
    }
    expect_nothing(&f);
    while (len + 3999 < 256 * 1024 - 15 * 3999) {
        send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, 0, part);
        len += 3999;
    }
    ck_assert_uint_eq(expect(&f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, "").fwd_cnt, 15 * 3999);
    while (len + 3999 < 256 * 1024) {
        send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, 0, part);
        len += 3999;
    }
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, EOM, "end");
    ck_assert_int_eq(recv(f.fd, got, sizeof(got), MSG_DONTWAIT), (int)len + 3);
    expect(&f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, "");
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, EOM, "next");
    ck_assert_int_eq(recv(f.fd, got, sizeof(got), MSG_DONTWAIT), 4);
    finish_messages(&f);
}
END_TEST

/* All the credit, in the pieces that take the most room. */
START_TEST(a_message_may_come_byte_by_byte)
{
    struct fixture f;
    static char got[300000];

    setup_messages(&f, 16);
    for (unsigned i = 1; i < 256 * 1024; i++)
        send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, 0, "x");
    expect_nothing(&f);
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, EOM, "y");
    ck_assert_int_eq(recv(f.fd, got, sizeof(got), MSG_DONTWAIT), 256 * 1024);
    ck_assert_mem_eq(got + 256 * 1024 - 2, "xy", 2);
    finish_messages(&f);
}
END_TEST

START_TEST(a_message_longer_than_the_guest_takes_ends_the_connection)
{
    struct fixture f;
    char got[16];

    setup_messages(&f, 16);
    ck_assert_int_eq(write(f.fd, "more than the guest has room for", 32), 32);
    expect(&f, VIRTIO_VSOCK_OP_RST, "");
    ck_assert_uint_eq(vsock_connections(f.v.dev), 0);
    ck_assert_int_le(recv(f.fd, got, sizeof(got), MSG_DONTWAIT), 0);
    finish_messages(&f);
}
END_TEST

START_TEST(any_pieces_of_messages_are_survived)
{
    static const uint32_t lengths[] = {0, 0, 1, 1, 2, 31, 32, 33, 3000};
    struct fixture f;
    static char part[4000], got[300000];

    memset(part, 'x', sizeof(part));
    srand(1);
    for (unsigned round = 0; round < 20; round++) {
        setup_messages(&f, (uint32_t)rand());
        for (unsigned i = 0; i < 4000; i++) {
            uint32_t len = lengths[(unsigned)rand() % ARRAY_SIZE(lengths)];
            struct vring_used_elem e;

            part[len] = 0;
            send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, (uint32_t)rand() & (round & 1 ? 3 : 2), part);
            part[len] = 'x';
            while (fv_used(&f.v, 0, &e))
                fv_offer(&f.v, 0, (uint16_t)e.id);
            if (round & 2 && i % 8 == 0)
                (void)!recv(f.fd, got, sizeof(got), MSG_DONTWAIT);
        }
        finish_messages(&f);
    }
}
END_TEST

START_TEST(the_end_and_empty_messages_are_told_apart)
{
    struct fixture f;

    setup_messages(&f, 16);
    ck_assert_int_eq(send(f.fd, "", 0, 0), 0);
    ck_assert_int_eq(write(f.fd, "more", 4), 4);
    expect(&f, VIRTIO_VSOCK_OP_RW, "more");
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, EOM, ""); /* and the other way */
    expect_nothing(&f);
    shutdown(f.fd, SHUT_WR);
    ck_assert_uint_eq(expect(&f, VIRTIO_VSOCK_OP_SHUTDOWN, "").flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
    f.type = VIRTIO_VSOCK_TYPE_STREAM; /* no packet of this connection */
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, 0, "x");
    expect(&f, VIRTIO_VSOCK_OP_RST, "");
    ck_assert_uint_eq(vsock_connections(f.v.dev), 1);
    finish_messages(&f);
}
END_TEST

START_TEST(the_host_connects_and_closes)
{
    struct fixture f;
    struct virtio_vsock_hdr h;

    setup(&f);
    ck_assert_int_eq(vsock_connect(f.v.dev, 22, on_done, &f), 0);
    h = expect(&f, VIRTIO_VSOCK_OP_REQUEST, "");
    ck_assert_uint_eq(h.dst_port, 22);
    send_op(&f, 22, h.src_port, VIRTIO_VSOCK_OP_RESPONSE, 0, "");
    ck_assert_int_eq(f.err, 0);
    ck_assert_int_ge(f.fd, 0);
    ck_assert_int_eq(write(f.fd, "last", 4), 4);
    shutdown(f.fd, SHUT_WR);
    expect(&f, VIRTIO_VSOCK_OP_RW, "last");
    ck_assert_uint_eq(expect(&f, VIRTIO_VSOCK_OP_SHUTDOWN, "").flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
    send_op(&f, 22, h.src_port, VIRTIO_VSOCK_OP_RST, 0, "");
    ck_assert_uint_eq(vsock_connections(f.v.dev), 0);
    close(f.fd);
    ck_assert_int_eq(vsock_connect(f.v.dev, 23, on_done, &f), 0);
    h = expect(&f, VIRTIO_VSOCK_OP_REQUEST, "");
    send_op(&f, 23, h.src_port, VIRTIO_VSOCK_OP_RST, 0, "");
    ck_assert_int_eq(f.err, -ECONNREFUSED);
    ck_assert_int_eq(vsock_connect(f.v.dev, 24, on_done, &f), 0);
    fv_wr(&f.v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    fv_turn(&f.v);
    ck_assert_int_eq(f.err, -ECONNRESET);
    ck_assert_uint_eq(f.calls, 3);
    fv_destroy(&f.v);
}
END_TEST

struct offered {
    int fd;
    uint32_t host_port, guest_port;
    uint64_t id;
};

static void on_offered(void *arg, int fd, uint32_t host_port, uint32_t guest_port, uint64_t id)
{
    *(struct offered *)arg = (struct offered){fd, host_port, guest_port, id};
}

static void answer(struct fixture *f, const struct offered *o, bool accept)
{
    vsock_answer(f->v.dev, o->host_port, o->guest_port, o->id, accept);
}

START_TEST(an_answer_may_come_later)
{
    struct fixture f;
    struct offered o = {.fd = -1}, old;
    char got[16];

    setup(&f);
    ck_assert_int_eq(vsock_listen_deferred(f.v.dev, 6000, on_offered, &o), 0);
    send_op(&f, 1000, 6000, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    expect_nothing(&f);
    send_op(&f, 1000, 6000, VIRTIO_VSOCK_OP_RESPONSE, 0, ""); /* is no answer */
    expect_nothing(&f);
    ck_assert_int_eq(write(o.fd, "early", 5), 5);
    answer(&f, &o, true);
    expect(&f, VIRTIO_VSOCK_OP_RESPONSE, "");
    expect(&f, VIRTIO_VSOCK_OP_RW, "early");
    answer(&f, &o, false); /* too late */
    send_op(&f, 1000, 6000, VIRTIO_VSOCK_OP_RW, 0, "hello");
    ck_assert_int_eq(read(o.fd, got, sizeof(got)), 5);
    old = o;
    send_op(&f, 1000, 6000, VIRTIO_VSOCK_OP_RST, 0, "");
    ck_assert_int_eq(read(o.fd, got, sizeof(got)), 0);
    close(o.fd);
    send_op(&f, 1000, 6000, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    answer(&f, &old, true); /* of another connection between the same ports */
    expect_nothing(&f);
    answer(&f, &o, false);
    expect(&f, VIRTIO_VSOCK_OP_RST, "");
    ck_assert_uint_eq(vsock_connections(f.v.dev), 0);
    close(o.fd);
    send_op(&f, 1000, 6000, VIRTIO_VSOCK_OP_REQUEST, 0, ""); /* and never answered */
    fv_destroy(&f.v);
    close(o.fd);
}
END_TEST

static int on_open(void *arg, uint32_t guest_port, int type)
{
    int pair[2];

    if (guest_port == 666)
        return -ECONNREFUSED;
    ck_assert_int_eq(socketpair(AF_UNIX, type, 0, pair), 0);
    *(int *)arg = pair[0];
    return pair[1];
}

START_TEST(sockets_of_the_host_become_connections)
{
    struct fixture f;
    struct virtio_vsock_hdr h;
    char got[16];
    int fd = -1, gone;

    setup(&f);
    ck_assert_int_eq(vsock_listen_open(f.v.dev, 7000, on_open, &fd), 0);
    send_op(&f, 666, 7000, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    expect(&f, VIRTIO_VSOCK_OP_RST, "");
    send_op(&f, 1000, 7000, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    expect(&f, VIRTIO_VSOCK_OP_RESPONSE, "");
    ck_assert_int_eq(write(fd, "to guest", 8), 8);
    expect(&f, VIRTIO_VSOCK_OP_RW, "to guest");
    close(fd);
    ck_assert_uint_eq(expect(&f, VIRTIO_VSOCK_OP_SHUTDOWN, "").flags, 3);
    fd = -1;
    ck_assert_int_eq(vsock_connect_fd(f.v.dev, 22, on_open(&fd, 0, SOCK_SEQPACKET)), -ENOTCONN);
    close(fd); /* messages were not negotiated */
    send_op(&f, 1000, 7000, VIRTIO_VSOCK_OP_RST, 0, "");

    ck_assert_int_eq(vsock_connect_fd(f.v.dev, 22, on_open(&fd, 0, SOCK_STREAM)), 0);
    ck_assert_int_eq(write(fd, "hello", 5), 5);
    h = expect(&f, VIRTIO_VSOCK_OP_REQUEST, "");
    expect_nothing(&f);
    send_op(&f, 22, h.src_port, VIRTIO_VSOCK_OP_RESPONSE, 0, "");
    expect(&f, VIRTIO_VSOCK_OP_RW, "hello");
    gone = fd;
    ck_assert_int_eq(vsock_connect_fd(f.v.dev, 23, on_open(&fd, 0, SOCK_STREAM)), 0);
    h = expect(&f, VIRTIO_VSOCK_OP_REQUEST, "");
    send_op(&f, 23, h.src_port, VIRTIO_VSOCK_OP_RST, 0, ""); /* nobody there */
    ck_assert_int_eq(read(fd, got, sizeof(got)), 0);
    close(fd);
    close(gone);
    fv_wr(&f.v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    fv_turn(&f.v);
    ck_assert_int_eq(vsock_connect_fd(f.v.dev, 22, on_open(&fd, 0, SOCK_STREAM)), -ENOTCONN);
    ck_assert_int_eq(read(fd, got, sizeof(got)), 0);
    close(fd);
    fv_destroy(&f.v);
}
END_TEST

/* No reset among what came; credit updates are passed over. */
static bool vsock_credit_ok(struct fixture *f)
{
    struct virtio_vsock_hdr h;
    struct vring_used_elem e;

    while (fv_used(&f->v, 0, &e)) {
        memcpy(&h, fv_at(&f->v, RX + e.id * 4096), sizeof(h));
        if (h.op == VIRTIO_VSOCK_OP_RST)
            return false;
    }
    return true;
}

START_TEST(who_sends_more_than_its_credit_is_reset)
{
    struct fixture f;
    static char big[4001];
    unsigned i;

    setup(&f);
    memset(big, 'x', 4000);
    send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_REQUEST, 0, "");
    expect(&f, VIRTIO_VSOCK_OP_RESPONSE, "");
    for (i = 0; i < 1000 && vsock_credit_ok(&f); i++) /* nobody reads at the host */
        send_op(&f, 1000, 5000, VIRTIO_VSOCK_OP_RW, 0, big);
    ck_assert_uint_gt(i, 65);
    ck_assert_uint_lt(i, 1000);
    for (unsigned sent = 0; sent < 65 * 4000;) { /* what came before gets there */
        ssize_t n = read(f.fd, big, sizeof(big));

        ck_assert_int_gt(n, 0);
        sent += (unsigned)n;
        fv_turn(&f.v);
    }
    close(f.fd);
    fv_turn(&f.v);
    ck_assert_uint_eq(vsock_connections(f.v.dev), 0);
    fv_destroy(&f.v);
}
END_TEST

START_TEST(a_restored_guest_is_told_to_start_over)
{
    struct fixture f, g;
    struct fv_buf b = {FV_DATA, 4, true};

    setup(&f);
    setup(&g);
    fv_add(&f.v, 2, &b, 1);
    fv_move(&f.v, &g.v);
    fv_turn(&g.v);
    ck_assert_uint_eq(g.v.q[2].us->idx, 1);
    fv_destroy(&f.v);
    fv_destroy(&g.v);
}
END_TEST

/* What it is sent before it has dealt with that, it would take for lost too. */
START_TEST(a_restored_guest_is_connected_to_when_it_has_heard)
{
    struct fixture f, g;
    struct fv_buf b = {FV_DATA, 4, true};
    struct vring_used_elem e;

    setup(&f);
    memset(&g, 0, sizeof(g));
    fv_create(&g.v, &virtio_vsock_ops, &options);
    fv_start(&g.v, 0, 256);
    fv_add(&f.v, 2, &b, 1);
    fv_add(&f.v, 2, &b, 1);
    fv_move(&f.v, &g.v);
    ck_assert_int_eq(vsock_connect(g.v.dev, 22, on_done, &g), 0);
    for (unsigned i = 0; i < 3; i++) {
        expect_nothing(&g);
        ck_assert_uint_gt(fake_loop_fire(g.v.m.loop), 0);
    }
    expect_nothing(&g);
    ck_assert_uint_eq(g.v.q[2].us->idx, 1);
    fv_add(&g.v, 2, &b, 1); /* without a kick, which nobody asked for */
    fake_loop_fire(g.v.m.loop);
    fv_turn(&g.v);
    ck_assert(fv_used(&g.v, 0, &e));
    fv_destroy(&f.v);
    fv_destroy(&g.v);
}
END_TEST

START_TEST(a_hostile_driver_breaks_only_its_device)
{
    struct fixture f;
    struct virtio_vsock_hdr h = {.src_cid = 3, .dst_cid = 2, .src_port = 1000, .dst_port = 5000,
                                 .type = 1, .op = VIRTIO_VSOCK_OP_REQUEST, .buf_alloc = UINT32_MAX};

    setup(&f);
    for (uint16_t op = 0; op < 12; op++) { /* lengths that are not there */
        struct fv_buf b = {TX, sizeof(h), false};

        memcpy(fv_at(&f.v, TX), &h, sizeof(h));
        fv_request(&f.v, 1, &b, 1);
        h.op = op;
        h.len = UINT32_MAX;
        h.fwd_cnt = UINT32_MAX - op;
    }
    fv_hostile(&f.v, BIT(VIRTIO_RING_F_INDIRECT_DESC));
    fv_destroy(&f.v);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, the_guest_connects_talks_and_leaves);
    UNIT_TEST(s, who_is_not_expected_is_reset);
    UNIT_TEST(s, who_calls_nobody_s_address_is_reset_by_that_address);
    UNIT_TEST(s, messages_keep_their_ends_both_ways);
    UNIT_TEST(s, messages_wait_for_a_slow_reader_in_order);
    UNIT_TEST(s, a_message_may_be_as_long_as_the_credit);
    UNIT_TEST(s, a_message_may_come_byte_by_byte);
    UNIT_TEST(s, a_message_longer_than_the_guest_takes_ends_the_connection);
    UNIT_TEST(s, any_pieces_of_messages_are_survived);
    UNIT_TEST(s, the_end_and_empty_messages_are_told_apart);
    UNIT_TEST(s, the_host_connects_and_closes);
    UNIT_TEST(s, an_answer_may_come_later);
    UNIT_TEST(s, sockets_of_the_host_become_connections);
    UNIT_TEST(s, who_sends_more_than_its_credit_is_reset);
    UNIT_TEST(s, a_restored_guest_is_told_to_start_over);
    UNIT_TEST(s, a_restored_guest_is_connected_to_when_it_has_heard);
    UNIT_TEST(s, a_hostile_driver_breaks_only_its_device);
}

UNIT_TEST_MAIN("virtio-vsock", add_tests)
