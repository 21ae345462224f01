/* SPDX-License-Identifier: MIT */
/* The irqchip as its owner sees it: the lock, the wiring between the chips, routing of messages,
 * save and load. The chips themselves are plain models in files of their own. */
#include "irqchip/irqchip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/pic_spec.h"
#include "arch/x86/pit_spec.h"
#include "arch/x86/regs.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/trace.h"
#include "irqchip/irqchip_impl.h"
#include "loop/loop.h"

static void lock(struct irqchip *chip)
{
    pthread_mutex_lock(&chip->lock);
}

static void unlock(struct irqchip *chip)
{
    pthread_mutex_unlock(&chip->lock);
}

/* ---- Wiring --------------------------------------------------------------------------------- */

/* Carry the PICs' INTR to LINT0 of the local APICs and to IOAPIC pin 0. */
static void pic_changed(struct irqchip *chip)
{
    if (chip->pic.out == chip->pic_out)
        return;
    chip->pic_out = chip->pic.out;
    for (unsigned i = 0; i < chip->lapic_count; i++) {
        if (chip->pic_out)
            lapic_local(&chip->lapic[i], LVT_LINT0);
        else
            chip->lapic[i].reg.extint = false;
        lapic_update(&chip->lapic[i]);
    }
    ioapic_set_pin(&chip->ioapic, 0, chip->pic_out);
}

static void isa_line(struct irqchip *chip, unsigned irq, bool level)
{
    pic_set_irq(&chip->pic, irq, level);
    pic_changed(chip);
    ioapic_set_pin(&chip->ioapic, irq == 0 ? PIT_PIN : irq, level);
}

/* Would an edge of ISA line 0 change anything? One that waits in the PIC hides further ones. */
static bool pit_is_visible(const struct irqchip *chip)
{
    const struct pic_regs *master = &chip->pic.reg.chip[0];

    return !ioapic_is_masked(&chip->ioapic, PIT_PIN) || (!(master->imr & 1) && !(master->irr & 1));
}

/* Edges that have come since the last look: to the lines they go to as these are now. */
static void pit_take_edges(struct irqchip *chip)
{
    if (!pit_sync(&chip->pit, clock_mono_ns()))
        return;
    isa_line(chip, 0, false);
    isa_line(chip, 0, true);
}

/* Have the host timer run for the next edge, if someone would see it. */
static void pit_rearm(struct irqchip *chip)
{
    uint64_t now, at;

    if (!pit_is_visible(chip)) {
        if (chip->pit_armed_ns)
            loop_timer_disarm(chip->pit_timer);
        chip->pit_armed_ns = 0;
        return;
    }
    now = clock_mono_ns();
    at = pit_next_edge(&chip->pit, now);
    if (at == UINT64_MAX || (chip->pit_armed_ns > now && chip->pit_armed_ns <= at))
        return; /* fires early at worst, and then arms for the right time */
    chip->pit_armed_ns = MAX(at, now + IRQCHIP_MIN_PERIOD_NS);
    loop_timer_arm(chip->pit_timer, chip->pit_armed_ns);
}

static void pit_fired(void *arg)
{
    struct irqchip *chip = arg;

    lock(chip);
    chip->pit_armed_ns = 0;
    pit_take_edges(chip);
    pit_rearm(chip);
    unlock(chip);
}

/* ---- Life ----------------------------------------------------------------------------------- */

static void reset_locked(struct irqchip *chip)
{
    uint64_t now = clock_mono_ns();

    pic_reset(&chip->pic);
    chip->pic_out = false;
    ioapic_regs_reset(&chip->ioapic.reg);
    ioapic_set_pin(&chip->ioapic, 0, false);
    pit_reset(&chip->pit, now);
    for (unsigned i = 0; i < chip->lapic_count; i++)
        lapic_reset(&chip->lapic[i], false);
    isa_line(chip, 0, pit_out(&chip->pit, 0, now));
    pit_rearm(chip);
}

static int create_timers(struct irqchip *chip)
{
    int ret = loop_timer_create(chip->loop, pit_fired, chip, &chip->pit_timer);

    for (unsigned i = 0; !ret && i < chip->lapic_count; i++)
        ret = loop_timer_create(chip->loop, lapic_timer_fired, &chip->lapic[i],
                                &chip->lapic[i].timer);
    return ret;
}

int irqchip_create(const struct irqchip_config *config, struct irqchip **ret)
{
    unsigned count = config->vcpu_count;
    struct irqchip *chip;
    size_t size = sizeof(*chip) + count * sizeof(chip->lapic[0]);
    int err;

    if (!count || count > IRQCHIP_CPUS_MAX || !config->tsc || config->phys_addr_bits < 36 ||
        config->phys_addr_bits > 52)
        return -EINVAL;
    chip = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (!chip)
        return -ENOMEM;
    memset(chip, 0, size);
    chip->trace = trace_mask();
    pthread_mutex_init(&chip->lock, NULL);
    chip->loop = config->loop;
    chip->ops = config->ops;
    chip->ops_arg = config->ops_arg;
    chip->tsc = config->tsc;
    chip->phys_addr_bits = config->phys_addr_bits;
    chip->ioapic.deliver = irqchip_deliver;
    chip->ioapic.deliver_arg = chip;
    chip->lapic_count = count;
    for (unsigned i = 0; i < count; i++) {
        chip->lapic[i].chip = chip;
        chip->lapic[i].id = i;
    }
    err = create_timers(chip);
    if (err < 0) {
        irqchip_destroy(chip);
        return err;
    }
    reset_locked(chip);
    *ret = chip;
    return 0;
}

void irqchip_destroy(struct irqchip *chip)
{
    if (!chip)
        return;
    for (unsigned i = 0; i < chip->lapic_count; i++)
        loop_timer_destroy(chip->lapic[i].timer);
    loop_timer_destroy(chip->pit_timer);
    pthread_mutex_destroy(&chip->lock);
    free(chip);
}

void irqchip_reset(struct irqchip *chip)
{
    lock(chip);
    reset_locked(chip);
    unlock(chip);
}

/* ---- Messages ------------------------------------------------------------------------------- */

/* 11.6.2.4: among those addressed, the one whose priority is lowest; the first of equals. */
static bool deliver_lowest(struct irqchip *chip, const struct apic_msg *msg)
{
    struct lapic *best = NULL;

    for (unsigned i = 0; i < chip->lapic_count; i++) {
        struct lapic *l = &chip->lapic[i];

        if (lapic_takes_fixed(l) && lapic_matches(l, msg) &&
            (!best || lapic_ppr(l) < lapic_ppr(best)))
            best = l;
    }
    return best && lapic_accept(best, msg);
}

bool irqchip_deliver(void *arg, const struct apic_msg *msg)
{
    struct irqchip *chip = arg;
    bool taken = false;

    TRACE(chip->trace, irq, "apic", chip, "mode %u vector %#x to %s%#x", msg->mode, msg->vector,
          msg->logical ? "set " : "", msg->dest);
    if (!msg->logical && msg->dest < chip->lapic_count)
        return lapic_accept(&chip->lapic[msg->dest], msg);
    if (msg->mode == APIC_MODE_LOWEST)
        return deliver_lowest(chip, msg);
    for (unsigned i = 0; i < chip->lapic_count; i++) {
        if (lapic_matches(&chip->lapic[i], msg))
            taken |= lapic_accept(&chip->lapic[i], msg);
    }
    return taken;
}

void irqchip_msi(struct irqchip *chip, uint64_t address, uint32_t data)
{
    struct apic_msg msg = {
        .dest = (uint8_t)(address >> 12),
        .logical = address & BIT(2),
        .level = data & BIT(15),
        .mode = data >> 8 & 7,
        .vector = (uint8_t)data,
    };

    if (address >> 20 != 0xfee || msg.mode == APIC_MODE_RESERVED || msg.mode == APIC_MODE_SIPI)
        return;
    if (msg.level && !(data & BIT(14)))
        return; /* de-assertion means nothing to a local APIC */
    /* Redirection hint: to one of those addressed. */
    if (msg.logical && (address & BIT(3)) && msg.mode == APIC_MODE_FIXED)
        msg.mode = APIC_MODE_LOWEST;
    lock(chip);
    chip->stats.msis++;
    irqchip_deliver(chip, &msg);
    unlock(chip);
}

void irqchip_irq_line(struct irqchip *chip, unsigned gsi, bool level)
{
    if (gsi >= IOAPIC_PINS)
        return;
    lock(chip);
    if (gsi < 16 && gsi != PIC_CASCADE_IRQ)
        isa_line(chip, gsi, level);
    else
        ioapic_set_pin(&chip->ioapic, gsi, level);
    unlock(chip);
}

void irqchip_lint1(struct irqchip *chip)
{
    lock(chip);
    for (unsigned i = 0; i < chip->lapic_count; i++)
        lapic_local(&chip->lapic[i], LVT_LINT1);
    unlock(chip);
}

/* ---- Into the vCPU -------------------------------------------------------------------------- */

bool irqchip_has_interrupt(const struct irqchip *chip, unsigned cpu)
{
    return chip->lapic[cpu].pending;
}

/* INTR falls during the acknowledge cycle, so what still waits makes a new edge. */
static int ack_pic(struct irqchip *chip)
{
    int vector = pic_ack(&chip->pic);
    bool again = chip->pic.out;

    chip->pic.out = false;
    pic_changed(chip);
    chip->pic.out = again;
    pic_changed(chip);
    return vector;
}

int irqchip_ack(struct irqchip *chip, unsigned cpu)
{
    struct lapic *l = &chip->lapic[cpu];
    int vector;

    lock(chip);
    vector = lapic_ack(l);
    if (vector == -2) {
        vector = ack_pic(chip);
        lapic_update(l);
        pit_rearm(chip);
    }
    if (vector >= 0)
        chip->stats.acks++;
    unlock(chip);
    return vector;
}

void irqchip_cpu_init(struct irqchip *chip, unsigned cpu)
{
    lock(chip);
    lapic_reset(&chip->lapic[cpu], true);
    unlock(chip);
}

uint64_t irqchip_cr8_get(struct irqchip *chip, unsigned cpu)
{
    uint64_t v;

    lock(chip);
    v = chip->lapic[cpu].reg.tpr >> 4;
    unlock(chip);
    return v;
}

void irqchip_cr8_set(struct irqchip *chip, unsigned cpu, uint64_t value)
{
    lock(chip);
    chip->lapic[cpu].reg.tpr = (value & 15) << 4;
    lapic_update(&chip->lapic[cpu]);
    unlock(chip);
}

void irqchip_set_tsc_offset(struct irqchip *chip, unsigned cpu, uint64_t offset)
{
    struct lapic *l = &chip->lapic[cpu];

    lock(chip);
    l->tsc_offset = offset;
    if (l->reg.tsc_deadline)
        lapic_timer_rearm(l);
    unlock(chip);
}

/* ---- Ports ---------------------------------------------------------------------------------- */

static bool is_pit_port(uint16_t port)
{
    return (port & 0xfffc) == PIT_PORT_CHANNEL0 || port == PIT_PORT_SPEAKER;
}

static uint8_t port_read_byte(struct irqchip *chip, uint16_t port)
{
    uint8_t v;

    if (!irqchip_owns_port(port))
        return 0xff;
    if (is_pit_port(port))
        return pit_read(&chip->pit, port, clock_mono_ns());
    pit_take_edges(chip);
    v = pic_read(&chip->pic, port);
    pic_changed(chip); /* a poll acknowledges */
    return v;
}

static void port_write_byte(struct irqchip *chip, uint16_t port, uint8_t v)
{
    if (!irqchip_owns_port(port))
        return;
    pit_take_edges(chip);
    if (is_pit_port(port)) {
        uint64_t now = clock_mono_ns();

        pit_write(&chip->pit, port, v, now);
        isa_line(chip, 0, pit_out(&chip->pit, 0, now));
    } else {
        pic_write(&chip->pic, port, v);
        pic_changed(chip);
    }
    pit_rearm(chip);
}

uint32_t irqchip_port_read(struct irqchip *chip, uint16_t port, unsigned size)
{
    uint32_t v = 0;

    lock(chip);
    for (unsigned i = 0; i < size; i++)
        v |= (uint32_t)port_read_byte(chip, (uint16_t)(port + i)) << (8 * i);
    unlock(chip);
    return v;
}

void irqchip_port_write(struct irqchip *chip, uint16_t port, unsigned size, uint32_t value)
{
    lock(chip);
    for (unsigned i = 0; i < size; i++)
        port_write_byte(chip, (uint16_t)(port + i), (uint8_t)(value >> (8 * i)));
    unlock(chip);
}

/* ---- Memory --------------------------------------------------------------------------------- */

uint64_t irqchip_lapic_gpa(const struct irqchip *chip, unsigned cpu)
{
    return chip->lapic[cpu].gpa;
}

static bool in_ioapic(uint64_t gpa)
{
    return gpa - IOAPIC_BASE < 4096;
}

bool irqchip_mmio_read(struct irqchip *chip, unsigned cpu, uint64_t gpa, unsigned size,
                       uint64_t *ret)
{
    struct lapic *l = &chip->lapic[cpu];
    unsigned off = gpa & 0xfff, byte = off & 15;
    bool is_lapic = (gpa & ~UINT64_C(0xfff)) == l->gpa;
    uint32_t v = 0;

    if (!is_lapic && !in_ioapic(gpa))
        return false;
    if (byte < 4) {
        lock(chip);
        v = is_lapic ? lapic_mmio_read(l, off - byte) : ioapic_read(&chip->ioapic, off - byte);
        unlock(chip);
        v >>= 8 * byte;
    }
    *ret = size < 4 ? v & (((uint32_t)1 << (8 * size)) - 1) : v;
    return true;
}

static void ioapic_mmio_write(struct irqchip *chip, unsigned off, unsigned size, uint32_t v)
{
    bool is_pit = off == IOAPIC_WIN &&
                  (chip->ioapic.reg.regsel & ~1u) == IOAPIC_REG_REDIR + 2 * PIT_PIN;

    /* The register number is a byte, and some write it as one. */
    if (size != 4 && off != IOAPIC_REGSEL)
        return;
    if (is_pit)
        pit_take_edges(chip);
    ioapic_write(&chip->ioapic, off, v);
    if (is_pit)
        pit_rearm(chip);
}

bool irqchip_mmio_write(struct irqchip *chip, unsigned cpu, uint64_t gpa, unsigned size,
                        uint64_t value)
{
    struct lapic *l = &chip->lapic[cpu];
    unsigned off = gpa & 0xfff;
    bool is_lapic = (gpa & ~UINT64_C(0xfff)) == l->gpa;

    if (!is_lapic && !in_ioapic(gpa))
        return false;
    lock(chip);
    if (!is_lapic)
        ioapic_mmio_write(chip, off, size, (uint32_t)value);
    else if (size == 4 && !(off & 15))
        lapic_mmio_write(l, off, (uint32_t)value);
    unlock(chip);
    return true;
}

/* ---- MSRs ----------------------------------------------------------------------------------- */

int irqchip_msr_read(struct irqchip *chip, unsigned cpu, uint32_t msr, uint64_t *ret)
{
    struct lapic *l = &chip->lapic[cpu];
    int err = 0;

    lock(chip);
    if (msr == MSR_APIC_BASE)
        *ret = l->reg.apic_base;
    else if (msr == MSR_TSC_DEADLINE)
        *ret = lapic_timer_read_deadline(l);
    else if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST)
        err = lapic_msr_read(l, (msr - MSR_X2APIC_FIRST) << 4, ret);
    else
        err = -EINVAL;
    unlock(chip);
    return err;
}

int irqchip_msr_write(struct irqchip *chip, unsigned cpu, uint32_t msr, uint64_t value)
{
    struct lapic *l = &chip->lapic[cpu];
    int err = 0;

    lock(chip);
    if (msr == MSR_APIC_BASE)
        err = lapic_base_write(l, value);
    else if (msr == MSR_TSC_DEADLINE)
        lapic_timer_write_deadline(l, value);
    else if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST)
        err = lapic_msr_write(l, (msr - MSR_X2APIC_FIRST) << 4, value);
    else
        err = -EINVAL;
    unlock(chip);
    return err;
}

int irqchip_apic_base_restore(struct irqchip *chip, unsigned cpu, uint64_t value)
{
    struct lapic *l = &chip->lapic[cpu];
    int err = 0;

    lock(chip);
    if (!lapic_base_valid(value, chip->phys_addr_bits))
        err = -EINVAL;
    else if (value != l->reg.apic_base)
        lapic_base_set(l, value);
    unlock(chip);
    return err;
}

/* ---- State ---------------------------------------------------------------------------------- */

int irqchip_save(struct irqchip *chip, struct state_writer *w)
{
    struct x86_chips *now = x86_chips_new(chip->lapic_count, chip->phys_addr_bits);
    int ret;

    if (!now)
        return -ENOMEM;
    lock(chip);
    pit_take_edges(chip); /* owed to the lines anyway */
    for (unsigned i = 0; i < chip->lapic_count; i++) {
        lapic_timer_sync(&chip->lapic[i]);
        now->lapic[i] = chip->lapic[i].reg;
        now->lapic[i].timer_remaining_ns = lapic_timer_remaining(&chip->lapic[i]);
    }
    now->ioapic = chip->ioapic.reg;
    now->pic = chip->pic.reg;
    pit_save(&chip->pit, clock_mono_ns(), &now->pit);
    unlock(chip);
    ret = x86_chips_save(now, w);
    free(now);
    return ret;
}

/* Run on from these registers, and what follows from them: times, outputs. */
static void take_over(struct irqchip *chip, const struct x86_chips *from)
{
    uint64_t now = clock_mono_ns();

    chip->ioapic.reg = from->ioapic;
    chip->pic.reg = from->pic;
    pic_update(&chip->pic);
    chip->pic_out = chip->pic.out;
    pit_load(&chip->pit, now, &from->pit);
    for (unsigned i = 0; i < chip->lapic_count; i++) {
        struct lapic *l = &chip->lapic[i];

        l->reg = from->lapic[i];
        l->timer_expiry_ns = now + l->reg.timer_remaining_ns;
        lapic_base_set(l, l->reg.apic_base);
        lapic_timer_rearm(l);
    }
    chip->pit_armed_ns = 0;
    pit_rearm(chip);
}

int irqchip_load(struct irqchip *chip, const void *data, size_t len, struct vz_error *err)
{
    struct x86_chips *from = x86_chips_new(chip->lapic_count, chip->phys_addr_bits);
    int ret = from ? x86_chips_load(from, data, len, err)
                   : error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");

    lock(chip);
    reset_locked(chip);
    if (!ret)
        take_over(chip, from);
    unlock(chip);
    free(from);
    return ret;
}

void irqchip_stats_get(struct irqchip *chip, struct irqchip_stats *ret)
{
    lock(chip);
    *ret = chip->stats;
    unlock(chip);
}
