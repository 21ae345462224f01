/* SPDX-License-Identifier: MIT */
/* Files in memory that get huge pages.
 *
 * Most hosts give memory files (memfd_create()) small pages only, whatever they are asked for
 * (/sys/kernel/mm/transparent_hugepage/shmem_enabled says never). Who mounts a tmpfs may say for it that
 * it shall have huge ones, and everybody may mount one in namespaces of his own. So a child process makes
 * such, opens a file without a name there, and ends; the file lives as long as its descriptor. Where
 * that is not allowed it is a memory file after all. Touching memory for the first time costs a
 * twentieth then, and large random accesses a fraction. */
#include "mem/mem_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Room for it in the table of descriptors, which the child shares, and what it has to know. */
struct request {
    int fd;
    char uid_map[32], gid_map[32];
};

static int say(const char *file, const char *text)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

    if (fd >= 0)
        close(fd);
    return n < 0 ? -1 : 0;
}

/* In the child, a copy of one thread of the program: system calls only. */
static int make_huge(const struct request *r)
{
    static const char *const place[] = {"/tmp", "/dev", "/var", "/usr"};
    int fd = -1;

    (void)say("/proc/self/setgroups", "deny"); /* older kernels have none */
    if (say("/proc/self/uid_map", r->uid_map) < 0 || say("/proc/self/gid_map", r->gid_map) < 0)
        return 1;
    for (unsigned n = 0; fd < 0 && n < sizeof(place) / sizeof(place[0]); n++)
        if (mount("tmpfs", place[n], "tmpfs", MS_NOSUID | MS_NODEV, "huge=always,size=0,mode=700") == 0)
            fd = open(place[n], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return 1;
    (void)!dup3(fd, r->fd, O_CLOEXEC);
    close(fd);
    return 0;
}

int mem_file_create(void)
{
    struct request r = {.fd = memfd_create("vz-ram", MFD_CLOEXEC)};
    int status;
    long pid;

    if (r.fd < 0)
        return -1;
    snprintf(r.uid_map, sizeof(r.uid_map), "0 %u 1", (unsigned)geteuid());
    snprintf(r.gid_map, sizeof(r.gid_map), "0 %u 1", (unsigned)getegid());
    /* Ends without a signal, which programs may be waiting for. */
    pid = syscall(SYS_clone, (unsigned long)(CLONE_NEWUSER | CLONE_NEWNS | CLONE_FILES), 0, 0, 0, 0);
    if (pid == 0)
        _exit(make_huge(&r));
    while (pid > 0 && waitpid((pid_t)pid, &status, __WALL) < 0 && errno == EINTR)
        ;
    return r.fd;
}
