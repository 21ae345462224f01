/* SPDX-License-Identifier: MIT */
/* What the parts of the PCI core share: host.c, config.c, msix.c, bridges.c. */
#ifndef VZ_PCI_PCI_HOST_H
#define VZ_PCI_PCI_HOST_H

#include "pci/pci.h"

#define PCI_ECAM_SIZE (256 * MIB)

/* The way to configuration space. Its lock is taken before a function's. */
struct pci_host {
    struct device dev;
    struct bus_range ports, ecam;
    struct pci_host_options options;
    struct pci_dev *slot[256]; /* by devfn; constant once vCPUs run */
    uint32_t address;          /* CONFIG_ADDRESS */
    uint32_t trace;            /* base/trace.h */
};

extern const struct pci_ops pci_mch_ops, pci_lpc_ops; /* bridges.c */

/* Where ECAM is, from the host bridge's PCIEXBAR. Takes only the bus's lock. */
void pci_host_place_ecam(struct pci_host *host, uint64_t base, bool enabled);

/* config.c: configuration space of one function. Under its lock. size 1, 2, 4; off + size fits. */
void pci_config_init(struct pci_dev *pci);
void pci_config_reset_locked(struct pci_dev *pci);
uint32_t pci_config_read_locked(struct pci_dev *pci, unsigned off, unsigned size);
void pci_config_write_locked(struct pci_dev *pci, unsigned off, unsigned size, uint32_t value);
void pci_map_bars_locked(struct pci_dev *pci);
void pci_update_intx_locked(struct pci_dev *pci);
void pci_bar_set_locked(struct pci_dev *pci, unsigned index, uint64_t addr);

/* msix.c */
int pci_msix_init(struct pci_dev *pci);
void pci_msix_fini(struct pci_dev *pci);
void pci_msix_reset_locked(struct pci_dev *pci);
void pci_msix_unmasked_locked(struct pci_dev *pci);
extern const struct state_field pci_msix_entry_fields[];

#endif
