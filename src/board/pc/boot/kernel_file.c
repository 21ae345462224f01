/* SPDX-License-Identifier: MIT */
#include "board/pc/boot/kernel_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static int check_kind(const char *what, const char *path, const struct stat *st, uint64_t max_len,
                      struct vz_error *err)
{
    if (S_ISDIR(st->st_mode))
        return error_set(err, EISDIR, VZ_ERROR_INVALID, "%s %s: is a directory", what, path);
    if (!S_ISREG(st->st_mode))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s %s: is not a regular file", what, path);
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

int kernel_file_open(const char *what, const char *path, int *ret_fd, struct vz_error *err)
{
    /* O_NONBLOCK: opening a FIFO must not hang before its kind is seen. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return error_set(err, errno, VZ_ERROR_IO, "%s %s: %s", what, path, strerror(errno));
    *ret_fd = fd;
    return 0;
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
    buf = malloc((size_t)st.st_size);
    if (!buf)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "%s %s: no memory for its %" PRIu64
                         " bytes", what, path, (uint64_t)st.st_size);
    r = read_all(fd, buf, (uint64_t)st.st_size);
    if (r) {
        free(buf);
        return error_set(err, -r, VZ_ERROR_IO, "%s %s: %s", what, path,
                         r == -ENODATA ? "became shorter while it was read" : strerror(-r));
    }
    *ret = (struct boot_file){.name = path, .data = buf, .len = (uint64_t)st.st_size};
    return 0;
}

void kernel_file_free(struct boot_file *file)
{
    free((void *)file->data);
    *file = (struct boot_file){0};
}
