/* SPDX-License-Identifier: MIT */
/* Opening and locking the file under a raw disk: see blk_image.h. */
#include "block/blk_image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/disk_format.h"
#include "base/error.h"
#include "base/file_lock.h"

/* What every file system and device takes. */
#define DIRECT_ALIGN_SAFE 4096u

static const char *name_of(const struct blk_raw_options *o)
{
    return o->path ? o->path : "disk descriptor";
}

static int open_failed(const struct blk_raw_options *o, int errno_value, struct vz_error *err)
{
    if (errno_value == EBUSY)
        return error_set(err, EBUSY, VZ_ERROR_INVALID, "%s: is in use, mounted perhaps",
                         name_of(o));
    return error_set(err, errno_value, VZ_ERROR_IO, "%s: cannot open%s: %s", name_of(o),
                     o->read_only ? "" : " for writing", strerror(errno_value));
}

static int open_fd(const struct blk_raw_options *o, int *ret, struct vz_error *err)
{
    int access = o->read_only ? O_RDONLY : O_RDWR;
    struct stat st;
    int fd;

    if (!o->path) {
        fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
            return open_failed(o, errno, err);
        if (!o->read_only && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR) {
            close(fd);
            return open_failed(o, EBADF, err);
        }
        *ret = fd;
        return 0;
    }
    /* Not blocking on a FIFO. O_EXCL: not a device that is mounted. */
    if (stat(o->path, &st) < 0)
        return open_failed(o, errno, err);
    if (S_ISBLK(st.st_mode) && !o->read_only)
        access |= O_EXCL;
    fd = open(o->path, access | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return open_failed(o, errno, err);
    fcntl(fd, F_SETFL, 0); /* io_uring would take O_NONBLOCK to heart */
    *ret = fd;
    return 0;
}

static int check_kind(const struct blk_raw_options *o, struct blk_image *im, struct vz_error *err)
{
    struct stat st;

    if (fstat(im->fd, &st) < 0)
        return open_failed(o, errno, err);
    im->is_device = S_ISBLK(st.st_mode);
    if (!im->is_device && !S_ISREG(st.st_mode))
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "%s: is neither a file nor a block device", name_of(o));
    im->physical_block_size = DIRECT_ALIGN_SAFE;
    im->discard_granularity = DIRECT_ALIGN_SAFE;
    if (im->is_device) {
        unsigned size;

        if (!ioctl(im->fd, BLKPBSZGET, &size) && is_power_of_two(size) && size >= BLK_SECTOR)
            im->physical_block_size = size;
    }
    return 0;
}

static void find_direct_alignment(struct blk_image *im)
{
    im->direct_align = im->direct_mem_align = DIRECT_ALIGN_SAFE;
#ifdef STATX_DIOALIGN
    struct statx stx;

    if (!statx(im->direct_fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) &&
        (stx.stx_mask & STATX_DIOALIGN) && is_power_of_two(stx.stx_dio_offset_align) &&
        is_power_of_two(stx.stx_dio_mem_align)) {
        im->direct_align = stx.stx_dio_offset_align;
        im->direct_mem_align = stx.stx_dio_mem_align;
        return;
    }
#endif
    unsigned size;

    if (im->is_device && !ioctl(im->direct_fd, BLKSSZGET, &size) && is_power_of_two(size))
        im->direct_align = im->direct_mem_align = size;
}

/* A second description of the same file: O_DIRECT is a property of the description. */
static int open_direct(const struct blk_raw_options *o, struct blk_image *im, struct vz_error *err)
{
    char path[32];

    if (o->caching != BLK_CACHING_UNCACHED)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", im->fd);
    im->direct_fd = open(path, (o->read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC);
    if (im->direct_fd < 0 && errno == EINVAL)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "%s: its file system has no uncached mode (O_DIRECT)", name_of(o));
    if (im->direct_fd < 0)
        return open_failed(o, errno, err);
    find_direct_alignment(im);
    return 0;
}

int blk_image_size(const struct blk_image *im, uint64_t *ret)
{
    struct stat st;
    uint64_t size;

    if (im->is_device) {
        if (ioctl(im->fd, BLKGETSIZE64, &size) < 0)
            return -errno;
    } else {
        if (fstat(im->fd, &st) < 0)
            return -errno;
        size = (uint64_t)st.st_size;
    }
    *ret = align_down(size, BLK_SECTOR);
    return 0;
}

static int check_format(const struct blk_raw_options *o, int fd, struct vz_error *err)
{
    char text[DISK_FORMAT_TEXT_MAX];

    if (o->any_content || !disk_format_problem(fd, o->read_only, text))
        return 0;
    return error_set(err, EINVAL, VZ_ERROR_INVALID_DISK_IMAGE, "%s: %s", name_of(o), text);
}

int blk_image_check_size(const struct blk_image *im, const char *path, uint64_t *ret,
                         struct vz_error *err)
{
    const char *name = path ? path : "disk descriptor";
    struct stat st;
    int r = blk_image_size(im, ret);

    if (r < 0 || fstat(im->fd, &st) < 0)
        return error_set(err, r < 0 ? -r : errno, VZ_ERROR_IO, "%s: %s", name,
                         strerror(r < 0 ? -r : errno));
    if (im->growing)
        return 0;
    if (!im->is_device && st.st_size % BLK_SECTOR)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "%s: its size is not a multiple of 512 bytes: not a raw image", name);
    if (!*ret)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: is empty", name);
    return 0;
}

int blk_image_open(const struct blk_raw_options *o, struct blk_image *ret, uint64_t *ret_size,
                   struct vz_error *err)
{
    struct blk_image im = {.fd = -1, .direct_fd = -1, .sync = o->sync,
                           .read_only = o->read_only, .growing = o->growing};
    int r = open_fd(o, &im.fd, err);

    if (!r)
        r = check_kind(o, &im, err);
    if (!r && !o->unlocked)
        r = file_lock(im.fd, o->read_only, name_of(o), err);
    if (!r)
        r = check_format(o, im.fd, err);
    if (!r)
        r = blk_image_check_size(&im, o->path, ret_size, err);
    if (!r)
        r = open_direct(o, &im, err);
    if (r < 0) {
        blk_image_close(&im);
        return r;
    }
    *ret = im;
    return 0;
}

void blk_image_use_cache(struct blk_image *im)
{
    if (im->direct_fd >= 0)
        close(im->direct_fd);
    im->direct_fd = -1;
}

void blk_image_close(struct blk_image *im)
{
    if (im->direct_fd >= 0)
        close(im->direct_fd);
    if (im->fd >= 0)
        close(im->fd);
}
