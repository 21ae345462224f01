/* SPDX-License-Identifier: MIT */
#include "virtio/virtio_console.h"

#include <fcntl.h>
#include <linux/virtio_console.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/le.h"
#include "char/char.h"
#include "fake_virtio_driver.h"
#include "unit.h"

struct fixture {
    struct fv v;
    struct char_dev *line[2];
    int host[2][2]; /* ours, the line's */
    struct console_port_options port[2];
    struct console_options o;
    unsigned opens;
    bool open;
};

static void on_opened(void *arg, unsigned port, bool open)
{
    struct fixture *f = arg;

    ck_assert_uint_eq(port, 1);
    f->opens++;
    f->open = open;
}

/* The line needs the loop, which the machine makes: so it comes after the device. */
static void setup(struct fixture *f, bool multiport)
{
    struct virtio_ops ops = virtio_console_ops;
    static struct virtio_ops kept;

    memset(f, 0, sizeof(*f));
    f->port[0] = (struct console_port_options){.console = true};
    f->port[1] = (struct console_port_options){.name = "org.test.port"};
    f->o = (struct console_options){.port = f->port, .port_count = multiport ? 2 : 1,
                                    .multiport = multiport, .cols = 80, .rows = 25,
                                    .opened = on_opened, .opened_arg = f};
    ops.queues = console_queues(&f->o);
    kept = ops;
    fv_create(&f->v, &kept, &f->o);
    for (unsigned i = 0; i < f->o.port_count; i++) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, f->host[i]), 0);
        fcntl(f->host[i][0], F_SETFL, O_NONBLOCK);
        ck_assert_int_eq(
            char_fd_create(f->v.m.loop, f->host[i][1], f->host[i][1], &f->line[i], NULL), 0);
        console_set_line(f->v.dev, i, f->line[i]);
    }
}

static void teardown(struct fixture *f)
{
    bus_destroy(f->v.m.bus);
    for (unsigned i = 0; i < f->o.port_count; i++) {
        char_destroy(f->line[i]);
        close(f->host[i][0]);
        close(f->host[i][1]);
    }
    fake_loop_turn(f->v.m.loop);
    loop_destroy(f->v.m.loop);
    mem_destroy(f->v.mem);
}

static void expect(struct fixture *f, unsigned port, const char *text)
{
    char got[256] = "";
    size_t n = 0;

    for (unsigned i = 0; i < 20 && n < strlen(text); i++) {
        ssize_t r;

        fv_turn(&f->v);
        r = read(f->host[port][0], got + n, sizeof(got) - n);
        n += r > 0 ? (size_t)r : 0;
    }
    ck_assert_uint_eq(n, strlen(text));
    ck_assert_mem_eq(got, text, n);
}

START_TEST(bytes_go_both_ways)
{
    struct fixture f;
    struct fv_buf rx = {FV_DATA, 32, true}, tx[2] = {{FV_DATA + 64, 5, false},
                                                     {FV_DATA + 96, 6, false}};
    struct vring_used_elem e;

    setup(&f, false);
    fv_start(&f.v, 0, 8);
    memcpy(fv_at(&f.v, FV_DATA + 64), "hello", 5);
    memcpy(fv_at(&f.v, FV_DATA + 96), " world", 6);
    ck_assert_uint_eq(fv_request(&f.v, 1, tx, 2), 0);
    expect(&f, 0, "hello world");
    ck_assert_int_eq(write(f.host[0][0], "typed", 5), 5);
    fv_turn(&f.v);
    ck_assert(!fv_used(&f.v, 0, &e)); /* no room yet: it waits */
    fv_add(&f.v, 0, &rx, 1);
    fv_kick(&f.v, 0);
    ck_assert(fv_used(&f.v, 0, &e));
    ck_assert_uint_eq(e.len, 5);
    ck_assert_mem_eq(fv_at(&f.v, FV_DATA), "typed", 5);
    teardown(&f);
}
END_TEST

START_TEST(a_slow_host_loses_nothing)
{
    struct fixture f;
    struct fv_buf tx = {FV_DATA, 50000, false};
    uint64_t got = 0, sent = 0;
    struct vring_used_elem e;
    static uint8_t buf[4096];

    setup(&f, false);
    fv_start(&f.v, 0, 8);
    for (unsigned i = 0; i < 50000; i++)
        ((uint8_t *)fv_at(&f.v, FV_DATA))[i] = (uint8_t)(i % 251);
    for (unsigned i = 0; i < 8; i++, sent += 50000)
        fv_add(&f.v, 1, &tx, 1);
    fv_kick(&f.v, 1);
    for (unsigned idle = 0; idle < 100;) {
        ssize_t n = read(f.host[0][0], buf, sizeof(buf));

        for (ssize_t i = 0; i < n; i++)
            ck_assert_uint_eq(buf[i], (got + (uint64_t)i) % 50000 % 251);
        got += n > 0 ? (uint64_t)n : 0;
        idle = n > 0 ? 0 : idle + 1;
        fake_loop_turn(f.v.m.loop);
    }
    ck_assert_uint_eq(got, sent);
    for (unsigned i = 0; i < 8; i++)
        ck_assert(fv_used(&f.v, 1, &e));
    teardown(&f);
}
END_TEST

static void control(struct fixture *f, uint32_t id, uint16_t event, uint16_t value)
{
    struct virtio_console_control m = {.id = id, .event = event, .value = value};
    uint64_t at = FV_DATA + 0x1000;
    struct fv_buf buf = {at, sizeof(m), false};

    memcpy(fv_at(&f->v, at), &m, sizeof(m));
    fv_request(&f->v, 3, &buf, 1);
}

static void expect_control(struct fixture *f, uint32_t id, uint16_t event, uint16_t value,
                           uint32_t len)
{
    struct vring_used_elem e;
    struct virtio_console_control m;

    ck_assert(fv_used(&f->v, 2, &e));
    memcpy(&m, fv_at(&f->v, FV_DATA + 0x2000 + e.id * 64), sizeof(m));
    ck_assert_uint_eq(m.id, id);
    ck_assert_uint_eq(m.event, event);
    ck_assert_uint_eq(m.value, value);
    ck_assert_uint_eq(e.len, len);
}

START_TEST(ports_are_announced_and_opened)
{
    struct fixture f;

    setup(&f, true);
    ck_assert_uint_eq(fake_read(&f.v.m, FV_CONFIG, 8), 80 | 25 << 16 | UINT64_C(2) << 32);
    fv_start(&f.v, BIT(VIRTIO_CONSOLE_F_MULTIPORT), 16);
    for (unsigned i = 0; i < 12; i++) {
        struct fv_buf buf = {FV_DATA + 0x2000 + i * 64, 64, true};

        fv_add(&f.v, 2, &buf, 1);
    }
    fv_kick(&f.v, 2);
    control(&f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    expect_control(&f, 0, VIRTIO_CONSOLE_PORT_ADD, 1, 8);
    expect_control(&f, 1, VIRTIO_CONSOLE_PORT_ADD, 1, 8);
    control(&f, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    expect_control(&f, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1, 8);
    expect_control(&f, 0, VIRTIO_CONSOLE_RESIZE, 1, 12);
    expect_control(&f, 0, VIRTIO_CONSOLE_PORT_OPEN, 1, 8);
    control(&f, 1, VIRTIO_CONSOLE_PORT_READY, 1);
    expect_control(&f, 1, VIRTIO_CONSOLE_PORT_NAME, 1, 8 + 13);
    expect_control(&f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1, 8);
    control(&f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    ck_assert_uint_eq(f.opens, 1);
    ck_assert(f.open && console_is_open(f.v.dev, 1));
    control(&f, 77, VIRTIO_CONSOLE_PORT_OPEN, 1); /* no such port */
    console_resize(f.v.dev, 0, 132, 50);
    fv_turn(&f.v);
    expect_control(&f, 0, VIRTIO_CONSOLE_RESIZE, 1, 12);
    fv_wr(&f.v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    fv_turn(&f.v);
    ck_assert(!f.open);
    teardown(&f);
}
END_TEST

START_TEST(a_hostile_driver_breaks_only_its_device)
{
    struct fixture f;

    setup(&f, true);
    f.o.opened = NULL;
    fv_hostile(&f.v, BIT(VIRTIO_CONSOLE_F_MULTIPORT) | BIT(VIRTIO_RING_F_INDIRECT_DESC));
    teardown(&f);
}
END_TEST

START_TEST(state_survives)
{
    struct fixture f, g;

    setup(&f, true);
    setup(&g, true);
    fv_start(&f.v, BIT(VIRTIO_CONSOLE_F_MULTIPORT), 16);
    control(&f, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    control(&f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    fv_move(&f.v, &g.v);
    fv_turn(&g.v);
    ck_assert(console_is_open(g.v.dev, 1));
    teardown(&f);
    teardown(&g);
}
END_TEST

START_TEST(peers_of_a_unix_socket_come_and_go)
{
    struct fixture f;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct char_dev *line;
    char path[64], got[8];
    int fd;

    setup(&f, false);
    snprintf(path, sizeof(path), "/tmp/vz-console-test-%d", getpid());
    ck_assert_int_eq(char_unix_create(f.v.m.loop, path, &line, NULL), 0);
    ck_assert_str_eq(char_path(line), path);
    ck_assert(!char_is_open(line));
    strcpy(addr.sun_path, path);
    for (unsigned i = 0; i < 3; i++) {
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
        fv_turn(&f.v);
        ck_assert(char_is_open(line));
        ck_assert_uint_eq(char_write(line, "hi", 2), 2);
        fv_turn(&f.v);
        ck_assert_int_eq(read(fd, got, sizeof(got)), 2);
        close(fd);
        fv_turn(&f.v);
    }
    char_destroy(line);
    ck_assert_int_ne(access(path, F_OK), 0);
    teardown(&f);
}
END_TEST

START_TEST(a_pseudo_terminal_has_a_name)
{
    struct fixture f;
    struct char_dev *line;
    char got[8];
    int fd;

    setup(&f, false);
    ck_assert_int_eq(char_pty_create(f.v.m.loop, &line, NULL), 0);
    fd = open(char_path(line), O_RDWR | O_NOCTTY);
    ck_assert_int_ge(fd, 0);
    ck_assert_uint_eq(char_write(line, "a\nb", 3), 3);
    fv_turn(&f.v);
    ck_assert_int_eq(read(fd, got, sizeof(got)), 3);
    ck_assert_mem_eq(got, "a\nb", 3);
    close(fd);
    char_destroy(line);
    teardown(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, bytes_go_both_ways);
    UNIT_TEST(s, a_slow_host_loses_nothing);
    UNIT_TEST(s, ports_are_announced_and_opened);
    UNIT_TEST(s, a_hostile_driver_breaks_only_its_device);
    UNIT_TEST(s, state_survives);
    UNIT_TEST(s, peers_of_a_unix_socket_come_and_go);
    UNIT_TEST(s, a_pseudo_terminal_has_a_name);
}

UNIT_TEST_MAIN("virtio-console", add_tests)
