/* SPDX-License-Identifier: MIT */
/* A NAT in a process of its own, locked as a machine's is: a guest's frames by hand on this side, sockets of the
 * loopback interface on the other. And what either side does to the other when it is not what it should be. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "forbid_call.h"
#include "net/net_nat_child.h"
#include "net/net_nat_fixture.h"
#include "net/net_nat_wire.h"
#include "state/state.h"

struct process_fixture {
    struct nat_fixture f;
    struct child child;
};

static const struct net_nat_child_options locked = {.locks = true};

static void set_up_process(struct process_fixture *p, const struct net_nat_child_options *c, struct net_nat_options o)
{
    struct net_nat_child_options with = *c;

    if (geteuid() == 0)
        with.uid = with.gid = 65534;
    ck_assert_int_eq(net_nat_child_start(&p->child, &with, NULL), 0);
    o.child = &p->child;
    set_up(&p->f, &o);
    ck_assert_int_eq(net_nat_child_lock(&p->child, NULL), 0);
}

static void tear_down_process(struct process_fixture *p)
{
    tear_down(&p->f);
    child_end(&p->child);
}

/* One turn of the loop, and what the other process does meanwhile. */
static void pass(struct process_fixture *p)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    turns(p->f.loop, 1);
}

#define WAIT_FOR(p, condition)                                                                                 \
    do {                                                                                                       \
        bool is_ = false;                                                                                      \
        for (unsigned i_ = 0; i_ < 10000 && !is_; i_++) {                                                      \
            is_ = condition;                                                                                   \
            if (!is_)                                                                                          \
                pass(p);                                                                                       \
        }                                                                                                      \
        ck_assert_msg(is_, "%s", #condition);                                                                  \
    } while (0)

static bool has_address(struct process_fixture *p)
{
    struct net_nat_address a;

    net_nat_guest_address(p->f.n, &a);
    return a.has_ipv4 && ntohl(a.ipv4.s_addr) == 0x0a00020f;
}

static void get_lease_there(struct process_fixture *p)
{
    get_lease(&p->f);
    WAIT_FOR(p, has_address(p));
    WAIT_FOR(p, last_udp(&p->f) != NULL);
    p->f.card->count = 0;
}

static int socket_at(const char *address, int type, uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);

    inet_pton(AF_INET, address, &a.sin_addr);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

START_TEST(a_guest_gets_an_address)
{
    struct process_fixture p;

    set_up_process(&p, &locked, (struct net_nat_options){0});
    get_lease_there(&p);
    ck_assert_uint_gt(p.f.told, 0);
    tear_down_process(&p);
}
END_TEST

/* There are filters and Landlock alone then. */
START_TEST(a_guest_gets_an_address_without_namespaces)
{
    struct process_fixture p;

    forbid_call(SYS_unshare, EPERM);
    set_up_process(&p, &locked, (struct net_nat_options){0});
    get_lease_there(&p);
    tear_down_process(&p);
}
END_TEST

START_TEST(a_user_has_it_too)
{
    struct process_fixture p;

    if (geteuid() == 0)
        ck_assert(setgid(65534) == 0 && setuid(65534) == 0 && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
    set_up_process(&p, &locked, (struct net_nat_options){0});
    get_lease_there(&p);
    tear_down_process(&p);
}
END_TEST

START_TEST(datagrams_go_to_the_host_and_back)
{
    struct process_fixture p;
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    uint8_t frame[1500] = {0};
    uint16_t port = 0;
    char got[1500];
    int fd = socket_at("127.0.0.1", SOCK_DGRAM, &port);

    set_up_process(&p, &locked, (struct net_nat_options){0});
    get_lease_there(&p);
    memcpy(frame + 42, "hello", 5);
    ck_assert(card_send(p.f.n, frame, put_udp(frame, "10.0.2.15", "10.0.2.2", 1000, port, 1000)));
    WAIT_FOR(&p, recvfrom(fd, got, sizeof(got), MSG_PEEK, (struct sockaddr *)&from, &from_len) == 1000);
    ck_assert_mem_eq(got, "hello", 5);
    ck_assert_int_eq(sendto(fd, "olleh!", 6, 0, (struct sockaddr *)&from, from_len), 6);
    WAIT_FOR(&p, last_udp(&p.f) != NULL);
    ck_assert_mem_eq(last_udp(&p.f) + 42, "olleh!", 6);
    close(fd);
    tear_down_process(&p);
}
END_TEST

/* To a card that has room for some, now and then. */
START_TEST(who_has_no_room_loses_nothing)
{
    enum { COUNT = 80 }; /* so many fit into the host's socket, whoever is late */
    struct process_fixture p;
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    static uint8_t frame[1500], got[1500];
    uint16_t port = 0;
    unsigned came = 0;
    int fd = socket_at("127.0.0.1", SOCK_DGRAM, &port);

    set_up_process(&p, &locked, (struct net_nat_options){0});
    get_lease_there(&p);
    ck_assert(card_send(p.f.n, frame, put_udp(frame, "10.0.2.15", "10.0.2.2", 1000, port, 1000)));
    WAIT_FOR(&p, recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &from_len) == 1000);
    p.f.card->room = 0;
    for (unsigned i = 0; i < COUNT; i++)
        ck_assert_int_eq(sendto(fd, got, 1000, 0, (struct sockaddr *)&from, from_len), 1000);
    for (unsigned i = 0; i < 20; i++)
        pass(&p);
    while (came < COUNT) {
        p.f.card->room = 7;
        p.f.card->count = 0;
        net_accept_input(p.f.n);
        WAIT_FOR(&p, p.f.card->count > 0);
        for (unsigned i = 0; i < p.f.card->count; i++)
            came += p.f.card->frame[i][23] == 17 && p.f.card->len[i] == 1042;
    }
    ck_assert_uint_eq(came, COUNT);
    close(fd);
    tear_down_process(&p);
}
END_TEST

/* The other process has more to do with each than this one: the sockets between them are full soon. */
START_TEST(a_guest_that_is_faster_waits)
{
    static uint8_t frame[42 + 60000];
    const struct virtio_net_hdr hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                       .gso_type = NET_GSO_UDP_L4,
                                       .gso_size = 100,
                                       .hdr_len = 42,
                                       .csum_start = 34,
                                       .csum_offset = 6};
    struct process_fixture p;
    struct iovec iov = {frame, put_udp(frame, "10.0.2.15", "10.0.2.2", 1000, 9, 60000)};
    unsigned sent = 0;

    set_up_process(&p, &locked, (struct net_nat_options){0});
    get_lease_there(&p);
    while (sent < 10000 && net_send(p.f.n, &hdr, &iov, 1))
        sent++;
    ck_assert_uint_lt(sent, 10000);
    WAIT_FOR(&p, p.f.card->writable == 1);
    ck_assert(net_send(p.f.n, &hdr, &iov, 1));
    tear_down_process(&p);
}
END_TEST

/* A frame of 40 000 bytes whose checksum is still to be filled in, and in more pieces than a message has; and such as
 * libslirp does not take at all. */
START_TEST(large_frames_are_cut_there)
{
    struct process_fixture p;
    static uint8_t frame[42 + 60000];
    struct iovec iov[60];
    struct virtio_net_hdr hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                 .gso_type = NET_GSO_UDP_L4,
                                 .gso_size = 1000,
                                 .hdr_len = 42,
                                 .csum_start = 34,
                                 .csum_offset = 6};
    uint16_t port = 0;
    uint8_t got[2000];
    int fd = socket_at("127.0.0.1", SOCK_DGRAM, &port);
    size_t len;

    set_up_process(&p, &locked, (struct net_nat_options){0});
    get_lease_there(&p);
    len = put_udp(frame, "10.0.2.15", "10.0.2.2", 1000, port, 40000);
    for (unsigned i = 0; i < 60; i++)
        iov[i] = (struct iovec){frame + i * 680, MIN((size_t)680, len - MIN(len, (size_t)i * 680))};
    ck_assert(net_send(p.f.n, &hdr, iov, 60));
    for (unsigned i = 0; i < 40; i++)
        WAIT_FOR(&p, recv(fd, got, sizeof(got), 0) == 1000);
    close(fd);
    tear_down_process(&p);
}
END_TEST

START_TEST(ports_are_forwarded)
{
    struct process_fixture p;
    struct net_forward f = {.guest_port = 80};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct vz_error err;
    int fd, port;

    set_up_process(&p, &locked, (struct net_nat_options){0});
    get_lease_there(&p);
    port = net_nat_forward_add(p.f.n, &f, &err);
    ck_assert_int_gt(port, 0);
    f.host_port = (uint16_t)port;
    ck_assert_int_lt(net_nat_forward_add(p.f.n, &f, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "cannot listen on 127.0.0.1"));
    a.sin_port = htons(f.host_port);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ck_assert(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 || errno == EINPROGRESS);
    WAIT_FOR(&p, p.f.card->count > 0); /* it asks whose the address is */
    close(fd);
    ck_assert_int_eq(net_nat_forward_remove(p.f.n, &f, &err), 0);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_lt(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    close(fd);
    ck_assert_int_lt(net_nat_forward_remove(p.f.n, &f, &err), 0);
    tear_down_process(&p);
}
END_TEST

/* ---- Names ---------------------------------------------------------------------------------- */

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    fputs(text, f);
    fclose(f);
}

static void ask(struct process_fixture *p, const char *id)
{
    uint8_t frame[100] = {0};

    memcpy(frame + 42, id, 2);
    memcpy(frame + 44, "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02vz\x00\x00\x01\x00\x01", 18);
    ck_assert(card_send(p->f.n, frame, put_udp(frame, "10.0.2.15", "10.0.2.3", 999, 53, 20)));
}

static bool was_asked(int fd)
{
    char got[100];

    return recv(fd, got, sizeof(got), 0) == 20;
}

/* As daemons do it: another file takes the name's place. */
START_TEST(another_resolv_conf_is_read)
{
    struct process_fixture p;
    char folder[] = "/tmp/vz-names-XXXXXX", path[64], next[64];
    struct net_nat_child_options o = locked;
    uint16_t port = 0;
    int first = socket_at("127.0.0.2", SOCK_DGRAM, &port), second = socket_at("127.0.0.3", SOCK_DGRAM, &port);

    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chmod(folder, 0755), 0);
    snprintf(path, sizeof(path), "%s/resolv.conf", folder);
    snprintf(next, sizeof(next), "%s/next", folder);
    write_text(path, "nameserver 127.0.0.2\n");
    o.resolv_conf = path;
    set_up_process(&p, &o, (struct net_nat_options){.dns_port = port});
    get_lease_there(&p);
    ask(&p, "aa");
    WAIT_FOR(&p, was_asked(first));
    write_text(next, "# longer than before\nnameserver 127.0.0.3\n");
    ck_assert_int_eq(rename(next, path), 0);
    ask(&p, "bb");
    WAIT_FOR(&p, was_asked(second));
    ck_assert(!was_asked(first));
    tear_down_process(&p);
    close(first);
    close(second);
    unlink(path);
    rmdir(folder);
}
END_TEST

/* ---- Saved states --------------------------------------------------------------------------- */

/* A segment from before what the guest has, of a connection from its port 12345 to the host's port 9. */
static bool was_probed(const struct process_fixture *p)
{
    for (unsigned i = 0; i < p->f.card->count; i++)
        if (p->f.card->frame[i][23] == 6 && !memcmp(p->f.card->frame[i] + 26, "\x0a\x00\x02\x02", 4) &&
            !memcmp(p->f.card->frame[i] + 34, "\x00\x09\x30\x39\x00\x00\x00\x06", 8))
            return true;
    return false;
}

START_TEST(connections_are_known_to_a_restored_machine)
{
    struct process_fixture p;
    const struct state_desc *desc;
    struct nat_flows *flows;
    uint8_t syn[60] = {0};

    set_up_process(&p, &locked, (struct net_nat_options){0});
    get_lease_there(&p);
    put_udp(syn, "10.0.2.15", "10.0.2.2", 1, 1, 18);
    syn[23] = 6;
    memcpy(syn + 34, "\x30\x39\x00\x09\x00\x00\x00\x05\x00\x00\x00\x07\x50\x10\x10\x00", 16);
    ck_assert(card_send(p.f.n, syn, sizeof(syn)));
    flows = net_state(p.f.n, &desc);
    for (unsigned i = 0; i < 1000 && !memchr(flows, 1, sizeof(*flows)); i++) {
        pass(&p);
        flows = net_state(p.f.n, &desc);
    }
    ck_assert_str_eq(desc->name, "nat-connections");
    p.f.card->count = 0;
    ck_assert_int_eq(desc->loaded(flows, NULL), 0);
    WAIT_FOR(&p, was_probed(&p)); /* so the guest hears that it is over */
    tear_down_process(&p);
}
END_TEST

/* ---- When one of the two is not what it should be ------------------------------------------- */

START_TEST(when_it_dies_there_is_no_carrier)
{
    struct process_fixture p;
    struct vz_error err;
    uint8_t frame[60] = {0};

    set_up_process(&p, &locked, (struct net_nat_options){0});
    get_lease_there(&p);
    ck_assert_int_eq(kill(p.child.pid, SIGKILL), 0);
    WAIT_FOR(&p, p.f.card->link_changes == 1);
    ck_assert_int_eq(p.f.card->err, -EPIPE);
    ck_assert(!net_link_up(p.f.n));
    ck_assert(card_send(p.f.n, frame, sizeof(frame))); /* dropped */
    ck_assert_int_lt(net_nat_forward_add(p.f.n, &(struct net_forward){.guest_port = 1}, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "has ended"));
    tear_down_process(&p);
}
END_TEST

START_TEST(it_dies_with_who_started_it)
{
    int fd[2];
    char byte;

    ck_assert_int_eq(pipe(fd), 0);
    if (fork() == 0) {
        struct child c;

        dup2(fd[1], STDERR_FILENO); /* which the process has, too */
        close(fd[0]);
        close(fd[1]);
        _exit(net_nat_child_start(&c, &locked, NULL));
    }
    close(fd[1]);
    ck_assert_int_eq(poll(&(struct pollfd){.fd = fd[0], .events = POLLIN}, 1, 20000), 1);
    ck_assert_int_eq(read(fd[0], &byte, 1), 0);
    close(fd[0]);
}
END_TEST

/* Programs fork, and not all of their children execute something: those have all that was open. */
START_TEST(it_ends_though_a_fork_has_its_descriptors)
{
    struct process_fixture p;
    pid_t pid;

    set_up_process(&p, &locked, (struct net_nat_options){0});
    pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    tear_down_process(&p); /* which waits for it */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
END_TEST

/* A machine's process that is the guest's. */
START_TEST(it_survives_nonsense)
{
    struct process_fixture p;
    static struct nat_question q;
    struct vz_error err;
    int r;

    set_up_process(&p, &locked, (struct net_nat_options){0});
    srandom(3);
    for (unsigned i = 0; i < 300; i++) {
        for (size_t n = 0; n < sizeof(q); n++)
            ((uint8_t *)&q)[n] = (uint8_t)random();
        q.op = i % 12 == NAT_OP_LOCK ? 99 : i % 12;
        q.number = i % 5;
        r = child_ask(&p.child, &q, i % 3 ? (size_t)random() % sizeof(q) + 1 : NAT_QUESTION_LEN(forward),
                      i % 7 ? -1 : STDERR_FILENO, NULL, 0, &err);
        ck_assert_msg(r != -EPIPE || p.child.pid, "question %u", i);
    }
    get_lease_there(&p);
    tear_down_process(&p);
}
END_TEST

/* What stands in for the process, and is the network's: it takes the socket for frames, and says that. */
static int impostor(struct nat_fixture *f, const void *message, size_t len)
{
    static struct child c;
    int pair[2], frames = -1;
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {(char[sizeof(struct nat_question)]){0}, sizeof(struct nat_question)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct child_answer yes = {.result = 1};
    struct net_nat_options o = {.child = &c};

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    c = (struct child){.socket = pair[0], .life = -1};
    if (fork() == 0) {
        ck_assert_int_gt(recvmsg(pair[1], &msg, 0), 0);
        memcpy(&frames, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(frames));
        ck_assert_int_eq(send(pair[1], &yes, sizeof(yes), 0), sizeof(yes));
        ck_assert_int_eq(send(frames, message, len, 0), (ssize_t)len);
        recv(pair[1], &yes.result, 0, 0); /* until the other end closes */
        _exit(0);
    }
    close(pair[1]);
    set_up(f, &o);
    for (unsigned i = 0; i < 2000 && !f->card->link_changes && !net_stats(f->n)->received_frames; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        turns(f->loop, 1);
    }
    close(c.socket);
    c.socket = -1;
    return f->card->link_changes ? f->card->err : 0;
}

START_TEST(a_process_that_says_nonsense_is_believed_nothing)
{
    static const struct {
        struct nat_message m;
        size_t len;
        int err;
    } said[] = {
        {{.kind = NAT_MESSAGE_FRAME}, 200, 0},
        {{.kind = 77}, 200, -EPIPE},
        {{.kind = NAT_MESSAGE_FRAME}, 3, -EPIPE},
        {{.kind = NAT_MESSAGE_NEWS}, 100, -EPIPE},
        {{.kind = NAT_MESSAGE_FRAME, .header = {.flags = 1, .csum_start = 65000, .csum_offset = 6}}, 200, -EPIPE},
        {{.kind = NAT_MESSAGE_FRAME, .header = {.gso_type = 77, .gso_size = 1}}, 200, -EPIPE},
        {{.kind = NAT_MESSAGE_FRAME, .header = {.gso_type = VIRTIO_NET_HDR_GSO_TCPV4}}, 200, -EPIPE},
        {{.kind = NAT_MESSAGE_FRAME, .header = {.hdr_len = 9999}}, 200, -EPIPE},
        {{.kind = NAT_MESSAGE_FRAME, .header = {.gso_type = VIRTIO_NET_HDR_GSO_ECN}}, 200, -EPIPE}};
    uint8_t message[300] = {0};
    struct nat_fixture f;

    memcpy(message, &said[_i].m, sizeof(said[_i].m));
    ck_assert_int_eq(impostor(&f, message, said[_i].len), said[_i].err);
    tear_down(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    TCase *nonsense = tcase_create("nonsense");

    UNIT_TEST(s, a_guest_gets_an_address);
    UNIT_TEST(s, a_guest_gets_an_address_without_namespaces);
    UNIT_TEST(s, a_user_has_it_too);
    UNIT_TEST(s, datagrams_go_to_the_host_and_back);
    UNIT_TEST(s, who_has_no_room_loses_nothing);
    UNIT_TEST(s, a_guest_that_is_faster_waits);
    UNIT_TEST(s, large_frames_are_cut_there);
    UNIT_TEST(s, ports_are_forwarded);
    UNIT_TEST(s, another_resolv_conf_is_read);
    UNIT_TEST(s, connections_are_known_to_a_restored_machine);
    UNIT_TEST(s, when_it_dies_there_is_no_carrier);
    UNIT_TEST(s, it_dies_with_who_started_it);
    UNIT_TEST(s, it_ends_though_a_fork_has_its_descriptors);
    UNIT_TEST(s, it_survives_nonsense);
    tcase_set_timeout(nonsense, 60);
    tcase_add_loop_test(nonsense, a_process_that_says_nonsense_is_believed_nothing, 0, 9);
    suite_add_tcase(s, nonsense);
}

UNIT_TEST_MAIN("net_nat_process", add_tests)
