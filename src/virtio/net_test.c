/* SPDX-License-Identifier: MIT */
/* The network card under a driver that does what it should, and one that does not. */
#include <linux/virtio_net.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_virtio_driver.h"
#include "net/net.h"
#include "unit.h"
#include "virtio/virtio_net.h"

#define HDR 12u
#define ALL virtio_net_ops.features

enum { RX, TX, CTRL };

/* A card on one end of a socket pair; the test holds the other. */
struct rig {
    struct fv v;
    struct loop *loop; /* the network's, turned with the device's */
    struct net *net;
    int fd[2];
    uint64_t data;
};

static void set_up(struct rig *r, const struct virtio_net_options *options)
{
    struct virtio_net_options o = options ? *options : (struct virtio_net_options){0};

    memset(r, 0, sizeof(*r));
    ck_assert_int_eq(loop_create(&r->loop), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, r->fd), 0);
    ck_assert_int_eq(net_dgram_create(r->loop, r->fd[0], 2000, &r->net, NULL), 0);
    o.net = r->net;
    fv_create(&r->v, &virtio_net_ops, &o);
    r->data = fv_alloc(&r->v, 128 * KIB);
}

static void tear_down(struct rig *r)
{
    fv_destroy(&r->v);
    net_destroy(r->net);
    loop_destroy(r->loop);
    close(r->fd[0]);
    close(r->fd[1]);
}

static void turn(struct rig *r)
{
    for (unsigned i = 0; i < 3; i++) {
        fake_loop_turn(r->loop);
        fv_turn(&r->v);
    }
}

/* Give the device a buffer for frames. */
static void add_rx(struct rig *r, uint64_t at, uint32_t len)
{
    struct fv_buf buf = {at, len, true};

    (void)fv_add(&r->v, RX, &buf, 1);
    fv_kick(&r->v, RX);
}

static void from_network(struct rig *r, const void *frame, size_t len)
{
    ck_assert_int_eq(send(r->fd[1], frame, len, 0), (ssize_t)len);
    turn(r);
}

static bool command(struct rig *r, uint8_t class, uint8_t cmd, const void *data, uint32_t len)
{
    struct fv_buf buf[3] = {{r->data, 2, false}, {r->data + 64, len, false},
                            {r->data + 4096, 1, true}};
    uint8_t *p = fv_at(&r->v, r->data);

    p[0] = class;
    p[1] = cmd;
    memcpy(p + 64, data, len);
    p[4096] = 0xee;
    (void)fv_request(&r->v, CTRL, buf, 3);
    ck_assert_uint_ne(p[4096], 0xee);
    return p[4096] == VIRTIO_NET_OK;
}

static uint16_t status(struct rig *r)
{
    return (uint16_t)fake_read(&r->v.m, FV_CONFIG + 6, 2);
}

START_TEST(frames_go_out_and_come_in)
{
    struct rig r;
    struct fv_buf buf[2];
    uint8_t frame[200], got[300];
    struct vring_used_elem e;

    set_up(&r, NULL);
    fv_start(&r.v, BIT(VIRTIO_NET_F_MAC), 8);
    memset(frame, 0x42, sizeof(frame));
    memset(fv_at(&r.v, r.data), 0, HDR);
    memcpy(fv_at(&r.v, r.data + HDR), frame, sizeof(frame));
    buf[0] = (struct fv_buf){r.data, HDR + 20, false};
    buf[1] = (struct fv_buf){r.data + HDR + 20, 180, false};
    ck_assert_uint_eq(fv_request(&r.v, TX, buf, 2), 0);
    ck_assert_int_eq(recv(r.fd[1], got, sizeof(got), 0), 200);
    ck_assert_mem_eq(got, frame, 200);

    from_network(&r, frame, 100); /* no buffer yet: it waits */
    ck_assert(!fv_used(&r.v, RX, &e));
    add_rx(&r, r.data + 8192, 2048);
    turn(&r);
    ck_assert(fv_used(&r.v, RX, &e));
    ck_assert_uint_eq(e.len, HDR + 100);
    ck_assert_mem_eq(fv_at(&r.v, r.data + 8192 + HDR), frame, 100);
    ck_assert_uint_eq(((uint8_t *)fv_at(&r.v, r.data + 8192))[10], 1); /* num_buffers */
    tear_down(&r);
}
END_TEST

START_TEST(buffers_are_merged_or_the_frame_is_dropped)
{
    struct rig r;
    uint8_t frame[1000];
    struct vring_used_elem e;

    for (unsigned i = 0; i < sizeof(frame); i++)
        frame[i] = (uint8_t)(i * 3);
    set_up(&r, NULL);
    fv_start(&r.v, BIT(VIRTIO_NET_F_MRG_RXBUF), 8);
    add_rx(&r, r.data + 8192, 500);
    from_network(&r, frame, sizeof(frame));
    ck_assert(!fv_used(&r.v, RX, &e)); /* one does not do */
    add_rx(&r, r.data + 16384, 400);
    add_rx(&r, r.data + 24576, 400);
    turn(&r);
    ck_assert(fv_used(&r.v, RX, &e));
    ck_assert_uint_eq(e.len, 500);
    ck_assert(fv_used(&r.v, RX, &e));
    ck_assert_uint_eq(e.len, 400);
    ck_assert(fv_used(&r.v, RX, &e));
    ck_assert_uint_eq(e.len, 112);
    ck_assert_uint_eq(((uint8_t *)fv_at(&r.v, r.data + 8192))[10], 3);
    ck_assert_mem_eq(fv_at(&r.v, r.data + 8192 + HDR), frame, 488);
    ck_assert_mem_eq(fv_at(&r.v, r.data + 16384), frame + 488, 400);
    ck_assert_mem_eq(fv_at(&r.v, r.data + 24576), frame + 888, 112);

    fv_start(&r.v, 0, 8);
    add_rx(&r, r.data + 8192, 500);
    add_rx(&r, r.data + 16384, 2000);
    from_network(&r, frame, sizeof(frame)); /* does not fit the first */
    from_network(&r, frame, 300);
    ck_assert(fv_used(&r.v, RX, &e));
    ck_assert_uint_eq(e.len, 0);
    ck_assert(fv_used(&r.v, RX, &e));
    ck_assert_uint_eq(e.len, HDR + 300);
    tear_down(&r);
}
END_TEST

START_TEST(large_packets_leave_in_segments)
{
    struct rig r;
    uint8_t *p, got[2000];
    struct virtio_net_hdr_v1 h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                  .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000,
                                  .csum_start = 34, .csum_offset = 16};
    struct fv_buf buf;

    set_up(&r, NULL);
    buf = (struct fv_buf){r.data, HDR + 54 + 2500, false};
    p = fv_at(&r.v, r.data);
    memset(p, 0, buf.len);
    memcpy(p, &h, sizeof(h));
    memcpy(p + HDR + 12, "\x08\x00\x45", 3);
    p[HDR + 23] = 6;
    p[HDR + 46] = 0x50;
    fv_start(&r.v, BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4), 8);
    ck_assert_uint_eq(fv_request(&r.v, TX, &buf, 1), 0);
    ck_assert_int_eq(recv(r.fd[1], got, sizeof(got), 0), 1054);
    ck_assert_int_eq(recv(r.fd[1], got, sizeof(got), 0), 1054);
    ck_assert_int_eq(recv(r.fd[1], got, sizeof(got), 0), 554);
    ck_assert_int_eq(recv(r.fd[1], got, sizeof(got), 0), -1);
    fv_start(&r.v, 0, 8); /* not negotiated: not done */
    ck_assert_uint_eq(fv_request(&r.v, TX, &buf, 1), 0);
    ck_assert_int_eq(recv(r.fd[1], got, sizeof(got), 0), -1);
    tear_down(&r);
}
END_TEST

START_TEST(the_control_queue_sets_the_filter)
{
    struct rig r;
    const struct virtio_net_options o = {.mac = {0x52, 0x54, 0, 1, 2, 3}};
    uint8_t frame[60] = {0}, off = 0, on = 1;
    uint8_t table[20] = {1, 0, 0, 0, 2, 9, 9, 9, 9, 9, 0, 0, 0, 0};
    struct vring_used_elem e;

    set_up(&r, &o);
    fv_start(&r.v, ALL, 16);
    for (unsigned i = 0; i < 8; i++)
        add_rx(&r, r.data + 8192 + 2048 * i, 2048);
    from_network(&r, frame, sizeof(frame));
    ck_assert(fv_used(&r.v, RX, &e)); /* everything, until the driver says more */
    ck_assert(command(&r, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1));
    from_network(&r, frame, sizeof(frame));
    ck_assert(!fv_used(&r.v, RX, &e));
    memcpy(frame, o.mac, 6);
    from_network(&r, frame, sizeof(frame));
    ck_assert(fv_used(&r.v, RX, &e));
    memcpy(frame, "\x02\x09\x09\x09\x09\x09", 6);
    from_network(&r, frame, sizeof(frame));
    ck_assert(!fv_used(&r.v, RX, &e));
    ck_assert(command(&r, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, 14));
    from_network(&r, frame, sizeof(frame));
    ck_assert(fv_used(&r.v, RX, &e));
    ck_assert(command(&r, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, frame, 6));
    ck_assert_uint_eq(fake_read(&r.v.m, FV_CONFIG + 1, 1), 9);
    memset(frame, 0xff, 6);
    ck_assert(command(&r, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOBCAST, &on, 1));
    from_network(&r, frame, sizeof(frame));
    ck_assert(!fv_used(&r.v, RX, &e));
    /* Nonsense gets its answer too. */
    ck_assert(!command(&r, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, frame, 6));
    ck_assert(!command(&r, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, 9));
    table[3] = 0xff;
    ck_assert(!command(&r, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, 14));
    ck_assert(!command(&r, VIRTIO_NET_CTRL_RX, 77, &on, 1));
    ck_assert(!command(&r, 77, 77, &on, 1));
    ck_assert(!command(&r, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\xff\xff", 2));
    ck_assert(command(&r, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\xff\x0f", 2));
    fv_negotiate(&r.v, 0); /* and all is forgotten */
    ck_assert_uint_eq(fake_read(&r.v.m, FV_CONFIG + 1, 1), 0x54);
    tear_down(&r);
}
END_TEST

START_TEST(the_network_is_replaced_under_the_guest)
{
    struct rig r;
    int fd[2];
    struct net *other;
    uint8_t frame[60] = {0}, zero = 0;
    struct vring_used_elem e;

    set_up(&r, NULL);
    fv_start(&r.v, ALL, 8);
    ck_assert_uint_eq(status(&r), VIRTIO_NET_S_LINK_UP);
    virtio_net_set_net(r.v.dev, NULL);
    ck_assert_uint_eq(status(&r), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fd), 0);
    ck_assert_int_eq(net_dgram_create(r.loop, fd[0], 1500, &other, NULL), 0);
    virtio_net_set_net(r.v.dev, other);
    ck_assert_uint_eq(status(&r), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
    ck_assert(command(&r, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, &zero, 1));
    ck_assert_uint_eq(status(&r), VIRTIO_NET_S_LINK_UP);
    add_rx(&r, r.data + 8192, 2048);
    from_network(&r, frame, sizeof(frame)); /* of the old one */
    ck_assert(!fv_used(&r.v, RX, &e));
    ck_assert_int_eq(send(fd[1], frame, sizeof(frame), 0), sizeof(frame));
    turn(&r);
    ck_assert(fv_used(&r.v, RX, &e));
    virtio_net_set_net(r.v.dev, NULL);
    net_destroy(other);
    close(fd[0]);
    close(fd[1]);
    tear_down(&r);
}
END_TEST

START_TEST(addresses_follow_the_rules)
{
    struct rig r;
    struct virtio_net_options o = {.mtu = 9000};
    uint8_t mac[6];

    set_up(&r, &o);
    virtio_net_mac(r.v.dev, mac);
    ck_assert_uint_eq(mac[0] & 3, 2);
    ck_assert_uint_eq(fake_read(&r.v.m, FV_CONFIG, 1), mac[0]);
    ck_assert_uint_eq(fake_read(&r.v.m, FV_CONFIG + 10, 2), 9000);
    ck_assert(fv_offered(&r.v) & BIT(VIRTIO_NET_F_CSUM));
    tear_down(&r);
    o.no_offload = true;
    o.mtu = 0;
    set_up(&r, &o);
    ck_assert_uint_eq(fake_read(&r.v.m, FV_CONFIG + 10, 2), 2000); /* the network's */
    ck_assert(!(fv_offered(&r.v) & BIT(VIRTIO_NET_F_CSUM)));
    tear_down(&r);
}
END_TEST

START_TEST(a_hostile_driver_breaks_only_its_device)
{
    struct rig r;

    set_up(&r, NULL);
    fv_hostile(&r.v, ALL | BIT(VIRTIO_RING_F_INDIRECT_DESC));
    turn(&r);
    tear_down(&r);
}
END_TEST

START_TEST(state_survives)
{
    struct rig a, b;
    uint8_t frame[60] = {0}, off = 0;
    struct vring_used_elem e;
    const struct virtio_net_options o = {.mac = {0x52, 0x54, 0, 1, 2, 3}};

    set_up(&a, &o);
    set_up(&b, &o);
    fv_start(&a.v, ALL, 8);
    ck_assert(command(&a, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1));
    add_rx(&a, a.data + 8192, 2048);
    turn(&a);
    fv_move(&a.v, &b.v);
    turn(&b);
    from_network(&b, frame, sizeof(frame)); /* filtered, as before */
    ck_assert(!fv_used(&b.v, RX, &e));
    memcpy(frame, o.mac, 6);
    from_network(&b, frame, sizeof(frame));
    ck_assert(fv_used(&b.v, RX, &e));
    ck_assert_uint_eq(e.len, HDR + 60);
    tear_down(&a);
    tear_down(&b);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, frames_go_out_and_come_in);
    UNIT_TEST(s, buffers_are_merged_or_the_frame_is_dropped);
    UNIT_TEST(s, large_packets_leave_in_segments);
    UNIT_TEST(s, the_control_queue_sets_the_filter);
    UNIT_TEST(s, the_network_is_replaced_under_the_guest);
    UNIT_TEST(s, addresses_follow_the_rules);
    UNIT_TEST(s, a_hostile_driver_breaks_only_its_device);
    UNIT_TEST(s, state_survives);
}

UNIT_TEST_MAIN("virtio-net", add_tests)
