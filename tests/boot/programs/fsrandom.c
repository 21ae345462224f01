/* SPDX-License-Identifier: MIT */
/* Random calls of every kind in two directories alike, in the manner of fsstress: both are to answer each call
 * alike, and to have the same files at the end. The guest's part of tests/boot/test_share_random.py.
 *
 *     fsrandom MODEL DIR SEED STEPS */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define OPEN_FILES 8u
#define BUFFER     70000u

static int side[2];              /* the directories */
static int files[2][OPEN_FILES]; /* -1: none */
static uint64_t state;
static unsigned char buffer[2][BUFFER];

static unsigned roll(unsigned count)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % count;
}

/* Of a few names in a few folders, so that they meet. */
static void pick(char ret[32])
{
    static const char *const folders[] = {"", "a/", "b/", "a/c/", "b/d/"};

    snprintf(ret, 32, "%s%c", folders[roll(5)], "abcdefgh"[roll(8)]);
}

struct step {
    unsigned kind, a, b;
    off_t at;
    size_t len;
    char name[32], other[32];
    mode_t mode;
    unsigned open;
};

static long open_file(const struct step *s, int dir, int *fd)
{
    static const int flags[] = {O_RDWR, O_RDWR | O_CREAT, O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_TRUNC,
                                O_RDWR | O_CREAT | O_APPEND,
                                O_RDONLY};

    struct stat st;

    if (*fd >= 0)
        close(*fd);
    *fd = openat(dir, s->name, flags[s->a % 6] | O_NOFOLLOW | O_NONBLOCK, s->mode & 0777);
    if (*fd < 0 || (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)))
        return *fd < 0 ? -1 : 0;
    close(*fd); /* folders and devices are not the same for all calls on any two file systems */
    *fd = -1;
    return 1;
}

/* Whose a link is seen as depends on its folder (docs/shares.md). */
static unsigned long owner_of(const struct stat *st)
{
    return S_ISLNK(st->st_mode) ? 0 : st->st_uid * 7ul + st->st_gid * 11ul;
}

static long look(const struct step *s, int dir)
{
    struct stat st;

    if (fstatat(dir, s->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    if (S_ISDIR(st.st_mode))
        return (long)st.st_mode;
    return (long)(st.st_mode + st.st_nlink * 100000 + (unsigned long)st.st_size * 1000000 + owner_of(&st));
}

/* On a side. What comes back is compared: a result, or an errno. */
static long take(const struct step *s, unsigned n)
{
    int dir = side[n], *fd = &files[n][s->open];

    switch (s->kind) {
    case 0: case 1: case 2: return open_file(s, dir, fd);
    case 3: return mkdirat(dir, s->name, s->mode & 07777);
    case 4: return unlinkat(dir, s->name, 0);
    case 5: return unlinkat(dir, s->name, AT_REMOVEDIR);
    case 6: return renameat(dir, s->name, dir, s->other);
    case 7: return renameat2(dir, s->name, dir, s->other, s->a % 2 ? RENAME_NOREPLACE : RENAME_EXCHANGE);
    case 8: return linkat(dir, s->name, dir, s->other, 0);
    case 9: return symlinkat(s->other, dir, s->name);
    case 10: return mknodat(dir, s->name, (s->a % 2 ? S_IFIFO : S_IFCHR) | (s->mode & 0777), makedev(1, 3));
    case 11: return fchmodat(dir, s->name, s->mode & 07777, 0);
    case 12: return fchownat(dir, s->name, s->a % 5, s->b % 5, 0); /* of links: test_share_rules.py */
    case 13: return look(s, dir);
    case 14: return ftruncate(*fd, s->at);
    case 15: return fallocate(*fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, s->at, (off_t)s->len + 1);
    case 16: return fsync(*fd);
    case 17: return fsetxattr(*fd, s->a % 2 ? "user.one" : "user.two", s->name, s->b % 9, 0);
    case 18: return fgetxattr(*fd, "user.one", buffer[n], BUFFER);
    case 19: return fremovexattr(*fd, "user.one");
    case 20: return fchmod(*fd, s->mode & 07777);
    case 21: return fchown(*fd, s->a % 5, s->b % 5);
    case 22: return lseek(*fd, s->at, SEEK_END);
    case 23: case 24: case 25: case 26: return pread(*fd, buffer[n], s->len, s->at);
    case 27: return close(*fd), *fd = -1, 0;
    default:
        memset(buffer[n], (int)s->a, s->len);
        return pwrite(*fd, buffer[n], s->len, s->at);
    }
}

static bool step(unsigned i)
{
    struct step s = {.kind = roll(34), .a = roll(1000), .b = roll(1000), .at = roll(200000), .len = roll(BUFFER),
                     .mode = roll(010000) | 0600, .open = roll(OPEN_FILES)};
    long result[2];
    int error[2];

    pick(s.name);
    pick(s.other);
    memset(buffer, 0, sizeof(buffer));
    for (unsigned n = 0; n < 2; n++) {
        errno = 0;
        result[n] = take(&s, n);
        error[n] = result[n] < 0 ? errno : 0;
    }
    if (result[0] == result[1] && error[0] == error[1] && !memcmp(buffer[0], buffer[1], BUFFER))
        return true;
    printf("step %u kind %u %s %s a %u at %lld len %zu: %ld %d, %ld %d%s\n", i, s.kind, s.name, s.other, s.a,
           (long long)s.at, s.len, result[0], error[0], result[1], error[1], memcmp(buffer[0], buffer[1], BUFFER) ? ", other data" : "");
    return false;
}

/* ---- What is there at the end ------------------------------------------------------------------ */

static uint64_t sum_of(int dir, const char *name, const struct stat *st)
{
    uint64_t sum = 0;
    ssize_t n;

    if (S_ISLNK(st->st_mode)) {
        n = readlinkat(dir, name, (char *)buffer[0], BUFFER);
        for (ssize_t i = 0; i < n; i++)
            sum = sum * 31 + buffer[0][i];
    } else if (S_ISREG(st->st_mode)) {
        int fd = openat(dir, name, O_RDONLY);

        while ((n = read(fd, buffer[0], BUFFER)) > 0) {
            for (ssize_t i = 0; i < n; i++)
                sum = sum * 31 + buffer[0][i];
        }
        n = fgetxattr(fd, "user.one", buffer[0], BUFFER);
        for (ssize_t i = 0; i < n; i++)
            sum = sum * 31 + buffer[0][i];
        close(fd);
    }
    return sum;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static uint64_t sum_of_tree(int at, const char *name, unsigned *count)
{
    int dir = openat(at, name, O_RDONLY | O_DIRECTORY);
    struct dirent **list;
    uint64_t sum = 0;
    int n = scandirat(dir, ".", &list, NULL, by_name);

    for (int i = 0; i < n; i++) {
        const char *entry = list[i]->d_name;
        struct stat st;

        if (!strcmp(entry, ".") || !strcmp(entry, "..") || fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        ++*count;
        for (const char *c = entry; *c; c++)
            sum = sum * 31 + (unsigned char)*c;
        sum = sum * 31 + st.st_mode + owner_of(&st) + st.st_rdev;
        if (!S_ISDIR(st.st_mode))
            sum = sum * 31 + st.st_nlink + (uint64_t)st.st_size + sum_of(dir, entry, &st);
        else
            sum = sum * 31 + sum_of_tree(dir, entry, count);
    }
    close(dir);
    return sum;
}

int main(int argc, char **argv)
{
    unsigned count[2] = {0, 0}, steps = argc > 4 ? (unsigned)atoi(argv[4]) : 1000;
    uint64_t sum[2];

    if (argc < 4)
        return 1;
    umask(0);
    state = strtoull(argv[3], NULL, 10);
    memset(files, 0xff, sizeof(files));
    for (unsigned n = 0; n < 2; n++) {
        char folder[300];

        snprintf(folder, sizeof(folder), "%s/seed-%s", argv[n + 1], argv[3]);
        mkdir(folder, 0755);
        side[n] = open(folder, O_RDONLY | O_DIRECTORY);
        mkdirat(side[n], "a", 0755);
        mkdirat(side[n], "b", 0755);
    }
    for (unsigned i = 0; i < steps; i++) {
        if (!step(i))
            return 1;
    }
    for (unsigned n = 0; n < 2; n++)
        sum[n] = sum_of_tree(side[n], ".", &count[n]);
    printf("seed %s: %s\n", argv[3], sum[0] == sum[1] && count[0] == count[1] && count[0] ? "alike" : "they differ");
    return 0;
}
