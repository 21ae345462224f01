/* SPDX-License-Identifier: MIT */
#include "board/pc/boot/kernel_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/pages.h"

#define SECOND_MS  1000
#define SILENT_MAX 20 /* nobody is kept waiting for ever by a FIFO without a writer */
#define PIPE_PIECE ((size_t)256 * KIB)

static int check_kind(const char *what, const char *path, const struct stat *st, uint64_t max_len,
                      struct vz_error *err)
{
    if (S_ISDIR(st->st_mode))
        return error_set(err, EISDIR, VZ_ERROR_INVALID, "%s %s: is a directory", what, path);
    if (!S_ISREG(st->st_mode))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s %s: is neither a file nor a pipe", what, path);
    if (!st->st_size)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s %s: is empty", what, path);
    if ((uint64_t)st->st_size > max_len)
        return error_set(err, EFBIG, VZ_ERROR_INVALID,
                         "%s %s: is too large: %" PRIu64 " KiB do not fit in %" PRIu64 " KiB", what,
                         path, ((uint64_t)st->st_size + 1023) / 1024, max_len / 1024);
    return 0;
}

static int read_all(int fd, uint8_t *buf, uint64_t len)
{
    uint64_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd, buf + done, len - done, (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (!n)
            return -ENODATA; /* it shrank since fstat() */
        done += (uint64_t)n;
    }
    return 0;
}

/* ---- Pipes ---------------------------------------------------------------------------------- */

/* Can somebody still open it for writing? Not a pipe that has no name. */
static bool is_named(int fd)
{
    struct statfs fs;

    return !fstatfs(fd, &fs) && fs.f_type != PIPEFS_MAGIC;
}

/* Until fd, which does not block, has bytes or its writers are gone. A FIFO whose first writer is
 * still to come is neither, but read() says 0 of it as of the end. */
static int wait_for_bytes(const char *what, const char *path, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    unsigned silent = 0; /* seconds */
    int r;

    while ((r = poll(&p, 1, SECOND_MS)) <= 0) {
        if (r < 0 && errno != EINTR)
            return -errno;
        if (!r && ++silent == SILENT_MAX)
            return -ETIMEDOUT;
        if (!r && silent == 1)
            log_warn("%s %s: waiting for whoever writes to this pipe", what, path);
    }
    return 0;
}

static int write_all(int fd, const uint8_t *buf, size_t len)
{
    while (len) {
        ssize_t n = write(fd, buf, len);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            buf += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int copy_pipe(const char *what, const char *path, int from, int to, uint64_t max_len)
{
    uint8_t *buf = malloc(PIPE_PIECE);
    uint64_t len = 0;
    bool wait = is_named(from);
    ssize_t n = 1;
    int r = buf ? 0 : -ENOMEM;

    while (!r && n) {
        r = wait ? wait_for_bytes(what, path, from) : 0;
        wait = false;
        n = r ? 0 : read(from, buf, PIPE_PIECE);
        if (n > 0) {
            len += (uint64_t)n;
            r = len > max_len ? -EFBIG : write_all(to, buf, (size_t)n);
        } else if (n < 0) {
            r = errno == EAGAIN || errno == EINTR ? 0 : -errno;
            wait = true;
        }
    }
    free(buf);
    return r;
}

/* What a pipe has can be read once, and each start of the guest reads it: it is kept in memory. */
static int keep_pipe(const char *what, const char *path, uint64_t max_len, int *fd,
                     struct vz_error *err)
{
    int kept = memfd_create(what, MFD_CLOEXEC);
    int r = kept < 0 ? -errno : copy_pipe(what, path, *fd, kept, max_len);

    close(*fd);
    *fd = kept;
    if (!r)
        return 0;
    if (kept >= 0)
        close(kept);
    if (r == -EFBIG)
        return error_set(err, EFBIG, VZ_ERROR_INVALID,
                         "%s %s: is too large: more than %" PRIu64 " KiB come from the pipe", what,
                         path, max_len / 1024);
    return error_set(err, -r, VZ_ERROR_IO, "%s %s: %s", what, path, strerror(-r));
}

int kernel_file_open(const char *what, const char *path, uint64_t pipe_max, int *ret_fd,
                     struct vz_error *err)
{
    struct stat st;
    int r = 0;
    /* O_NONBLOCK: opening a FIFO must not hang before its kind is seen. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return error_set(err, errno, VZ_ERROR_IO, "%s %s: %s", what, path, strerror(errno));
    if (pipe_max && !fstat(fd, &st) && S_ISFIFO(st.st_mode))
        r = keep_pipe(what, path, pipe_max, &fd, err);
    if (!r)
        *ret_fd = fd;
    return r;
}

int kernel_file_read(const char *what, const char *path, int fd, uint64_t max_len,
                     struct boot_file *ret, struct vz_error *err)
{
    struct stat st;
    uint8_t *buf;
    int r;

    if (fstat(fd, &st))
        return error_set(err, errno, VZ_ERROR_IO, "%s %s: %s", what, path, strerror(errno));
    r = check_kind(what, path, &st, max_len, err);
    if (r)
        return r;
    buf = pages_map((size_t)st.st_size);
    if (!buf)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "%s %s: no memory for its %" PRIu64
                         " bytes", what, path, (uint64_t)st.st_size);
    r = read_all(fd, buf, (uint64_t)st.st_size);
    if (r) {
        pages_unmap(buf, (size_t)st.st_size);
        return error_set(err, -r, VZ_ERROR_IO, "%s %s: %s", what, path,
                         r == -ENODATA ? "became shorter while it was read" : strerror(-r));
    }
    *ret = (struct boot_file){.name = path, .data = buf, .len = (uint64_t)st.st_size};
    return 0;
}

void kernel_file_free(struct boot_file *file)
{
    pages_unmap((void *)file->data, file->len);
    *file = (struct boot_file){0};
}
