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
