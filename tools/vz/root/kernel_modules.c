/* SPDX-License-Identifier: MIT */
#include "root/kernel_modules.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "cli.h"
#include "failure.h"
#include "root/root_file.h"

#define MODULE_MAX ((size_t)64 << 20) /* bytes, unpacked */
#define DEPTH_MAX  16u
#define FILES_MAX  ((size_t)64 << 20) /* bytes of paths, of which a kernel of Debian's has half a million */
#define LOOKS_MAX  100u /* as many as agent/vz_init.c loads */

/* ---- Unpacking ------------------------------------------------------------------------------ */

static bool unpack_xz(const uint8_t *in, size_t in_len, uint8_t *out, size_t *len)
{
    uint64_t memory = 2 * MODULE_MAX;
    size_t at = 0, to = 0;
    bool ok = lzma_stream_buffer_decode(&memory, 0, NULL, in, &at, in_len, out, &to, *len) == LZMA_OK;

    *len = to;
    return ok;
}

static bool unpack_gz(const uint8_t *in, size_t in_len, uint8_t *out, size_t *len)
{
    z_stream z = {.next_in = (uint8_t *)(uintptr_t)in, .avail_in = (unsigned)in_len, .next_out = out,
                  .avail_out = (unsigned)*len};
    bool ok = inflateInit2(&z, 15 + 16) == Z_OK;

    if (ok) {
        ok = inflate(&z, Z_FINISH) == Z_STREAM_END;
        *len = z.total_out;
        inflateEnd(&z);
    }
    return ok;
}

static bool unpack_zst(const uint8_t *in, size_t in_len, uint8_t *out, size_t *len)
{
    size_t n = ZSTD_decompress(out, *len, in, in_len);

    *len = n;
    return !ZSTD_isError(n);
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);

    return len >= n && !strcmp(text + len - n, end);
}

/* path begins with root. */
static char *read_packed(const char *root, const char *path, size_t *ret_len, struct vz_error *err)
{
    int fd = root_file_open(root, path + strlen(root), O_RDONLY | O_NONBLOCK | O_NOCTTY);
    char link[64], *ret;

    if (fd == -EINVAL) {
        fail(err, VZ_ERROR_INVALID, "%.200s: not a regular file", path);
        return NULL;
    }
    if (fd < 0) {
        errno = -fd;
        fail_errno(err, path);
        return NULL;
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ret = cli_read_file(link, ret_len, err);
    close(fd);
    return ret;
}

/* The module, as an ELF file; NULL and err. */
static void *read_module(const char *root, const char *path, size_t *ret_len, struct vz_error *err)
{
    bool (*unpack)(const uint8_t *, size_t, uint8_t *, size_t *) = ends_with(path, ".xz")    ? unpack_xz
                                                                   : ends_with(path, ".gz")  ? unpack_gz
                                                                   : ends_with(path, ".zst") ? unpack_zst
                                                                                             : NULL;
    size_t len, room = MODULE_MAX;
    char *packed = read_packed(root, path, &len, err), *data;

    if (!packed || !unpack) {
        *ret_len = len;
        return packed;
    }
    data = malloc(room);
    if (!data) {
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    } else if (!unpack((uint8_t *)packed, len, (uint8_t *)data, &room)) {
        fail(err, VZ_ERROR_IO, "%.200s: cannot be unpacked", path);
        free(data);
        data = NULL;
    } else {
        char *fitting = realloc(data, room + 1);

        data = fitting ? fitting : data;
        *ret_len = room;
    }
    free(packed);
    return data;
}

/* ---- Finding -------------------------------------------------------------------------------- */

/* Is file "NAME.ko" or that with a suffix, where dashes and underscores are the same? */
static bool is_module(const char *file, const char *name)
{
    for (; *name; name++, file++) {
        if (*file != *name && !((*file == '-' || *file == '_') && (*name == '-' || *name == '_')))
            return false;
    }
    return !strncmp(file, ".ko", 3) && (!file[3] || file[3] == '.');
}

/* All that there is, by one walk: folders of modules are large. */
static bool list_files(struct kernel_modules *m, struct vz_error *err)
{
    char path[PATH_MAX], *const roots[] = {path, NULL};
    FILE *to = open_memstream(&m->files, &m->files_len);
    size_t len = 0;
    FTS *fts = NULL;
    FTSENT *e;
    bool ok;

    if (!to)
        return fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
    if (snprintf(path, sizeof(path), "%s/%s", m->root, m->folder) < (int)sizeof(path))
        fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
    while (fts && len < FILES_MAX && (e = fts_read(fts))) {
        /* Links lead to where the kernel was built. */
        if (e->fts_info != FTS_D && e->fts_info != FTS_DP && strstr(e->fts_name, ".ko"))
            len += fwrite(e->fts_path, 1, strlen(e->fts_path) + 1, to);
    }
    if (fts)
        fts_close(fts);
    ok = !ferror(to);
    if (fclose(to) != 0 || !ok)
        return fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
    return len < FILES_MAX ||
           fail_false(err, VZ_ERROR_INVALID, "%.100s/%.100s: has too many modules", m->root, m->folder);
}

/* A path that begins with root; NULL: there is none. */
static const char *find(const struct kernel_modules *m, const char *name)
{
    for (const char *path = m->files; path < m->files + m->files_len; path += strlen(path) + 1) {
        if (is_module(strrchr(path, '/') + 1, name))
            return path;
    }
    return NULL;
}

/* "a,b" behind "depends=" in what a module says of itself, each text ending with a NUL; "": nothing. */
static const char *depends_of(const struct kernel_module *m)
{
    static const char key[] = "\0depends=";
    const char *at = memmem(m->data, m->len, key, sizeof(key) - 1);

    at = at ? at + sizeof(key) - 1 : NULL;
    return at && memchr(at, '\0', m->len - (size_t)(at - (const char *)m->data)) ? at : "";
}

static bool is_there(const struct kernel_modules *m, const char *name)
{
    for (unsigned i = 0; i < m->count; i++) {
        if (!strcmp(m->list[i].name, name))
            return true;
    }
    return false;
}

static bool append(struct kernel_modules *m, const struct kernel_module *one, struct vz_error *err)
{
    struct kernel_module *more = realloc(m->list, (m->count + 1) * sizeof(*more));

    if (!more)
        return fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
    m->list = more;
    m->list[m->count++] = *one;
    return true;
}

static bool add(struct kernel_modules *m, const char *name, unsigned depth, struct vz_error *err)
{
    struct kernel_module one = {.data = NULL};
    char *needs, *rest, *word;
    const char *path;
    bool ok = true;

    if (is_there(m, name) || depth > DEPTH_MAX)
        return true;
    if (m->looks++ == LOOKS_MAX)
        return fail_false(err, VZ_ERROR_INVALID, "%.100s/%.100s: its modules depend on more than %u others", m->root,
                          m->folder, LOOKS_MAX);
    path = find(m, name);
    if (!path)
        return true;
    snprintf(one.name, sizeof(one.name), "%s", name);
    one.data = read_module(m->root, path, &one.len, err);
    if (!one.data)
        return false;
    rest = needs = strdup(depends_of(&one));
    while (ok && (word = strsep(&rest, ",")))
        ok = !*word || add(m, word, depth + 1, err);
    ok = ok && append(m, &one, err);
    if (!ok)
        free(one.data);
    free(needs);
    return ok;
}

bool kernel_modules_add(struct kernel_modules *m, const char *name, struct vz_error *err)
{
    return (m->files || list_files(m, err)) && add(m, name, 0, err);
}

void kernel_modules_fini(struct kernel_modules *m)
{
    for (unsigned i = 0; i < m->count; i++)
        free(m->list[i].data);
    free(m->list);
    free(m->files);
}
