/* SPDX-License-Identifier: MIT */
#include "base/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/lock_holder.h"

#define LOCK_PATIENCE_MS  400u
#define LOCK_STEP_MS      20u

/* QEMU and its tools mark by locks for reading what they do with an image; these say that one writes to it, and that
 * it resizes it (QEMU's block/file-posix.c, RAW_LOCK_PERM_BASE). */
static bool has_foreign_writer(int fd)
{
    static const off_t bytes[] = {100 + 1, 100 + 3};

    for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = bytes[i], .l_len = 1};

        /* Of the whole file it is another reader of ours: beside that there is no such writer. */
        if (!fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK && lock.l_start > 0)
            return true;
    }
    return false;
}

/* All but what would keep QEMU from reading, too: its bytes from 101 on, that somebody writes, and 200 and 202, that
 * somebody minds being read, or written to without a change. 201 and 203 mind writes and another size. */
static const struct {
    off_t start, len; /* 0: to the end */
} read_ranges[] = {{0, 101}, {201, 1}, {203, 0}};

static int lock_range(int fd, short type, off_t start, off_t len)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

    return fcntl(fd, F_OFD_SETLK, &lock);
}

static int lock_for_reading(int fd)
{
    int r = 0;

    for (size_t i = 0; !r && i < ARRAY_SIZE(read_ranges); i++)
        r = lock_range(fd, F_RDLCK, read_ranges[i].start, read_ranges[i].len);
    return r;
}

static void unlock(int fd)
{
    int was = errno;

    (void)!lock_range(fd, F_UNLCK, 0, 0);
    errno = was;
}

/* Network file systems make both kinds of locks one, at the server: this one would take the place of the other, and be
 * less than it. */
static bool keeps_kinds_apart(int fd)
{
    static const uint32_t one_kind[] = {0x6969 /* NFS */, 0xff534d42 /* CIFS */, 0xfe534d42 /* SMB */, 0x517b /* old SMB */,
                                        0x01021997 /* 9p */, 0x00c36400 /* Ceph */, 0x65735546 /* FUSE */};
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(one_kind); i++)
        if ((uint32_t)fs.f_type == one_kind[i])
            return false;
    return true;
}

/* Locks of open file descriptions name nobody, and a process in its sandbox shows nobody what it has open. This kind,
 * which those do not heed, has a number in /proc/locks: see lock_holder.c. Not of block devices, where others mean
 * something by it. */
static void leave_name(int fd)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && keeps_kinds_apart(fd))
        (void)!flock(fd, LOCK_SH | LOCK_NB);
}

/* A lock of the whole file for writing conflicts with a lock of any byte of it, and one for reading with those who
 * look whether somebody minds that they write; which is how other programs mark their images. */
static bool try_lock(int fd, bool read_only)
{
    int r = read_only ? lock_for_reading(fd) : lock_range(fd, F_WRLCK, 0, 0);

    if (r < 0 && read_only)
        unlock(fd); /* a part of it */
    if (r < 0 && errno != EAGAIN && errno != EACCES) {
        r = flock(fd, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB);
    } else if (!r && read_only && has_foreign_writer(fd)) {
        unlock(fd);
        r = -1;
    } else if (!r) {
        leave_name(fd);
    }
    return !r;
}

/* A process that was killed may hold it a moment longer: the kernel takes an io_uring down behind
 * its back. */
int file_lock(int fd, bool read_only, const char *name, struct vz_error *err)
{
    char who[LOCK_HOLDER_MAX];

    for (unsigned waited_ms = 0; waited_ms < LOCK_PATIENCE_MS; waited_ms += LOCK_STEP_MS) {
        if (try_lock(fd, read_only))
            return 0;
        if (lock_holder(fd, who))
            break;
        usleep(LOCK_STEP_MS * 1000);
    }
    if (!lock_holder(fd, who))
        strcpy(who, "another program");
    return error_set(err, EBUSY, VZ_ERROR_INVALID,
                     read_only ? "%s: %s writes to it (image is locked)"
                               : "%s: %s uses it (image is locked)",
                     name, who);
}
