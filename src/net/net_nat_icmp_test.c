/* SPDX-License-Identifier: MIT */
/* Pings, and errors of datagrams, on the loopback interface. */
#include <errno.h>
#include <stdio.h>

#include "net/net_nat_fixture.h"

static unsigned sum_of(const uint8_t *p, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum >> 16) + (sum & 0xffff);
    return sum;
}

/* An echo request, number 7 of program 0x1234, with "hello!" in it. Its length. */
static size_t put_ping(uint8_t *f, const char *to, uint8_t ttl)
{
    unsigned sum;

    memset(f, 0, 48);
    memcpy(f, "\x52\x55\x0a\x00\x02\x02", 6);
    memcpy(f + 6, guest_mac, 6);
    memcpy(f + 12, "\x08\x00\x45\x00\x00\x22\x00\x00\x00\x00", 10);
    f[22] = ttl;
    f[23] = IPPROTO_ICMP;
    memcpy(f + 26, "\x0a\x00\x02\x0f", 4);
    inet_pton(AF_INET, to, f + 30);
    sum = ~sum_of(f + 14, 20, 0);
    f[24] = (uint8_t)(sum >> 8);
    f[25] = (uint8_t)sum;
    memcpy(f + 34, "\x08\x00\x00\x00\x12\x34\x00\x07hello!", 14);
    sum = ~sum_of(f + 34, 14, 0);
    f[36] = (uint8_t)(sum >> 8);
    f[37] = (uint8_t)sum;
    return 48;
}

static size_t put_ping6(uint8_t *f, const char *to)
{
    unsigned sum;

    memset(f, 0, 68);
    memcpy(f + 6, guest_mac, 6);
    memcpy(f + 12, "\x86\xdd\x60\x00\x00\x00\x00\x0e\x3a\x40", 10);
    inet_pton(AF_INET6, "fec0::9", f + 22);
    inet_pton(AF_INET6, to, f + 38);
    memcpy(f + 54, "\x80\x00\x00\x00\x12\x34\x00\x07hello!", 14);
    sum = ~sum_of(f + 54, 14, sum_of(f + 22, 32, 14 + 58));
    f[56] = (uint8_t)(sum >> 8);
    f[57] = (uint8_t)sum;
    return 68;
}

/* The ICMP message that comes, of either version; NULL: none. */
static const uint8_t *wait_icmp(struct nat_fixture *f, bool v6, uint8_t type)
{
    for (unsigned i = 0; i < 2000; i++) {
        turns(f->loop, 1);
        for (unsigned k = 0; k < f->card->count; k++) {
            const uint8_t *frame = f->card->frame[k];

            if (v6 ? frame[12] == 0x86 && frame[20] == 58 && frame[54] == type
                   : frame[12] == 8 && frame[13] == 0 && frame[23] == 1 && frame[34] == type)
                return frame;
        }
    }
    return NULL;
}

static bool may_ping(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);

    if (fd < 0)
        fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    close(fd);
    return fd >= 0;
}

START_TEST(who_is_there_answers_a_ping)
{
    struct nat_fixture f;
    uint8_t frame[100];
    const uint8_t *got;

    set_up(&f, NULL);
    ck_assert(card_send(f.n, frame, put_ping(frame, "127.0.0.1", 64)));
    if (!may_ping()) { /* and this is what to say then */
        got = wait_icmp(&f, false, 3);
        ck_assert_ptr_nonnull(got);
        ck_assert_uint_eq(got[35], 13);
        tear_down(&f);
        return;
    }
    got = wait_icmp(&f, false, 0);
    ck_assert_ptr_nonnull(got);
    ck_assert_mem_eq(got, guest_mac, 6);
    ck_assert_mem_eq(got + 26, "\x7f\x00\x00\x01\x0a\x00\x02\x0f", 8);
    ck_assert_mem_eq(got + 38, "\x12\x34\x00\x07hello!", 10);
    ck_assert_uint_eq(sum_of(got + 14, 20, 0), 0xffff);
    ck_assert_uint_eq(sum_of(got + 34, 14, 0), 0xffff);
    f.card->count = 0;
    ck_assert_ptr_null(wait_icmp(&f, false, 0)); /* once */
    tear_down(&f);
}
END_TEST

START_TEST(ipv6_is_pinged_too)
{
    struct nat_fixture f;
    uint8_t frame[100];
    const uint8_t *got;
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || !may_ping()) {
        close(fd);
        return; /* a host without */
    }
    close(fd);
    set_up(&f, NULL);
    ck_assert(card_send(f.n, frame, put_ping6(frame, "::1")));
    got = wait_icmp(&f, true, 129);
    ck_assert_ptr_nonnull(got);
    ck_assert_mem_eq(got + 38, frame + 22, 16);
    ck_assert_mem_eq(got + 58, "\x12\x34\x00\x07hello!", 10);
    ck_assert_uint_eq(sum_of(got + 54, 14, sum_of(got + 22, 32, 14 + 58)), 0xffff);
    tear_down(&f);
}
END_TEST

/* Answer the last ping to ::1 once more, with extra bytes. */
static void answer_longer(int fd, const uint8_t request[8], size_t extra)
{
    static uint8_t reply[65535];
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    size_t len = MIN(14 + extra, sizeof(reply) - 8);

    memcpy(reply, request, 8);
    reply[0] = 129;
    ck_assert_int_eq(sendto(fd, reply, len, 0, (struct sockaddr *)&to, sizeof(to)), (ssize_t)len);
}

START_TEST(an_answer_is_no_longer_than_the_ping)
{
    int fd = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_ICMPV6);
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct nat_fixture f;
    uint8_t frame[100], request[100] = {0};

    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        close(fd);
        return; /* nobody here may play the other side */
    }
    set_up(&f, NULL);
    ck_assert(card_send(f.n, frame, put_ping6(frame, "::1")));
    ck_assert_ptr_nonnull(wait_icmp(&f, true, 129));
    do
        ck_assert_int_gt(recv(fd, request, sizeof(request), 0), 8);
    while (request[0] != 128);
    for (size_t extra = 1; extra < 1 << 20; extra <<= 17) {
        f.card->count = 0;
        answer_longer(fd, request, 0);
        ck_assert_ptr_nonnull(wait_icmp(&f, true, 129));
        f.card->count = 0;
        answer_longer(fd, request, extra);
        ck_assert_ptr_null(wait_icmp(&f, true, 129));
    }
    close(fd);
    tear_down(&f);
}
END_TEST

START_TEST(who_is_not_there_does_not_answer)
{
    struct nat_fixture f;
    uint8_t frame[100], original[100];
    const uint8_t *got;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9),
                            .sin_addr.s_addr = htonl(0x7f000002)};

    set_up(&f, NULL);
    put_ping(original, "203.0.113.9", 1);
    ck_assert(card_send(f.n, original, 48));
    got = wait_icmp(&f, false, 11); /* one hop, and that is the router */
    ck_assert_ptr_nonnull(got);
    ck_assert_mem_eq(got + 26, "\x0a\x00\x02\x02\x0a\x00\x02\x0f", 8);
    ck_assert_mem_eq(got + 42, original + 14, 28);
    ck_assert_uint_eq(sum_of(got + 34, 36, 0), 0xffff);
    /* Any ICMP message of the host's, here of a closed port, is no answer to a ping. */
    put_ping(frame, "127.255.255.255", 64);
    ck_assert(card_send(f.n, frame, 48));
    ck_assert_int_eq(sendto(fd, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)), 1);
    ck_assert_ptr_null(wait_icmp(&f, false, 0));
    close(fd);
    tear_down(&f);
}
END_TEST

/* A port of the host's loopback interface where nobody is. */
static uint16_t closed_port(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    getsockname(fd, (struct sockaddr *)&a, &len);
    close(fd);
    return ntohs(a.sin_port);
}

START_TEST(a_closed_port_is_told)
{
    struct nat_fixture f;
    uint8_t frame[100] = {0}, other[100] = {0};
    uint16_t closed = closed_port(), open_port;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    const uint8_t *got;
    char c[8];

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    getsockname(fd, (struct sockaddr *)&a, &len);
    open_port = ntohs(a.sin_port);
    set_up(&f, NULL);
    memcpy(frame + 42, "anyone?", 7);
    put_udp(frame, "10.0.2.15", "10.0.2.2", 1000, closed, 7);
    memcpy(other + 42, "you!", 4);
    put_udp(other, "10.0.2.15", "10.0.2.2", 1000, open_port, 4);
    ck_assert(card_send(f.n, frame, 49));
    ck_assert(card_send(f.n, other, 46)); /* by the same socket: the error is none of its */
    got = wait_icmp(&f, false, 3);
    ck_assert_ptr_nonnull(got);
    ck_assert_uint_eq(got[35], 3); /* no such port */
    ck_assert_mem_eq(got + 26, "\x0a\x00\x02\x02\x0a\x00\x02\x0f", 8);
    ck_assert_mem_eq(got + 54, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
    ck_assert_mem_eq(got + 62, frame + 34, 6); /* the ports, the length */
    ck_assert_mem_eq(got + 70, "anyone?", 7);
    ck_assert_uint_eq(sum_of(got + 14, 20, 0), 0xffff);
    ck_assert_uint_eq(sum_of(got + 42, 20, 0), 0xffff);
    ck_assert_uint_eq(sum_of(got + 34, 8 + 20 + 8 + 7, 0), 0xffff);
    ck_assert_int_eq(recv(fd, c, sizeof(c), 0), 4);
    f.card->count = 0;
    ck_assert_ptr_null(wait_icmp(&f, false, 3));
    ck_assert(card_send(f.n, frame, 49)); /* and each time */
    ck_assert_ptr_nonnull(wait_icmp(&f, false, 3));
    close(fd);
    tear_down(&f);
}
END_TEST

static void add_tests(Suite *suite)
{
    UNIT_TEST(suite, who_is_there_answers_a_ping);
    UNIT_TEST(suite, ipv6_is_pinged_too);
    UNIT_TEST(suite, an_answer_is_no_longer_than_the_ping);
    UNIT_TEST(suite, who_is_not_there_does_not_answer);
    UNIT_TEST(suite, a_closed_port_is_told);
}

UNIT_TEST_MAIN("net_nat_icmp", add_tests)
