/* SPDX-License-Identifier: MIT */
/* Files of a machine's folder, replaced as a whole. */
#include "bundle/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failure.h"
#include "write_all.h"

#define FILE_MAX ((size_t)16 << 20) /* more than any of them has */

/* "NAME: FILE: why" */
static int failed(const struct bundle *b, const char *file, struct vz_error *err)
{
    char what[160];

    snprintf(what, sizeof(what), "%.63s: %.80s", b->name, file);
    return fail_errno(err, what);
}

/* A new file with it, on stable storage where that is wanted. Sets errno. */
static bool put_file(int folder, const char *name, const void *data, size_t len, bool sync)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write_all(fd, data, len) && (!sync || fsync(fd) == 0);
    int keep = errno;

    if (fd >= 0 && close(fd) < 0 && ok) {
        keep = errno;
        ok = false;
    }
    errno = keep;
    return ok;
}

int bundle_write(const struct bundle *b, const char *file, const void *data, size_t len,
                 struct vz_error *err)
{
    bool sync = !b->draft; /* of a draft all is synced at once, when it is whole */
    char temporary[160];

    /* Only who has the lock writes, so one name will do; a crash's is written over. */
    snprintf(temporary, sizeof(temporary), ".%.128s.new", file);
    if (put_file(b->fd, temporary, data, len, sync) && renameat(b->fd, temporary, b->fd, file) == 0 &&
        (!sync || fsync(b->fd) == 0))
        return 0;
    failed(b, file, err);
    unlinkat(b->fd, temporary, 0);
    return -1;
}

char *bundle_read(const struct bundle *b, const char *file, size_t *ret_len, struct vz_error *err)
{
    int fd = openat(b->fd, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t len = 0, size = 0;
    struct stat st;
    char *data = NULL;
    ssize_t n = -1;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size <= FILE_MAX) {
        size = (size_t)st.st_size;
        data = malloc(size + 1);
        while (data && (n = read(fd, data + len, size - len)) > 0)
            len += (size_t)n;
    } else if (fd >= 0) {
        errno = EFBIG;
    }
    if (n < 0) {
        failed(b, file, err);
        free(data);
        data = NULL;
    } else {
        data[len] = '\0';
        if (ret_len)
            *ret_len = len;
    }
    if (fd >= 0)
        close(fd);
    return data;
}

bool bundle_has(const struct bundle *b, const char *file)
{
    struct stat st;

    return fstatat(b->fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int bundle_remove_file(const struct bundle *b, const char *file, struct vz_error *err)
{
    if (unlinkat(b->fd, file, 0) < 0)
        return errno == ENOENT ? 0 : failed(b, file, err);
    return fsync(b->fd) < 0 ? failed(b, file, err) : 0;
}
