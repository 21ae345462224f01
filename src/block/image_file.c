/* SPDX-License-Identifier: MIT */
/* Files that appear when they are whole: see image_file.h. */
#include "block/image_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file_lock.h"

static int failed(const struct image_file *f, int errno_value, struct vz_error *err)
{
    return error_set(err, errno_value, VZ_ERROR_IO, "%s: %s", f->path,
                     errno_value == EEXIST ? "is there already" : strerror(errno_value));
}

static bool name_temp(struct image_file *f)
{
    return snprintf(f->temp, sizeof(f->temp), "%s.XXXXXX", f->path) < (int)sizeof(f->temp);
}

/* For file systems without O_TMPFILE. */
static int begin_named(struct image_file *f)
{
    mode_t mask = umask(0);

    umask(mask);
    f->fd = name_temp(f) ? mkostemp(f->temp, O_CLOEXEC) : -1;
    if (f->fd < 0)
        f->temp[0] = '\0';
    else
        fchmod(f->fd, 0666 & ~mask);
    return f->fd < 0 ? -errno : 0;
}

/* Who uses the image that is to be replaced would go on with one that has no name any more, and others with another
 * one of that name. A device would become a file. */
static int claim_old(struct image_file *f, struct vz_error *err)
{
    struct stat st;
    bool read_only = false;

    if (lstat(f->path, &st) < 0)
        return errno == ENOENT ? 0 : failed(f, errno, err);
    if (S_ISLNK(st.st_mode))
        return 0; /* the link goes, and not what it leads to */
    if (!S_ISREG(st.st_mode))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: is no file, and not replaced by one", f->path);
    f->lock_fd = open(f->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (f->lock_fd < 0 && (errno == EACCES || errno == EROFS)) {
        read_only = true;
        f->lock_fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    }
    if (f->lock_fd < 0)
        return errno == EACCES ? 0 : failed(f, errno, err);
    return file_lock(f->lock_fd, read_only, f->path, err);
}

/* The folder that the file is in. */
static bool folder_of(const struct image_file *f, char ret[PATH_MAX])
{
    const char *slash = strrchr(f->path, '/');
    size_t len = slash ? (size_t)(slash - f->path) + 1 : 0;

    if (len + 1 >= PATH_MAX)
        return false;
    memcpy(ret, f->path, len);
    strcpy(ret + len, ".");
    return true;
}

static int begin(struct image_file *f, struct vz_error *err)
{
    char folder[PATH_MAX];
    int r;

    if (!folder_of(f, folder))
        return failed(f, ENAMETOOLONG, err);
    if (!f->replace && !access(f->path, F_OK))
        return failed(f, EEXIST, err);
    r = f->replace ? claim_old(f, err) : 0;
    if (r < 0)
        return r;
    f->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    if (f->fd < 0)
        r = begin_named(f);
    return r < 0 ? failed(f, -r, err) : 0;
}

int image_file_begin(struct image_file *f, const char *path, bool replace, struct vz_error *err)
{
    int r;

    f->path = path;
    f->replace = replace;
    f->unsynced = false;
    f->temp[0] = '\0';
    f->fd = f->lock_fd = -1;
    r = begin(f, err);
    if (r < 0)
        image_file_abandon(f);
    return r;
}

static int link_as(const struct image_file *f, const char *name)
{
    char self[32];

    snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* A name beside the old file's, to be renamed over it. */
static int link_beside(struct image_file *f)
{
    int r = -EEXIST;

    for (unsigned n = 0; r == -EEXIST && n < 100; n++) {
        if (snprintf(f->temp, sizeof(f->temp), "%s.%u-%u", f->path, (unsigned)getpid(), n) >=
            (int)sizeof(f->temp))
            return -ENAMETOOLONG;
        r = link_as(f, f->temp);
    }
    if (r < 0)
        f->temp[0] = '\0';
    return r;
}

static int give_name(struct image_file *f)
{
    int r = 0;

    if (!f->temp[0] && !f->replace)
        return link_as(f, f->path);
    if (!f->temp[0])
        r = link_beside(f);
    if (!r && renameat2(AT_FDCWD, f->temp, AT_FDCWD, f->path, f->replace ? 0 : RENAME_NOREPLACE) < 0)
        r = -errno;
    if (!r)
        f->temp[0] = '\0';
    return r;
}

/* What the file was made of may be deleted next, on another file system: so its name is on stable storage, too. There
 * are file systems that cannot do that. */
static void sync_name(const struct image_file *f)
{
    char folder[PATH_MAX];
    int fd = folder_of(f, folder) ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        (void)!fsync(fd);
        close(fd);
    }
}

int image_file_publish(struct image_file *f, struct vz_error *err)
{
    int r = !f->unsynced && fsync(f->fd) < 0 ? -errno : give_name(f);

    if (!r && !f->unsynced)
        sync_name(f);
    image_file_abandon(f);
    return r < 0 ? failed(f, -r, err) : 0;
}

void image_file_abandon(struct image_file *f)
{
    if (f->temp[0])
        unlink(f->temp);
    if (f->fd >= 0)
        close(f->fd);
    if (f->lock_fd >= 0)
        close(f->lock_fd);
    f->fd = f->lock_fd = -1;
    f->temp[0] = '\0';
}
