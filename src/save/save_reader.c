/* SPDX-License-Identifier: MIT */
/* Saved states read: the file, its header and parts. */
#include "save/save_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/error.h"
#include "base/le.h"
#include "mem/mem.h"
#include "save/save_impl.h"

int save_pread(int fd, void *data, size_t len, uint64_t offset)
{
    uint8_t *at = data;

    while (len) {
        ssize_t n = pread(fd, at, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENODATA;
        at += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int failed(const struct save_reader *r, const char *what, int e, struct vz_error *err)
{
    if (e == -EBADMSG || e == -ENODATA)
        return error_set(err, EINVAL, VZ_ERROR_RESTORE,
                         "%s is damaged: its %s is not what was written; use another copy, or start "
                         "the machine without it", r->path, what);
    if (e == -ENOMEM)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    return error_set(err, -e, VZ_ERROR_RESTORE, "cannot read %s: %s", r->path, strerror(-e));
}

static int open_file(struct save_reader *r, uint64_t *ret_len, struct vz_error *err)
{
    struct stat st;

    r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (r->fd < 0)
        return error_set(err, errno, VZ_ERROR_RESTORE, "cannot open %s: %s", r->path,
                         strerror(errno));
    if (fstat(r->fd, &st) < 0 || !S_ISREG(st.st_mode))
        return error_set(err, EINVAL, VZ_ERROR_RESTORE, "%s is not a saved state", r->path);
    *ret_len = (uint64_t)st.st_size;
    return 0;
}

static int read_header(struct save_reader *r, const char *passphrase, struct vz_error *err)
{
    uint8_t page[SAVE_HEADER_SIZE] = {0};
    uint64_t len = 0;
    int e = open_file(r, &len, err);

    if (e < 0)
        return e;
    e = save_pread(r->fd, page, (size_t)MIN(len, sizeof(page)), 0);
    if (e < 0)
        return failed(r, "header", e, err);
    e = save_header_read(page, len, r->path, &r->header, err);
    if (!e)
        e = save_key_of(&r->header.key, passphrase, r->path, &r->key, err);
    if (e < 0 || save_header_proves(page, &r->key))
        return e;
    if (r->header.key.kind == SAVE_KEY_PASSPHRASE)
        return error_set(err, EACCES, VZ_ERROR_RESTORE,
                         "permission denied: wrong passphrase for %s", r->path);
    return failed(r, "header", -EBADMSG, err);
}

/* len bytes at offset, opened. NULL with *ret_error. */
static uint8_t *read_sealed(struct save_reader *r, enum save_kind kind, uint64_t offset,
                            uint64_t len, int *ret_error)
{
    uint8_t *data = malloc(len);

    *ret_error = data ? save_pread(r->fd, data, len, offset) : -ENOMEM;
    if (!*ret_error && !save_open(&r->key, kind, 0, data, len, data))
        *ret_error = -EBADMSG;
    if (!*ret_error)
        return data;
    free(data);
    return NULL;
}

/* Each once, and all of them. */
static int find_parts(struct save_reader *r, size_t len)
{
    const uint8_t *at = r->parts;

    while (len) {
        uint32_t kind, n;

        if (len < SAVE_PART_HEAD)
            return -EBADMSG;
        kind = load_le32(at);
        n = load_le32(at + 4);
        if (!kind || kind >= SAVE_PARTS_END || r->part[kind].data || n > len - SAVE_PART_HEAD)
            return -EBADMSG;
        r->part[kind].data = at + SAVE_PART_HEAD;
        r->part[kind].len = n;
        at += SAVE_PART_HEAD + n;
        len -= SAVE_PART_HEAD + n;
    }
    for (unsigned i = 1; i < SAVE_PARTS_END; i++) {
        if (!r->part[i].data)
            return -EBADMSG;
    }
    return 0;
}

static int read_parts(struct save_reader *r)
{
    const struct save_header *h = &r->header;
    uint8_t *packed;
    unsigned long long len;
    int e;

    packed = read_sealed(r, SAVE_PARTS, h->parts_offset, h->parts_len, &e);
    if (!packed)
        return e;
    len = ZSTD_getFrameContentSize(packed, h->parts_len - SAVE_TAG);
    if (len > SAVE_PARTS_MAX) { /* or not known */
        free(packed);
        return -EBADMSG;
    }
    r->parts_len = (size_t)len;
    r->parts = malloc(r->parts_len + 1);
    if (r->parts && ZSTD_decompress(r->parts, r->parts_len, packed, h->parts_len - SAVE_TAG) != len)
        e = -EBADMSG;
    free(packed);
    if (!r->parts)
        return -ENOMEM;
    return e ? e : find_parts(r, r->parts_len);
}

static int read_table(struct save_reader *r, struct vz_error *err)
{
    const struct save_header *h = &r->header;
    int e;

    r->table = read_sealed(r, SAVE_TABLE, h->table_offset, h->table_len, &e);
    return r->table ? 0 : failed(r, "table of memory", e, err);
}

int save_reader_new(const char *path, const char *passphrase, struct save_reader **ret,
                    struct vz_error *err)
{
    struct save_reader *r;
    int e = save_reader_peek(path, passphrase, &r, err);

    if (e < 0)
        return e;
    e = read_table(r, err);
    if (e < 0)
        save_reader_free(r);
    else
        *ret = r;
    return e;
}

int save_reader_peek(const char *path, const char *passphrase, struct save_reader **ret,
                     struct vz_error *err)
{
    struct save_reader *r = calloc(1, sizeof(*r));
    int e;

    if (!r || !(r->path = strdup(path))) {
        free(r);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    r->fd = -1;
    e = read_header(r, passphrase, err);
    if (!e && (e = read_parts(r)) < 0)
        e = failed(r, "state", e, err);
    if (e < 0) {
        save_reader_free(r);
        return e;
    }
    *ret = r;
    return 0;
}

void save_reader_free(struct save_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    save_key_forget(&r->key);
    if (r->parts)
        sodium_memzero(r->parts, r->parts_len);
    free(r->parts);
    free(r->table);
    free(r->path);
    free(r);
}

bool save_reader_is_plain(const struct save_reader *r)
{
    return r->header.memory != SAVE_FRAMES;
}

const void *save_reader_part(const struct save_reader *r, enum save_part part, size_t *ret_len)
{
    *ret_len = r->part[part].len;
    return r->part[part].data;
}

int save_reader_memory(struct save_reader *r, struct mem *mem, const struct save_progress *progress,
                       struct vz_error *err)
{
    int e = mem_ram_size(mem) == r->header.ram_size ? save_memory_read(r, mem, progress) : -EINVAL;

    if (e == -ECANCELED)
        return error_set(err, -e, VZ_ERROR_CANCELLED, "restoring was cancelled");
    return e < 0 ? failed(r, "memory", e, err) : 0;
}
