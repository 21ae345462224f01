/* SPDX-License-Identifier: MIT */
/* The terminal of a machine that has standard input and output: a thread that takes the escape keys
 * out of what is typed, tells the guest how large the window is, and sees when nobody reads any
 * more. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/vz.h>

#include "cli.h"

/* What was typed or pasted and the guest has not read yet is kept up to here; then the terminal has
 * to wait, and with it the escape keys. */
#define BACKLOG_MAX (UINT64_C(64) << 20)

struct keys {
    int in_fd;     /* a terminal, or -1 */
    int out_fd;    /* whose reader may go away, or -1 */
    int winch_fd;  /* tells of SIGWINCH */
    char prefix;   /* of the escape keys; 0: there are none */
    atomic_bool abandoned; /* by out_fd's reader */
    int pipe[2];   /* to the serial port: it reads [0]; [1] does not block */
    int quit[2];   /* closing [1] ends the thread */
    bool running;
    pthread_t thread;
    struct vz_machine *machine;
    /* The thread's. */
    bool escaped;  /* the key before was the prefix */
    char *backlog; /* what did not fit into the pipe: len bytes from start, in size */
    size_t start, len, size;
};

/* ---- To the guest --------------------------------------------------------------------------- */

/* Returns how much of it went. */
static size_t push(struct keys *k, const char *data, size_t len)
{
    ssize_t n = len ? write(k->pipe[1], data, len) : 0;

    return n > 0 ? (size_t)n : 0;
}

static void flush_backlog(struct keys *k)
{
    size_t n = push(k, k->backlog + k->start, k->len);

    k->start += n;
    k->len -= n;
    if (!k->len)
        k->start = 0;
}

/* Make room behind the backlog. */
static bool reserve(struct keys *k, size_t more)
{
    size_t size = k->size ? k->size : 4096;
    char *bigger;

    if (k->start) {
        memmove(k->backlog, k->backlog + k->start, k->len);
        k->start = 0;
    }
    while (size < k->len + more)
        size *= 2;
    if (size == k->size)
        return true;
    bigger = realloc(k->backlog, size);
    if (!bigger)
        return false;
    k->backlog = bigger;
    k->size = size;
    return true;
}

/* All of it, in order, and without waiting for a guest that does not read: the escape keys behind
 * it are heard at once. */
static void send_guest(struct keys *k, const char *data, size_t len)
{
    size_t n = k->len ? 0 : push(k, data, len);

    if (n == len)
        return;
    if (k->start + k->len + len - n > k->size && !reserve(k, len - n)) {
        cli_error("out of memory: some of what was typed is lost");
        return;
    }
    memcpy(k->backlog + k->start + k->len, data + n, len - n);
    k->len += len - n;
}

/* ---- The escape keys ------------------------------------------------------------------------ */

/* "Ctrl-A" */
static const char *prefix_name(const struct keys *k, char text[8])
{
    snprintf(text, 8, "Ctrl-%c", k->prefix + '@');
    return text;
}

static void show_help(const struct keys *k)
{
    static const struct {
        const char *key, *text;
    } lines[] = {
        {"x", "quit: ask the guest to shut down, and turn it off if it does not; again: at once"},
        {"s", "press the guest's power button, and stay"},
        {"i", "say how the guest is reached, and how much memory it has"},
        {"h", "list these keys"},
    };
    char prefix[8];

    prefix_name(k, prefix);
    fprintf(stderr, "\nKeys of vz:\n");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        fprintf(stderr, "  %s %-8s%s\n", prefix, lines[i].key, lines[i].text);
    fprintf(stderr, "  %s %-8ssend %s to the guest\n", prefix, prefix, prefix);
}

static void show_forwards(struct keys *k, unsigned device)
{
    struct vz_network_attachment *a = vz_machine_network_attachment(k->machine, device);
    const struct vz_port_forward *f;

    for (unsigned i = 0; (f = vz_nat_attachment_forward(a, i)); i++) {
        bool is_ipv6 = strchr(f->host, ':') != NULL;

        fprintf(stderr, "vz:   %s %s%s%s:%u of this host leads to port %u of the guest\n",
                f->udp ? "udp" : "tcp", is_ipv6 ? "[" : "", f->host, is_ipv6 ? "]" : "",
                f->host_port, f->guest_port);
    }
    if (!vz_nat_attachment_forward(a, 0))
        fprintf(stderr, "vz:   no port of this host leads to it (--forward)\n");
    vz_network_attachment_unref(a);
}

/* Returns whether there is such a card. */
static bool show_card(struct keys *k, unsigned device)
{
    struct vz_guest_address a = VZ_GUEST_ADDRESS_INIT;
    struct vz_error err;
    bool is_nat = vz_machine_guest_address(k->machine, device, &a, &err) == 0;

    if (!is_nat && err.code != VZ_ERROR_UNSUPPORTED)
        return false;
    if (!is_nat)
        fprintf(stderr, "vz: network card %u: not behind NAT, so only the guest knows its address\n",
                device);
    else if (a.ipv4[0] || a.ipv6[0])
        fprintf(stderr, "vz: network card %u: the guest is %s%s%s, behind NAT\n", device, a.ipv4,
                a.ipv4[0] && a.ipv6[0] ? " and " : "", a.ipv6);
    else
        fprintf(stderr, "vz: network card %u: the guest has no address yet, behind NAT\n", device);
    if (is_nat)
        show_forwards(k, device);
    return true;
}

static void show_info(struct keys *k)
{
    struct vz_memory_state memory = VZ_MEMORY_STATE_INIT;
    unsigned cards = 0;

    fprintf(stderr, "\n");
    while (show_card(k, cards))
        cards++;
    if (!cards)
        fprintf(stderr, "vz: the guest has no network card (--net)\n");
    if (vz_machine_memory_state(k->machine, &memory, NULL) == 0)
        fprintf(stderr, "vz: memory: the guest has %lluM, and should have %lluM\n",
                (unsigned long long)(memory.actual >> 20),
                (unsigned long long)(memory.target >> 20));
}

static void show_unknown(const struct keys *k, char key)
{
    char prefix[8];

    prefix_name(k, prefix);
    if (isgraph((unsigned char)key))
        fprintf(stderr, "\nvz: %s %c is no key of vz; %s h lists them\n", prefix, key, prefix);
    else
        fprintf(stderr, "\nvz: that is no key of vz; %s h lists them\n", prefix);
}

static void escape_key(struct keys *k, char key)
{
    if (key == k->prefix) {
        send_guest(k, &key, 1);
        return;
    }
    switch (tolower((unsigned char)key)) {
    case 'x':
        ending_leave();
        break;
    case 's':
        ending_press();
        break;
    case 'i':
        show_info(k);
        break;
    case 'h':
    case '?':
        show_help(k);
        break;
    default:
        show_unknown(k, key);
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
        } else if (k->prefix && data[i] == k->prefix) {
            send_guest(k, data + start, i - start);
            k->escaped = true;
            start = i + 1;
        }
    }
    send_guest(k, data + start, len - start);
}

/* ---- The thread ----------------------------------------------------------------------------- */

/* The guest's windows are as large as the terminal, if there is one. */
static void tell_window(struct keys *k)
{
    struct winsize w;

    if ((ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 || ioctl(STDIN_FILENO, TIOCGWINSZ, &w) == 0) &&
        w.ws_col && w.ws_row)
        vz_machine_set_stdio_window(k->machine, w.ws_col, w.ws_row, NULL);
}

static void on_winch(struct keys *k)
{
    struct signalfd_siginfo info;

    if (read(k->winch_fd, &info, sizeof(info)) > 0)
        tell_window(k);
}

/* Returns false when there will be no more. */
static bool on_input(struct keys *k)
{
    char data[4096];
    ssize_t n = read(k->in_fd, data, sizeof(data));

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n <= 0)
        return false; /* the terminal is gone: no more input, but the machine goes on */
    filter(k, data, (size_t)n);
    return true;
}

/* As SIGPIPE ends other programs. */
static void on_abandoned(struct keys *k)
{
    atomic_store(&k->abandoned, true);
    vz_machine_stop(k->machine, NULL, NULL);
}

enum { QUIT, IN, OUT, WINCH, PIPE, COUNT };

/* Returns false when the thread is to end. */
static bool serve(struct keys *k, struct pollfd p[COUNT])
{
    p[PIPE].fd = k->len ? k->pipe[1] : -1;
    p[IN].events = k->len < BACKLOG_MAX ? POLLIN : 0;
    if (poll(p, COUNT, -1) < 0)
        return errno == EINTR;
    if (p[QUIT].revents)
        return false;
    if (p[PIPE].revents)
        flush_backlog(k);
    if (p[IN].revents && !on_input(k))
        p[IN].fd = -1;
    if (p[OUT].revents) {
        p[OUT].fd = -1;
        on_abandoned(k);
    }
    if (p[WINCH].revents)
        on_winch(k);
    return true;
}

static void *keys_thread(void *arg)
{
    struct keys *k = arg;
    struct pollfd p[COUNT] = {[QUIT] = {.fd = k->quit[0], .events = POLLIN},
                              [IN] = {.fd = k->in_fd},
                              [OUT] = {.fd = k->out_fd}, /* errors only */
                              [WINCH] = {.fd = k->winch_fd, .events = POLLIN},
                              [PIPE] = {.events = POLLOUT}};

    if (!run_sandbox_lock(VZ_THREAD_CONTROLS, NULL))
        return NULL;
    tell_window(k);
    while (serve(k, p))
        ;
    return NULL;
}

/* A pipe or socket; a terminal that goes away sends SIGHUP. */
static bool can_be_abandoned(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

static int watch_winch(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* also for the threads to come */
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

struct keys *keys_new(int in_fd, int out_fd, char prefix)
{
    struct keys *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    *k = (struct keys){.in_fd = in_fd, .prefix = prefix,
                       .out_fd = can_be_abandoned(out_fd) ? out_fd : -1, .pipe = {-1, -1}, .quit = {-1, -1}, .winch_fd = watch_winch()};
    if (k->winch_fd < 0 || pipe2(k->pipe, O_CLOEXEC) < 0 || pipe2(k->quit, O_CLOEXEC) < 0 ||
        fcntl(k->pipe[1], F_SETFL, O_NONBLOCK) < 0) {
        keys_free(k);
        return NULL;
    }
    return k;
}

bool keys_abandoned(const struct keys *k)
{
    return k && atomic_load(&k->abandoned);
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

static void close_both(const int fd[2])
{
    for (unsigned i = 0; i < 2; i++) {
        if (fd[i] >= 0)
            close(fd[i]);
    }
}

void keys_free(struct keys *k)
{
    if (!k)
        return;
    if (k->running) {
        close(k->quit[1]);
        k->quit[1] = -1;
        pthread_join(k->thread, NULL);
    }
    close_both(k->quit);
    close_both(k->pipe);
    if (k->winch_fd >= 0)
        close(k->winch_fd);
    free(k->backlog);
    free(k);
}
