/* SPDX-License-Identifier: MIT */
#include "config/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/unix_socket.h"

void report_problem(struct report *r, enum vz_error_code code, const char *fmt, ...)
{
    char text[VZ_ERROR_TEXT_MAX], object[sizeof(r->path)];
    struct vz_problem p = {.code = code, .object = object, .text = text};
    const char *item = strrchr(r->path, ']');
    va_list args;

    snprintf(object, sizeof(object), "%.*s",
             (int)(item ? (size_t)(item + 1 - r->path) : strlen(r->path)), r->path);
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (!r->count++)
        error_set(&r->first, 0, code, "%s%s%s", object, object[0] ? ": " : "", text);
    if (r->fn)
        r->fn(r->arg, &p);
}

size_t report_enter(struct report *r, const char *member, int index)
{
    size_t len = strlen(r->path), used = len;

    used += (size_t)snprintf(r->path + len, sizeof(r->path) - len, "%s%s", len ? "." : "", member);
    if (index >= 0 && used < sizeof(r->path))
        snprintf(r->path + used, sizeof(r->path) - used, "[%d]", index);
    return len;
}

void report_leave(struct report *r, size_t back)
{
    r->path[back] = '\0';
}

/* ---- Files and descriptors ------------------------------------------------------------------ */

/* A FIFO is not opened: whoever waits to write to it would start, and find nobody there. */
void report_opens(struct report *r, const char *path, int flags)
{
    struct stat st;
    int fd;

    if (!stat(path, &st) && S_ISFIFO(st.st_mode)) {
        if (access(path, flags == O_RDONLY ? R_OK : W_OK) < 0)
            report_problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(errno));
        return;
    }
    fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        report_problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(errno));
    else
        close(fd);
}

bool report_fd(struct report *r, int fd, int want)
{
    int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);
    int mode = flags & O_ACCMODE;

    if (flags < 0)
        report_problem(r, VZ_ERROR_IO, "file descriptor %d is not open", fd);
    else if (mode != O_RDWR && mode != want)
        report_problem(r, VZ_ERROR_IO, "file descriptor %d is not open for %s", fd,
                       want == O_RDONLY   ? "reading"
                       : want == O_WRONLY ? "writing"
                                          : "both ways");
    else
        return true;
    return false;
}

void report_output_file(struct report *r, const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[4096];
    struct stat st;

    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            report_problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(EISDIR));
        else if (access(path, W_OK) < 0)
            report_problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(errno));
        return;
    }
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + 1) : 1,
             slash ? path : ".");
    if (access(folder, W_OK | X_OK) < 0)
        report_problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(errno));
}

static bool is_too_long(const char *path)
{
    return strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path);
}

void report_socket_path(struct report *r, const char *path)
{
    if (is_too_long(path))
        report_problem(r, VZ_ERROR_INVALID, "%s: too long for a socket", path);
}

void report_new_socket(struct report *r, const char *path)
{
    for (unsigned i = 0; i < r->socket_count; i++) {
        if (!strcmp(r->socket[i], path)) {
            report_problem(r, VZ_ERROR_INVALID, "%s is another socket's path too", path);
            return;
        }
    }
    if (r->socket_count < REPORT_SOCKETS_MAX)
        r->socket[r->socket_count++] = path;
    if (is_too_long(path))
        report_socket_path(r, path);
    else if (access(path, F_OK) < 0)
        report_output_file(r, path);
    else if (!unix_socket_is_stale(path))
        report_problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(EEXIST));
}
