/* SPDX-License-Identifier: MIT */
/* Blocking I/O on the file under a raw disk, for the pool's threads: see blk_image.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/iov.h"
#include "block/blk_image.h"

#define PIECES    64u        /* of a request, handed over at a time */
#define ZERO_SIZE 65536u

static bool is_aligned(uint64_t v, uint32_t align)
{
    return !(v & (align - 1));
}

/* After a part was moved the rest may be aligned no more: it is then the cache's. */
int blk_image_fd(const struct blk_image *im, const struct blk_req *req)
{
    if (im->direct_fd < 0 || req->moved || !is_aligned(req->offset, im->direct_align) ||
        !is_aligned(req->len, im->direct_align))
        return im->fd;
    for (unsigned i = 0; i < req->iov_count; i++) {
        if (!is_aligned((uintptr_t)req->iov[i].iov_base, im->direct_mem_align) ||
            !is_aligned(req->iov[i].iov_len, im->direct_mem_align))
            return im->fd;
    }
    return im->direct_fd;
}

/* Behind the end of the file under a format there is nothing yet. */
static int read_behind_end(const struct blk_image *im, struct blk_req *req)
{
    if (!im->growing || req->op != BLK_READ)
        return -EIO; /* the file ends here: it was truncated under us */
    iov_zero(req->iov, req->iov_count, req->moved, req->len - req->moved);
    req->moved = req->len;
    return 0;
}

static int move(const struct blk_image *im, struct blk_req *req)
{
    int flags = req->op == BLK_WRITE && req->fua && im->sync != BLK_SYNC_NONE ? RWF_DSYNC : 0;

    while (req->moved < req->len) {
        struct iovec iov[PIECES];
        int fd = req->iov_count <= PIECES ? blk_image_fd(im, req) : im->fd;
        int count = (int)iov_slice(req->iov, req->iov_count, req->moved, req->len - req->moved,
                                     iov, PIECES);
        off_t at = (off_t)(req->offset + req->moved);
        ssize_t n = req->op == BLK_READ ? preadv2(fd, iov, count, at, 0)
                                        : pwritev2(fd, iov, count, at, flags);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (!n)
            return read_behind_end(im, req);
        req->moved += (uint64_t)n;
    }
    return 0;
}

int blk_image_sync(const struct blk_image *im)
{
    int r = 0;

    if (im->sync == BLK_SYNC_FULL)
        r = fsync(im->fd);
    else if (im->sync == BLK_SYNC_FSYNC)
        r = fdatasync(im->fd);
    return r < 0 ? -errno : 0;
}

static int discard(const struct blk_image *im, const struct blk_req *req)
{
    uint64_t range[2] = {req->offset, req->len};
    int r = im->is_device ? ioctl(im->fd, BLKDISCARD, range)
                          : fallocate(im->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                      (off_t)req->offset, (off_t)req->len);

    if (r < 0 && errno != EOPNOTSUPP && errno != ENOTTY && errno != ENOSYS && errno != EINVAL)
        return -errno;
    return 0; /* where the host cannot, the content stays, which is allowed */
}

static int write_zeroes(const struct blk_image *im, struct blk_req *req)
{
    static const char zeroes[ZERO_SIZE];

    while (req->moved < req->len) {
        size_t len = (size_t)MIN((uint64_t)ZERO_SIZE, req->len - req->moved);
        ssize_t n = pwrite(im->fd, zeroes, len, (off_t)(req->offset + req->moved));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -EIO;
        req->moved += (uint64_t)n;
    }
    return 0;
}

/* Punched where the guest allows it; else the space stays reserved, so that later writes find it. */
static int zero(const struct blk_image *im, struct blk_req *req)
{
    int mode = req->unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
    int r = fallocate(im->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)req->offset, (off_t)req->len);

    if (r < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
        r = write_zeroes(im, req);
    else if (r < 0)
        r = -errno;
    return !r && req->fua ? blk_image_sync(im) : r;
}

int blk_image_do(const struct blk_image *im, struct blk_req *req)
{
    switch (req->op) {
    case BLK_READ:
    case BLK_WRITE: return move(im, req);
    case BLK_FLUSH: return blk_image_sync(im);
    case BLK_DISCARD: return discard(im, req);
    default: return zero(im, req);
    }
}
