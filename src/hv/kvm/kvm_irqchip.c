/* SPDX-License-Identifier: MIT */
/* The state of KVM's interrupt controllers and PIT: KVM's structures are turned into the plain
 * registers of arch/x86/chips.h and back, so that either backend loads what the other saved.
 *
 * What KVM cannot be told, and what becomes of it:
 * - an APIC timer of one shot that is over but unmasked would fire again: its initial count is
 * lost;
 * - how far the PIT has counted: see read_pit(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/chips.h"
#include "arch/x86/pic_spec.h"
#include "arch/x86/pit_spec.h"
#include "arch/x86/regs.h"
#include "base/clock.h"
#include "base/error.h"
#include "hv/kvm/kvm.h"
#include "state/state.h"

/* Bits: whose level is the PIT's, which KVM pulses. */
#define PIT_ISA_LINE  1u
#define PIT_PIN_LEVEL (1u << PIT_PIN)

/* ---- local APIC ---- */

static uint32_t reg_get(const struct kvm_lapic_state *k, unsigned reg)
{
    uint32_t v;

    memcpy(&v, k->regs + reg, sizeof(v));
    return v;
}

static void reg_set(struct kvm_lapic_state *k, unsigned reg, uint32_t v)
{
    memcpy(k->regs + reg, &v, sizeof(v));
}

static void map_get(const struct kvm_lapic_state *k, unsigned reg, uint32_t map[8])
{
    for (unsigned i = 0; i < 8; i++)
        map[i] = reg_get(k, reg + 16 * i);
}

static void map_set(struct kvm_lapic_state *k, unsigned reg, const uint32_t map[8])
{
    for (unsigned i = 0; i < 8; i++)
        reg_set(k, reg + 16 * i, map[i]);
}

static void lapic_from(struct lapic_regs *l, const struct kvm_lapic_state *k)
{
    uint32_t count = reg_get(k, APIC_TMCCT);

    l->tpr = reg_get(k, APIC_TPR) & 0xff;
    l->ldr = reg_get(k, APIC_LDR);
    l->dfr = reg_get(k, APIC_DFR);
    l->svr = reg_get(k, APIC_SVR) & SVR_WRITABLE;
    l->esr = reg_get(k, APIC_ESR) & 0xff;
    l->icr = (uint64_t)reg_get(k, APIC_ICR2) << 32 | (reg_get(k, APIC_ICR) & ICR_WRITABLE);
    for (unsigned i = 0; i < LVT_COUNT; i++)
        l->lvt[i] = reg_get(k, APIC_LVT_TIMER + 16 * i) & 0x7ffff;
    map_get(k, APIC_ISR, l->isr);
    map_get(k, APIC_TMR, l->tmr);
    map_get(k, APIC_IRR, l->irr);
    l->tmict = reg_get(k, APIC_TMICT);
    l->tdcr = reg_get(k, APIC_TDCR) & TDCR_WRITABLE;
    l->timer_running = lapic_timer_mode(l) != LVT_TIMER_DEADLINE && l->tmict &&
                       (count || lapic_timer_mode(l) == LVT_TIMER_PERIODIC);
    l->timer_remaining_ns = l->timer_running ? count * lapic_timer_divisor(l) : 0;
}

static void timer_to(struct kvm_lapic_state *k, const struct lapic_regs *l)
{
    uint64_t count = l->timer_remaining_ns / lapic_timer_divisor(l);
    bool over = lapic_timer_mode(l) == LVT_TIMER_ONE_SHOT && !l->timer_running;

    reg_set(k, APIC_TDCR, l->tdcr);
    reg_set(k, APIC_TMICT, over && !(l->lvt[LVT_TIMER] & LVT_MASKED) ? 0 : l->tmict);
    reg_set(k, APIC_TMCCT, l->timer_running ? (uint32_t)MAX(count, UINT64_C(1)) : 0);
}

static void lapic_to(struct kvm_lapic_state *k, const struct lapic_regs *l, unsigned id)
{
    reg_set(k, APIC_ID, id << 24); /* in either mode (api, KVM_CAP_X2APIC_API) */
    reg_set(k, APIC_VERSION, APIC_VERSION_VALUE);
    reg_set(k, APIC_TPR, l->tpr);
    reg_set(k, APIC_LDR, l->ldr);
    reg_set(k, APIC_DFR, l->dfr);
    reg_set(k, APIC_SVR, l->svr);
    reg_set(k, APIC_ESR, l->esr);
    reg_set(k, APIC_ICR, (uint32_t)l->icr);
    reg_set(k, APIC_ICR2, (uint32_t)(l->icr >> 32));
    for (unsigned i = 0; i < LVT_COUNT; i++)
        reg_set(k, APIC_LVT_TIMER + 16 * i, l->lvt[i]);
    map_set(k, APIC_ISR, l->isr);
    map_set(k, APIC_TMR, l->tmr);
    map_set(k, APIC_IRR, l->irr);
    timer_to(k, l);
}

static int read_lapic(struct hv_vcpu *v, struct lapic_regs *l)
{
    struct kvm_lapic_state k;
    struct kvm_sregs s;
    struct x86_cpu_state *settle;
    int r;

    /* Reading the CPU settles what is between it and its APIC: see kvm_state.c. */
    settle = malloc(sizeof(*settle));
    r = settle ? kvm_vcpu_get(v, settle) : -ENOMEM;
    free(settle);
    if (!r)
        r = kvm_ioctl(v->fd, KVM_GET_SREGS, &s);
    if (!r)
        r = kvm_ioctl(v->fd, KVM_GET_LAPIC, &k);
    if (r)
        return r;
    l->apic_base = s.apic_base;
    lapic_from(l, &k);
    if (lapic_timer_mode(l) == LVT_TIMER_DEADLINE)
        return kvm_get_msr(v, MSR_TSC_DEADLINE, &l->tsc_deadline);
    return 0;
}

static int set_apic_base(struct hv_vcpu *v, uint64_t base)
{
    struct kvm_sregs s;
    int r = kvm_ioctl(v->fd, KVM_GET_SREGS, &s);

    if (r || s.apic_base == base)
        return r;
    s.apic_base = base;
    return kvm_ioctl(v->fd, KVM_SET_SREGS, &s);
}

static int write_lapic(struct hv_vcpu *v, const struct lapic_regs *l)
{
    struct kvm_lapic_state k;
    int r = set_apic_base(v, l->apic_base); /* the registers' form depends on the mode */

    if (r)
        return r;
    memset(&k, 0, sizeof(k));
    lapic_to(&k, l, v->index);
    r = kvm_ioctl(v->fd, KVM_SET_LAPIC, &k);
    if (!r && lapic_timer_mode(l) == LVT_TIMER_DEADLINE)
        r = kvm_set_msr(v, MSR_TSC_DEADLINE, l->tsc_deadline);
    return r;
}

/* ---- IOAPIC ---- */

static int read_ioapic(struct hv_vm *vm, struct ioapic_regs *io)
{
    struct kvm_irqchip k = {.chip_id = KVM_IRQCHIP_IOAPIC};
    int r = kvm_ioctl(vm->fd, KVM_GET_IRQCHIP, &k);

    if (r)
        return r;
    io->id = (k.chip.ioapic.id << 24) & IOAPIC_ID_MASK;
    io->regsel = (uint8_t)k.chip.ioapic.ioregsel;
    /* KVM forgets the level of an edge once it is served; we know it. */
    io->level = vm->lines & ~(PIT_ISA_LINE | PIT_PIN_LEVEL);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        io->redir[pin] = k.chip.ioapic.redirtbl[pin].bits & (IOAPIC_WRITABLE | IOAPIC_REMOTE_IRR);
    return 0;
}

static int write_ioapic(struct hv_vm *vm, const struct ioapic_regs *io)
{
    struct kvm_irqchip k = {.chip_id = KVM_IRQCHIP_IOAPIC};

    k.chip.ioapic.base_address = IOAPIC_BASE;
    k.chip.ioapic.id = io->id >> 24;
    k.chip.ioapic.ioregsel = io->regsel;
    vm->lines = io->level & ~(PIT_ISA_LINE | PIT_PIN_LEVEL);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        k.chip.ioapic.redirtbl[pin].bits = io->redir[pin];
        /* A level is served again; an edge has been. */
        if (io->redir[pin] & IOAPIC_LEVEL)
            k.chip.ioapic.irr |= vm->lines & (uint32_t)BIT(pin);
    }
    return kvm_ioctl(vm->fd, KVM_SET_IRQCHIP, &k);
}

/* ---- PICs ---- */

static const uint32_t pic_ids[2] = {KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE};

static void pic_from(struct pic_regs *c, const struct kvm_pic_state *k)
{
    *c = (struct pic_regs){
        .irr = k->irr, .imr = k->imr, .isr = k->isr, .level = k->last_irr, .elcr = k->elcr,
        .lowest = (k->priority_add + 7) & 7, .base = k->irq_base & 0xf8,
        .icw_next = k->init_state ? (k->init_state + 1) & 7 : 0,
        .icw1 = (uint8_t)(PIC_ICW1_INIT | (k->init4 ? PIC_ICW1_IC4 : 0)),
        .read_isr = k->read_reg_select, .poll = k->poll, .special_mask = k->special_mask,
        .sfnm = k->special_fully_nested_mode, .auto_eoi = k->auto_eoi,
        .rotate_auto_eoi = k->rotate_on_auto_eoi,
    };
}

static void pic_to(struct kvm_pic_state *k, const struct pic_regs *c, unsigned which)
{
    *k = (struct kvm_pic_state){
        .irr = c->irr, .imr = c->imr, .isr = c->isr, .last_irr = c->level, .elcr = c->elcr,
        .elcr_mask = which ? PIC_ELCR1_MASK : PIC_ELCR0_MASK,
        .priority_add = (c->lowest + 1) & 7, .irq_base = c->base,
        .init_state = c->icw_next ? (uint8_t)(c->icw_next - 1) : 0,
        .init4 = !!(c->icw1 & PIC_ICW1_IC4), .read_reg_select = c->read_isr, .poll = c->poll,
        .special_mask = c->special_mask, .special_fully_nested_mode = c->sfnm,
        .auto_eoi = c->auto_eoi, .rotate_on_auto_eoi = c->rotate_auto_eoi,
    };
    if (!which)
        k->last_irr &= (uint8_t)~PIT_ISA_LINE;
}

static int read_pics(struct hv_vm *vm, struct pic_pair_regs *p)
{
    int r = 0;

    for (unsigned i = 0; !r && i < 2; i++) {
        struct kvm_irqchip k = {.chip_id = pic_ids[i]};

        r = kvm_ioctl(vm->fd, KVM_GET_IRQCHIP, &k);
        pic_from(&p->chip[i], &k.chip.pic);
    }
    return r;
}

static int write_pics(struct hv_vm *vm, const struct pic_pair_regs *p)
{
    int r = 0;

    for (unsigned i = 0; !r && i < 2; i++) {
        struct kvm_irqchip k = {.chip_id = pic_ids[i]};

        pic_to(&k.chip.pic, &p->chip[i], i);
        r = kvm_ioctl(vm->fd, KVM_SET_IRQCHIP, &k);
    }
    return r;
}

/* ---- PIT ---- */

/* KVM's read_state and write_state: which byte is next; 3 and 4 are those of a word. */
static uint8_t byte_state(uint8_t rw, bool msb_next)
{
    return rw == PIT_RW_BOTH ? (msb_next ? 4 : 3) : rw;
}

/* ticks: the age of its count, where that goes on. */
static void channel_from(struct pit_channel_regs *c, const struct kvm_pit_channel_state *k,
                         uint64_t ticks)
{
    *c = (struct pit_channel_regs){
        .reload = (uint16_t)k->count, .mode = k->mode > 5 ? 3 : k->mode,
        .rw = k->rw_mode >= PIT_RW_LSB && k->rw_mode <= PIT_RW_BOTH ? k->rw_mode : PIT_RW_BOTH,
        .bcd = k->bcd, .gate = k->gate, .loaded = true, .triggered = k->gate,
        .write_msb_next = k->write_state == 4, .read_msb_next = k->read_state == 4,
        .write_lsb = k->write_latch, .latch = k->latched_count,
        .latch_bytes = !k->count_latched ? 0 : k->count_latched == 3 ? 2 : 1,
        .status_latched = k->status_latched, .status = k->status,
        .base_ticks = k->gate ? ticks : 0,
    };
    pit_fold_age(c);
}

static void channel_to(struct kvm_pit_channel_state *k, const struct pit_channel_regs *c,
                       uint64_t now)
{
    uint64_t age = mul_div_u64(c->base_ticks, NS_PER_SEC, PIT_HZ);

    *k = (struct kvm_pit_channel_state){
        .count = c->reload ? c->reload : 0x10000, .mode = c->mode, .rw_mode = c->rw,
        .bcd = c->bcd, .gate = c->gate, .write_state = byte_state(c->rw, c->write_msb_next),
        .read_state = byte_state(c->rw, c->read_msb_next), .write_latch = c->write_lsb,
        .latched_count = c->latch,
        .count_latched = !c->latch_bytes                                 ? 0
                         : c->rw == PIT_RW_BOTH && c->latch_bytes == 1 ? PIT_RW_MSB
                                                                       : c->rw,
        .status_latched = c->status_latched, .status = c->status,
        .count_load_time = (int64_t)(now - MIN(age, now)),
    };
}

static uint64_t ticks_since(int64_t load_ns, uint64_t now)
{
    uint64_t since = load_ns > 0 ? (uint64_t)load_ns : 0;

    return since < now ? mul_div_u64(now - since, PIT_HZ, NS_PER_SEC) : 0;
}

/* KVM counts by a timer of its own for channel 0, and by the time of the load for the others. It
 * does not tell how far that timer is: count_load_time of channel 0 is what KVM_SET_PIT2 once
 * stored there, which nothing uses. And KVM_SET_PIT2 starts all three from their beginning. So
 * channel 0 is taken to have been loaded just now: a tick may come late, and a shot that is over
 * once more, but none is lost. */
static int read_pit(struct hv_vm *vm, struct pit_regs *p)
{
    struct kvm_pit_state2 k;
    uint64_t now = clock_mono_ns();
    int r = kvm_ioctl(vm->fd, KVM_GET_PIT2, &k);

    if (r)
        return r;
    for (unsigned i = 0; i < 3; i++)
        channel_from(&p->channel[i], &k.channels[i],
                     i ? ticks_since(k.channels[i].count_load_time, now) : 0);
    p->port61 = (uint8_t)((p->channel[2].gate ? PIT_61_GATE2 : 0) |
                          (k.flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? PIT_61_SPEAKER : 0));
    return 0;
}

static int write_pit(struct hv_vm *vm, const struct pit_regs *p)
{
    struct kvm_pit_state2 k = {
        .flags = p->port61 & PIT_61_SPEAKER ? KVM_PIT_FLAGS_SPEAKER_DATA_ON : 0};
    uint64_t now = clock_mono_ns();

    for (unsigned i = 0; i < 3; i++)
        channel_to(&k.channels[i], &p->channel[i], now);
    return kvm_ioctl(vm->fd, KVM_SET_PIT2, &k);
}

/* ---- kvmclock, which only guests that see the host's CPU know ---- */

struct clock_state {
    uint64_t ns;
};

static const struct state_field clock_fields[] = {STATE_UINT(struct clock_state, ns), STATE_END};

static const struct state_desc clock_desc = {
    .name = "kvmclock", .version = 1, .fields = clock_fields};

static int save_clock(struct hv_vm *vm, struct state_writer *w)
{
    struct kvm_clock_data k = {0};
    struct clock_state s;
    int r;

    if (!vm->host_cpu)
        return 0;
    r = kvm_ioctl(vm->fd, KVM_GET_CLOCK, &k);
    s.ns = k.clock;
    return r ? r : state_save(w, &clock_desc, 0, &s);
}

/* Time has stood still for the guest: its clock goes on from where it was, and its watchdogs are
 * told that the gap was not its fault. A state from elsewhere has no such clock. */
static int load_clock(struct hv_vm *vm, const void *data, size_t len)
{
    struct clock_state s;
    struct kvm_clock_data k = {0};
    int r;

    if (!vm->host_cpu || state_load(data, len, &clock_desc, 0, &s, NULL) < 0)
        return 0;
    k.clock = s.ns;
    r = kvm_ioctl(vm->fd, KVM_SET_CLOCK, &k);
    for (unsigned n = 0; !r && n < vm->vcpu_count; n++)
        (void)kvm_ioctl_value(vm->vcpu[n].fd, KVM_KVMCLOCK_CTRL, 0); /* EINVAL: guest has none */
    return r;
}

/* ---- all ---- */

static int read_chips(struct hv_vm *vm, struct x86_chips *chips)
{
    int r = 0;

    kvm_irq_settle(vm);
    for (unsigned n = 0; !r && n < vm->vcpu_count; n++)
        r = read_lapic(&vm->vcpu[n], &chips->lapic[n]);
    if (!r)
        r = read_ioapic(vm, &chips->ioapic);
    if (!r)
        r = read_pics(vm, &chips->pic);
    return r ? r : read_pit(vm, &chips->pit);
}

/* LAPICs first: the others send them what waits. */
static int write_chips(struct hv_vm *vm, const struct x86_chips *chips)
{
    int r = 0;

    for (unsigned n = 0; !r && n < vm->vcpu_count; n++)
        r = write_lapic(&vm->vcpu[n], &chips->lapic[n]);
    if (!r)
        r = write_pics(vm, &chips->pic);
    if (!r)
        r = write_ioapic(vm, &chips->ioapic);
    return r ? r : write_pit(vm, &chips->pit);
}

int kvm_irqchip_save(struct hv_vm *vm, struct state_writer *w)
{
    struct x86_chips *chips = x86_chips_new(vm->vcpu_count, vm->phys_bits);
    int r = chips ? read_chips(vm, chips) : -ENOMEM;

    if (!r)
        r = x86_chips_save(chips, w);
    free(chips);
    return r ? r : save_clock(vm, w);
}

int kvm_irqchip_load(struct hv_vm *vm, const void *data, size_t len, struct vz_error *err)
{
    struct x86_chips *chips = x86_chips_new(vm->vcpu_count, vm->phys_bits);
    int r;

    if (!chips)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    r = x86_chips_load(chips, data, len, err);
    if (!r) {
        r = write_chips(vm, chips);
        if (!r)
            r = load_clock(vm, data, len);
        if (r)
            error_set(err, -r, VZ_ERROR_INTERNAL, "KVM: interrupt controllers: %s", strerror(-r));
    }
    free(chips);
    if (r)
        (void)kvm_irqchip_reset(vm);
    return r;
}

int kvm_irqchip_reset(struct hv_vm *vm)
{
    struct x86_chips *chips = x86_chips_new(vm->vcpu_count, vm->phys_bits);
    int r;

    if (!chips)
        return -ENOMEM;
    chips->ioapic.level = vm->lines; /* the lines are the devices' */
    chips->pic.chip[0].level = (uint8_t)vm->lines;
    chips->pic.chip[1].level = (uint8_t)(vm->lines >> 8);
    r = write_chips(vm, chips);
    free(chips);
    return r;
}
