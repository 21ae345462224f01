/* SPDX-License-Identifier: MIT */
/* Locks of open file descriptions name no process, so those that have the file open are looked
 * through: see lock_holder.h. */
#include "base/lock_holder.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
    return found;
}
