/* SPDX-License-Identifier: MIT */
/* MSI-X (PCI 3.0 section 6.8.2): the capability, and a BAR that holds the table in its first half
 * and the pending bits in its second. */
#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "pci/pci_host.h"

enum { CAP_MSIX = 0x11, CAP_MSIX_LEN = 12 };
enum { MSIX_CONTROL = 2, MSIX_TABLE = 4, MSIX_PBA = 8 };
enum { CONTROL_MASK_ALL = 0x4000, CONTROL_ENABLE = 0x8000 };
enum { ENTRY_SIZE = 16, VECTOR_MASKED = 1 };

#define MSIX_BAR_SIZE 4096u
#define MSIX_PBA_OFF  2048u

const struct state_field pci_msix_entry_fields[] = {
    STATE_UINT(struct pci_msix_entry, address_low),
    STATE_UINT(struct pci_msix_entry, address_high),
    STATE_UINT(struct pci_msix_entry, data),
    STATE_UINT(struct pci_msix_entry, control),
    STATE_END,
};

static uint16_t control(const struct pci_dev *pci)
{
    return pci->msix_cap ? load_le16(&pci->config[pci->msix_cap + MSIX_CONTROL]) : 0;
}

bool pci_msix_enabled_locked(const struct pci_dev *pci)
{
    return control(pci) & CONTROL_ENABLE;
}

/* Masks are judged before it comes here, so the backend's route may stay as it is meanwhile. */
static void send(struct pci_dev *pci, unsigned vector)
{
    const struct pci_msix_entry *e = &pci->msix[vector];

    bus_msi_line_send(pci->dev.bus, &pci->msix_line[vector],
                      (uint64_t)e->address_high << 32 | e->address_low, e->data);
}

void pci_msix_locked(struct pci_dev *pci, unsigned vector)
{
    if (vector >= pci->ops->msix_vectors || !pci_msix_enabled_locked(pci))
        return;
    if ((control(pci) & CONTROL_MASK_ALL) || (pci->msix[vector].control & VECTOR_MASKED))
        pci->msix_pending |= BIT(vector);
    else
        send(pci, vector);
}

/* Something may have been unmasked: send what waited for it. */
void pci_msix_unmasked_locked(struct pci_dev *pci)
{
    if (!pci_msix_enabled_locked(pci) || (control(pci) & CONTROL_MASK_ALL))
        return;
    for (unsigned i = 0; pci->msix_pending && i < pci->ops->msix_vectors; i++) {
        if ((pci->msix_pending & BIT(i)) && !(pci->msix[i].control & VECTOR_MASKED)) {
            pci->msix_pending &= ~BIT(i);
            send(pci, i);
        }
    }
}

static uint64_t msix_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct pci_dev *pci = container_of(r, struct pci_bar, range)->pci;
    uint64_t v = 0;

    if (off + size <= ENTRY_SIZE * (uint64_t)pci->ops->msix_vectors)
        memcpy(&v, (const uint8_t *)pci->msix + off, size);
    else if (off >= MSIX_PBA_OFF && off + size <= MSIX_PBA_OFF + 8)
        v = pci->msix_pending >> (8 * (off - MSIX_PBA_OFF));
    return v;
}

static void msix_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct pci_dev *pci = container_of(r, struct pci_bar, range)->pci;

    if (off + size > ENTRY_SIZE * (uint64_t)pci->ops->msix_vectors)
        return; /* the pending bits are for reading */
    memcpy((uint8_t *)pci->msix + off, &value, size);
    pci->msix[off / ENTRY_SIZE].control &= VECTOR_MASKED;
    pci->msix[off / ENTRY_SIZE].address_low &= ~3u;
    pci_msix_unmasked_locked(pci);
}

void pci_msix_reset_locked(struct pci_dev *pci)
{
    memset(pci->msix, 0, sizeof(pci->msix));
    for (unsigned i = 0; i < PCI_MSIX_MAX; i++)
        pci->msix[i].control = VECTOR_MASKED;
    pci->msix_pending = 0;
}

void pci_msix_fini(struct pci_dev *pci)
{
    for (unsigned i = 0; i < PCI_MSIX_MAX; i++)
        bus_msi_line_fini(pci->dev.bus, &pci->msix_line[i]);
}

/* The first slot that no declared BAR uses. */
static unsigned free_bar(const struct pci_dev *pci)
{
    unsigned index = 0;

    for (unsigned i = 0; i < PCI_BARS_MAX; i++) {
        if (pci->bar[i].size)
            index = i + (pci->bar[i].kind == PCI_BAR_MEM64 ? 2 : 1);
    }
    return index;
}

/* Before pci_config_init(), which makes the BAR's registers. */
int pci_msix_init(struct pci_dev *pci)
{
    unsigned index = free_bar(pci), cap;

    if (!pci->ops->msix_vectors)
        return 0;
    if (pci->ops->msix_vectors > PCI_MSIX_MAX || index >= PCI_BARS_MAX)
        return -EINVAL;
    cap = pci_add_capability(pci, CAP_MSIX, CAP_MSIX_LEN);
    if (!cap)
        return -ENOSPC;
    pci->msix_cap = cap;
    pci->msix_bar = index;
    store_le16(&pci->config[cap + MSIX_CONTROL], (uint16_t)(pci->ops->msix_vectors - 1));
    store_le16(&pci->wmask[cap + MSIX_CONTROL], CONTROL_MASK_ALL | CONTROL_ENABLE);
    store_le32(&pci->config[cap + MSIX_TABLE], index);
    store_le32(&pci->config[cap + MSIX_PBA], MSIX_PBA_OFF | index);
    pci->bar[index] = (struct pci_bar){
        .pci = pci, .size = MSIX_BAR_SIZE, .kind = PCI_BAR_MEM32,
        .range = {.dev = &pci->dev, .min_size = 4, .max_size = 8,
                  .read_locked = msix_read, .write_locked = msix_write}};
    return 0;
}
