/* SPDX-License-Identifier: MIT */
/* Compressed kernel payloads, as Linux's build makes them. Called by the bzImage loader. */
#ifndef VZ_BOARD_PC_BOOT_DECOMPRESS_H
#define VZ_BOARD_PC_BOOT_DECOMPRESS_H

#include "base/compiler.h"

struct vz_error;

enum decompress_format {
    DECOMPRESS_UNKNOWN, DECOMPRESS_ZSTD, DECOMPRESS_LZ4, DECOMPRESS_GZIP, DECOMPRESS_XZ,
    DECOMPRESS_LZMA, DECOMPRESS_BZIP2, DECOMPRESS_LZO,
};

enum decompress_format decompress_detect(const uint8_t *src, uint64_t len);
const char *decompress_name(enum decompress_format format);
bool decompress_supported(enum decompress_format format);

/* Behind a payload is its decompressed size. LZ4's legacy form: a magic number, then chunks of a 32-bit length and
 * that many bytes, each decompressed by itself to at most so many. */
#define DECOMPRESS_SIZE_TRAILER 4u
#define DECOMPRESS_LZ4_MAGIC 0x184c2102u
#define DECOMPRESS_LZ4_CHUNK ((size_t)8 << 20)

/* A decompressed payload, in memory of its own: only pages that were written are resident. */
struct decompressed {
    uint8_t *data;
    uint64_t len;
    uint64_t mapped; /* bytes */
};

/* Decompress the payload src, whose last four bytes are its decompressed size (for gzip they are
 * part of the format), to at most max_len bytes. 0 or -errno with *err set: -EINVAL damaged,
 * -EFBIG more than max_len, -ENOTSUP a format without decompressor, -ENOMEM. */
int decompress(const uint8_t *src, uint64_t len, uint64_t max_len, struct decompressed *ret,
               struct vz_error *err) must_check;
void decompress_free(struct decompressed *d); /* all-zero is fine */

#endif
