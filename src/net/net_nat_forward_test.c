/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>

#include "net/net_nat_fixture.h"

static const char *const families[] = {"127.0.0.1", "::1"};

/* A socket of the host that is, or is about to be, connected to port at address. */
static int reach(const char *address, int type, int port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    int fd = socket(is_v4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK, 0), r;

    inet_pton(AF_INET6, address, &v6.sin6_addr);
    r = is_v4 ? connect(fd, (struct sockaddr *)&v4, sizeof(v4))
              : connect(fd, (struct sockaddr *)&v6, sizeof(v6));
    ck_assert(r == 0 || errno == EINPROGRESS);
    return fd;
}

static bool host_has_ipv6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    bool good = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

    close(fd);
    return good;
}

/* ---- Datagrams ------------------------------------------------------------------------------ */

static const uint8_t *wait_udp(struct nat_fixture *f)
{
    for (unsigned i = 0; i < 1000 && !last_udp(f); i++)
        turns(f->loop, 1);
    ck_assert_ptr_nonnull(last_udp(f));
    return last_udp(f);
}

static void answer(struct nat_fixture *f, const uint8_t *got, const char *text)
{
    uint8_t frame[100] = {0};
    char router[INET_ADDRSTRLEN];

    memcpy(frame + 42, text, strlen(text));
    inet_ntop(AF_INET, got + 26, router, sizeof(router));
    ck_assert(card_send(f->n, frame, put_udp(frame, "10.0.2.15", router, 7,
                                             (unsigned)got[34] << 8 | got[35], strlen(text))));
}

static void expect_answer(struct nat_fixture *f, int fd, const char *text)
{
    char got[32];
    ssize_t n = -1;

    for (unsigned i = 0; i < 1000 && n < 0; i++) {
        turns(f->loop, 1);
        n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
    }
    ck_assert_int_eq(n, strlen(text));
    ck_assert_mem_eq(got, text, strlen(text));
}

/* Two programs of the host talk to the guest through one forward, and each gets its own answer. */
static void check_datagrams(const char *address)
{
    struct net_forward forward = {.udp = true, .host = address, .guest_port = 7};
    struct nat_fixture f;
    uint8_t first[64], second[64];
    int port, a, b;

    set_up(&f, &(struct net_nat_options){.no_host_loopback = true});
    get_lease(&f);
    port = net_nat_forward_add(f.n, &forward, NULL);
    ck_assert_int_gt(port, 0);
    a = reach(address, SOCK_DGRAM, port);
    b = reach(address, SOCK_DGRAM, port);
    turns(f.loop, 2);
    f.card->count = 0;
    ck_assert_int_eq(send(a, "ping", 4, 0), 4);
    memcpy(first, wait_udp(&f), 60);
    ck_assert_mem_eq(first + 30, "\x0a\x00\x02\x0f", 4);
    ck_assert_uint_eq(first[37], 7);
    ck_assert_mem_eq(first + 42, "ping", 4);
    f.card->count = 0;
    ck_assert_int_eq(send(b, "pong", 4, 0), 4);
    memcpy(second, wait_udp(&f), 60);
    answer(&f, second, "for b");
    answer(&f, first, "for a!");
    expect_answer(&f, a, "for a!");
    expect_answer(&f, b, "for b");
    forward.host_port = (uint16_t)port;
    ck_assert_int_eq(net_nat_forward_remove(f.n, &forward, NULL), 0);
    ck_assert_int_lt(net_nat_forward_remove(f.n, &forward, NULL), 0);
    close(a);
    close(b);
    tear_down(&f);
}

START_TEST(datagrams_find_their_way_and_back)
{
    check_datagrams("127.0.0.1");
    if (host_has_ipv6())
        check_datagrams("::1");
}
END_TEST

/* ---- Streams -------------------------------------------------------------------------------- */

/* SYNs from the router to port 80 of the guest among what came; their sources are noted. */
static unsigned count_syns(struct nat_fixture *f, bool seen[65536])
{
    unsigned count = 0;

    for (unsigned i = 0; i < f->card->count; i++) {
        const uint8_t *frame = f->card->frame[i];
        unsigned port = (unsigned)frame[34] << 8 | frame[35];

        if (frame[12] != 8 || frame[13] || frame[23] != IPPROTO_TCP || frame[37] != 80 ||
            frame[47] != 2 || seen[port])
            continue;
        ck_assert_mem_eq(frame + 26, "\x0a\x00\x02\x02\x0a\x00\x02\x0f", 8);
        seen[port] = true;
        count++;
    }
    f->card->count = 0;
    net_accept_input(f->n);
    return count;
}

/* Who comes while many others do is not sent away: Linux drops SYNs beyond the backlog, and their
 * senders wait a second before they try again. */
static void check_many(const char *address, unsigned count)
{
    struct net_forward forward = {.host = address, .guest_port = 80};
    static bool seen[65536];
    struct nat_fixture f;
    int fd[300], port;
    unsigned syns = 0;

    memset(seen, 0, sizeof(seen));
    set_up(&f, NULL);
    get_lease(&f);
    port = net_nat_forward_add(f.n, &forward, NULL);
    ck_assert_int_gt(port, 0);
    for (unsigned i = 0; i < count; i++)
        fd[i] = reach(address, SOCK_STREAM, port);
    for (unsigned i = 0; i < count; i++) {
        struct pollfd p = {.fd = fd[i], .events = POLLOUT};

        ck_assert_int_eq(poll(&p, 1, 500), 1);
    }
    for (unsigned i = 0; i < 2000 && syns < count; i++) {
        turns(f.loop, 1);
        syns += count_syns(&f, seen);
    }
    ck_assert_uint_eq(syns, count);
    for (unsigned i = 0; i < count; i++)
        close(fd[i]);
    tear_down(&f);
}

START_TEST(three_hundred_connections_at_once_are_taken)
{
    check_many("127.0.0.1", 300);
}
END_TEST

START_TEST(an_ipv6_address_of_the_host_leads_to_a_guest_with_ipv4)
{
    if (host_has_ipv6())
        check_many("::1", 20); /* of more sockets the fake loop has no notion */
}
END_TEST

START_TEST(a_port_is_taken_once_and_can_be_given_back)
{
    for (unsigned i = 0; i < 2; i++) {
        struct net_forward tcp = {.host = families[i], .guest_port = 80};
        struct vz_error err = {0};
        struct nat_fixture f;
        int port;

        if (i && !host_has_ipv6())
            break;
        set_up(&f, NULL);
        port = net_nat_forward_add(f.n, &tcp, &err);
        ck_assert_int_gt(port, 0);
        tcp.host_port = (uint16_t)port;
        ck_assert_int_lt(net_nat_forward_add(f.n, &tcp, &err), 0);
        ck_assert_int_eq(err.code, VZ_ERROR_IO);
        ck_assert_int_eq(net_nat_forward_remove(f.n, &tcp, NULL), 0);
        ck_assert_int_lt(net_nat_forward_remove(f.n, &tcp, NULL), 0);
        ck_assert_int_eq(net_nat_forward_add(f.n, &tcp, NULL), port);
        ck_assert_int_lt(net_nat_forward_add(f.n, &(struct net_forward){.host = "localhost"}, NULL),
                         0);
        tear_down(&f);
    }
}
END_TEST

static void add_tests(Suite *suite)
{
    UNIT_TEST(suite, datagrams_find_their_way_and_back);
    UNIT_TEST(suite, three_hundred_connections_at_once_are_taken);
    UNIT_TEST(suite, an_ipv6_address_of_the_host_leads_to_a_guest_with_ipv4);
    UNIT_TEST(suite, a_port_is_taken_once_and_can_be_given_back);
}

UNIT_TEST_MAIN("net_nat_forward", add_tests)
