/* SPDX-License-Identifier: MIT */
/* Virtqueues: split rings (VIRTIO 1.2 section 2.7, cited in brackets). See virtq.h. */
#include "virtio/virtq.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/trace.h"
#include "virtio/virtio.h"

/* --- chains --- */

static struct virtq_chain *chain_at(struct virtq *q, unsigned slot)
{
    return (struct virtq_chain *)(q->chains + slot * q->chain_stride);
}

int virtq_init(struct virtq *q, struct virtio_dev *dev, unsigned index, uint16_t size_max,
               size_t request_size)
{
    size_t iov_size = size_max * sizeof(struct iovec);
    size_t stride = align_up(sizeof(struct virtq_chain), 16) + iov_size + align_up(request_size, 16);

    q->dev = dev;
    q->index = index;
    q->size_max = size_max;
    q->chain_stride = stride;
    q->request_at = request_size ? stride - align_up(request_size, 16) : 0;
    q->chains = calloc(size_max, stride); /* pages that no request uses are never touched, not here either */
    return q->chains ? 0 : -ENOMEM;
}

void virtq_fini(struct virtq *q)
{
    mem_release(&q->held);
    free(q->chains);
    q->chains = NULL;
}

/* The slot's chain, empty; NULL when it is lent out. slot < size_max. */
static struct virtq_chain *chain_take(struct virtq *q, unsigned slot)
{
    struct virtq_chain *c = chain_at(q, slot);

    if (c->busy)
        return NULL;
    c->queue = q;
    c->iov = (struct iovec *)((uint8_t *)c + align_up(sizeof(*c), 16));
    c->priv = q->request_at ? (uint8_t *)c + q->request_at : NULL;
    c->head = (uint16_t)slot;
    c->out_count = c->in_count = 0;
    c->out_len = c->in_len = 0;
    return c;
}

/* Append a buffer; false: the device is broken now. */
static bool chain_add(struct virtq *q, struct virtq_chain *c, gpa_t gpa, uint32_t len, bool in)
{
    unsigned count = c->out_count + c->in_count;
    void *host;

    if (!in && c->in_count) {
        virtio_broken(q->dev, "a buffer to read follows one to write");
        return false;
    }
    if (!len)
        return true;
    host = mem_ptr(q->dev->mem, gpa, len, in && !q->dev->ops->writes_nothing ? MEM_WRITE : MEM_READ);
    if (!host || count >= q->size_max || c->out_len + c->in_len + len > UINT32_MAX) {
        virtio_broken(q->dev, "a buffer of %#x bytes at %#llx is not in memory, or too much", len,
                      (unsigned long long)gpa);
        return false;
    }
    c->iov[count] = (struct iovec){.iov_base = host, .iov_len = len};
    if (in) {
        c->in_count++;
        c->in_len += len;
    } else {
        c->out_count++;
        c->out_len += len;
    }
    return true;
}

static struct virtq_chain *lend(struct virtq *q, struct virtq_chain *c)
{
    c->out = c->iov;
    c->in = c->iov + c->out_count;
    c->busy = true;
    q->inflight++;
    return c;
}

static void take_back(struct virtq *q, struct virtq_chain *c)
{
    c->busy = false;
    q->inflight--;
    if (q->dev->stopping || !q->running)
        loop_work_queue(q->dev->loop, &q->dev->work); /* someone may wait for the last one */
}

static void mark_written(struct virtq *q, const struct virtq_chain *c, size_t len)
{
    for (unsigned i = 0; i < c->in_count && len; i++) {
        size_t n = MIN(len, c->in[i].iov_len);

        mem_written_at(q->dev->mem, c->in[i].iov_base, n);
        len -= n;
    }
}

/* --- the ring --- */

/* The rings are the guest's memory, which it may write while we read. */
static uint16_t ring_load(const void *p)
{
    return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE);
}

/* Visible after all that was stored before. */
static void ring_store(struct virtq *q, void *p, uint16_t v)
{
    __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELEASE);
    mem_written_at(q->dev->mem, p, sizeof(v));
}

static uint16_t *avail_event(const struct virtq *q) /* at the used ring's end [2.7.8] */
{
    return (uint16_t *)&((struct vring_used *)q->device)->ring[q->size];
}

static uint16_t *used_event(const struct virtq *q) /* at the avail ring's end [2.7.6] */
{
    return &((struct vring_avail *)q->driver)->ring[q->size];
}

static uint16_t available(struct virtq *q)
{
    return (uint16_t)(ring_load(&((struct vring_avail *)q->driver)->idx) - q->next_avail);
}

/* Nothing there: ask for a kick, then look once more, since the driver may have added a request and
 * seen that no kick was wanted [2.7.10]. */
static uint16_t rearm(struct virtq *q)
{
    struct vring_used *used = q->device;

    if (q->event_idx)
        ring_store(q, avail_event(q), q->next_avail);
    else if (used->flags & VRING_USED_F_NO_NOTIFY)
        ring_store(q, &used->flags, 0);
    atomic_thread_fence(memory_order_seq_cst);
    return available(q);
}

/* While requests are being taken no kick is needed. With event indexes there is nothing to do. */
static void no_kicks(struct virtq *q)
{
    struct vring_used *used = q->device;

    if (!q->event_idx && !(used->flags & VRING_USED_F_NO_NOTIFY))
        ring_store(q, &used->flags, VRING_USED_F_NO_NOTIFY);
}

static bool enter_indirect(struct virtq *q, const struct vring_desc *d,
                           const struct vring_desc **table, unsigned *count)
{
    if (!q->indirect || *table != q->desc || (d->flags & VRING_DESC_F_NEXT) || !d->len ||
        d->len % sizeof(*d) || d->len / sizeof(*d) > VIRTQ_SIZE_MAX) {
        virtio_broken(q->dev, "a bad indirect descriptor"); /* [2.7.5.3.1] */
        return false;
    }
    *table = mem_ptr(q->dev->mem, d->addr, d->len, MEM_READ);
    *count = (unsigned)(d->len / sizeof(*d));
    if (!*table)
        virtio_broken(q->dev, "an indirect table outside memory");
    return *table != NULL;
}

/* Follow the descriptors from head. Each is copied out once. A chain is no longer than the queue
 * [2.7.5.3.1], so loops end. */
static bool walk(struct virtq *q, struct virtq_chain *c)
{
    const struct vring_desc *table = q->desc;
    unsigned count = q->size, i = c->head, limit = q->size + 1u;
    struct vring_desc d;

    for (;;) {
        memcpy(&d, (const void *)&table[i], sizeof(d));
        if (!limit--) {
            virtio_broken(q->dev, "a chain longer than the queue");
            return false;
        }
        if (d.flags & VRING_DESC_F_INDIRECT) {
            if (!enter_indirect(q, &d, &table, &count))
                return false;
            i = 0;
            continue;
        }
        if (!chain_add(q, c, d.addr, d.len, d.flags & VRING_DESC_F_WRITE))
            return false;
        if (!(d.flags & VRING_DESC_F_NEXT))
            return true;
        i = d.next;
        if (i >= count) {
            virtio_broken(q->dev, "a chain leads out of its table");
            return false;
        }
    }
}

static bool pending(struct virtq *q)
{
    uint16_t count = available(q);

    if (!count)
        count = rearm(q);
    if (count > q->size) {
        virtio_broken(q->dev, "%u requests in a queue of %u", count, q->size);
        return false;
    }
    return count;
}

static struct virtq_chain *pop(struct virtq *q)
{
    struct vring_avail *avail = q->driver;
    struct virtq_chain *c;
    uint16_t head;

    no_kicks(q);
    head = ring_load(&avail->ring[q->next_avail & (q->size - 1)]);
    c = head < q->size ? chain_take(q, head) : NULL;
    if (!c) {
        virtio_broken(q->dev, "request %u does not exist, or is not the driver's", head);
        return NULL;
    }
    if (!walk(q, c))
        return NULL;
    q->next_avail++;
    return c;
}

static void push(struct virtq *q, const struct virtq_chain *c, uint32_t written)
{
    struct vring_used *used = q->device;
    vring_used_elem_t *e = &used->ring[q->next_used & (q->size - 1)];
    vring_used_elem_t elem = {.id = c->head, .len = written};

    memcpy(e, &elem, sizeof(elem));
    mem_written_at(q->dev->mem, e, sizeof(elem));
    ring_store(q, &used->idx, ++q->next_used);
}

/* [2.7.7, 2.7.10] */
static bool wants_interrupt(struct virtq *q)
{
    struct vring_avail *avail = q->driver;

    if (!q->event_idx)
        return !(ring_load(&avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
    return !q->signalled_valid ||
           vring_need_event(ring_load(used_event(q)), q->next_used, q->signalled);
}

static bool map(struct virtq *q, const struct virtq_regs *r)
{
    size_t event = q->event_idx ? 2 : 0;

    if (!is_power_of_two(q->size) || r->desc % 16 || r->driver % 2 || r->device % 4)
        return false;
    mem_release(&q->held);
    q->desc = mem_ptr(q->dev->mem, r->desc, 16u * q->size, MEM_READ);
    q->driver = mem_ptr(q->dev->mem, r->driver, 4 + 2u * q->size + event, MEM_READ);
    q->device = mem_hold(q->dev->mem, &q->held, r->device, 4 + 8u * q->size + event);
    return q->desc && q->driver && q->device;
}

/* --- for devices --- */

bool virtq_pending(struct virtq *q)
{
    if (!q->running || q->dev->stopping || q->dev->quiet)
        return false;
    return pending(q);
}

unsigned virtq_available(struct virtq *q)
{
    return q->running ? available(q) : 0;
}

struct virtq_chain *virtq_pop(struct virtq *q)
{
    struct virtq_chain *c;

    if (!virtq_pending(q))
        return NULL;
    if (!q->budget) {
        virtio_kick(q->dev, q->index);
        return NULL;
    }
    q->budget--;
    c = pop(q);
    return c ? lend(q, c) : NULL;
}

void virtq_push(struct virtq *q, struct virtq_chain *c, size_t written)
{
    written = MIN(written, c->in_len);
    mark_written(q, c, written);
    if (q->running)
        push(q, c, (uint32_t)written);
    take_back(q, c);
}

size_t virtq_read(const struct virtq_chain *c, size_t off, void *buf, size_t len)
{
    return iov_read(c->out, c->out_count, off, buf, len);
}

size_t virtq_write(const struct virtq_chain *c, size_t off, const void *buf, size_t len)
{
    return iov_write(c->in, c->in_count, off, buf, len);
}

void virtq_unpop(struct virtq *q, struct virtq_chain *c)
{
    q->next_avail--;
    take_back(q, c);
}

void virtq_keep(struct virtq *q, struct virtq_chain *c)
{
    take_back(q, c);
}

struct virtq_chain *virtq_take(struct virtq *q, uint16_t head)
{
    struct virtq_chain *c;

    if (!q->running)
        return NULL;
    c = head < q->size ? chain_take(q, head) : NULL;
    if (!c) {
        virtio_broken(q->dev, "request %u does not exist, or is not the driver's", head);
        return NULL;
    }
    return walk(q, c) ? lend(q, c) : NULL;
}

void virtq_notify(struct virtq *q)
{
    bool wanted;

    if (!q->running || (q->signalled_valid && q->signalled == q->next_used))
        return;
    atomic_thread_fence(memory_order_seq_cst);
    wanted = wants_interrupt(q);
    q->signalled = q->next_used;
    q->signalled_valid = true;
    TRACE(q->dev->trace, virtio, q->dev->ops->name, q->dev, "queue %u used up to %u%s", q->index,
          q->next_used, wanted ? ", interrupt" : "");
    if (!wanted)
        return;
    STATS_ADD(q->dev->sum, interrupts, 1);
    q->dev->transport->queue_interrupt(q->dev, q->index);
}

bool virtq_start(struct virtq *q, const struct virtq_regs *regs, uint64_t features, bool restored)
{
    q->event_idx = features & BIT(VIRTIO_RING_F_EVENT_IDX);
    q->indirect = features & BIT(VIRTIO_RING_F_INDIRECT_DESC);
    q->size = regs->size;
    q->budget = UINT32_MAX;
    if (!q->size || q->size > q->size_max || !map(q, regs)) {
        virtio_broken(q->dev, "queue %u: bad size or addresses", q->index);
        return false;
    }
    if (!restored || !q->started) {
        q->next_avail = q->next_used = 0;
        q->signalled = 0;
    }
    /* A restored driver may or may not have seen the last interrupt: one too many is harmless. */
    q->signalled_valid = !restored;
    q->started = q->running = true;
    return true;
}

void virtq_break(struct virtq *q)
{
    q->running = false;
    q->started = false;
}

void virtq_stop(struct virtq *q)
{
    virtq_break(q);
    mem_release(&q->held);
}

const struct state_field virtq_state[] = {
    STATE_UINT_MAX(struct virtq, regs.size, VIRTQ_SIZE_MAX),
    STATE_UINT(struct virtq, regs.vector),
    STATE_BOOL(struct virtq, regs.enabled),
    STATE_UINT(struct virtq, regs.desc),
    STATE_UINT(struct virtq, regs.driver),
    STATE_UINT(struct virtq, regs.device),
    STATE_BOOL(struct virtq, started),
    STATE_UINT(struct virtq, next_avail),
    STATE_UINT(struct virtq, next_used),
    STATE_END,
};
