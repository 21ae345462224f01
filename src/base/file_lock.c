/* SPDX-License-Identifier: MIT */
#include "base/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
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

static void unlock(int fd)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    fcntl(fd, F_OFD_SETLK, &lock);
}

/* A lock of the whole file for writing conflicts with a lock of any byte of it, and one for reading with those who
 * look whether somebody minds that they write; which is how other programs mark their images. */
static bool try_lock(int fd, bool read_only)
{
    struct flock lock = {.l_type = read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    int r = fcntl(fd, F_OFD_SETLK, &lock);

    if (r < 0 && errno != EAGAIN && errno != EACCES) {
        r = flock(fd, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB);
    } else if (!r && read_only && has_foreign_writer(fd)) {
        unlock(fd);
        r = -1;
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
