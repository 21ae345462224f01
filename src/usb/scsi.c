/* SPDX-License-Identifier: MIT */
/* Commands of a SCSI disk or CD-ROM drive, by a table of their codes. What a command names is checked before
 * anything is done; what is not known is refused, as drivers try whatever they like. */
#include "usb/scsi.h"

#include <errno.h>
#include <string.h>

#include "base/be.h"
#include "base/checked.h"

enum { NO_SENSE = 0, NOT_READY = 2, MEDIUM_ERROR = 3, ILLEGAL_REQUEST = 5, UNIT_ATTENTION = 6, DATA_PROTECT = 7 };
enum { PAGE_CACHING = 0x08, PAGE_RECOVERY = 0x01, PAGE_ALL = 0x3f };
enum { DISK = 0x00, CDROM = 0x05 };
#define UNMAP_RANGES 255u

struct command_kind {
    void (*run)(struct scsi_disk *d, struct scsi_command *c);
    bool needs_medium, writes;
    bool passes_attention; /* is answered even when something has to be told before */
};

/* ---- Ends ----------------------------------------------------------------------------------- */

static void fail(struct scsi_disk *d, struct scsi_command *c, uint8_t key, uint8_t asc, uint8_t ascq)
{
    d->sense = (struct scsi_sense){key, asc, ascq};
    c->need = SCSI_DONE;
    c->status = SCSI_CHECK_CONDITION; /* len stays: data may have been moved */
}

static void bad_field(struct scsi_disk *d, struct scsi_command *c)
{
    fail(d, c, ILLEGAL_REQUEST, 0x24, 0);
}

static void done(struct scsi_command *c)
{
    c->need = SCSI_DONE;
    c->status = SCSI_GOOD;
}

/* len bytes of data are the answer, of which the host takes allocation. */
static void give(struct scsi_command *c, uint32_t len, uint32_t allocation)
{
    c->need = SCSI_GIVE;
    c->status = SCSI_GOOD;
    c->len = MIN(len, allocation);
}

void scsi_failed(struct scsi_disk *d, struct scsi_command *c, int err)
{
    if (err == -EROFS)
        fail(d, c, DATA_PROTECT, 0x27, 0);
    else if (err == -ENOSPC)
        fail(d, c, DATA_PROTECT, 0x27, 7); /* space allocation failed */
    else if (c->need == SCSI_READ)
        fail(d, c, MEDIUM_ERROR, 0x11, 0);
    else
        fail(d, c, MEDIUM_ERROR, 0x0c, 0);
}

static uint64_t block_count(const struct scsi_disk *d)
{
    return d->blk->size / d->block_size;
}

/* ---- What it is ----------------------------------------------------------------------------- */

static void put_text(uint8_t *to, size_t len, const char *text)
{
    memset(to, ' ', len);
    memcpy(to, text, MIN(strlen(text), len));
}

static const char *serial(const struct scsi_disk *d)
{
    return d->serial[0] ? d->serial : "1";
}

/* SPC-4 7.8: vital product data. 0: there is no such page. */
static uint32_t vpd(const struct scsi_disk *d, uint8_t page, uint8_t *p)
{
    static const uint8_t disk_pages[] = {0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2};
    uint32_t count = d->is_cdrom ? 3 : sizeof(disk_pages), len = (uint32_t)strlen(serial(d));

    switch (page) {
    case 0x00:
        memcpy(p + 4, disk_pages, count);
        return count;
    case 0x80:
        memcpy(p + 4, serial(d), len);
        return len;
    case 0x83: /* a T10 vendor ID based designator */
        p[4] = 2;
        p[5] = 1;
        p[7] = (uint8_t)(8 + len);
        put_text(p + 8, 8, "vz");
        memcpy(p + 16, serial(d), len);
        return 12 + len;
    default: break;
    }
    if (d->is_cdrom)
        return 0;
    switch (page) {
    case 0xb0: /* SBC-3 6.6.3 block limits */
        p[4] = 1; /* WSNZ */
        store_be32(p + 20, 0x400000 / d->block_size * 256); /* blocks of an UNMAP, */
        store_be32(p + 24, UNMAP_RANGES);                   /* and ranges */
        store_be32(p + 28, MAX(d->blk->discard_granularity, d->block_size) / d->block_size);
        store_be64(p + 36, UINT64_C(0x40000000) / d->block_size); /* of a WRITE SAME */
        return 60;
    case 0xb1:
        store_be16(p + 4, 1); /* does not rotate */
        return 60;
    case 0xb2: /* logical block provisioning: UNMAP, WRITE SAME, reads as zeroes not promised */
        p[5] = d->read_only ? 0 : 0xc0;
        p[6] = 2; /* thin */
        return 4;
    default: return 0;
    }
}

static void inquiry(struct scsi_disk *d, struct scsi_command *c)
{
    uint16_t allocation = load_be16(c->cdb + 3);
    uint8_t *p = c->data;
    uint32_t len;

    memset(p, 0, 256);
    p[0] = d->is_cdrom ? CDROM : DISK;
    if (c->cdb[1] & 1) {
        p[1] = c->cdb[2];
        len = vpd(d, c->cdb[2], p);
        if (!len) {
            bad_field(d, c);
            return;
        }
        store_be16(p + 2, (uint16_t)len);
        give(c, len + 4, allocation);
        return;
    }
    if (c->cdb[2]) {
        bad_field(d, c);
        return;
    }
    p[1] = d->removable ? 0x80 : 0;
    p[2] = 6; /* SPC-4 */
    p[3] = 2;
    p[4] = 36 - 5;
    put_text(p + 8, 8, "vz");
    put_text(p + 16, 16, d->is_cdrom ? "CD-ROM" : "USB Disk");
    put_text(p + 32, 4, "1");
    give(c, 36, allocation);
}

static void request_sense(struct scsi_disk *d, struct scsi_command *c)
{
    struct scsi_sense s = d->attention.key ? d->attention : d->sense;

    memset(c->data, 0, 18);
    c->data[0] = 0x70;
    c->data[2] = s.key;
    c->data[7] = 10;
    c->data[12] = s.asc;
    c->data[13] = s.ascq;
    d->attention = d->sense = (struct scsi_sense){0};
    give(c, 18, c->cdb[4]);
}

static void report_luns(struct scsi_disk *d, struct scsi_command *c)
{
    memset(c->data, 0, 16);
    c->data[3] = 8; /* one, 0 */
    give(c, 16, load_be32(c->cdb + 6));
}

static void ready(struct scsi_disk *d, struct scsi_command *c)
{
    done(c);
}

static void read_capacity_10(struct scsi_disk *d, struct scsi_command *c)
{
    store_be32(c->data, (uint32_t)MIN(block_count(d) - 1, (uint64_t)UINT32_MAX));
    store_be32(c->data + 4, d->block_size);
    give(c, 8, 8);
}

static void read_capacity_16(struct scsi_disk *d, struct scsi_command *c)
{
    uint32_t physical = d->blk->physical_block_size / d->block_size;

    if ((c->cdb[1] & 0x1f) != 0x10) {
        bad_field(d, c);
        return;
    }
    memset(c->data, 0, 32);
    store_be64(c->data, block_count(d) - 1);
    store_be32(c->data + 8, d->block_size);
    c->data[13] = physical > 1 ? (uint8_t)__builtin_ctz(physical) : 0;
    c->data[14] = d->is_cdrom || d->read_only ? 0 : 0x80; /* LBPME */
    give(c, 32, load_be32(c->cdb + 10));
}

/* MMC-6 6.23: as Windows and some firmware ask. */
static void read_format_capacities(struct scsi_disk *d, struct scsi_command *c)
{
    memset(c->data, 0, 12);
    c->data[3] = 8;
    store_be32(c->data + 4, (uint32_t)MIN(block_count(d), (uint64_t)UINT32_MAX));
    store_be32(c->data + 8, d->block_size);
    c->data[8] = 2; /* formatted */
    give(c, 12, load_be16(c->cdb + 7));
}

/* ---- Mode pages ----------------------------------------------------------------------------- */

static uint32_t mode_page(const struct scsi_disk *d, uint8_t page, bool changeable, uint8_t *p)
{
    switch (page) {
    case PAGE_RECOVERY:
        memset(p, 0, 12);
        p[0] = page;
        p[1] = 10;
        return 12;
    case PAGE_CACHING: /* SBC-3 6.5.5: there is a write cache, which flushes empty */
        memset(p, 0, 20);
        p[0] = page;
        p[1] = 18;
        p[2] = changeable || d->read_only ? 0 : 4;
        return d->is_cdrom ? 0 : 20;
    default: return 0;
    }
}

static uint32_t mode_pages(const struct scsi_disk *d, uint8_t page, bool changeable, uint8_t *p)
{
    uint32_t len = 0;

    if (page != PAGE_ALL)
        return mode_page(d, page, changeable, p);
    len += mode_page(d, PAGE_RECOVERY, changeable, p);
    return len + mode_page(d, PAGE_CACHING, changeable, p + len);
}

static void mode_sense(struct scsi_disk *d, struct scsi_command *c)
{
    bool six = c->cdb[0] == 0x1a, block = !(c->cdb[1] & 8) && !d->is_cdrom;
    uint32_t head = six ? 4 : 8, at = head + (block ? 8 : 0), len;
    uint8_t *p = c->data, protect = d->read_only ? 0x80 : 0x10; /* or DPOFUA */

    memset(p, 0, 16);
    if (block)
        store_be32(p + head + 4, d->block_size);
    len = mode_pages(d, c->cdb[2] & 0x3f, (c->cdb[2] & 0xc0) == 0x40, p + at);
    if (!len || (c->cdb[2] & 0xc0) == 0xc0) { /* none is saved */
        bad_field(d, c);
        return;
    }
    len += at;
    if (six) {
        p[0] = (uint8_t)(len - 1);
        p[2] = protect;
        p[3] = (uint8_t)(at - head);
    } else {
        store_be16(p, (uint16_t)(len - 2));
        p[3] = protect;
        store_be16(p + 6, (uint16_t)(at - head));
    }
    give(c, len, six ? c->cdb[4] : load_be16(c->cdb + 7));
}

/* Nothing can be changed; who writes back what was read is content. */
static void mode_select(struct scsi_disk *d, struct scsi_command *c)
{
    c->need = SCSI_TAKE;
    c->status = SCSI_GOOD;
    c->len = c->cdb[0] == 0x15 ? c->cdb[4] : load_be16(c->cdb + 7);
    if (c->len > SCSI_DATA_MAX)
        bad_field(d, c);
    else if (!c->len)
        done(c);
}

/* ---- The medium ----------------------------------------------------------------------------- */

static void prevent(struct scsi_disk *d, struct scsi_command *c)
{
    d->locked = c->cdb[4] & 1;
    done(c);
}

static void start_stop(struct scsi_disk *d, struct scsi_command *c)
{
    bool start = c->cdb[4] & 1, eject = c->cdb[4] & 2;

    if (c->cdb[4] >> 4 || !eject || !d->removable) { /* power conditions: always active */
        done(c);
        return;
    }
    if (!start && d->locked) {
        fail(d, c, ILLEGAL_REQUEST, 0x53, 2); /* removal is prevented */
        return;
    }
    if (start && d->ejected)
        d->attention = (struct scsi_sense){UNIT_ATTENTION, 0x28, 0};
    d->ejected = !start;
    done(c);
}

/* MMC-6 6.25: one data track from the beginning to the end. */
static void read_toc(struct scsi_disk *d, struct scsi_command *c)
{
    uint32_t end = (uint32_t)MIN(block_count(d), (uint64_t)UINT32_MAX);
    uint8_t *p = c->data, format = c->cdb[2] & 15 ? c->cdb[2] & 15 : c->cdb[9] >> 6;
    bool msf = c->cdb[1] & 2;

    memset(p, 0, 20);
    p[2] = p[3] = 1;
    if (format == 1) { /* sessions */
        p[1] = 10;
        p[5] = 0x14;
        p[6] = 1;
        give(c, 12, load_be16(c->cdb + 7));
        return;
    }
    if (format || (c->cdb[6] > 1 && c->cdb[6] != 0xaa)) {
        bad_field(d, c);
        return;
    }
    p[1] = 18;
    p[5] = 0x14;
    p[6] = 1;
    p[13] = 0x14;
    p[14] = 0xaa;
    store_be32(p + 8, msf ? 0x000200 : 0); /* 2 s before the first */
    store_be32(p + 16, msf ? ((end + 150) / 4500 % 256) << 16 | ((end + 150) / 75 % 60) << 8 | (end + 150) % 75 : end);
    give(c, 20, load_be16(c->cdb + 7));
}

static void get_configuration(struct scsi_disk *d, struct scsi_command *c)
{
    uint8_t *p = c->data;

    memset(p, 0, 40);
    p[3] = 36;
    p[7] = d->ejected ? 0 : block_count(d) > 360000 ? 0x10 : 0x08; /* profile: DVD-ROM, CD-ROM */
    p[10] = 3;           /* feature 0: profiles; persistent, current */
    p[11] = 8;
    p[13] = 0x10;
    p[14] = p[7] == 0x10;
    p[17] = 0x08;
    p[18] = p[7] == 0x08;
    p[21] = 1;           /* feature 1: core: USB */
    p[22] = 0x0b;
    p[23] = 8;
    store_be32(p + 24, 8);
    p[33] = 3;           /* feature 3: a tray that can be locked */
    p[34] = 3;
    p[35] = 4;
    p[36] = 0x29;
    give(c, 40, load_be16(c->cdb + 7));
}

/* MMC-6 6.6: polled, for the medium alone. */
static void get_event_status(struct scsi_disk *d, struct scsi_command *c)
{
    uint8_t *p = c->data;

    if (!(c->cdb[1] & 1)) {
        bad_field(d, c);
        return;
    }
    memset(p, 0, 8);
    p[1] = c->cdb[4] & 0x10 ? 6 : 2;
    p[2] = c->cdb[4] & 0x10 ? 4 : 0x80;
    p[3] = 0x10;
    p[4] = d->asked ? 1 : d->attention.key ? 2 : 0; /* the button was pressed; new medium */
    d->asked = false;
    p[5] = d->ejected ? 0 : 2;
    give(c, p[1] + 2u, load_be16(c->cdb + 7));
}

static void read_disc_information(struct scsi_disk *d, struct scsi_command *c)
{
    uint8_t *p = c->data;

    memset(p, 0, 34);
    p[1] = 32;
    p[2] = 0x0e; /* complete, finalised */
    p[3] = p[4] = p[5] = p[6] = 1;
    p[7] = 0x20;
    give(c, 34, load_be16(c->cdb + 7));
}

/* ---- Blocks --------------------------------------------------------------------------------- */

struct range {
    uint64_t lba;
    uint32_t count;
};

/* Of READ and WRITE, and of those that are like them. */
static struct range range_of(const struct scsi_command *c)
{
    const uint8_t *b = c->cdb;

    switch (b[0] >> 5) {
    case 0: return (struct range){(b[1] & 0x1fu) << 16 | load_be16(b + 2), b[4] ? b[4] : 256};
    case 4: return (struct range){load_be64(b + 2), load_be32(b + 10)};
    case 5: return (struct range){load_be32(b + 2), load_be32(b + 6)};
    default: return (struct range){load_be32(b + 2), load_be16(b + 7)};
    }
}

/* It is on the disk; then its bytes are in c. */
static bool locate(struct scsi_disk *d, struct scsi_command *c, struct range r, uint64_t *ret_len)
{
    if (r.lba > block_count(d) || r.count > block_count(d) - r.lba) {
        fail(d, c, ILLEGAL_REQUEST, 0x21, 0);
        return false;
    }
    c->offset = r.lba * d->block_size;
    *ret_len = (uint64_t)r.count * d->block_size;
    return true;
}

static void transfer(struct scsi_disk *d, struct scsi_command *c, enum scsi_need need)
{
    uint64_t len;

    if (!locate(d, c, range_of(c), &len))
        return;
    if (len > UINT32_MAX) {
        bad_field(d, c);
        return;
    }
    c->need = len ? need : SCSI_DONE;
    c->status = SCSI_GOOD;
    c->fua = c->cdb[0] >> 5 && (c->cdb[1] & 8);
    c->len = (uint32_t)len;
}

static void read_blocks(struct scsi_disk *d, struct scsi_command *c)
{
    transfer(d, c, SCSI_READ);
}

static void write_blocks(struct scsi_disk *d, struct scsi_command *c)
{
    transfer(d, c, SCSI_WRITE);
}

static void verify(struct scsi_disk *d, struct scsi_command *c)
{
    uint64_t len;

    if (c->cdb[1] & 6)
        bad_field(d, c); /* no comparing */
    else if (locate(d, c, range_of(c), &len))
        done(c);
}

static void wait(struct scsi_command *c, enum blk_op op, uint64_t offset, uint64_t len, bool unmap)
{
    c->need = SCSI_WAIT;
    c->req.op = op;
    c->req.offset = offset;
    c->req.len = len;
    c->req.unmap = unmap;
    c->req.fua = false;
}

static void synchronize(struct scsi_disk *d, struct scsi_command *c)
{
    if (d->read_only)
        done(c);
    else
        wait(c, BLK_FLUSH, 0, 0, false);
}

/* SBC-3 5.45: of zeroes, which is what it is used for. */
static void write_same(struct scsi_disk *d, struct scsi_command *c)
{
    struct range r = range_of(c);
    uint64_t len;

    if (c->cdb[1] & 0x16 || !r.count) { /* ANCHOR, PBDATA, LBDATA */
        bad_field(d, c);
        return;
    }
    if (!locate(d, c, r, &len))
        return;
    if (c->cdb[1] & 1) { /* NDOB: no data, which is zeroes */
        wait(c, BLK_ZERO, c->offset, len, c->cdb[1] & 8);
        return;
    }
    c->need = SCSI_TAKE;
    c->status = SCSI_GOOD;
    c->len = d->block_size;
}

static void write_same_taken(struct scsi_disk *d, struct scsi_command *c)
{
    uint64_t len;

    for (uint32_t i = 0; i < d->block_size; i++) {
        if (c->data[i]) {
            bad_field(d, c);
            return;
        }
    }
    if (locate(d, c, range_of(c), &len))
        wait(c, BLK_ZERO, c->offset, len, c->cdb[1] & 8);
}

static void unmap(struct scsi_disk *d, struct scsi_command *c)
{
    c->need = SCSI_TAKE;
    c->status = SCSI_GOOD;
    c->len = load_be16(c->cdb + 7);
    if (c->len > 8 + 16 * UNMAP_RANGES || (c->len && c->len < 8))
        fail(d, c, ILLEGAL_REQUEST, 0x1a, 0); /* parameter list length */
    else if (!c->len)
        done(c);
}

/* SBC-3 5.28: the next of the ranges, until there is none. */
static void unmap_next(struct scsi_disk *d, struct scsi_command *c)
{
    uint32_t have = MIN((uint32_t)load_be16(c->data + 2), c->len - 8) / 16;
    uint64_t len = 0;

    while (c->next < have && !len) {
        const uint8_t *p = c->data + 8 + 16 * c->next++;

        if (!locate(d, c, (struct range){load_be64(p), load_be32(p + 8)}, &len))
            return;
    }
    if (len)
        wait(c, BLK_DISCARD, c->offset, len, true);
    else
        done(c);
}

/* ---- All ------------------------------------------------------------------------------------ */

static const struct command_kind kinds[256] = {
    [0x00] = {ready, .needs_medium = true}, [0x03] = {request_sense, .passes_attention = true},
    [0x08] = {read_blocks, .needs_medium = true}, [0x28] = {read_blocks, .needs_medium = true},
    [0xa8] = {read_blocks, .needs_medium = true}, [0x88] = {read_blocks, .needs_medium = true},
    [0x0a] = {write_blocks, .needs_medium = true, .writes = true},
    [0x2a] = {write_blocks, .needs_medium = true, .writes = true},
    [0xaa] = {write_blocks, .needs_medium = true, .writes = true},
    [0x8a] = {write_blocks, .needs_medium = true, .writes = true},
    [0x12] = {inquiry, .passes_attention = true}, [0xa0] = {report_luns, .passes_attention = true},
    [0x1a] = {mode_sense}, [0x5a] = {mode_sense}, [0x15] = {mode_select}, [0x55] = {mode_select},
    [0x1b] = {start_stop}, [0x1e] = {prevent}, [0x23] = {read_format_capacities, .needs_medium = true},
    [0x25] = {read_capacity_10, .needs_medium = true}, [0x9e] = {read_capacity_16, .needs_medium = true},
    [0x2f] = {verify, .needs_medium = true}, [0x8f] = {verify, .needs_medium = true},
    [0x35] = {synchronize, .needs_medium = true}, [0x91] = {synchronize, .needs_medium = true},
    [0x41] = {write_same, .needs_medium = true, .writes = true},
    [0x93] = {write_same, .needs_medium = true, .writes = true},
    [0x42] = {unmap, .needs_medium = true, .writes = true},
};

static const struct command_kind cdrom_kinds[256] = {
    [0x43] = {read_toc, .needs_medium = true}, [0x46] = {get_configuration, .passes_attention = true},
    [0x4a] = {get_event_status, .passes_attention = true},
    [0x51] = {read_disc_information, .needs_medium = true},
};

static const struct command_kind *kind_of(const struct scsi_disk *d, uint8_t code)
{
    if (d->is_cdrom && cdrom_kinds[code].run)
        return &cdrom_kinds[code];
    return kinds[code].run && !(d->is_cdrom && kinds[code].writes) ? &kinds[code] : NULL;
}

void scsi_begin(struct scsi_disk *d, struct scsi_command *c)
{
    const struct command_kind *k = kind_of(d, c->cdb[0]);

    c->next = 0;
    c->len = 0;
    c->fua = false;
    if (!k) {
        fail(d, c, ILLEGAL_REQUEST, 0x20, 0);
        return;
    }
    if (d->attention.key && !k->passes_attention) {
        struct scsi_sense s = d->attention;

        d->attention = (struct scsi_sense){0};
        fail(d, c, s.key, s.asc, s.ascq);
        return;
    }
    if (k->needs_medium && (d->ejected || !block_count(d)))
        fail(d, c, NOT_READY, 0x3a, 0);
    else if (k->writes && d->read_only)
        fail(d, c, DATA_PROTECT, 0x27, 0);
    else
        k->run(d, c);
}

uint32_t scsi_taken_min(const struct scsi_disk *d, const struct scsi_command *c)
{
    switch (c->cdb[0]) {
    case 0x41:
    case 0x93: return d->block_size;
    case 0x42: return 8;
    default: return 0;
    }
}

void scsi_taken(struct scsi_disk *d, struct scsi_command *c)
{
    switch (c->cdb[0]) {
    case 0x41:
    case 0x93: write_same_taken(d, c); return;
    case 0x42: unmap_next(d, c); return;
    default: done(c);
    }
}

void scsi_ended(struct scsi_disk *d, struct scsi_command *c, int err)
{
    if (err < 0)
        scsi_failed(d, c, err);
    else if (c->cdb[0] == 0x42)
        unmap_next(d, c);
    else
        done(c);
}

void scsi_new_medium(struct scsi_disk *d, struct blk *blk)
{
    d->blk = blk;
    d->ejected = d->asked = false;
    if (block_count(d))
        d->attention = (struct scsi_sense){UNIT_ATTENTION, 0x28, 0};
}

void scsi_reset(struct scsi_disk *d)
{
    d->locked = false;
    d->sense = d->attention = (struct scsi_sense){0};
}
