/* SPDX-License-Identifier: MIT */
#include "base/pidfd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BY_PIDFD 3 /* P_PIDFD, of Linux 5.4 */

int pidfd_of(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -errno : fd;
}

void pidfd_kill_late(int pidfd, int ms)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    int r;

    if (pidfd < 0)
        return;
    do
        r = poll(&p, 1, ms);
    while (r < 0 && errno == EINTR);
    if (!r)
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

/* 0 or -errno. */
static int wait_for(int pidfd, pid_t pid)
{
    long r;

    do
        r = pidfd < 0 ? waitpid(pid, NULL, 0) : syscall(SYS_waitid, BY_PIDFD, pidfd, NULL, WEXITED, NULL);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

void pidfd_reap(int pidfd, pid_t pid)
{
    if (pidfd == -ESRCH)
        return;
    if (wait_for(pidfd, pid) == -EINVAL && pidfd >= 0) /* Linux 5.3 has the descriptors, and cannot wait by them */
        (void)wait_for(-1, pid);
    if (pidfd >= 0)
        close(pidfd);
}
