/* SPDX-License-Identifier: MIT */
/* Who opens resolv.conf for a process that can open nothing. The question is one byte, and the answer is a descriptor
 * or none: nothing that the network says gets here. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/pass_fd.h"
#include "child/nat_child.h"
#include "sandbox/sandbox.h"
#include "sandbox/sandbox_calls.h"

#define ANSWER_TIMEOUT_MS 2000

/* ---- The first process ---------------------------------------------------------------------- */

static int open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* The folder of a path, and of what it leads to: files are replaced by others beside them. */
static int allow_folder(struct sandbox *s, const char *path)
{
    char folder[PATH_MAX], *slash;

    snprintf(folder, sizeof(folder), "%s", path);
    slash = strrchr(folder, '/');
    if (!slash)
        return 0;
    slash[slash == folder] = '\0';
    return sandbox_allow(s, SANDBOX_KIND(NAMES), folder, false);
}

static int lock(const struct nat_wire_start *start)
{
    static struct sandbox s;
    const struct sandbox_options o = {
        .mode = start->logs ? SANDBOX_LOG : SANDBOX_ON, .process = !start->logs, .is_child = true, .uid = start->uid,
        .gid = start->gid};
    char *is = realpath(start->resolv_conf, NULL);
    int r = sandbox_init(&s, &o, NULL);

    if (!r)
        r = allow_folder(&s, start->resolv_conf);
    if (!r && is)
        r = allow_folder(&s, is);
    /* Where daemons keep the file that it leads to, or will lead to. */
    if (!r)
        r = sandbox_allow(&s, SANDBOX_KIND(NAMES), "/run", false);
    free(is);
    thread_set_policy(&s.policy);
    return r ? r : thread_enter(THREAD_NAMES);
}

void nat_names_serve(const struct nat_wire_start *start, int socket)
{
    struct pollfd p[] = {{.fd = CHILD_LIFE, .events = POLLIN}, {.fd = socket, .events = POLLIN}};
    char byte;
    int fd;

    if (start->locks && lock(start) < 0)
        _exit(1);
    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            _exit(1);
        if (p[0].revents || (p[1].revents && recv(socket, &byte, 1, MSG_DONTWAIT) <= 0))
            _exit(0);
        if (!p[1].revents)
            continue;
        fd = open_file(start->resolv_conf);
        if (pass_fd_send(socket, &byte, 1, fd, 0) < 0)
            _exit(0);
        if (fd >= 0)
            close(fd);
    }
}

/* ---- The other one -------------------------------------------------------------------------- */

int nat_names_open(void *arg)
{
    const struct nat_child *c = arg;
    char byte = 0;
    struct pollfd p = {.fd = c->names, .events = POLLIN};
    int fd;

    if (send(c->names, &byte, 1, MSG_NOSIGNAL) != 1 || poll(&p, 1, ANSWER_TIMEOUT_MS) != 1 ||
        pass_fd_receive(c->names, &byte, 1, &fd, MSG_DONTWAIT) != 1)
        return -1;
    return fd;
}
