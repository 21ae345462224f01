/* SPDX-License-Identifier: MIT */
#include "bundle/draft.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle/settle.h"
#include "failure.h"
#include "make_folders.h"

#define RANDOM_LEN 6 /* mkdtemp's */
#define DEPTH_MAX  32
#define TRIES      16

/* ---- Removing ------------------------------------------------------------------------------- */

/* All that is in the folder of this descriptor, which is closed. */
static bool empty_folder(int fd, int depth)
{
    DIR *d = fdopendir(fd);
    bool ok = d && depth < DEPTH_MAX;

    for (struct dirent *e; ok && (e = readdir(d));) {
        int sub;

        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
            unlinkat(dirfd(d), e->d_name, 0) == 0 || errno == ENOENT)
            continue;
        sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        ok = sub >= 0 && empty_folder(sub, depth + 1) &&
             unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) == 0;
    }
    if (d)
        closedir(d);
    else
        close(fd);
    return ok;
}

static bool remove_tree(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    return fd >= 0 && empty_folder(fd, 0) && rmdir(path) == 0;
}

/* ---- Names ---------------------------------------------------------------------------------- */

/* The folder that path lies in: text for free(). */
static char *parent_of(const char *path)
{
    size_t len = (size_t)(strrchr(path, '/') - path);

    return len ? strndup(path, len) : strdup("/");
}

/* "/home/.NAME.vz.XXXXXX" for "/home/NAME.vz": text for free(). */
static char *hidden_name(const char *path)
{
    const char *last = strrchr(path, '/') + 1;
    char *hidden;

    if (asprintf(&hidden, "%.*s.%s.XXXXXX", (int)(last - path), path, last) < 0)
        return NULL;
    return hidden;
}

static int is_hidden(const struct dirent *e)
{
    size_t len = strlen(e->d_name), end = strlen(BUNDLE_SUFFIX) + 1 + RANDOM_LEN;

    return e->d_name[0] == '.' && len > end + 1 &&
           !strncmp(e->d_name + len - end, BUNDLE_SUFFIX ".", strlen(BUNDLE_SUFFIX) + 1);
}

static void sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* ---- What was left -------------------------------------------------------------------------- */

static void sweep_one(const char *path)
{
    struct bundle b = {.name = "", .path = (char *)path, .lock_fd = -1};

    b.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (b.fd < 0)
        return;
    if (bundle_lock(&b, BUNDLE_RUN, NULL) == 0)
        remove_tree(path);
    close(b.fd);
    if (b.lock_fd >= 0)
        close(b.lock_fd);
}

static void sweep(const char *folder)
{
    struct dirent **found;
    int n = scandir(folder, &found, is_hidden, NULL);
    char *path;

    for (int i = 0; i < n; i++) {
        if (asprintf(&path, "%s/%s", folder, found[i]->d_name) >= 0) {
            sweep_one(path);
            free(path);
        }
        free(found[i]);
    }
    if (n >= 0)
        free(found);
}

/* ---- Making --------------------------------------------------------------------------------- */

static int taken(const char *path, struct vz_error *err)
{
    return fail(err, VZ_ERROR_INVALID, "%.200s: is there already", path);
}

/* Make the folder and lock it: somebody's sweep may come in between. */
static bool make_locked(struct bundle *b)
{
    char *hidden = hidden_name(b->path);

    if (!hidden || !mkdtemp(hidden)) {
        free(hidden);
        return false;
    }
    b->fd = open(hidden, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b->fd >= 0 && bundle_lock(b, BUNDLE_RUN, NULL) == 0 && access(hidden, F_OK) == 0) {
        b->draft = hidden;
        return true;
    }
    free(hidden);
    if (b->fd >= 0)
        close(b->fd);
    if (b->lock_fd >= 0)
        close(b->lock_fd);
    b->fd = b->lock_fd = -1;
    errno = EAGAIN;
    return false;
}

static int begin(const char *machine, bool sweeps, struct bundle *ret, struct vz_error *err)
{
    struct bundle b = {.fd = -1, .lock_fd = -1};
    char *folder;
    bool made = false;

    if (!strchr(machine, '/') && (folder = home_path())) {
        (void)make_folders(folder); /* what fails is seen later */
        free(folder);
    }
    b.path = bundle_path_of(machine, err);
    if (!b.path)
        return -1;
    b.name = bundle_name_of(b.path);
    folder = parent_of(b.path);
    if (!b.name || !folder) {
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    } else if (access(b.path, F_OK) == 0) {
        taken(b.path, err);
    } else {
        if (sweeps)
            sweep(folder);
        for (int i = 0; i < TRIES && !made; i++)
            made = make_locked(&b);
        if (!made)
            fail_errno(err, folder);
    }
    free(folder);
    if (made)
        *ret = b;
    else
        bundle_close(&b);
    return made ? 0 : -1;
}

int draft_begin(const char *machine, struct bundle *ret, struct vz_error *err)
{
    return begin(machine, true, ret, err);
}

int draft_begin_another(const char *machine, struct bundle *ret, struct vz_error *err)
{
    return begin(machine, false, ret, err);
}

static int publish(struct bundle *b, bool soon, struct vz_error *err)
{
    if (soon && settle_mark(b, err) < 0)
        return -1;
    if (renameat2(AT_FDCWD, b->draft, AT_FDCWD, b->path, RENAME_NOREPLACE) < 0)
        return errno == EEXIST ? taken(b->path, err) : fail_errno(err, b->path);
    free(b->draft);
    b->draft = NULL;
    return 0;
}

int draft_publish_all(struct bundle *b, unsigned count, bool soon, unsigned *ret_published, struct vz_error *err)
{
    char *folder;

    *ret_published = 0;
    if (!soon && syncfs(b[0].fd) < 0)
        return fail_errno(err, b[0].path);
    for (; *ret_published < count; ++*ret_published) {
        if (publish(&b[*ret_published], soon, err) < 0)
            break;
    }
    folder = soon ? NULL : parent_of(b[0].path);
    if (folder)
        sync_folder(folder);
    free(folder);
    return *ret_published == count ? 0 : -1;
}

int draft_publish(struct bundle *b, struct vz_error *err)
{
    unsigned published;

    return draft_publish_all(b, 1, false, &published, err);
}

void draft_abandon(struct bundle *b)
{
    if (b->draft)
        remove_tree(b->draft);
    bundle_close(b);
}

/* ---- Removing and moving machines ----------------------------------------------------------- */

int bundle_remove(struct bundle *b, struct vz_error *err)
{
    char *hidden = hidden_name(b->path), *folder = parent_of(b->path);

    /* mkdtemp() finds a free name; a folder may be renamed onto an empty one. */
    if (!hidden || !folder || !mkdtemp(hidden) || rename(b->path, hidden) < 0) {
        fail_errno(err, b->path);
        if (hidden)
            rmdir(hidden);
        free(hidden);
        free(folder);
        return -1;
    }
    sync_folder(folder);
    remove_tree(hidden); /* what stays is swept another time */
    free(hidden);
    free(folder);
    bundle_close(b);
    return 0;
}

int bundle_move(struct bundle *b, const char *to, struct vz_error *err)
{
    char *path = bundle_path_of(to, err), *folder;

    if (!path)
        return -1;
    if (renameat2(AT_FDCWD, b->path, AT_FDCWD, path, RENAME_NOREPLACE) < 0) {
        if (errno == EEXIST)
            taken(path, err);
        else if (errno == EXDEV)
            fail(err, VZ_ERROR_INVALID, "%.160s: is on another file system; copy the folder there", path);
        else
            fail_errno(err, path);
        free(path);
        return -1;
    }
    folder = parent_of(path);
    if (folder)
        sync_folder(folder);
    free(folder);
    free(path);
    return 0;
}
