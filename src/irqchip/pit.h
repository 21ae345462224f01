/* SPDX-License-Identifier: MIT */
/* The 8254 and port 61h. Counters are computed from the clock when looked at; nothing ticks. A
 * plain model without locks or callbacks: the owner passes the time (CLOCK_MONOTONIC, ns, never
 * going back) and calls pit_sync() to learn of channel 0's rising edges.
 *
 * A count written while modes 2 and 3 run takes effect at once, not at the end of the period. */
#ifndef VZ_IRQCHIP_PIT_H
#define VZ_IRQCHIP_PIT_H

#include "arch/x86/chips.h"

struct pit_channel {
    struct pit_channel_regs reg; /* base_ticks: as of start_ns */
    uint64_t start_ns;
};

struct pit {
    struct pit_channel channel[3];
    uint8_t port61; /* the writable bits */
};

/* As firmware leaves it: channel 0 in mode 3 at 18.2 Hz. */
void pit_reset(struct pit *p, uint64_t now);
/* port: a byte access to 40h..43h or 61h. */
uint8_t pit_read(struct pit *p, uint16_t port, uint64_t now);
void pit_write(struct pit *p, uint16_t port, uint8_t v, uint64_t now);
/* Level of a channel's OUT pin. */
bool pit_out(const struct pit *p, unsigned channel, uint64_t now);
/* Rising edges of channel 0's OUT since the last call or the last load. Call before pit_write(). */
uint64_t pit_sync(struct pit *p, uint64_t now);
/* When the next one comes; UINT64_MAX: never. */
uint64_t pit_next_edge(const struct pit *p, uint64_t now);

/* The registers as they are at `now`, and the other way round. */
void pit_save(const struct pit *p, uint64_t now, struct pit_regs *ret);
void pit_load(struct pit *p, uint64_t now, const struct pit_regs *regs);

#endif
