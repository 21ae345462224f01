/* SPDX-License-Identifier: MIT */
/* A saved state as a file: docs/state-format.md has the whole story. A header of a page; behind it
 * the memory's frames, in any order; then a sealed table of where each frame is, and sealed parts: what
 * the machine was, and its devices' sections. All little-endian. */
#ifndef VZ_SAVE_SAVE_FORMAT_H
#define VZ_SAVE_SAVE_FORMAT_H

#include "base/compiler.h"
#include "save/save_key.h"

struct vz_error;

#define SAVE_MAGIC       "VZSTATE\n"
#define SAVE_VERSION     2u /* 1 is what has no SAVE_RUNS */
#define SAVE_HEADER_SIZE 4096u

#define SAVE_PAGE        4096u
#define SAVE_FRAME_PAGES 4u
#define SAVE_FRAME       (SAVE_FRAME_PAGES * SAVE_PAGE)
#define SAVE_TAG         16u /* bytes behind what is sealed, that prove it */
#define SAVE_UNIT        16u /* frames begin at multiples of it */

/* A sealed message's nonce is its kind and its number; the key is the file's own, so none comes
 * twice. */
enum save_kind { SAVE_PARTS = 1, SAVE_TABLE = 2, SAVE_MEMORY = 3 };

/* In sealed frames; or as it is, each byte at its place, with holes for zeros, to be mapped. Of that the table says of each frame
 * what is in it, as it does of sealed ones, or in which runs of frames there is anything: then it is as short as a restore, which
 * must not depend on the memory's size, wants it. */
enum save_memory { SAVE_FRAMES = 0, SAVE_PLAIN = 1, SAVE_RUNS = 2 };

#define SAVE_PLAIN_ALIGN ((uint64_t)2 << 20)

enum save_part { SAVE_DESCRIPTION = 1, SAVE_CONFIGURATION = 2, SAVE_DEVICES = 3,
                 SAVE_CONTROLLERS = 4, SAVE_PARTS_END };

#define SAVE_PARTS_MAX ((uint64_t)64 << 20) /* bytes of them all */

struct save_header {
    struct save_key_info key;
    uint8_t uuid[16];  /* of this file */
    uint32_t memory;   /* enum save_memory */
    uint64_t ram_size; /* bytes, whole pages */
    uint64_t parts_offset, parts_len; /* sealed: SAVE_TAG bytes longer than what is in them */
    uint64_t table_offset, table_len; /* likewise */
    uint64_t data_offset, data_len;   /* where the memory is */
    uint64_t file_len;
};

/* Where a frame is. Plain memory: len is 0, and pages are those that are there. Else, len 0: all zeros. Else len bytes at offset are its pages of which the bit in
 * pages is set, sealed; compressed where that makes it shorter. The others are zeros. */
struct save_frame {
    uint64_t offset; /* in the file */
    uint32_t len;    /* with its tag */
    uint8_t pages;
};

#define SAVE_FRAME_ENTRY 8u /* bytes in the table */

/* Frames in which there may be something else than zeros: [first, end). */
struct save_run {
    uint64_t first, end;
};

#define SAVE_RUN_ENTRY 16u
#define SAVE_RUN_GAP   4u /* so many frames of zeros are in a run, since each costs a mapping */

/* header is sealed with the file's key; page has SAVE_HEADER_SIZE bytes. */
void save_header_write(const struct save_header *h, const struct save_key *key, uint8_t *page);
/* The same as another version would; for tests. */
void save_header_write_version(const struct save_header *h, const struct save_key *key,
                               uint32_t version, uint8_t *page);

/* Make it right again after a change; for tests. */
void save_header_sign(uint8_t *page, const struct save_key *key);

/* What can be said of it without a key. What is in it is in bounds, if file_len is right. 0; or
 * -EINVAL with err: no saved state, damaged; -ENOTSUP: of a newer version. */
int save_header_read(const uint8_t *page, uint64_t file_len, const char *path,
                     struct save_header *ret, struct vz_error *err) must_check;
/* Is it the file's key, and the header as it was written? */
bool save_header_proves(const uint8_t *page, const struct save_key *key);

void save_frame_write(const struct save_frame *f, uint8_t *entry);
/* Out of bounds: -EINVAL. */
int save_frame_read(const uint8_t *entry, const struct save_header *h,
                    struct save_frame *ret) must_check;

void save_run_write(const struct save_run *run, uint8_t *entry);
/* At least before, the end of the run before it. Out of bounds: -EINVAL. */
int save_run_read(const uint8_t *entry, const struct save_header *h, uint64_t before, struct save_run *ret) must_check;

static inline uint64_t save_frame_count(uint64_t ram_size)
{
    return (ram_size + SAVE_FRAME - 1) / SAVE_FRAME;
}

#endif
