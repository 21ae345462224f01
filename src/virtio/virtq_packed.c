/* SPDX-License-Identifier: MIT */
/* The packed ring (VIRTIO 1.2 section 2.8, cited in brackets): one ring of descriptors which driver
 * and device both write; who owns a slot is told by two flag bits against wrap counters. */
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <string.h>

#include "virtio/virtio.h"
#include "virtio/virtq_impl.h"

#define FLAG_AVAIL ((uint16_t)(1u << VRING_PACKED_DESC_F_AVAIL))
#define FLAG_USED  ((uint16_t)(1u << VRING_PACKED_DESC_F_USED))
#define EVENT_WRAP (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

static struct vring_packed_desc *slot_at(const struct virtq *q, unsigned slot)
{
    return (struct vring_packed_desc *)q->desc + slot;
}

static void advance(const struct virtq *q, uint16_t *slot, bool *wrap, unsigned count)
{
    unsigned next = *slot + count;

    if (next >= q->size) {
        next -= q->size;
        *wrap = !*wrap;
    }
    *slot = (uint16_t)next;
}

bool virtq_packed_map(struct virtq *q, const struct virtq_regs *r)
{
    if (r->desc % 16 || r->driver % 4 || r->device % 4)
        return false;
    q->desc = mem_ptr(q->dev->mem, r->desc, 16u * q->size);
    q->driver = mem_ptr(q->dev->mem, r->driver, sizeof(struct vring_packed_desc_event));
    q->device = mem_ptr(q->dev->mem, r->device, sizeof(struct vring_packed_desc_event));
    return q->desc && q->driver && q->device && q->next_avail < q->size && q->next_used < q->size;
}

static bool is_available(const struct virtq *q)
{
    uint16_t flags = __atomic_load_n(&slot_at(q, q->next_avail)->flags, __ATOMIC_ACQUIRE);

    return !!(flags & FLAG_AVAIL) == q->avail_wrap && !!(flags & FLAG_USED) != q->avail_wrap;
}

bool virtq_packed_pending(struct virtq *q)
{
    struct vring_packed_desc_event *event = q->device;

    if (is_available(q))
        return true;
    /* Ask for a kick, at this slot if the driver understands it, and look once more [2.8.21.3.1]. */
    if (q->event_idx) {
        virtq_ring_store(q, &event->off_wrap,
                         (uint16_t)(q->next_avail | (q->avail_wrap ? EVENT_WRAP : 0)));
        virtq_ring_store(q, &event->flags, VRING_PACKED_EVENT_FLAG_DESC);
    } else {
        virtq_ring_store(q, &event->flags, VRING_PACKED_EVENT_FLAG_ENABLE);
    }
    atomic_thread_fence(memory_order_seq_cst);
    return is_available(q);
}

static bool add_indirect(struct virtq *q, struct virtq_chain *c, const struct vring_packed_desc *d)
{
    const struct vring_packed_desc *table;
    unsigned count = d->len / (unsigned)sizeof(*d);

    if (!q->indirect || !d->len || d->len % sizeof(*d) || count > VIRTQ_SIZE_MAX) {
        virtio_broken(q->dev, "a bad indirect descriptor");
        return false;
    }
    table = mem_ptr(q->dev->mem, d->addr, d->len);
    if (!table) {
        virtio_broken(q->dev, "an indirect table outside memory");
        return false;
    }
    for (unsigned i = 0; i < count; i++) { /* only WRITE means anything there [2.8.7] */
        struct vring_packed_desc e;

        memcpy(&e, (const void *)&table[i], sizeof(e));
        if (!virtq_chain_add(q, c, e.addr, e.len, e.flags & VRING_DESC_F_WRITE))
            return false;
    }
    return true;
}

/* The buffer id is in the last descriptor of a list [2.8.6], but the chain's memory is needed before:
 * the first slot's is borrowed, which no other chain uses while the slot is this one's... unless
 * ids and slots differ, so the walk goes over copies first. */
static unsigned list_length(struct virtq *q, uint16_t *ret_id)
{
    uint16_t slot = q->next_avail;
    bool wrap = q->avail_wrap;

    for (unsigned n = 1; n <= q->size; n++) {
        uint16_t flags = __atomic_load_n(&slot_at(q, slot)->flags, __ATOMIC_RELAXED);

        if (!(flags & VRING_DESC_F_NEXT) || (flags & VRING_DESC_F_INDIRECT)) {
            *ret_id = __atomic_load_n(&slot_at(q, slot)->id, __ATOMIC_RELAXED);
            return n;
        }
        advance(q, &slot, &wrap, 1);
    }
    return 0;
}

static bool walk(struct virtq *q, struct virtq_chain *c)
{
    uint16_t slot = q->next_avail;
    bool wrap = q->avail_wrap;

    for (unsigned i = 0; i < c->slots; i++) {
        struct vring_packed_desc d;
        bool good;

        memcpy(&d, slot_at(q, slot), sizeof(d));
        if (d.flags & VRING_DESC_F_INDIRECT)
            good = add_indirect(q, c, &d);
        else
            good = virtq_chain_add(q, c, d.addr, d.len, d.flags & VRING_DESC_F_WRITE);
        if (!good)
            return false;
        advance(q, &slot, &wrap, 1);
    }
    return true;
}

struct virtq_chain *virtq_packed_pop(struct virtq *q)
{
    struct vring_packed_desc_event *event = q->device;
    struct virtq_chain *c;
    unsigned count;
    uint16_t id = 0;

    if (!q->event_idx && event->flags != VRING_PACKED_EVENT_FLAG_DISABLE)
        virtq_ring_store(q, &event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
    count = list_length(q, &id);
    c = count && id < q->size ? virtq_chain_take(q, id) : NULL;
    if (!c) {
        virtio_broken(q->dev, "a list without end, or buffer id %u is not the driver's", id);
        return NULL;
    }
    c->slots = (uint16_t)count;
    if (!walk(q, c))
        return NULL;
    advance(q, &q->next_avail, &q->avail_wrap, count);
    return c;
}

/* A used descriptor goes where the device stands in the ring; it then skips the slots of the list
 * [2.8.6]. */
void virtq_packed_push(struct virtq *q, const struct virtq_chain *c, uint32_t written)
{
    struct vring_packed_desc *d = slot_at(q, q->next_used);
    uint16_t flags = (uint16_t)((q->used_wrap ? FLAG_AVAIL | FLAG_USED : 0) |
                                (c->in_count ? VRING_DESC_F_WRITE : 0));

    d->id = c->head;
    d->len = written;
    mem_written_at(q->dev->mem, d, sizeof(*d));
    virtq_ring_store(q, &d->flags, flags);
    advance(q, &q->next_used, &q->used_wrap, c->slots);
}

void virtq_packed_unpop(struct virtq *q, const struct virtq_chain *c)
{
    if (q->next_avail < c->slots) {
        q->next_avail = (uint16_t)(q->next_avail + q->size);
        q->avail_wrap = !q->avail_wrap;
    }
    q->next_avail = (uint16_t)(q->next_avail - c->slots);
}

/* [2.8.10, 2.8.21.3.1]: positions are compared as if the ring did not wrap. */
bool virtq_packed_wants_interrupt(struct virtq *q)
{
    const struct vring_packed_desc_event *event = q->driver;
    uint16_t flags = __atomic_load_n(&event->flags, __ATOMIC_ACQUIRE) & 3;
    uint16_t off_wrap = __atomic_load_n(&event->off_wrap, __ATOMIC_RELAXED);
    int off = off_wrap & (EVENT_WRAP - 1), old = q->signalled;

    if (flags == VRING_PACKED_EVENT_FLAG_DISABLE)
        return false;
    if (flags != VRING_PACKED_EVENT_FLAG_DESC || !q->event_idx || !q->signalled_valid)
        return true;
    if (!!(off_wrap & EVENT_WRAP) != q->used_wrap)
        off -= q->size;
    if (q->signalled_wrap != q->used_wrap)
        old -= q->size;
    return vring_need_event((uint16_t)off, q->next_used, (uint16_t)old);
}
