/* SPDX-License-Identifier: MIT */
#include "base/be.h"
#include "net/net_nat.h"
#include "net/net_nat_fixture.h"
#include "state/state.h"

START_TEST(dhcp_gives_an_address_and_the_host_knows_it)
{
    struct nat_fixture f;
    struct net_nat_address address;
    const uint8_t *offer, *ack;

    set_up(&f, NULL);
    net_nat_guest_address(f.n, &address);
    ck_assert(!address.has_ipv4);
    send_dhcp(&f, 1);
    offer = last_udp(&f);
    ck_assert_ptr_nonnull(offer);
    ck_assert_mem_eq(offer + 42 + 16, "\x0a\x00\x02\x0f", 4);
    ck_assert_mem_eq(offer + 42 + 236, "\x63\x82\x53\x63\x35\x01\x02", 7);
    net_nat_guest_address(f.n, &address);
    ck_assert(!address.has_ipv4); /* an offer is no lease */
    f.card->count = 0;
    send_dhcp(&f, 3);
    ack = last_udp(&f);
    ck_assert_ptr_nonnull(ack);
    ck_assert_mem_eq(ack + 42 + 236, "\x63\x82\x53\x63\x35\x01\x05", 7);
    net_nat_guest_address(f.n, &address);
    ck_assert(address.has_ipv4);
    ck_assert_uint_eq(ntohl(address.ipv4.s_addr), 0x0a00020f);
    ck_assert_uint_eq(f.told, 1);
    get_lease(&f); /* renewed: nothing new */
    ck_assert_uint_eq(f.told, 1);
    tear_down(&f);
}
END_TEST

START_TEST(addresses_are_learned_from_arp_and_ipv6)
{
    struct nat_fixture f;
    struct net_nat_address address;
    uint8_t arp[42] = {0}, v6[100] = {0};

    set_up(&f, NULL);
    memcpy(arp, ones, 6);
    memcpy(arp + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01", 10);
    memcpy(arp + 28, "\xc0\xa8\x01\x01", 4); /* not of this network */
    ck_assert(card_send(f.n, arp, sizeof(arp)));
    net_nat_guest_address(f.n, &address);
    ck_assert(!address.has_ipv4);
    memcpy(arp + 28, "\x0a\x00\x02\x63", 4);
    ck_assert(card_send(f.n, arp, sizeof(arp)));
    net_nat_guest_address(f.n, &address);
    ck_assert(address.has_ipv4);
    ck_assert_uint_eq(ntohl(address.ipv4.s_addr), 0x0a000263);
    memcpy(v6 + 12, "\x86\xdd\x60", 3);
    memcpy(v6 + 22, "\xfe\x80", 2);
    ck_assert(card_send(f.n, v6, sizeof(v6)));
    net_nat_guest_address(f.n, &address);
    ck_assert(!address.has_ipv6); /* link-local */
    memcpy(v6 + 22, "\xfe\xc0", 2);
    v6[37] = 9;
    ck_assert(card_send(f.n, v6, sizeof(v6)));
    turns(f.loop, 2);
    net_nat_guest_address(f.n, &address);
    ck_assert(address.has_ipv6);
    ck_assert_uint_eq(address.ipv6.s6_addr[15], 9);
    ck_assert_uint_gt(f.told, 0);
    tear_down(&f);
}
END_TEST

static int listen_udp(uint16_t *ret_port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

START_TEST(the_router_s_address_is_the_host_s_loopback)
{
    struct nat_fixture f;
    uint8_t frame[100] = {0};
    char got[10];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    uint16_t port;
    int fd = listen_udp(&port);
    ssize_t n = -1;

    set_up(&f, NULL);
    get_lease(&f);
    memcpy(frame + 42, "hello", 5);
    ck_assert(card_send(f.n, frame, put_udp(frame, "10.0.2.15", "10.0.2.2", 1000, port, 5)));
    for (unsigned i = 0; i < 100 && n < 0; i++) {
        turns(f.loop, 1);
        n = recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &from_len);
    }
    ck_assert_int_eq(n, 5);
    ck_assert_mem_eq(got, "hello", 5);
    f.card->count = 0;
    ck_assert_int_eq(sendto(fd, "olleh!", 6, 0, (struct sockaddr *)&from, from_len), 6);
    for (unsigned i = 0; i < 1000 && !last_udp(&f); i++)
        turns(f.loop, 1);
    ck_assert_ptr_nonnull(last_udp(&f));
    ck_assert_mem_eq(last_udp(&f) + 42, "olleh!", 6);
    close(fd);
    tear_down(&f);
}
END_TEST

/* RFC 1071: all ones when the checksum is right. */
static unsigned sum_of(const uint8_t *p, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum >> 16) + (sum & 0xffff);
    return sum;
}

START_TEST(the_host_s_loopback_can_be_out_of_reach)
{
    static const char *const to[] = {"10.0.2.2", "127.0.0.1", "0.0.0.0", "255.255.255.255"};
    struct nat_fixture f;
    uint8_t frame[100] = {0}, got[10];
    uint16_t port;
    int fd = listen_udp(&port);
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct net_forward forward = {.udp = true, .guest_port = 7};
    int forwarded;

    set_up(&f, &(struct net_nat_options){.no_host_loopback = true});
    get_lease(&f);
    for (unsigned i = 0; i < ARRAY_SIZE(to); i++) {
        ck_assert(card_send(f.n, frame, put_udp(frame, "10.0.2.15", to[i], 7, port, 5)));
        turns(f.loop, 20);
        ck_assert_int_lt(recv(fd, got, sizeof(got), 0), 0);
    }
    /* Who writes to the guest gets an answer, and nobody else. */
    forwarded = net_nat_forward_add(f.n, &forward, NULL);
    ck_assert_int_gt(forwarded, 0);
    peer.sin_port = htons((uint16_t)forwarded);
    f.card->count = 0;
    ck_assert_int_eq(sendto(fd, "ping", 4, 0, (struct sockaddr *)&peer, sizeof(peer)), 4);
    for (unsigned i = 0; i < 1000 && !last_udp(&f); i++)
        turns(f.loop, 1);
    ck_assert_ptr_nonnull(last_udp(&f));
    ck_assert(card_send(f.n, frame, put_udp(frame, "10.0.2.15", "10.0.2.2", 8, port, 5)));
    turns(f.loop, 20);
    ck_assert_int_lt(recv(fd, got, sizeof(got), 0), 0);
    memcpy(frame + 42, "pong!", 5);
    ck_assert(card_send(f.n, frame, put_udp(frame, "10.0.2.15", "10.0.2.2", 7, port, 5)));
    for (unsigned i = 0; i < 1000; i++) {
        turns(f.loop, 1);
        if (recv(fd, got, sizeof(got), MSG_PEEK) == 5)
            break;
    }
    ck_assert_int_eq(recv(fd, got, sizeof(got), 0), 5);
    ck_assert_mem_eq(got, "pong!", 5);
    close(fd);
    tear_down(&f);
}
END_TEST

START_TEST(a_connection_to_the_host_s_loopback_is_refused)
{
    struct nat_fixture f;
    uint8_t frame[54] = {0};
    const uint8_t *answer;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    set_up(&f, &(struct net_nat_options){.no_host_loopback = true});
    get_lease(&f);
    f.card->count = 0;
    memcpy(frame, "\x52\x55\x0a\x00\x02\x02", 6);
    memcpy(frame + 6, guest_mac, 6);
    memcpy(frame + 12, "\x08\x00\x45\x00\x00\x28\x00\x00\x00\x00\x40\x06\x00\x00", 14);
    memcpy(frame + 26, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
    memcpy(frame + 34, "\x12\x34", 2);
    memcpy(frame + 36, &a.sin_port, 2);
    memcpy(frame + 38, "\x01\x02\x03\xff", 4);
    frame[46] = 0x50;
    frame[47] = 2; /* SYN */
    ck_assert(card_send(f.n, frame, sizeof(frame)));
    for (unsigned i = 0; i < 100 && !f.card->count; i++)
        turns(f.loop, 1);
    ck_assert_int_lt(accept(fd, NULL, NULL), 0);
    ck_assert_uint_gt(f.card->count, 0);
    answer = f.card->frame[f.card->count - 1];
    ck_assert_mem_eq(answer, guest_mac, 6);
    ck_assert_mem_eq(answer + 26, "\x0a\x00\x02\x02\x0a\x00\x02\x0f", 8);
    ck_assert_mem_eq(answer + 36, "\x12\x34", 2);
    ck_assert_mem_eq(answer + 42, "\x01\x02\x04\x00", 4); /* one more than the SYN's */
    ck_assert_uint_eq(answer[47], 0x14);                   /* RST, ACK */
    ck_assert_uint_eq(sum_of(answer + 14, 20, 0), 0xffff);
    ck_assert_uint_eq(sum_of(answer + 34, 20, 6 + 20 + 2 * (0x0a00 + 0x0200) + 0x02 + 0x0f), 0xffff);
    close(fd);
    tear_down(&f);
}
END_TEST

/* A segment of the guest's to port 80 of 198.51.100.1, which nobody here has heard of. */
static void send_segment_from(struct nat_fixture *f, uint16_t port, const char *seq, const char *ack, uint8_t flags)
{
    uint8_t frame[54] = {0};

    memcpy(frame, "\x52\x55\x0a\x00\x02\x02", 6);
    memcpy(frame + 6, guest_mac, 6);
    memcpy(frame + 12, "\x08\x00\x45\x00\x00\x28\x00\x00\x00\x00\x40\x06\x00\x00", 14);
    memcpy(frame + 26, "\x0a\x00\x02\x0f\xc6\x33\x64\x01", 8);
    store_be16(frame + 34, port);
    store_be16(frame + 36, 80);
    memcpy(frame + 38, seq, 4);
    memcpy(frame + 42, ack, 4);
    memcpy(frame + 46, "\x50\x00\x10\x00", 4);
    frame[47] = flags;
    store_be16(frame + 24, (uint16_t)~sum_of(frame + 14, 20, 0));
    store_be16(frame + 50, (uint16_t)~sum_of(frame + 34, 20, 6 + 20 + 0x0a00 + 0x020f + 0xc633 + 0x6401));
    ck_assert(card_send(f->n, frame, sizeof(frame)));
    turns(f->loop, 3);
}

static void send_segment(struct nat_fixture *f, const char *seq, const char *ack, uint8_t flags)
{
    send_segment_from(f, 0x1234, seq, ack, flags);
}

static const uint8_t *last_tcp(const struct nat_fixture *f)
{
    for (unsigned i = f->card->count; i-- > 0;) {
        if (f->card->frame[i][12] == 8 && f->card->frame[i][13] == 0 && f->card->frame[i][23] == 6)
            return f->card->frame[i];
    }
    return NULL;
}

static void move_state(struct net *from, struct net *to)
{
    const struct state_desc *desc;
    struct state_writer w = {0};
    struct vz_error err = {0};
    void *object = net_state(from, &desc);

    ck_assert_int_eq(state_save(&w, desc, 0, object), 0);
    object = net_state(to, &desc);
    ck_assert_msg(state_load(w.data, w.len, desc, 0, object, &err) == 0, "%s", err.text);
    state_writer_fini(&w);
}

/* The guest is asked, by a segment from before what it has; what it answers is reset, and fits. */
START_TEST(connections_end_after_a_restore)
{
    struct nat_fixture f, g, h;
    const uint8_t *frame;

    set_up(&f, &(struct net_nat_options){.no_host_loopback = true});
    get_lease(&f);
    send_segment(&f, "\x00\x00\x10\x00", "\x00\x00\x20\x00", 0x10);
    set_up(&g, &(struct net_nat_options){.no_host_loopback = true});
    get_lease(&g);
    g.card->count = 0;
    move_state(f.n, g.n);
    turns(g.loop, 3);
    frame = last_tcp(&g);
    ck_assert_ptr_nonnull(frame);
    ck_assert_mem_eq(frame, guest_mac, 6);
    ck_assert_mem_eq(frame + 26, "\xc6\x33\x64\x01\x0a\x00\x02\x0f", 8);
    ck_assert_mem_eq(frame + 34, "\x00\x50\x12\x34", 4);
    ck_assert_mem_eq(frame + 38, "\x00\x00\x1f\xff", 4);
    ck_assert_uint_eq(frame[47], 0x10);
    ck_assert_uint_eq(sum_of(frame + 14, 20, 0), 0xffff);
    ck_assert_uint_eq(sum_of(frame + 34, 20, 6 + 20 + 0x0a00 + 0x020f + 0xc633 + 0x6401), 0xffff);
    g.card->count = 0;
    send_segment(&g, "\x00\x00\x10\x00", "\x00\x00\x20\x00", 0x10);
    frame = last_tcp(&g);
    ck_assert_ptr_nonnull(frame);
    ck_assert_mem_eq(frame + 38, "\x00\x00\x20\x00", 4); /* exactly what the guest expects */
    ck_assert(frame[47] & 4);
    /* A connection that the guest has reset is forgotten. */
    send_segment(&g, "\x00\x00\x10\x00", "\x00\x00\x20\x00", 0x04);
    set_up(&h, &(struct net_nat_options){.no_host_loopback = true});
    move_state(g.n, h.n);
    turns(h.loop, 3);
    ck_assert_ptr_null(last_tcp(&h));
    tear_down(&f);
    tear_down(&g);
    tear_down(&h);
}
END_TEST

/* Hostile ones too: any bytes for headers. */
START_TEST(connections_end_also_when_the_guest_is_saved_before_it_hears)
{
    struct nat_fixture f[3];

    for (unsigned i = 0; i < ARRAY_SIZE(f); i++)
        set_up(&f[i], &(struct net_nat_options){.no_host_loopback = true});
    get_lease(&f[0]);
    send_segment(&f[0], "\x00\x00\x10\x00", "\x00\x00\x20\x00", 0x10);
    move_state(f[0].n, f[1].n); /* whatever that sends is lost */
    get_lease(&f[2]);
    f[2].card->count = 0;
    move_state(f[1].n, f[2].n);
    turns(f[2].loop, 3);
    ck_assert_ptr_nonnull(last_tcp(&f[2]));
    for (unsigned i = 0; i < ARRAY_SIZE(f); i++)
        tear_down(&f[i]);
}
END_TEST

/* However many others have come and gone since; with ports whose places are all the same. */
START_TEST(a_connection_that_lasts_is_not_forgotten_for_short_ones)
{
    struct nat_fixture f, g;
    const uint8_t *frame;

    set_up(&f, &(struct net_nat_options){.no_host_loopback = true});
    get_lease(&f);
    send_segment(&f, "\x00\x00\x10\x00", "\x00\x00\x20\x00", 0x10);
    for (unsigned i = 1; i < 3 * NAT_FLOW_WAYS; i++) {
        uint16_t port = (uint16_t)(0x1234 + i * (NAT_FLOWS / NAT_FLOW_WAYS));

        send_segment_from(&f, port, "\x00\x00\x10\x00", "\x00\x00\x30\x00", 0x10);
        send_segment_from(&f, port, "\x00\x00\x10\x00", "\x00\x00\x30\x00", 0x11); /* FIN */
        send_segment_from(&f, port, "\x00\x00\x10\x01", "\x00\x00\x30\x01", 0x10);
    }
    set_up(&g, &(struct net_nat_options){.no_host_loopback = true});
    get_lease(&g);
    g.card->count = 0;
    move_state(f.n, g.n);
    turns(g.loop, 3);
    while ((frame = last_tcp(&g)) && memcmp(frame + 36, "\x12\x34", 2))
        g.card->count--;
    ck_assert_ptr_nonnull(frame);
    ck_assert_mem_eq(frame + 38, "\x00\x00\x1f\xff", 4);
    tear_down(&f);
    tear_down(&g);
}
END_TEST

START_TEST(any_saved_connections_are_survived)
{
    const struct state_desc *desc;
    struct state_writer w = {0};
    struct nat_fixture f;
    uint8_t *object;

    set_up(&f, &(struct net_nat_options){.isolated = true});
    object = net_state(f.n, &desc);
    for (unsigned round = 0; round < 20; round++) {
        struct nat_flows *flows = (struct nat_flows *)object;

        for (unsigned i = 0; i < NAT_FLOWS; i++) {
            flows->flow[i].used = true;
            for (unsigned n = 0; n < sizeof(flows->flow[i].headers); n++)
                flows->flow[i].headers[n] = (uint8_t)random();
            if (i % 2)
                memcpy(flows->flow[i].headers + 12, i % 4 == 1 ? "\x08\x00" : "\x86\xdd", 2);
        }
        ck_assert_int_eq(state_save(&w, desc, 0, object), 0);
        ck_assert_int_eq(state_load(w.data, w.len, desc, 0, object, NULL), 0);
        state_writer_fini(&w);
        f.card->count = 0;
        turns(f.loop, 2);
    }
    tear_down(&f);
}
END_TEST

START_TEST(any_frames_are_survived)
{
    struct nat_fixture f;
    uint8_t frame[2000];

    set_up(&f, &(struct net_nat_options){.isolated = true});
    srand(1);
    for (unsigned i = 0; i < 3000; i++) {
        size_t len = (size_t)rand() % 300;

        for (size_t k = 0; k < len; k++)
            frame[k] = (uint8_t)rand();
        if (len > 30) {
            frame[12] = i & 1 ? 0x08 : 0x86;
            frame[13] = i & 1 ? (i & 2 ? 0 : 6) : 0xdd;
            frame[14] = i & 1 ? 0x45 : 0x60;
        }
        ck_assert(card_send(f.n, frame, len));
        f.card->count = 0;
        if (i % 16 == 0)
            turns(f.loop, 1);
    }
    tear_down(&f);
}
END_TEST

START_TEST(options_are_checked)
{
    struct loop *loop;
    struct net *n;
    struct vz_error err = {0};

    ck_assert_int_eq(loop_create(&loop), 0);
    ck_assert_int_lt(net_nat_create(loop, &(struct net_nat_options){.mtu = 100}, &n, &err), 0);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    ck_assert_int_lt(net_nat_create(loop, &(struct net_nat_options){
                         .mask.s_addr = htonl(0xff00ff00)}, &n, &err), 0);
    ck_assert_int_lt(net_nat_create(loop, &(struct net_nat_options){
                         .network.s_addr = htonl(0x0a000201)}, &n, &err), 0);
    loop_destroy(loop);
}
END_TEST

static void add_tests(Suite *suite)
{
    UNIT_TEST(suite, dhcp_gives_an_address_and_the_host_knows_it);
    UNIT_TEST(suite, addresses_are_learned_from_arp_and_ipv6);
    UNIT_TEST(suite, the_router_s_address_is_the_host_s_loopback);
    UNIT_TEST(suite, the_host_s_loopback_can_be_out_of_reach);
    UNIT_TEST(suite, a_connection_to_the_host_s_loopback_is_refused);
    UNIT_TEST(suite, connections_end_after_a_restore);
    UNIT_TEST(suite, connections_end_also_when_the_guest_is_saved_before_it_hears);
    UNIT_TEST(suite, a_connection_that_lasts_is_not_forgotten_for_short_ones);
    UNIT_TEST(suite, any_saved_connections_are_survived);
    UNIT_TEST(suite, any_frames_are_survived);
    UNIT_TEST(suite, options_are_checked);
}

UNIT_TEST_MAIN("net_nat", add_tests)
