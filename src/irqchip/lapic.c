/* SPDX-License-Identifier: MIT */
/* A local APIC: registers in both modes, priorities, acceptance, IPIs. SDM vol. 3, chapter 11; the
 * timer is in lapic_timer.c. */
#include <errno.h>

#include "arch/x86/regs.h"
#include "irqchip/irqchip_impl.h"

static void set_bit(uint32_t *map, unsigned n)
{
    map[n / 32] |= (uint32_t)1 << (n % 32);
}

static void clear_bit(uint32_t *map, unsigned n)
{
    map[n / 32] &= ~((uint32_t)1 << (n % 32));
}

static bool test_bit(const uint32_t *map, unsigned n)
{
    return map[n / 32] & (uint32_t)1 << (n % 32);
}

/* The highest vector in the map, or -1. */
static int highest(const uint32_t *map)
{
    for (int i = 7; i >= 0; i--) {
        if (map[i])
            return 32 * i + 31 - __builtin_clz(map[i]);
    }
    return -1;
}

/* ---- Priorities and acknowledge ------------------------------------------------------------- */

uint32_t lapic_ppr(const struct lapic *l)
{
    int isrv = highest(l->reg.isr);
    uint32_t in_service = isrv < 0 ? 0 : (uint32_t)isrv & 0xf0;

    return (l->reg.tpr & 0xf0) >= in_service ? l->reg.tpr : in_service;
}

/* The vector to deliver from the IRR, or -1. */
static int deliverable(const struct lapic *l)
{
    int irrv = highest(l->reg.irr);

    if (irrv < 0 || !lapic_is_enabled(l) || ((uint32_t)irrv & 0xf0) <= (lapic_ppr(l) & 0xf0))
        return -1;
    return irrv;
}

/* Does the PIC's INTR reach the CPU? Without a local APIC it is wired to the BSP. */
static bool has_extint(const struct lapic *l)
{
    uint32_t lint0 = l->reg.lvt[LVT_LINT0];

    if (!l->chip->pic_out)
        return false;
    if (!lapic_is_enabled(l))
        return l->reg.apic_base & APIC_BASE_BSP;
    return l->reg.extint || (!(lint0 & LVT_MASKED) && LVT_MODE(lint0) == APIC_MODE_EXTINT);
}

void lapic_update(struct lapic *l)
{
    bool pending = has_extint(l) || deliverable(l) >= 0;

    if (pending == l->pending)
        return;
    l->pending = pending;
    if (pending)
        irqchip_notify(l, IRQCHIP_INTR, 0);
}

/* The local half of the acknowledge: -2 asks the caller to acknowledge at the PIC. */
int lapic_ack(struct lapic *l)
{
    int vector;

    if (has_extint(l)) {
        l->reg.extint = false;
        return -2;
    }
    vector = deliverable(l);
    if (vector >= 0) {
        clear_bit(l->reg.irr, (unsigned)vector);
        set_bit(l->reg.isr, (unsigned)vector);
    }
    lapic_update(l);
    return vector;
}

static void eoi(struct lapic *l)
{
    int vector = highest(l->reg.isr);

    l->chip->stats.eois++;
    if (vector < 0)
        return;
    clear_bit(l->reg.isr, (unsigned)vector);
    if (test_bit(l->reg.tmr, (unsigned)vector) && !(l->reg.svr & SVR_NO_BROADCAST))
        ioapic_eoi(&l->chip->ioapic, (uint8_t)vector);
    lapic_update(l);
}

static void set_tpr(struct lapic *l, uint32_t v)
{
    l->reg.tpr = v & 0xff;
    lapic_update(l);
}

/* ---- Acceptance ----------------------------------------------------------------------------- */

static void raise_error(struct lapic *l, uint32_t bit)
{
    /* An error LVT with an illegal vector must not report itself for ever. */
    bool again = l->reg.esr_pending & bit;

    l->reg.esr_pending |= bit;
    if (!again)
        lapic_local(l, LVT_ERROR);
}

bool lapic_takes_fixed(const struct lapic *l)
{
    return lapic_is_enabled(l) && (l->reg.svr & SVR_ENABLED);
}

static bool accept_fixed(struct lapic *l, uint8_t vector, bool level)
{
    if (!lapic_takes_fixed(l))
        return false;
    if (vector < 16) {
        raise_error(l, ESR_RECEIVE_ILLEGAL);
        return false;
    }
    if (level)
        set_bit(l->reg.tmr, vector);
    else
        clear_bit(l->reg.tmr, vector);
    set_bit(l->reg.irr, vector);
    lapic_update(l);
    return true;
}

bool lapic_accept(struct lapic *l, const struct apic_msg *msg)
{
    if (!lapic_is_enabled(l))
        return false;
    switch (msg->mode) {
    case APIC_MODE_FIXED:
    case APIC_MODE_LOWEST:
        return accept_fixed(l, msg->vector, msg->level);
    case APIC_MODE_SMI:
        irqchip_notify(l, IRQCHIP_SMI, 0);
        return true;
    case APIC_MODE_NMI:
        irqchip_notify(l, IRQCHIP_NMI, 0);
        return true;
    case APIC_MODE_INIT:
        irqchip_notify(l, IRQCHIP_INIT, 0);
        return true;
    case APIC_MODE_SIPI:
        irqchip_notify(l, IRQCHIP_SIPI, msg->vector);
        return true;
    case APIC_MODE_EXTINT:
        l->reg.extint = true;
        lapic_update(l);
        return true;
    default:
        return false;
    }
}

void lapic_local(struct lapic *l, unsigned lvt)
{
    uint32_t v = l->reg.lvt[lvt];
    /* Timer and error entries have no delivery mode: fixed. */
    unsigned mode = lvt == LVT_TIMER || lvt == LVT_ERROR ? APIC_MODE_FIXED : LVT_MODE(v);
    struct apic_msg msg = {.mode = (uint8_t)mode, .vector = LVT_VECTOR(v)};

    if ((v & LVT_MASKED) || mode == APIC_MODE_EXTINT || mode == APIC_MODE_LOWEST ||
        mode == APIC_MODE_SIPI)
        return; /* ExtINT follows the level of INTR, see has_extint() */
    lapic_accept(l, &msg);
}

/* 11.6.2.2: logical destinations of 8 bits in xAPIC mode. */
static bool matches_logical_x1(const struct lapic *l, uint32_t dest)
{
    uint32_t id = l->reg.ldr >> 24;

    if (dest == 0xff)
        return true;
    if (l->reg.dfr >> 28 == 0xf)
        return id & dest;
    return (id >> 4 == dest >> 4 || dest >> 4 == 0xf) && (id & dest & 0xf);
}

/* 11.12.10.2: cluster in the upper half, member in the lower. */
static bool matches_logical_x2(const struct lapic *l, const struct apic_msg *msg)
{
    if (msg->dest == (msg->wide ? UINT32_MAX : 0xff))
        return true;
    return msg->dest >> 16 == l->reg.ldr >> 16 && (msg->dest & l->reg.ldr & 0xffff);
}

bool lapic_matches(const struct lapic *l, const struct apic_msg *msg)
{
    if (!msg->logical)
        return msg->dest == l->id || msg->dest == (msg->wide ? UINT32_MAX : 0xff);
    if (lapic_is_x2(l))
        return matches_logical_x2(l, msg);
    if (msg->wide && msg->dest > 0xff)
        return msg->dest == UINT32_MAX;
    return matches_logical_x1(l, msg->dest);
}

/* ---- Sending -------------------------------------------------------------------------------- */

static bool icr_is_sendable(struct lapic *l, uint32_t lo)
{
    uint8_t mode = ICR_MODE(lo);

    if (mode == APIC_MODE_RESERVED || mode == APIC_MODE_EXTINT)
        return false;
    if (mode == APIC_MODE_INIT && (lo & ICR_LEVEL) && !(lo & ICR_ASSERT))
        return false; /* level de-assert: does nothing since the Pentium 4 */
    if (mode <= APIC_MODE_LOWEST && ICR_VECTOR(lo) < 16) {
        raise_error(l, ESR_SEND_ILLEGAL);
        return false;
    }
    return true;
}

static void send_others(struct lapic *l, const struct apic_msg *msg, bool self_too)
{
    for (unsigned i = 0; i < l->chip->lapic_count; i++) {
        if (self_too || i != l->id)
            lapic_accept(&l->chip->lapic[i], msg);
    }
}

static void send_ipi(struct lapic *l)
{
    uint32_t lo = (uint32_t)l->reg.icr, hi = (uint32_t)(l->reg.icr >> 32);
    struct apic_msg msg = {
        .dest = lapic_is_x2(l) ? hi : hi >> 24,
        .wide = lapic_is_x2(l),
        .logical = lo & ICR_LOGICAL,
        .mode = ICR_MODE(lo),
        .vector = ICR_VECTOR(lo),
    };

    l->chip->stats.ipis++;
    if (!icr_is_sendable(l, lo))
        return;
    switch (ICR_SHORTHAND(lo)) {
    case ICR_TO_DEST:
        irqchip_deliver(l->chip, &msg);
        break;
    case ICR_TO_SELF:
        if (msg.mode == APIC_MODE_FIXED || msg.mode == APIC_MODE_NMI)
            lapic_accept(l, &msg);
        break;
    case ICR_TO_ALL:
        send_others(l, &msg, true);
        break;
    default:
        send_others(l, &msg, false);
        break;
    }
}

static void self_ipi(struct lapic *l, uint8_t vector)
{
    l->chip->stats.ipis++;
    if (vector < 16)
        raise_error(l, ESR_SEND_ILLEGAL);
    else
        accept_fixed(l, vector, false);
}

/* ---- Registers common to both modes --------------------------------------------------------- */

static void write_lvt(struct lapic *l, unsigned i, uint32_t v)
{
    v &= lapic_lvt_writable(i);
    if (!(l->reg.svr & SVR_ENABLED))
        v |= LVT_MASKED; /* 11.4.7.2 */
    if (i == LVT_TIMER) {
        lapic_timer_write_lvt(l, v);
    } else {
        l->reg.lvt[i] = v;
        lapic_update(l);
    }
}

static void write_svr(struct lapic *l, uint32_t v)
{
    l->reg.svr = v & SVR_WRITABLE;
    if (l->reg.svr & SVR_ENABLED)
        return;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        write_lvt(l, i, l->reg.lvt[i]);
}

static void write_esr(struct lapic *l)
{
    l->reg.esr = l->reg.esr_pending;
    l->reg.esr_pending = 0;
}

/* The registers that both modes have, but ID, LDR and ICR; false: not one of them. */
static bool read_common(struct lapic *l, unsigned reg, uint32_t *ret)
{
    switch (reg) {
    case APIC_VERSION: *ret = APIC_VERSION_VALUE; return true;
    case APIC_TPR: *ret = l->reg.tpr; return true;
    case APIC_PPR: *ret = lapic_ppr(l); return true;
    case APIC_SVR: *ret = l->reg.svr; return true;
    case APIC_ISR ... APIC_ISR + 0x70: *ret = l->reg.isr[(reg - APIC_ISR) / 16]; return true;
    case APIC_TMR ... APIC_TMR + 0x70: *ret = l->reg.tmr[(reg - APIC_TMR) / 16]; return true;
    case APIC_IRR ... APIC_IRR + 0x70: *ret = l->reg.irr[(reg - APIC_IRR) / 16]; return true;
    case APIC_ESR: *ret = l->reg.esr; return true;
    case APIC_LVT_TIMER ... APIC_LVT_ERROR:
        *ret = l->reg.lvt[(reg - APIC_LVT_TIMER) / 16];
        return true;
    case APIC_TMICT: *ret = l->reg.tmict; return true;
    case APIC_TMCCT: *ret = lapic_timer_count(l); return true;
    case APIC_TDCR: *ret = l->reg.tdcr; return true;
    default: return false;
    }
}

/* The writable registers that both modes have, but ICR. */
static bool write_common(struct lapic *l, unsigned reg, uint32_t v)
{
    switch (reg) {
    case APIC_TPR: set_tpr(l, v); return true;
    case APIC_EOI: eoi(l); return true;
    case APIC_SVR: write_svr(l, v); return true;
    case APIC_ESR: write_esr(l); return true;
    case APIC_LVT_TIMER ... APIC_LVT_ERROR:
        write_lvt(l, (reg - APIC_LVT_TIMER) / 16, v);
        return true;
    case APIC_TMICT: lapic_timer_write_tmict(l, v); return true;
    case APIC_TDCR: lapic_timer_write_tdcr(l, v); return true;
    default: return false;
    }
}

/* ---- xAPIC mode: reg is a multiple of 16 ---------------------------------------------------- */

uint32_t lapic_mmio_read(struct lapic *l, unsigned reg)
{
    uint32_t v;

    if (read_common(l, reg, &v))
        return v;
    switch (reg) {
    case APIC_ID: return l->id << 24;
    case APIC_APR: return lapic_ppr(l);
    case APIC_LDR: return l->reg.ldr;
    case APIC_DFR: return l->reg.dfr;
    case APIC_ICR: return (uint32_t)l->reg.icr;
    case APIC_ICR2: return (uint32_t)(l->reg.icr >> 32);
    case APIC_EOI:
    case APIC_RRD: return 0;
    default: raise_error(l, ESR_REGISTER); return 0;
    }
}

void lapic_mmio_write(struct lapic *l, unsigned reg, uint32_t v)
{
    if (write_common(l, reg, v))
        return;
    switch (reg) {
    case APIC_LDR:
        l->reg.ldr = v & 0xff000000u;
        break;
    case APIC_DFR:
        l->reg.dfr = v | 0x0fffffffu;
        break;
    case APIC_ICR:
        l->reg.icr = (l->reg.icr & ~(uint64_t)UINT32_MAX) | (v & ICR_WRITABLE);
        send_ipi(l);
        break;
    case APIC_ICR2:
        l->reg.icr = (uint64_t)(v & 0xff000000u) << 32 | (uint32_t)l->reg.icr;
        break;
    case APIC_ID: /* read-only here, as in recent processors */
    case APIC_VERSION:
    case APIC_APR:
    case APIC_PPR:
    case APIC_RRD:
    case APIC_ISR ... APIC_IRR + 0x70:
    case APIC_TMCCT:
        break;
    default:
        raise_error(l, ESR_REGISTER);
        break;
    }
}

/* ---- x2APIC mode, 11.12.1.2; -EINVAL is #GP ------------------------------------------------- */

int lapic_msr_read(struct lapic *l, unsigned reg, uint64_t *ret)
{
    uint32_t v;

    if (!lapic_is_x2(l))
        return -EINVAL;
    if (read_common(l, reg, &v)) {
        *ret = v;
        return 0;
    }
    switch (reg) {
    case APIC_ID: *ret = l->id; return 0;
    case APIC_LDR: *ret = l->reg.ldr; return 0;
    case APIC_ICR: *ret = l->reg.icr; return 0;
    default: return -EINVAL;
    }
}

/* Which bits may be set in a write. */
static uint64_t msr_writable(unsigned reg)
{
    switch (reg) {
    case APIC_TPR: return 0xff;
    case APIC_EOI:
    case APIC_ESR: return 0; /* table 11-6: zero only */
    case APIC_SVR: return SVR_WRITABLE;
    case APIC_ICR: return (uint64_t)UINT32_MAX << 32 | ICR_WRITABLE;
    case APIC_LVT_TIMER ... APIC_LVT_ERROR:
        /* read-only status bits are ignored, not reserved */
        return lapic_lvt_writable((reg - APIC_LVT_TIMER) / 16) | 0x1000 |
               (reg == APIC_LVT_TIMER + 0x30 || reg == APIC_LVT_TIMER + 0x40 ? 0x4000 : 0);
    case APIC_TDCR: return TDCR_WRITABLE;
    case APIC_SELF_IPI: return 0xff;
    default: return UINT32_MAX;
    }
}

int lapic_msr_write(struct lapic *l, unsigned reg, uint64_t v)
{
    if (!lapic_is_x2(l) || (v & ~msr_writable(reg)))
        return -EINVAL;
    switch (reg) {
    case APIC_ICR:
        l->reg.icr = v;
        send_ipi(l);
        return 0;
    case APIC_SELF_IPI:
        self_ipi(l, (uint8_t)v);
        return 0;
    default:
        return write_common(l, reg, (uint32_t)v) ? 0 : -EINVAL;
    }
}

/* ---- IA32_APIC_BASE ------------------------------------------------------------------------- */

/* The mode as it is in v, with what follows from it. */
void lapic_base_set(struct lapic *l, uint64_t v)
{
    l->reg.apic_base = v;
    l->gpa = lapic_is_enabled(l) && !lapic_is_x2(l) ? v & ~UINT64_C(0xfff) : UINT64_MAX;
    if (lapic_is_x2(l))
        l->reg.ldr = (l->id & ~(uint32_t)0xf) << 12 | (uint32_t)1 << (l->id & 0xf);
    lapic_update(l);
}

/* 11.12.5, figure 11-27. Disabling loses the registers. */
int lapic_base_write(struct lapic *l, uint64_t v)
{
    bool x2 = v & APIC_BASE_X2APIC, on = v & APIC_BASE_ENABLE;

    if (!lapic_base_valid(v, l->chip->phys_addr_bits))
        return -EINVAL;
    if (x2 && !lapic_is_enabled(l))
        return -EINVAL; /* disabled to x2APIC: by way of xAPIC only */
    if (lapic_is_x2(l) && on && !x2)
        return -EINVAL; /* x2APIC to xAPIC: by way of disabled only */
    if (lapic_is_enabled(l) && !on) {
        uint32_t tpr = l->reg.tpr; /* CR8 goes on working without an APIC */

        lapic_reset(l, true);
        l->reg.tpr = tpr;
    }
    if (x2 && !lapic_is_x2(l))
        l->reg.icr = (uint32_t)l->reg.icr;
    lapic_base_set(l, v);
    return 0;
}

void lapic_reset(struct lapic *l, bool is_init)
{
    lapic_timer_reset(l);
    lapic_regs_reset(&l->reg, l->id, is_init);
    lapic_base_set(l, l->reg.apic_base);
}
