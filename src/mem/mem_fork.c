/* SPDX-License-Identifier: MIT */
#include "mem/mem_fork.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem/mem.h"

#define DESCRIPTORS 65536 /* looked at where the kernel does not close ranges (before 5.9) */

bool mem_can_fork(const struct mem *mem)
{
    return mem->base && mem->fd < 0 && !mem->pool;
}

static void close_but(int keep)
{
    if ((!keep || syscall(SYS_close_range, 0, keep - 1, 0) == 0) &&
        syscall(SYS_close_range, keep + 1, UINT_MAX, 0) == 0)
        return;
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        if (fd != keep)
            close(fd);
    }
}

/* The child has none of our descriptors when this returns: they may be locks. */
static int wait_closed(const int fd[2])
{
    char byte;
    ssize_t n;

    close(fd[1]);
    do {
        n = read(fd[0], &byte, 1);
    } while (n < 0 && errno == EINTR);
    close(fd[0]);
    return n < 0 ? -errno : 0;
}

int mem_fork(struct mem *mem, int keep, int (*child)(void *arg), void *arg, pid_t *ret)
{
    int fd[2], e;
    long pid;

    if (!mem_can_fork(mem))
        return -EOPNOTSUPP;
    if (pipe2(fd, O_CLOEXEC) < 0)
        return -errno;
    (void)madvise(mem->base, mem->used, MADV_DOFORK);
    pid = syscall(SYS_clone, 0UL, 0, 0, 0, 0);
    e = errno;
    if (pid == 0) {
        close_but(keep);
        _exit(-child(arg) & 0xff);
    }
    (void)madvise(mem->base, mem->used, MADV_DONTFORK);
    if (pid < 0) {
        close(fd[0]);
        close(fd[1]);
        return -e;
    }
    *ret = (pid_t)pid;
    return wait_closed(fd);
}

int mem_fork_wait(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, __WALL) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}
