/* SPDX-License-Identifier: MIT */
/* The NVMe controller as a PCI function: its registers (3.1), and how it is made. A register write
 * changes registers, and notes in regs.pending what the loop is to do. See nvme_impl.h. */
#include "nvme/nvme.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/trace.h"
#include "nvme/nvme_impl.h"

#define BAR_SIZE     0x4000u
#define DEVICE_ID    0x4e56u
#define CLASS_NVME   0x010802u
#define TIMEOUT      60u /* CAP.TO: 30 s, what a host's disk may take to let go of a request */

static struct nvme *to_nvme(struct pci_dev *pci)
{
    return container_of(pci, struct nvme, pci);
}

void nvme_set_csts(struct nvme *n, uint32_t set)
{
    device_lock(&n->pci.dev);
    n->regs.csts |= set;
    device_unlock(&n->pci.dev);
}

void nvme_work_soon(struct nvme *n)
{
    loop_work_queue(n->loop, &n->work);
}

/* ---- Reading -------------------------------------------------------------------------------- */

static uint64_t capabilities(void)
{
    return (NVME_QUEUE_ENTRIES - 1) | NVME_CAP_CQR | NVME_CAP_TO(TIMEOUT) | NVME_CAP_CSS_NVM |
           NVME_CAP_MPSMAX(NVME_MPS_MAX);
}

static uint32_t half(uint64_t v, uint64_t off)
{
    return (uint32_t)(v >> (off & 4 ? 32 : 0));
}

static uint32_t read32(const struct nvme_regs *r, uint64_t off)
{
    switch (off) {
    case NVME_REG_CAP:
    case NVME_REG_CAP + 4: return half(capabilities(), off);
    case NVME_REG_VS: return NVME_VS_1_4;
    case NVME_REG_INTMS:
    case NVME_REG_INTMC: return r->intm;
    case NVME_REG_CC: return r->cc;
    case NVME_REG_CSTS: return r->csts;
    case NVME_REG_AQA: return r->aqa;
    case NVME_REG_ASQ:
    case NVME_REG_ASQ + 4: return half(r->asq, off);
    case NVME_REG_ACQ:
    case NVME_REG_ACQ + 4: return half(r->acq, off);
    default: return 0; /* reserved; doorbells read as anything (3.1.24) */
    }
}

static uint64_t bar_read(struct pci_dev *pci, uint64_t off, unsigned size)
{
    const struct nvme_regs *r = &to_nvme(pci)->regs;
    uint64_t v = read32(r, off & ~UINT64_C(3));

    if (size == 8)
        v |= (uint64_t)read32(r, off + 4) << 32;
    return v >> (8 * (off & 3)); /* less than 4 bytes: part of them */
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void set_half(uint64_t *v, uint64_t off, uint32_t value)
{
    unsigned shift = off & 4 ? 32 : 0;

    *v = ((*v & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift) & ~UINT64_C(0xfff);
}

/* 3.1.5: enable and disable, and shutdown. */
static void write_cc(struct nvme *n, uint32_t value)
{
    struct nvme_regs *r = &n->regs;
    uint32_t was = r->cc;

    if ((was & NVME_CC_EN) && (value & NVME_CC_EN)) /* these are for one that is not enabled */
        value = (value & ~NVME_CC_FIXED) | (was & NVME_CC_FIXED);
    r->cc = value & NVME_CC_WRITABLE;
    TRACE(n->trace, nvme, "nvme", n, "CC %#x, was %#x", r->cc, was);
    if ((was & NVME_CC_EN) && !(r->cc & NVME_CC_EN))
        r->pending.reset = true;
    if (NVME_CC_SHN(r->cc) && !NVME_CC_SHN(was) && !(r->csts & NVME_CSTS_SHST)) {
        r->csts |= NVME_CSTS_SHST_BUSY;
        r->pending.shutdown = true;
    }
    if (!NVME_CC_SHN(r->cc) && (r->csts & NVME_CSTS_SHST) == NVME_CSTS_SHST_DONE)
        r->csts &= ~NVME_CSTS_SHST; /* the driver has taken its notification back */
    nvme_work_soon(n);
}

void nvme_shutdown_done(struct nvme *n)
{
    struct nvme_regs *r = &n->regs;

    device_lock(&n->pci.dev);
    r->csts &= ~NVME_CSTS_SHST;
    if (NVME_CC_SHN(r->cc))
        r->csts |= NVME_CSTS_SHST_DONE;
    device_unlock(&n->pci.dev);
}

/* Which of the queues are there, the loop knows. */
static void write_doorbell(struct nvme *n, uint64_t off, uint32_t value)
{
    struct nvme_regs *r = &n->regs;
    uint64_t i = (off - NVME_REG_DOORBELLS) / 4;

    if (!(r->csts & NVME_CSTS_RDY))
        return;
    if (i >= ARRAY_SIZE(r->doorbell)) {
        r->pending.bad_doorbell = true;
    } else {
        r->doorbell[i] = value & 0xffff; /* the rest is reserved */
        r->pending.doorbells |= BIT(i);
    }
    /* The pin goes up again if the queue has more: not to be taken at once for an interrupt of
     * nobody's. */
    if (i % 2 && !pci_msix_enabled_locked(&n->pci))
        pci_intx_locked(&n->pci, false);
    nvme_work_soon(n);
}

static void write_mask(struct nvme *n, uint32_t mask)
{
    n->regs.intm = mask;
    nvme_work_soon(n); /* the pin */
}

static void write32(struct nvme *n, uint64_t off, uint32_t value)
{
    struct nvme_regs *r = &n->regs;
    bool enabled = r->cc & NVME_CC_EN;

    switch (off) {
    case NVME_REG_INTMS: write_mask(n, r->intm | value); break;
    case NVME_REG_INTMC: write_mask(n, r->intm & ~value); break;
    case NVME_REG_CC: write_cc(n, value); break;
    case NVME_REG_AQA:
        if (!enabled)
            r->aqa = value & 0x0fff0fff;
        break;
    case NVME_REG_ASQ:
    case NVME_REG_ASQ + 4:
        if (!enabled)
            set_half(&r->asq, off, value);
        break;
    case NVME_REG_ACQ:
    case NVME_REG_ACQ + 4:
        if (!enabled)
            set_half(&r->acq, off, value);
        break;
    default:
        if (off >= NVME_REG_DOORBELLS)
            write_doorbell(n, off, value);
    }
}

static void bar_write(struct pci_dev *pci, uint64_t off, unsigned size, uint64_t value)
{
    struct nvme *n = to_nvme(pci);

    if (size < 4)
        return; /* 3.1: accesses are of 4 bytes, or 8 */
    write32(n, off, (uint32_t)value);
    if (size == 8 && off < NVME_REG_DOORBELLS)
        write32(n, off + 4, (uint32_t)(value >> 32));
}

/* The machine is reset, or the function. At once for the registers; the rest when nothing is in flight:
 * a machine quiesces its devices first. */
static void reset_locked(struct pci_dev *pci)
{
    struct nvme *n = to_nvme(pci);

    n->regs = (struct nvme_regs){.pending.reset = true};
    if (n->ready)
        nvme_work_soon(n);
}

/* ---- Life ----------------------------------------------------------------------------------- */

static void resized(void *arg)
{
    struct nvme_ns *ns = arg;

    nvme_ns_size(ns);
    ns->n->ns_changed |= (uint32_t)BIT(ns->nsid - 1);
    nvme_event(ns->n, NVME_EV_NAMESPACE);
}

static const struct blk_client client = {.resized = resized};

int nvme_add_namespace(struct nvme *n, const struct nvme_namespace_options *o, struct vz_error *err)
{
    struct nvme_ns *ns = &n->ns[n->ns_count];
    uint32_t block = MAX(o->block_size, o->blk->block_size);

    if (n->ns_count == NVME_NAMESPACES_MAX)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "an NVMe controller has room for %u namespaces",
                         NVME_NAMESPACES_MAX);
    if (!is_power_of_two(block) || block < 512 || block > 4096)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "blocks of %u bytes are not to be had", block);
    if (blk_attach(o->blk, &client, ns) < 0)
        return error_set(err, EBUSY, VZ_ERROR_INVALID, "the disk is another device's already");
    *ns = (struct nvme_ns){.n = n, .nsid = ++n->ns_count, .blk = o->blk,
                           .read_only = o->read_only || o->blk->read_only,
                           .lba_log2 = (unsigned)__builtin_ctz(block)};
    nvme_ns_size(ns);
    return 0;
}

static int fill(struct nvme *n, const struct nvme_options *o, struct vz_error *err)
{
    int r = 0;

    if (!o->namespace_count || o->namespace_count > NVME_NAMESPACES_MAX)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "nvme: %u namespaces are not to be had",
                         o->namespace_count);
    n->loop = o->loop;
    n->mem = o->mem;
    n->sum = o->sum;
    n->trace = trace_mask();
    memcpy(n->serial, o->serial, sizeof(n->serial));
    memcpy(n->uuid, o->uuid, sizeof(n->uuid));
    n->work = (struct loop_work){.fn = nvme_work, .arg = n};
    n->interrupt_work = (struct loop_work){.fn = nvme_interrupt_work, .arg = n};
    TAILQ_INIT(&n->free);
    TAILQ_INIT(&n->busy);
    n->reqs = calloc(NVME_REQUESTS, sizeof(*n->reqs)); /* what no request uses is never touched */
    r = n->reqs ? loop_timer_create(n->loop, nvme_coalesce_timer, n, &n->coalesce) : -ENOMEM;
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "nvme: %s", strerror(-r));
    for (unsigned i = 0; i < NVME_REQUESTS; i++)
        TAILQ_INSERT_TAIL(&n->free, &n->reqs[i], link);
    for (unsigned i = 0; i < ARRAY_SIZE(n->bell); i++)
        n->bell[i].n = n;
    for (unsigned i = 0; i < o->namespace_count && !r; i++)
        r = nvme_add_namespace(n, &o->namespaces[i], err);
    n->life.power_cycles = 1;
    n->since_ms = clock_mono_ns() / NS_PER_MS;
    nvme_features_reset(n);
    return r;
}

static void fini(struct pci_dev *pci)
{
    struct nvme *n = to_nvme(pci);

    if (!n->loop)
        return;
    n->ready = false; /* results reach nobody */
    for (unsigned i = 0; i < n->ns_count; i++) {
        blk_drain_wait(n->ns[i].blk); /* it may still write to the guest's memory */
        blk_detach(n->ns[i].blk);
    }
    loop_work_cancel(n->loop, &n->work);
    loop_work_cancel(n->loop, &n->interrupt_work);
    loop_timer_destroy(n->coalesce);
    nvme_release_memory(n);
    free(n->reqs);
}

static const struct pci_ops nvme_ops = {
    .name = "nvme", .vendor = PCI_VENDOR_VZ, .device = DEVICE_ID, .revision = 1,
    .subsystem_vendor = PCI_VENDOR_VZ, .subsystem = 0x1100, .class_code = CLASS_NVME,
    .bar[0] = {.kind = PCI_BAR_MEM64, .size = BAR_SIZE,
               .read_locked = bar_read, .write_locked = bar_write},
    .msix_vectors = NVME_QUEUES, .intx_pin = 1, .size = sizeof(struct nvme), .fini = fini,
    .reset_locked = reset_locked, .state = nvme_state, .state_version = 1, .loaded = nvme_loaded};

int nvme_create(struct pci_host *host, unsigned devfn, const struct nvme_options *options,
                struct nvme **ret, struct vz_error *err)
{
    struct pci_dev *pci;
    struct nvme *n;
    int r = pci_dev_create(host, &nvme_ops, devfn, &pci);

    if (r < 0)
        return error_set(err, -r, VZ_ERROR_INTERNAL, "nvme: cannot make its PCI function");
    n = to_nvme(pci);
    r = fill(n, options, err);
    if (r < 0)
        return r; /* the bus has it, and destroys it */
    n->ready = true;
    *ret = n;
    return 0;
}

void nvme_destroy(struct nvme *n)
{
    pci_dev_destroy(&n->pci);
}

void nvme_stats_tell(const struct nvme_stats *s, stats_fn *fn, void *arg)
{
#define TELL_(name) STATS_TELL_IN("nvme", name)
    NVME_COUNTERS(TELL_)
#undef TELL_
}
