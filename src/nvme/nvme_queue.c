/* SPDX-License-Identifier: MIT */
/* Queues (4.1): commands are taken from submission queues in turn, answers put into completion queues,
 * interrupts sent once for what was answered together. What the guest's memory says is copied out once.
 *
 * Where the driver has given us a doorbell buffer (5.7), its I/O queues' doorbells are words in memory:
 * a queue found empty publishes where it stopped, and looks once more, and only then does the driver
 * write to the register, which means "look" and no more. The admin queues keep the registers. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/trace.h"
#include "nvme/nvme_impl.h"

#define BURST  16u  /* commands from one queue, before the next has its turn */
#define BUDGET 512u /* commands until the loop does something else */

int nvme_sq_map(struct nvme *n, struct nvme_sq *q)
{
    q->ring = mem_ptr(n->mem, q->gpa, (uint64_t)q->size << NVME_SQE_SIZE_LOG2, MEM_READ);
    return q->ring ? 0 : -EFAULT;
}

int nvme_cq_map(struct nvme *n, struct nvme_cq *q)
{
    q->ring = mem_hold(n->mem, &q->held, q->gpa, (uint64_t)q->size << NVME_CQE_SIZE_LOG2);
    return q->ring ? 0 : -EFAULT;
}

/* ---- Doorbells ------------------------------------------------------------------------------ */

static unsigned word_of(unsigned qid, bool cq)
{
    return 2 * qid + cq;
}

static bool is_shadowed(const struct nvme *n, unsigned qid)
{
    return n->shadow && qid;
}

static uint32_t shadow_load(const struct nvme *n, unsigned word)
{
    return __atomic_load_n((const uint32_t *)n->shadow + word, __ATOMIC_ACQUIRE) & 0xffff;
}

/* Tell the driver to ring when it goes beyond value. Whoever does this looks again afterwards. */
static void event_store(struct nvme *n, unsigned word, uint32_t value)
{
    uint32_t *at = (uint32_t *)n->event + word;

    __atomic_store_n(at, value, __ATOMIC_RELEASE);
    mem_written_at(n->mem, at, sizeof(*at));
    atomic_thread_fence(memory_order_seq_cst);
}

/* A value that the driver gave for a queue. */
static void set_tail(struct nvme *n, struct nvme_sq *q, uint32_t value)
{
    if (value < q->size)
        q->tail = (uint16_t)value;
    else
        nvme_event(n, NVME_EV_BAD_VALUE);
}

static void set_head(struct nvme *n, struct nvme_cq *q, uint32_t value)
{
    uint32_t used = (q->tail + q->size - q->head) % q->size;

    /* no further than what was put there */
    if (value < q->size && (value + q->size - q->head) % q->size <= used)
        q->head = (uint16_t)value;
    else
        nvme_event(n, NVME_EV_BAD_VALUE);
}

static void look_at_tail(struct nvme *n, unsigned qid)
{
    struct nvme_sq *q = &n->sq[qid];
    uint32_t v;

    if (is_shadowed(n, qid) && (v = shadow_load(n, word_of(qid, false))) != q->tail)
        set_tail(n, q, v);
}

static void look_at_head(struct nvme *n, unsigned qid)
{
    struct nvme_cq *q = &n->cq[qid];
    uint32_t v;

    if (is_shadowed(n, qid) && (v = shadow_load(n, word_of(qid, true))) != q->head)
        set_head(n, q, v);
}

static void doorbell(struct nvme *n, unsigned qid, bool cq, uint32_t value)
{
    if (cq ? !n->cq[qid].valid : !n->sq[qid].valid)
        nvme_event(n, NVME_EV_BAD_DOORBELL);
    else if (is_shadowed(n, qid))
        return; /* it says "look" */
    else if (cq)
        set_head(n, &n->cq[qid], value);
    else
        set_tail(n, &n->sq[qid], value);
}

void nvme_doorbells(struct nvme *n, const struct nvme_regs *r)
{
    for (unsigned i = 0; i < ARRAY_SIZE(r->doorbell); i++) {
        if (r->pending.doorbells & BIT(i))
            doorbell(n, i / 2, i % 2, r->doorbell[i]);
    }
}

static void rang(struct bell *b)
{
    struct nvme *n = container_of(b, struct nvme_bell, bell)->n;

    nvme_work(n);
}

bool nvme_shadow_map(struct nvme *n)
{
    const uint64_t len = sizeof(n->regs.doorbell);

    mem_release(&n->shadow_held);
    mem_release(&n->event_held);
    n->shadow = mem_hold(n->mem, &n->shadow_held, n->shadow_gpa, len);
    n->event = mem_hold(n->mem, &n->event_held, n->event_gpa, len);
    if (!n->shadow || !n->event)
        n->shadow = n->event = NULL;
    return n->shadow;
}

void nvme_shadow_start(struct nvme *n, unsigned qid, bool cq, bool fresh)
{
    unsigned word = word_of(qid, cq);
    uint32_t *at = (uint32_t *)n->shadow + word;

    if (fresh) { /* and not as a queue of this number before it had it */
        __atomic_store_n(at, cq ? n->cq[qid].head : n->sq[qid].tail, __ATOMIC_RELEASE);
        mem_written_at(n->mem, at, sizeof(*at));
    }
    bell_start(&n->bell[word].bell, n->loop, &n->pci.bar[0].range, NVME_REG_DOORBELLS + 4 * word,
               rang);
}

void nvme_shadow_stop(struct nvme *n, unsigned qid, bool cq)
{
    bell_stop(&n->bell[word_of(qid, cq)].bell);
}

/* ---- Answers -------------------------------------------------------------------------------- */

static uint32_t used(const struct nvme_cq *q)
{
    return (q->tail + q->size - q->head) % q->size;
}

static bool has_room(struct nvme *n, unsigned cqid)
{
    struct nvme_cq *q = &n->cq[cqid];

    if (used(q) + q->reserved + 1 < q->size)
        return true;
    look_at_head(n, cqid);
    if (is_shadowed(n, cqid) && used(q) + q->reserved + 1 >= q->size) {
        event_store(n, word_of(cqid, true), q->head);
        look_at_head(n, cqid);
    }
    return used(q) + q->reserved + 1 < q->size;
}

/* The last word has the phase tag: it is written when the rest is there (4.6). */
static void put(struct nvme *n, struct nvme_sq *sq, uint16_t cid, unsigned status, uint32_t dw0)
{
    struct nvme_cq *q = &n->cq[sq->cqid];
    uint8_t *at = q->ring + ((size_t)q->tail << NVME_CQE_SIZE_LOG2);
    const uint32_t word[3] = {dw0, 0, sq->head | (uint32_t)nvme_sq_id(n, sq) << 16};

    TRACE(n->trace, nvme, "nvme", n, "queue %u, command %#x: %#x", nvme_sq_id(n, sq), cid, status);
    memcpy(at, word, sizeof(word));
    __atomic_store_n((uint32_t *)(at + sizeof(word)), cid | (status << 1 | q->phase) << 16,
                     __ATOMIC_RELEASE);
    mem_written_at(n->mem, at, sizeof(struct nvme_cqe));
    if (++q->tail == q->size) {
        q->tail = 0;
        q->phase = !q->phase;
    }
    q->news = true;
    q->news_count++;
    loop_work_queue(n->loop, &n->interrupt_work);
}

void nvme_answer(struct nvme *n, struct nvme_sq *sq, uint16_t cid, unsigned status, uint32_t dw0)
{
    n->cq[sq->cqid].reserved--;
    if (status & NVME_STATUS_CODE)
        NVME_COUNT(n, failed, 1);
    if (!n->failed)
        put(n, sq, cid, status, dw0);
}

bool nvme_answer_late(struct nvme *n, struct nvme_sq *sq, uint16_t cid, unsigned status,
                      uint32_t dw0)
{
    if (!has_room(n, sq->cqid))
        return false;
    put(n, sq, cid, status, dw0);
    return true;
}

void nvme_put_aside(struct nvme *n, struct nvme_sq *sq)
{
    n->cq[sq->cqid].reserved--;
}

/* ---- Commands ------------------------------------------------------------------------------- */

static bool has_command(struct nvme *n, unsigned qid)
{
    struct nvme_sq *q = &n->sq[qid];

    if (q->head == q->tail)
        look_at_tail(n, qid);
    if (q->head == q->tail && is_shadowed(n, qid)) {
        event_store(n, word_of(qid, false), q->tail);
        look_at_tail(n, qid);
    }
    return q->head != q->tail;
}

static bool may_take(struct nvme *n, unsigned qid)
{
    struct nvme_sq *q = &n->sq[qid];

    if (!q->valid || q->deleting || n->failed || !has_command(n, qid) || !has_room(n, q->cqid))
        return false;
    if (qid && TAILQ_EMPTY(&n->free)) {
        n->starved = true;
        return false;
    }
    return true;
}

static void take(struct nvme *n, unsigned qid)
{
    struct nvme_sq *q = &n->sq[qid];
    struct nvme_sqe cmd;

    memcpy(&cmd, q->ring + ((size_t)q->head << NVME_SQE_SIZE_LOG2), sizeof(cmd));
    q->head = q->head + 1u == q->size ? 0 : (uint16_t)(q->head + 1);
    n->cq[q->cqid].reserved++;
    TRACE(n->trace, nvme, "nvme", n, "queue %u, command %#x: opcode %#x, namespace %#x", qid, cmd.cid,
          cmd.opcode, cmd.nsid);
    if (qid) {
        NVME_COUNT(n, commands, 1);
        nvme_io(n, q, &cmd);
    } else {
        NVME_COUNT(n, admin_commands, 1);
        nvme_admin(n, &cmd);
    }
}

/* Round robin (4.13.1). Returns how many. */
static unsigned turn(struct nvme *n)
{
    unsigned count = 0;

    for (unsigned qid = 0; qid < NVME_QUEUES; qid++) {
        for (unsigned i = 0; i < BURST && may_take(n, qid); i++, count++)
            take(n, qid);
    }
    return count;
}

void nvme_serve(struct nvme *n)
{
    unsigned total = 0, count;

    for (unsigned i = 0; i < n->ns_count; i++)
        blk_plug(n->ns[i].blk);
    do {
        count = turn(n);
        total += count;
    } while (count && total < BUDGET);
    for (unsigned i = 0; i < n->ns_count; i++)
        blk_unplug(n->ns[i].blk);
    if (count)
        nvme_work_soon(n);
    nvme_events_push(n);
}

/* ---- Interrupts (7.5) ----------------------------------------------------------------------- */

static bool pin_wanted(struct nvme *n, uint32_t masked)
{
    bool high = false;

    for (unsigned i = 0; i < NVME_QUEUES; i++) {
        const struct nvme_cq *q = &n->cq[i];

        if (!q->valid || !q->ien)
            continue;
        if (is_shadowed(n, i)) { /* the pin goes down when the driver has taken them: it must ring */
            event_store(n, word_of(i, true), q->head);
            look_at_head(n, i);
        }
        high |= q->head != q->tail && !(q->vector < 32 && (masked & BIT(q->vector)));
    }
    return high;
}

void nvme_update_intx(struct nvme *n)
{
    uint32_t masked;
    bool pin, high;

    device_lock(&n->pci.dev);
    pin = !pci_msix_enabled_locked(&n->pci);
    masked = n->regs.intm;
    device_unlock(&n->pci.dev);
    if (!pin)
        return;
    high = n->active && !n->failed && pin_wanted(n, masked); /* may tell of a bad value: not under the lock */
    device_lock(&n->pci.dev);
    pci_intx_locked(&n->pci, high);
    device_unlock(&n->pci.dev);
}

/* 5.21.1.8: fewer interrupts for I/O queues, if the driver wants that. True: not yet. */
static bool may_wait(const struct nvme *n, const struct nvme_cq *q)
{
    uint32_t threshold = n->features.coalescing & 0xff, time = n->features.coalescing >> 8 & 0xff;

    return time && q != n->cq && !(n->features.no_coalescing & BIT(q->vector)) &&
           q->news_count < threshold + 1;
}

static void interrupt(struct nvme *n, bool now)
{
    bool waits = false;

    device_lock(&n->pci.dev);
    for (unsigned i = 0; i < NVME_QUEUES; i++) {
        struct nvme_cq *q = &n->cq[i];

        if (!q->news)
            continue;
        if (!now && may_wait(n, q)) {
            waits = true;
            continue;
        }
        q->news = false;
        q->news_count = 0;
        if (q->ien && pci_msix_enabled_locked(&n->pci)) {
            NVME_COUNT(n, interrupts, 1);
            pci_msix_locked(&n->pci, q->vector);
        }
    }
    device_unlock(&n->pci.dev);
    nvme_update_intx(n);
    if (!waits || n->coalescing)
        return;
    n->coalescing = true; /* from the first on: others do not make it wait for longer */
    loop_timer_arm(n->coalesce,
                   clock_mono_ns() + (n->features.coalescing >> 8 & 0xff) * (NS_PER_MS / 10));
}

void nvme_interrupt_work(void *arg)
{
    interrupt(arg, false);
}

void nvme_coalesce_timer(void *arg)
{
    struct nvme *n = arg;

    n->coalescing = false;
    if (n->active)
        interrupt(n, true);
}
