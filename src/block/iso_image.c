/* SPDX-License-Identifier: MIT */
/* ISO 9660 (ECMA-119) with Rock Ridge (IEEE P1282, on SUSP P1281) and Joliet: see iso_image.h. Sections
 * are ECMA-119's where nothing else is said. There are two trees over the same files: one of plain names
 * that have Rock Ridge's beside them, and Joliet's in UCS-2. */
#include "block/iso_image.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"

#define SECTOR 2048u

/* Where things are, in sectors. 0 to 15 are the system area's (6.2.1). */
enum {
    AT_PRIMARY = 16,
    AT_JOLIET,
    AT_TERMINATOR,
    AT_PATHS, /* path tables: of the primary tree in L and M order, of Joliet's */
    AT_ROOT = AT_PATHS + 4,
    AT_JOLIET_ROOT,
    AT_EXTENSION, /* what SUSP's first entries continue with */
    AT_FILES,
};

#define FLAG_FOLDER     2u
#define PATH_TABLE_SIZE 10u
#define RECORD_SIZE     33u /* without its name */
#define MODE_FOLDER     0040555u
#define MODE_FILE       0100444u

/* ---- Numbers and text (7.2, 7.3, 7.4) ------------------------------------------------------- */

static void put_le(uint8_t *p, unsigned size, uint32_t v)
{
    for (unsigned i = 0; i < size; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static void put_be(uint8_t *p, unsigned size, uint32_t v)
{
    for (unsigned i = 0; i < size; i++)
        p[i] = (uint8_t)(v >> 8 * (size - 1 - i));
}

/* Both orders, one behind the other. */
static void put_both(uint8_t *p, unsigned size, uint32_t v)
{
    put_le(p, size, v);
    put_be(p + size, size, v);
}

static void put_text(uint8_t *p, size_t len, const char *text, bool ucs2)
{
    if (!ucs2) {
        memset(p, ' ', len);
        memcpy(p, text, MIN(strlen(text), len));
        return;
    }
    for (size_t i = 0; i + 1 < len; i += 2)
        put_be(p + i, 2, *text ? (uint8_t)*text++ : ' ');
}

/* 2000-01-01: an image says nothing of when it was made, so that it is always the same. */
static void put_record_date(uint8_t p[7])
{
    p[0] = 100;
    p[1] = p[2] = 1;
}

static void put_date(uint8_t p[17], bool given)
{
    memcpy(p, given ? "2000010100000000" : "0000000000000000", 16);
}

/* ---- Directory records (9.1) and what Rock Ridge adds to them ------------------------------- */

static uint8_t *put_px(uint8_t *p, uint32_t mode)
{
    memcpy(p, "PX\x24\x01", 4);
    put_both(p + 4, 4, mode);
    put_both(p + 12, 4, mode == MODE_FOLDER ? 2 : 1); /* links; then user and group: root's */
    return p + 36;
}

static uint8_t *put_nm(uint8_t *p, const char *name)
{
    size_t len = strlen(name);

    memcpy(p, "NM", 2);
    p[2] = (uint8_t)(5 + len);
    p[3] = 1;
    memcpy(p + 5, name, len);
    return p + 5 + len;
}

/* The root's own record says that SUSP is used (SP) and where the rest of it is (CE): ER. */
static uint8_t *put_root_susp(uint8_t *p, uint32_t er_len)
{
    memcpy(p, "SP\x07\x01\xbe\xef", 6);
    p += 7;
    memcpy(p, "CE\x1c\x01", 4);
    put_both(p + 4, 4, AT_EXTENSION);
    put_both(p + 20, 4, er_len);
    return p + 28;
}

static uint32_t put_er(uint8_t *p)
{
    static const char id[] = "RRIP_1991A";
    static const char about[] = "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE "
                                "SYSTEM SEMANTICS";
    uint32_t len = 8 + sizeof(id) - 1 + sizeof(about) - 1;

    memcpy(p, "ER", 2);
    p[2] = (uint8_t)len;
    p[3] = 1;
    p[4] = sizeof(id) - 1;
    p[5] = sizeof(about) - 1;
    p[7] = 1;
    memcpy(p + 8, id, sizeof(id) - 1);
    memcpy(p + 8 + sizeof(id) - 1, about, sizeof(about) - 1);
    return len;
}

/* All but the system use area, which comes at what this returns. */
static uint8_t *put_record(uint8_t *p, uint32_t sector, uint32_t len, unsigned flags,
                           const void *name, size_t name_len)
{
    put_both(p + 2, 4, sector);
    put_both(p + 10, 4, len);
    put_record_date(p + 18);
    p[25] = (uint8_t)flags;
    put_both(p + 28, 2, 1);
    p[32] = (uint8_t)name_len;
    memcpy(p + RECORD_SIZE, name, name_len);
    return p + RECORD_SIZE + name_len + (name_len % 2 ? 0 : 1);
}

/* The record ends at end, or one further: its length is even. The next one's place. */
static uint8_t *end_record(uint8_t *record, uint8_t *end)
{
    size_t len = align_up((uint64_t)(end - record), 2);

    record[0] = (uint8_t)len;
    return record + len;
}

/* A plain name, 8.3 in capitals and digits (7.5): what no Rock Ridge reader shows. */
static size_t plain_name(const char *name, unsigned index, char ret[32])
{
    char stem[9] = "";
    size_t n = 0;

    for (; *name && n < 7; name++)
        stem[n++] = isalnum((unsigned char)*name) ? (char)toupper((unsigned char)*name) : '_';
    /* Short names may look alike: the last place tells them apart, and keeps their order. */
    return (size_t)snprintf(ret, 32, "%s%u.;1", stem, index);
}

static size_t joliet_name(const char *name, uint8_t ret[2 * ISO_NAME_MAX])
{
    size_t len = 2 * strlen(name);

    put_text(ret, len, name, true);
    return len;
}

static void put_folder(uint8_t *image, unsigned at, bool joliet, const struct iso_file *files,
                       unsigned count, uint32_t er_len)
{
    uint8_t *p = image + at * SECTOR, *end;
    uint32_t sector = AT_FILES;

    for (unsigned i = 0; i < 2; i++) { /* itself, and above it: itself */
        end = put_record(p, at, SECTOR, FLAG_FOLDER, i ? "\1" : "\0", 1);
        if (!joliet && !i)
            end = put_root_susp(end, er_len);
        p = end_record(p, joliet ? end : put_px(end, MODE_FOLDER));
    }
    for (unsigned i = 0; i < count; i++) {
        uint8_t name[2 * ISO_NAME_MAX];
        size_t len = joliet ? joliet_name(files[i].name, name)
                            : plain_name(files[i].name, i, (char *)name);

        end = put_record(p, files[i].len ? sector : 0, (uint32_t)files[i].len, 0, name, len);
        p = end_record(p, joliet ? end : put_nm(put_px(end, MODE_FILE), files[i].name));
        sector += (uint32_t)(align_up(files[i].len, SECTOR) / SECTOR);
    }
}

/* ---- Descriptors (8.4, 8.5) and path tables (9.4) ------------------------------------------- */

static void put_path_table(uint8_t *p, uint32_t root, bool big)
{
    p[0] = 1;
    (big ? put_be : put_le)(p + 2, 4, root);
    (big ? put_be : put_le)(p + 6, 2, 1);
}

static void put_descriptor(uint8_t *image, bool joliet, const char *label, uint32_t sectors)
{
    uint8_t *p = image + (joliet ? AT_JOLIET : AT_PRIMARY) * SECTOR;
    uint32_t paths = AT_PATHS + (joliet ? 2 : 0), root = joliet ? AT_JOLIET_ROOT : AT_ROOT;

    p[0] = joliet ? 2 : 1;
    memcpy(p + 1, "CD001\x01", 6);
    put_text(p + 8, 32, "", joliet);
    put_text(p + 40, 32, label, joliet);
    put_both(p + 80, 4, sectors);
    if (joliet)
        memcpy(p + 88, "%/E", 3); /* UCS-2, level 3 */
    put_both(p + 120, 2, 1);
    put_both(p + 124, 2, 1);
    put_both(p + 128, 2, SECTOR);
    put_both(p + 132, 4, PATH_TABLE_SIZE);
    put_le(p + 140, 4, paths);
    put_be(p + 148, 4, paths + 1);
    put_record(p + 156, root, SECTOR, FLAG_FOLDER, "\0", 1);
    p[156] = RECORD_SIZE + 1;
    put_text(p + 190, 623, "", joliet); /* whose it is, what made it, what files say so */
    put_date(p + 813, true);
    put_date(p + 830, true);
    put_date(p + 847, false);
    put_date(p + 864, false);
    p[881] = 1;
    put_path_table(image + paths * SECTOR, root, false);
    put_path_table(image + (paths + 1) * SECTOR, root, true);
}

/* ---- The whole ------------------------------------------------------------------------------ */

size_t iso_image_size(const struct iso_file *files, unsigned count)
{
    size_t size = AT_FILES * SECTOR;

    for (unsigned i = 0; i < count; i++)
        size += align_up(files[i].len, SECTOR);
    return size;
}

static bool is_writable(const char *label, const struct iso_file *files, unsigned count)
{
    if (count > ISO_FILES_MAX || strlen(label) > ISO_LABEL_MAX)
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (!files[i].name[0] || strlen(files[i].name) > ISO_NAME_MAX ||
            files[i].len > UINT32_MAX - SECTOR ||
            (i && strcmp(files[i - 1].name, files[i].name) >= 0))
            return false;
    }
    return iso_image_size(files, count) / SECTOR <= UINT32_MAX;
}

int iso_image_write(const char *label, const struct iso_file *files, unsigned count, uint8_t *ret)
{
    uint32_t sectors, er_len;
    uint8_t *data = ret + AT_FILES * SECTOR;

    if (!is_writable(label, files, count))
        return -EINVAL;
    sectors = (uint32_t)(iso_image_size(files, count) / SECTOR);
    put_descriptor(ret, false, label, sectors);
    put_descriptor(ret, true, label, sectors);
    memcpy(ret + AT_TERMINATOR * SECTOR, "\xff" "CD001\x01", 7);
    er_len = put_er(ret + AT_EXTENSION * SECTOR);
    put_folder(ret, AT_ROOT, false, files, count, er_len);
    put_folder(ret, AT_JOLIET_ROOT, true, files, count, 0);
    for (unsigned i = 0; i < count; i++) {
        if (files[i].len)
            memcpy(data, files[i].data, files[i].len);
        data += align_up(files[i].len, SECTOR);
    }
    return 0;
}
