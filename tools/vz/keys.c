/* SPDX-License-Identifier: MIT */
/* The keyboard of a machine whose console is the terminal: a thread between the terminal and the
 * serial port, which takes the escape keys out of what is typed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <vz/vz.h>

#include "cli.h"

#define CTRL_A 0x01

const char keys_help[] = "  Ctrl-A x       leave: turn the machine off at once\n"
                         "  Ctrl-A h       list these keys\n"
                         "  Ctrl-A Ctrl-A  send Ctrl-A to the guest\n";

struct keys {
    int in_fd;
    int pipe[2];   /* to the serial port: it reads [0]; [1] does not block */
    int quit[2];   /* closing [1] ends the thread */
    bool escaped;  /* the key before was Ctrl-A; the thread's */
    bool running;
    pthread_t thread;
    struct vz_machine *machine;
};

/* A guest that does not read must not keep Ctrl-A x from working, so what no longer fits into the
 * pipe (64 KiB) is dropped. */
static void send_guest(struct keys *k, const char *data, size_t len)
{
    ssize_t n = write(k->pipe[1], data, len);

    (void)n;
}

static void show_help(void)
{
    fprintf(stderr, "\nKeys of vz:\n%s", keys_help);
}

static void escape_key(struct keys *k, char key)
{
    switch (key) {
    case 'x':
    case 'X':
        vz_machine_stop(k->machine, NULL, NULL);
        break;
    case 'h':
    case 'H':
    case '?':
        show_help();
        break;
    case CTRL_A:
        send_guest(k, &key, 1);
        break;
    default:
        break; /* an unknown one does nothing */
    }
}

static void filter(struct keys *k, const char *data, size_t len)
{
    size_t start = 0;

    for (size_t i = 0; i < len; i++) {
        if (k->escaped) {
            k->escaped = false;
            escape_key(k, data[i]);
            start = i + 1;
        } else if (data[i] == CTRL_A) {
            if (i > start)
                send_guest(k, data + start, i - start);
            k->escaped = true;
            start = i + 1;
        }
    }
    if (len > start)
        send_guest(k, data + start, len - start);
}

static void *keys_thread(void *arg)
{
    struct keys *k = arg;
    struct pollfd p[2] = {{.fd = k->in_fd, .events = POLLIN}, {.fd = k->quit[0], .events = POLLIN}};
    char data[1024];
    ssize_t n;

    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            break;
        if (p[1].revents)
            break;
        if (!p[0].revents)
            continue;
        n = read(k->in_fd, data, sizeof(data));
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            break; /* the terminal is gone: no more input, but the machine goes on */
        filter(k, data, (size_t)n);
    }
    return NULL;
}

struct keys *keys_new(int in_fd)
{
    struct keys *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    k->in_fd = in_fd;
    if (pipe2(k->pipe, O_CLOEXEC) < 0)
        goto fail_free;
    if (pipe2(k->quit, O_CLOEXEC) < 0)
        goto fail_pipe;
    if (fcntl(k->pipe[1], F_SETFL, O_NONBLOCK) < 0)
        goto fail_quit;
    return k;

fail_quit:
    close(k->quit[0]);
    close(k->quit[1]);
fail_pipe:
    close(k->pipe[0]);
    close(k->pipe[1]);
fail_free:
    free(k);
    return NULL;
}

int keys_fd(const struct keys *k)
{
    return k->pipe[0];
}

bool keys_start(struct keys *k, struct vz_machine *machine)
{
    k->machine = machine;
    k->running = !pthread_create(&k->thread, NULL, keys_thread, k);
    return k->running;
}

void keys_free(struct keys *k)
{
    if (!k)
        return;
    close(k->quit[1]);
    if (k->running)
        pthread_join(k->thread, NULL);
    close(k->quit[0]);
    close(k->pipe[0]);
    close(k->pipe[1]);
    free(k);
}
