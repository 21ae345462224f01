/* SPDX-License-Identifier: MIT */
/* The interrupt controllers and the interval timer of a PC as plain registers: what is saved,
 * restored, and exchanged between backends. irqchip/ runs them, hv/kvm converts them to and from
 * KVM's structures; nothing in here is either's own.
 *
 * Times are what remains of them. The sections and their fields are those of docs/state-format.md:
 * "lapic" (one per vCPU), "ioapic", "pic", "pit"; a member's name is its field's. */
#ifndef VZ_ARCH_X86_CHIPS_H
#define VZ_ARCH_X86_CHIPS_H

#include "arch/x86/ioapic_spec.h"
#include "arch/x86/lapic_spec.h"
#include "base/compiler.h"

struct state_desc;
struct state_writer;
struct vz_error;

#define IOAPIC_BASE UINT64_C(0xfec00000) /* the local APICs': APIC_DEFAULT_BASE */
#define IOAPIC_PINS 24
#define PIT_PIN     2 /* the IOAPIC pin of ISA line 0, the PIT's; the others' is their number */

/* Input clock of the local APICs' timers; CPUID leaf 15h gives it as the core crystal clock. It is
 * KVM's too, so one count is one nanosecond times the divisor on either backend. */
#define APIC_TIMER_HZ UINT64_C(1000000000)

struct lapic_regs {
    uint64_t apic_base;          /* IA32_APIC_BASE */
    uint32_t tpr, ldr, dfr, svr, esr, esr_pending;
    uint64_t icr;
    uint32_t lvt[LVT_COUNT];
    uint32_t isr[8], tmr[8], irr[8];
    bool extint;                 /* an ExtINT message came: ask the PIC */
    uint32_t tmict, tdcr;
    bool timer_running;          /* one-shot and periodic */
    uint64_t timer_remaining_ns; /* until it expires */
    uint64_t tsc_deadline;       /* by the guest's TSC; 0: not armed */
};

struct ioapic_regs {
    uint32_t id;    /* bits 27:24 */
    uint8_t regsel;
    uint32_t level; /* state of the input lines, bit per pin */
    uint64_t redir[IOAPIC_PINS];
};

struct pic_regs {
    uint8_t irr, imr, isr;
    uint8_t level;      /* state of the input lines */
    uint8_t elcr;       /* bit set: that line is level-triggered */
    uint8_t lowest;     /* the line of lowest priority, 7 after reset */
    uint8_t base;       /* vector of line 0 */
    uint8_t icw_next;   /* initialisation: which ICW the data port takes next, 2..4; 0: none */
    uint8_t icw1;
    bool read_isr;      /* OCW3: the command port reads the ISR */
    bool poll;          /* OCW3: the next read is an acknowledge */
    bool special_mask, sfnm, auto_eoi, rotate_auto_eoi;
};

struct pic_pair_regs {
    struct pic_regs chip[2]; /* master, slave */
};

#define PIT_TICKS_MAX BIT(48) /* of a channel's age in a saved state */

struct pit_channel_regs {
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
    uint64_t base_ticks;   /* age of the count: input clocks since its load */
    uint64_t edges_seen;   /* channel 0: rising edges of OUT since then that were reported */
};

struct pit_regs {
    struct pit_channel_regs channel[3];
    uint8_t port61;        /* the writable bits */
};

struct x86_chips {
    unsigned lapic_count;
    unsigned phys_bits;    /* width of guest-physical addresses: what apic_base may hold */
    struct ioapic_regs ioapic;
    struct pic_pair_regs pic;
    struct pit_regs pit;
    struct lapic_regs lapic[];
};

extern const struct state_desc lapic_state_desc, ioapic_state_desc;
extern const struct state_desc pic_state_desc; /* of struct pic_pair_regs */
extern const struct state_desc pit_state_desc;

/* In power-up state; free() it. NULL: out of memory. */
struct x86_chips *x86_chips_new(unsigned lapic_count, unsigned phys_bits);

/* Append all sections. 0 or -ENOMEM. */
int x86_chips_save(const struct x86_chips *chips, struct state_writer *w) must_check;
/* Load all of them. On failure some are loaded and others not. 0 or what state_load() returns. */
int x86_chips_load(struct x86_chips *chips, const void *data, size_t len,
                   struct vz_error *err) must_check;

/* To power-up state. is_init: what an INIT leaves, which keeps apic_base. As firmware would leave
 * it for a kernel that knows no APIC, LINT0 of CPU 0 is unmasked ExtINT ("virtual wire mode"). */
void lapic_regs_reset(struct lapic_regs *r, unsigned id, bool is_init);
/* The other chips' input lines keep their level: it is the devices'. */
void ioapic_regs_reset(struct ioapic_regs *r);
/* As a BIOS leaves it: vectors from 08h and 70h on, edges, all lines masked but the cascade. */
void pic_regs_reset(struct pic_pair_regs *r);
/* As firmware leaves it: channel 0 in mode 3 at 18.2 Hz. */
void pit_regs_reset(struct pit_regs *r);

/* May IA32_APIC_BASE hold v, by itself? */
bool lapic_base_valid(uint64_t v, unsigned phys_bits);
/* The bits of LVT register i that software can write. */
uint32_t lapic_lvt_writable(unsigned i);
/* Nanoseconds per count of the timer. */
uint64_t lapic_timer_divisor(const struct lapic_regs *r);
static inline uint32_t lapic_timer_mode(const struct lapic_regs *r)
{
    return r->lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

/* The period or delay in input clocks, 1..65536. */
uint32_t pit_period(const struct pit_channel_regs *c);
static inline bool pit_is_periodic(const struct pit_channel_regs *c)
{
    return c->mode == 2 || c->mode == 3;
}
/* base_ticks as it is saved: whole periods that are over do not count. */
void pit_fold_age(struct pit_channel_regs *c);

#endif
