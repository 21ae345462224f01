/* SPDX-License-Identifier: MIT */
#include "virtio/vsock.h"

#include <errno.h>
#include <linux/virtio_vsock.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_virtio_driver.h"
#include "unit.h"

#define TX (FV_DATA + 0x1000)
#define RX (FV_DATA + 0x100000)

struct fixture {
    struct fv v;
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

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->fd = -1;
    fv_create(&f->v, &virtio_vsock_ops, &options);
    fv_start(&f->v, 0, 256);
    for (unsigned i = 0; i < 256; i++) {
        struct fv_buf b = {RX + i * 4096, 4096, true};

        fv_add(&f->v, 0, &b, 1);
    }
    fv_kick(&f->v, 0);
    ck_assert_int_eq(vsock_listen(f->v.dev, 5000, on_accept, f), 0);
    ck_assert_int_eq(vsock_listen(f->v.dev, 5000, on_accept, f), -EADDRINUSE);
}

static void send_op(struct fixture *f, uint32_t guest_port, uint32_t host_port, uint16_t op,
                    uint32_t flags, const char *data)
{
    struct virtio_vsock_hdr h = {.src_cid = 3, .dst_cid = 2, .src_port = guest_port,
                                 .dst_port = host_port, .type = 1, .op = op, .flags = flags,
                                 .buf_alloc = 16, .len = (uint32_t)strlen(data)};
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
    ck_assert_uint_eq(h.src_cid, 2);
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

static int on_open(void *arg, uint32_t guest_port)
{
    int pair[2];

    if (guest_port == 666)
        return -ECONNREFUSED;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
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
    send_op(&f, 1000, 7000, VIRTIO_VSOCK_OP_RST, 0, "");

    ck_assert_int_eq(vsock_connect_fd(f.v.dev, 22, on_open(&fd, 0)), 0);
    ck_assert_int_eq(write(fd, "hello", 5), 5);
    h = expect(&f, VIRTIO_VSOCK_OP_REQUEST, "");
    expect_nothing(&f);
    send_op(&f, 22, h.src_port, VIRTIO_VSOCK_OP_RESPONSE, 0, "");
    expect(&f, VIRTIO_VSOCK_OP_RW, "hello");
    gone = fd;
    ck_assert_int_eq(vsock_connect_fd(f.v.dev, 23, on_open(&fd, 0)), 0);
    h = expect(&f, VIRTIO_VSOCK_OP_REQUEST, "");
    send_op(&f, 23, h.src_port, VIRTIO_VSOCK_OP_RST, 0, ""); /* nobody there */
    ck_assert_int_eq(read(fd, got, sizeof(got)), 0);
    close(fd);
    close(gone);
    fv_wr(&f.v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    fv_turn(&f.v);
    ck_assert_int_eq(vsock_connect_fd(f.v.dev, 22, on_open(&fd, 0)), -ENOTCONN);
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
    memcpy(g.v.mem->base, f.v.mem->base, FV_RAM);
    fake_machine_round_trip(&f.v.m, &g.v.m);
    fv_turn(&g.v);
    ck_assert_uint_eq(g.v.q[2].us->idx, 1);
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
    UNIT_TEST(s, the_host_connects_and_closes);
    UNIT_TEST(s, an_answer_may_come_later);
    UNIT_TEST(s, sockets_of_the_host_become_connections);
    UNIT_TEST(s, who_sends_more_than_its_credit_is_reset);
    UNIT_TEST(s, a_restored_guest_is_told_to_start_over);
    UNIT_TEST(s, a_hostile_driver_breaks_only_its_device);
}

UNIT_TEST_MAIN("virtio-vsock", add_tests)
