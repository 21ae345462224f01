/* SPDX-License-Identifier: MIT */
/* `vz logs MACHINE`: what its guest wrote to the console, or its process to its log. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command/machine_command.h"

#define STEP_MS 200

static const struct opt logs_options[] = {
    {"follow", 'f', OPT_NEVER, NULL, "Options", "go on with what is written, until the machine ends", NULL, 0},
    {"lines", 0, OPT_ALWAYS, "N", "Options", "only the last N lines", NULL, 0},
    {"process", 0, OPT_NEVER, NULL, "Options", "what the machine's process has to say, instead of its guest",
     NULL, 0},
    {.name = NULL}};

static bool print_rest(int fd)
{
    char data[16384];
    ssize_t n;

    while ((n = read(fd, data, sizeof(data))) > 0) {
        if (fwrite(data, 1, (size_t)n, stdout) != (size_t)n)
            return false;
    }
    return fflush(stdout) == 0;
}

/* To where the last lines begin. */
static void seek_lines(int fd, unsigned long lines)
{
    off_t at = lseek(fd, 0, SEEK_END);
    bool last = true; /* an end of line at the end of the file is none of them */
    char data[4096];

    while (at > 0) {
        size_t len = at < (off_t)sizeof(data) ? (size_t)at : sizeof(data);

        if (pread(fd, data, len, at - (off_t)len) != (ssize_t)len)
            break;
        for (size_t i = len; i-- > 0; last = false) {
            if (data[i] == '\n' && !last && lines-- <= 1) {
                lseek(fd, at - (off_t)len + (off_t)i + 1, SEEK_SET);
                return;
            }
        }
        at -= (off_t)len;
    }
    lseek(fd, 0, SEEK_SET);
}

/* Has the file been put aside for a new one? */
static bool is_replaced(const struct bundle *b, const char *file, int fd)
{
    struct stat here, there;

    return fstat(fd, &here) == 0 && fstatat(b->fd, file, &there, 0) == 0 && here.st_ino != there.st_ino;
}

static int open_log(const struct bundle *b, const char *file)
{
    return openat(b->fd, file, O_RDONLY | O_CLOEXEC);
}

static bool follow(const struct bundle *b, const char *file, int *fd)
{
    for (bool last = false;;) {
        if (!print_rest(*fd))
            return false;
        if (is_replaced(b, file, *fd)) {
            close(*fd);
            *fd = open_log(b, file);
            if (*fd < 0)
                return false;
        } else if (last) {
            return true;
        } else {
            last = !bundle_is_running(b); /* what it wrote before it ended is still to come */
            poll(NULL, 0, STEP_MS);
        }
    }
}

static bool print_log(const struct bundle *b, const struct args *a, unsigned long lines)
{
    const char *file = args_flag(a, "process") ? BUNDLE_LOG : BUNDLE_CONSOLE_LOG;
    int fd = open_log(b, file);
    bool ok;

    if (fd < 0 && errno == ENOENT)
        return true; /* nothing has been said */
    if (fd < 0) {
        cli_error("%s: %s: %s", b->name, file, strerror(errno));
        return false;
    }
    if (args_value(a, "lines"))
        seek_lines(fd, lines);
    ok = args_flag(a, "follow") ? follow(b, file, &fd) : print_rest(fd);
    if (fd >= 0)
        close(fd);
    return ok;
}

static int logs_main(int argc, char **argv)
{
    int status = EXIT_USAGE;
    unsigned long lines = 0;
    struct bundle b;
    struct args a;
    bool ok = args_parse(&logs_command, argc, argv, 0, 1, &a);
    const char *value = ok ? args_value(&a, "lines") : NULL;
    char *end = NULL;

    if (value && ((lines = strtoul(value, &end, 10)) == 0 || *end || value[0] == '-')) {
        cli_error("--lines '%s': expected how many", value);
        ok = false;
    }
    if (ok)
        status = EXIT_FAILED;
    if (ok && machine_open(a.word[0], &b)) {
        if (print_log(&b, &a, lines))
            status = cli_finish_output();
        bundle_close(&b);
    }
    args_free(&a);
    return status;
}

const struct command logs_command = {
    "logs", logs_main, NULL, logs_options, "print what a machine's guest wrote to its console", NULL,
    "[MACHINE]",
    "The files are console.log and vz.log in the machine's folder; those that became too long are beside "
    "them, as console.log.1 (16 MiB) and vz.log.1 (1 MiB)."};
