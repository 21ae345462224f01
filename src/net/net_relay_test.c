/* SPDX-License-Identifier: MIT */
#include "net/net_relay.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_loop.h"
#include "unit.h"

struct fixture {
    struct loop *loop;
    struct net_relays set;
    int left, right; /* the outer ends */
};

static void set_up(struct fixture *f)
{
    int a[2], b[2];

    *f = (struct fixture){0};
    ck_assert_int_eq(loop_create(&f->loop), 0);
    f->set.loop = f->loop;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b), 0);
    f->left = a[0];
    f->right = b[0];
    ck_assert_int_eq(net_relays_join(&f->set, a[1], b[1]), 0);
}

static void tear_down(struct fixture *f)
{
    net_relays_close(&f->set);
    ck_assert_uint_eq(f->set.count, 0);
    close(f->left);
    close(f->right);
    loop_destroy(f->loop);
}

static ssize_t pull(struct fixture *f, int fd, void *to, size_t len)
{
    for (unsigned i = 0; i < 4; i++)
        fake_loop_turn(f->loop);
    return recv(fd, to, len, MSG_DONTWAIT);
}

START_TEST(bytes_go_both_ways_and_each_end_by_itself)
{
    struct fixture f;
    char got[16];

    set_up(&f);
    ck_assert_int_eq(write(f.left, "hello", 5), 5);
    ck_assert_int_eq(pull(&f, f.right, got, sizeof(got)), 5);
    ck_assert_mem_eq(got, "hello", 5);
    shutdown(f.left, SHUT_WR);
    ck_assert_int_eq(pull(&f, f.right, got, sizeof(got)), 0);
    ck_assert_int_eq(write(f.right, "answer", 6), 6); /* the other way is still open */
    ck_assert_int_eq(pull(&f, f.left, got, sizeof(got)), 6);
    ck_assert_uint_eq(f.set.count, 1);
    shutdown(f.right, SHUT_WR);
    ck_assert_int_eq(pull(&f, f.left, got, sizeof(got)), 0);
    ck_assert_uint_eq(f.set.count, 0);
    tear_down(&f);
}
END_TEST

START_TEST(a_slow_reader_holds_back_the_writer_and_nothing_is_lost)
{
    struct fixture f;
    static uint8_t part[10000], got[10000];
    size_t sent = 0, received = 0;

    set_up(&f);
    for (unsigned i = 0; i < 10000; i++) { /* nobody reads */
        ssize_t n;

        for (size_t k = 0; k < sizeof(part); k++)
            part[k] = (uint8_t)((sent + k) % 251);
        n = write(f.left, part, sizeof(part));
        fake_loop_turn(f.loop);
        if (n < 0 && i > 5000)
            break;
        sent += n < 0 ? 0 : (size_t)n;
    }
    ck_assert_uint_lt(sent, 4u << 20);
    shutdown(f.left, SHUT_WR);
    for (ssize_t n = 1; n != 0;) {
        n = pull(&f, f.right, got, sizeof(got));
        for (ssize_t k = 0; k < n; k++)
            ck_assert_uint_eq(got[k], (received + (size_t)k) % 251);
        received += n < 0 ? 0 : (size_t)n;
    }
    ck_assert_uint_eq(received, sent);
    tear_down(&f);
}
END_TEST

START_TEST(who_vanishes_takes_the_pair_along)
{
    struct fixture f;

    set_up(&f);
    ck_assert_int_eq(write(f.right, "unread", 6), 6);
    close(f.left);
    for (unsigned i = 0; i < 8; i++)
        fake_loop_turn(f.loop);
    ck_assert_uint_eq(f.set.count, 0);
    f.left = -1;
    tear_down(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, bytes_go_both_ways_and_each_end_by_itself);
    UNIT_TEST(s, a_slow_reader_holds_back_the_writer_and_nothing_is_lost);
    UNIT_TEST(s, who_vanishes_takes_the_pair_along);
}

UNIT_TEST_MAIN("net_relay", add_tests)
