/* SPDX-License-Identifier: MIT */
/* Configuration space of one function: registers with write masks, BARs, the INTx pin. */
#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "base/log.h"
#include "pci/pci_host.h"

enum { HEADER_MULTIFUNCTION = 0x80 };

static uint8_t bar_flags(const struct pci_bar *bar, bool prefetchable)
{
    switch (bar->kind) {
    case PCI_BAR_IO: return 1;
    case PCI_BAR_MEM64: return 4 | (prefetchable ? 8 : 0);
    default: return prefetchable ? 8 : 0;
    }
}

static unsigned bar_offset(unsigned index)
{
    return PCI_CFG_BAR0 + 4 * index;
}

/* A BAR's address bits are writable from its size up; that is how its size is found [6.2.5.1]. */
static void init_bar(struct pci_dev *pci, unsigned index)
{
    struct pci_bar *bar = &pci->bar[index];
    uint64_t mask = ~(bar->size - 1);

    if (!bar->size)
        return;
    if (bar->kind == PCI_BAR_IO)
        mask &= 0xffff; /* no more ports than that */
    pci->config[bar_offset(index)] = bar_flags(bar, pci->ops->bar[index].prefetchable);
    store_le32(&pci->wmask[bar_offset(index)], (uint32_t)mask);
    if (bar->kind == PCI_BAR_MEM64)
        store_le32(&pci->wmask[bar_offset(index + 1)], (uint32_t)(mask >> 32));
}

void pci_config_init(struct pci_dev *pci)
{
    const struct pci_ops *ops = pci->ops;
    bool any_io = false, any_mem = false;

    store_le16(&pci->config[PCI_CFG_VENDOR], ops->vendor);
    store_le16(&pci->config[PCI_CFG_DEVICE], ops->device);
    pci->config[PCI_CFG_REVISION] = ops->revision;
    for (unsigned i = 0; i < 3; i++)
        pci->config[PCI_CFG_CLASS + i] = (uint8_t)(ops->class_code >> (8 * i));
    pci->config[PCI_CFG_HEADER_TYPE] = ops->multifunction ? HEADER_MULTIFUNCTION : 0;
    store_le16(&pci->config[PCI_CFG_SUBSYSTEM_VENDOR], ops->subsystem_vendor);
    store_le16(&pci->config[PCI_CFG_SUBSYSTEM], ops->subsystem);
    pci->config[PCI_CFG_INTERRUPT_PIN] = ops->intx_pin;
    pci->wmask[PCI_CFG_INTERRUPT_LINE] = 0xff;
    pci->wmask[PCI_CFG_CACHE_LINE] = 0xff;
    for (unsigned i = 0; i < PCI_BARS_MAX; i++) {
        init_bar(pci, i);
        any_io |= pci->bar[i].size && pci->bar[i].kind == PCI_BAR_IO;
        any_mem |= pci->bar[i].size && pci->bar[i].kind != PCI_BAR_IO;
    }
    store_le16(&pci->wmask[PCI_CFG_COMMAND],
               (uint16_t)((any_io ? PCI_CMD_IO : 0) | (any_mem ? PCI_CMD_MEM : 0) |
                          PCI_CMD_MASTER | PCI_CMD_INTX_OFF | 0x0140));
}

static uint64_t bar_address(const struct pci_dev *pci, unsigned index)
{
    const struct pci_bar *bar = &pci->bar[index];
    uint64_t v = load_le32(&pci->config[bar_offset(index)]);

    if (bar->kind == PCI_BAR_MEM64)
        v |= (uint64_t)load_le32(&pci->config[bar_offset(index + 1)]) << 32;
    return v & ~(bar->size - 1);
}

void pci_bar_set_locked(struct pci_dev *pci, unsigned index, uint64_t addr)
{
    pci_config_write_locked(pci, bar_offset(index), 4, (uint32_t)addr);
    if (pci->bar[index].kind == PCI_BAR_MEM64)
        pci_config_write_locked(pci, bar_offset(index + 1), 4, (uint32_t)(addr >> 32));
}

static bool bar_decodes(const struct pci_dev *pci, unsigned index)
{
    uint16_t command = load_le16(&pci->config[PCI_CFG_COMMAND]);
    bool io = pci->bar[index].kind == PCI_BAR_IO;

    /* Nobody means address 0: it is a BAR that has none yet. */
    return pci->bar[index].size && (command & (io ? PCI_CMD_IO : PCI_CMD_MEM)) &&
           bar_address(pci, index) && (io || !(bar_address(pci, index) & HV_GPA_SMM));
}

void pci_map_bars_locked(struct pci_dev *pci)
{
    for (unsigned i = 0; i < PCI_BARS_MAX; i++) {
        struct pci_bar *bar = &pci->bar[i];
        bool wanted = bar_decodes(pci, i);
        uint64_t base = wanted ? bar_address(pci, i) : 0;

        if (bar->range.added && (!wanted || bar->range.base != base))
            bus_remove(pci->dev.bus, &bar->range);
        if (!wanted || bar->range.added)
            continue;
        bar->range.base = base;
        bar->range.len = bar->size;
        /* Guests see this while they size BARs with decoding on; it settles with the next write. */
        if (bus_add(pci->dev.bus, bar->kind == PCI_BAR_IO ? BUS_PORT : BUS_MMIO, &bar->range) < 0)
            log_debug("%s: BAR %u at %#llx lies on something else", pci->ops->name, i,
                      (unsigned long long)base);
    }
}

void pci_update_intx_locked(struct pci_dev *pci)
{
    uint16_t command = load_le16(&pci->config[PCI_CFG_COMMAND]);

    if (!pci->ops->intx_pin)
        return;
    pci->config[PCI_CFG_STATUS] = (uint8_t)((pci->config[PCI_CFG_STATUS] & ~PCI_STATUS_INTX) |
                                            (pci->intx_level ? PCI_STATUS_INTX : 0));
    irq_line_set(&pci->intx, pci->intx_level && !(command & PCI_CMD_INTX_OFF) &&
                                 !pci_msix_enabled_locked(pci));
}

void pci_intx_locked(struct pci_dev *pci, bool level)
{
    pci->intx_level = level;
    pci_update_intx_locked(pci);
}

void pci_config_reset_locked(struct pci_dev *pci)
{
    memcpy(pci->config, pci->reset_value, sizeof(pci->config));
    pci->intx_level = false;
    pci_msix_reset_locked(pci);
    pci_map_bars_locked(pci);
    pci_update_intx_locked(pci);
}

uint32_t pci_config_read_locked(struct pci_dev *pci, unsigned off, unsigned size)
{
    uint32_t v = 0;

    if (pci->ops->config_read_locked)
        pci->ops->config_read_locked(pci, off, size);
    memcpy(&v, &pci->config[off], size);
    return v;
}

void pci_config_write_locked(struct pci_dev *pci, unsigned off, unsigned size, uint32_t value)
{
    for (unsigned i = 0; i < size; i++) {
        uint8_t mask = pci->wmask[off + i], v = (uint8_t)(value >> (8 * i));

        pci->config[off + i] = (uint8_t)((pci->config[off + i] & ~mask) | (v & mask));
    }
    if (off < PCI_CFG_BAR0 + 4 * PCI_BARS_MAX)
        pci_map_bars_locked(pci);
    pci_update_intx_locked(pci);
    pci_msix_unmasked_locked(pci);
    if (pci->ops->config_written_locked)
        pci->ops->config_written_locked(pci, off, size);
}

unsigned pci_add_capability(struct pci_dev *pci, uint8_t id, unsigned len)
{
    unsigned at = pci->cap_end;

    if (len < 2 || at + len > PCI_CONFIG_SIZE)
        return 0;
    pci->config[at] = id;
    pci->config[pci->cap_last ? pci->cap_last + 1 : PCI_CFG_CAPABILITIES] = (uint8_t)at;
    pci->config[PCI_CFG_STATUS] |= PCI_STATUS_CAPABILITIES;
    pci->cap_last = at;
    pci->cap_end = (at + len + 3) & ~3u;
    return at;
}

uint64_t pci_bad_read(struct pci_dev *pci, uint64_t off, unsigned size)
{
    atomic_fetch_add_explicit(&pci->dev.bus->stats.unclaimed_reads, 1, memory_order_relaxed);
    return UINT64_MAX;
}
