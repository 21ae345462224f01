/* SPDX-License-Identifier: MIT */
#include "control/console_hub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/bundle.h"
#include "cli.h"
#include "failure.h"

#define RECENT   ((size_t)64 << 10) /* what an attached terminal can be shown of before */
#define FILE_MAX ((off_t)16 << 20)  /* then it becomes console.log.1 */

struct console_hub {
    int folder;             /* the bundle's */
    int from_guest[2];      /* pipes: the guest's port writes to [1], */
    int to_guest[2];        /* and reads from [0] */
    int file;               /* -1: it could not be written, which has been said */
    off_t file_len;
    int peer[CONSOLE_PEERS_MAX]; /* -1: none */
    char held[4096];        /* typed, and the pipe was full: held_len of it */
    size_t held_len;
    size_t recent_end, recent_len; /* a ring */
    char recent[RECENT];
};

/* ---- What the guest writes ------------------------------------------------------------------ */

static void open_file(struct console_hub *h)
{
    struct stat st;

    h->file = openat(h->folder, BUNDLE_CONSOLE_LOG,
                     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    h->file_len = h->file >= 0 && fstat(h->file, &st) == 0 ? st.st_size : 0;
}

static void write_file(struct console_hub *h, const char *data, size_t len)
{
    ssize_t n;

    if (h->file >= 0 && h->file_len > FILE_MAX) {
        close(h->file);
        renameat(h->folder, BUNDLE_CONSOLE_LOG, h->folder, BUNDLE_CONSOLE_LOG ".1");
        open_file(h);
    }
    n = h->file >= 0 ? write(h->file, data, len) : 0;
    if (n < 0) {
        cli_error(BUNDLE_CONSOLE_LOG ": %s; the guest's output is not kept from here on",
                  strerror(errno));
        close(h->file);
        h->file = -1;
    } else {
        h->file_len += n;
    }
}

static void remember(struct console_hub *h, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        h->recent[h->recent_end] = data[i];
        h->recent_end = (h->recent_end + 1) % RECENT;
    }
    h->recent_len = h->recent_len + len > RECENT ? RECENT : h->recent_len + len;
}

static void drop_peer(struct console_hub *h, unsigned i)
{
    close(h->peer[i]);
    h->peer[i] = -1;
}

/* Who does not read loses what does not fit into the socket: a console goes on, whoever watches. */
static void take_output(struct console_hub *h, const char *data, size_t len)
{
    write_file(h, data, len);
    remember(h, data, len);
    for (unsigned i = 0; i < CONSOLE_PEERS_MAX; i++) {
        if (h->peer[i] >= 0 && send(h->peer[i], data, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
            errno != EAGAIN && errno != EINTR)
            drop_peer(h, i);
    }
}

static bool read_output(struct console_hub *h)
{
    char data[16384];
    ssize_t n = read(h->from_guest[0], data, sizeof(data));

    if (n > 0)
        take_output(h, data, (size_t)n);
    return n > 0;
}

/* ---- What is typed -------------------------------------------------------------------------- */

static void push_held(struct console_hub *h)
{
    ssize_t n = h->held_len ? write(h->to_guest[1], h->held, h->held_len) : 0;

    if (n <= 0)
        return;
    h->held_len -= (size_t)n;
    memmove(h->held, h->held + n, h->held_len);
}

static void read_peer(struct console_hub *h, unsigned i)
{
    ssize_t n = recv(h->peer[i], h->held + h->held_len, sizeof(h->held) - h->held_len,
                     MSG_DONTWAIT);

    if (n > 0)
        h->held_len += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        drop_peer(h, i);
    push_held(h);
}

/* ---- Polling -------------------------------------------------------------------------------- */

unsigned console_hub_poll(struct console_hub *h, struct pollfd *p)
{
    unsigned count = 0;

    p[count++] = (struct pollfd){.fd = h->from_guest[0], .events = POLLIN};
    p[count++] = (struct pollfd){.fd = h->held_len ? h->to_guest[1] : -1, .events = POLLOUT};
    for (unsigned i = 0; i < CONSOLE_PEERS_MAX; i++) {
        /* Typing waits in the socket while the guest does not read. */
        p[count++] = (struct pollfd){.fd = h->peer[i],
                                     .events = h->held_len < sizeof(h->held) ? POLLIN : 0};
    }
    return count;
}

void console_hub_serve(struct console_hub *h, const struct pollfd *p, unsigned count)
{
    if (p[0].revents)
        read_output(h);
    if (p[1].revents)
        push_held(h);
    for (unsigned i = 2; i < count; i++) {
        if (p[i].revents && p[i].fd == h->peer[i - 2] && h->held_len < sizeof(h->held))
            read_peer(h, i - 2);
    }
}

/* ---- Methods -------------------------------------------------------------------------------- */

static void show_recent(const struct console_hub *h, int fd, size_t len)
{
    size_t from;

    len = len > h->recent_len ? h->recent_len : len;
    from = (h->recent_end + RECENT - len) % RECENT;
    while (len) {
        size_t part = len < RECENT - from ? len : RECENT - from;

        if (send(fd, h->recent + from, part, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            return;
        len -= part;
        from = 0;
    }
}

void method_console(struct control_call *call, json_t *params)
{
    struct console_hub *h = control_console(call_control(call));
    uint64_t recent = 0;
    unsigned i = 0;
    int fd[2];

    if (!call_param_number(call, params, "recent", 0, RECENT, &recent))
        return;
    if (!h) {
        call_fail_text(call, VZ_ERROR_UNSUPPORTED,
                       "none of the machine's ports leads to its console (an attachment of type stdio)");
        return;
    }
    while (i < CONSOLE_PEERS_MAX && h->peer[i] >= 0)
        i++;
    if (i == CONSOLE_PEERS_MAX) {
        call_fail_text(call, VZ_ERROR_LIMIT_EXCEEDED, "%u are attached to the console already", i);
    } else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0) {
        call_fail_text(call, VZ_ERROR_NO_MEMORY, "%s", strerror(errno));
    } else {
        h->peer[i] = fd[0];
        show_recent(h, fd[0], (size_t)recent);
        call_reply_fd(call, NULL, fd[1]);
    }
}

void method_console_window(struct control_call *call, json_t *params)
{
    uint64_t columns = 0, rows = 0;
    struct vz_error err;

    if (!call_param_number(call, params, "columns", 1, UINT16_MAX, &columns) ||
        !call_param_number(call, params, "rows", 1, UINT16_MAX, &rows))
        return;
    if (!columns || !rows)
        call_fail_text(call, VZ_ERROR_INVALID, "columns and rows: how many?");
    else if (vz_machine_set_stdio_window(call_machine(call), (uint16_t)columns, (uint16_t)rows, &err) < 0)
        call_fail(call, &err);
    else
        call_reply(call, NULL);
}

/* ---- Its life ------------------------------------------------------------------------------- */

struct console_hub *console_hub_new(struct vz_config *config, const struct bundle *b,
                                    struct vz_error *err)
{
    struct console_hub *h = calloc(1, sizeof(*h));

    if (!h) {
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    h->folder = b->fd;
    h->file = h->from_guest[0] = h->from_guest[1] = h->to_guest[0] = h->to_guest[1] = -1;
    memset(h->peer, -1, sizeof(h->peer));
    if (pipe2(h->from_guest, O_CLOEXEC) < 0 || pipe2(h->to_guest, O_CLOEXEC) < 0 ||
        fcntl(h->from_guest[0], F_SETFL, O_NONBLOCK) < 0 ||
        fcntl(h->to_guest[1], F_SETFL, O_NONBLOCK) < 0) {
        fail_errno(err, "the console's pipes");
        console_hub_free(h);
        return NULL;
    }
    open_file(h);
    vz_config_set_stdio(config, h->to_guest[0], h->from_guest[1]);
    return h;
}

void console_hub_free(struct console_hub *h)
{
    if (!h)
        return;
    while (h->from_guest[0] >= 0 && read_output(h))
        ;
    for (unsigned i = 0; i < CONSOLE_PEERS_MAX; i++) {
        if (h->peer[i] >= 0)
            drop_peer(h, i);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (h->from_guest[i] >= 0)
            close(h->from_guest[i]);
        if (h->to_guest[i] >= 0)
            close(h->to_guest[i]);
    }
    if (h->file >= 0)
        close(h->file);
    free(h);
}
