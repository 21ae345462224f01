/* SPDX-License-Identifier: MIT */
/* The admin command set (5): dispatch, the making and deleting of I/O queues, abort, and the doorbell
 * buffer. A command that breaks several rules gets the status of the first that the specification
 * names. */
#include <string.h>

#include "nvme/nvme_impl.h"

static void answer(struct nvme *n, uint16_t cid, unsigned status, uint32_t dw0)
{
    nvme_answer(n, n->sq, cid, status, dw0);
}

/* ---- Queues --------------------------------------------------------------------------------- */

/* Has the driver allowed a queue of this number (5.21.1.7)? Without that it may have all there are. */
static bool is_qid(uint32_t qid)
{
    return qid >= 1 && qid <= NVME_IO_QUEUES;
}

static unsigned check_queue(struct nvme *n, const struct nvme_sqe *cmd, unsigned entry_log2,
                            unsigned want_log2)
{
    uint32_t size = (cmd->cdw10 >> 16) + 1;

    if (size < 2 || size > NVME_QUEUE_ENTRIES || entry_log2 != want_log2)
        return NVME_QUEUE_SIZE | NVME_DNR;
    if (!(cmd->cdw11 & NVME_QUEUE_PC))
        return NVME_INVALID_FIELD | NVME_DNR; /* CAP.CQR: they must be contiguous */
    return cmd->prp1 & (n->page_size - 1) ? NVME_PRP_OFFSET | NVME_DNR : NVME_OK;
}

/* A new queue's doorbell begins at 0, whatever was written before. */
static void clear_doorbell(struct nvme *n, unsigned word)
{
    device_lock(&n->pci.dev);
    n->regs.doorbell[word] = 0;
    n->regs.pending.doorbells &= ~BIT(word);
    device_unlock(&n->pci.dev);
}

static uint32_t cc(struct nvme *n)
{
    uint32_t v;

    device_lock(&n->pci.dev);
    v = n->regs.cc;
    device_unlock(&n->pci.dev);
    return v;
}

static unsigned create_cq(struct nvme *n, const struct nvme_sqe *cmd)
{
    uint32_t qid = cmd->cdw10 & 0xffff, vector = cmd->cdw11 >> 16;
    unsigned status;

    if (!is_qid(qid) || n->cq[qid].valid)
        return NVME_QID_INVALID | NVME_DNR;
    status = check_queue(n, cmd, NVME_CC_IOCQES(cc(n)), NVME_CQE_SIZE_LOG2);
    if (status)
        return status;
    if (vector >= NVME_QUEUES)
        return NVME_VECTOR_INVALID | NVME_DNR;
    n->cq[qid] = (struct nvme_cq){.size = (cmd->cdw10 >> 16) + 1, .gpa = cmd->prp1, .phase = true,
                                  .ien = cmd->cdw11 & NVME_QUEUE_IEN, .vector = (uint16_t)vector};
    if (nvme_cq_map(n, &n->cq[qid]) < 0)
        return NVME_INVALID_FIELD | NVME_DNR;
    n->cq[qid].valid = true;
    clear_doorbell(n, 2 * qid + 1);
    if (n->shadow)
        nvme_shadow_start(n, qid, true, true);
    return NVME_OK;
}

static unsigned create_sq(struct nvme *n, const struct nvme_sqe *cmd)
{
    uint32_t qid = cmd->cdw10 & 0xffff, cqid = cmd->cdw11 >> 16;
    unsigned status;

    if (!is_qid(qid) || n->sq[qid].valid)
        return NVME_QID_INVALID | NVME_DNR;
    status = check_queue(n, cmd, NVME_CC_IOSQES(cc(n)), NVME_SQE_SIZE_LOG2);
    if (status)
        return status;
    if (!is_qid(cqid))
        return NVME_QID_INVALID | NVME_DNR; /* 5.4, CQID: the admin queue's, or one that there cannot be */
    if (!n->cq[cqid].valid)
        return NVME_CQ_INVALID | NVME_DNR;
    n->sq[qid] = (struct nvme_sq){.size = (cmd->cdw10 >> 16) + 1, .gpa = cmd->prp1,
                                  .cqid = (uint16_t)cqid};
    if (nvme_sq_map(n, &n->sq[qid]) < 0)
        return NVME_INVALID_FIELD | NVME_DNR;
    n->sq[qid].valid = true;
    clear_doorbell(n, 2 * qid);
    if (n->shadow)
        nvme_shadow_start(n, qid, false, true);
    return NVME_OK;
}

static unsigned delete_cq(struct nvme *n, uint32_t qid)
{
    if (!is_qid(qid) || !n->cq[qid].valid)
        return NVME_QID_INVALID | NVME_DNR;
    for (unsigned i = 1; i < NVME_QUEUES; i++) {
        if (n->sq[i].valid && n->sq[i].cqid == qid)
            return NVME_QUEUE_DELETION | NVME_DNR; /* 5.5: its submission queues go first */
    }
    nvme_shadow_stop(n, qid, true);
    mem_release(&n->cq[qid].held);
    n->cq[qid] = (struct nvme_cq){0};
    nvme_update_intx(n);
    return NVME_OK;
}

/* Nothing of it is on a disk any more. */
void nvme_sq_drained(struct nvme *n, struct nvme_sq *q)
{
    uint16_t cid = q->delete_cid;

    nvme_shadow_stop(n, nvme_sq_id(n, q), false);
    *q = (struct nvme_sq){0};
    answer(n, cid, NVME_OK, 0);
}

static void delete_sq(struct nvme *n, uint32_t qid, uint16_t cid)
{
    struct nvme_sq *q;

    if (!is_qid(qid) || !n->sq[qid].valid || n->sq[qid].deleting) {
        answer(n, cid, NVME_QID_INVALID | NVME_DNR, 0);
        return;
    }
    q = &n->sq[qid];
    q->delete_cid = cid;
    q->deleting = true;
    if (!q->inflight)
        nvme_sq_drained(n, q);
}

/* ---- The others ----------------------------------------------------------------------------- */

/* 5.1. Requests of a disk can only be asked to hurry: they end by themselves, so bit 0 says that this
 * has not aborted them. */
static uint32_t abort_command(struct nvme *n, const struct nvme_sqe *cmd)
{
    uint32_t qid = cmd->cdw10 & 0xffff;
    uint16_t cid = (uint16_t)(cmd->cdw10 >> 16);
    struct nvme_req *r;

    if (!qid)
        return !nvme_event_abort(n, cid);
    TAILQ_FOREACH(r, &n->busy, link) {
        if (r->sq && r->ns && nvme_sq_id(n, r->sq) == qid && r->cid == cid)
            blk_cancel(r->ns->blk, &r->req);
    }
    return 1;
}

/* 5.7. Queues that are there go on from where they are. */
static unsigned doorbell_buffer(struct nvme *n, const struct nvme_sqe *cmd)
{
    uint64_t mask = n->page_size - 1;

    if (!cmd->prp1 || !cmd->prp2 || cmd->prp1 & mask || cmd->prp2 & mask)
        return NVME_INVALID_FIELD | NVME_DNR;
    if (!mem_ptr(n->mem, cmd->prp1, sizeof(n->regs.doorbell), MEM_READ) ||
        !mem_ptr(n->mem, cmd->prp2, sizeof(n->regs.doorbell), MEM_READ))
        return NVME_INVALID_FIELD | NVME_DNR; /* one that there is, stays */
    n->shadow_gpa = cmd->prp1;
    n->event_gpa = cmd->prp2;
    if (!nvme_shadow_map(n)) {
        n->shadow_gpa = n->event_gpa = 0;
        return NVME_INVALID_FIELD | NVME_DNR;
    }
    for (unsigned i = 1; i < NVME_QUEUES; i++) {
        if (n->sq[i].valid)
            nvme_shadow_start(n, i, false, true);
        if (n->cq[i].valid)
            nvme_shadow_start(n, i, true, true);
    }
    return NVME_OK;
}

static unsigned run(struct nvme *n, const struct nvme_sqe *cmd, uint32_t *dw0)
{
    switch (cmd->opcode) {
    case NVME_ADMIN_CREATE_SQ: return create_sq(n, cmd);
    case NVME_ADMIN_CREATE_CQ: return create_cq(n, cmd);
    case NVME_ADMIN_DELETE_CQ: return delete_cq(n, cmd->cdw10 & 0xffff);
    case NVME_ADMIN_GET_LOG: return nvme_get_log(n, cmd);
    case NVME_ADMIN_IDENTIFY: return nvme_identify(n, cmd);
    case NVME_ADMIN_ABORT: *dw0 = abort_command(n, cmd); return NVME_OK;
    case NVME_ADMIN_SET_FEATURES: return nvme_set_features(n, cmd, dw0);
    case NVME_ADMIN_GET_FEATURES: return nvme_get_features(n, cmd, dw0);
    case NVME_ADMIN_DOORBELL_BUFFER: return doorbell_buffer(n, cmd);
    default: return NVME_INVALID_OPCODE | NVME_DNR;
    }
}

void nvme_admin(struct nvme *n, const struct nvme_sqe *cmd)
{
    uint32_t dw0 = 0;
    unsigned status;

    if (cmd->flags) { /* neither fused nor, on PCI, with SGLs (4.2) */
        answer(n, cmd->cid, NVME_INVALID_FIELD | NVME_DNR, 0);
    } else if (cmd->opcode == NVME_ADMIN_ASYNC_EVENT) {
        nvme_event_request(n, cmd->cid);
    } else if (cmd->opcode == NVME_ADMIN_DELETE_SQ) {
        delete_sq(n, cmd->cdw10 & 0xffff, cmd->cid);
    } else {
        status = run(n, cmd, &dw0);
        answer(n, cmd->cid, status, dw0);
    }
}
