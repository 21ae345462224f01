/* SPDX-License-Identifier: MIT */
/* What irqchip.c, lapic.c and lapic_timer.c share. Everything is under irqchip.lock unless it says
 * otherwise; functions here are called with it held. Lock order: irqchip.lock, then a loop
 * timer's own (a leaf). */
#ifndef VZ_IRQCHIP_IRQCHIP_IMPL_H
#define VZ_IRQCHIP_IRQCHIP_IMPL_H

#include <pthread.h>

#include "arch/x86/chips.h"
#include "irqchip/apic_msg.h"
#include "irqchip/ioapic.h"
#include "irqchip/irqchip.h"
#include "irqchip/pic.h"
#include "irqchip/pit.h"

struct loop_timer;

/* A timer of a period shorter than this fires this often: the guest chooses the period, but not
 * how much of the loop thread it takes. */
#define IRQCHIP_MIN_PERIOD_NS 20000u

struct lapic {
    struct irqchip *chip;
    uint32_t id;
    _Atomic bool pending;   /* read without the lock: irqchip_has_interrupt() */
    _Atomic uint64_t gpa;   /* read without the lock: irqchip_lapic_gpa() */

    struct lapic_regs reg;
    struct loop_timer *timer;
    uint64_t timer_expiry_ns; /* reg.timer_remaining_ns is what it comes to, in saved states */
    uint64_t tsc_offset;      /* the CPU's, not saved here */
} __attribute__((aligned(64)));

struct irqchip {
    pthread_mutex_t lock;
    struct loop *loop;
    uint32_t trace; /* base/trace.h */
    const struct irqchip_cpu_ops *ops;
    void *ops_arg;
    struct tsc_rate *tsc;
    unsigned phys_addr_bits;

    struct pic_pair pic;
    bool pic_out;           /* pic.out as the LAPICs have seen it */
    struct pit pit;
    uint64_t pit_armed_ns;  /* what pit_timer is armed for; 0: not armed */
    struct loop_timer *pit_timer;
    struct ioapic ioapic;
    struct irqchip_stats stats;
    unsigned lapic_count;
    struct lapic lapic[];
};

/* irqchip.c */
bool irqchip_deliver(void *arg, const struct apic_msg *msg); /* arg: struct irqchip */
static inline void irqchip_notify(struct lapic *l, unsigned what, uint8_t vector)
{
    l->chip->ops->notify(l->chip->ops_arg, l->id, what, vector);
}

/* lapic.c */
void lapic_reset(struct lapic *l, bool is_init);
void lapic_update(struct lapic *l); /* recompute pending; notify when it became true */
bool lapic_matches(const struct lapic *l, const struct apic_msg *msg);
bool lapic_takes_fixed(const struct lapic *l); /* enabled in hardware and by software */
bool lapic_accept(struct lapic *l, const struct apic_msg *msg);
void lapic_local(struct lapic *l, unsigned lvt); /* an event at a local interrupt source */
uint32_t lapic_ppr(const struct lapic *l);
int lapic_ack(struct lapic *l);
uint32_t lapic_mmio_read(struct lapic *l, unsigned reg);
void lapic_mmio_write(struct lapic *l, unsigned reg, uint32_t v);
int lapic_msr_read(struct lapic *l, unsigned reg, uint64_t *ret);
int lapic_msr_write(struct lapic *l, unsigned reg, uint64_t v);
int lapic_base_write(struct lapic *l, uint64_t v);
void lapic_base_set(struct lapic *l, uint64_t v);

static inline bool lapic_is_enabled(const struct lapic *l)
{
    return l->reg.apic_base & 0x800;
}

static inline bool lapic_is_x2(const struct lapic *l)
{
    return l->reg.apic_base & 0x400;
}

/* lapic_timer.c */
void lapic_timer_reset(struct lapic *l);
void lapic_timer_sync(struct lapic *l);  /* take an expiry that is due; before any change */
void lapic_timer_rearm(struct lapic *l); /* set the host timer to what the registers ask for */
void lapic_timer_write_lvt(struct lapic *l, uint32_t v);
void lapic_timer_write_tmict(struct lapic *l, uint32_t v);
void lapic_timer_write_tdcr(struct lapic *l, uint32_t v);
uint32_t lapic_timer_count(const struct lapic *l);
uint64_t lapic_timer_read_deadline(struct lapic *l);
void lapic_timer_write_deadline(struct lapic *l, uint64_t v);
uint64_t lapic_timer_remaining(const struct lapic *l); /* ns until timer_expiry_ns */
void lapic_timer_fired(void *arg); /* loop timer callback; takes the lock. arg: struct lapic */

#endif
