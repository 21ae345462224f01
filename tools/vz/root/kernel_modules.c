/* SPDX-License-Identifier: MIT */
#include "root/kernel_modules.h"

#include <fts.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "cli.h"
#include "failure.h"

#define MODULE_MAX ((size_t)64 << 20) /* bytes, unpacked */
#define DEPTH_MAX  16u

/* ---- Unpacking ------------------------------------------------------------------------------ */

static bool unpack_xz(const uint8_t *in, size_t in_len, uint8_t *out, size_t *len)
{
    uint64_t memory = UINT64_MAX;
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

/* The module, as an ELF file; NULL and err. */
static void *read_module(const char *path, size_t *ret_len, struct vz_error *err)
{
    bool (*unpack)(const uint8_t *, size_t, uint8_t *, size_t *) = ends_with(path, ".xz")    ? unpack_xz
                                                                   : ends_with(path, ".gz")  ? unpack_gz
                                                                   : ends_with(path, ".zst") ? unpack_zst
                                                                                             : NULL;
    size_t len, room = MODULE_MAX;
    char *packed = cli_read_file(path, &len, err), *data;

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

/* Text for free(); NULL: there is none. */
static char *find(const char *folder, const char *name)
{
    char *const roots[] = {(char *)(uintptr_t)folder, NULL};
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
    char *ret = NULL;
    FTSENT *e;

    while (fts && !ret && (e = fts_read(fts))) {
        /* Links lead to where the kernel was built. */
        if (e->fts_info != FTS_D && e->fts_info != FTS_DP && is_module(e->fts_name, name))
            ret = strdup(e->fts_path);
    }
    if (fts)
        fts_close(fts);
    return ret;
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

static bool add(struct kernel_modules *m, const char *folder, const char *name, unsigned depth, struct vz_error *err)
{
    struct kernel_module one = {.data = NULL};
    char *path = is_there(m, name) || depth > DEPTH_MAX ? NULL : find(folder, name), *needs, *rest, *word;
    bool ok = true;

    if (!path)
        return true;
    snprintf(one.name, sizeof(one.name), "%s", name);
    one.data = read_module(path, &one.len, err);
    free(path);
    if (!one.data)
        return false;
    rest = needs = strdup(depends_of(&one));
    while (ok && (word = strsep(&rest, ",")))
        ok = !*word || add(m, folder, word, depth + 1, err);
    ok = ok && append(m, &one, err);
    if (!ok)
        free(one.data);
    free(needs);
    return ok;
}

bool kernel_modules_add(struct kernel_modules *m, const char *folder, const char *name, struct vz_error *err)
{
    return add(m, folder, name, 0, err);
}

void kernel_modules_fini(struct kernel_modules *m)
{
    for (unsigned i = 0; i < m->count; i++)
        free(m->list[i].data);
    free(m->list);
}
