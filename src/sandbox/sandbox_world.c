/* SPDX-License-Identifier: MIT */
#include "sandbox/sandbox_world.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/sandbox_rights.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return done;
}

/* It stays who it was there, and nobody else exists. */
static bool own_users(void)
{
    const unsigned uid = geteuid(), gid = getegid();
    char map[32];

    if (unshare(CLONE_NEWUSER) < 0)
        return false;
    snprintf(map, sizeof(map), "%u %u 1", uid, uid);
    if (!write_file("/proc/self/uid_map", map))
        return true; /* nobody, with the rights all the same */
    snprintf(map, sizeof(map), "%u %u 1", gid, gid);
    (void)(write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/gid_map", map));
    return true;
}

unsigned sandbox_world_begin(bool processes)
{
    unsigned world = 0;

    if (!sandbox_rights_has(BIT(CAP_SYS_ADMIN))) {
        if (sandbox_rights_has(BIT(CAP_NET_BIND_SERVICE)) || !own_users())
            return 0;
        world = SANDBOX_OWN_USERS;
    }
    return world | (processes && unshare(CLONE_NEWPID) == 0 ? SANDBOX_OWN_PROCESSES : 0);
}

/* A file system without a file over any folder, and then in place of all others. */
static bool empty_root(void)
{
    static const char *const places[] = {"/proc", "/tmp", "/dev"};
    unsigned i = 0;

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    while (mount("none", places[i], "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2,mode=0555") < 0)
        if (++i == ARRAY_SIZE(places))
            return false;
    return chdir(places[i]) == 0 && syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 &&
           chdir("/") == 0 &&
           mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
}

unsigned sandbox_world_empty(unsigned wanted)
{
    static const struct {
        unsigned what;
        int flag;
    } each[] = {{SANDBOX_OWN_IPC, CLONE_NEWIPC},
                {SANDBOX_OWN_NAME, CLONE_NEWUTS},
                {SANDBOX_OWN_CGROUP, CLONE_NEWCGROUP},
                {SANDBOX_OWN_NETWORK, CLONE_NEWNET}};
    unsigned world = 0;

    if (wanted & SANDBOX_OWN_FILES && unshare(CLONE_NEWNS) == 0 && empty_root())
        world = SANDBOX_OWN_FILES;
    for (size_t i = 0; i < ARRAY_SIZE(each); i++)
        if (wanted & each[i].what && unshare(each[i].flag) == 0)
            world |= each[i].what;
    return world;
}

unsigned sandbox_world_try(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        unsigned world = sandbox_world_begin(true);

        _exit((int)(world | sandbox_world_empty(~0u)));
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && WIFEXITED(status) ? (unsigned)WEXITSTATUS(status) : 0;
}

void sandbox_world_text(unsigned world, char ret[80])
{
    static const char *const name[] = {"users", "processes", "files", "IPC", "host name", "control groups", "network"};
    size_t at = 0;

    snprintf(ret, 80, "none");
    for (unsigned i = 0; i < ARRAY_SIZE(name); i++)
        if (world & BIT(i))
            at += (size_t)snprintf(ret + at, 80 - at, "%s%s", at ? ", " : "", name[i]);
}
