/* SPDX-License-Identifier: MIT */
#include "bundle/settle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "failure.h"
#include "quiet_thread.h"

#define MARK ".unsynced"
#define BOOT "/proc/sys/kernel/random/boot_id"

/* A name that no other boot has; "" where the kernel does not tell. */
static void boot_name(char ret[64])
{
    int fd = open(BOOT, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, ret, 63) : 0;

    if (fd >= 0)
        close(fd);
    ret[n > 0 ? n : 0] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
}

int settle_mark(const struct bundle *b, struct vz_error *err)
{
    char boot[64];

    boot_name(boot);
    return symlinkat(boot[0] ? boot : "unknown", b->fd, MARK) == 0 ? 0 : fail_errno(err, b->path);
}

enum settle_state settle_state(int folder)
{
    char mark[64], boot[64];
    ssize_t n = readlinkat(folder, MARK, mark, sizeof(mark) - 1);

    if (n <= 0)
        return SETTLE_DONE;
    mark[n] = '\0';
    boot_name(boot);
    return strcmp(mark, boot) ? SETTLE_STALE : SETTLE_MARKED;
}

/* Calls fn with each file that is there under this name only: what has others was there before. */
static bool each_file(int folder, bool (*fn)(int folder, const char *name, const struct stat *st))
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    bool ok = d;
    struct stat st;

    for (struct dirent *e; ok && (e = readdir(d));) {
        if (fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1)
            ok = fn(folder, e->d_name, &st);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return ok;
}

/* One that has gone meanwhile needs nothing. */
static bool sync_file(int folder, const char *name, const struct stat *st)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool ok = fd >= 0 ? fsync(fd) == 0 : errno == ENOENT;

    if (fd >= 0)
        close(fd);
    return ok;
}

static bool sync_parent(const struct bundle *b)
{
    int fd = openat(b->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

int settle_now(const struct bundle *b, struct vz_error *err)
{
    enum settle_state state = settle_state(b->fd);

    if (state == SETTLE_DONE)
        return 0;
    if (state == SETTLE_STALE && unlinkat(b->fd, BUNDLE_COPY, 0) < 0 && errno != ENOENT)
        return fail_errno(err, b->path); /* which would count again */
    if (each_file(b->fd, sync_file) && fsync(b->fd) == 0 && sync_parent(b) &&
        (unlinkat(b->fd, MARK, 0) == 0 || errno == ENOENT))
        return 0;
    return fail_errno(err, b->path);
}

static void *settle_main(void *arg)
{
    struct settling *s = arg;
    struct vz_error err;

    if (settle_now(s->bundle, &err) < 0)
        cli_error("%s: is not on stable storage: %s", s->bundle->name, err.text);
    return NULL;
}

void settle_begin(struct settling *s, const struct bundle *b)
{
    *s = (struct settling){.bundle = b};
    if (!bundle_has(b, MARK))
        return;
    s->on = quiet_thread_start(&s->thread, settle_main, s);
}

void settle_end(struct settling *s)
{
    if (s->on)
        pthread_join(s->thread, NULL);
    s->on = false;
}

/* Of those that a draft has, and that are never empty. Once its data is on the disk a file is as long as it is. */
static bool is_whole(int folder, const char *name, const struct stat *st)
{
    const char *dot = strrchr(name, '.');

    return st->st_size || name[0] == '.' || /* made for a moment (freeze.c), and no part of it */
           (strcmp(name, BUNDLE_CONFIG) && strcmp(name, BUNDLE_IDENTITY) &&
            (!dot || (strcmp(dot, ".qcow2") && strcmp(dot, ".fd"))));
}

bool settle_is_lost(int folder)
{
    return settle_state(folder) == SETTLE_STALE && !each_file(folder, is_whole);
}
