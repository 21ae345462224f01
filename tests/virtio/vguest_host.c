/* SPDX-License-Identifier: MIT */
/* The host's ends of vguest's devices. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vguest.h"
#include "virtio/console.h"

static void on_port(void *arg, unsigned port, bool open)
{
    fprintf(stderr, "vguest: port %u %s\n", port, open ? "opened" : "closed");
}

static struct char_dev *make_line(struct vguest *g, int in, const char *path)
{
    struct char_dev *line = NULL;
    struct vz_error err;
    int r = path ? char_file_create(g->loop, path, &line, &err)
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

unsigned vguest_devices(struct vguest *g, const struct board_virtio **ret)
{
    static struct console_port_options port[3];
    static struct console_options console;
    static struct board_virtio list[2];
    static int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        exit(99);
    g->line[0] = make_line(g, -1, "/tmp/vguest-hvc0.txt");
    g->line[1] = make_line(g, pair[0], NULL);
    g->line[2] = make_line(g, -1, "/tmp/vguest-flood.txt");
    port[0] = (struct console_port_options){.console = true, .line = g->line[0]};
    port[1] = (struct console_port_options){.name = "echo", .line = g->line[1]};
    port[2] = (struct console_port_options){.name = "flood", .line = g->line[2]};
    console = (struct console_options){.port = port, .port_count = 3, .multiport = true,
                                       .cols = 132, .rows = 43, .opened = on_port};
    pthread_create(&g->echo, NULL, echo, &pair[1]);
    pthread_detach(g->echo);
    list[0] = (struct board_virtio){.ops = &virtio_rng_ops};
    list[1] = (struct board_virtio){.ops = &virtio_console_ops, .options = &console,
                                    .queues = console_queues(&console)};
    *ret = list;
    return ARRAY_SIZE(list);
}

void vguest_begin(struct vguest *g) {}
void vguest_end(struct vguest *g) {}

void vguest_gone(struct vguest *g)
{
    for (unsigned i = 0; i < ARRAY_SIZE(g->line); i++) {
        char_drain(g->line[i], 1000);
        char_destroy(g->line[i]);
    }
}
