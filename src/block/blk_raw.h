/* SPDX-License-Identifier: MIT */
/* A disk whose bytes are those of a file: a raw image, or a block device of the host. */
#ifndef VZ_BLOCK_BLK_RAW_H
#define VZ_BLOCK_BLK_RAW_H

#include "block/blk.h"

/* Whether the host's page cache stands between guest and image. What the guest reads is the same in
 * all modes; what survives a crash of the host is said by enum blk_sync alone. */
enum blk_caching {
    BLK_CACHING_AUTOMATIC, /* as CACHED */
    BLK_CACHING_UNCACHED,  /* O_DIRECT; what is not aligned as that needs goes through the cache */
    BLK_CACHING_CACHED,
};

/* What the guest's flush does: its barriers, fsync() and journal commits depend on it. In all modes
 * a crash of the guest or of this process loses nothing that was reported written. */
enum blk_sync {
    /* The default. fsync(): data and metadata of the image, through the drive's own cache. What the
     * guest was told is stable survives a power failure. */
    BLK_SYNC_FULL,
    /* fdatasync(): the same but for metadata that is not needed to read the data back, such as the
     * image's modification time. As safe for the guest; Linux has no cheaper call that is. */
    BLK_SYNC_FSYNC,
    /* A flush does nothing. When the host crashes or loses power, the guest's file systems may be
     * damaged beyond repair, whatever they flushed. For disks that can be made again. */
    BLK_SYNC_NONE,
};

enum blk_engine {
    BLK_ENGINE_AUTO,    /* io_uring, or threads where the kernel refuses it */
    BLK_ENGINE_URING,
    BLK_ENGINE_THREADS,
};

struct blk_raw_options {
    const char *path; /* copied; for messages too */
    int fd;           /* with path NULL: an open descriptor, which is duplicated */
    bool read_only;
    bool any_content; /* else refused when it looks like another format, see base/disk_format.h */
    /* The file under a format, whose disk has another size: writes behind its end make it longer,
     * reads there give zeroes, and it may be empty. */
    bool growing;
    bool unlocked;    /* others may write to it meanwhile */
    enum blk_caching caching;
    enum blk_sync sync;
    enum blk_engine engine;
};

/* Open and lock it. A writer locks the image for itself; readers share it among themselves. The
 * lock is the kernel's, ends with the process, and holds against other programs that lock images
 * (open file description locks; flock() where the file system has none).
 * 0, or -errno with err saying what to do:
 *   -EBUSY   locked, or a block device that is mounted
 *   -EINVAL  not a file or block device, empty, or not a multiple of 512 bytes long;
 *            without any_content also an image of another format
 *   -ENOTSUP uncached where the file system has no O_DIRECT, io_uring where it is refused
 *   others   as open(2) */
int blk_raw_open(const struct blk_raw_options *options, struct loop *loop, struct blk **ret,
                 struct vz_error *err) must_check;

/* The same on an image that is open already, and stays the caller's. size: bytes; that of a growing
 * one has no end. */
struct blk_image;
int blk_raw_on(const struct blk_image *image, uint64_t size, enum blk_engine engine,
               struct loop *loop, struct blk **ret, struct vz_error *err) must_check;

/* The same, but its descriptors become the disk's (-1 in image) if this succeeds. */
int blk_raw_take(struct blk_image *image, uint64_t size, enum blk_engine engine, struct loop *loop,
                 struct blk **ret, struct vz_error *err) must_check;

/* "io_uring" or "threads". b is a raw disk. */
const char *blk_raw_engine_name(const struct blk *b);

#endif
