/* SPDX-License-Identifier: MIT */
#include "base/pass_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "entries.h"
#include "unit.h"

static int pair[2];

static void open_pair(void)
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static void close_pair(void)
{
    close(pair[0]);
    close(pair[1]);
}

START_TEST(a_descriptor_goes_along_and_is_closed_on_exec)
{
    int file = open("/dev/null", O_RDONLY), got = 7;
    char text[8];

    ck_assert_int_eq(pass_fd_send(pair[0], "abc", 3, file, 0), 3);
    ck_assert_int_eq(pass_fd_send(pair[0], "de", 2, -1, 0), 2);
    ck_assert_int_eq(pass_fd_receive(pair[1], text, sizeof(text), &got, 0), 3);
    ck_assert(got >= 0 && got != file && !memcmp(text, "abc", 3));
    ck_assert_int_eq(fcntl(got, F_GETFD), FD_CLOEXEC);
    close(got);
    ck_assert_int_eq(pass_fd_receive(pair[1], text, sizeof(text), &got, 0), 2);
    ck_assert_int_eq(got, -1);
    close(file);
}
END_TEST

/* Neither stays open. */
START_TEST(two_descriptors_are_one)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {
        .head = {.cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec iov = {"x", 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    unsigned before = count_fds();
    char text[8];
    int got;

    memcpy(CMSG_DATA(&control.head), pair, sizeof(pair));
    ck_assert_int_eq(sendmsg(pair[0], &msg, 0), 1);
    ck_assert_int_eq(pass_fd_receive(pair[1], text, sizeof(text), &got, 0), 1);
    ck_assert_int_ge(got, 0);
    close(got);
    ck_assert_uint_eq(count_fds(), before);
}
END_TEST

START_TEST(who_is_gone_is_told_by_no_signal)
{
    char text[8];
    int got = 7;

    ck_assert_int_eq(pass_fd_receive(pair[1], text, sizeof(text), &got, MSG_DONTWAIT), -EAGAIN);
    ck_assert_int_eq(got, -1);
    shutdown(pair[1], SHUT_RDWR);
    ck_assert_int_eq(pass_fd_send(pair[0], "abc", 3, -1, 0), -EPIPE);
    ck_assert_int_eq(pass_fd_receive(pair[0], text, sizeof(text), &got, 0), 0);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST_BETWEEN(s, a_descriptor_goes_along_and_is_closed_on_exec, open_pair, close_pair);
    UNIT_TEST_BETWEEN(s, two_descriptors_are_one, open_pair, close_pair);
    UNIT_TEST_BETWEEN(s, who_is_gone_is_told_by_no_signal, open_pair, close_pair);
}

UNIT_TEST_MAIN("pass_fd", add_tests)
