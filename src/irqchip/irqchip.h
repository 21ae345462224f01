/* SPDX-License-Identifier: MIT */
/* The interrupt controllers of a PC and its interval timer as plain models: one local APIC per
 * vCPU, an IOAPIC with 24 pins, the 8259A pair, the 8254. Used by a backend that has none of its
 * own (hv/soft/).
 *
 * Threads: one mutex inside protects everything; every function may be called from any thread
 * unless it says otherwise. Functions that name a cpu act for that vCPU and are meant for its
 * thread, but nothing breaks when another one calls them. The timers run on the loop.
 *
 * Nothing periodic runs unless the guest armed it and can see it: an idle guest costs nothing.
 *
 * Wiring: ISA lines 0..15 reach the PICs and the IOAPIC pin of the same number, but ISA line 0
 * (the PIT) is at IOAPIC pin 2 (the MADT says so) and PIC line 2 is the cascade. The PICs' INTR
 * output reaches LINT0 of every local APIC, and IOAPIC pin 0. Levels are logical (true: the device
 * asks for service): a pin's polarity bit is kept but changes nothing, as the board's lines are
 * asserted or not whatever voltage that is. */
#ifndef VZ_IRQCHIP_IRQCHIP_H
#define VZ_IRQCHIP_IRQCHIP_H

#include "base/compiler.h"

struct irqchip;
struct loop;
struct state_writer;
struct tsc_rate;
struct vz_error;

#define IRQCHIP_CPUS_MAX 255 /* APIC ids of 8 bits, of which the last means all */

/* What a vCPU is told; bits. */
enum {
    IRQCHIP_INTR = 1, /* irqchip_has_interrupt() may have become true: ask again */
    IRQCHIP_NMI = 2,  /* an NMI arrived: latch it */
    IRQCHIP_INIT = 4, /* an INIT arrived: when taken, call irqchip_cpu_init() */
    IRQCHIP_SIPI = 8, /* a start-up IPI arrived; counts only in wait-for-SIPI state */
    IRQCHIP_SMI = 16, /* an SMI arrived; a CPU without SMM ignores it */
};

struct irqchip_cpu_ops {
    /* Event `what` (one bit of the above) for cpu. vector: the SIPI vector (the CPU starts at
     * vector << 12), else 0. Called with the irqchip's lock held, from any thread, also from
     * inside a call that this very cpu makes: must not block and must not call back; set a flag
     * and kick. */
    void (*notify)(void *arg, unsigned cpu, unsigned what, uint8_t vector);
};

struct irqchip_config {
    struct loop *loop;       /* outlives the irqchip */
    unsigned vcpu_count;     /* 1..IRQCHIP_CPUS_MAX; APIC id = index, vCPU 0 is the BSP */
    struct tsc_rate *tsc;    /* of guest and host TSC alike; outlives the irqchip */
    unsigned phys_addr_bits; /* MAXPHYADDR, 36..52: reserved bits of IA32_APIC_BASE */
    const struct irqchip_cpu_ops *ops;
    void *ops_arg;
};

/* In reset state. Loop thread or before loop_run(). 0 or -errno (-EINVAL: bad config). */
int irqchip_create(const struct irqchip_config *config, struct irqchip **ret) must_check;

/* No other call is active. Loop thread, or loop_run() is not running. NULL is fine. */
void irqchip_destroy(struct irqchip *chip);

/* Power-up state of everything; no vCPU runs. TSC offsets are kept. As firmware would leave it for
 * a kernel that knows no APIC, LINT0 of the BSP is unmasked ExtINT ("virtual wire mode"). */
void irqchip_reset(struct irqchip *chip);

/* ---- Interrupts into a vCPU ------------------------------------------------------------- */

/* Is there an interrupt that cpu should take once its IF and shadows allow? Considers TPR, PPR
 * and ExtINT. Lock-free: one load. */
bool irqchip_has_interrupt(const struct irqchip *chip, unsigned cpu);

/* The interrupt-acknowledge cycle: returns the vector to deliver now and puts it in service; -1
 * when there is none after all (it went away since the question). */
int irqchip_ack(struct irqchip *chip, unsigned cpu);

/* cpu takes an INIT: its local APIC goes to the state after INIT (SDM vol. 3, 11.4.7.3; APIC base
 * and x2APIC mode are kept). From cpu's thread, before it waits for a SIPI. */
void irqchip_cpu_init(struct irqchip *chip, unsigned cpu);

/* CR8: bits 7:4 of the TPR. Only the low 4 bits of value count. */
uint64_t irqchip_cr8_get(struct irqchip *chip, unsigned cpu);
void irqchip_cr8_set(struct irqchip *chip, unsigned cpu, uint64_t value);

/* ---- Guest accesses --------------------------------------------------------------------- */

/* Ports 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1 (PICs), 0x40..0x43 and 0x61 (PIT). */
static inline bool irqchip_owns_port(uint16_t port)
{
    return (port & 0xff7e) == 0x20 || (port & 0xfffc) == 0x40 || port == 0x61 ||
           (port & 0xfffe) == 0x4d0;
}

/* port: an owned one. size 1, 2 or 4; wider accesses act as that many byte accesses to ascending
 * ports (bytes at ports not owned: read as all ones, writes dropped). */
uint32_t irqchip_port_read(struct irqchip *chip, uint16_t port, unsigned size);
void irqchip_port_write(struct irqchip *chip, uint16_t port, unsigned size, uint32_t value);

/* The page of cpu's local APIC, or UINT64_MAX while it has none (disabled, or x2APIC mode). It
 * changes only through writes of IA32_APIC_BASE. Lock-free. */
uint64_t irqchip_lapic_gpa(const struct irqchip *chip, unsigned cpu);

/* A memory access of cpu at gpa, size 1, 2, 4 or 8, not crossing a page. False, nothing done, when
 * gpa is neither in cpu's LAPIC page nor in the IOAPIC's: it goes to the board.
 * Registers are 32 bits wide: narrower reads give the bytes asked for, wider ones zeroes above;
 * writes of another size, or unaligned, are dropped. */
bool irqchip_mmio_read(struct irqchip *chip, unsigned cpu, uint64_t gpa, unsigned size,
                       uint64_t *ret);
bool irqchip_mmio_write(struct irqchip *chip, unsigned cpu, uint64_t gpa, unsigned size,
                        uint64_t value);

/* MSRs IA32_APIC_BASE (1bh), IA32_TSC_DEADLINE (6e0h), x2APIC (800h..8ffh). 0, or -EINVAL: the
 * instruction gets #GP(0). */
static inline bool irqchip_owns_msr(uint32_t msr)
{
    return msr == 0x1b || msr == 0x6e0 || (msr & ~0xffu) == 0x800;
}
int irqchip_msr_read(struct irqchip *chip, unsigned cpu, uint32_t msr, uint64_t *ret) must_check;
int irqchip_msr_write(struct irqchip *chip, unsigned cpu, uint32_t msr, uint64_t value) must_check;

/* Guest TSC of cpu = host TSC + offset (modulo 2^64). Moves an armed TSC deadline along. */
void irqchip_set_tsc_offset(struct irqchip *chip, unsigned cpu, uint64_t offset);

/* ---- Interrupts from devices ------------------------------------------------------------ */

/* Level of input line gsi, 0..23 (others are ignored): IOAPIC pin, and PIC for 0..15. GSI 0 stands
 * for ISA line 0 and is the PIT's; lines are not shared here: the caller ORs its devices. */
void irqchip_irq_line(struct irqchip *chip, unsigned gsi, bool level);

/* A message-signalled interrupt, SDM vol. 3, 11.11. Addresses outside 0xfeexxxxx are ignored. */
void irqchip_msi(struct irqchip *chip, uint64_t address, uint32_t data);

/* Pulse LINT1 of every local APIC: NMI wherever it is programmed so. */
void irqchip_lint1(struct irqchip *chip);

/* ---- State ------------------------------------------------------------------------------ */

/* Sections "lapic" (one per vCPU), "ioapic", "pic", "pit". Times are kept as time remaining.
 * No vCPU runs. 0 or -ENOMEM. */
int irqchip_save(struct irqchip *chip, struct state_writer *w) must_check;

/* Load and re-arm the timers from now. No vCPU runs. TSC deadlines are guest TSC values: set the
 * TSC offsets before or after. On failure the irqchip is in reset state.
 * 0 or what state_load() returns. */
int irqchip_load(struct irqchip *chip, const void *data, size_t len,
                 struct vz_error *err) must_check;

/* IA32_APIC_BASE from a saved CPU state: no transition rules, registers are kept. -EINVAL:
 * reserved bits or an invalid mode. Same-value calls do nothing. No vCPU runs. */
int irqchip_apic_base_restore(struct irqchip *chip, unsigned cpu, uint64_t value) must_check;

/* ---- Counters --------------------------------------------------------------------------- */

struct irqchip_stats {
    uint64_t acks;       /* interrupts taken */
    uint64_t eois;
    uint64_t ipis;       /* ICR and SELF IPI writes */
    uint64_t msis;
    uint64_t timer_arms; /* LAPIC timers armed for a later time */
    uint64_t timer_fires;
};
void irqchip_stats_get(struct irqchip *chip, struct irqchip_stats *ret);

#endif
