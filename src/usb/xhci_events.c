/* SPDX-License-Identifier: MIT */
/* Interrupters (5.5.2) and their event rings (4.9.4), interrupts and their moderation (4.17). All of it under the
 * function's lock.
 *
 * An event for which there is no room waits here, and while one waits no TD and no command is begun. */
#include <string.h>

#include "base/clock.h"
#include "base/le.h"
#include "usb/xhci_impl.h"

#define SEGMENT_MIN 16u
#define SEGMENT_MAX 4096u
#define INTERVAL_NONE_NS UINT64_C(50000) /* of moderation: as good as none */
#define MICROFRAME_NS UINT64_C(125000)
#define MICROFRAMES   0x4000u /* of which MFINDEX has the number */

void xhci_intr_reset_locked(struct xhci_intr *i)
{
    *i = (struct xhci_intr){.imod = XHCI_IMOD_DEFAULT, .cycle = true};
}

/* ---- The ring ------------------------------------------------------------------------------- */

bool xhci_intr_map_locked(struct xhci *x, struct xhci_intr *i)
{
    uint8_t raw[16];

    i->mapped = false;
    if (!i->erstsz || i->erstsz > XHCI_SEGMENTS)
        return false;
    for (unsigned s = 0; s < i->erstsz; s++) {
        if (mem_read(x->mem, i->erstba + 16 * s, raw, sizeof(raw)) < 0)
            return false;
        i->table[s] = (struct xhci_segment){.gpa = load_le64(raw) & ~UINT64_C(63),
                                            .size = load_le32(raw + 8) & 0xffff};
        if (i->table[s].size < SEGMENT_MIN || i->table[s].size > SEGMENT_MAX)
            return false;
    }
    i->mapped = true;
    return true;
}

/* Which event from the ring's start on is at gpa; UINT32_MAX: none. */
static uint32_t position_of(const struct xhci_intr *i, uint64_t gpa)
{
    uint32_t before = 0;

    for (unsigned s = 0; s < i->erstsz; s++) {
        if (gpa >= i->table[s].gpa && gpa < i->table[s].gpa + 16 * i->table[s].size)
            return before + (uint32_t)(gpa - i->table[s].gpa) / 16;
        before += i->table[s].size;
    }
    return UINT32_MAX;
}

static uint32_t ring_size(const struct xhci_intr *i)
{
    uint32_t size = 0;

    for (unsigned s = 0; s < i->erstsz; s++)
        size += i->table[s].size;
    return size;
}

static uint64_t enqueue_at(const struct xhci_intr *i)
{
    return i->table[i->segment].gpa + 16 * i->index;
}

/* Places that are free; one stays so, as a full ring would look empty. */
static uint32_t room(const struct xhci_intr *i)
{
    uint32_t size = ring_size(i), at = position_of(i, enqueue_at(i));
    uint32_t read = position_of(i, i->erdp & ~UINT64_C(15));

    if (read == UINT32_MAX)
        return size - 1; /* the driver has not said yet where it reads, or does not know */
    return (read + size - at - 1) % size;
}

/* 5.4.2: the controller stops. */
static void system_error(struct xhci *x)
{
    x->regs.usbsts |= XHCI_STS_HSE;
    x->regs.usbcmd &= ~(uint32_t)XHCI_CMD_RS;
    x->regs.pending.halt = true;
    xhci_work_soon(x);
}

static void put(struct xhci *x, struct xhci_intr *i, const struct xhci_trb *event)
{
    uint8_t raw[16];

    store_le64(raw, event->parameter);
    store_le32(raw + 8, event->status);
    store_le32(raw + 12, (event->control & ~(uint32_t)XHCI_TRB_C) | i->cycle);
    /* The word with the cycle bit last: the driver may look any time. */
    if (mem_write(x->mem, enqueue_at(i), raw, 12) < 0 || mem_write(x->mem, enqueue_at(i) + 12, raw + 12, 4) < 0)
        system_error(x);
    if (++i->index < i->table[i->segment].size)
        return;
    i->index = 0;
    if (++i->segment < i->erstsz)
        return;
    i->segment = 0;
    i->cycle = !i->cycle;
}

/* What waits, as far as there is room. */
static void flush(struct xhci *x, struct xhci_intr *i)
{
    static const struct xhci_trb full = {.status = (uint32_t)XHCI_RING_FULL << 24,
                                         .control = (uint32_t)XHCI_EV_HOST << 10};
    uint32_t n = 0;

    while (n < i->held_count && room(i) > 1)
        put(x, i, &i->held[n++]);
    i->held_count -= n;
    memmove(i->held, &i->held[n], i->held_count * sizeof(i->held[0]));
    if (i->held_count && !i->full && room(i) == 1)
        put(x, i, &full);
    i->full = i->held_count;
}

void xhci_event_locked(struct xhci *x, unsigned n, const struct xhci_trb *event, bool interrupt)
{
    struct xhci_intr *i = &x->intr[n % XHCI_INTRS];

    if (!i->mapped || i->held_count == XHCI_HELD) {
        if (n || i->mapped) /* a driver that polls ports has none yet */
            x->regs.usbsts |= XHCI_STS_HCE;
        return;
    }
    if (i->held_count || room(i) <= 1) {
        i->held[i->held_count++] = *event;
        flush(x, i);
    } else {
        put(x, i, event);
    }
    i->wants = i->wants || interrupt;
    xhci_interrupt_locked(x);
}

void xhci_event(struct xhci *x, unsigned n, const struct xhci_trb *event, bool interrupt)
{
    device_lock(&x->pci.dev);
    xhci_event_locked(x, n, event, interrupt);
    device_unlock(&x->pci.dev);
}

bool xhci_is_blocked(struct xhci *x)
{
    bool blocked = false;

    device_lock(&x->pci.dev);
    for (unsigned n = 0; n < XHCI_INTRS; n++)
        blocked = blocked || x->intr[n].held_count;
    device_unlock(&x->pci.dev);
    return blocked;
}

/* ---- Interrupts ----------------------------------------------------------------------------- */

/* An interval is for the driver's sake, which is to have fewer interrupts. To wait for the end of a short one is
 * another wake-up of the host's, and takes longer than what it spares: Linux's is 40 us, with three interrupts for each
 * command of a bulk-only disk. */
static uint64_t interval_ns(const struct xhci_intr *i)
{
    uint64_t ns = (uint64_t)(i->imod & 0xffff) * XHCI_IMOD_UNIT_NS;

    return ns > INTERVAL_NONE_NS ? ns : 0;
}

/* 4.17.2: an event was put, the driver is not at work, and it was quiet for long enough. */
static void set_pending(struct xhci *x, struct xhci_intr *i, uint64_t now, uint64_t *earliest)
{
    if (!i->wants || (i->erdp & XHCI_ERDP_EHB))
        return;
    if (now < i->quiet_until_ns) {
        *earliest = MIN(*earliest, i->quiet_until_ns);
        return;
    }
    i->wants = false;
    i->iman |= XHCI_IMAN_IP;
    i->erdp |= XHCI_ERDP_EHB;
    x->regs.usbsts |= XHCI_STS_EINT;
}

void xhci_interrupt_locked(struct xhci *x)
{
    uint64_t now = clock_mono_ns(), earliest = UINT64_MAX;
    bool line = false;

    for (unsigned n = 0; n < XHCI_INTRS; n++) {
        struct xhci_intr *i = &x->intr[n];

        set_pending(x, i, now, &earliest);
        if (!(x->regs.usbcmd & XHCI_CMD_INTE) || (i->iman & 3) != (XHCI_IMAN_IP | XHCI_IMAN_IE))
            continue;
        if (pci_msix_enabled_locked(&x->pci)) {
            i->iman &= ~(uint32_t)XHCI_IMAN_IP; /* 5.5.2.1: a message is taken as seen */
            i->quiet_until_ns = now + interval_ns(i);
            XHCI_COUNT(x, interrupts, 1);
            pci_msix_locked(&x->pci, n);
        } else {
            line = true;
        }
    }
    pci_intx_locked(&x->pci, line);
    if (earliest != UINT64_MAX)
        loop_timer_arm(x->moderation, earliest);
}

void xhci_moderation_timer(void *arg)
{
    struct xhci *x = arg;

    device_lock(&x->pci.dev);
    xhci_interrupt_locked(x);
    device_unlock(&x->pci.dev);
}

/* ---- MFINDEX (5.5.1) ------------------------------------------------------------------------ */

uint32_t xhci_mfindex_locked(const struct xhci *x)
{
    return xhci_is_running(x)
               ? (uint32_t)((clock_mono_ns() - x->regs.started_ns) / MICROFRAME_NS) % MICROFRAMES : 0;
}

void xhci_wrap_arm_locked(struct xhci *x)
{
    uint64_t now = clock_mono_ns(), period = MICROFRAMES * MICROFRAME_NS;

    if (xhci_is_running(x) && (x->regs.usbcmd & XHCI_CMD_EWE))
        loop_timer_arm(x->wrap, now + period - (now - x->regs.started_ns) % period);
}

void xhci_wrap_timer(void *arg)
{
    static const struct xhci_trb event = {.status = (uint32_t)XHCI_SUCCESS << 24,
                                          .control = (uint32_t)XHCI_EV_MFINDEX << 10};
    struct xhci *x = arg;

    device_lock(&x->pci.dev);
    if (xhci_is_running(x) && (x->regs.usbcmd & XHCI_CMD_EWE) && !x->quiet && !x->intr[0].held_count)
        xhci_event_locked(x, 0, &event, true);
    xhci_wrap_arm_locked(x);
    device_unlock(&x->pci.dev);
}

/* ---- Registers ------------------------------------------------------------------------------ */

static uint32_t half(uint64_t v, unsigned off)
{
    return (uint32_t)(v >> (off & 4 ? 32 : 0));
}

uint32_t xhci_intr_read_locked(struct xhci *x, unsigned n, unsigned off)
{
    const struct xhci_intr *i = &x->intr[n];

    switch (off) {
    case XHCI_IMAN: return i->iman;
    case XHCI_IMOD: return i->imod;
    case XHCI_ERSTSZ: return i->erstsz;
    case XHCI_ERSTBA:
    case XHCI_ERSTBA + 4: return half(i->erstba, off);
    case XHCI_ERDP:
    case XHCI_ERDP + 4: return half(i->erdp, off);
    default: return 0;
    }
}

static void set_half(uint64_t *v, unsigned off, uint32_t value)
{
    unsigned shift = off & 4 ? 32 : 0;

    *v = (*v & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift;
}

static void write_iman(struct xhci *x, struct xhci_intr *i, uint32_t value)
{
    if (value & XHCI_IMAN_IP) {
        i->iman &= ~(uint32_t)XHCI_IMAN_IP;
        if (!pci_msix_enabled_locked(&x->pci))
            i->quiet_until_ns = clock_mono_ns() + interval_ns(i);
    }
    i->iman = (i->iman & XHCI_IMAN_IP) | (value & XHCI_IMAN_IE);
    xhci_interrupt_locked(x);
}

/* 4.9.4: from here on the ring begins anew. */
static void write_erstba(struct xhci *x, struct xhci_intr *i, unsigned off, uint32_t value)
{
    set_half(&i->erstba, off, off & 4 ? value : value & ~UINT32_C(63));
    i->segment = i->index = 0;
    i->cycle = true;
    i->held_count = 0;
    i->full = false;
    (void)xhci_intr_map_locked(x, i); /* with half of an address it may be nowhere: the other half follows */
}

/* The driver has read up to there, and what has come meanwhile is told of if it is done (EHB). */
static void write_erdp(struct xhci *x, struct xhci_intr *i, unsigned off, uint32_t value)
{
    bool busy = i->erdp & XHCI_ERDP_EHB, blocked = i->held_count;

    set_half(&i->erdp, off, value);
    if (!(off & 4)) {
        busy = busy && !(value & XHCI_ERDP_EHB);
        i->erdp = (i->erdp & ~XHCI_ERDP_EHB) | (busy ? XHCI_ERDP_EHB : 0);
    }
    if (i->mapped) {
        flush(x, i);
        if (!busy)
            i->wants = position_of(i, i->erdp & ~UINT64_C(15)) != UINT32_MAX &&
                       enqueue_at(i) != (i->erdp & ~UINT64_C(15));
    }
    xhci_interrupt_locked(x);
    if (blocked && !i->held_count)
        xhci_work_soon(x);
}

void xhci_intr_write_locked(struct xhci *x, unsigned n, unsigned off, uint32_t value)
{
    struct xhci_intr *i = &x->intr[n];

    switch (off) {
    case XHCI_IMAN: write_iman(x, i, value); return;
    case XHCI_IMOD: i->imod = value; return;
    case XHCI_ERSTSZ:
        i->erstsz = MIN(value & 0xffff, XHCI_SEGMENTS);
        write_erstba(x, i, XHCI_ERSTBA, (uint32_t)i->erstba);
        return;
    case XHCI_ERSTBA:
    case XHCI_ERSTBA + 4: write_erstba(x, i, off, value); return;
    case XHCI_ERDP:
    case XHCI_ERDP + 4: write_erdp(x, i, off, value); return;
    default: return;
    }
}
