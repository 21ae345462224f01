/* SPDX-License-Identifier: MIT */
/* Files to a stream; and what both directions share. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/agent_tree.h"
#include "agent/agent_wire.h"
#include "base/le.h"

#define XATTRS_MAX ((size_t)64 << 10)

uint64_t tree_sum(uint64_t sum, uint64_t at, const void *data, size_t len)
{
    const uint64_t prime = UINT64_C(0x100000001b3);
    const uint8_t *p = data;

    sum = (sum ^ at) * prime;
    for (; len >= 8; len -= 8, p += 8)
        sum = (sum ^ load_le64(p)) * prime;
    for (; len; len--, p++)
        sum = (sum ^ *p) * prime;
    return sum;
}

bool tree_takes_xattr(const char *name, bool owners)
{
    if (!strncmp(name, "user.", 5))
        return true;
    return owners && (!strcmp(name, "security.capability") ||
                      !strncmp(name, "system.posix_acl_", 17) || !strncmp(name, "trusted.", 8));
}

ssize_t tree_fd_read(void *arg, void *to, size_t len)
{
    ssize_t n;

    do {
        n = read(((int *)arg)[0], to, len);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int tree_fd_write(void *arg, const void *data, size_t len)
{
    const char *p = data;

    while (len) {
        ssize_t n = write(((int *)arg)[1], p, len);

        if (n < 0 && errno != EINTR)
            return -errno;
        p += MAX(n, 0);
        len -= (size_t)MAX(n, 0);
    }
    return 0;
}

struct sender {
    const struct tree_options *o;
    const struct tree_io *io;
    struct tree_result *ret;
    char path[4096]; /* for messages, where we are */
    unsigned depth;
    uint8_t buffer[8 + 8 + TREE_DATA_MAX];
};

static int fail(struct sender *s, int r)
{
    if (!s->ret->text[0])
        snprintf(s->ret->text, sizeof(s->ret->text), "%.400s: %s", s->path, strerror(-r));
    return r;
}

static int put(struct sender *s, uint8_t type, const void *data, size_t len)
{
    uint8_t header[8] = {type};
    int r;

    store_le32(header + 4, (uint32_t)len);
    r = s->io->write(s->io->arg, header, sizeof(header));
    if (!r && len)
        r = s->io->write(s->io->arg, data, len);
    return r;
}

static int put_fields(struct sender *s, uint8_t type, struct agent_fields *f)
{
    int r = f->failed ? -ENOMEM : put(s, type, agent_bytes_front(&f->b), f->b.len);

    agent_fields_fini(f);
    return r;
}

/* Attributes that cannot be read are left out, as an ordinary copy does. */
static void put_xattrs(struct sender *s, int fd, struct agent_fields *f)
{
    static const size_t names_max = 16384;
    char *names = malloc(names_max), *value = malloc(XATTRS_MAX + 256);
    ssize_t len = names && value ? flistxattr(fd, names, names_max) : -1;
    size_t sum = 0;

    for (ssize_t i = 0; i < len; i += (ssize_t)strlen(names + i) + 1) {
        size_t name_len = strlen(names + i);
        ssize_t n;

        if (!tree_takes_xattr(names + i, s->o->owners) || name_len > 255)
            continue;
        memcpy(value, names + i, name_len + 1);
        n = fgetxattr(fd, names + i, value + name_len + 1, XATTRS_MAX - sum);
        if (n < 0 || (sum += (size_t)n + name_len + 16) > XATTRS_MAX)
            continue;
        agent_put(f, TREE_F_XATTR, value, name_len + 1 + (size_t)n);
    }
    free(names);
    free(value);
}

static int put_entry(struct sender *s, const char *name, const struct stat *st, int fd,
                     const char *target)
{
    struct agent_fields f = {.failed = false};

    agent_put_text(&f, TREE_F_NAME, name);
    agent_put_number(&f, TREE_F_MODE, st->st_mode);
    agent_put_number(&f, TREE_F_UID, st->st_uid);
    agent_put_number(&f, TREE_F_GID, st->st_gid);
    agent_put_number(&f, TREE_F_MTIME, (uint64_t)st->st_mtim.tv_sec);
    agent_put_number(&f, TREE_F_MTIME_NS, (uint64_t)st->st_mtim.tv_nsec);
    agent_put_text(&f, TREE_F_TARGET, target);
    if (S_ISREG(st->st_mode))
        agent_put_number(&f, TREE_F_SIZE, (uint64_t)st->st_size);
    if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
        agent_put_number(&f, TREE_F_DEVICE,
                         (uint64_t)major(st->st_rdev) << 32 | minor(st->st_rdev));
    if (fd >= 0)
        put_xattrs(s, fd, &f);
    s->ret->entries++;
    return put_fields(s, TREE_ENTRY, &f);
}

/* One piece of data from at on, up to end. */
static int put_data(struct sender *s, int fd, off_t *at, off_t end, uint64_t *sum)
{
    size_t want = (size_t)MIN((off_t)TREE_DATA_MAX, end - *at);
    ssize_t n = pread(fd, s->buffer + 16, want, *at);

    if (n <= 0)
        return n < 0 ? -errno : -ESTALE; /* it became shorter */
    s->buffer[0] = TREE_DATA;
    memset(s->buffer + 1, 0, 3);
    store_le32(s->buffer + 4, 8 + (uint32_t)n);
    store_le64(s->buffer + 8, (uint64_t)*at);
    *sum = tree_sum(*sum, (uint64_t)*at, s->buffer + 16, (size_t)n);
    *at += n;
    s->ret->bytes += (uint64_t)n;
    if (s->io->progress && !s->io->progress(s->io->arg, s->ret->bytes))
        return -ECANCELED;
    return s->io->write(s->io->arg, s->buffer, 16 + (size_t)n);
}

static int put_bytes(struct sender *s, int fd, off_t size)
{
    uint64_t sum = TREE_SUM_START;
    uint8_t value[8];
    off_t at = 0, end = 0;
    int r = 0;

    while (!r && at < size) {
        if (at == end) {
            at = lseek(fd, at, SEEK_DATA);
            if (at < 0 && errno == ENXIO)
                break; /* a hole up to its end */
            end = at < 0 ? -1 : lseek(fd, at, SEEK_HOLE);
            if (at < 0 || end < 0) {
                at = MAX(at, 0); /* a file system that knows no holes */
                end = size;
            }
            end = MIN(end, size);
            if (at >= size)
                break;
        }
        r = put_data(s, fd, &at, end, &sum);
    }
    store_le64(value, sum);
    return r ? r : put(s, TREE_SUM, value, sizeof(value));
}

static int send_file(struct sender *s, int dir, const char *open_name, const char *name,
                     const struct stat *before)
{
    int fd = openat(dir, open_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), r = 0;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        r = -errno;
    else if (!S_ISREG(st.st_mode) || st.st_ino != before->st_ino)
        r = -ESTALE;
    if (!r)
        r = put_entry(s, name, &st, fd, NULL);
    if (!r)
        r = put_bytes(s, fd, st.st_size);
    if (fd >= 0)
        close(fd);
    return r;
}

static int send_one(struct sender *s, int dir, const char *open_name, const char *name);

static int send_children(struct sender *s, DIR *dir)
{
    size_t end = strlen(s->path);
    struct dirent *e;
    int r = 0;

    while (!r && (errno = 0, e = readdir(dir))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        snprintf(s->path + end, sizeof(s->path) - end, "/%s", e->d_name);
        r = send_one(s, dirfd(dir), e->d_name, e->d_name);
        if (!r)
            s->path[end] = '\0';
    }
    return r ? r : -errno;
}

static int send_folder(struct sender *s, int dir, const char *open_name, const char *name)
{
    int fd = openat(dir, open_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct stat st;
    int r = d && fstat(fd, &st) == 0 ? 0 : -errno;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return r;
    }
    if (!r && s->depth >= TREE_DEPTH_MAX)
        r = -ELOOP;
    s->depth++;
    if (!r)
        r = put_entry(s, name, &st, fd, NULL);
    if (!r)
        r = send_children(s, d);
    if (!r)
        r = put(s, TREE_UP, NULL, 0);
    s->depth--;
    closedir(d);
    return r;
}

static int send_link(struct sender *s, int dir, const char *open_name, const char *name,
                     const struct stat *st)
{
    char target[4096];
    ssize_t n = readlinkat(dir, open_name, target, sizeof(target) - 1);

    if (n < 0)
        return -errno;
    target[n] = '\0';
    return put_entry(s, name, st, -1, target);
}

/* Something in a folder, which for the stream is called name. */
static int send_one(struct sender *s, int dir, const char *open_name, const char *name)
{
    struct stat st;
    int r = fstatat(dir, open_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;

    if (r)
        return fail(s, r);
    switch (st.st_mode & S_IFMT) {
    case S_IFREG: r = send_file(s, dir, open_name, name, &st); break;
    case S_IFDIR: r = send_folder(s, dir, open_name, name); break;
    case S_IFLNK: r = send_link(s, dir, open_name, name, &st); break;
    case S_IFSOCK: s->ret->skipped++; break; /* nobody listens at a copy */
    default: r = put_entry(s, name, &st, -1, NULL); break;
    }
    return r ? fail(s, r) : 0;
}

/* A path that ends in a slash or a dot means the folder, not a link to it. */
static bool means_target(const struct sender *s, const char *path)
{
    const char *last = strrchr(path, '/');

    last = last ? last + 1 : path;
    return s->o->follow || s->o->contents || !*last || !strcmp(last, ".") || !strcmp(last, "..");
}

/* real: "/", or a folder and a name in it. */
static int send_real(struct sender *s, const char *real, const char *path)
{
    char folder[4096], own[4096], given[4096];
    const char *name, *own_name;
    int dir, r;

    snprintf(folder, sizeof(folder), "%s", real);
    snprintf(own, sizeof(own), "%s", real);
    snprintf(given, sizeof(given), "%s", path);
    own_name = basename(own);
    name = basename(given); /* as the person wrote it, if that is a name */
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        name = own_name;
    if (!strcmp(name, "/"))
        name = "root";
    dir = open(dirname(folder), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return fail(s, -errno);
    r = send_one(s, dir, strcmp(own_name, "/") ? own_name : ".", s->o->contents ? "." : name);
    close(dir);
    return r;
}

static int send_path(struct sender *s, const char *path)
{
    char *real = means_target(s, path) ? realpath(path, NULL) : strdup(path);
    int r = real ? send_real(s, real, path) : fail(s, -errno);

    free(real);
    return r;
}

int tree_send(const char *path, const struct tree_options *o, const struct tree_io *io,
              struct tree_result *ret)
{
    struct sender *s = calloc(1, sizeof(*s));
    struct agent_fields f = {.failed = false};
    int r, told;

    *ret = (struct tree_result){0};
    if (!s)
        return -ENOMEM;
    s->o = o;
    s->io = io;
    s->ret = ret;
    snprintf(s->path, sizeof(s->path), "%s", path);
    r = send_path(s, path);
    if (r) {
        agent_put_number(&f, TREE_F_ERROR, (uint64_t)-r);
        agent_put_text(&f, TREE_F_TEXT, ret->text);
    } else {
        agent_put_number(&f, TREE_F_SKIPPED, ret->skipped);
    }
    told = put_fields(s, r ? TREE_FAILED : TREE_END, &f);
    free(s);
    return r ? r : told;
}
