/* SPDX-License-Identifier: MIT */
/* Saved states written: the file, its parts and its name. Memory is in save_memory.c. */
#include "save/save_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/le.h"
#include "mem/mem_fork.h"
#include "save/save_impl.h"

/* ---- Its file ------------------------------------------------------------------------------- */

static int failed(const struct save_writer *w, int r, struct vz_error *err)
{
    if (r == -ENOSPC || r == -EDQUOT || r == -EFBIG)
        return error_set(err, -r, VZ_ERROR_OUT_OF_DISK_SPACE,
                         "%s: %s: make room, or save elsewhere; nothing has changed", w->path,
                         strerror(-r));
    return error_set(err, -r, VZ_ERROR_SAVE, "cannot write %s: %s", w->path, strerror(-r));
}

/* Nobody's disk image or document is replaced by mistake. */
static int check_target(const char *path, struct vz_error *err)
{
    char magic[8];
    struct stat st;
    int fd;
    bool ok;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0
                               : error_set(err, errno, VZ_ERROR_SAVE, "cannot write %s: %s", path,
                                           strerror(errno));
    if (S_ISREG(st.st_mode) && !st.st_size)
        return 0;
    fd = S_ISREG(st.st_mode) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    ok = fd >= 0 && read(fd, magic, sizeof(magic)) == (ssize_t)sizeof(magic) &&
         !memcmp(magic, SAVE_MAGIC, sizeof(magic));
    if (fd >= 0)
        close(fd);
    return ok ? 0
              : error_set(err, EEXIST, VZ_ERROR_SAVE,
                          "%s is there, and is no saved state: it is not overwritten", path);
}

/* The folder that the file is in, and its name there. */
static int split(struct save_writer *w, const char *path)
{
    const char *slash = strrchr(path, '/');

    w->path = strdup(path);
    w->folder = !slash         ? strdup(".")
                : slash == path ? strdup("/")
                                : strndup(path, (size_t)(slash - path));
    return w->path && w->folder ? 0 : -ENOMEM;
}

/* Without a name, where the file system can; it gets one when it is whole. */
static int open_temporary(struct save_writer *w)
{
    w->fd = open(w->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (w->fd >= 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT)
        return -errno;
    if (asprintf(&w->temporary, "%s/.vz-save.XXXXXX", w->folder) < 0) {
        w->temporary = NULL;
        return -ENOMEM;
    }
    w->fd = mkostemp(w->temporary, O_CLOEXEC);
    if (w->fd >= 0)
        return 0;
    free(w->temporary);
    w->temporary = NULL;
    return -errno;
}

int save_writer_new(const struct save_writer_options *o, struct save_writer **ret,
                    struct vz_error *err)
{
    struct save_writer *w = calloc(1, sizeof(*w));
    int r;

    if (!w)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    w->fd = -1;
    w->compress = o->compress;
    w->unsynced = o->unsynced;
    w->header.memory = !o->plain ? SAVE_FRAMES : o->long_table ? SAVE_PLAIN : SAVE_RUNS;
    w->end = SAVE_HEADER_SIZE;
    r = check_target(o->path, err);
    if (!r)
        r = save_key_new(o->passphrase, &w->header.key, &w->key, err);
    if (!r) {
        randombytes_buf(w->header.uuid, sizeof(w->header.uuid));
        r = split(w, o->path);
        if (!r)
            r = open_temporary(w);
        if (r < 0)
            failed(w, r, err);
    }
    if (r < 0) {
        save_writer_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

void save_writer_free(struct save_writer *w)
{
    if (!w)
        return;
    if (w->temporary)
        unlink(w->temporary);
    if (w->fd >= 0)
        close(w->fd);
    save_key_forget(&w->key);
    free(w->temporary);
    if (w->child)
        (void)!mem_fork_wait(w->child);
    if (w->table_shared)
        munmap(w->table, w->table_shared);
    else
        free(w->table);
    if (w->parts)
        sodium_memzero(w->parts, w->parts_len);
    free(w->parts);
    free(w->folder);
    free(w->path);
    free(w);
}

int save_pwrite(int fd, const void *data, size_t len, uint64_t offset)
{
    const uint8_t *at = data;

    while (len) {
        ssize_t n = pwrite(fd, at, len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        at += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

/* ---- What is in it -------------------------------------------------------------------------- */

int save_writer_memory(struct save_writer *w, struct mem *mem, const struct save_progress *progress,
                       struct vz_error *err)
{
    int r = save_memory_write(w, mem, progress);

    if (r == -ECANCELED)
        return error_set(err, -r, VZ_ERROR_CANCELLED, "saving was cancelled");
    return r < 0 ? failed(w, r, err) : 0;
}

int save_writer_memory_begin(struct save_writer *w, struct mem *mem, struct vz_error *err)
{
    int r = save_memory_fork(w, mem);

    return r < 0 && r != -EOPNOTSUPP ? failed(w, r, err) : r;
}

int save_writer_memory_end(struct save_writer *w, struct vz_error *err)
{
    int r = mem_fork_wait(w->child);

    w->child = 0;
    return r < 0 ? failed(w, r, err) : 0;
}

int save_writer_part(struct save_writer *w, enum save_part part, const void *data, size_t len,
                     struct vz_error *err)
{
    size_t all = w->parts_len + SAVE_PART_HEAD + len;
    uint8_t *bigger;

    if (all > SAVE_PARTS_MAX)
        return error_set(err, EFBIG, VZ_ERROR_SAVE, "the machine has more state than a file takes");
    bigger = realloc(w->parts, all);
    if (!bigger)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    w->parts = bigger;
    store_le32(bigger + w->parts_len, part);
    store_le32(bigger + w->parts_len + 4, (uint32_t)len);
    if (len > 0) /* An empty part has no data, and memcpy() takes no NULL. */
        memcpy(bigger + w->parts_len + SAVE_PART_HEAD, data, len);
    w->parts_len = all;
    return 0;
}

/* Seals len bytes in place, with room for the tag behind them, and writes them at the end. */
static int write_sealed(struct save_writer *w, enum save_kind kind, uint8_t *data, size_t len,
                        uint64_t *ret_offset, uint64_t *ret_len)
{
    save_seal(&w->key, kind, 0, data, len, data);
    *ret_offset = w->end;
    *ret_len = len + SAVE_TAG;
    w->end += *ret_len;
    return save_pwrite(w->fd, data, (size_t)*ret_len, *ret_offset);
}

/* The parts, compressed: a machine's state is mostly names and zeros. */
static int write_parts(struct save_writer *w)
{
    struct save_header *h = &w->header;
    size_t room = ZSTD_compressBound(w->parts_len), len;
    uint8_t *packed = malloc(room + SAVE_TAG);
    int r;

    if (!packed)
        return -ENOMEM;
    len = ZSTD_compress(packed, room, w->parts, w->parts_len, 3);
    r = ZSTD_isError(len) ? -ENOMEM
                          : write_sealed(w, SAVE_PARTS, packed, len, &h->parts_offset,
                                         &h->parts_len);
    free(packed);
    return r;
}

static size_t table_bytes(const struct save_writer *w)
{
    return (size_t)save_frame_count(w->header.ram_size) * SAVE_FRAME_ENTRY;
}

/* The frames' table becomes one of runs, in place: each run has taken at least as many bytes. Returns how many it has. */
static size_t shorten_table(struct save_writer *w)
{
    uint64_t count = save_frame_count(w->header.ram_size), n = 0;
    struct save_run run = {0, 0};
    size_t len = 0;

    for (; n < count; n++) {
        if (!load_le64(w->table + n * SAVE_FRAME_ENTRY))
            continue;
        if (run.end && n > run.end + SAVE_RUN_GAP) {
            save_run_write(&run, w->table + len);
            len += SAVE_RUN_ENTRY;
            run.end = 0;
        }
        run.first = run.end ? run.first : n;
        run.end = n + 1;
    }
    if (run.end)
        save_run_write(&run, w->table + len);
    return run.end ? len + SAVE_RUN_ENTRY : len;
}

static int write_rest(struct save_writer *w)
{
    struct save_header *h = &w->header;
    uint8_t page[SAVE_HEADER_SIZE];
    int r;

    if (h->memory == SAVE_FRAMES) {
        h->data_offset = SAVE_HEADER_SIZE;
        h->data_len = w->end - SAVE_HEADER_SIZE;
    }
    r = write_sealed(w, SAVE_TABLE, w->table, h->memory == SAVE_RUNS ? shorten_table(w) : table_bytes(w), &h->table_offset,
                     &h->table_len);
    if (!r)
        r = write_parts(w);
    h->file_len = w->end;
    save_header_write(h, &w->key, page);
    return r ? r : save_pwrite(w->fd, page, sizeof(page), 0);
}

/* Give a file without one a name beside the target. */
static int name_temporary(struct save_writer *w)
{
    char self[32];
    uint8_t random[8];
    char hex[17];

    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
    if (asprintf(&w->temporary, "%s/.vz-save.%s", w->folder, hex) < 0) {
        w->temporary = NULL;
        return -ENOMEM;
    }
    snprintf(self, sizeof(self), "/proc/self/fd/%d", w->fd);
    return linkat(AT_FDCWD, self, AT_FDCWD, w->temporary, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

    if (fd < 0)
        return -errno;
    r = fsync(fd) < 0 && errno != EINVAL ? -errno : 0; /* EINVAL: this file system needs none */
    close(fd);
    return r;
}

int save_writer_commit(struct save_writer *w, struct vz_error *err)
{
    int r = write_rest(w);

    if (!r && !w->unsynced && fsync(w->fd) < 0)
        r = -errno;
    if (!r && !w->temporary)
        r = name_temporary(w);
    if (!r && rename(w->temporary, w->path) < 0)
        r = -errno;
    if (r < 0)
        return failed(w, r, err);
    free(w->temporary);
    w->temporary = NULL;
    r = w->unsynced ? 0 : sync_folder(w->folder);
    return r < 0 ? failed(w, r, err) : 0;
}
