/* SPDX-License-Identifier: MIT */
/* The NVM command set (6): commands become requests of a disk (block/blk.h), for which everything is
 * there before; data moves between the guest's memory and the disk without a copy. What the host could
 * not do is told by a status that says it (status_of()), never by silence. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/le.h"
#include "nvme/nvme_impl.h"

struct nvme_ns *nvme_ns_find(struct nvme *n, uint32_t nsid)
{
    return nsid && nsid <= n->ns_count ? &n->ns[nsid - 1] : NULL;
}

void nvme_ns_size(struct nvme_ns *ns)
{
    ns->lba_count = ns->blk->size >> ns->lba_log2;
}

/* ---- Answers -------------------------------------------------------------------------------- */

static unsigned status_of(uint8_t opcode, int err)
{
    switch (err) {
    case 0: return NVME_OK;
    case -ECANCELED: return NVME_ABORT_REQUESTED;
    case -ENOSPC:
    case -EDQUOT: return NVME_CAPACITY_EXCEEDED;
    case -EROFS: return NVME_WRITE_PROTECTED | NVME_DNR;
    case -EINVAL: return NVME_LBA_RANGE | NVME_DNR; /* the disk got smaller meanwhile */
    case -ENOMEM: return NVME_INTERNAL;
    default: break;
    }
    switch (opcode) {
    case NVME_IO_READ:
    case NVME_IO_COMPARE:
    case NVME_IO_VERIFY: return NVME_READ_ERROR | NVME_DNR;
    default: return NVME_WRITE_FAULT | NVME_DNR;
    }
}

/* Of a command that never was a request, or whose request is over. */
static void answer(struct nvme *n, struct nvme_sq *q, const struct nvme_req *r, unsigned status)
{
    if (status)
        status = nvme_log_error(n, status, nvme_sq_id(n, q), r->cid, r->nsid, r->slba);
    nvme_answer(n, q, r->cid, status, 0);
}

static void finish(struct nvme_req *r, struct nvme *n, unsigned status)
{
    struct nvme_sq *q = r->sq;

    free(r->bounce);
    r->bounce = NULL;
    if (q) {
        q->inflight--;
        /* after a reset nobody waits for it */
        if (n->ready && !n->resetting && n->active)
            answer(n, q, r, status);
        if (n->ready && !q->inflight && q->deleting && !n->resetting)
            nvme_sq_drained(n, q);
    }
    nvme_req_free(n, r);
}

static struct nvme *nvme_of(struct nvme_req *r)
{
    return r->ns->n;
}

static void done(struct blk_req *req, int err)
{
    struct nvme_req *r = container_of(req, struct nvme_req, req);

    finish(r, nvme_of(r), status_of(r->opcode, err));
}

/* ---- Starting ------------------------------------------------------------------------------- */

/* Blocks [slba, slba + count) of a namespace, in bytes. A status. */
static unsigned find_blocks(const struct nvme_ns *ns, uint64_t slba, uint64_t count,
                            struct nvme_range *ret)
{
    if (!range_fits(slba, count, ns->lba_count))
        return NVME_LBA_RANGE | NVME_DNR;
    ret->offset = slba << ns->lba_log2;
    ret->len = count << ns->lba_log2;
    return NVME_OK;
}

static void submit(struct nvme_req *r, enum blk_op op, const struct nvme_range *range)
{
    r->req.op = op;
    r->req.offset = range->offset;
    r->req.len = range->len;
    r->req.done = r->req.done ? r->req.done : done;
    blk_submit(r->ns->blk, &r->req);
}

/* "Force unit access", or the driver has switched the write cache off (5.21.1.6). */
static bool is_durable(const struct nvme *n, const struct nvme_sqe *cmd)
{
    return (cmd->cdw12 & NVME_RW_FUA) || !n->features.write_cache;
}

static unsigned start_read_write(struct nvme *n, struct nvme_req *r, const struct nvme_sqe *cmd)
{
    bool is_read = cmd->opcode == NVME_IO_READ;
    struct nvme_range range;
    uint64_t count = (cmd->cdw12 & 0xffff) + 1;
    unsigned status;

    if (count << r->ns->lba_log2 > NVME_TRANSFER_MAX)
        return NVME_INVALID_FIELD | NVME_DNR;
    status = find_blocks(r->ns, r->slba, count, &range);
    if (!status)
        status = nvme_dma_map(n, cmd, range.len, is_read ? MEM_WRITE : MEM_READ, r->iov,
                              &r->iov_count);
    if (status)
        return status;
    if (is_read) {
        n->life.reads++;
        n->life.units_read += range.len / 512;
    } else {
        n->life.writes++;
        n->life.units_written += range.len / 512;
    }
    r->req.fua = !is_read && is_durable(n, cmd);
    r->req.iov = r->iov;
    r->req.iov_count = r->iov_count;
    submit(r, is_read ? BLK_READ : BLK_WRITE, &range);
    return NVME_OK;
}

static void read_done(struct blk_req *req, int err)
{
    struct nvme_req *r = container_of(req, struct nvme_req, req);

    nvme_dma_written(nvme_of(r), r->iov, r->iov_count); /* after an error maybe in part */
    done(req, err);
}

/* ---- COMPARE, VERIFY: reads into memory of our own, piece by piece, as there may be many ---------- */

static bool is_same(const struct nvme_req *r)
{
    const uint8_t *have = r->bounce;
    uint64_t skip = r->bounce_done, left = r->req.len;

    for (unsigned i = 0; i < r->iov_count && left; i++) {
        uint64_t from = MIN(skip, r->iov[i].iov_len);
        uint64_t len = MIN(left, r->iov[i].iov_len - from);

        if (memcmp(have, (const uint8_t *)r->iov[i].iov_base + from, len))
            return false;
        have += len;
        skip -= from;
        left -= len;
    }
    return true;
}

static void compare_next(struct nvme_req *r, uint64_t offset)
{
    const struct nvme_range range = {
        .offset = offset, .len = MIN(r->bounce_len - r->bounce_done, NVME_BOUNCE_MAX)};

    r->bounce_iov = (struct iovec){.iov_base = r->bounce, .iov_len = range.len};
    submit(r, BLK_READ, &range);
}

static void compare_done(struct blk_req *req, int err)
{
    struct nvme_req *r = container_of(req, struct nvme_req, req);
    unsigned status = status_of(r->opcode, err);

    if (!status && r->opcode == NVME_IO_COMPARE && !is_same(r))
        status = NVME_COMPARE_FAILURE | NVME_DNR;
    r->bounce_done += req->len;
    if (!status && r->bounce_done < r->bounce_len && !nvme_of(r)->resetting)
        compare_next(r, req->offset + req->len);
    else
        finish(r, nvme_of(r), status);
}

static unsigned start_compare(struct nvme *n, struct nvme_req *r, const struct nvme_sqe *cmd)
{
    struct nvme_range range;
    uint64_t count = (cmd->cdw12 & 0xffff) + 1;
    unsigned status;

    if (count << r->ns->lba_log2 > NVME_TRANSFER_MAX)
        return NVME_INVALID_FIELD | NVME_DNR;
    status = find_blocks(r->ns, r->slba, count, &range);
    if (!status && cmd->opcode == NVME_IO_COMPARE)
        status = nvme_dma_map(n, cmd, range.len, MEM_READ, r->iov, &r->iov_count);
    if (status)
        return status;
    r->bounce = malloc(MIN(range.len, NVME_BOUNCE_MAX));
    if (!r->bounce)
        return NVME_INTERNAL;
    n->life.reads++;
    n->life.units_read += range.len / 512;
    r->bounce_done = 0;
    r->bounce_len = range.len;
    r->req.iov = &r->bounce_iov;
    r->req.iov_count = 1;
    r->req.done = compare_done;
    compare_next(r, range.offset);
    return NVME_OK;
}

/* ---- Write Zeroes, Dataset Management, Flush ------------------------------------------------------ */

static unsigned start_zeroes(struct nvme *n, struct nvme_req *r, const struct nvme_sqe *cmd)
{
    struct nvme_range range;
    unsigned status = find_blocks(r->ns, r->slba, (uint64_t)(cmd->cdw12 & 0xffff) + 1, &range);

    if (status)
        return status;
    r->req.fua = is_durable(n, cmd);
    r->req.unmap = cmd->cdw12 & NVME_WZ_DEAC;
    submit(r, BLK_ZERO, &range);
    return NVME_OK;
}

static void range_done(struct blk_req *req, int err)
{
    struct nvme_req *r = container_of(req, struct nvme_req, req);

    if (!err && r->next < r->count && !nvme_of(r)->resetting)
        submit(r, BLK_DISCARD, &r->range[r->next++]);
    else
        done(req, err);
}

/* All ranges are right before the first is discarded; empty ones do not count. */
static unsigned load_ranges(struct nvme *n, struct nvme_req *r, const struct nvme_sqe *cmd)
{
    struct nvme_dsm_range raw[NVME_DSM_RANGES_MAX];
    unsigned count = (cmd->cdw10 & 0xff) + 1;
    unsigned status = nvme_dma_take(n, cmd, raw, count * sizeof(raw[0]));

    for (unsigned i = 0; i < count && !status; i++) {
        status = find_blocks(r->ns, raw[i].slba, raw[i].nlb, &r->range[r->count]);
        r->count += raw[i].nlb > 0;
    }
    return status;
}

static unsigned start_dsm(struct nvme *n, struct nvme_req *r, const struct nvme_sqe *cmd,
                          bool *ret_started)
{
    unsigned status = load_ranges(n, r, cmd);

    *ret_started = !status && r->count && (cmd->cdw11 & NVME_DSM_AD);
    if (!*ret_started)
        return status; /* other hints do nothing */
    r->req.done = range_done;
    submit(r, BLK_DISCARD, &r->range[r->next++]);
    return NVME_OK;
}

/* The next of several namespaces. */
static void flush_next(struct nvme *n, struct nvme_req *r)
{
    r->ns = &n->ns[r->next++];
    r->req.op = BLK_FLUSH;
    blk_submit(r->ns->blk, &r->req);
}

static void flush_done(struct blk_req *req, int err)
{
    struct nvme_req *r = container_of(req, struct nvme_req, req);

    if (!err && r->next < r->count)
        flush_next(nvme_of(r), r);
    else
        finish(r, nvme_of(r), status_of(r->opcode, err));
}

static void start_flush(struct nvme *n, struct nvme_req *r)
{
    bool all = r->nsid == NVME_NSID_ALL;

    r->next = all ? 0 : r->nsid - 1;
    r->count = all ? n->ns_count : r->nsid;
    r->req.done = flush_done;
    flush_next(n, r);
}

/* ---- Shutdown (7.6.2): everything on stable storage ------------------------------------------- */

static void shutdown_done(struct blk_req *req, int err)
{
    struct nvme_req *r = container_of(req, struct nvme_req, req);
    struct nvme *n = nvme_of(r);

    if (r->next < r->count) {
        flush_next(n, r);
        return;
    }
    if (!n->resetting)
        nvme_shutdown_done(n);
    finish(r, n, NVME_OK);
}

void nvme_shutdown(struct nvme *n)
{
    struct nvme_req *r = nvme_req_get(n);

    if (!r) { /* again, once there is one */
        device_lock(&n->pci.dev);
        n->regs.pending.shutdown = true;
        device_unlock(&n->pci.dev);
        return;
    }
    r->sq = NULL;
    r->bounce = NULL;
    r->next = 0;
    r->count = n->ns_count;
    r->req = (struct blk_req){.done = shutdown_done};
    flush_next(n, r);
}

/* ---- Dispatch ------------------------------------------------------------------------------- */

static bool is_write(uint8_t opcode)
{
    return opcode == NVME_IO_WRITE || opcode == NVME_IO_WRITE_ZEROES || opcode == NVME_IO_DSM;
}

/* started: its done() comes; else it ends with the status. */
static unsigned start(struct nvme *n, struct nvme_req *r, const struct nvme_sqe *cmd,
                      bool *ret_started)
{
    unsigned status;

    *ret_started = false;
    if (NVME_SQE_FUSE(cmd->flags))
        return NVME_INVALID_FIELD | NVME_DNR; /* no fused operations here */
    if (cmd->opcode == NVME_IO_FLUSH && (r->ns || r->nsid == NVME_NSID_ALL)) {
        *ret_started = true;
        start_flush(n, r);
        return NVME_OK;
    }
    if (!r->ns)
        return NVME_INVALID_NAMESPACE | NVME_DNR;
    if (r->ns->read_only && is_write(cmd->opcode))
        return NVME_WRITE_PROTECTED | NVME_DNR;
    switch (cmd->opcode) {
    case NVME_IO_READ:
        r->req.done = read_done;
        status = start_read_write(n, r, cmd);
        break;
    case NVME_IO_WRITE: status = start_read_write(n, r, cmd); break;
    case NVME_IO_COMPARE:
    case NVME_IO_VERIFY: status = start_compare(n, r, cmd); break;
    case NVME_IO_WRITE_ZEROES: status = start_zeroes(n, r, cmd); break;
    case NVME_IO_DSM: return start_dsm(n, r, cmd, ret_started);
    default: return NVME_INVALID_OPCODE | NVME_DNR;
    }
    *ret_started = !status;
    return status;
}

void nvme_io(struct nvme *n, struct nvme_sq *q, const struct nvme_sqe *cmd)
{
    struct nvme_req *r = nvme_req_get(n); /* there is one: see may_take() */
    unsigned status;
    bool started;

    r->req = (struct blk_req){0};
    r->ns = nvme_ns_find(n, cmd->nsid);
    r->sq = q;
    r->cid = cmd->cid;
    r->opcode = cmd->opcode;
    r->nsid = cmd->nsid;
    r->slba = cmd->cdw10 | (uint64_t)cmd->cdw11 << 32;
    r->next = r->count = r->iov_count = 0;
    r->bounce = NULL;
    q->inflight++;
    status = start(n, r, cmd, &started);
    if (!started)
        finish(r, n, status);
}
