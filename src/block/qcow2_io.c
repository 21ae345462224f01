/* SPDX-License-Identifier: MIT */
/* The file of a qcow2 image, and the two marks in its header: see qcow2_impl.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "block/qcow2_impl.h"

/* What lies behind the end of the file reads as zeroes. */
int qcow2_pread(const struct qcow2 *q, void *buf, uint64_t len, uint64_t offset)
{
    while (len) {
        ssize_t n = pread(q->image->fd, buf, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (!n) {
            memset(buf, 0, len);
            return 0;
        }
        buf = (char *)buf + n;
        offset += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

int qcow2_pwrite(const struct qcow2 *q, const void *buf, uint64_t len, uint64_t offset)
{
    while (len) {
        ssize_t n = pwrite(q->image->fd, buf, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n ? -errno : -EIO;
        buf = (const char *)buf + n;
        offset += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

int qcow2_write_be64(const struct qcow2 *q, uint64_t v, uint64_t offset)
{
    uint8_t data[8];

    store_be64(data, v);
    return qcow2_pwrite(q, data, sizeof(data), offset);
}

int qcow2_sync(const struct qcow2 *q)
{
    return blk_image_sync(q->image);
}

/* Only saves room: where the host cannot, the bytes stay. */
void qcow2_punch(const struct qcow2 *q, uint64_t offset, uint64_t len)
{
    if (!q->image->is_device)
        (void)!fallocate(q->image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                         (off_t)len);
}

static int write_features_locked(struct qcow2 *q, uint64_t incompatible)
{
    int r;

    if (q->info.version < 3)
        return 0;
    r = qcow2_write_be64(q, incompatible, QCOW2_H_INCOMPATIBLE);
    if (!r)
        r = qcow2_sync(q);
    if (!r)
        q->incompatible = incompatible;
    return r;
}

int qcow2_corrupt_locked(struct qcow2 *q, const char *what, uint64_t offset)
{
    if (!q->broken)
        log_warn("%s: the image is damaged: %s at %#llx%s", q->name, what,
                 (unsigned long long)offset, q->read_only ? "" : "; it is not written to any more");
    q->broken = true;
    if (!q->read_only && !(q->incompatible & QCOW2_INCOMPAT_CORRUPT))
        (void)!write_features_locked(q, q->incompatible | QCOW2_INCOMPAT_CORRUPT);
    return -EIO;
}

int qcow2_begin_change_locked(struct qcow2 *q)
{
    int r;

    if (q->broken)
        return -EIO;
    if (q->marked)
        return 0;
    /* Optional features that we do not keep up: persistent bitmaps above all. */
    r = q->info.version < 3 ? 0 : qcow2_write_be64(q, 0, QCOW2_H_AUTOCLEAR);
    if (!r)
        r = write_features_locked(q, q->incompatible | QCOW2_INCOMPAT_DIRTY);
    q->marked = !r;
    return r;
}
