/* SPDX-License-Identifier: MIT */
/* The host's ends of vguest's devices. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "given_slot.h"
#include "vguest.h"
#include "virtio/balloon.h"
#include "virtio/virtio_console.h"
#include "virtio/vsock.h"

static void on_port(void *arg, unsigned port, bool open)
{
    fprintf(stderr, "vguest: port %u %s\n", port, open ? "opened" : "closed");
}

static struct char_dev *make_line(struct vguest *g, int in, const char *name)
{
    struct char_dev *line = NULL;
    struct vz_error err;
    char path[4096];
    int r;

    snprintf(path, sizeof(path), "%s/%s", g->folder, name ? name : "");
    r = name ? char_file_create(g->loop, path, &line, &err)
             : char_fd_create(g->loop, in, in, &line, &err);

    if (r < 0)
        fprintf(stderr, "vguest: %s\n", err.text);
    return line;
}

/* What comes out of the echo port goes in again. */
static void *echo(void *arg)
{
    int fd = *(int *)arg;
    char buf[4096];
    ssize_t n;

    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        if (write(fd, buf, (size_t)n) != n)
            break;
    }
    return NULL;
}

/* --- sockets: echo on port 5000; a connection to 5001 makes us connect to the guest's 6000 --- */

#define CONNECTIONS 200
#define BYTES       50000

static void *echo_and_close(void *arg)
{
    int fd = (int)(intptr_t)arg;

    echo(&fd);
    shutdown(fd, SHUT_WR);
    close(fd);
    return NULL;
}

static void spawn(void *(*fn)(void *), void *arg)
{
    pthread_t thread;

    if (!pthread_create(&thread, NULL, fn, arg))
        pthread_detach(thread);
}

static bool on_echo(void *arg, int fd, uint32_t host_port, uint32_t guest_port)
{
    spawn(echo_and_close, (void *)(intptr_t)fd);
    return true;
}

static _Atomic int good, ended, go_fd;

static void one_ended(bool is_good)
{
    good += is_good;
    if (++ended < CONNECTIONS)
        return;
    fprintf(stderr, "vguest: %d of %d connections to the guest were good\n", good, CONNECTIONS);
    if (write(go_fd, good == CONNECTIONS ? "ok" : "no", 2) != 2)
        perror("vguest");
    close(go_fd);
}

static void *exchange(void *arg)
{
    int fd = (int)(intptr_t)arg;
    uint8_t out[BYTES], in[BYTES];
    size_t got = 0;
    ssize_t n;

    for (unsigned i = 0; i < BYTES; i++)
        out[i] = (uint8_t)(i * 7 + (unsigned)fd);
    n = write(fd, out, BYTES);
    shutdown(fd, SHUT_WR);
    while (got < BYTES && (n = read(fd, in + got, BYTES - got)) > 0)
        got += (size_t)n;
    one_ended(got == BYTES && !memcmp(in, out, BYTES) && read(fd, in, 1) == 0);
    close(fd);
    return NULL;
}

static void on_connected(void *arg, int err, int fd)
{
    if (err)
        one_ended(false);
    else
        spawn(exchange, (void *)(intptr_t)fd);
}

static void connect_all(void *arg)
{
    struct vguest *g = arg;

    for (unsigned i = 0; i < CONNECTIONS; i++) {
        if (vsock_connect(g->vsock, 6000, on_connected, NULL) < 0)
            one_ended(false);
    }
}

static bool on_go(void *arg, int fd, uint32_t host_port, uint32_t guest_port)
{
    struct vguest *g = arg;

    go_fd = fd;
    g->go = (struct loop_work){.fn = connect_all, .arg = g};
    loop_work_queue(g->loop, &g->go);
    return true;
}

/* MiB of the guest's memory that the host has a page for. */
static uint64_t resident_mib(const struct mem *mem)
{
    unsigned char in[MIB / MEM_PAGE_SIZE];
    uint64_t pages = 0;

    for (uint64_t at = 0; at < mem->used; at += MIB) {
        if (mincore(mem->base + at, MIB, in))
            return UINT64_MAX;
        for (unsigned i = 0; i < ARRAY_SIZE(in); i++)
            pages += in[i] & 1;
    }
    return pages * MEM_PAGE_SIZE / MIB;
}

/* A connection to 5002: how much of the guest's memory does the host have now? When
 * that is little enough, all is the guest's again. */
static bool on_measure(void *arg, int fd, uint32_t host_port, uint32_t guest_port)
{
    struct vguest *g = arg;
    uint64_t mib = resident_mib(g->board->mem);
    bool is_good = mib < 156 && balloon_actual(g->balloon) == 128 * MIB;

    fprintf(stderr, "vguest: the guest has %llu MiB of the host's memory\n", (unsigned long long)mib);
    if (is_good)
        balloon_set_target(g->balloon, 256 * MIB);
    if (write(fd, is_good ? "ok" : "no", 2) != 2)
        perror("vguest");
    close(fd);
    return true;
}

int vguest_devices(struct vguest *g, struct vz_error *err)
{
    static struct console_port_options port[3];
    static struct console_options console;
    static const struct vsock_options vsock = {.guest_cid = 3};
    static const struct balloon_options balloon = {.ram_size = 256 * MIB};
    static struct given list[4];
    static int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        exit(99);
    g->line[0] = make_line(g, -1, "hvc0");
    g->line[1] = make_line(g, pair[0], NULL);
    g->line[2] = make_line(g, -1, "flood");
    port[0] = (struct console_port_options){.console = true, .line = g->line[0]};
    port[1] = (struct console_port_options){.name = "echo", .line = g->line[1]};
    port[2] = (struct console_port_options){.name = "flood", .line = g->line[2]};
    console = (struct console_options){.port = port, .port_count = 3, .multiport = true,
                                       .cols = 132, .rows = 43, .opened = on_port};
    pthread_create(&g->echo, NULL, echo, &pair[1]);
    pthread_detach(g->echo);
    list[0] = (struct given){.ops = &virtio_rng_ops};
    list[1] = (struct given){.ops = &virtio_console_ops, .options = &console,
                                    .queues = console_queues(&console)};
    list[2] = (struct given){.ops = &virtio_vsock_ops, .options = &vsock,
                                    .ret = &g->vsock};
    list[3] = (struct given){.ops = &virtio_balloon_ops, .options = &balloon,
                                    .ret = &g->balloon};
    return given_slots(g->loop, STDOUT_FILENO, list, ARRAY_SIZE(list), &g->slots, err);
}

void vguest_begin(struct vguest *g)
{
    if (vsock_listen(g->vsock, 5000, on_echo, g) < 0 || vsock_listen(g->vsock, 5001, on_go, g) < 0 ||
        vsock_listen(g->vsock, 5002, on_measure, g) < 0)
        exit(99);
    balloon_set_target(g->balloon, 128 * MIB);
}

void vguest_end(struct vguest *g)
{
    fprintf(stderr, "vguest: balloon: %llu MiB left to the guest, %llu MiB freed\n",
            (unsigned long long)(balloon_actual(g->balloon) / MIB),
            (unsigned long long)(balloon_freed(g->balloon) / MIB));
}

void vguest_gone(struct vguest *g)
{
    for (unsigned i = 0; i < ARRAY_SIZE(g->line); i++) {
        char_drain(g->line[i], 1000);
        char_destroy(g->line[i]);
    }
}
