/* SPDX-License-Identifier: MIT */
/* The PCI transport, modern only (VIRTIO 1.2 section 4.1, cited in brackets): a PCI function whose
 * BAR 0 holds the common registers, the interrupt status, the device's configuration and the
 * notification addresses, each announced by a vendor capability. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/le.h"
#include "bus/bell.h"
#include "pci/pci.h"
#include "virtio/virtio.h"

#define BAR_SIZE      0x4000u
#define COMMON_OFF    0x0000u
#define COMMON_LEN    0x40u
#define ISR_OFF       0x1000u
#define DEVICE_OFF    0x2000u
#define NOTIFY_OFF    0x3000u
#define NOTIFY_STRIDE 4u
#define PCI_DEVICE_BASE 0x1040u /* + device type [4.1.2] */
#define CAP_VENDOR    0x09
#define SHARED_BAR    4u /* BAR 0 has two places, MSI-X has the next */

enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };

/* What depends on the device's type; made for each function. */
struct desc {
    struct pci_ops pci;
    struct virtio_shared_memory shared;
    struct state_field state[4];
};

struct queue_bell {
    struct bell bell;
    struct virtio_dev *dev;
    unsigned index;
};

struct virtio_pci {
    struct pci_dev pci;
    struct desc *desc;     /* NULL until creation has succeeded: the creator's */
    unsigned cfg_cap;      /* where the capability for access by configuration space is */
    struct queue_bell bell[VIRTIO_QUEUES_MAX]; /* the loop thread's */
    struct virtio_dev *dev; /* at the end of this allocation; NULL at first */
};

#define DEVICE_AT ((sizeof(struct virtio_pci) + 63) & ~(size_t)63)

static struct virtio_dev *dev_of(struct pci_dev *pci)
{
    return (struct virtio_dev *)((uint8_t *)pci + DEVICE_AT);
}

static struct pci_dev *pci_of(struct virtio_dev *dev)
{
    return (struct pci_dev *)((uint8_t *)dev - DEVICE_AT);
}

/* --- interrupts [4.1.4.5, 4.1.5.1.3] --- */

static void interrupt_locked(struct virtio_dev *dev, uint8_t isr, uint16_t vector)
{
    struct pci_dev *pci = pci_of(dev);

    if (pci_msix_enabled_locked(pci)) {
        if (vector != VIRTIO_MSI_NO_VECTOR)
            pci_msix_locked(pci, vector);
        return;
    }
    dev->isr |= isr;
    pci_intx_locked(pci, true);
}

static void queue_interrupt(struct virtio_dev *dev, unsigned index)
{
    pthread_mutex_lock(dev->lock);
    interrupt_locked(dev, ISR_QUEUE, dev->queue[index].regs.vector);
    pthread_mutex_unlock(dev->lock);
}

static void config_interrupt_locked(struct virtio_dev *dev)
{
    interrupt_locked(dev, ISR_CONFIG, dev->config_vector);
}

static void transport_reset_locked(struct virtio_dev *dev)
{
    pci_intx_locked(pci_of(dev), false);
}

static void queue_rang(struct bell *bell)
{
    const struct queue_bell *b = container_of(bell, struct queue_bell, bell);

    virtio_notified(b->dev, b->index);
}

static void queue_started(struct virtio_dev *dev, unsigned index)
{
    struct virtio_pci *vp = container_of(pci_of(dev), struct virtio_pci, pci);

    vp->bell[index].dev = dev;
    vp->bell[index].index = index;
    bell_start(&vp->bell[index].bell, dev->loop, &vp->pci.bar[0].range,
               NOTIFY_OFF + index * NOTIFY_STRIDE, queue_rang);
}

static void queues_stopped(struct virtio_dev *dev)
{
    struct virtio_pci *vp = container_of(pci_of(dev), struct virtio_pci, pci);

    for (unsigned i = 0; i < dev->queue_count; i++)
        bell_stop(&vp->bell[i].bell);
}

static const struct virtio_transport transport = {
    .queue_interrupt = queue_interrupt, .config_interrupt_locked = config_interrupt_locked,
    .reset_locked = transport_reset_locked,
    .queue_started = queue_started, .queues_stopped = queues_stopped};

/* --- the common registers [4.1.4.3] --- */

static uint32_t half(uint64_t v, bool high)
{
    return (uint32_t)(v >> (high ? 32 : 0));
}

static uint64_t queue_read(struct virtio_dev *dev, unsigned off)
{
    struct virtq *q = virtio_selected_queue_locked(dev);

    if (!q)
        return 0; /* size 0: no such queue */
    switch (off) {
    case VIRTIO_PCI_COMMON_Q_SIZE: return q->regs.size;
    case VIRTIO_PCI_COMMON_Q_MSIX: return q->regs.vector;
    case VIRTIO_PCI_COMMON_Q_ENABLE: return q->regs.enabled;
    case VIRTIO_PCI_COMMON_Q_NOFF: return q->index;
    case VIRTIO_PCI_COMMON_Q_DESCLO: return half(q->regs.desc, false);
    case VIRTIO_PCI_COMMON_Q_DESCHI: return half(q->regs.desc, true);
    case VIRTIO_PCI_COMMON_Q_AVAILLO: return half(q->regs.driver, false);
    case VIRTIO_PCI_COMMON_Q_AVAILHI: return half(q->regs.driver, true);
    case VIRTIO_PCI_COMMON_Q_USEDLO: return half(q->regs.device, false);
    case VIRTIO_PCI_COMMON_Q_USEDHI: return half(q->regs.device, true);
    case VIRTIO_PCI_COMMON_Q_USEDHI + 4: return q->index; /* queue_notify_data */
    case VIRTIO_PCI_COMMON_Q_USEDHI + 6: return q->regs.resetting;
    default: return 0;
    }
}

static uint64_t common_read(struct virtio_dev *dev, unsigned off)
{
    switch (off) {
    case VIRTIO_PCI_COMMON_DFSELECT: return dev->feature_select;
    case VIRTIO_PCI_COMMON_DF:
        return dev->feature_select < 2 ? half(virtio_offered(dev), dev->feature_select) : 0;
    case VIRTIO_PCI_COMMON_GFSELECT: return dev->driver_feature_select;
    case VIRTIO_PCI_COMMON_GF:
        return dev->driver_feature_select < 2
                   ? half(dev->driver_features, dev->driver_feature_select)
                   : 0;
    case VIRTIO_PCI_COMMON_MSIX: return dev->config_vector;
    case VIRTIO_PCI_COMMON_NUMQ: return dev->queue_count;
    case VIRTIO_PCI_COMMON_STATUS: return virtio_status_read_locked(dev);
    case VIRTIO_PCI_COMMON_CFGGENERATION: return dev->config_generation;
    case VIRTIO_PCI_COMMON_Q_SELECT: return dev->queue_select;
    default: return queue_read(dev, off);
    }
}

/* A vector that does not exist is refused by reading back as none [4.1.5.1.2]. */
static uint16_t good_vector(const struct virtio_dev *dev, uint64_t v)
{
    return v <= dev->queue_count ? (uint16_t)v : VIRTIO_MSI_NO_VECTOR;
}

static void set_half(uint64_t *v, bool high, uint32_t value)
{
    unsigned shift = high ? 32 : 0;

    *v = (*v & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift;
}

/* Of a queue that is not enabled: addresses and size do not change under a running one. */
static void queue_setup_write(struct virtq *q, unsigned off, uint32_t v)
{
    switch (off) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
        if (v <= q->size_max)
            q->regs.size = (uint16_t)v;
        break;
    case VIRTIO_PCI_COMMON_Q_DESCLO: set_half(&q->regs.desc, false, v); break;
    case VIRTIO_PCI_COMMON_Q_DESCHI: set_half(&q->regs.desc, true, v); break;
    case VIRTIO_PCI_COMMON_Q_AVAILLO: set_half(&q->regs.driver, false, v); break;
    case VIRTIO_PCI_COMMON_Q_AVAILHI: set_half(&q->regs.driver, true, v); break;
    case VIRTIO_PCI_COMMON_Q_USEDLO: set_half(&q->regs.device, false, v); break;
    case VIRTIO_PCI_COMMON_Q_USEDHI: set_half(&q->regs.device, true, v); break;
    default: break;
    }
}

static void queue_write(struct virtio_dev *dev, unsigned off, uint32_t v)
{
    struct virtq *q = virtio_selected_queue_locked(dev);

    if (!q)
        return;
    if (off == VIRTIO_PCI_COMMON_Q_MSIX)
        q->regs.vector = good_vector(dev, v);
    else if (off == VIRTIO_PCI_COMMON_Q_ENABLE && v == 1)
        virtio_queue_enable_locked(dev);
    else if (off == VIRTIO_PCI_COMMON_Q_USEDHI + 6 && v == 1)
        virtio_queue_reset_locked(dev);
    else if (!q->regs.enabled)
        queue_setup_write(q, off, v);
}

static void common_write(struct virtio_dev *dev, unsigned off, uint32_t v)
{
    if (dev->pending.reset)
        return; /* the driver has to wait for its end [4.1.4.3.2] */
    switch (off) {
    case VIRTIO_PCI_COMMON_DFSELECT: dev->feature_select = v; break;
    case VIRTIO_PCI_COMMON_GFSELECT: dev->driver_feature_select = v; break;
    case VIRTIO_PCI_COMMON_GF:
        virtio_driver_features_locked(dev, dev->driver_feature_select, v);
        break;
    case VIRTIO_PCI_COMMON_MSIX: dev->config_vector = good_vector(dev, v); break;
    case VIRTIO_PCI_COMMON_STATUS: virtio_status_write_locked(dev, (uint8_t)v); break;
    case VIRTIO_PCI_COMMON_Q_SELECT: dev->queue_select = (uint16_t)v; break;
    default: queue_write(dev, off, v); break;
    }
}

/* --- BAR 0 --- */

static uint64_t isr_read(struct pci_dev *pci, struct virtio_dev *dev)
{
    uint8_t isr = dev->isr;

    dev->isr = 0;
    pci_intx_locked(pci, false);
    return isr;
}

static uint64_t bar_read(struct pci_dev *pci, uint64_t off, unsigned size)
{
    struct virtio_dev *dev = dev_of(pci);
    uint64_t v = 0;

    if (off < COMMON_OFF + COMMON_LEN) {
        v = common_read(dev, (unsigned)off);
        if (size == 8)
            v |= common_read(dev, (unsigned)off + 4) << 32;
    } else if (off == ISR_OFF) {
        v = isr_read(pci, dev);
    } else if (off >= DEVICE_OFF && off < DEVICE_OFF + VIRTIO_CONFIG_MAX) {
        virtio_config_read_locked(dev, (unsigned)(off - DEVICE_OFF), size, &v);
    }
    return v;
}

static void bar_write(struct pci_dev *pci, uint64_t off, unsigned size, uint64_t value)
{
    struct virtio_dev *dev = dev_of(pci);

    if (off >= NOTIFY_OFF) {
        virtio_notify_locked(dev, (unsigned)(off - NOTIFY_OFF) / NOTIFY_STRIDE);
    } else if (off < COMMON_OFF + COMMON_LEN) {
        common_write(dev, (unsigned)off, (uint32_t)value);
        if (size == 8)
            common_write(dev, (unsigned)off + 4, (uint32_t)(value >> 32));
    } else if (off >= DEVICE_OFF && off < DEVICE_OFF + VIRTIO_CONFIG_MAX) {
        virtio_config_write_locked(dev, (unsigned)(off - DEVICE_OFF), size, &value);
    }
}

/* --- capabilities [4.1.4] --- */

static unsigned add_cap(struct pci_dev *pci, uint8_t type, unsigned len, uint32_t off,
                        uint32_t area)
{
    unsigned at = pci_add_capability(pci, CAP_VENDOR, len);

    if (!at)
        return 0;
    pci->config[at + offsetof(struct virtio_pci_cap, cap_len)] = (uint8_t)len;
    pci->config[at + offsetof(struct virtio_pci_cap, cfg_type)] = type;
    store_le32(&pci->config[at + offsetof(struct virtio_pci_cap, offset)], off);
    store_le32(&pci->config[at + offsetof(struct virtio_pci_cap, length)], area);
    return at;
}

/* Shared memory is where it is, since memory of CPUs does not move: no BAR has its address, but a capability for
 * resources that do not (PCI Express 7.8.5, Enhanced Allocation: one entry, of five words), which says that it stands
 * for one. */
static bool add_fixed_memory(struct pci_dev *pci, unsigned bar, const struct virtio_shared_memory *m)
{
    unsigned at = pci_add_capability(pci, PCI_CAP_ID_EA, 4 + 20);
    uint8_t *entry = &pci->config[at + PCI_EA_FIRST_ENT];

    if (!at)
        return false;
    pci->config[at + PCI_EA_NUM_ENT] = 1;
    store_le32(entry, PCI_EA_ENABLE | (uint32_t)PCI_EA_P_UNAVAILABLE << 16 | PCI_EA_P_MEM_PREFETCH << 8 | bar << 4 | 4);
    store_le32(entry + PCI_EA_BASE, ((uint32_t)m->gpa & PCI_EA_FIELD_MASK) | PCI_EA_IS_64);
    store_le32(entry + PCI_EA_MAX_OFFSET, ((uint32_t)(m->len - 1) & PCI_EA_FIELD_MASK) | PCI_EA_IS_64);
    store_le32(entry + PCI_EA_MAX_OFFSET + 4, half(m->gpa, true));
    store_le32(entry + PCI_EA_MAX_OFFSET + 8, half(m->len - 1, true));
    return true;
}

/* [4.1.4.7] */
static bool add_shared_memory(struct pci_dev *pci)
{
    const struct virtio_shared_memory *m = &container_of(pci->ops, struct desc, pci)->shared;
    unsigned at;

    if (!m->len)
        return true;
    at = add_cap(pci, VIRTIO_PCI_CAP_SHARED_MEMORY_CFG, sizeof(struct virtio_pci_cap64), 0, (uint32_t)m->len);
    if (!at)
        return false;
    pci->config[at + offsetof(struct virtio_pci_cap, bar)] = SHARED_BAR;
    store_le32(&pci->config[at + offsetof(struct virtio_pci_cap64, length_hi)], half(m->len, true));
    return add_fixed_memory(pci, SHARED_BAR, m);
}

static int pci_init(struct pci_dev *pci)
{
    struct virtio_pci *vp = container_of(pci, struct virtio_pci, pci);
    const unsigned len = sizeof(struct virtio_pci_cap);
    unsigned notify, cfg;
    bool good;

    good = add_cap(pci, VIRTIO_PCI_CAP_COMMON_CFG, len, COMMON_OFF, COMMON_LEN) &&
           add_cap(pci, VIRTIO_PCI_CAP_ISR_CFG, len, ISR_OFF, 1) &&
           add_cap(pci, VIRTIO_PCI_CAP_DEVICE_CFG, len, DEVICE_OFF, VIRTIO_CONFIG_MAX) && add_shared_memory(pci);
    notify = add_cap(pci, VIRTIO_PCI_CAP_NOTIFY_CFG, len + 4, NOTIFY_OFF,
                     VIRTIO_QUEUES_MAX * NOTIFY_STRIDE);
    cfg = add_cap(pci, VIRTIO_PCI_CAP_PCI_CFG, len + 4, 0, 0);
    if (!good || !notify || !cfg)
        return -ENOSPC;
    store_le32(&pci->config[notify + len], NOTIFY_STRIDE);
    pci->wmask[cfg + offsetof(struct virtio_pci_cap, bar)] = 0xff;
    memset(&pci->wmask[cfg + offsetof(struct virtio_pci_cap, offset)], 0xff, 8 + 4);
    vp->cfg_cap = cfg;
    return 0;
}

/* What the driver aims the window at [4.1.4.9]; false: at nothing. */
static bool window(struct virtio_pci *vp, uint32_t *off, unsigned *size)
{
    const uint8_t *cap = &vp->pci.config[vp->cfg_cap];

    *off = load_le32(cap + offsetof(struct virtio_pci_cap, offset));
    *size = load_le32(cap + offsetof(struct virtio_pci_cap, length));
    return vp->dev && cap[offsetof(struct virtio_pci_cap, bar)] == 0 &&
           (*size == 1 || *size == 2 || *size == 4) && *off % *size == 0 && *off < BAR_SIZE;
}

static bool touches_window(const struct virtio_pci *vp, unsigned off, unsigned len)
{
    unsigned data = vp->cfg_cap + (unsigned)sizeof(struct virtio_pci_cap);

    return vp->cfg_cap && off < data + 4 && off + len > data;
}

static void config_read_locked(struct pci_dev *pci, unsigned off, unsigned len)
{
    struct virtio_pci *vp = container_of(pci, struct virtio_pci, pci);
    uint32_t at;
    unsigned size;

    if (touches_window(vp, off, len) && window(vp, &at, &size)) {
        uint64_t v = bar_read(pci, at, size);

        memcpy(&pci->config[vp->cfg_cap + sizeof(struct virtio_pci_cap)], &v, size);
    }
}

static void config_written_locked(struct pci_dev *pci, unsigned off, unsigned len)
{
    struct virtio_pci *vp = container_of(pci, struct virtio_pci, pci);
    uint64_t v = 0;
    uint32_t at;
    unsigned size;

    if (len <= 4 && touches_window(vp, off, len) && window(vp, &at, &size)) {
        memcpy(&v, &pci->config[vp->cfg_cap + sizeof(struct virtio_pci_cap)], size);
        bar_write(pci, at, size, v);
    }
}

/* --- life --- */

static void pci_reset_locked(struct pci_dev *pci)
{
    struct virtio_pci *vp = container_of(pci, struct virtio_pci, pci);

    if (vp->dev)
        virtio_machine_reset_locked(vp->dev);
}

static void pci_fini(struct pci_dev *pci)
{
    struct virtio_pci *vp = container_of(pci, struct virtio_pci, pci);

    if (vp->dev)
        virtio_fini(vp->dev);
    free(vp->desc);
}

static int pci_loaded(void *object, struct vz_error *err)
{
    return virtio_loaded_locked(dev_of(object), err);
}

static void fill_desc(struct desc *d, const struct virtio_ops *ops, unsigned queues)
{
    unsigned n = 0;

    d->state[n++] = (struct state_field){.name = "virtio", .kind = STATE_KIND_STRUCT,
                                         .offset = (uint32_t)DEVICE_AT, .count = 1,
                                         .size = (uint32_t)ops->size, .fields = virtio_dev_state};
    d->state[n++] = (struct state_field){
        .name = "queue", .kind = STATE_KIND_STRUCT,
        .offset = (uint32_t)(DEVICE_AT + offsetof(struct virtio_dev, queue)), .count = queues,
        .size = sizeof(struct virtq), .fields = virtq_state};
    if (ops->state)
        d->state[n++] = (struct state_field){.name = "device", .kind = STATE_KIND_STRUCT,
                                             .offset = (uint32_t)DEVICE_AT, .count = 1,
                                             .size = (uint32_t)ops->size, .fields = ops->state};
    d->pci = (struct pci_ops){
        .name = ops->name, .vendor = PCI_VENDOR_VIRTIO,
        .device = (uint16_t)(PCI_DEVICE_BASE + ops->id), .revision = 1,
        .subsystem_vendor = PCI_VENDOR_VIRTIO, .subsystem = 0x1100,
        .class_code = ops->class_code ? ops->class_code : PCI_CLASS_OTHER,
        .bar[0] = {.kind = PCI_BAR_MEM64, .size = BAR_SIZE,
                   .read_locked = bar_read, .write_locked = bar_write},
        .msix_vectors = queues + 1, .intx_pin = 1, .size = DEVICE_AT + ops->size,
        .init = pci_init, .fini = pci_fini, .reset_locked = pci_reset_locked,
        .config_read_locked = config_read_locked, .config_written_locked = config_written_locked,
        .state = d->state, .state_version = ops->state_version ? ops->state_version : 1,
        .loaded = pci_loaded};
}

int virtio_pci_create(struct pci_host *host, unsigned devfn, const struct virtio_ops *ops,
                      const struct virtio_params *params, struct virtio_dev **ret,
                      struct vz_error *err)
{
    unsigned queues = params->queues ? params->queues : ops->queues;
    struct desc *desc = calloc(1, sizeof(*desc));
    struct virtio_pci *vp;
    struct pci_dev *pci;
    int r;

    if (!desc || queues > VIRTIO_QUEUES_MAX) {
        free(desc);
        return error_set(err, desc ? EINVAL : ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    fill_desc(desc, ops, queues);
    desc->shared = params->shared;
    r = pci_dev_create(host, &desc->pci, devfn, &pci);
    if (r < 0) {
        free(desc);
        return error_set(err, -r, VZ_ERROR_INTERNAL, "%s: cannot make its PCI function", ops->name);
    }
    vp = container_of(pci, struct virtio_pci, pci);
    vp->desc = desc;
    vp->dev = dev_of(pci);
    vp->dev->ops = ops;
    vp->dev->transport = &transport;
    vp->dev->lock = &pci->dev.lock;
    vp->dev->queue_count = queues;
    r = virtio_init(vp->dev, params, err);
    if (r < 0)
        return r; /* the bus has it, and destroys it */
    if (ret)
        *ret = vp->dev;
    return 0;
}

void virtio_pci_destroy(struct virtio_dev *dev)
{
    pci_dev_destroy(pci_of(dev));
}
