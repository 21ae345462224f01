/* SPDX-License-Identifier: MIT */
/* The guest asks for names; servers of the test's own, on the loopback interface, are the host's. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "net/net_nat_fixture.h"
#include "net/resolv.h"

static char path[64];

static void write_conf(const char *text)
{
    FILE *f;

    if (!path[0]) {
        snprintf(path, sizeof(path), "/tmp/vz-resolv-XXXXXX");
        close(mkstemp(path));
    }
    f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
}

/* Servers share a port; each has an address of its own. */
static int serve(const char *address, uint16_t *port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(*port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(*port)};
    bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr *a = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    socklen_t len = is_v4 ? sizeof(v4) : sizeof(v6);

    inet_pton(AF_INET6, address, &v6.sin6_addr);
    if (bind(fd, a, len) < 0) {
        close(fd);
        return -1;
    }
    getsockname(fd, a, &len);
    *port = ntohs(is_v4 ? v4.sin_port : v6.sin6_port);
    return fd;
}

static void set_up_dns(struct nat_fixture *f, uint16_t port)
{
    set_up(f, &(struct net_nat_options){.resolv_conf = path, .dns_port = port,
                                        .no_host_loopback = true});
    f->card->count = 0;
}

static void tear_down_dns(struct nat_fixture *f)
{
    tear_down(f);
    unlink(path);
}

static void ask(struct nat_fixture *f, const char *id)
{
    uint8_t frame[100] = {0};

    memcpy(frame + 42, id, 2);
    memcpy(frame + 44, "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02vz\x00\x00\x01\x00\x01", 18);
    ck_assert(card_send(f->n, frame, put_udp(frame, "10.0.2.15", "10.0.2.3", 999, 53, 20)));
}

static void wait_ms(struct nat_fixture *f, unsigned ms)
{
    for (unsigned i = 0; i < ms; i += 10) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        fake_loop_fire(f->loop);
        turns(f->loop, 2);
        f->card->count = 0; /* the router advertises itself at each fire */
        net_accept_input(f->n);
    }
}

/* A query that comes to a server is answered with that code, and bytes to tell it by. */
static bool answer(struct nat_fixture *f, int fd, unsigned rcode, size_t len)
{
    uint8_t m[3000] = {0};
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from);
    ssize_t n;

    turns(f->loop, 2);
    n = recvfrom(fd, m, sizeof(m), 0, (struct sockaddr *)&from, &from_len);
    if (n < 0)
        return false;
    ck_assert_int_eq(n, 20);
    m[2] |= 0x80;
    m[3] = (uint8_t)(0x80 | rcode);
    ck_assert_int_eq(sendto(fd, m, len, 0, (struct sockaddr *)&from, from_len), (ssize_t)len);
    turns(f->loop, 3);
    return true;
}

static unsigned sum_of(const uint8_t *p, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum >> 16) + (sum & 0xffff);
    return sum;
}

/* The answer that the guest got: that id, that code. */
static const uint8_t *expect(struct nat_fixture *f, const char *id, unsigned rcode, size_t len)
{
    const uint8_t *frame = last_udp(f);

    ck_assert_ptr_nonnull(frame);
    ck_assert_mem_eq(frame, guest_mac, 6);
    ck_assert_mem_eq(frame + 26, "\x0a\x00\x02\x03\x0a\x00\x02\x0f\x00\x35\x03\xe7", 12);
    ck_assert_uint_eq((unsigned)frame[38] << 8 | frame[39], 8 + len);
    ck_assert_uint_eq(sum_of(frame + 14, 20, 0), 0xffff);
    ck_assert_uint_eq(sum_of(frame + 34, 8 + len, sum_of(frame + 26, 8, 17 + 8 + (uint32_t)len)),
                      0xffff);
    ck_assert_mem_eq(frame + 42, id, 2);
    ck_assert_uint_eq(frame[45] & 0xf, rcode);
    f->card->count = 0;
    return frame;
}

START_TEST(a_dead_first_server_does_not_matter)
{
    struct nat_fixture f;
    uint16_t port = 0;
    int silent = serve("127.0.0.2", &port), good = serve("127.0.0.3", &port);

    write_conf("nameserver 127.0.0.4\nnameserver 127.0.0.2\nnameserver 127.0.0.3\n");
    set_up_dns(&f, port);
    get_lease(&f);
    f.card->count = 0;
    ask(&f, "aa");
    wait_ms(&f, 1500); /* nobody is at .4, which is told at once; .2 keeps silent for a second */
    ck_assert(answer(&f, good, 0, 40));
    expect(&f, "aa", 0, 40);
    ask(&f, "bb"); /* now it is known whom to ask */
    ck_assert(answer(&f, good, 3, 20));
    expect(&f, "bb", 3, 20); /* no such name: that is an answer */
    ask(&f, "cc");
    ask(&f, "cc"); /* asked again while it is under way: one query */
    ck_assert(answer(&f, good, 0, 20));
    ck_assert(!answer(&f, good, 0, 20));
    expect(&f, "cc", 0, 20);
    close(silent);
    close(good);
    tear_down_dns(&f);
}
END_TEST

START_TEST(a_server_that_cannot_tell_is_not_the_last_word)
{
    struct nat_fixture f;
    uint16_t port = 0;
    int first = serve("127.0.0.2", &port), second = serve("127.0.0.3", &port);

    write_conf("nameserver 127.0.0.2\nnameserver 127.0.0.3\n");
    set_up_dns(&f, port);
    ask(&f, "aa");
    ck_assert(answer(&f, first, 2, 20));
    ck_assert_ptr_null(last_udp(&f));
    ck_assert(answer(&f, second, 0, 30));
    expect(&f, "aa", 0, 30);
    write_conf("nameserver 127.0.0.2\n# the only one now, and a longer file\n");
    ask(&f, "bb");
    ck_assert(answer(&f, first, 5, 20));
    expect(&f, "bb", 5, 20); /* nobody knows better */
    close(first);
    close(second);
    tear_down_dns(&f);
}
END_TEST

START_TEST(name_servers_may_have_ipv6_only_and_change)
{
    struct nat_fixture f;
    uint16_t port = 0;
    int v6 = serve("::1", &port), v4;

    if (v6 < 0)
        return; /* a host without IPv6 */
    v4 = serve("127.0.0.9", &port);
    write_conf("nameserver ::1\n");
    set_up_dns(&f, port);
    ask(&f, "aa");
    ck_assert(answer(&f, v6, 0, 20));
    expect(&f, "aa", 0, 20);
    write_conf("; somewhere else\nnameserver 127.0.0.9\n");
    ask(&f, "bb");
    ck_assert(answer(&f, v4, 0, 20));
    expect(&f, "bb", 0, 20);
    close(v6);
    close(v4);
    tear_down_dns(&f);
}
END_TEST

START_TEST(an_answer_too_long_for_a_packet_is_cut_short)
{
    struct nat_fixture f;
    uint16_t port = 0;
    int fd = serve("127.0.0.2", &port);
    const uint8_t *frame;

    write_conf("nameserver 127.0.0.2\n");
    set_up_dns(&f, port);
    ask(&f, "aa");
    ck_assert(answer(&f, fd, 0, 1472));
    ck_assert_uint_eq(expect(&f, "aa", 0, 1472)[44] & 2, 0);
    ask(&f, "bb");
    ck_assert(answer(&f, fd, 0, 1473));
    frame = expect(&f, "bb", 0, 20);
    ck_assert_uint_eq(frame[44] & 2, 2);
    ck_assert_mem_eq(frame + 46, "\x00\x01\x00\x00\x00\x00\x00\x00\x02vz\x00\x00\x01\x00\x01", 16);
    close(fd);
    tear_down_dns(&f);
}
END_TEST

/* A SYN to the name server reaches a server of the host's, and what comes back names the former. */
START_TEST(names_can_be_asked_for_by_tcp)
{
    struct nat_fixture f;
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), c = -1;
    uint8_t frame[54] = {0};
    const uint8_t *answer = NULL;
    unsigned sum;

    inet_pton(AF_INET, "127.0.0.2", &a.sin_addr);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    getsockname(fd, (struct sockaddr *)&a, &len);
    write_conf("nameserver 127.0.0.4\nnameserver 127.0.0.2\n");
    set_up_dns(&f, ntohs(a.sin_port));
    get_lease(&f);
    f.card->count = 0;
    memcpy(frame, "\x52\x55\x0a\x00\x02\x03", 6);
    memcpy(frame + 6, guest_mac, 6);
    memcpy(frame + 12, "\x08\x00\x45\x00\x00\x28\x00\x00\x00\x00\x40\x06\x62\xbf", 14);
    memcpy(frame + 26, "\x0a\x00\x02\x0f\x0a\x00\x02\x03\x12\x34\x00\x35\x01\x02\x03\x04", 16);
    memcpy(frame + 46, "\x50\x02\x10\x00", 4);
    ck_assert_uint_eq(sum_of(frame + 14, 20, 0), 0xffff);
    sum = ~sum_of(frame + 34, 20, sum_of(frame + 26, 8, 26));
    frame[50] = (uint8_t)(sum >> 8);
    frame[51] = (uint8_t)sum;
    ck_assert(card_send(f.n, frame, sizeof(frame)));
    for (unsigned i = 0; i < 1000 && (c < 0 || !f.card->count); i++) {
        turns(f.loop, 1);
        if (c < 0)
            c = accept(fd, NULL, NULL);
    }
    ck_assert_int_ge(c, 0);
    for (unsigned i = 0; i < f.card->count; i++) {
        if (f.card->frame[i][23] == 6)
            answer = f.card->frame[i];
    }
    ck_assert_ptr_nonnull(answer);
    ck_assert_mem_eq(answer + 26, "\x0a\x00\x02\x03\x0a\x00\x02\x0f\x00\x35\x12\x34", 12);
    ck_assert_uint_eq(answer[47], 0x12); /* SYN, ACK */
    ck_assert_uint_eq(sum_of(answer + 14, 20, 0), 0xffff);
    len = (socklen_t)(((unsigned)answer[16] << 8 | answer[17]) - 20);
    ck_assert_uint_eq(sum_of(answer + 34, len, sum_of(answer + 26, 8, 6 + len)), 0xffff);
    close(c);
    close(fd);
    tear_down_dns(&f);
}
END_TEST

/* Does the frame's DHCP message have that option, with those bytes? */
static bool has_option(const uint8_t *frame, uint8_t code, const void *bytes, size_t len)
{
    const uint8_t *o = frame + 42 + 240;

    while (*o != 255) {
        if (*o == code)
            return o[1] == len && memcmp(o + 2, bytes, len) == 0;
        o += *o ? 2u + o[1] : 1u;
    }
    return false;
}

START_TEST(search_domains_are_told_by_dhcp)
{
    struct nat_fixture f;

    write_conf("search example.org lab.example.net bad..name . \nnameserver 127.0.0.1\n");
    set_up_dns(&f, 0);
    send_dhcp(&f, 1);
    ck_assert_ptr_nonnull(last_udp(&f));
    ck_assert(has_option(last_udp(&f), 15, "example.org", 11));
    ck_assert(has_option(last_udp(&f), 119, "\7example\3org\0\3lab\7example\3net\0", 30));
    ck_assert(has_option(last_udp(&f), 6, "\x0a\x00\x02\x03", 4));
    tear_down_dns(&f);
}
END_TEST

START_TEST(any_resolv_conf_is_read)
{
    struct resolv r = {.path = path, .port = 53};

    write_conf("nameserver\nnameserver nonsense\nsearch\n\n\n \t nameserver 10.1.2.3 \n"
               "nameserver fe80::1%lo\nsearch a b\ndomain c.\nsearchx\nnameserver 1.1.1.1 # one\n"
               "nameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4\nnameserver 5.5.5.5\n");
    ck_assert(resolv_refresh(&r));
    ck_assert(!resolv_refresh(&r));
    ck_assert_uint_eq(r.count, RESOLV_SERVERS_MAX);
    ck_assert_uint_eq(ntohl(r.server[0].v4.sin_addr.s_addr), 0x0a010203);
    ck_assert_uint_ne(r.server[1].v6.sin6_scope_id, 0);
    ck_assert_uint_eq(r.search_count, 1);
    ck_assert_str_eq(r.search[0], "c");
    write_conf("");
    ck_assert(resolv_refresh(&r));
    ck_assert_uint_eq(r.count, 1);
    ck_assert_uint_eq(ntohl(r.server[0].v4.sin_addr.s_addr), INADDR_LOOPBACK);
    unlink(path);
    ck_assert(resolv_refresh(&r));
    ck_assert_uint_eq(r.count, 1);
}
END_TEST

static void add_tests(Suite *suite)
{
    UNIT_TEST(suite, a_dead_first_server_does_not_matter);
    UNIT_TEST(suite, a_server_that_cannot_tell_is_not_the_last_word);
    UNIT_TEST(suite, name_servers_may_have_ipv6_only_and_change);
    UNIT_TEST(suite, an_answer_too_long_for_a_packet_is_cut_short);
    UNIT_TEST(suite, names_can_be_asked_for_by_tcp);
    UNIT_TEST(suite, search_domains_are_told_by_dhcp);
    UNIT_TEST(suite, any_resolv_conf_is_read);
}

UNIT_TEST_MAIN("net_nat_dns", add_tests)
