/* SPDX-License-Identifier: MIT */
/* Log pages (5.14.1): what has happened, and what commands there are. */
#include <string.h>

#include "base/clock.h"
#include "base/le.h"
#include "nvme/nvme_impl.h"

#define ERROR_ENTRY 64u
#define LOG_MAX     4096u /* the longest */
#define RAE         0x8000u /* CDW10: the event is not seen to */
#define HOUR_MS     UINT64_C(3600000)

/* ---- Errors (5.14.1.1) ---------------------------------------------------------------------- */

/* What a disk or the guest's memory could not do, and doorbells; not every question that a driver asks
 * to find out what we can. */
static bool is_for_log(unsigned status, uint16_t cid)
{
    unsigned code = status & NVME_STATUS_CODE;

    return code == NVME_DATA_TRANSFER || code == NVME_INTERNAL || code == NVME_CAPACITY_EXCEEDED ||
           (code >> 8 == 2 && code != NVME_COMPARE_FAILURE) || cid == 0xffff;
}

unsigned nvme_log_error(struct nvme *n, unsigned status, uint16_t sqid, uint16_t cid, uint32_t nsid,
                        uint64_t lba)
{
    if (!is_for_log(status, cid))
        return status;
    if ((status & NVME_STATUS_CODE) >> 8 == 2)
        n->life.media_errors++;
    memmove(&n->error[1], &n->error[0], sizeof(n->error) - sizeof(n->error[0]));
    n->error[0] = (struct nvme_error){.count = ++n->life.errors, .lba = lba, .sqid = sqid, .cid = cid,
                                      .status = (uint16_t)((status | NVME_MORE) << 1),
                                      .location = 0xffff, .nsid = nsid};
    return status | NVME_MORE;
}

static size_t errors_log(const struct nvme *n, uint8_t *d)
{
    for (unsigned i = 0; i < NVME_ERRORS && n->error[i].count; i++, d += ERROR_ENTRY) {
        const struct nvme_error *e = &n->error[i];

        store_le64(d, e->count);
        store_le16(d + 8, e->sqid);
        store_le16(d + 10, e->cid);
        store_le16(d + 12, e->status);
        store_le16(d + 14, e->location);
        store_le64(d + 16, e->lba);
        store_le32(d + 24, e->nsid);
    }
    return NVME_ERRORS * ERROR_ENTRY;
}

/* ---- SMART (5.14.1.2) ----------------------------------------------------------------------- */

void nvme_tick(struct nvme *n)
{
    uint64_t now = clock_mono_ns() / NS_PER_MS;

    n->features.timestamp_ms += now - n->features.timestamp_at_ms;
    n->features.timestamp_at_ms = now;
    n->life.power_on_ms += now - n->since_ms;
    n->since_ms = now;
}

/* Thousands of units of 512 bytes, rounded up. */
static uint64_t data_units(uint64_t units)
{
    return (units + 999) / 1000;
}

static size_t smart_log(struct nvme *n, uint8_t *d)
{
    nvme_tick(n);
    d[0] = nvme_is_warm(n) ? NVME_SMART_TEMPERATURE : 0;
    store_le16(d + 1, NVME_TEMPERATURE);
    d[3] = 100; /* per cent of spare blocks, */
    d[4] = 10;  /* and below how many one should worry */
    store_le64(d + 32, data_units(n->life.units_read));
    store_le64(d + 48, data_units(n->life.units_written));
    store_le64(d + 64, n->life.reads);
    store_le64(d + 80, n->life.writes);
    store_le64(d + 96, n->life.busy_ms / 60000);
    store_le64(d + 112, n->life.power_cycles);
    store_le64(d + 128, n->life.power_on_ms / HOUR_MS);
    store_le64(d + 160, n->life.media_errors);
    store_le64(d + 176, n->life.errors);
    return 512;
}

/* ---- The others ----------------------------------------------------------------------------- */

static size_t firmware_log(uint8_t *d)
{
    d[0] = 1; /* the active slot */
    memset(d + 8, ' ', 8);
    d[8] = '1';
    return 512;
}

/* Which it was told of; then they are not new any more. */
static size_t changed_log(struct nvme *n, uint8_t *d)
{
    for (uint32_t nsid = 1; nsid <= n->ns_count; nsid++) {
        if (n->ns_changed & BIT(nsid - 1)) {
            store_le32(d, nsid);
            d += 4;
        }
    }
    return 4096;
}

/* Of each command: is it there, does it change content; 4 bytes each, admin's first. */
static size_t commands_log(uint8_t *d)
{
    static const uint8_t admin[] = {
        NVME_ADMIN_DELETE_SQ, NVME_ADMIN_CREATE_SQ, NVME_ADMIN_GET_LOG, NVME_ADMIN_DELETE_CQ,
        NVME_ADMIN_CREATE_CQ, NVME_ADMIN_IDENTIFY, NVME_ADMIN_ABORT, NVME_ADMIN_SET_FEATURES,
        NVME_ADMIN_GET_FEATURES, NVME_ADMIN_ASYNC_EVENT, NVME_ADMIN_DOORBELL_BUFFER};
    static const uint8_t read[] = {NVME_IO_FLUSH, NVME_IO_READ, NVME_IO_COMPARE, NVME_IO_VERIFY};
    static const uint8_t write[] = {NVME_IO_WRITE, NVME_IO_WRITE_ZEROES, NVME_IO_DSM};
    enum { SUPPORTED = 1, CHANGES_CONTENT = 2, IO = 1024 };

    for (unsigned i = 0; i < ARRAY_SIZE(admin); i++)
        store_le32(d + 4 * admin[i], SUPPORTED);
    for (unsigned i = 0; i < ARRAY_SIZE(read); i++)
        store_le32(d + IO + 4 * read[i], SUPPORTED);
    for (unsigned i = 0; i < ARRAY_SIZE(write); i++)
        store_le32(d + IO + 4 * write[i], SUPPORTED | CHANGES_CONTENT);
    return 4096;
}

/* Bytes of it; 0: there is no such log. */
static size_t make(struct nvme *n, uint8_t log, uint8_t *d)
{
    switch (log) {
    case NVME_LOG_ERRORS: return errors_log(n, d);
    case NVME_LOG_SMART: return smart_log(n, d);
    case NVME_LOG_FIRMWARE: return firmware_log(d);
    case NVME_LOG_CHANGED: return changed_log(n, d);
    case NVME_LOG_COMMANDS: return commands_log(d);
    default: return 0;
    }
}

/* They are the controller's: of no namespace, or of all; of one only if the log has such a form, as none
 * of ours has. */
static bool is_for_all(const struct nvme_sqe *cmd)
{
    return !cmd->nsid || cmd->nsid == NVME_NSID_ALL;
}

unsigned nvme_get_log(struct nvme *n, const struct nvme_sqe *cmd)
{
    uint8_t log = (uint8_t)cmd->cdw10, data[LOG_MAX] = {0};
    uint64_t len = 4 * ((uint64_t)(cmd->cdw10 >> 16 | (cmd->cdw11 & 0xffff) << 16) + 1);
    uint64_t offset = cmd->cdw12 | (uint64_t)cmd->cdw13 << 32;
    uint64_t have = make(n, log, data);
    unsigned status;

    if (!have)
        return NVME_LOG_PAGE_INVALID | NVME_DNR;
    if (offset & 3 || offset > have || len > NVME_TRANSFER_MAX ||
        (log == NVME_LOG_SMART && !is_for_all(cmd)))
        return NVME_INVALID_FIELD | NVME_DNR;
    status = nvme_dma_give(n, cmd, data + offset, have - offset, len);
    if (status || cmd->cdw10 & RAE)
        return status;
    if (log == NVME_LOG_CHANGED)
        n->ns_changed = 0;
    nvme_event_log_read(n, log);
    return NVME_OK;
}
