/* SPDX-License-Identifier: MIT */
/* The 8254 and port 61h. Counters are computed from the clock when looked at; nothing ticks. A
 * plain model without locks or callbacks: the owner passes the time (CLOCK_MONOTONIC, ns, never
 * going back) and calls pit_sync() to learn of channel 0's rising edges.
 *
 * A count written while modes 2 and 3 run takes effect at once, not at the end of the period. */
#ifndef VZ_IRQCHIP_PIT_H
#define VZ_IRQCHIP_PIT_H

#include "base/compiler.h"

struct state_desc;

#define PIT_TICKS_MAX BIT(48) /* of a channel's age in a saved state */

struct pit_channel {
    uint16_t reload;       /* as written: 0 stands for 65536 (10000 in BCD) */
    uint8_t mode;          /* 0..5 */
    uint8_t rw;            /* PIT_RW_LSB, _MSB, _BOTH */
    bool bcd, gate;
    bool loaded;           /* a count has been written since the control word */
    bool triggered;        /* modes 1, 5: the gate has risen since */
    bool null_count;
    bool write_msb_next, read_msb_next;
    uint8_t write_lsb;
    uint8_t latch_bytes;   /* bytes of latch still to read */
    uint16_t latch;
    bool status_latched;
    uint8_t status;
    uint64_t base_ticks;   /* age of the count at start_ns */
    uint64_t start_ns;     /* not saved: base_ticks is brought up to date instead */
    uint64_t edges_seen;   /* rising edges of OUT since the load that were reported */
};

struct pit {
    struct pit_channel channel[3];
    uint8_t port61;        /* the writable bits */
};

extern const struct state_desc pit_state_desc;

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

/* Around save and load: move what depends on the clock into base_ticks, and start from there. */
void pit_freeze(struct pit *p, uint64_t now);
void pit_thaw(struct pit *p, uint64_t now);

#endif
