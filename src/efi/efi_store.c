/* SPDX-License-Identifier: MIT */
#include "efi/efi_store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file_lock.h"
#include "base/le.h"
#include "base/log.h"
#include "efi/efi_firmware.h"

#define STORE_BLOCK 4096u /* a flash bank is whole blocks of these */

static int io_error(struct vz_error *err, const char *path, int errno_value)
{
    return error_set(err, errno_value, VZ_ERROR_IO, "variable store %s: %s", path,
                     strerror(errno_value));
}

/* ---- Reading -------------------------------------------------------------------------------- */

static int read_at(int fd, uint8_t *data, size_t len, uint64_t at)
{
    size_t have = 0;

    while (have < len) {
        ssize_t n = pread(fd, data + have, len - have, (off_t)(at + have));

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -ENODATA;
        have += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int read_whole(int fd, uint8_t *data, size_t len)
{
    return read_at(fd, data, len, 0);
}

static int write_whole(int fd, const uint8_t *bytes, uint32_t len, uint32_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, bytes, len, at);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            bytes += n;
            at += (uint32_t)n;
            len -= (uint32_t)n;
        }
    }
    return 0;
}

/* ---- Replacing all of it ---------------------------------------------------------------------- */

/* No other file can be made where a machine runs, so what is to replace the store is written behind it in its file, and
 * then a word that it is whole; only then is the store written. Whoever finds the file that long makes an end of it. */
#define REPLACING_BYTES 64u
#define REPLACING       UINT64_C(0x77656e206c6c6120) /* " all new" */

static uint64_t replacing_size(uint32_t len)
{
    return 2 * (uint64_t)len + REPLACING_BYTES;
}

static int end_replacing(int fd, const uint8_t *bytes, uint32_t len)
{
    int r = write_whole(fd, bytes, len, 0);

    return r < 0 ? r : fdatasync(fd) < 0 || ftruncate(fd, len) < 0 ? -errno : 0;
}

static int begin_replacing(int fd, const uint8_t *bytes, uint32_t len)
{
    uint8_t whole[REPLACING_BYTES] = {0};
    int r;

    store_le64(whole, REPLACING);
    r = ftruncate(fd, (off_t)replacing_size(len)) < 0 ? -errno : write_whole(fd, bytes, len, len);
    if (!r)
        r = fdatasync(fd) < 0 ? -errno : write_whole(fd, whole, sizeof(whole), 2 * len);
    if (!r && fdatasync(fd) < 0)
        r = -errno;
    if (r < 0)
        (void)!ftruncate(fd, len); /* a full disk: it stays as it was */
    return r;
}

static int replace(int fd, const uint8_t *bytes, uint32_t len)
{
    uint8_t *old = malloc(len);
    int r = old ? read_whole(fd, old, len) : -ENOMEM;
    bool same = !r && !memcmp(old, bytes, len);

    free(old);
    if (r < 0 || same)
        return r;
    r = begin_replacing(fd, bytes, len);
    return r < 0 ? r : end_replacing(fd, bytes, len);
}

/* Of a file of size bytes, which a killed process may have left with both: have it with one. */
static int finish_replacing(int fd, off_t size)
{
    uint32_t len = (uint32_t)(((uint64_t)size - REPLACING_BYTES) / 2);
    uint8_t *bytes = malloc(len + REPLACING_BYTES);
    int r = bytes ? read_at(fd, bytes, len + REPLACING_BYTES, len) : -ENOMEM;

    if (!r && load_le64(bytes + len) == REPLACING)
        r = end_replacing(fd, bytes, len);
    else if (!r)
        r = ftruncate(fd, len) < 0 ? -errno : 0;
    free(bytes);
    return r;
}

static bool is_replacing(off_t size)
{
    return size > (off_t)REPLACING_BYTES && (uint64_t)size <= replacing_size(EFI_VARIABLES_MAX) &&
           (uint64_t)size % (2 * STORE_BLOCK) == REPLACING_BYTES;
}

/* ---- Opening -------------------------------------------------------------------------------- */

/* The bytes of an open store; ours: it may be written, and is locked. */
static int load(int fd, bool ours, const char *path, struct efi_store *ret, struct vz_error *err)
{
    struct stat st;
    int r;

    if (fstat(fd, &st) < 0)
        return io_error(err, path, errno);
    if (ours && is_replacing(st.st_size)) {
        r = finish_replacing(fd, st.st_size);
        if (r < 0)
            return io_error(err, path, -r);
    }
    if (fstat(fd, &st) < 0)
        return io_error(err, path, errno);
    if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t)st.st_size > EFI_VARIABLES_MAX ||
        st.st_size % STORE_BLOCK)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "variable store %s: is no store of UEFI variables, by its size", path);
    ret->len = (uint32_t)st.st_size;
    ret->data = malloc(ret->len);
    r = ret->data ? read_whole(fd, ret->data, ret->len) : -ENOMEM;
    if (r < 0)
        return io_error(err, path, -r);
    if (!efi_is_variables(ret->data, ret->len))
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "variable store %s: is no store of UEFI variables, or damaged: make a new one", path);
    return 0;
}

void efi_store_close(struct efi_store *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->data);
    free(s->path);
    *s = (struct efi_store){.fd = -1};
}

int efi_store_open(const char *path, const char *template, struct efi_store *ret,
                   struct vz_error *err)
{
    const char *from = path ? path : template;
    int fd = open(from, (path ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r;

    *ret = (struct efi_store){.fd = -1};
    if (fd < 0)
        return io_error(err, from, errno);
    r = path ? file_lock(fd, false, path, err) : 0;
    if (!r)
        r = load(fd, path, from, ret, err);
    ret->path = r < 0 ? NULL : strdup(from);
    if (!r && !ret->path)
        r = io_error(err, from, ENOMEM);
    if (r < 0 || !path)
        close(fd);
    else
        ret->fd = fd;
    if (r < 0)
        efi_store_close(ret);
    return r;
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void tell_failure(struct efi_store *s, int errno_value)
{
    if (!s->failed)
        log_warn("variable store %s: %s", s->path, strerror(errno_value));
    s->failed = true;
}

int efi_store_write(struct efi_store *s, uint32_t at, const uint8_t *bytes, uint32_t len)
{
    int r = s->fd < 0 ? 0 : !at && len == s->len ? replace(s->fd, bytes, len) : write_whole(s->fd, bytes, len, at);

    if (r < 0)
        tell_failure(s, -r);
    return r;
}

void efi_store_sync(struct efi_store *s)
{
    if (s->fd >= 0 && fdatasync(s->fd) < 0)
        tell_failure(s, errno);
}

/* ---- Making one ------------------------------------------------------------------------------ */

/* A file of the same folder, which becomes path when it is whole. */
static int write_new(const struct efi_store *from, const char *path, bool overwrite,
                     struct vz_error *err)
{
    char *temporary;
    int fd, r;

    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return io_error(err, path, ENOMEM);
    fd = mkostemp(temporary, O_CLOEXEC);
    r = fd < 0 ? -errno : write_whole(fd, from->data, from->len, 0);
    if (!r && fsync(fd) < 0)
        r = -errno;
    if (!r && (overwrite ? rename(temporary, path) : link(temporary, path)) < 0)
        r = -errno;
    if (fd >= 0) {
        close(fd);
        unlink(temporary); /* in vain where it was renamed */
    }
    free(temporary);
    return r < 0 ? io_error(err, path, -r) : 0;
}

/* A machine that has it would go on with a file that is nowhere any more. */
static int check_free(const char *path, struct vz_error *err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r;

    if (fd < 0)
        return errno == ENOENT ? 0 : io_error(err, path, errno);
    r = file_lock(fd, false, path, err);
    close(fd);
    return r;
}

int efi_store_create(const char *path, const char *template, bool overwrite, struct vz_error *err)
{
    struct efi_store from;
    int r = overwrite ? check_free(path, err) : 0;

    if (!r)
        r = efi_store_open(NULL, template, &from, err);
    if (r < 0)
        return r;
    r = write_new(&from, path, overwrite, err);
    efi_store_close(&from);
    return r;
}
