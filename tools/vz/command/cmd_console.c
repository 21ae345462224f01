/* SPDX-License-Identifier: MIT */
/* `vz console MACHINE`: the terminal becomes the machine's console, until the keys say otherwise. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "command/machine_command.h"
#include "control/client.h"
#include "write_all.h"

#define RECENT 2048 /* bytes of what was there before, so that a prompt is seen */

static const struct opt console_options[] = {
    {"escape", 0, OPT_ALWAYS, "KEY", "Options",
     "the key in place of Ctrl-A below: such as ctrl-b or ^], or none", NULL, 0},
    {.name = NULL}};

struct terminal {
    struct control_client client;
    int fd;       /* the console */
    char prefix;
    bool escaped; /* the key before was the prefix */
    bool is_tty;
};

static void tell_window(struct terminal *t)
{
    struct winsize w;

    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col && w.ws_row)
        json_decref(client_call(&t->client, "console-window",
                                json_pack("{s:i, s:i}", "columns", w.ws_col, "rows", w.ws_row), NULL,
                                NULL));
}

/* What is behind the prefix. False: leave. */
static bool escape_key(struct terminal *t, char key)
{
    char name = (char)(t->prefix + '@');

    if (key == t->prefix)
        return write_all(t->fd, &key, 1);
    if (key == 'd' || key == 'x')
        return false;
    fprintf(stderr, "\nKeys of vz:\n  Ctrl-%c d       leave the console; the machine goes on\n"
                    "  Ctrl-%c Ctrl-%c  send Ctrl-%c to the guest\n", name, name, name, name);
    return true;
}

/* False: leave. */
static bool type(struct terminal *t, const char *data, size_t len)
{
    size_t start = 0;

    for (size_t i = 0; i < len; i++) {
        if (t->escaped) {
            t->escaped = false;
            start = i + 1;
            if (!escape_key(t, data[i]))
                return false;
        } else if (t->is_tty && t->prefix && data[i] == t->prefix) {
            if (!write_all(t->fd, data + start, i - start))
                return false;
            t->escaped = true;
            start = i + 1;
        }
    }
    return write_all(t->fd, data + start, len - start);
}

/* Until one side ends; true: the machine's. */
static bool relay(struct terminal *t, int winch_fd)
{
    struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = t->fd, .events = POLLIN},
                         {.fd = winch_fd, .events = POLLIN}};
    char data[4096];
    ssize_t n;

    for (;;) {
        if (poll(p, 3, -1) < 0 && errno != EINTR)
            return false;
        if (p[1].revents) {
            n = read(t->fd, data, sizeof(data));
            if (n <= 0 || !write_all(STDOUT_FILENO, data, (size_t)n))
                return n <= 0;
        }
        if (p[0].revents) {
            n = read(STDIN_FILENO, data, sizeof(data));
            if (n <= 0)
                p[0].fd = -1; /* no more input; what the guest says goes on */
            else if (!type(t, data, (size_t)n))
                return false;
        }
        if (p[2].revents && read(winch_fd, data, sizeof(data)) > 0)
            tell_window(t);
    }
}

static int watch_winch(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int attach(struct bundle *b, char prefix)
{
    struct terminal t = {.fd = -1, .prefix = prefix, .is_tty = isatty(STDIN_FILENO)};
    struct vz_error err;
    json_t *result;
    bool ended;
    int winch;

    if (client_open(b, &t.client, &err) < 0) {
        cli_error("%s: %s", b->name, err.text);
        return EXIT_FAILED;
    }
    result = client_call(&t.client, "console", json_pack("{s:i}", "recent", t.is_tty ? RECENT : 0), &t.fd,
                         &err);
    json_decref(result);
    if (!result || t.fd < 0) {
        cli_error("%s: %s", b->name, result ? "no console came" : err.text);
        client_close(&t.client);
        return EXIT_FAILED;
    }
    if (t.is_tty && t.prefix)
        cli_error("%s: the machine's console; Ctrl-%c d leaves it", b->name, t.prefix + '@');
    winch = t.is_tty ? watch_winch() : -1;
    if (t.is_tty && terminal_raw())
        tell_window(&t);
    ended = relay(&t, winch);
    terminal_restore();
    if (t.is_tty)
        fprintf(stderr, "\nvz: %s: %s\n", b->name, ended ? "the machine has ended" : "left the console");
    close(t.fd);
    client_close(&t.client);
    return EXIT_OK;
}

static int console_main(int argc, char **argv)
{
    int status = EXIT_USAGE;
    struct run_life life;
    struct bundle b;
    struct args a;

    if (args_parse(&console_command, argc, argv, 0, 1, &a) && run_life_parse(a.given, &life)) {
        status = EXIT_FAILED;
        if (machine_open(a.word[0], &b)) {
            status = attach(&b, life.prefix);
            bundle_close(&b);
        }
    }
    args_free(&a);
    return status;
}

const struct command console_command = {
    "console", console_main, NULL, console_options, "connect the terminal to a running machine's console",
    NULL, "[MACHINE]",
    "Ctrl-A d leaves it, and the machine goes on; Ctrl-A Ctrl-A sends Ctrl-A. Several may look at the same "
    "console. Without a terminal, standard input is typed, and what the guest says is printed until the "
    "machine ends."};
