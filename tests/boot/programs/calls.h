/* SPDX-License-Identifier: MIT */
/* For programs that make calls and print a line for each, with its result and what it changed of the files that are
 * watched, so that two file systems can be compared. */
#ifndef CALLS_H
#define CALLS_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define WATCHED 4u

static const char *watched[WATCHED];
static struct stat old[WATCHED];
static bool was_there[WATCHED], folders_links, with_atime, without_times;
static int ticks; /* a file whose times tell what time it is there */

/* ---- What a call does ----------------------------------------------------------------------- */

static void watch(const char *a, const char *b, const char *c)
{
    watched[0] = a;
    watched[1] = b;
    watched[2] = c;
}

static bool differs(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec;
}

/* Until the file system's clock has gone on. */
static void wait_for_tick(void)
{
    struct stat first, st;

    (void)!(futimens(ticks, NULL) + fstat(ticks, &first));
    st = first;
    for (unsigned i = 0; i < 100 && !differs(st.st_ctim, first.st_ctim); i++) {
        usleep(1000);
        (void)!(futimens(ticks, NULL) + fstat(ticks, &st));
    }
}

static void before(void)
{
    for (unsigned i = 0; i < WATCHED; i++)
        was_there[i] = watched[i] && lstat(watched[i], &old[i]) == 0;
    if (watched[0] && !without_times)
        wait_for_tick();
    errno = 0;
}

static void show_change(unsigned i)
{
    struct stat st;

    if (lstat(watched[i], &st) < 0) {
        if (was_there[i])
            printf(" | %s gone", watched[i]);
        return;
    }
    printf(" | %s %o %u:%u", watched[i], st.st_mode, st.st_uid, st.st_gid);
    if (!S_ISDIR(st.st_mode))
        printf(" links %u size %lld dev %u,%u", (unsigned)st.st_nlink, (long long)st.st_size, major(st.st_rdev),
               minor(st.st_rdev));
    else if (folders_links)
        printf(" links %u", (unsigned)st.st_nlink);
    if (without_times)
        return;
    if (!was_there[i] || st.st_ino != old[i].st_ino) {
        printf(" new");
        return;
    }
    printf(" %s%s%s", with_atime && differs(st.st_atim, old[i].st_atim) ? "a" : "",
           differs(st.st_mtim, old[i].st_mtim) ? "m" : "", differs(st.st_ctim, old[i].st_ctim) ? "c" : "");
}

static void after(const char *what, long result)
{
    printf("%s: %s", what, result < 0 ? strerrorname_np(errno) : "ok");
    for (unsigned i = 0; i < WATCHED; i++) {
        if (watched[i])
            show_change(i);
    }
    printf("\n");
}
#define DO(call) (before(), after(#call, (long)(call)))

/* ---- Who does it, to what ------------------------------------------------------------------- */

static void be(unsigned uid, unsigned gid)
{
    const gid_t others[] = {gid, 700};

    if (seteuid(0) || setegid(0) || setgroups(2, others) || setegid(gid) || seteuid(uid))
        exit(1);
    printf("-- as %u:%u\n", uid, gid);
}

static void begin(const char *what)
{
    be(0, 0);
    watch(NULL, NULL, NULL);
    printf("== %s\n", what);
    if (mkdir(what, 0755) < 0 || chdir(what) < 0)
        exit(1);
    umask(0);
}

static void end(void)
{
    be(0, 0);
    without_times = false;
    if (chdir("..") < 0)
        exit(1);
}

static int opened(const char *name, int flags, mode_t mode)
{
    int fd = open(name, flags | O_NONBLOCK, mode);

    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static int file(const char *name)
{
    return opened(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
}

static int dir(const char *name)
{
    return mkdir(name, 0755);
}

static int fifo(const char *name)
{
    return mkfifo(name, 0644);
}

static int block(const char *name)
{
    return mknod(name, S_IFBLK | 0644, makedev(1, 2));
}

static int chr(const char *name)
{
    return mknod(name, S_IFCHR | 0644, makedev(259, 1000));
}

static int sock(const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM, 0), r;

    snprintf(a.sun_path, sizeof(a.sun_path), "%s", name);
    r = bind(s, (struct sockaddr *)&a, sizeof(a));
    close(s);
    return r;
}

static int soft(const char *name)
{
    return symlink("nowhere", name);
}

static const struct kind {
    const char *name;
    int (*make)(const char *name);
} kinds[] = {{"file", file}, {"fifo", fifo}, {"dir", dir}, {"block", block}, {"char", chr}, {"socket", sock},
             {"link", soft}};
#define KINDS (sizeof(kinds) / sizeof(*kinds))

/* To give a link away may have changed its folder (docs/shares.md), which a guest may hear of later: now it has changed
 * everywhere. */
static inline void change_folder(void)
{
    if (file("changed") < 0 || unlink("changed") < 0)
        exit(1);
}

static int discard(const char *name)
{
    return unlink(name) < 0 ? rmdir(name) : 0;
}

/* A file in dir that has no name, and gets one unless that is NULL. */
static inline int unnamed_in(const char *dir, int flags, mode_t mode, const char *name)
{
    char path[64];
    int fd = open(dir, flags | O_TMPFILE, mode), r = fd;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fd >= 0 && name)
        r = linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
    if (fd >= 0)
        close(fd);
    return r;
}

#endif
