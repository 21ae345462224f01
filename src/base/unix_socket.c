/* SPDX-License-Identifier: MIT */
#include "base/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int prepare(const char *path, struct sockaddr_un *ret)
{
    int fd;

    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(ret->sun_path))
        return -ENAMETOOLONG;
    strcpy(ret->sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

bool unix_socket_is_stale(const char *path)
{
    struct sockaddr_un a;
    struct stat st;
    bool stale;
    int fd;

    if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    fd = prepare(path, &a);
    if (fd < 0)
        return false;
    stale = connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

int unix_socket_listen(const char *path, int backlog)
{
    struct sockaddr_un a;
    int fd = prepare(path, &a), r;

    if (fd < 0)
        return fd;
    r = bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
    if (r == -EADDRINUSE && unix_socket_is_stale(path) && unlink(path) == 0)
        r = bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
    if (!r && listen(fd, backlog) < 0) {
        r = -errno;
        unlink(path);
    }
    if (!r)
        return fd;
    close(fd);
    return r;
}
