/* SPDX-License-Identifier: MIT */
#include "bundle/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failure.h"

#define STEP ((size_t)8 << 20)

struct copy {
    int in, out;
    off_t size;
    bool (*progress)(void *arg, uint64_t done, uint64_t total);
    void *arg;
};

static bool open_both(struct copy *c, int from_folder, const char *from, int to_folder, const char *to)
{
    struct stat st;

    c->in = openat(from_folder, from, O_RDONLY | O_CLOEXEC);
    if (c->in < 0 || fstat(c->in, &st) < 0)
        return false;
    c->size = st.st_size;
    c->out = openat(to_folder, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st.st_mode & 0700);
    return c->out >= 0;
}

static void close_both(const struct copy *c)
{
    if (c->in >= 0)
        close(c->in);
    if (c->out >= 0)
        close(c->out);
}

bool copy_by_reflink(int from_folder, const char *from, int to_folder, const char *to)
{
    struct copy c = {.in = -1, .out = -1};
    bool ok = open_both(&c, from_folder, from, to_folder, to);
    bool made = c.out >= 0;

    ok = ok && ioctl(c.out, FICLONE, c.in) == 0 && fsync(c.out) == 0;
    close_both(&c);
    if (made && !ok)
        unlinkat(to_folder, to, 0);
    return ok;
}

/* Where the kernel does not copy between these two file systems. */
static ssize_t copy_by_hand(const struct copy *c, off_t at, size_t want)
{
    char data[65536];
    ssize_t n = pread(c->in, data, want < sizeof(data) ? want : sizeof(data), at);

    return n > 0 ? pwrite(c->out, data, (size_t)n, at) : n;
}

static ssize_t copy_some(const struct copy *c, off_t at, size_t want)
{
    off_t in = at, out = at;
    ssize_t n = copy_file_range(c->in, &in, c->out, &out, want, 0);

    if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
        n = copy_by_hand(c, at, want);
    return n;
}

/* One run of data. Sets errno; ECANCELED when progress said so. */
static bool copy_range(const struct copy *c, off_t from, off_t to)
{
    while (from < to) {
        ssize_t n = copy_some(c, from, (size_t)(to - from) < STEP ? (size_t)(to - from) : STEP);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : EIO; /* shorter than it was: somebody changes it */
            return false;
        }
        from += n;
        if (c->progress && !c->progress(c->arg, (uint64_t)from, (uint64_t)c->size)) {
            errno = ECANCELED;
            return false;
        }
    }
    return true;
}

static bool copy_data(const struct copy *c)
{
    off_t at = 0;

    if (ftruncate(c->out, c->size) < 0)
        return false;
    while (at < c->size) {
        off_t data = lseek(c->in, at, SEEK_DATA), hole;

        if (data < 0 && errno == ENXIO)
            break; /* nothing but a hole up to the end */
        hole = data < 0 ? c->size : lseek(c->in, data, SEEK_HOLE);
        data = data < 0 ? at : data;
        if (hole < 0 || !copy_range(c, data, hole))
            return false;
        at = hole;
    }
    return fsync(c->out) == 0;
}

int copy_file(int from_folder, const char *from, int to_folder, const char *to,
              bool (*progress)(void *arg, uint64_t done, uint64_t total), void *arg,
              struct vz_error *err)
{
    struct copy c = {.in = -1, .out = -1, .progress = progress, .arg = arg};
    bool ok;

    if (copy_by_reflink(from_folder, from, to_folder, to))
        return 0;
    ok = open_both(&c, from_folder, from, to_folder, to);
    if (ok && !copy_data(&c)) {
        int keep = errno;

        unlinkat(to_folder, to, 0);
        errno = keep;
        ok = false;
    }
    if (!ok && errno == ECANCELED)
        fail(err, VZ_ERROR_CANCELLED, "%.120s: interrupted", from);
    else if (!ok)
        fail_errno(err, from);
    close_both(&c);
    return ok ? 0 : -1;
}
