/* SPDX-License-Identifier: MIT */
#include <sys/socket.h>
#include <unistd.h>

#include "net/net_fixture.h"

struct fixture {
    struct loop *loop;
    int fd[2];
    struct net *a, *b;
    struct card *card_a, *card_b;
};

static void set_up(struct fixture *f, int type)
{
    ck_assert_int_eq(loop_create(&f->loop), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, type, 0, f->fd), 0);
    ck_assert_int_eq(net_dgram_create(f->loop, f->fd[0], 1500, &f->a, NULL), 0);
    ck_assert_int_eq(net_dgram_create(f->loop, f->fd[1], 9000, &f->b, NULL), 0);
    f->card_a = calloc(1, sizeof(struct card));
    f->card_b = calloc(1, sizeof(struct card));
    f->card_a->room = f->card_b->room = 16;
    net_attach(f->a, &card_client, f->card_a);
    net_attach(f->b, &card_client, f->card_b);
    turns(f->loop, 2);
}

static void tear_down(struct fixture *f)
{
    net_destroy(f->a);
    net_destroy(f->b);
    free(f->card_a);
    free(f->card_b);
    close(f->fd[0]);
    close(f->fd[1]);
    loop_destroy(f->loop);
}

START_TEST(frames_reach_the_other_guest)
{
    struct fixture f;
    uint8_t frame[1514];

    set_up(&f, SOCK_DGRAM);
    memset(frame, 0x5a, sizeof(frame));
    ck_assert(card_send(f.a, frame, sizeof(frame)));
    ck_assert(card_send(f.a, frame, 14));
    ck_assert(card_send(f.a, frame, 13)); /* no frame */
    turns(f.loop, 2);
    ck_assert_uint_eq(f.card_b->count, 2);
    ck_assert_uint_eq(f.card_b->len[0], sizeof(frame));
    ck_assert_mem_eq(f.card_b->frame[0], frame, sizeof(frame));
    ck_assert_uint_gt(f.card_b->received, 0);
    ck_assert_uint_eq(net_stats(f.a)->dropped, 1);
    ck_assert_uint_eq(net_stats(f.a)->sent_frames, 2);
    ck_assert_uint_eq(net_mtu(f.b), 9000);
    tear_down(&f);
}
END_TEST

START_TEST(a_full_guest_loses_nothing)
{
    struct fixture f;
    uint8_t frame[100] = {0};

    set_up(&f, SOCK_DGRAM);
    f.card_b->room = 2;
    for (unsigned i = 0; i < 6; i++) {
        frame[20] = (uint8_t)i;
        ck_assert(card_send(f.a, frame, sizeof(frame)));
    }
    turns(f.loop, 4);
    ck_assert_uint_eq(f.card_b->count, 2);
    f.card_b->room = 16;
    net_accept_input(f.b);
    turns(f.loop, 4);
    ck_assert_uint_eq(f.card_b->count, 6);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_uint_eq(f.card_b->frame[i][20], i);
    tear_down(&f);
}
END_TEST

START_TEST(a_full_socket_asks_for_patience)
{
    struct fixture f;
    uint8_t frame[1000] = {0};
    unsigned sent = 0;

    set_up(&f, SOCK_DGRAM);
    f.card_b->room = 0;
    while (card_send(f.a, frame, sizeof(frame)))
        ck_assert_uint_lt(sent++, 100000);
    turns(f.loop, 2);
    ck_assert_uint_eq(f.card_a->writable, 0);
    f.card_b->room = 1;
    net_accept_input(f.b);
    for (unsigned i = 0; i < 200 && !f.card_a->writable; i++) {
        f.card_b->count = 0;
        net_accept_input(f.b);
        turns(f.loop, 1);
    }
    ck_assert_uint_eq(f.card_a->writable, 1);
    ck_assert(card_send(f.a, frame, sizeof(frame)));
    tear_down(&f);
}
END_TEST

/* Ethernet, IPv4, TCP with 3000 bytes; the checksum is left to the card. */
static size_t make_large(uint8_t *f)
{
    memset(f, 0, 54);
    memcpy(f + 12, "\x08\x00\x45", 3);
    f[23] = 6;
    f[46] = 0x50;
    memset(f + 54, 0x77, 3000);
    return 3054;
}

START_TEST(large_packets_are_cut_for_a_network_of_plain_frames)
{
    struct fixture f;
    uint8_t frame[4000];
    struct virtio_net_hdr hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                 .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1400,
                                 .csum_start = 34, .csum_offset = 16};
    struct iovec iov[2] = {{frame, 30}, {frame + 30, 0}};

    set_up(&f, SOCK_SEQPACKET);
    iov[1].iov_len = make_large(frame) - 30;
    ck_assert(net_send(f.a, &hdr, iov, 2));
    turns(f.loop, 2);
    ck_assert_uint_eq(f.card_b->count, 3);
    ck_assert_uint_eq(f.card_b->len[0], 1454);
    ck_assert_uint_eq(f.card_b->len[2], 254);
    ck_assert_uint_eq(f.card_b->hdr[0].gso_type, 0);
    hdr.gso_type = 77;
    ck_assert(net_send(f.a, &hdr, iov, 2)); /* dropped */
    ck_assert_uint_eq(net_stats(f.a)->dropped, 1);
    tear_down(&f);
}
END_TEST

START_TEST(a_peer_that_goes_takes_the_link_with_it)
{
    struct fixture f;
    uint8_t frame[100] = {0};

    set_up(&f, SOCK_SEQPACKET);
    net_destroy(f.b);
    f.b = NULL;
    close(f.fd[1]);
    turns(f.loop, 2);
    ck_assert(!net_link_up(f.a));
    ck_assert_int_eq(f.card_a->err, -EPIPE);
    ck_assert_uint_eq(f.card_a->link_changes, 1);
    ck_assert(card_send(f.a, frame, sizeof(frame)));
    f.fd[1] = dup(f.fd[0]);
    tear_down(&f);
}
END_TEST

START_TEST(an_unplugged_cable_carries_nothing)
{
    struct fixture f;
    uint8_t frame[100] = {0};

    set_up(&f, SOCK_DGRAM);
    net_set_link(f.a, false);
    net_set_link(f.a, false);
    ck_assert_uint_eq(f.card_a->link_changes, 1);
    ck_assert(card_send(f.a, frame, sizeof(frame)));
    ck_assert(card_send(f.b, frame, sizeof(frame)));
    turns(f.loop, 2);
    ck_assert_uint_eq(f.card_a->count + f.card_b->count, 0);
    net_set_link(f.a, true);
    ck_assert(card_send(f.a, frame, sizeof(frame)));
    turns(f.loop, 2);
    ck_assert_uint_eq(f.card_b->count, 1);
    tear_down(&f);
}
END_TEST

START_TEST(wrong_descriptors_and_mtus_are_refused)
{
    struct loop *loop;
    struct net *n;
    struct vz_error err = {0};
    int fd[2];

    ck_assert_int_eq(loop_create(&loop), 0);
    ck_assert_int_lt(net_dgram_create(loop, 12345, 1500, &n, &err), 0);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    ck_assert_int_lt(net_dgram_create(loop, fd[0], 1500, &n, &err), 0);
    close(fd[0]);
    close(fd[1]);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd), 0);
    ck_assert_int_lt(net_dgram_create(loop, fd[0], 1499, &n, &err), 0);
    ck_assert_int_lt(net_dgram_create(loop, fd[0], 65536, &n, &err), 0);
    close(fd[0]);
    close(fd[1]);
    loop_destroy(loop);
}
END_TEST

static void add_tests(Suite *suite)
{
    UNIT_TEST(suite, frames_reach_the_other_guest);
    UNIT_TEST(suite, a_full_guest_loses_nothing);
    UNIT_TEST(suite, a_full_socket_asks_for_patience);
    UNIT_TEST(suite, large_packets_are_cut_for_a_network_of_plain_frames);
    UNIT_TEST(suite, a_peer_that_goes_takes_the_link_with_it);
    UNIT_TEST(suite, an_unplugged_cable_carries_nothing);
    UNIT_TEST(suite, wrong_descriptors_and_mtus_are_refused);
}

UNIT_TEST_MAIN("net_core", add_tests)
