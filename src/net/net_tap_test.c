/* SPDX-License-Identifier: MIT */
/* Taps and bridges, in a network namespace of the test's own. Where the process may not have one,
 * or there is no /dev/net/tun, the tests of working taps have nothing to say. */
#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net_fixture.h"

static bool can_tap(void)
{
    if (access("/dev/net/tun", R_OK | W_OK) < 0 || unshare(CLONE_NEWNET) < 0) {
        fprintf(stderr, "no taps here: not tested\n");
        return false;
    }
    return true;
}

/* Give the host's side an address and switch it on. */
static void configure(const char *name, const char *address)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq ifr = {0};
    struct sockaddr_in *a = (struct sockaddr_in *)&ifr.ifr_addr;

    strcpy(ifr.ifr_name, name);
    a->sin_family = AF_INET;
    inet_pton(AF_INET, address, &a->sin_addr);
    ck_assert_int_eq(ioctl(s, SIOCSIFADDR, &ifr), 0);
    ck_assert_int_eq(ioctl(s, SIOCGIFFLAGS, &ifr), 0);
    ifr.ifr_flags |= IFF_UP;
    ck_assert_int_eq(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
    close(s);
}

/* "Who has 10.9.9.1?" and the host's answer. */
static void ask(struct loop *loop, struct net *n)
{
    struct card *card = calloc(1, sizeof(*card));
    uint8_t arp[42] = {0};
    bool answered = false;

    card->room = 16;
    net_attach(n, &card_client, card);
    net_set_offloads(n, NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN);
    memset(arp, 0xff, 6);
    memcpy(arp + 6, "\x02\x00\x00\x00\x00\x09", 6);
    memcpy(arp + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x09", 16);
    memcpy(arp + 28, "\x0a\x09\x09\x02", 4);
    memcpy(arp + 38, "\x0a\x09\x09\x01", 4);
    for (unsigned round = 0; round < 50 && !answered; round++) {
        ck_assert(card_send(n, arp, sizeof(arp)));
        turns(loop, 3);
        for (unsigned i = 0; i < card->count; i++)
            answered |= memcmp(card->frame[i] + 12, "\x08\x06", 2) == 0 &&
                        card->frame[i][21] == 2;
        card->count = 0;
        net_accept_input(n);
        usleep(20000);
    }
    ck_assert(answered);
    net_attach(n, NULL, NULL);
    free(card);
}

START_TEST(a_tap_reaches_the_host)
{
    const struct net_tap_options o = {.name = "vztest0"};
    struct loop *loop;
    struct net *n;

    if (!can_tap())
        return;
    ck_assert_int_eq(loop_create(&loop), 0);
    ck_assert_int_eq(net_tap_create(loop, &o, &n, NULL), 0);
    ck_assert_str_eq(net_tap_name(n), "vztest0");
    ck_assert_uint_eq(net_mtu(n), 1500);
    configure("vztest0", "10.9.9.1");
    ask(loop, n);
    net_destroy(n);
    loop_destroy(loop);
}
END_TEST

START_TEST(a_bridge_takes_a_tap)
{
    const struct net_tap_options o = {.bridge = "vztestbr"};
    struct loop *loop;
    struct net *n;
    int s;

    if (!can_tap())
        return;
    s = socket(AF_INET, SOCK_DGRAM, 0);
    if (ioctl(s, SIOCBRADDBR, "vztestbr") < 0) {
        fprintf(stderr, "no bridges here: not tested\n");
        close(s);
        return;
    }
    close(s);
    configure("vztestbr", "10.9.9.1");
    ck_assert_int_eq(loop_create(&loop), 0);
    ck_assert_int_eq(net_tap_create(loop, &o, &n, NULL), 0);
    ask(loop, n);
    net_destroy(n);
    loop_destroy(loop);
}
END_TEST

START_TEST(what_is_wrong_is_told)
{
    struct loop *loop;
    struct net *n;
    struct vz_error err = {0};

    ck_assert_int_eq(loop_create(&loop), 0);
    ck_assert_int_lt(net_tap_create(loop, &(struct net_tap_options){
                         .name = "a-name-that-is-too-long"}, &n, &err), 0);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    if (can_tap()) {
        ck_assert_int_lt(net_tap_create(loop, &(struct net_tap_options){
                             .bridge = "vz-nowhere"}, &n, &err), 0);
        ck_assert_ptr_nonnull(strstr(err.text, "vz-nowhere"));
    }
    loop_destroy(loop);
}
END_TEST

static void add_tests(Suite *suite)
{
    UNIT_TEST(suite, a_tap_reaches_the_host);
    UNIT_TEST(suite, a_bridge_takes_a_tap);
    UNIT_TEST(suite, what_is_wrong_is_told);
}

UNIT_TEST_MAIN("net_tap", add_tests)
