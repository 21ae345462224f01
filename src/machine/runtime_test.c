/* SPDX-License-Identifier: MIT */
/* The devices of machines from outside, without a guest that drives them (the fake backend). What
 * Linux does with them is tested in tests/boot. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vz/vz.h>

#include "entries.h"
#include "machine/machine_fixture.h"
#include "machine/machine_impl.h"

static const struct fake_op waiting[] = {{FAKE_WAIT}};

struct machine {
    struct file kernel;
    struct vz_config *config;
    struct vz_machine *m;
};

static void begin(struct machine *t)
{
    t->kernel = write_kernel(waiting, 1);
    t->config = make_config(t->kernel.path, 2, false);
    vz_config_set_memory_size(t->config, 128 << 20);
}

static void make_machine(struct machine *t)
{
    struct vz_error err = {0};

    t->m = vz_machine_new(t->config, NULL, &err);
    ck_assert_msg(t->m != NULL, "%s", err.text);
}

static void end(struct machine *t)
{
    vz_machine_free(t->m);
    vz_config_unref(t->config);
    unlink(t->kernel.path);
}

static void start(struct machine *t)
{
    struct vz_error err = {0};

    ck_assert_msg(vz_machine_start_wait(t->m, &err) == 0, "%s", err.text);
}

/* ---- Balloon -------------------------------------------------------------------------------- */

static void add_balloon(struct machine *t, uint64_t target, uint64_t minimum)
{
    struct vz_virtio_balloon_options o = VZ_VIRTIO_BALLOON_OPTIONS_INIT;
    struct vz_balloon_device *b;

    o.target_size = target;
    o.minimum_size = minimum;
    b = vz_virtio_balloon_device_new(&o, NULL);
    vz_config_add_balloon_device(t->config, b, NULL);
    vz_balloon_device_unref(b);
}

static struct vz_memory_state memory(struct machine *t)
{
    struct vz_memory_state s = VZ_MEMORY_STATE_INIT;

    ck_assert_int_eq(vz_machine_memory_state(t->m, &s, NULL), 0);
    return s;
}

START_TEST(memory_target_is_rounded_clamped_and_kept)
{
    struct machine t;

    begin(&t);
    add_balloon(&t, (100 << 20) + 5, 40 << 20);
    make_machine(&t);
    ck_assert_uint_eq(memory(&t).target, 100 << 20);
    ck_assert_int_eq(vz_machine_set_memory_target(t.m, 0, NULL), 0);
    ck_assert_uint_eq(memory(&t).target, 40 << 20);
    start(&t);
    ck_assert_uint_eq(memory(&t).target, 40 << 20);
    ck_assert_int_eq(vz_machine_set_memory_target(t.m, (64 << 20) - 1, NULL), 0);
    ck_assert_uint_eq(memory(&t).target, 63 << 20);
    ck_assert_uint_eq(memory(&t).actual, 128 << 20); /* no driver follows */
    ck_assert_int_eq(vz_machine_pause_wait(t.m, NULL), 0);
    ck_assert_int_eq(vz_machine_set_memory_target(t.m, UINT64_MAX, NULL), 0);
    ck_assert_uint_eq(memory(&t).target, 128 << 20);
    ck_assert_int_eq(vz_machine_set_memory_target(t.m, 50 << 20, NULL), 0);
    ck_assert_int_eq(vz_machine_stop_wait(t.m, NULL), 0);
    ck_assert_uint_eq(memory(&t).target, 50 << 20);
    end(&t);
}
END_TEST

/* ---- Sockets -------------------------------------------------------------------------------- */

static void add_sockets(struct machine *t, const struct vz_socket_forward *forwards, unsigned count)
{
    struct vz_virtio_socket_options o = VZ_VIRTIO_SOCKET_OPTIONS_INIT;
    struct vz_socket_device *d;

    o.forwards = forwards;
    o.forward_count = count;
    d = vz_virtio_socket_device_new(&o, NULL);
    vz_config_add_socket_device(t->config, d, NULL);
    vz_socket_device_unref(d);
}

static bool on_accept(void *arg, struct vz_machine *m, struct vz_socket_connection *c)
{
    return false;
}

struct seen {
    pthread_mutex_t lock;
    unsigned count;
    enum vz_error_code code;
};

static void on_connected(void *arg, struct vz_machine *m, struct vz_socket_connection *c,
                         const struct vz_error *err)
{
    struct seen *seen = arg;

    pthread_mutex_lock(&seen->lock);
    ck_assert_ptr_null(c);
    seen->count++;
    seen->code = err->code;
    pthread_mutex_unlock(&seen->lock);
}

START_TEST(sockets_without_a_guest)
{
    struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct vz_error err = {0};
    struct machine t;

    begin(&t);
    add_sockets(&t, &(struct vz_socket_forward){sizeof(struct vz_socket_forward), false, 9, "/nonexistent/socket"}, 1);
    make_machine(&t);
    ck_assert_int_eq(vz_machine_socket_listen(t.m, 9, on_accept, NULL, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    ck_assert_int_eq(vz_machine_socket_listen(t.m, UINT32_MAX, on_accept, NULL, &err), -1);
    for (unsigned run = 0; run < 2; run++) {
        ck_assert_ptr_null(vz_machine_socket_connect_wait(t.m, 1, &err));
        ck_assert_int_eq(err.code, VZ_ERROR_INVALID_STATE); /* stopped */
        ck_assert_int_eq(vz_machine_socket_listen(t.m, 10, on_accept, NULL, &err), 0);
        ck_assert_int_eq(vz_machine_socket_listen(t.m, 11, on_accept, NULL, &err), 0);
        vz_machine_socket_unlisten(t.m, 11);
        start(&t);
        ck_assert_int_eq(vz_machine_socket_listen(t.m, 10, on_accept, &t, &err), 0);
        ck_assert_int_eq(vz_machine_socket_listen(t.m, 12, on_accept, NULL, &err), 0);
        vz_machine_socket_unlisten(t.m, 10);
        vz_machine_socket_unlisten(t.m, 10);
        ck_assert_ptr_null(vz_machine_socket_connect_wait(t.m, 1, &err));
        ck_assert_int_eq(err.code, VZ_ERROR_INVALID_STATE); /* no driver */
        ck_assert_int_eq(vz_machine_stop_wait(t.m, NULL), 0);
    }
    ck_assert_int_eq(vz_machine_socket_connect(t.m, 1, on_connected, &seen), 0);
    end(&t); /* delivers */
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_int_eq(seen.code, VZ_ERROR_INVALID_STATE);
}
END_TEST

/* Who connects while the guest has no driver is turned away; the socket goes with the machine. */
START_TEST(forwards_have_their_socket_while_it_runs)
{
    char folder[] = "/tmp/vz-runtime-test.XXXXXX";
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct machine t;
    char byte;
    int fd;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(a.sun_path, sizeof(a.sun_path), "%s/socket", folder);
    begin(&t);
    add_sockets(&t, &(struct vz_socket_forward){sizeof(struct vz_socket_forward), true, 22, a.sun_path}, 1);
    make_machine(&t);
    for (unsigned run = 0; run < 2; run++) {
        ck_assert_int_eq(access(a.sun_path, F_OK), -1);
        start(&t);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        ck_assert_int_le(read(fd, &byte, 1), 0);
        close(fd);
        ck_assert_int_eq(vz_machine_stop_wait(t.m, NULL), 0);
    }
    ck_assert_int_eq(access(a.sun_path, F_OK), -1);
    end(&t);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

/* ---- Attachments ---------------------------------------------------------------------------- */

/* Writes to COM1 for ever. */
static const struct fake_op talking[] = {{FAKE_PORT_WRITE, 1, 0x3f8, 'x'},
                                         {FAKE_JUMP, 0, LOAD_ADDR, 0}};

static void wait_for_byte(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte = 0;

    ck_assert_int_eq(poll(&p, 1, 30000), 1);
    ck_assert_int_eq(read(fd, &byte, 1), 1);
    ck_assert_int_eq(byte, 'x');
}

static void drain(int fd)
{
    char bytes[4096];

    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
}

START_TEST(a_serial_port_leads_elsewhere)
{
    int pair[3][2];
    struct vz_serial_attachment *a[3];
    struct vz_serial_port *port;
    struct vz_error err = {0};
    struct machine t;

    t.kernel = write_kernel(talking, 2);
    t.config = make_config(t.kernel.path, 1, false);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair[i]), 0);
        a[i] = vz_fd_serial_attachment_new(pair[i][0], pair[i][0], NULL);
    }
    port = vz_uart_serial_port_new(a[0], NULL);
    vz_config_add_serial_port(t.config, port, NULL);
    vz_serial_port_unref(port);
    make_machine(&t);
    ck_assert_int_eq(vz_machine_set_serial_attachment(t.m, 0, a[1], &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID_STATE);
    start(&t);
    wait_for_byte(pair[0][1]);
    for (unsigned i = 1; i < 20; i++) {
        ck_assert_msg(!vz_machine_set_serial_attachment(t.m, 0, a[i % 3], &err), "%s", err.text);
        wait_for_byte(pair[i % 3][1]);
        drain(pair[i % 3][1]);
    }
    ck_assert_int_eq(vz_machine_set_serial_attachment(t.m, 0, NULL, &err), 0);
    ck_assert_int_eq(vz_machine_pause_wait(t.m, NULL), 0);
    ck_assert_int_eq(vz_machine_set_serial_attachment(t.m, 0, a[2], &err), 0);
    drain(pair[2][1]);
    ck_assert_int_eq(vz_machine_resume_wait(t.m, NULL), 0);
    wait_for_byte(pair[2][1]);
    ck_assert_int_eq(vz_machine_set_serial_attachment(t.m, 1, a[0], &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_NOT_FOUND);
    ck_assert_int_eq(vz_machine_set_console_port_attachment(t.m, 0, 0, a[0], &err), -1);
    ck_assert_int_eq(vz_machine_set_serial_window(t.m, 0, 80, 25, &err), 0);
    end(&t);
    for (unsigned i = 0; i < 3; i++) {
        vz_serial_attachment_unref(a[i]);
        close(pair[i][0]);
        close(pair[i][1]);
    }
}
END_TEST

struct heard {
    int fd;
    struct vz_machine *m;
    bool sent; /* from inside */
};

static void on_output(void *arg, const void *data, size_t len)
{
    struct heard *h = arg;
    size_t taken = 0;

    /* Not what comes while the line is taken away: then it leads here no more. */
    h->sent |= vz_machine_serial_send(h->m, 0, "in", 2, &taken, NULL) == 0;
    if (write(h->fd, data, 1) < 0)
        ck_assert_int_eq(errno, EAGAIN); /* it writes for ever, and we read one */
}

START_TEST(a_serial_port_leads_to_the_program)
{
    struct heard h;
    int end_of[2];
    struct vz_serial_attachment *a;
    struct vz_serial_port *port;
    struct vz_error err = {0};
    struct machine t;
    size_t taken = 7;

    ck_assert_int_eq(pipe2(end_of, O_CLOEXEC | O_NONBLOCK), 0);
    h = (struct heard){.fd = end_of[1]};
    t.kernel = write_kernel(talking, 2);
    t.config = make_config(t.kernel.path, 1, false);
    ck_assert_ptr_null(vz_callback_serial_attachment_new(NULL, NULL, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    a = vz_callback_serial_attachment_new(on_output, &h, &err);
    port = vz_uart_serial_port_new(a, NULL);
    vz_config_add_serial_port(t.config, port, NULL);
    vz_serial_port_unref(port);
    make_machine(&t);
    h.m = t.m;
    ck_assert_int_eq(vz_machine_serial_send(t.m, 0, "a", 1, &taken, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID_STATE);
    start(&t);
    wait_for_byte(end_of[0]);
    ck_assert_msg(!vz_machine_serial_send(t.m, 0, "abc", 3, &taken, &err), "%s", err.text);
    ck_assert_uint_eq(taken, 3);
    ck_assert_int_eq(vz_machine_serial_send(t.m, 1, "a", 1, &taken, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_NOT_FOUND);
    ck_assert_int_eq(vz_machine_set_serial_attachment(t.m, 0, NULL, &err), 0);
    ck_assert(h.sent);
    ck_assert_int_eq(vz_machine_serial_send(t.m, 0, "a", 1, &taken, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_UNSUPPORTED);
    end(&t);
    vz_serial_attachment_unref(a);
    close(end_of[0]);
    close(end_of[1]);
}
END_TEST

struct lost {
    pthread_mutex_t lock;
    unsigned count;
};

static void on_lost(void *arg, struct vz_machine *m, unsigned device, const struct vz_error *err)
{
    struct lost *lost = arg;

    ck_assert_uint_eq(device, 0);
    ck_assert_int_eq(err->code, VZ_ERROR_NETWORK);
    ck_assert_ptr_null(vz_machine_network_attachment(m, 0));
    pthread_mutex_lock(&lost->lock);
    lost->count++;
    pthread_mutex_unlock(&lost->lock);
}

static unsigned count_of(struct lost *lost)
{
    unsigned count;

    pthread_mutex_lock(&lost->lock);
    count = lost->count;
    pthread_mutex_unlock(&lost->lock);
    return count;
}

static bool is_attached(struct machine *t, struct vz_network_attachment *a)
{
    struct vz_network_attachment *now = vz_machine_network_attachment(t->m, 0);
    bool is = now == a;

    vz_network_attachment_unref(now);
    return is;
}

/* A port of 127.0.0.1 that nobody has at this moment. */
static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(a);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static bool listens(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

    close(fd);
    return is;
}

/* The NAT stays the same one, and a change that cannot be made leaves all as it was. */
START_TEST(forwards_of_a_nat_come_and_go)
{
    struct vz_port_forward f[2] = {VZ_PORT_FORWARD_INIT, VZ_PORT_FORWARD_INIT};
    struct vz_network_attachment *nat = vz_nat_network_attachment_new(NULL, NULL), *one, *two, *other, *bad;
    struct vz_network_device *card = vz_virtio_network_device_new(nat, NULL, NULL);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct vz_error err = {0};
    socklen_t len = sizeof(a);
    struct machine t;

    ck_assert(!bind(taken, (struct sockaddr *)&a, sizeof(a)) && !listen(taken, 1) &&
              !getsockname(taken, (struct sockaddr *)&a, &len));
    f[0].host_port = free_port();
    f[1].host_port = free_port();
    f[0].guest_port = f[1].guest_port = 80;
    one = vz_nat_attachment_with_forwards(nat, f, 1, &err);
    two = vz_nat_attachment_with_forwards(one, f, 2, &err);
    other = vz_nat_attachment_with_forwards(one, f + 1, 1, &err);
    f[0].host_port = ntohs(a.sin_port);
    bad = vz_nat_attachment_with_forwards(one, f, 2, &err);
    ck_assert(one && two && other && bad);
    ck_assert_ptr_null(vz_nat_attachment_with_forwards(NULL, f, 2, &err));
    f[0].host_port = vz_nat_attachment_forward(one, 0)->host_port;
    begin(&t);
    vz_config_add_network_device(t.config, card, NULL);
    vz_network_device_unref(card);
    t.m = vz_machine_new(t.config, NULL, NULL);
    start(&t);
    ck_assert(!listens(f[0].host_port));
    ck_assert_msg(!vz_machine_set_network_attachment(t.m, 0, one, &err), "%s", err.text);
    ck_assert(is_attached(&t, one) && listens(f[0].host_port) && !listens(f[1].host_port));
    ck_assert_int_eq(vz_machine_set_network_attachment(t.m, 0, two, &err), 0);
    ck_assert(listens(f[0].host_port) && listens(f[1].host_port));
    ck_assert_int_eq(vz_machine_set_network_attachment(t.m, 0, bad, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_IO);
    ck_assert(is_attached(&t, two) && listens(f[0].host_port) && listens(f[1].host_port));
    ck_assert_int_eq(vz_machine_set_network_attachment(t.m, 0, other, &err), 0);
    ck_assert(!listens(f[0].host_port) && listens(f[1].host_port));
    ck_assert_int_eq(vz_machine_set_network_attachment(t.m, 0, nat, &err), 0);
    ck_assert(!listens(f[0].host_port) && !listens(f[1].host_port));
    end(&t);
    close(taken);
    vz_network_attachment_unref(nat);
    vz_network_attachment_unref(one);
    vz_network_attachment_unref(two);
    vz_network_attachment_unref(other);
    vz_network_attachment_unref(bad);
}
END_TEST

START_TEST(a_network_is_replaced_and_lost)
{
    struct lost lost = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct vz_machine_delegate delegate = VZ_MACHINE_DELEGATE_INIT;
    struct vz_machine_options o = VZ_MACHINE_OPTIONS_INIT;
    struct vz_guest_address address = VZ_GUEST_ADDRESS_INIT;
    struct vz_network_attachment *nat = vz_nat_network_attachment_new(NULL, NULL), *fd, *tap;
    struct vz_network_device *card = vz_virtio_network_device_new(nat, NULL, NULL);
    struct vz_error err = {0};
    struct machine t;
    int pair[2];

    begin(&t);
    vz_config_add_network_device(t.config, card, NULL);
    vz_network_device_unref(card);
    delegate.network_disconnected = on_lost;
    o.delegate = &delegate;
    o.delegate_arg = &lost;
    t.m = vz_machine_new(t.config, &o, NULL);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    fd = vz_fd_network_attachment_new(pair[0], NULL, NULL);
    tap = vz_tap_network_attachment_new("no/name", NULL);
    start(&t);
    ck_assert(is_attached(&t, nat));
    ck_assert_int_eq(vz_machine_guest_address(t.m, 0, &address, &err), 0);
    ck_assert_str_eq(address.ipv4, "");
    ck_assert_int_eq(vz_machine_set_network_attachment(t.m, 0, nat, &err), 0); /* once more */
    ck_assert_int_eq(vz_machine_set_network_attachment(t.m, 0, tap, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    ck_assert(is_attached(&t, nat));
    ck_assert_int_eq(vz_machine_set_network_attachment(t.m, 0, NULL, &err), 0);
    ck_assert(is_attached(&t, NULL));
    ck_assert_int_eq(vz_machine_guest_address(t.m, 0, &address, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_UNSUPPORTED);
    ck_assert_int_eq(vz_machine_set_network_attachment(t.m, 1, fd, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_NOT_FOUND);
    ck_assert_msg(!vz_machine_set_network_attachment(t.m, 0, fd, &err), "%s", err.text);
    ck_assert(is_attached(&t, fd));
    close(pair[1]); /* the peer hangs up */
    while (!count_of(&lost))
        usleep(1000);
    ck_assert(is_attached(&t, NULL));
    ck_assert_int_eq(vz_machine_set_network_attachment(t.m, 0, nat, &err), 0);
    ck_assert(is_attached(&t, nat));
    end(&t);
    ck_assert_uint_eq(lost.count, 1);
    vz_network_attachment_unref(nat);
    vz_network_attachment_unref(fd);
    vz_network_attachment_unref(tap);
    close(pair[0]);
}
END_TEST

START_TEST(a_share_is_replaced)
{
    struct vz_directory_share *tmp = vz_single_directory_share_new("/tmp", true, NULL);
    struct vz_directory_share *gone = vz_single_directory_share_new("/nonexistent", true, NULL);
    struct vz_directory_sharing_device *d = vz_virtio_file_system_device_new("tag", tmp, NULL, NULL);
    struct vz_error err = {0};
    struct machine t;

    begin(&t);
    ck_assert_int_eq(vz_config_add_directory_sharing_device(t.config, d, NULL), 0);
    make_machine(&t);
    ck_assert_int_eq(vz_machine_set_directory_share(t.m, 0, tmp, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID_STATE);
    start(&t);
    ck_assert_msg(!vz_machine_set_directory_share(t.m, 0, tmp, &err), "%s", err.text);
    ck_assert_int_eq(vz_machine_set_directory_share(t.m, 0, gone, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_IO);
    ck_assert_int_eq(vz_machine_set_directory_share(t.m, 0, NULL, &err), 0);
    ck_assert_int_eq(vz_machine_set_directory_share(t.m, 1, tmp, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_NOT_FOUND);
    end(&t);
    vz_directory_sharing_device_unref(d);
    vz_directory_share_unref(tmp);
    vz_directory_share_unref(gone);
}
END_TEST

START_TEST(devices_that_are_not_there_are_not_found)
{
    struct vz_memory_state state = VZ_MEMORY_STATE_INIT;
    struct vz_error err = {0};
    struct machine t;

    begin(&t);
    make_machine(&t);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(vz_machine_set_memory_target(t.m, 0, &err), -1);
        ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_NOT_FOUND);
        ck_assert_int_eq(vz_machine_memory_state(t.m, &state, &err), -1);
        ck_assert_int_eq(vz_machine_socket_listen(t.m, 1, on_accept, NULL, &err), -1);
        ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_NOT_FOUND);
        ck_assert_ptr_null(vz_machine_socket_connect_wait(t.m, 1, &err));
        ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_NOT_FOUND);
        vz_machine_socket_unlisten(t.m, 1);
        if (!i)
            start(&t);
    }
    end(&t);
}
END_TEST

/* ---- Ends ----------------------------------------------------------------------------------- */

static void add_rng(struct machine *t)
{
    struct vz_entropy_device *e = vz_virtio_entropy_device_new(NULL, NULL);

    vz_config_add_entropy_device(t->config, e, NULL);
    vz_entropy_device_unref(e);
}

/* Every kind of device. */
static void add_everything(struct machine *t, const char *disk, const char *socket_path)
{
    const struct vz_socket_forward forward = {sizeof(forward), true, 22, socket_path};
    struct vz_serial_attachment *pty = vz_pty_serial_attachment_new(NULL);
    struct vz_serial_port *com1 = vz_uart_serial_port_new(NULL, NULL);
    struct vz_serial_port *hvc0 = vz_virtio_serial_port_new(pty, NULL);
    struct vz_storage_attachment *image = vz_disk_image_attachment_new(disk, NULL, NULL);
    struct vz_storage_device *block = vz_virtio_block_device_new(image, NULL, NULL);
    struct vz_network_attachment *nat = vz_nat_network_attachment_new(NULL, NULL);
    struct vz_network_device *card = vz_virtio_network_device_new(nat, NULL, NULL);

    vz_config_add_serial_port(t->config, com1, NULL);
    vz_config_add_serial_port(t->config, hvc0, NULL);
    vz_config_add_storage_device(t->config, block, NULL);
    vz_config_add_network_device(t->config, card, NULL);
    add_rng(t);
    add_balloon(t, 0, 0);
    add_sockets(t, &forward, 1);
    vz_serial_attachment_unref(pty);
    vz_serial_port_unref(com1);
    vz_serial_port_unref(hvc0);
    vz_storage_attachment_unref(image);
    vz_storage_device_unref(block);
    vz_network_attachment_unref(nat);
    vz_network_device_unref(card);
}

struct place {
    char folder[40], disk[64], socket[64];
};

static void make_disk(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
    close(fd);
}

static void make_place(struct place *p)
{
    strcpy(p->folder, "/tmp/vz-runtime-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(p->folder));
    snprintf(p->disk, sizeof(p->disk), "%s/disk", p->folder);
    snprintf(p->socket, sizeof(p->socket), "%s/socket", p->folder);
    make_disk(p->disk);
}

static void remove_place(struct place *p)
{
    unlink(p->disk);
    ck_assert_int_eq(rmdir(p->folder), 0);
}

static void live_once(struct place *p, unsigned i)
{
    struct vz_error err = {0};
    struct machine t;

    begin(&t);
    add_everything(&t, p->disk, p->socket);
    make_machine(&t);
    if (i % 3)
        start(&t);
    if (i % 3 == 2) {
        ck_assert_int_eq(vz_machine_socket_listen(t.m, 7, on_accept, NULL, &err), 0);
        ck_assert_int_eq(vz_machine_set_network_attachment(t.m, 0, NULL, &err), 0);
        ck_assert_int_eq(vz_machine_set_serial_attachment(t.m, 1, NULL, &err), 0);
        ck_assert_int_eq(vz_machine_pause_wait(t.m, NULL), 0);
    }
    end(&t); /* stopped, running or paused */
}

START_TEST(nothing_leaks_with_every_device)
{
    unsigned fds, threads;
    struct place p;
    uint64_t bytes;

    make_place(&p);
    for (unsigned i = 0; i < 9; i++)
        live_once(&p, i);
    fds = count_fds();
    threads = count_threads();
    bytes = mallinfo2().uordblks;
    for (unsigned i = 0; i < 200; i++)
        live_once(&p, i);
    ck_assert_uint_eq(count_fds(), fds);
    ck_assert_uint_eq(count_threads(), threads);
    if (!VZ_SANITIZED) /* whose leak checker sees more */
        ck_assert_uint_le(mallinfo2().uordblks, bytes + 200 * 16);
    remove_place(&p);
}
END_TEST

START_TEST(two_machines_with_every_device)
{
    struct place p[2];
    struct machine t[2];

    for (unsigned i = 0; i < 2; i++) {
        make_place(&p[i]);
        begin(&t[i]);
        add_everything(&t[i], p[i].disk, p[i].socket);
        make_machine(&t[i]);
        start(&t[i]);
    }
    ck_assert_int_eq(vz_machine_set_memory_target(t[0].m, 64 << 20, NULL), 0);
    ck_assert_uint_eq(memory(&t[1]).target, 128 << 20);
    ck_assert_int_eq(vz_machine_stop_wait(t[0].m, NULL), 0);
    ck_assert_int_eq(access(p[0].socket, F_OK), -1);
    ck_assert_int_eq(access(p[1].socket, F_OK), 0);
    ck_assert_int_eq(vz_machine_get_state(t[1].m), VZ_STATE_RUNNING);
    for (unsigned i = 0; i < 2; i++) {
        end(&t[i]);
        remove_place(&p[i]);
    }
}
END_TEST

/* ---- USB ------------------------------------------------------------------------------------ */

static struct vz_storage_device *usb_disk(const char *path, const char *uuid)
{
    struct vz_usb_storage_options o = VZ_USB_STORAGE_OPTIONS_INIT;
    struct vz_storage_attachment *a = vz_disk_image_attachment_new(path, NULL, NULL);
    struct vz_storage_device *d;

    o.uuid = uuid;
    d = vz_usb_mass_storage_device_new(a, &o, NULL);
    vz_storage_attachment_unref(a);
    return d;
}

static void add_usb_controller(struct machine *t)
{
    struct vz_usb_controller *c = vz_xhci_controller_new(NULL, NULL);

    vz_config_add_usb_controller(t->config, c, NULL);
    vz_usb_controller_unref(c);
}

#define UUID "12345678-9abc-4def-8012-3456789abcde"

struct usb_seen {
    unsigned count;
    struct vz_usb_device_info last;
};

static void see(void *arg, const struct vz_usb_device_info *info)
{
    struct usb_seen *s = arg;

    s->count++;
    s->last = *info;
}

static struct usb_seen look(struct machine *t)
{
    struct usb_seen s = {.count = 0};

    ck_assert_int_eq(vz_machine_usb_devices(t->m, see, &s, NULL), 0);
    return s;
}

static void expect_code(struct machine *t, struct vz_storage_device *d, enum vz_error_code code)
{
    struct vz_error err = {0};

    ck_assert_int_eq(vz_machine_attach_usb_device_wait(t->m, d, &err), -1);
    ck_assert_msg(err.code == code, "%d: %s", err.code, err.text);
}

START_TEST(usb_disks_come_and_go)
{
    struct vz_disk_stats stats = VZ_DISK_STATS_INIT;
    struct vz_storage_device *d, *other;
    struct vz_error err = {0};
    struct machine t;
    struct place p;
    struct usb_seen s;
    uint64_t size;

    make_place(&p);
    begin(&t);
    add_usb_controller(&t);
    make_machine(&t);
    d = usb_disk(p.disk, UUID);
    other = usb_disk(p.disk, NULL);
    expect_code(&t, d, VZ_ERROR_INVALID_STATE);
    for (unsigned i = 0; i < 3; i++) {
        start(&t);
        ck_assert_uint_eq(look(&t).count, 0);
        ck_assert_msg(vz_machine_attach_usb_device_wait(t.m, d, &err) == 0, "%s", err.text);
        s = look(&t);
        ck_assert_uint_eq(s.count, 1);
        ck_assert_str_eq(s.last.uuid, UUID);
        ck_assert(s.last.attached && s.last.kind == VZ_USB_DISK);
        ck_assert_int_eq(vz_machine_disk_size(t.m, s.last.storage_device, &size, NULL), 0);
        ck_assert_uint_eq(size, 1 << 20);
        ck_assert_int_eq(vz_machine_disk_stats(t.m, s.last.storage_device, &stats, NULL), 0);
        expect_code(&t, d, VZ_ERROR_DEVICE_ALREADY_ATTACHED);
        expect_code(&t, other, VZ_ERROR_INVALID); /* the image is locked */
        ck_assert_uint_eq(look(&t).count, 1);
        if (i == 1) /* or it is still there when the machine stops */
            ck_assert_int_eq(vz_machine_pause_wait(t.m, NULL), 0);
        if (i) {
            ck_assert_msg(vz_machine_detach_usb_device_wait(t.m, UUID, &err) == 0, "%s", err.text);
            ck_assert_int_eq(vz_machine_detach_usb_device_wait(t.m, UUID, &err), -1);
            ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_NOT_FOUND);
            ck_assert_uint_eq(look(&t).count, 0);
            ck_assert_int_eq(vz_machine_disk_size(t.m, s.last.storage_device, &size, &err), -1);
            ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_NOT_FOUND);
            ck_assert_int_eq(vz_machine_attach_usb_device_wait(t.m, other, NULL), 0); /* the lock is gone */
            s = look(&t);
            ck_assert_uint_eq(strlen(s.last.uuid), 36);
            ck_assert_str_ne(s.last.uuid, UUID);
        }
        ck_assert_int_eq(vz_machine_stop_wait(t.m, NULL), 0);
    }
    vz_storage_device_unref(d);
    vz_storage_device_unref(other);
    end(&t);
    remove_place(&p);
}
END_TEST

START_TEST(usb_needs_a_controller_and_a_port)
{
    struct vz_storage_device *d[VZ_USB_DEVICES_MAX + 1];
    struct machine t, none;
    struct place p;
    char path[80];

    make_place(&p);
    begin(&none);
    make_machine(&none);
    start(&none);
    d[0] = usb_disk(p.disk, NULL);
    expect_code(&none, d[0], VZ_ERROR_USB_CONTROLLER_NOT_FOUND);
    vz_storage_device_unref(d[0]);
    end(&none);
    begin(&t);
    add_usb_controller(&t);
    make_machine(&t);
    start(&t);
    for (unsigned i = 0; i <= VZ_USB_DEVICES_MAX; i++) {
        snprintf(path, sizeof(path), "%s%u", p.disk, i);
        ck_assert_int_eq(truncate(p.disk, 1 << 20), 0);
        close(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        ck_assert_int_eq(truncate(path, 1 << 20), 0);
        d[i] = usb_disk(path, NULL);
        if (i < VZ_USB_DEVICES_MAX)
            ck_assert_int_eq(vz_machine_attach_usb_device_wait(t.m, d[i], NULL), 0);
        else
            expect_code(&t, d[i], VZ_ERROR_DEVICE_INITIALIZATION_FAILURE);
        unlink(path);
    }
    ck_assert_uint_eq(look(&t).count, VZ_USB_DEVICES_MAX);
    for (unsigned i = 0; i <= VZ_USB_DEVICES_MAX; i++)
        vz_storage_device_unref(d[i]);
    end(&t);
    remove_place(&p);
}
END_TEST

static void on_detached(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    *(int *)arg = err ? (int)err->code : 0;
}

/* One of the configuration goes, too; and who asks gets an answer, also when the machine is freed at once. */
START_TEST(a_usb_disk_of_the_configuration_goes)
{
    struct vz_storage_device *d;
    struct machine t;
    struct place p;
    int result = -1;
    struct usb_seen s;

    make_place(&p);
    begin(&t);
    d = usb_disk(p.disk, NULL);
    vz_config_add_storage_device(t.config, d, NULL);
    vz_storage_device_unref(d);
    make_machine(&t);
    start(&t);
    s = look(&t);
    ck_assert_uint_eq(s.count, 1);
    ck_assert(!s.last.attached);
    ck_assert_int_eq(vz_machine_detach_usb_device(t.m, s.last.uuid, on_detached, &result), 0);
    vz_machine_free(t.m);
    ck_assert_int_eq(result, 0);
    make_machine(&t);
    start(&t);
    ck_assert_str_eq(look(&t).last.uuid, s.last.uuid); /* of the same machine and number */
    end(&t);
    remove_place(&p);
}
END_TEST

/* A server that takes a connection and says nothing: the machine goes on, and an end of its own, or of patience, is an answer. */
START_TEST(a_silent_server_holds_nobody_up)
{
    struct vz_usb_storage_options o = VZ_USB_STORAGE_OPTIONS_INIT;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int result = -1, server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct vz_storage_attachment *a;
    struct vz_storage_device *d;
    struct vz_error err = {0};
    char uri[140];
    struct machine t;
    struct place p;

    make_place(&p);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", p.socket);
    ck_assert_int_eq(bind(server, (struct sockaddr *)&at, sizeof(at)), 0);
    ck_assert_int_eq(listen(server, 4), 0);
    snprintf(uri, sizeof(uri), "nbd+unix:///?socket=%s", p.socket);
    begin(&t);
    add_usb_controller(&t);
    make_machine(&t);
    start(&t);
    for (unsigned i = 0; i < 2; i++) {
        struct vz_nbd_options n = VZ_NBD_OPTIONS_INIT;

        n.timeout = i ? 100 : 1;
        a = vz_nbd_attachment_new(uri, &n, &err);
        ck_assert_msg(a != NULL, "%s", err.text);
        d = vz_usb_mass_storage_device_new(a, &o, NULL);
        vz_storage_attachment_unref(a);
        if (i) {
            ck_assert_int_eq(vz_machine_attach_usb_device(t.m, d, on_detached, &result), 0);
            ck_assert_uint_eq(look(&t).count, 0); /* it answers */
        } else {
            expect_code(&t, d, VZ_ERROR_NBD_DISCONNECTED);
        }
        vz_storage_device_unref(d);
    }
    vz_machine_free(t.m);
    ck_assert_int_eq(result, VZ_ERROR_INVALID_STATE);
    vz_config_unref(t.config);
    close(server);
    unlink(p.socket);
    remove_place(&p);
}
END_TEST

static struct vz_storage_device *server_disk(const char *uri)
{
    struct vz_usb_storage_options o = VZ_USB_STORAGE_OPTIONS_INIT;
    struct vz_error err = {0};
    struct vz_storage_attachment *a = vz_nbd_attachment_new(uri, NULL, &err);
    struct vz_storage_device *d;

    ck_assert_msg(a != NULL, "%s", err.text);
    d = vz_usb_mass_storage_device_new(a, &o, NULL);
    vz_storage_attachment_unref(a);
    return d;
}

/* nbdkit, on a port of this host. */
static pid_t serve(char *ret_uri, size_t size)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r = -1;
    socklen_t len = sizeof(at);
    char port[8];
    pid_t pid;

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, len), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    snprintf(port, sizeof(port), "%u", ntohs(at.sin_port));
    snprintf(ret_uri, size, "nbd://127.0.0.1:%s/", port);
    pid = fork();
    if (pid == 0) {
        execlp("nbdkit", "nbdkit", "-f", "-i", "127.0.0.1", "-p", port, "memory", "1M", (char *)NULL);
        _exit(127);
    }
    for (unsigned i = 0; r < 0 && i < 1000; i++) {
        usleep(5000);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        r = connect(fd, (struct sockaddr *)&at, sizeof(at));
        close(fd);
    }
    ck_assert_int_eq(r, 0);
    return pid;
}

/* The process that makes connections was told of servers before it was locked; no connection is tried that it cannot
 * make. */
START_TEST(servers_out_of_reach_are_refused)
{
    static const char *const other[] = {"nbd+unix:///?socket=/nowhere/x",
                                        "nbds://127.0.0.1:1/?tls-psk-file=/nowhere/keys"};
    struct vz_machine_options o = VZ_MACHINE_OPTIONS_INIT;
    struct vz_error err = {0};
    struct vz_storage_device *d;
    struct machine t;
    char uri[64];
    pid_t server;

    if (access("/usr/bin/nbdkit", X_OK) < 0)
        return;
    server = serve(uri, sizeof(uri));
    begin(&t);
    add_usb_controller(&t);
    d = server_disk(uri);
    vz_config_add_storage_device(t.config, d, NULL);
    vz_storage_device_unref(d);
    o.sandbox = VZ_SANDBOX_PROCESS;
    t.m = vz_machine_new(t.config, &o, &err);
    ck_assert_msg(t.m != NULL, "%s", err.text);
    start(&t);
    if (t.m->nbd_by) {
        for (unsigned i = 0; i < 2; i++) {
            d = server_disk(other[i]);
            expect_code(&t, d, VZ_ERROR_UNSUPPORTED);
            vz_storage_device_unref(d);
        }
        d = server_disk(uri);
        ck_assert_msg(vz_machine_attach_usb_device_wait(t.m, d, &err) == 0, "%s", err.text);
        vz_storage_device_unref(d);
    }
    end(&t);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}
END_TEST

/* Its number is another one after a restore, since one before it went; its UUID, which nobody gave it, is the same. */
START_TEST(a_usb_disk_keeps_its_uuid)
{
    char path[80], other[80];
    struct vz_storage_device *d;
    struct vz_error err = {0};
    struct usb_seen s;
    struct machine t;
    struct place p;

    make_place(&p);
    snprintf(path, sizeof(path), "%s.state", p.disk);
    snprintf(other, sizeof(other), "%s.other", p.disk);
    make_disk(other);
    begin(&t);
    d = usb_disk(p.disk, UUID);
    vz_config_add_storage_device(t.config, d, NULL);
    vz_storage_device_unref(d);
    d = usb_disk(other, NULL);
    vz_config_add_storage_device(t.config, d, NULL);
    vz_storage_device_unref(d);
    make_machine(&t);
    start(&t);
    ck_assert_int_eq(vz_machine_detach_usb_device_wait(t.m, UUID, NULL), 0);
    s = look(&t);
    ck_assert_uint_eq(s.last.storage_device, 1);
    ck_assert_int_eq(vz_machine_pause_wait(t.m, NULL), 0);
    ck_assert_msg(vz_machine_save_wait(t.m, path, NULL, &err) == 0, "%s", err.text);
    vz_machine_free(t.m);
    vz_config_unref(t.config);
    t.config = vz_saved_state_config(path, NULL, &err);
    make_machine(&t);
    ck_assert_msg(vz_machine_restore_wait(t.m, path, NULL, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(look(&t).last.storage_device, 0);
    ck_assert_str_eq(look(&t).last.uuid, s.last.uuid);
    unlink(path);
    unlink(other);
    end(&t);
    remove_place(&p);
}
END_TEST

/* The controller that came with it is still the guest's, also in a saved state. */
START_TEST(a_state_is_saved_after_the_only_usb_device_went)
{
    struct vz_storage_device *d;
    struct vz_error err = {0};
    struct machine t;
    struct place p;
    char path[80];

    make_place(&p);
    snprintf(path, sizeof(path), "%s.state", p.disk);
    begin(&t);
    d = usb_disk(p.disk, UUID);
    vz_config_add_storage_device(t.config, d, NULL);
    make_machine(&t);
    start(&t);
    ck_assert_int_eq(vz_machine_detach_usb_device_wait(t.m, UUID, NULL), 0);
    ck_assert_int_eq(vz_machine_pause_wait(t.m, NULL), 0);
    ck_assert_msg(vz_machine_save_wait(t.m, path, NULL, &err) == 0, "%s", err.text);
    vz_machine_free(t.m);
    vz_config_unref(t.config);
    t.config = vz_saved_state_config(path, NULL, &err);
    make_machine(&t);
    ck_assert_msg(vz_machine_restore_wait(t.m, path, NULL, &err) == 0, "%s", err.text);
    ck_assert_msg(vz_machine_attach_usb_device_wait(t.m, d, &err) == 0, "%s", err.text);
    vz_storage_device_unref(d);
    unlink(path);
    end(&t);
    remove_place(&p);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, usb_disks_come_and_go);
    UNIT_TEST(s, usb_needs_a_controller_and_a_port);
    UNIT_TEST(s, a_usb_disk_of_the_configuration_goes);
    UNIT_TEST(s, servers_out_of_reach_are_refused);
    UNIT_TEST(s, a_silent_server_holds_nobody_up);
    UNIT_TEST(s, a_usb_disk_keeps_its_uuid);
    UNIT_TEST(s, a_state_is_saved_after_the_only_usb_device_went);
    UNIT_TEST(s, memory_target_is_rounded_clamped_and_kept);
    UNIT_TEST(s, sockets_without_a_guest);
    UNIT_TEST(s, forwards_have_their_socket_while_it_runs);
    UNIT_TEST(s, a_serial_port_leads_elsewhere);
    UNIT_TEST(s, a_serial_port_leads_to_the_program);
    UNIT_TEST(s, forwards_of_a_nat_come_and_go);
    UNIT_TEST(s, a_network_is_replaced_and_lost);
    UNIT_TEST(s, nothing_leaks_with_every_device);
    UNIT_TEST(s, two_machines_with_every_device);
    UNIT_TEST(s, a_share_is_replaced);
    UNIT_TEST(s, devices_that_are_not_there_are_not_found);
}

UNIT_TEST_MAIN("runtime", add_tests)
