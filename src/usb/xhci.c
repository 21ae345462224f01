/* SPDX-License-Identifier: MIT */
/* The xHCI controller as a PCI function: its registers (5), and how it is made. A register write changes
 * registers, and notes in regs.pending what the loop is to do. See xhci_impl.h. */
#include "usb/xhci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/le.h"
#include "base/trace.h"
#include "usb/xhci_impl.h"

#define BAR_SIZE     0x4000u
#define DEVICE_ID    0x5848u
#define CLASS_XHCI   0x0c0330u
#define OPERATIONAL  0x40u   /* CAPLENGTH */
#define RUNTIME      0x1000u /* RTSOFF */
#define DOORBELLS    0x2000u /* DBOFF */
#define EXTENDED     0x700u  /* HCCPARAMS1.xECP */
#define ERST_MAX     4u      /* HCSPARAMS2: 2^4 segments, XHCI_SEGMENTS */
#define PCI_SBRN     0x60u   /* 5.2.3: 3.1, and the frame length behind it */
#define CONFIG_SLOTS 0xffu

_Static_assert(1u << ERST_MAX == XHCI_SEGMENTS, "HCSPARAMS2 says so");
_Static_assert(OPERATIONAL + XHCI_PORTS + 16 * XHCI_PORTS_ALL <= EXTENDED, "ports lie before it");

void xhci_work_soon(struct xhci *x)
{
    if (x->ready)
        loop_work_queue(x->loop, &x->work);
}

/* ---- Capabilities (5.3, 7.2) ---------------------------------------------------------------- */

static uint32_t capability(uint64_t off)
{
    switch (off) {
    case XHCI_CAPLENGTH: return OPERATIONAL | XHCI_HCIVERSION << 16;
    case XHCI_HCSPARAMS1: return XHCI_SLOTS | XHCI_INTRS << 8 | XHCI_PORTS_ALL << 24;
    case XHCI_HCSPARAMS2: return ERST_MAX << 4;
    case XHCI_HCCPARAMS1:
        return XHCI_HCC1_AC64 | XHCI_HCC1_PPC | XHCI_HCC1_NSS | XHCI_HCC1_SPC |
               XHCI_MAX_PSTREAMS << XHCI_HCC1_MAX_PSA_SHIFT | EXTENDED / 4 << 16;
    case XHCI_DBOFF: return DOORBELLS;
    case XHCI_RTSOFF: return RUNTIME;
    default: return 0;
    }
}

/* Supported Protocol capabilities: which ports are USB 2.0, and which USB 3.0, with the default speed IDs. */
static uint32_t extended(uint64_t off)
{
    static const uint32_t words[] = {
        0x02000402, 0x20425355 /* "USB " */, 1 | XHCI_PORTS_USB2 << 8, 0,
        0x03000002, 0x20425355, (1 + XHCI_PORTS_USB2) | XHCI_PORTS_USB3 << 8, 0};

    return off / 4 < ARRAY_SIZE(words) ? words[off / 4] : 0;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static uint32_t half(uint64_t v, uint64_t off)
{
    return (uint32_t)(v >> (off & 4 ? 32 : 0));
}

static uint32_t read_operational(struct xhci *x, uint64_t off)
{
    const struct xhci_regs *r = &x->regs;

    switch (off) {
    case XHCI_USBCMD: return r->usbcmd;
    case XHCI_USBSTS: return r->usbsts;
    case XHCI_PAGESIZE: return 1; /* 4 KiB */
    case XHCI_DNCTRL: return r->dnctrl;
    case XHCI_CRCR: return r->command_running ? XHCI_CRCR_CRR : 0; /* the rest reads as 0 (5.4.5) */
    case XHCI_DCBAAP:
    case XHCI_DCBAAP + 4: return half(r->dcbaap, off);
    case XHCI_CONFIG: return r->config;
    default: break;
    }
    if (off < XHCI_PORTS || off >= XHCI_PORTS + 16 * XHCI_PORTS_ALL)
        return 0;
    return xhci_port_read_locked(x, (unsigned)(off - XHCI_PORTS) / 16, off & 15);
}

static uint32_t read_runtime(struct xhci *x, uint64_t off)
{
    uint64_t n = (off - XHCI_INTERRUPTERS) / 32;

    if (off == XHCI_MFINDEX)
        return xhci_mfindex_locked(x);
    return off >= XHCI_INTERRUPTERS && n < XHCI_INTRS ? xhci_intr_read_locked(x, (unsigned)n, off & 31) : 0;
}

static uint32_t read32(struct xhci *x, uint64_t off)
{
    if (off >= DOORBELLS)
        return 0;
    if (off >= RUNTIME)
        return read_runtime(x, off - RUNTIME);
    if (off >= EXTENDED)
        return extended(off - EXTENDED);
    return off >= OPERATIONAL ? read_operational(x, off - OPERATIONAL) : capability(off);
}

static uint64_t bar_read(struct pci_dev *pci, uint64_t off, unsigned size)
{
    struct xhci *x = to_xhci(pci);
    uint64_t v = read32(x, off & ~UINT64_C(3));

    if (size == 8)
        v |= (uint64_t)read32(x, off + 4) << 32;
    return v >> (8 * (off & 3)); /* less than 4 bytes: part of them */
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void begin_reset(struct xhci *x)
{
    x->regs.usbcmd = XHCI_CMD_HCRST;
    x->regs.usbsts = XHCI_STS_HCH | XHCI_STS_CNR;
    x->regs.pending = (struct xhci_pending){.reset = true};
    xhci_work_soon(x);
}

static void run(struct xhci *x)
{
    struct xhci_regs *r = &x->regs;

    r->usbsts &= ~(uint32_t)XHCI_STS_HCH;
    r->started_ns = clock_mono_ns();
    r->pending.halt = false;
    r->pending.started = true;
    xhci_ports_report_locked(x);
    xhci_work_soon(x);
}

static void halt(struct xhci *x)
{
    x->regs.pending.halt = true;
    xhci_work_soon(x);
}

/* 4.23.2: the state stays here whatever sleeps, so that it is never in memory. */
static void save_or_restore(struct xhci *x, uint32_t value)
{
    struct xhci_regs *r = &x->regs;

    if (value & XHCI_CMD_CSS)
        r->saved = true;
    if ((value & XHCI_CMD_CRS) && !r->saved)
        r->usbsts |= XHCI_STS_SRE;
}

static void write_command(struct xhci *x, uint32_t value)
{
    struct xhci_regs *r = &x->regs;
    uint32_t was = r->usbcmd;

    TRACE(x->trace, usb, "xhci", x, "USBCMD %#x, was %#x", value, was);
    if (r->usbsts & XHCI_STS_CNR)
        return;
    if (value & XHCI_CMD_HCRST) {
        begin_reset(x);
        return;
    }
    r->usbcmd = value & (XHCI_CMD_RS | XHCI_CMD_INTE | XHCI_CMD_HSEE | XHCI_CMD_EWE);
    if (r->usbsts & XHCI_STS_HCH)
        save_or_restore(x, value);
    if ((value & XHCI_CMD_RS) && !(was & XHCI_CMD_RS))
        run(x);
    if (!(value & XHCI_CMD_RS) && (was & XHCI_CMD_RS))
        halt(x);
    xhci_wrap_arm_locked(x);
    xhci_interrupt_locked(x);
}

/* 5.4.5: the pointer is for a ring that does not run; one that does can be stopped. */
static void write_crcr(struct xhci *x, uint64_t off, uint32_t value)
{
    struct xhci_regs *r = &x->regs;

    if (r->command_running) {
        if (!(off & 4) && (value & (XHCI_CRCR_CS | XHCI_CRCR_CA))) {
            r->pending.stop_commands = true;
            r->pending.abort_commands = r->pending.abort_commands || (value & XHCI_CRCR_CA);
            xhci_work_soon(x);
        }
        return;
    }
    if (off & 4)
        r->crcr = (r->crcr & UINT32_MAX) | (uint64_t)value << 32;
    else
        r->crcr = (r->crcr & ~(uint64_t)UINT32_MAX) | (value & ~UINT32_C(0x3e));
}

static void write_operational(struct xhci *x, uint64_t off, uint32_t value)
{
    struct xhci_regs *r = &x->regs;

    switch (off) {
    case XHCI_USBCMD: write_command(x, value); return;
    case XHCI_USBSTS:
        r->usbsts &= ~(value & (XHCI_STS_HSE | XHCI_STS_EINT | XHCI_STS_PCD | XHCI_STS_SRE));
        return;
    case XHCI_DNCTRL: r->dnctrl = value & 0xffff; return;
    case XHCI_CRCR:
    case XHCI_CRCR + 4: write_crcr(x, off, value); return;
    case XHCI_DCBAAP: r->dcbaap = (r->dcbaap & ~(uint64_t)UINT32_MAX) | (value & ~UINT32_C(63)); return;
    case XHCI_DCBAAP + 4: r->dcbaap = (r->dcbaap & UINT32_MAX) | (uint64_t)value << 32; return;
    case XHCI_CONFIG: r->config = value & CONFIG_SLOTS; return;
    default: break;
    }
    if (off >= XHCI_PORTS && off < XHCI_PORTS + 16 * XHCI_PORTS_ALL)
        xhci_port_write_locked(x, (unsigned)(off - XHCI_PORTS) / 16, off & 15, value);
}

/* 5.6: which of the slots and endpoints are there, the loop knows. */
static void write_doorbell(struct xhci *x, uint64_t n, uint32_t value)
{
    struct xhci_regs *r = &x->regs;
    uint32_t target = value & 0xff, stream = value >> 16;

    if (n > XHCI_SLOTS || !xhci_is_running(x) || target >= XHCI_EPS || (!n && target))
        return;
    if (!n)
        r->command_running = true;
    r->pending.slots |= BIT(n);
    r->pending.doorbell[n] |= (uint32_t)BIT(target);
    if (stream < XHCI_STREAMS)
        x->rung[n][target] |= (uint32_t)BIT(stream);
    xhci_work_soon(x);
}

static void write32(struct xhci *x, uint64_t off, uint32_t value)
{
    uint64_t n = (off - RUNTIME - XHCI_INTERRUPTERS) / 32;

    if (off >= DOORBELLS)
        write_doorbell(x, (off - DOORBELLS) / 4, value);
    else if (off >= RUNTIME + XHCI_INTERRUPTERS && n < XHCI_INTRS)
        xhci_intr_write_locked(x, (unsigned)n, off & 31, value);
    else if (off >= OPERATIONAL && off < EXTENDED)
        write_operational(x, off - OPERATIONAL, value);
}

static void bar_write(struct pci_dev *pci, uint64_t off, unsigned size, uint64_t value)
{
    struct xhci *x = to_xhci(pci);

    if (size < 4)
        return; /* 5.1: registers are written whole */
    write32(x, off, (uint32_t)value);
    if (size == 8)
        write32(x, off + 4, (uint32_t)(value >> 32));
}

/* ---- Life ----------------------------------------------------------------------------------- */

void xhci_reset_registers_locked(struct xhci *x)
{
    x->regs = (struct xhci_regs){.usbsts = XHCI_STS_HCH};
    for (unsigned i = 0; i < XHCI_INTRS; i++)
        xhci_intr_reset_locked(&x->intr[i]);
    xhci_ports_reset_locked(x);
    memset(x->rung, 0, sizeof(x->rung));
    pci_intx_locked(&x->pci, false);
}

/* The machine is reset, or the function. At once for the registers; the rest when nothing is in flight:
 * a machine quiesces its devices first. */
static void reset_locked(struct pci_dev *pci)
{
    struct xhci *x = to_xhci(pci);

    xhci_reset_registers_locked(x);
    x->regs.pending.reset = true;
    xhci_work_soon(x);
}

static int init(struct pci_dev *pci)
{
    pci->config[PCI_SBRN] = 0x31;
    pci->config[PCI_SBRN + 1] = 0x20;
    return 0;
}

static void fini(struct pci_dev *pci)
{
    struct xhci *x = to_xhci(pci);

    if (!x->loop)
        return;
    x->ready = false;
    loop_work_cancel(x->loop, &x->work);
    loop_timer_destroy(x->moderation);
    loop_timer_destroy(x->wrap);
    for (unsigned s = 1; s <= XHCI_SLOTS; s++) {
        for (unsigned e = 0; e < XHCI_EPS; e++)
            xhci_ep_free(&x->slot[s].ep[e]);
    }
}

static const struct pci_ops xhci_ops = {
    .name = "xhci", .vendor = PCI_VENDOR_VZ, .device = DEVICE_ID, .revision = 1,
    .subsystem_vendor = PCI_VENDOR_VZ, .subsystem = 0x1100, .class_code = CLASS_XHCI,
    .bar[0] = {.kind = PCI_BAR_MEM64, .size = BAR_SIZE,
               .read_locked = bar_read, .write_locked = bar_write},
    .msix_vectors = XHCI_INTRS, .intx_pin = 1, .size = sizeof(struct xhci), .init = init, .fini = fini,
    .reset_locked = reset_locked, .state = xhci_state, .state_version = 1, .loaded = xhci_loaded};

static int fill(struct xhci *x, const struct xhci_options *o)
{
    int r;

    x->loop = o->loop;
    x->mem = o->mem;
    x->sum = o->sum;
    x->trace = trace_mask();
    x->work = (struct loop_work){.fn = xhci_work, .arg = x};
    for (unsigned s = 0; s <= XHCI_SLOTS; s++) {
        x->slot[s].id = (uint8_t)s;
        for (unsigned e = 0; e < XHCI_EPS; e++)
            x->slot[s].ep[e].dci = (uint8_t)e;
    }
    device_lock(&x->pci.dev);
    xhci_reset_registers_locked(x);
    device_unlock(&x->pci.dev);
    r = loop_timer_create(x->loop, xhci_moderation_timer, x, &x->moderation);
    return r < 0 ? r : loop_timer_create(x->loop, xhci_wrap_timer, x, &x->wrap);
}

int xhci_create(struct pci_host *host, unsigned devfn, const struct xhci_options *options,
                struct xhci **ret, struct vz_error *err)
{
    struct pci_dev *pci;
    int r = pci_dev_create(host, &xhci_ops, devfn, &pci);

    if (!r)
        r = fill(to_xhci(pci), options);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_INTERNAL, "xhci: cannot make its PCI function: %s", strerror(-r));
    to_xhci(pci)->ready = true;
    *ret = to_xhci(pci);
    return 0;
}

void xhci_stats_tell(const struct xhci_stats *s, stats_fn *fn, void *arg)
{
#define TELL_(name) STATS_TELL_IN("xhci", name)
    XHCI_COUNTERS(TELL_)
#undef TELL_
}
