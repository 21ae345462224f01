/* SPDX-License-Identifier: MIT */
/* Stand-ins that take the place of a name which is there already: of a symbolic link that the guest gives to
 * somebody else, and of what an overlay's rename leaves behind (RENAME_WHITEOUT).
 *
 * A stand-in is made whole under a name of ours in the same folder, and exchanged with what was there, so
 * that at no time the name leads to nothing or to half of it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "share/share_impl.h"

#define NAME_LEN 32u
#define TRIES    8u

/* A name that nobody else has: if somebody has, O_EXCL says so. */
static void choose_name(char ret[NAME_LEN])
{
    uint64_t number = 0;

    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
        number = (uintptr_t)ret;
    snprintf(ret, NAME_LEN, ".vz-%016llx", (unsigned long long)number);
}

static int write_text(int fd, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    ssize_t n = len ? write(fd, text, len) : 0;

    return n < 0 ? -errno : (size_t)n < len ? -ENOSPC : 0;
}

/* An open file under a name of ours in dir_fd. Returns a descriptor or -errno. */
static int make_file(int dir_fd, char ret_name[NAME_LEN])
{
    int fd = -1;

    for (unsigned i = 0; fd < 0 && i < TRIES; i++) {
        choose_name(ret_name);
        fd = openat(dir_fd, ret_name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    return fd < 0 ? -errno : fd;
}

/* A stand-in of what want says, with text in it (NULL: nothing). Returns a descriptor or -errno. */
static int make(const struct share *s, const struct root *root, int dir_fd, const struct tag *want,
                const char *text, char ret_name[NAME_LEN])
{
    int fd = make_file(dir_fd, ret_name), r;
    struct statx st;

    if (fd < 0)
        return fd;
    r = write_text(fd, text);
    if (!r)
        r = stat_fd(fd, &st);
    if (!r)
        r = owner_made(s, root, fd, want, &st);
    if (!r)
        return fd;
    unlinkat(dir_fd, ret_name, 0);
    close(fd);
    return r;
}

/* ---- Links ---------------------------------------------------------------------------------- */

static void keep_times(int fd, const struct statx *host)
{
    const struct timespec t[2] = {{host->stx_atime.tv_sec, host->stx_atime.tv_nsec},
                                  {host->stx_mtime.tv_sec, host->stx_mtime.tv_nsec}};

    futimens(fd, t); /* it is seen anyway, with the times of now */
}

/* name is n still: have it be the file of ours, and take the link away. */
static int replace_link(struct share *s, struct node *n, struct node *parent, int dir_fd, const char *name,
                        const char *ours)
{
    struct node *other;
    struct statx st;
    int r = renameat2(dir_fd, ours, dir_fd, name, RENAME_EXCHANGE) < 0 ? -errno : 0;

    if (!r)
        r = stat_in(dir_fd, ours, &st);
    if (!r && !node_is(n, &st)) { /* the host was quicker: what it put there goes back */
        if (renameat2(dir_fd, ours, dir_fd, name, RENAME_EXCHANGE) < 0)
            return -errno; /* then ours is what the host put there: it stays */
        r = -ESTALE;
    }
    unlinkat(dir_fd, ours, 0);
    if (!r)
        r = stat_in(dir_fd, name, &st);
    if (!r)
        r = node_found(s, parent, name, &st, &other);
    if (r < 0)
        return r;
    if (other == n)
        r = -ESTALE; /* quicker again */
    else
        node_take_over(s, other, n);
    node_put(s, other);
    return r;
}

int link_give_to(struct share *s, struct node *n, int fd, const struct statx *host, const struct tag *want)
{
    char target[PATH_MAX], name[SHARE_NAME_MAX + 1], ours[NAME_LEN];
    struct node *parent = node_place(s, n, name);
    ssize_t len = readlinkat(fd, "", target, sizeof(target) - 1);
    int dir_fd, file, r = len < 0 ? -errno : parent ? 0 : -ESTALE;

    if (!r && host->stx_nlink != 1)
        r = -EPERM; /* its other names would lead to the link as it was */
    if (!r)
        r = node_fd(s, parent, &dir_fd);
    if (r < 0) {
        node_put(s, parent);
        return r;
    }
    target[len] = '\0';
    file = make(s, n->root, dir_fd, want, target, ours);
    r = file < 0 ? file : 0;
    if (!r) {
        keep_times(file, host);
        close(file);
        r = replace_link(s, n, parent, dir_fd, name, ours);
    }
    node_fd_put(s, parent);
    node_put(s, parent);
    return r;
}

/* ---- Whiteouts ------------------------------------------------------------------------------ */

int rename_to_whiteout(const struct share *s, const struct root *root, const struct tag *want, int from_fd,
                       const char *from, int to_fd, const char *to, unsigned flags)
{
    char ours[NAME_LEN];
    int file = make(s, root, from_fd, want, NULL, ours), r = 0;
    struct statx st;

    if (file < 0)
        return file;
    close(file);
    if (renameat2(from_fd, ours, from_fd, from, RENAME_EXCHANGE) < 0)
        r = -errno;
    else if (renameat2(from_fd, ours, to_fd, to, flags) < 0) {
        r = -errno;
        if (renameat2(from_fd, ours, from_fd, from, RENAME_EXCHANGE) < 0)
            return r; /* then ours is what was to be moved: it stays */
    } else if (stat_in(from_fd, ours, &st) == 0) {
        /* Both were names of one file, of which a rename does nothing. */
        if (renameat2(from_fd, ours, from_fd, from, RENAME_EXCHANGE) < 0)
            return -errno;
        unlinkat(from_fd, ours, 0);
    }
    if (r < 0)
        unlinkat(from_fd, ours, 0);
    return r;
}
