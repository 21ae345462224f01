/* SPDX-License-Identifier: MIT */
/* What running chips and converted ones have in common: power-up state, state tables, and the few
 * facts about registers that both need. */
#include "arch/x86/chips.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/pic_spec.h"
#include "arch/x86/pit_spec.h"
#include "arch/x86/regs.h"
#include "base/error.h"
#include "state/state.h"

/* ---- local APIC ---- */

bool lapic_base_valid(uint64_t v, unsigned phys_bits)
{
    uint64_t known = APIC_BASE_BSP | APIC_BASE_X2APIC | APIC_BASE_ENABLE |
                     ((BIT(phys_bits) - 1) & ~UINT64_C(0xfff));

    return !(v & ~known) && (!(v & APIC_BASE_X2APIC) || (v & APIC_BASE_ENABLE));
}

uint32_t lapic_lvt_writable(unsigned i)
{
    switch (i) {
    case LVT_TIMER: return 0x700ff; /* vector, mask, mode */
    case LVT_LINT0:
    case LVT_LINT1: return 0x1a7ff; /* vector, mode, polarity, trigger, mask */
    case LVT_ERROR: return 0x100ff;
    default: return 0x107ff;
    }
}

/* Divide configuration, figure 11-10. */
uint64_t lapic_timer_divisor(const struct lapic_regs *r)
{
    unsigned code = (r->tdcr & 3) | (r->tdcr & 8) >> 1;

    return code == 7 ? 1 : UINT64_C(2) << code;
}

void lapic_regs_reset(struct lapic_regs *r, unsigned id, bool is_init)
{
    uint64_t base = is_init ? r->apic_base
                            : APIC_DEFAULT_BASE | APIC_BASE_ENABLE | (id == 0 ? APIC_BASE_BSP : 0);

    *r = (struct lapic_regs){.apic_base = base, .dfr = UINT32_MAX, .svr = 0xff};
    for (unsigned i = 0; i < LVT_COUNT; i++)
        r->lvt[i] = LVT_MASKED;
    if (!is_init && id == 0)
        r->lvt[LVT_LINT0] = APIC_MODE_EXTINT << 8;
}

static const struct state_field lapic_fields[] = {
    STATE_UINT(struct lapic_regs, apic_base),
    STATE_UINT_MAX(struct lapic_regs, tpr, 0xff),
    STATE_UINT(struct lapic_regs, ldr),
    STATE_UINT(struct lapic_regs, dfr),
    STATE_UINT_MAX(struct lapic_regs, svr, SVR_WRITABLE),
    STATE_UINT_MAX(struct lapic_regs, esr, 0xff),
    STATE_UINT_MAX(struct lapic_regs, esr_pending, 0xff),
    STATE_UINT(struct lapic_regs, icr),
    STATE_ARRAY_MAX(struct lapic_regs, lvt, 0x7ffff),
    STATE_ARRAY(struct lapic_regs, isr),
    STATE_ARRAY(struct lapic_regs, tmr),
    STATE_ARRAY(struct lapic_regs, irr),
    STATE_BOOL(struct lapic_regs, extint),
    STATE_UINT(struct lapic_regs, tmict),
    STATE_UINT_MAX(struct lapic_regs, tdcr, TDCR_WRITABLE),
    STATE_BOOL(struct lapic_regs, timer_running),
    STATE_UINT_MAX(struct lapic_regs, timer_remaining_ns, (uint64_t)UINT32_MAX * 128),
    STATE_UINT(struct lapic_regs, tsc_deadline),
    STATE_END,
};

static int lapic_loaded(void *object, struct vz_error *err)
{
    struct lapic_regs *r = object;

    for (unsigned i = 0; i < LVT_COUNT; i++)
        r->lvt[i] &= lapic_lvt_writable(i);
    r->tdcr &= TDCR_WRITABLE;
    r->isr[0] &= 0xffff0000u; /* vectors below 16 cannot be */
    r->irr[0] &= 0xffff0000u;
    r->tmr[0] &= 0xffff0000u;
    return 0;
}

const struct state_desc lapic_state_desc = {
    .name = "lapic", .version = 1, .fields = lapic_fields, .loaded = lapic_loaded};

/* ---- IOAPIC ---- */

void ioapic_regs_reset(struct ioapic_regs *r)
{
    r->id = 0;
    r->regsel = 0;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        r->redir[pin] = IOAPIC_MASKED;
}

static const struct state_field ioapic_fields[] = {
    STATE_UINT_MAX(struct ioapic_regs, id, IOAPIC_ID_MASK),
    STATE_UINT(struct ioapic_regs, regsel),
    STATE_UINT_MAX(struct ioapic_regs, level, BIT(IOAPIC_PINS) - 1),
    STATE_ARRAY(struct ioapic_regs, redir),
    STATE_END,
};

static int ioapic_loaded(void *object, struct vz_error *err)
{
    struct ioapic_regs *r = object;

    r->id &= IOAPIC_ID_MASK;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        r->redir[pin] &= IOAPIC_WRITABLE | IOAPIC_REMOTE_IRR;
    return 0;
}

const struct state_desc ioapic_state_desc = {
    .name = "ioapic", .version = 1, .fields = ioapic_fields, .loaded = ioapic_loaded};

/* ---- PICs ---- */

/* Power-up leaves the real chip undefined. A BIOS goes through ICW1 to ICW4, and masks all lines but
 * the cascade, so that whoever wants one of the slave's has to unmask it there only. */
void pic_regs_reset(struct pic_pair_regs *r)
{
    static const struct pic_regs firmware[] = {
        {.base = PIC_BIOS_MASTER_BASE, .imr = (uint8_t)~(1u << PIC_CASCADE_IRQ)},
        {.base = PIC_BIOS_SLAVE_BASE, .imr = 0xff}};

    for (unsigned i = 0; i < 2; i++) {
        uint8_t level = r->chip[i].level;

        r->chip[i] = firmware[i];
        r->chip[i].icw1 = PIC_ICW1_INIT | PIC_ICW1_IC4;
        r->chip[i].lowest = 7;
        r->chip[i].level = level;
    }
}

static const struct state_field pic_fields[] = {
    STATE_UINT(struct pic_regs, irr),
    STATE_UINT(struct pic_regs, imr),
    STATE_UINT(struct pic_regs, isr),
    STATE_UINT(struct pic_regs, level),
    STATE_UINT(struct pic_regs, elcr),
    STATE_UINT_MAX(struct pic_regs, lowest, 7),
    STATE_UINT_MAX(struct pic_regs, base, 0xf8),
    STATE_UINT_MAX(struct pic_regs, icw_next, 4),
    STATE_UINT(struct pic_regs, icw1),
    STATE_BOOL(struct pic_regs, read_isr),
    STATE_BOOL(struct pic_regs, poll),
    STATE_BOOL(struct pic_regs, special_mask),
    STATE_BOOL(struct pic_regs, sfnm),
    STATE_BOOL(struct pic_regs, auto_eoi),
    STATE_BOOL(struct pic_regs, rotate_auto_eoi),
    STATE_END,
};

static const struct state_field pair_fields[] = {
    STATE_STRUCT_ARRAY(struct pic_pair_regs, chip, pic_fields),
    STATE_END,
};

static int pic_loaded(void *object, struct vz_error *err)
{
    struct pic_pair_regs *r = object;

    r->chip[0].elcr &= PIC_ELCR0_MASK;
    r->chip[1].elcr &= PIC_ELCR1_MASK;
    r->chip[0].base &= 0xf8;
    r->chip[1].base &= 0xf8;
    return 0;
}

const struct state_desc pic_state_desc = {
    .name = "pic", .version = 1, .fields = pair_fields, .loaded = pic_loaded};

/* ---- PIT ---- */

void pit_regs_reset(struct pit_regs *r)
{
    memset(r, 0, sizeof(*r));
    for (unsigned i = 0; i < 3; i++)
        r->channel[i] = (struct pit_channel_regs){
            .rw = PIT_RW_BOTH, .mode = 3, .gate = i != 2, .loaded = true};
}

static uint32_t from_bcd(uint16_t v)
{
    return (v >> 12) * 1000u + ((v >> 8) & 15) * 100u + ((v >> 4) & 15) * 10u + (v & 15);
}

uint32_t pit_period(const struct pit_channel_regs *c)
{
    uint32_t n = c->bcd ? from_bcd(c->reload) : c->reload;

    return n ? n : c->bcd ? 10000 : 65536;
}

void pit_fold_age(struct pit_channel_regs *c)
{
    if (pit_is_periodic(c)) {
        uint64_t whole = c->base_ticks / pit_period(c);

        c->edges_seen -= MIN(whole, c->edges_seen);
        c->base_ticks %= pit_period(c);
    }
    c->base_ticks = MIN(c->base_ticks, PIT_TICKS_MAX);
}

static const struct state_field channel_fields[] = {
    STATE_UINT(struct pit_channel_regs, reload),
    STATE_UINT_MAX(struct pit_channel_regs, mode, 5),
    STATE_UINT_MAX(struct pit_channel_regs, rw, 3),
    STATE_BOOL(struct pit_channel_regs, bcd),
    STATE_BOOL(struct pit_channel_regs, gate),
    STATE_BOOL(struct pit_channel_regs, loaded),
    STATE_BOOL(struct pit_channel_regs, triggered),
    STATE_BOOL(struct pit_channel_regs, null_count),
    STATE_BOOL(struct pit_channel_regs, write_msb_next),
    STATE_BOOL(struct pit_channel_regs, read_msb_next),
    STATE_UINT(struct pit_channel_regs, write_lsb),
    STATE_UINT_MAX(struct pit_channel_regs, latch_bytes, 2),
    STATE_UINT(struct pit_channel_regs, latch),
    STATE_BOOL(struct pit_channel_regs, status_latched),
    STATE_UINT(struct pit_channel_regs, status),
    STATE_UINT_MAX(struct pit_channel_regs, base_ticks, PIT_TICKS_MAX),
    STATE_UINT_MAX(struct pit_channel_regs, edges_seen, PIT_TICKS_MAX),
    STATE_END,
};

static const struct state_field pit_fields[] = {
    STATE_STRUCT_ARRAY(struct pit_regs, channel, channel_fields),
    STATE_UINT_MAX(struct pit_regs, port61, PIT_61_WRITE),
    STATE_END,
};

static int pit_loaded(void *object, struct vz_error *err)
{
    const struct pit_regs *r = object;

    for (unsigned i = 0; i < 3; i++) {
        if (r->channel[i].rw == PIT_RW_LATCH)
            return error_set(err, EINVAL, VZ_ERROR_INVALID, "channel [%u]: rw: 0", i);
    }
    return 0;
}

const struct state_desc pit_state_desc = {
    .name = "pit", .version = 1, .fields = pit_fields, .loaded = pit_loaded};

/* ---- all ---- */

struct x86_chips *x86_chips_new(unsigned lapic_count, unsigned phys_bits)
{
    struct x86_chips *chips = calloc(1, sizeof(*chips) + lapic_count * sizeof(chips->lapic[0]));

    if (!chips)
        return NULL;
    chips->lapic_count = lapic_count;
    chips->phys_bits = phys_bits;
    ioapic_regs_reset(&chips->ioapic);
    pic_regs_reset(&chips->pic);
    pit_regs_reset(&chips->pit);
    for (unsigned n = 0; n < lapic_count; n++)
        lapic_regs_reset(&chips->lapic[n], n, false);
    return chips;
}

int x86_chips_save(const struct x86_chips *chips, struct state_writer *w)
{
    int r = 0;

    for (unsigned n = 0; !r && n < chips->lapic_count; n++)
        r = state_save(w, &lapic_state_desc, n, &chips->lapic[n]);
    if (!r)
        r = state_save(w, &ioapic_state_desc, 0, &chips->ioapic);
    if (!r)
        r = state_save(w, &pic_state_desc, 0, &chips->pic);
    return r ? r : state_save(w, &pit_state_desc, 0, &chips->pit);
}

static int load_lapic(struct x86_chips *chips, unsigned n, const void *data, size_t len,
                      struct vz_error *err)
{
    int r = state_load(data, len, &lapic_state_desc, n, &chips->lapic[n], err);

    if (!r && !lapic_base_valid(chips->lapic[n].apic_base, chips->phys_bits))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "lapic %u: apic_base: impossible value", n);
    return r;
}

int x86_chips_load(struct x86_chips *chips, const void *data, size_t len, struct vz_error *err)
{
    int r = 0;

    for (unsigned n = 0; !r && n < chips->lapic_count; n++)
        r = load_lapic(chips, n, data, len, err);
    if (!r)
        r = state_load(data, len, &ioapic_state_desc, 0, &chips->ioapic, err);
    if (!r)
        r = state_load(data, len, &pic_state_desc, 0, &chips->pic, err);
    return r ? r : state_load(data, len, &pit_state_desc, 0, &chips->pit, err);
}
