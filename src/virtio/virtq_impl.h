/* SPDX-License-Identifier: MIT */
/* What virtq.c and virtq_packed.c share. */
#ifndef VZ_VIRTIO_VIRTQ_IMPL_H
#define VZ_VIRTIO_VIRTQ_IMPL_H

#include "virtio/virtq.h"

static inline struct virtq_chain *virtq_chain_at(struct virtq *q, unsigned slot)
{
    return (struct virtq_chain *)(q->chains + slot * q->chain_stride);
}

/* The slot's chain, empty; NULL when it is lent out. slot < size_max. */
struct virtq_chain *virtq_chain_take(struct virtq *q, unsigned slot);
/* Append a buffer; false: the device is broken now. */
bool virtq_chain_add(struct virtq *q, struct virtq_chain *c, gpa_t gpa, uint32_t len, bool in);
/* Store to a ring, visible after all that was stored before. */
void virtq_ring_store(struct virtq *q, void *p, uint16_t v);

bool virtq_packed_map(struct virtq *q, const struct virtq_regs *regs);
bool virtq_packed_pending(struct virtq *q);
struct virtq_chain *virtq_packed_pop(struct virtq *q);
void virtq_packed_push(struct virtq *q, const struct virtq_chain *c, uint32_t written);
void virtq_packed_unpop(struct virtq *q, const struct virtq_chain *c);
bool virtq_packed_wants_interrupt(struct virtq *q);

#endif
