/* SPDX-License-Identifier: MIT */
#include "char/char.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "fake_loop.h"
#include "unit.h"

struct client {
    size_t room, len;
    uint8_t data[256];
    unsigned writable;
};

static void on_writable(void *arg)
{
    ((struct client *)arg)->writable++;
}

static size_t on_room(void *arg)
{
    return ((struct client *)arg)->room;
}

static void on_receive(void *arg, const uint8_t *data, size_t len)
{
    struct client *cl = arg;

    ck_assert_uint_le(len, cl->room);
    memcpy(cl->data + cl->len, data, len);
    cl->len += len;
    cl->room -= len;
}

static const struct char_client client_ops = {on_writable, on_room, on_receive};

struct fixture {
    struct loop *loop;
    struct char_dev *c;
    struct client client;
    int in[2], out[2];
};

static void setup_pipes(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    ck_assert_int_eq(loop_create(&f->loop), 0);
    ck_assert_int_eq(pipe(f->in), 0);
    ck_assert_int_eq(pipe(f->out), 0);
    ck_assert_int_eq(char_fd_create(f->loop, f->in[0], f->out[1], &f->c, NULL), 0);
    char_attach(f->c, &client_ops, &f->client);
}

static void teardown(struct fixture *f)
{
    char_destroy(f->c);
    fake_loop_turn(f->loop); /* as loop_destroy() runs what is still posted */
    loop_destroy(f->loop);
}

START_TEST(output_reaches_the_host)
{
    struct fixture f;
    char buf[16] = {0};

    setup_pipes(&f);
    ck_assert_uint_eq(char_write(f.c, "hello", 5), 5);
    fake_loop_turn(f.loop);
    ck_assert_int_eq(read(f.out[0], buf, sizeof(buf)), 5);
    ck_assert_str_eq(buf, "hello");
    /* The description the pipe shares with others stays blocking. */
    ck_assert_int_eq(fcntl(f.out[1], F_GETFL) & O_NONBLOCK, 0);
    teardown(&f);
}
END_TEST

START_TEST(a_full_host_pushes_back_and_loses_nothing)
{
    struct fixture f;
    uint8_t next_in = 0, next_out = 0, buf[8192];
    size_t written = 0, got = 0;

    setup_pipes(&f);
    for (int turn = 0; turn < 1000 && !f.client.len; turn++) {
        size_t n;

        for (size_t i = 0; i < sizeof(buf); i++)
            buf[i] = (uint8_t)(next_in + i);
        n = char_write(f.c, buf, sizeof(buf));
        next_in = (uint8_t)(next_in + n);
        written += n;
        fake_loop_turn(f.loop);
        if (n < sizeof(buf))
            break;
    }
    ck_assert_uint_ge(written, CHAR_BUFFER_SIZE);
    ck_assert_uint_eq(f.client.writable, 0);
    fcntl(f.out[0], F_SETFL, O_NONBLOCK);
    for (int turn = 0; turn < 1000 && got < written; turn++) {
        ssize_t n = read(f.out[0], buf, sizeof(buf));

        for (ssize_t i = 0; i < n; i++)
            ck_assert_uint_eq(buf[i], next_out++);
        got += n > 0 ? (size_t)n : 0;
        fake_loop_turn(f.loop);
    }
    ck_assert_uint_eq(got, written);
    ck_assert_uint_eq(f.client.writable, 1);
    teardown(&f);
}
END_TEST

START_TEST(input_waits_for_room)
{
    struct fixture f;

    setup_pipes(&f);
    ck_assert_int_eq(write(f.in[1], "abcdef", 6), 6);
    fake_loop_turn(f.loop);
    ck_assert_uint_eq(f.client.len, 0);
    f.client.room = 4;
    char_accept_input(f.c);
    for (int i = 0; i < 4; i++)
        fake_loop_turn(f.loop);
    ck_assert_uint_eq(f.client.len, 4);
    f.client.room = 4;
    char_accept_input(f.c);
    close(f.in[1]); /* the rest, then end of file: no spinning */
    for (int i = 0; i < 4; i++)
        fake_loop_turn(f.loop);
    ck_assert_mem_eq(f.client.data, "abcdef", 6);
    ck_assert_uint_eq(f.loop->fd[0]->events, 0);
    teardown(&f);
}
END_TEST

START_TEST(one_socket_serves_both_directions)
{
    struct fixture f = {0};
    int s[2];
    char buf[4];

    ck_assert_int_eq(loop_create(&f.loop), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    ck_assert_int_eq(char_fd_create(f.loop, s[0], s[0], &f.c, NULL), 0);
    f.client.room = 10;
    char_attach(f.c, &client_ops, &f.client);
    ck_assert_int_eq(write(s[1], "in", 2), 2);
    ck_assert_uint_eq(char_write(f.c, "out", 3), 3);
    fake_loop_turn(f.loop);
    fake_loop_turn(f.loop);
    ck_assert_uint_eq(f.client.len, 2);
    ck_assert_int_eq(read(s[1], buf, 4), 3);
    teardown(&f);
}
END_TEST

START_TEST(regular_files_work_both_ways)
{
    struct fixture f = {0};
    char path[] = "/tmp/vz-char-test-XXXXXX", buf[8] = {0};
    struct vz_error err = {0};
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "xyz and more", 12), 12);
    lseek(fd, 0, SEEK_SET);
    ck_assert_int_eq(loop_create(&f.loop), 0);
    ck_assert_int_eq(char_fd_create(f.loop, fd, -1, &f.c, NULL), 0);
    f.client.room = 3;
    char_attach(f.c, &client_ops, &f.client);
    for (int i = 0; i < 4; i++)
        fake_loop_turn(f.loop);
    ck_assert_uint_eq(f.client.len, 3);
    char_destroy(f.c);

    ck_assert_int_eq(char_file_create(f.loop, path, &f.c, &err), 0);
    ck_assert_uint_eq(char_write(f.c, "log", 3), 3);
    ck_assert_int_eq(char_drain(f.c, -1), 0);
    ck_assert_int_eq(pread(fd, buf, 8, 0), 3);
    fake_loop_turn(f.loop);
    char_destroy(f.c);
    ck_assert_int_eq(char_file_create(f.loop, "/nonexistent/file", &f.c, &err), -ENOENT);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/file"));
    unlink(path);
    loop_destroy(f.loop);
}
END_TEST

START_TEST(a_dead_host_end_swallows)
{
    struct fixture f;
    _Atomic unsigned lost = 0;
    char said[256] = "";
    FILE *log = tmpfile();

    setup_pipes(&f);
    char_account(f.c, "the far end", &lost);
    signal(SIGPIPE, SIG_IGN);
    close(f.out[0]);
    ck_assert_uint_eq(char_write(f.c, "x", 1), 1);
    ck_assert_int_ge(dup2(fileno(log), STDERR_FILENO), 0);
    fake_loop_turn(f.loop);
    for (int i = 0; i < 100; i++)
        ck_assert_uint_eq(char_write(f.c, "xxxxxxxxxxxxxxxx", 16), 16);
    ck_assert_int_eq(char_drain(f.c, 0), 0);
    ck_assert_uint_eq(lost, 1);
    ck_assert_int_gt(pread(fileno(log), said, sizeof(said) - 1, 0), 0);
    ck_assert_msg(strstr(said, "to the far end failed"), "%s", said);
    fclose(log);
    teardown(&f);
}
END_TEST

START_TEST(drain_gives_up_on_a_stuck_host_in_time)
{
    struct fixture f;
    uint8_t buf[4096] = {0};
    _Atomic unsigned lost = 0;

    setup_pipes(&f);
    char_account(f.c, NULL, &lost);
    while (char_write(f.c, buf, sizeof(buf)) == sizeof(buf))
        fake_loop_turn(f.loop);
    ck_assert_int_eq(char_drain(f.c, 10), -ETIMEDOUT);
    ck_assert_uint_eq(lost, 1);
    teardown(&f);
}
END_TEST

START_TEST(null_swallows_everything)
{
    struct fixture f = {0};
    uint8_t buf[4096] = {0};

    ck_assert_int_eq(loop_create(&f.loop), 0);
    ck_assert_int_eq(char_null_create(f.loop, &f.c, NULL), 0);
    char_attach(f.c, &client_ops, &f.client);
    for (int i = 0; i < 100; i++) {
        ck_assert_uint_eq(char_write(f.c, buf, sizeof(buf)), sizeof(buf));
        fake_loop_turn(f.loop);
    }
    teardown(&f);
    char_destroy(NULL);
}
END_TEST

static void to_text(void *arg, const void *data, size_t len)
{
    strncat(arg, data, len);
}

START_TEST(a_program_takes_output_and_gives_input)
{
    static uint8_t much[CHAR_BUFFER_SIZE + 10];
    struct fixture f = {.client = {.room = 3}};
    char text[64] = "";
    size_t taken;

    ck_assert_int_eq(loop_create(&f.loop), 0);
    ck_assert_int_eq(char_callback_create(f.loop, to_text, text, &f.c, NULL), 0);
    char_attach(f.c, &client_ops, &f.client);
    ck_assert_uint_eq(char_write(f.c, "hello", 5), 5);
    fake_loop_turn(f.loop);
    ck_assert_uint_eq(char_write(f.c, " again", 6), 6);
    ck_assert_int_eq(char_drain(f.c, 0), 0);
    ck_assert_str_eq(text, "hello again");
    ck_assert_int_eq(char_callback_send(f.c, "abcdef", 6, &taken), 0);
    ck_assert_uint_eq(taken, 6);
    ck_assert_mem_eq(f.client.data, "abc", 3);
    ck_assert_uint_eq(f.client.len, 3);
    ck_assert_int_eq(char_callback_send(f.c, much, sizeof(much), &taken), 0);
    ck_assert_uint_eq(taken, CHAR_BUFFER_SIZE - 3);
    f.client.room = 5;
    char_accept_input(f.c);
    fake_loop_turn(f.loop);
    ck_assert_mem_eq(f.client.data, "abcdef\0\0", 8);
    ck_assert_uint_eq(f.client.len, 8);
    teardown(&f);
    ck_assert_int_eq(loop_create(&f.loop), 0);
    ck_assert_int_eq(char_null_create(f.loop, &f.c, NULL), 0);
    ck_assert_int_eq(char_callback_send(f.c, "a", 1, &taken), -ENOTSUP);
    teardown(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, output_reaches_the_host);
    UNIT_TEST(s, a_full_host_pushes_back_and_loses_nothing);
    UNIT_TEST(s, input_waits_for_room);
    UNIT_TEST(s, one_socket_serves_both_directions);
    UNIT_TEST(s, regular_files_work_both_ways);
    UNIT_TEST(s, a_dead_host_end_swallows);
    UNIT_TEST(s, drain_gives_up_on_a_stuck_host_in_time);
    UNIT_TEST(s, null_swallows_everything);
    UNIT_TEST(s, a_program_takes_output_and_gives_input);
}

UNIT_TEST_MAIN("char", add_tests)
