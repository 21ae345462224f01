/* SPDX-License-Identifier: MIT */
/* The terminal of a machine that has standard input and output: a thread that takes the escape keys
 * out of what is typed, tells the guest how large the window is, and sees when nobody reads any
 * more. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/vz.h>

#include "cli.h"

#define CTRL_A 0x01

const char keys_help[] = "  Ctrl-A x       leave: turn the machine off at once\n"
                         "  Ctrl-A i       say which addresses the guest has, and how much memory\n"
                         "  Ctrl-A h       list these keys\n"
                         "  Ctrl-A Ctrl-A  send Ctrl-A to the guest\n";

struct keys {
    int in_fd;     /* a terminal, or -1 */
    int out_fd;    /* whose reader may go away, or -1 */
    int winch_fd;  /* tells of SIGWINCH */
    atomic_bool abandoned; /* by out_fd's reader */
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

static void show_info(struct keys *k)
{
    struct vz_memory_state memory = VZ_MEMORY_STATE_INIT;
    struct vz_guest_address a = VZ_GUEST_ADDRESS_INIT;
    struct vz_error err;

    fprintf(stderr, "\n");
    for (unsigned i = 0; vz_nat_guest_address(k->machine, i, &a, &err) == 0 ||
                         err.code == VZ_ERROR_UNSUPPORTED; i++) {
        if (a.ipv4[0] || a.ipv6[0])
            fprintf(stderr, "vz: network card %u: the guest is %s %s\n", i, a.ipv4, a.ipv6);
        a = (struct vz_guest_address)VZ_GUEST_ADDRESS_INIT;
    }
    if (vz_machine_memory_state(k->machine, &memory, NULL) == 0)
        fprintf(stderr, "vz: memory: the guest has %lluM, and should have %lluM\n",
                (unsigned long long)(memory.actual >> 20),
                (unsigned long long)(memory.target >> 20));
}

static void escape_key(struct keys *k, char key)
{
    switch (key) {
    case 'x':
    case 'X':
        vz_machine_stop(k->machine, NULL, NULL);
        break;
    case 'i':
    case 'I':
        show_info(k);
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
    char data[1024];
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

static void *keys_thread(void *arg)
{
    struct keys *k = arg;
    enum { QUIT, IN, OUT, WINCH, COUNT };
    struct pollfd p[COUNT] = {[QUIT] = {.fd = k->quit[0], .events = POLLIN},
                              [IN] = {.fd = k->in_fd, .events = POLLIN},
                              [OUT] = {.fd = k->out_fd}, /* errors only */
                              [WINCH] = {.fd = k->winch_fd, .events = POLLIN}};

    tell_window(k);
    for (;;) {
        if (poll(p, COUNT, -1) < 0 && errno != EINTR)
            break;
        if (p[QUIT].revents)
            break;
        if (p[IN].revents && !on_input(k))
            p[IN].fd = -1;
        if (p[OUT].revents) {
            p[OUT].fd = -1;
            on_abandoned(k);
        }
        if (p[WINCH].revents)
            on_winch(k);
    }
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

struct keys *keys_new(int in_fd, int out_fd)
{
    struct keys *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    *k = (struct keys){.in_fd = in_fd, .out_fd = can_be_abandoned(out_fd) ? out_fd : -1,
                       .pipe = {-1, -1}, .quit = {-1, -1}, .winch_fd = watch_winch()};
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
    free(k);
}
