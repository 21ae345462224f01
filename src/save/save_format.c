/* SPDX-License-Identifier: MIT */
/* The header and the table's entries, written and read. */
#include "save/save_format.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/le.h"

/* Where the header's members are. The first four stay there in all versions. */
enum {
    AT_MAGIC = 0, AT_VERSION = 8, AT_SIZE = 12, AT_CHECKSUM = 16,
    AT_PROOF = 32, AT_UUID = 48, AT_SALT = 64, AT_KEY_ID = 80, AT_KEY_KIND = 96, AT_WORK = 100,
    AT_MEMORY_KIB = 104, AT_MEMORY = 108, AT_RAM_SIZE = 112, AT_PARTS = 120, AT_TABLE = 136,
    AT_DATA = 152, AT_FILE_LEN = 168, AT_END = 176
};

/* Of all of it, without itself: tells damage from a wrong key. */
static void checksum(const uint8_t *page, uint8_t ret[16])
{
    uint8_t copy[SAVE_HEADER_SIZE];

    memcpy(copy, page, sizeof(copy));
    memset(copy + AT_CHECKSUM, 0, 16);
    crypto_generichash(ret, 16, copy, sizeof(copy), NULL, 0);
}

/* The same with a key, and without the checksum: nobody else can write it. */
static void proof(const uint8_t *page, const struct save_key *key, uint8_t ret[16])
{
    uint8_t copy[SAVE_HEADER_SIZE];

    memcpy(copy, page, sizeof(copy));
    memset(copy + AT_CHECKSUM, 0, 32);
    crypto_generichash(ret, 16, copy, sizeof(copy), key->bytes, sizeof(key->bytes));
}

void save_header_write(const struct save_header *h, const struct save_key *key, uint8_t *page)
{
    save_header_write_version(h, key, h->memory == SAVE_RUNS ? 2 : 1, page);
}

void save_header_write_version(const struct save_header *h, const struct save_key *key,
                               uint32_t version, uint8_t *page)
{
    memset(page, 0, SAVE_HEADER_SIZE);
    memcpy(page + AT_MAGIC, SAVE_MAGIC, 8);
    store_le32(page + AT_VERSION, version);
    store_le32(page + AT_SIZE, SAVE_HEADER_SIZE);
    memcpy(page + AT_UUID, h->uuid, 16);
    memcpy(page + AT_SALT, h->key.salt, 16);
    memcpy(page + AT_KEY_ID, h->key.id, 16);
    store_le32(page + AT_KEY_KIND, h->key.kind);
    store_le32(page + AT_WORK, h->key.work);
    store_le32(page + AT_MEMORY_KIB, h->key.memory_kib);
    store_le32(page + AT_MEMORY, h->memory);
    store_le64(page + AT_RAM_SIZE, h->ram_size);
    store_le64(page + AT_PARTS, h->parts_offset);
    store_le64(page + AT_PARTS + 8, h->parts_len);
    store_le64(page + AT_TABLE, h->table_offset);
    store_le64(page + AT_TABLE + 8, h->table_len);
    store_le64(page + AT_DATA, h->data_offset);
    store_le64(page + AT_DATA + 8, h->data_len);
    store_le64(page + AT_FILE_LEN, h->file_len);
    save_header_sign(page, key);
}

void save_header_sign(uint8_t *page, const struct save_key *key)
{
    proof(page, key, page + AT_PROOF);
    checksum(page, page + AT_CHECKSUM);
}

bool save_header_proves(const uint8_t *page, const struct save_key *key)
{
    uint8_t expected[16];

    proof(page, key, expected);
    return sodium_memcmp(expected, page + AT_PROOF, sizeof(expected)) == 0;
}

static void read_members(const uint8_t *page, struct save_header *ret)
{
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->uuid, page + AT_UUID, 16);
    memcpy(ret->key.salt, page + AT_SALT, 16);
    memcpy(ret->key.id, page + AT_KEY_ID, 16);
    ret->key.kind = load_le32(page + AT_KEY_KIND);
    ret->key.work = load_le32(page + AT_WORK);
    ret->key.memory_kib = load_le32(page + AT_MEMORY_KIB);
    ret->memory = load_le32(page + AT_MEMORY);
    ret->ram_size = load_le64(page + AT_RAM_SIZE);
    ret->parts_offset = load_le64(page + AT_PARTS);
    ret->parts_len = load_le64(page + AT_PARTS + 8);
    ret->table_offset = load_le64(page + AT_TABLE);
    ret->table_len = load_le64(page + AT_TABLE + 8);
    ret->data_offset = load_le64(page + AT_DATA);
    ret->data_len = load_le64(page + AT_DATA + 8);
    ret->file_len = load_le64(page + AT_FILE_LEN);
}

static bool table_fits(const struct save_header *h)
{
    uint64_t frames = save_frame_count(h->ram_size), len = h->table_len - SAVE_TAG;

    if (h->memory == SAVE_RUNS)
        return len % SAVE_RUN_ENTRY == 0 && len / SAVE_RUN_ENTRY <= frames / (SAVE_RUN_GAP + 1) + 1;
    return len == frames * SAVE_FRAME_ENTRY;
}

/* Nothing of it is believed because the checksum fits: whoever wrote it may be hostile. */
static bool members_fit(const struct save_header *h)
{
    bool plain = h->memory == SAVE_PLAIN || h->memory == SAVE_RUNS;

    return h->ram_size && h->ram_size % SAVE_PAGE == 0 && h->ram_size <= UINT64_C(1) << 46 &&
           h->parts_len >= SAVE_TAG && h->parts_len <= SAVE_PARTS_MAX &&
           range_fits(h->parts_offset, h->parts_len, h->file_len) && h->table_len >= SAVE_TAG &&
           range_fits(h->table_offset, h->table_len, h->file_len) &&
           range_fits(h->data_offset, h->data_len, h->file_len) &&
           table_fits(h) &&
           (h->memory == SAVE_FRAMES ||
            (plain && h->data_offset && h->data_offset % SAVE_PLAIN_ALIGN == 0 &&
             h->data_len == h->ram_size));
}

static int damaged(const char *path, struct vz_error *err)
{
    return error_set(err, EINVAL, VZ_ERROR_RESTORE,
                     "%s is damaged: its header is not what was written; use another copy, or start "
                     "the machine without it", path);
}

int save_header_read(const uint8_t *page, uint64_t file_len, const char *path,
                     struct save_header *ret, struct vz_error *err)
{
    uint8_t sum[16];

    if (file_len < AT_END || memcmp(page, SAVE_MAGIC, 8))
        return error_set(err, EINVAL, VZ_ERROR_RESTORE, "%s is not a saved state", path);
    if (file_len < SAVE_HEADER_SIZE)
        return damaged(path, err);
    checksum(page, sum);
    if (memcmp(sum, page + AT_CHECKSUM, sizeof(sum)) ||
        load_le32(page + AT_SIZE) != SAVE_HEADER_SIZE)
        return damaged(path, err);
    if (!load_le32(page + AT_VERSION) || load_le32(page + AT_VERSION) > SAVE_VERSION)
        return error_set(err, ENOTSUP, VZ_ERROR_RESTORE,
                         "%s was saved by a newer vz, in version %u of the format, and this one knows "
                         "%u: restore it with that, or start the machine without it", path,
                         load_le32(page + AT_VERSION), SAVE_VERSION);
    read_members(page, ret);
    if (ret->file_len != file_len)
        return error_set(err, EINVAL, VZ_ERROR_RESTORE,
                         "%s has %llu bytes and should have %llu: it was cut off, or not copied as a "
                         "whole", path, (unsigned long long)file_len,
                         (unsigned long long)ret->file_len);
    return members_fit(ret) ? 0 : damaged(path, err);
}

void save_run_write(const struct save_run *run, uint8_t *entry)
{
    store_le64(entry, run->first);
    store_le64(entry + 8, run->end);
}

int save_run_read(const uint8_t *entry, const struct save_header *h, uint64_t before, struct save_run *ret)
{
    *ret = (struct save_run){.first = load_le64(entry), .end = load_le64(entry + 8)};
    return ret->first < before || ret->first >= ret->end || ret->end > save_frame_count(h->ram_size) ? -EINVAL : 0;
}

/* Offset in units (40 bits), length (20), pages (4). */
void save_frame_write(const struct save_frame *f, uint8_t *entry)
{
    store_le64(entry, f->offset / SAVE_UNIT | (uint64_t)f->len << 40 | (uint64_t)f->pages << 60);
}

int save_frame_read(const uint8_t *entry, const struct save_header *h, struct save_frame *ret)
{
    uint64_t v = load_le64(entry);

    *ret = (struct save_frame){.offset = (v & ((UINT64_C(1) << 40) - 1)) * SAVE_UNIT,
                               .len = (uint32_t)(v >> 40) & 0xfffff, .pages = (uint8_t)(v >> 60)};
    if (h->memory == SAVE_PLAIN)
        return v & ((UINT64_C(1) << 60) - 1) ? -EINVAL : 0;
    if (!v)
        return 0;
    if (!ret->pages || ret->len <= SAVE_TAG || ret->len > SAVE_FRAME + SAVE_TAG ||
        ret->offset < h->data_offset ||
        !range_fits(ret->offset - h->data_offset, ret->len, h->data_len))
        return -EINVAL;
    return 0;
}
