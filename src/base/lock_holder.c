/* SPDX-License-Identifier: MIT */
/* Locks of open file descriptions name no process, so those that have the file open are looked
 * through: see lock_holder.h. Processes in a sandbox do not let themselves be looked at; those of ours leave a name
 * (file_lock.c). */
#include "base/lock_holder.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* fdinfo of a descriptor has a line for each lock that was taken through it. */
static bool has_lock(const char *pid, const char *fd)
{
    char path[64], line[256];
    bool found = false;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%.16s/fdinfo/%.16s", pid, fd);
    f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof(line), f))
        found = !strncmp(line, "lock:", 5);
    if (f)
        fclose(f);
    return found;
}

static bool holds(const char *pid, const struct stat *st)
{
    char path[64];
    struct dirent *e;
    bool found = false;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
    d = opendir(path);
    while (d && !found && (e = readdir(d))) {
        struct stat other;

        found = isdigit((unsigned char)e->d_name[0]) && !fstatat(dirfd(d), e->d_name, &other, 0) &&
                other.st_ino == st->st_ino && other.st_dev == st->st_dev && has_lock(pid, e->d_name);
    }
    if (d)
        closedir(d);
    return found;
}

static void name_of(const char *pid, char ret[LOCK_HOLDER_MAX])
{
    char path[64], name[32] = "";
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
    f = fopen(path, "re");
    if (f) {
        if (!fgets(name, sizeof(name), f))
            name[0] = '\0';
        fclose(f);
    }
    name[strcspn(name, "\n")] = '\0';
    for (char *c = name; *c; c++)
        *c = isprint((unsigned char)*c) ? *c : '?';
    snprintf(ret, LOCK_HOLDER_MAX, "%s (process %.16s)", name, pid);
}

/* "1: FLOCK  ADVISORY  READ 4711 08:01:1234 0 EOF": proc_locks(5). */
static bool is_name_left(const char *line, const struct stat *st, unsigned *ret_pid)
{
    unsigned major_nr, minor_nr;
    unsigned long long inode;

    return sscanf(line, "%*u: FLOCK ADVISORY READ %u %x:%x:%llu", ret_pid, &major_nr, &minor_nr, &inode) == 4 &&
           major_nr == major(st->st_dev) && minor_nr == minor(st->st_dev) && inode == st->st_ino;
}

static bool find_name_left(const struct stat *st, char ret[LOCK_HOLDER_MAX])
{
    FILE *f = fopen("/proc/locks", "re");
    char line[256], pid[16];
    bool found = false;
    unsigned nr;

    while (f && !found && fgets(line, sizeof(line), f)) {
        found = is_name_left(line, st, &nr) && nr && nr != (unsigned)getpid(); /* 0: in another namespace */
        if (found) {
            snprintf(pid, sizeof(pid), "%u", nr);
            name_of(pid, ret);
        }
    }
    if (f)
        fclose(f);
    return found;
}

bool lock_holder(int fd, char ret[LOCK_HOLDER_MAX])
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    struct stat st;
    bool found = false;

    if (d && !fstat(fd, &st)) {
        while (!found && (e = readdir(d))) {
            found = isdigit((unsigned char)e->d_name[0]) && holds(e->d_name, &st);
            if (found)
                name_of(e->d_name, ret);
        }
    }
    if (d)
        closedir(d);
    return found || (!fstat(fd, &st) && find_name_left(&st, ret));
}
