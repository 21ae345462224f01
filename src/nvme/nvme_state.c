/* SPDX-License-Identifier: MIT */
/* What is saved of a controller at rest: nothing is on a disk then. Asynchronous event requests are with
 * it, commands that were not taken yet are in the guest's memory; so after a load every queue is looked
 * at once, unasked. What follows from registers is not saved. */
#include <errno.h>

#include "base/clock.h"
#include "base/error.h"
#include "nvme/nvme_impl.h"

static const struct state_field cq_state[] = {
    STATE_BOOL(struct nvme_cq, valid),
    STATE_BOOL(struct nvme_cq, ien),
    STATE_BOOL(struct nvme_cq, phase),
    STATE_UINT_MAX(struct nvme_cq, vector, NVME_QUEUES - 1),
    STATE_UINT_MAX(struct nvme_cq, size, 4096),
    STATE_UINT(struct nvme_cq, head),
    STATE_UINT(struct nvme_cq, tail),
    STATE_UINT(struct nvme_cq, gpa),
    STATE_END,
};

static const struct state_field sq_state[] = {
    STATE_BOOL(struct nvme_sq, valid),
    STATE_UINT_MAX(struct nvme_sq, cqid, NVME_QUEUES - 1),
    STATE_UINT_MAX(struct nvme_sq, size, 4096),
    STATE_UINT(struct nvme_sq, head),
    STATE_UINT(struct nvme_sq, tail),
    STATE_UINT(struct nvme_sq, gpa),
    STATE_END,
};

static const struct state_field features_state[] = {
    STATE_UINT(struct nvme_features, arbitration),
    STATE_UINT(struct nvme_features, error_recovery),
    STATE_UINT_MAX(struct nvme_features, coalescing, 0xffff),
    STATE_UINT(struct nvme_features, atomicity),
    STATE_UINT(struct nvme_features, async_events),
    STATE_UINT(struct nvme_features, over),
    STATE_UINT(struct nvme_features, under),
    STATE_BOOL(struct nvme_features, write_cache),
    STATE_UINT(struct nvme_features, no_coalescing),
    STATE_UINT(struct nvme_features, timestamp_ms),
    STATE_BOOL(struct nvme_features, timestamp_set),
    STATE_BYTES(struct nvme_features, host_id),
    STATE_END,
};

static const struct state_field error_state[] = {
    STATE_UINT(struct nvme_error, count),
    STATE_UINT(struct nvme_error, lba),
    STATE_UINT(struct nvme_error, sqid),
    STATE_UINT(struct nvme_error, cid),
    STATE_UINT(struct nvme_error, status),
    STATE_UINT(struct nvme_error, location),
    STATE_UINT(struct nvme_error, nsid),
    STATE_END,
};

static const struct state_field life_state[] = {
    STATE_UINT(struct nvme_life, units_read),
    STATE_UINT(struct nvme_life, units_written),
    STATE_UINT(struct nvme_life, reads),
    STATE_UINT(struct nvme_life, writes),
    STATE_UINT(struct nvme_life, media_errors),
    STATE_UINT(struct nvme_life, errors),
    STATE_UINT(struct nvme_life, busy_ms),
    STATE_UINT(struct nvme_life, power_on_ms),
    STATE_UINT(struct nvme_life, power_cycles),
    STATE_END,
};

const struct state_field nvme_state[] = {
    STATE_UINT(struct nvme, regs.cc),
    STATE_UINT(struct nvme, regs.csts),
    STATE_UINT(struct nvme, regs.aqa),
    STATE_UINT(struct nvme, regs.intm),
    STATE_UINT(struct nvme, regs.asq),
    STATE_UINT(struct nvme, regs.acq),
    STATE_ARRAY_MAX(struct nvme, regs.doorbell, 0xffff),
    STATE_BOOL(struct nvme, regs.pending.reset),
    STATE_STRUCT_ARRAY(struct nvme, sq, sq_state),
    STATE_STRUCT_ARRAY(struct nvme, cq, cq_state),
    STATE_UINT(struct nvme, shadow_gpa),
    STATE_UINT(struct nvme, event_gpa),
    STATE_STRUCT(struct nvme, features, features_state),
    STATE_UINT(struct nvme, events),
    STATE_UINT(struct nvme, events_masked),
    STATE_ARRAY(struct nvme, aer_cid),
    STATE_UINT_MAX(struct nvme, aer_count, NVME_AERL),
    STATE_UINT(struct nvme, ns_changed),
    STATE_STRUCT_ARRAY(struct nvme, error, error_state),
    STATE_STRUCT(struct nvme, life, life_state),
    STATE_END,
};

static bool is_ring_sane(uint64_t gpa, uint32_t size, uint16_t head, uint16_t tail)
{
    return size >= 2 && head < size && tail < size && !(gpa & (MEM_PAGE_SIZE - 1));
}

static bool are_queues_sane(const struct nvme *n)
{
    for (unsigned i = 0; i < NVME_QUEUES; i++) {
        const struct nvme_sq *sq = &n->sq[i];
        const struct nvme_cq *cq = &n->cq[i];

        if (sq->valid && (!is_ring_sane(sq->gpa, sq->size, sq->head, sq->tail) ||
                          !n->cq[sq->cqid].valid || !sq->cqid != !i))
            return false;
        if (cq->valid && !is_ring_sane(cq->gpa, cq->size, cq->head, cq->tail))
            return false;
    }
    return !((n->shadow_gpa | n->event_gpa) & (MEM_PAGE_SIZE - 1));
}

static bool has_queues(const struct nvme *n)
{
    bool any = n->shadow_gpa || n->event_gpa;

    for (unsigned i = 0; i < NVME_QUEUES; i++)
        any |= n->sq[i].valid || n->cq[i].valid;
    return any;
}

/* False: no controller can be in this state. What a reset that is due forgets is not looked at. */
static bool is_sane(const struct nvme *n)
{
    if (n->regs.pending.reset)
        return true;
    if (!are_queues_sane(n))
        return false;
    if (n->regs.csts & NVME_CSTS_CFS)
        return true; /* whatever brought it there */
    if (n->regs.csts & NVME_CSTS_RDY)
        return n->sq[0].valid && n->cq[0].valid && NVME_CC_MPS(n->regs.cc) <= NVME_MPS_MAX;
    return !has_queues(n); /* nobody would map them */
}

static uint64_t written_doorbells(const struct nvme *n)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < NVME_QUEUES; i++)
        bits |= (n->sq[i].valid ? BIT(2 * i) : 0) | (n->cq[i].valid ? BIT(2 * i + 1) : 0);
    return bits;
}

int nvme_loaded(void *object, struct vz_error *err)
{
    struct nvme *n = object;
    struct nvme_pending *p = &n->regs.pending;

    if (!is_sane(n))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "nvme: queues that cannot be");
    n->active = n->regs.csts & (NVME_CSTS_RDY | NVME_CSTS_CFS);
    n->failed = n->regs.csts & NVME_CSTS_CFS;
    n->page_size = UINT64_C(4096) << NVME_CC_MPS(n->regs.cc);
    n->features.timestamp_at_ms = n->since_ms = clock_mono_ns() / NS_PER_MS;
    n->shadow = n->event = NULL; /* those of before; nvme_work() lets go of them, and finds these */
    for (unsigned i = 0; i < NVME_QUEUES; i++) {
        n->sq[i].ring = NULL;
        n->sq[i].inflight = 0;
        n->sq[i].deleting = false;
        n->cq[i].reserved = 0;
        n->cq[i].news = n->cq[i].valid && n->cq[i].head != n->cq[i].tail; /* an interrupt too many is fine */
    }
    *p = (struct nvme_pending){.reset = p->reset, .restored = true,
                               .shutdown = (n->regs.csts & NVME_CSTS_SHST) == NVME_CSTS_SHST_BUSY,
                               .doorbells = written_doorbells(n)};
    nvme_work_soon(n);
    loop_work_queue(n->loop, &n->interrupt_work);
    return 0;
}
