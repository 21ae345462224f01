/* SPDX-License-Identifier: MIT */
/* Decompression into a buffer that is reserved at its limit and filled as far as the data goes, so
 * that no size in the file is trusted and nothing is copied twice. */
#include "board/pc/boot/decompress.h"

#include <errno.h>
#include <inttypes.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/error.h"
#include "base/le.h"
#include "base/pages.h"

#define LZMA_MEMORY_MAX (256 * MIB) /* Linux uses dictionaries of 32 MiB */

struct job {
    const uint8_t *src;
    uint64_t len;
    uint8_t *out;
    uint64_t out_max;
    uint64_t out_len;
};

struct method {
    const char *name;
    uint8_t magic_len;
    uint8_t magic[6];
    /* Fills in out_len. 0, -EINVAL: damaged, -EFBIG: out_max is not enough, -ENOMEM. */
    int (*run)(struct job *job);
};

static int run_zstd(struct job *job)
{
    size_t frame = ZSTD_findFrameCompressedSize(job->src, job->len);
    size_t n;

    if (ZSTD_isError(frame))
        return -EINVAL;
    n = ZSTD_decompress(job->out, job->out_max, job->src, frame);
    if (ZSTD_isError(n))
        return ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall ? -EFBIG : -EINVAL;
    job->out_len = n;
    return 0;
}

/* The legacy frame: magic, then chunks of a 32-bit length and that many bytes; each but the last
 * decompresses to DECOMPRESS_LZ4_CHUNK. The magic may appear again between chunks. */
static int run_lz4(struct job *job)
{
    uint64_t pos = 4, end = job->len - DECOMPRESS_SIZE_TRAILER;

    while (pos < end) {
        uint64_t room = MIN(job->out_max - job->out_len, DECOMPRESS_LZ4_CHUNK);
        uint32_t chunk;
        int n;

        if (end - pos < 4)
            return -EINVAL;
        chunk = load_le32(job->src + pos);
        pos += 4;
        if (chunk == DECOMPRESS_LZ4_MAGIC)
            continue;
        if (!chunk || chunk > end - pos || chunk > LZ4_MAX_INPUT_SIZE)
            return -EINVAL;
        n = LZ4_decompress_safe((const char *)job->src + pos, (char *)job->out + job->out_len,
                                (int)chunk, (int)room);
        if (n < 0)
            return room < DECOMPRESS_LZ4_CHUNK ? -EFBIG : -EINVAL;
        job->out_len += (uint64_t)n;
        pos += chunk;
    }
    return 0;
}

static int run_gzip(struct job *job)
{
    z_stream z = {
        .next_in = (Bytef *)job->src, .avail_in = (uInt)job->len,
        .next_out = job->out, .avail_out = (uInt)job->out_max,
    };
    int r;

    if (inflateInit2(&z, 15 + 16) != Z_OK) /* 15 bits of window, gzip header */
        return -ENOMEM;
    r = inflate(&z, Z_FINISH);
    job->out_len = z.total_out;
    inflateEnd(&z);
    if (r == Z_STREAM_END)
        return 0;
    return r == Z_MEM_ERROR ? -ENOMEM : z.avail_out ? -EINVAL : -EFBIG;
}

static int run_lzma_stream(struct job *job, lzma_stream *s)
{
    lzma_ret r;

    s->next_in = job->src;
    s->avail_in = job->len;
    s->next_out = job->out;
    s->avail_out = job->out_max;
    r = lzma_code(s, LZMA_FINISH);
    job->out_len = s->total_out;
    if (r == LZMA_STREAM_END)
        return 0;
    return r == LZMA_MEM_ERROR ? -ENOMEM : s->avail_out ? -EINVAL : -EFBIG;
}

static int run_xz(struct job *job)
{
    lzma_stream s = LZMA_STREAM_INIT;
    int r = lzma_stream_decoder(&s, LZMA_MEMORY_MAX, 0) == LZMA_OK ? run_lzma_stream(job, &s)
                                                                  : -ENOMEM;
    lzma_end(&s);
    return r;
}

static int run_lzma(struct job *job)
{
    lzma_stream s = LZMA_STREAM_INIT;
    int r = lzma_alone_decoder(&s, LZMA_MEMORY_MAX) == LZMA_OK ? run_lzma_stream(job, &s) : -ENOMEM;

    lzma_end(&s);
    return r;
}

static const struct method method[] = {
    [DECOMPRESS_UNKNOWN] = {"unknown", 0, {0}, NULL},
    [DECOMPRESS_ZSTD] = {"zstd", 4, {0x28, 0xb5, 0x2f, 0xfd}, run_zstd},
    [DECOMPRESS_LZ4] = {"lz4", 4, {0x02, 0x21, 0x4c, 0x18}, run_lz4},
    [DECOMPRESS_GZIP] = {"gzip", 2, {0x1f, 0x8b}, run_gzip},
    [DECOMPRESS_XZ] = {"xz", 6, {0xfd, '7', 'z', 'X', 'Z', 0}, run_xz},
    [DECOMPRESS_LZMA] = {"lzma", 3, {0x5d, 0, 0}, run_lzma},
    [DECOMPRESS_BZIP2] = {"bzip2", 3, {'B', 'Z', 'h'}, NULL},
    [DECOMPRESS_LZO] = {"lzo", 4, {0x89, 'L', 'Z', 'O'}, NULL},
};

enum decompress_format decompress_detect(const uint8_t *src, uint64_t len)
{
    for (unsigned i = DECOMPRESS_UNKNOWN + 1; i < ARRAY_SIZE(method); i++)
        if (len >= method[i].magic_len && !memcmp(src, method[i].magic, method[i].magic_len))
            return (enum decompress_format)i;
    return DECOMPRESS_UNKNOWN;
}

const char *decompress_name(enum decompress_format format)
{
    return method[format].name;
}

bool decompress_supported(enum decompress_format format)
{
    return method[format].run != NULL;
}

static int fail(int r, const char *name, uint64_t max_len, struct vz_error *err)
{
    if (r == -ENOMEM)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "no memory to decompress it");
    if (r == -EFBIG)
        return error_set(err, EFBIG, VZ_ERROR_INVALID,
                         "its %s payload decompresses to more than %" PRIu64 " MiB", name,
                         max_len / MIB);
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "its %s payload is damaged", name);
}

int decompress(const uint8_t *src, uint64_t len, uint64_t max_len, struct decompressed *ret,
               struct vz_error *err)
{
    const struct method *m = &method[decompress_detect(src, len)];
    struct job job = {.src = src, .len = len, .out_max = max_len};
    struct decompressed d = {.mapped = max_len};
    int r;

    if (!m->run)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, "its payload has %s compression",
                         m->magic_len ? m->name : "an unknown");
    if (len < 8 || len > UINT32_MAX || !max_len || max_len > UINT32_MAX)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "its payload is damaged");
    d.data = pages_map(d.mapped);
    if (!d.data)
        return fail(-ENOMEM, m->name, max_len, err);
    job.out = d.data;
    r = m->run(&job);
    d.len = job.out_len;
    if (!r && d.len != load_le32(src + len - DECOMPRESS_SIZE_TRAILER))
        r = -EINVAL;
    if (r) {
        decompress_free(&d);
        return fail(r, m->name, max_len, err);
    }
    *ret = d;
    return 0;
}

void decompress_free(struct decompressed *d)
{
    pages_unmap(d->data, d->mapped);
    *d = (struct decompressed){0};
}
