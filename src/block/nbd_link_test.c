/* SPDX-License-Identifier: MIT */
/* What a server may answer, byte by byte, on a connection that is there; and the process that makes connections, good,
 * hostile and dead. */
#include "block/nbd_link.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pass_fd.h"
#include "block/blk_nbd.h"
#include "block/nbd_child.h"
#include "block/nbd_orders.h"
#include "block/nbd_wire.h"
#include "loop/loop.h"
#include "unit.h"

#define COMMANDS 3u
#define LEN      64u

struct fixture {
    struct loop *loop;
    struct nbd_link l;
    int server;
    struct nbd_commands answered;
    struct nbd_command c[COMMANDS];
    struct nbd_status status;
    uint8_t data[COMMANDS][LEN];
};

static void turned(void *arg)
{
}

/* A read, a write, and a question where there are zeroes; all have been sent. */
static void set_up(struct fixture *f)
{
    uint8_t sent[COMMANDS * NBD_REQUEST_LEN + LEN];
    int pair[2];

    memset(f, 0, sizeof(*f));
    ck_assert_int_eq(loop_create(&f->loop), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    TAILQ_INIT(&f->answered);
    nbd_link_init(&f->l, f->loop, &f->answered, turned, NULL);
    f->server = pair[1];
    f->l.socket = pair[0];
    f->l.reader = nbd_reader_new();
    f->l.state = NBD_LINK_READY;
    memset(f->data, 0x55, sizeof(f->data));
    for (unsigned i = 0; i < COMMANDS; i++) {
        f->c[i] = (struct nbd_command){.op = i == 1 ? BLK_WRITE : BLK_READ, .offset = 4096, .len = LEN, .data = f->data[i],
                                       .status = i == 2 ? &f->status : NULL};
        nbd_link_send(&f->l, &f->c[i]);
    }
    nbd_link_push(&f->l);
    ck_assert_int_eq(recv(f->server, sent, sizeof(sent), MSG_WAITALL), sizeof(sent));
}

static void tear_down(struct fixture *f)
{
    struct nbd_commands rest;

    TAILQ_INIT(&rest);
    nbd_link_close(&f->l, &rest);
    close(f->server);
    loop_destroy(f->loop);
}

static unsigned answers(const struct fixture *f)
{
    const struct nbd_command *c;
    unsigned n = 0;

    TAILQ_FOREACH(c, &f->answered, link)
        n++;
    return n;
}

/* A byte at a time, so that each place where it may be cut is tried. */
static void say(struct fixture *f, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len && f->l.state == NBD_LINK_READY; i++) {
        ck_assert_int_eq(send(f->server, (const uint8_t *)bytes + i, 1, 0), 1);
        nbd_link_turn(&f->l, POLLIN);
    }
}

static void say_simple(struct fixture *f, uint32_t error, uint64_t cookie, size_t data)
{
    uint8_t reply[NBD_SIMPLE_LEN + 2 * LEN] = {0};

    store_be32(reply, NBD_SIMPLE_MAGIC);
    store_be32(reply + 4, error);
    store_be64(reply + 8, cookie);
    memset(reply + NBD_SIMPLE_LEN, 0xaa, data);
    say(f, reply, NBD_SIMPLE_LEN + data);
}

/* len: as it says; there: what there is behind the 12 bytes of a and b. */
static void say_chunk(struct fixture *f, uint16_t flags, uint16_t type, uint64_t cookie, uint32_t len, uint64_t a, uint32_t b,
                      size_t there)
{
    uint8_t chunk[NBD_CHUNK_LEN + 12 + 2 * LEN] = {0};

    store_be32(chunk, NBD_CHUNK_MAGIC);
    store_be16(chunk + 4, flags);
    store_be16(chunk + 6, type);
    store_be64(chunk + 8, cookie);
    store_be32(chunk + 16, len);
    store_be64(chunk + 20, a);
    store_be32(chunk + 28, b);
    say(f, chunk, NBD_CHUNK_LEN + MIN(len, 12u) + there);
}

START_TEST(simple_replies_are_taken_in_any_order)
{
    struct fixture f;

    set_up(&f);
    say_simple(&f, ENOSPC, 2, 0);
    say_simple(&f, 0, 1, LEN);
    say_simple(&f, 12345, 3, 0);
    ck_assert_int_eq(f.l.state, NBD_LINK_READY);
    ck_assert_uint_eq(answers(&f), 3);
    ck_assert(f.c[0].err == 0 && f.c[1].err == -ENOSPC && f.c[2].err == -EINVAL);
    ck_assert(f.data[0][0] == 0xaa && f.data[0][LEN - 1] == 0xaa && f.data[1][0] == 0x55);
    tear_down(&f);
}
END_TEST

START_TEST(replies_in_chunks_are_taken)
{
    struct fixture f;

    set_up(&f);
    say_chunk(&f, 0, NBD_CHUNK_HOLE, 1, 12, 4096, 16, 0);
    say_chunk(&f, 0, NBD_CHUNK_HOLE, 1, 12, 4096 + 48, 16, 0);
    say_chunk(&f, 0, NBD_CHUNK_DATA, 1, 8 + 32, 4096 + 16, 0xbbbbbbbb, 28);
    ck_assert_uint_eq(answers(&f), 0);
    say_chunk(&f, NBD_CHUNK_DONE, NBD_CHUNK_NONE, 1, 0, 0, 0, 0);
    say_chunk(&f, 0, NBD_CHUNK_STATUS, 3, 20, 32 /* context 0, length 32 */, NBD_STATUS_ZERO, 8);
    say_chunk(&f, NBD_CHUNK_DONE, NBD_CHUNK_NONE, 3, 0, 0, 0, 0);
    say_chunk(&f, NBD_CHUNK_DONE, NBD_CHUNK_ERROR | 7, 2, 20, (uint64_t)EIO << 32, 0, 8);
    ck_assert_int_eq(f.l.state, NBD_LINK_READY);
    ck_assert_uint_eq(answers(&f), 3);
    ck_assert(f.c[0].err == 0 && f.c[1].err == -EIO && f.c[2].err == 0);
    ck_assert(f.data[0][0] == 0 && f.data[0][15] == 0 && f.data[0][16] == 0xbb && f.data[0][48] == 0);
    ck_assert(f.status.zeroes && f.status.len == 32);
    tear_down(&f);
}
END_TEST

/* Each is the end of the connection, and reaches nothing but what was asked for. */
START_TEST(anything_else_is_the_end_of_the_connection)
{
    struct fixture f;

    set_up(&f);
    switch (_i) {
    case 0: say(&f, "nonsense, nonsense", 18); break;
    case 1: say_simple(&f, 0, 4, 0); break;
    case 2: say_simple(&f, 0, 3, 0); break; /* no answer to that question */
    case 3: say_chunk(&f, 0, NBD_CHUNK_DATA, 1, 8 + LEN + 1, 4096, 0, 0); break;
    case 4: say_chunk(&f, 0, NBD_CHUNK_DATA, 1, 8 + LEN, 4095, 0, 0); break;
    case 5: say_chunk(&f, 0, NBD_CHUNK_DATA, 1, 8 + LEN, 4097, 0, 0); break;
    case 6: say_chunk(&f, 0, NBD_CHUNK_DATA, 1, 8 + LEN, UINT64_MAX, 0, 0); break;
    case 7: say_chunk(&f, 0, NBD_CHUNK_DATA, 1, 7, 4096, 0, 0); break;
    case 8: say_chunk(&f, 0, NBD_CHUNK_DATA, 2, 8 + LEN, 4096, 0, 0); break; /* of a write */
    case 9: say_chunk(&f, 0, NBD_CHUNK_HOLE, 1, 12, 4096, LEN + 1, 0); break;
    case 10: say_chunk(&f, 0, NBD_CHUNK_HOLE, 1, 12, 4096 + LEN, UINT32_MAX, 0); break;
    case 11: say_chunk(&f, 0, NBD_CHUNK_HOLE, 1, 11, 4096, 1, 0); break;
    case 12: say_chunk(&f, 0, NBD_CHUNK_STATUS, 1, 12, 32, 0, 0); break; /* which was not asked for */
    case 13: say_chunk(&f, 0, NBD_CHUNK_STATUS, 3, 11, 32, 0, 0); break;
    case 14: say_chunk(&f, 0, NBD_CHUNK_STATUS, 3, UINT32_MAX, 32, 0, 0); break;
    case 15: say_chunk(&f, 0, NBD_CHUNK_NONE, 1, 0, 0, 0, 0); break; /* for ever */
    case 16: say_chunk(&f, NBD_CHUNK_DONE, NBD_CHUNK_NONE, 1, 1, 0, 0, 0); break;
    case 17: say_chunk(&f, NBD_CHUNK_DONE, NBD_CHUNK_ERROR | 1, 1, 6, 0, 0, 0); break; /* no error */
    case 18: say_chunk(&f, NBD_CHUNK_DONE, NBD_CHUNK_ERROR | 1, 1, 5, UINT64_MAX, 0, 0); break;
    case 19: say_chunk(&f, NBD_CHUNK_DONE, 3, 1, 0, 0, 0, 0); break;
    case 20: say_chunk(&f, NBD_CHUNK_DONE, NBD_CHUNK_NONE, 9, 0, 0, 0, 0); break;
    case 21: say_chunk(&f, NBD_CHUNK_DONE, NBD_CHUNK_NONE, 1, 0, 0, 0, 0); break; /* and nothing before */
    default:
        shutdown(f.server, SHUT_WR);
        nbd_link_turn(&f.l, POLLIN);
        break;
    }
    ck_assert_int_eq(f.l.state, NBD_LINK_LOST);
    ck_assert_uint_eq(answers(&f), 0);
    ck_assert(f.l.err.text[0] && f.data[0][0] == 0x55 && f.data[1][0] == 0x55 && f.data[2][0] == 0x55);
    tear_down(&f);
}
END_TEST

/* The same part twice is as long as all that was asked for. What is between us and the guest had other things in it. */
START_TEST(parts_that_overlap_show_nothing_of_our_memory)
{
    struct fixture f;

    set_up(&f);
    f.c[0].own_data = true;
    say_chunk(&f, 0, NBD_CHUNK_DATA, 1, 8 + LEN / 2, 4096, 0xbbbbbbbb, LEN / 2 - 4);
    say_chunk(&f, NBD_CHUNK_DONE, NBD_CHUNK_DATA, 1, 8 + LEN / 2, 4096, 0xbbbbbbbb, LEN / 2 - 4);
    ck_assert(f.l.state == NBD_LINK_LOST || answers(&f) == 1);
    ck_assert(f.data[0][0] == 0xbb && f.data[0][LEN / 2] == 0 && f.data[0][LEN - 1] == 0);
    tear_down(&f);
}
END_TEST

/* One that has not been sent to its end is not answered: its data is still looked at. */
START_TEST(an_answer_before_the_question_ends_it)
{
    static uint8_t much[8 * MIB];
    struct nbd_command big = {.op = BLK_WRITE, .len = sizeof(much), .data = much};
    struct fixture f;

    set_up(&f);
    nbd_link_send(&f.l, &big);
    nbd_link_push(&f.l);
    ck_assert_ptr_eq(f.l.unsent, &big);
    say_simple(&f, 0, 4, 0);
    ck_assert_int_eq(f.l.state, NBD_LINK_LOST);
    ck_assert_uint_eq(answers(&f), 0);
    tear_down(&f);
}
END_TEST

/* A socket that a hostile process has set so, to a server of its own that reads nothing: the loop would stand still. */
START_TEST(closing_waits_for_no_server)
{
    static uint8_t much[8 * MIB];
    struct nbd_command big = {.op = BLK_WRITE, .len = sizeof(much), .data = much};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(to);
    const struct linger long_time = {1, 20};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint64_t began_ns;
    struct fixture f;

    set_up(&f);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&to, len), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&to, &len), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, len), 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &long_time, sizeof(long_time)), 0);
    close(f.l.socket);
    f.l.socket = fd;
    nbd_link_send(&f.l, &big);
    nbd_link_push(&f.l);
    ck_assert_ptr_eq(f.l.unsent, &big);
    began_ns = clock_mono_ns();
    tear_down(&f);
    ck_assert_uint_lt(clock_mono_ns() - began_ns, 5 * NS_PER_SEC);
    close(listener);
}
END_TEST

/* ---- Who makes connections ------------------------------------------------------------------ */

static const char uri[] = "nbd://127.0.0.1:1/x";

static int open_by(struct child *by, struct loop *loop, struct vz_error *err)
{
    const struct blk_nbd_options o = {.uri = uri, .by = by, .timeout_ms = 10000};
    struct blk *b;

    return blk_nbd_open(&o, loop, &b, err);
}

START_TEST(it_says_what_is_wrong_and_dies)
{
    const struct nbd_child_options o = {.locks = true, .uid = geteuid() ? 0 : 65534, .gid = geteuid() ? 0 : 65534};
    struct loop *loop;
    struct child c;
    struct vz_error err = {0};

    ck_assert_int_eq(loop_create(&loop), 0);
    ck_assert_int_eq(nbd_child_start(&c, &o, &err), 0);
    ck_assert_int_eq(nbd_child_know(&c, "nbds://h/x?tls-psk-file=/nowhere/keys", &err), 0);
    ck_assert_int_eq(nbd_child_lock(&c, &err), 0);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_lt(open_by(&c, loop, &err), 0);
        ck_assert_msg(err.code == VZ_ERROR_NBD_DISCONNECTED && strstr(err.text, "refused"), "%s", err.text);
    }
    ck_assert_int_eq(kill(c.pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(c.pid, NULL, 0), c.pid); /* as a program may that waits for any child */
    ck_assert_int_lt(open_by(&c, loop, &err), 0);
    ck_assert_msg(err.code == VZ_ERROR_NBD_DISCONNECTED && strstr(err.text, "has ended"), "%s", err.text);
    child_end(&c);
    loop_destroy(loop);
}
END_TEST

/* More than a socket has room for, before it has loaded anything. */
START_TEST(it_knows_many_servers)
{
    const struct nbd_child_options o = {.locks = true, .uid = geteuid() ? 0 : 65534, .gid = geteuid() ? 0 : 65534};
    struct vz_error err = {0};
    struct child c;

    ck_assert_int_eq(nbd_child_start(&c, &o, &err), 0);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_msg(nbd_child_know(&c, uri, &err) == 0, "%u: %s", i, err.text);
    ck_assert_int_eq(nbd_child_lock(&c, &err), 0);
    child_end(&c);
}
END_TEST

/* Disks that connect again at the same moment: one that gets no turn does it at its next. */
START_TEST(one_that_is_slow_is_not_ended)
{
    struct child c = CHILD_NONE;
    struct vz_error err = {0};
    struct nbd_order o;
    int pair[2], r = 0;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    c.socket = pair[0];
    memset(&o, 0, sizeof(o));
    for (unsigned i = 0; i < 10000 && !r; i++)
        r = child_tell(&c, &o, NBD_ORDER_LEN(uri), pair[1], &err);
    ck_assert_int_eq(r, -EAGAIN);
    ck_assert_int_eq(c.socket, pair[0]);
    for (unsigned i = 0; i < 2; i++) {
        int fd;

        ck_assert_int_eq(pass_fd_receive(pair[1], &o, sizeof(o), &fd, 0), NBD_ORDER_LEN(uri));
        close(fd);
    }
    ck_assert_int_eq(child_tell(&c, &o, NBD_ORDER_LEN(uri), pair[1], &err), 0);
    close(pair[1]);
    child_end(&c);
}
END_TEST

/* One that is stopped ends by no end of a socket, nor does one that a server has taken over. */
START_TEST(who_does_not_end_is_killed)
{
    const struct nbd_child_options o = {.locks = false};
    struct child c;
    pid_t pid;

    ck_assert_int_eq(nbd_child_start(&c, &o, NULL), 0);
    pid = c.pid;
    ck_assert_int_eq(kill(pid, SIGSTOP), 0);
    child_end(&c);
    ck_assert_int_lt(kill(pid, 0), 0);
}
END_TEST

/* A child that has this number, of a program that reaped ours; 0: it cannot be had. */
static pid_t fork_as(pid_t wanted)
{
    for (unsigned i = 0; i < 20; i++) {
        FILE *last = fopen("/proc/sys/kernel/ns_last_pid", "w");
        pid_t pid;

        if (!last)
            return 0;
        fprintf(last, "%d", wanted - 1);
        fclose(last);
        pid = fork();
        if (pid == 0) {
            pause();
            _exit(0);
        }
        if (pid == wanted)
            return pid;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return 0;
}

/* A program that waits for any child: the next one with that number is not ours. */
START_TEST(who_reaps_it_is_not_waited_for)
{
    const struct nbd_child_options o = {.locks = false};
    struct child c;
    pid_t other;

    ck_assert_int_eq(nbd_child_start(&c, &o, NULL), 0);
    ck_assert_int_eq(kill(c.pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(-1, NULL, 0), c.pid);
    other = fork_as(c.pid);
    child_end(&c); /* returns at once */
    if (!other)
        return;
    ck_assert_int_eq(kill(other, 0), 0);
    ck_assert_int_eq(waitpid(other, NULL, WNOHANG), 0);
    kill(other, SIGKILL);
    ck_assert_int_eq(waitpid(other, NULL, 0), other);
}
END_TEST

/* The end on which the answer to an order is expected. */
static int take_order(int orders)
{
    static struct nbd_order o;
    int end;

    if (pass_fd_receive(orders, &o, sizeof(o), &end, 0) != (ssize_t)NBD_ORDER_LEN(uri) || end < 0)
        _exit(1);
    return end;
}

/* A server has taken it over. What it hands over is a file, a socket that is no connection, nothing; what it says of the
 * disk cannot be, or is no message. */
static void be_hostile(int orders, unsigned how)
{
    struct nbd_dialled d = {.size = MIB, .block_min = 512, .block_preferred = 4096, .payload_max = MIB, .can = NBD_CAN_FLUSH};
    size_t len = how == 3 ? 7 : sizeof(d);
    int end = take_order(orders), fd = -1;

    memset(d.answer.text, 'x', sizeof(d.answer.text));
    if (how == 0)
        fd = open("/dev/zero", O_RDWR);
    else if (how == 1)
        fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    else if (how > 2)
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
    d.answer.result = how == 4 ? INT32_MIN : 0;
    d.block_min = how == 5 ? 3 : how == 6 ? 0 : 512;
    d.block_preferred = how == 7 ? 7 : 4096;
    d.size = how == 8 ? 1 : how == 9 ? UINT64_MAX : MIB;
    (void)!pass_fd_send(end, &d, len, fd, 0);
    if (how == 10)
        (void)!pass_fd_send(end, &d, len, fd, 0);
    _exit(0);
}

START_TEST(a_hostile_one_is_believed_nothing)
{
    static const bool opens[] = {[7] = true, [10] = true};
    struct loop *loop;
    struct child c = CHILD_NONE;
    struct vz_error err = {0};
    int pair[2];
    pid_t pid;
    struct blk *b = NULL;
    const struct blk_nbd_options o = {.uri = uri, .by = &c, .timeout_ms = 10000};
    int r;

    ck_assert_int_eq(loop_create(&loop), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    pid = fork();
    if (pid == 0) {
        close(pair[0]);
        be_hostile(pair[1], (unsigned)_i);
    }
    close(pair[1]);
    c.socket = pair[0];
    r = blk_nbd_open(&o, loop, &b, &err);
    ck_assert_msg((r == 0) == opens[_i], "%d: %s", r, err.text);
    if (!r)
        blk_close(b);
    waitpid(pid, NULL, 0);
    child_end(&c);
    loop_destroy(loop);
}
END_TEST

static void add_tests(Suite *s)
{
    TCase *hostile = tcase_create("hostile");

    UNIT_TEST(s, simple_replies_are_taken_in_any_order);
    UNIT_TEST(s, replies_in_chunks_are_taken);
    UNIT_TEST(s, parts_that_overlap_show_nothing_of_our_memory);
    UNIT_TEST(s, an_answer_before_the_question_ends_it);
    UNIT_TEST(s, closing_waits_for_no_server);
    UNIT_TEST(s, it_says_what_is_wrong_and_dies);
    UNIT_TEST(s, it_knows_many_servers);
    UNIT_TEST(s, one_that_is_slow_is_not_ended);
    UNIT_TEST(s, who_does_not_end_is_killed);
    UNIT_TEST(s, who_reaps_it_is_not_waited_for);
    tcase_add_loop_test(hostile, anything_else_is_the_end_of_the_connection, 0, 23);
    tcase_add_loop_test(hostile, a_hostile_one_is_believed_nothing, 0, 11);
    suite_add_tcase(s, hostile);
}

UNIT_TEST_MAIN("nbd_link", add_tests)
