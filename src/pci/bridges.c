/* SPDX-License-Identifier: MIT */
/* The two functions every board has: a host bridge shaped like Intel's Q35 MCH (data sheet 316966)
 * and an LPC bridge like the ICH9's (316972). They are what kernels and firmware look for; of their
 * registers only those that move something of ours do anything, the rest is memory. */
#include <string.h>

#include "base/le.h"
#include "pci/pci_host.h"

/* MCH: PCIEXBAR (5.1.15). Bits 2:1 choose the length, of which we have only 256 MiB (0). */
enum { MCH_PCIEXBAR = 0x60, MCH_FREE = 0x40 };
#define PCIEXBAR_ENABLE  UINT64_C(1)
#define PCIEXBAR_ADDRESS UINT64_C(0xff0000000)

static void mch_place_ecam(struct pci_dev *pci)
{
    uint64_t v = load_le64(&pci->config[MCH_PCIEXBAR]);

    pci_host_place_ecam(pci->host, v & PCIEXBAR_ADDRESS, v & PCIEXBAR_ENABLE);
}

static int mch_init(struct pci_dev *pci)
{
    memset(&pci->wmask[MCH_FREE], 0xff, PCI_CONFIG_SIZE - MCH_FREE);
    store_le64(&pci->wmask[MCH_PCIEXBAR], PCIEXBAR_ADDRESS | PCIEXBAR_ENABLE);
    store_le64(&pci->config[MCH_PCIEXBAR], pci->host->options.ecam_base | PCIEXBAR_ENABLE);
    store_le16(&pci->wmask[PCI_CFG_COMMAND], 0); /* always decodes, always masters */
    store_le16(&pci->config[PCI_CFG_COMMAND], PCI_CMD_MEM | PCI_CMD_MASTER);
    return 0;
}

static void mch_config_written(struct pci_dev *pci, unsigned off, unsigned len)
{
    if (off < MCH_PCIEXBAR + 8 && off + len > MCH_PCIEXBAR)
        mch_place_ecam(pci);
}

const struct pci_ops pci_mch_ops = {
    .name = "host-bridge",
    .vendor = PCI_VENDOR_INTEL,
    .device = 0x29c0,
    .revision = 2,
    .class_code = PCI_CLASS_HOST,
    .size = sizeof(struct pci_dev),
    .init = mch_init,
    .reset_locked = mch_place_ecam,
    .config_written_locked = mch_config_written,
};

/* LPC: ACPI base and control (13.1.13-14), interrupt routing (13.1.17), GPIO and decode ranges. */
enum { LPC_PMBASE = 0x40, LPC_ACPI_CNTL = 0x44, LPC_PIRQ_A = 0x60, LPC_PIRQ_E = 0x68,
       LPC_DECODE = 0x80, LPC_RCBA = 0xf0 };
enum { PMBASE_ADDRESS = 0xff80, PMBASE_IO = 0x0001, ACPI_ENABLE = 0x80, PIRQ_OFF = 0x80 };

static void lpc_place_pm(struct pci_dev *pci)
{
    const struct pci_host_options *o = &pci->host->options;

    if (o->pm_base)
        o->pm_base(o->pm_arg, load_le16(&pci->config[LPC_PMBASE]) & PMBASE_ADDRESS,
                   pci->config[LPC_ACPI_CNTL] & ACPI_ENABLE);
}

static int lpc_init(struct pci_dev *pci)
{
    store_le32(&pci->wmask[LPC_PMBASE], PMBASE_ADDRESS);
    store_le32(&pci->config[LPC_PMBASE], 0x600 | PMBASE_IO);
    pci->wmask[LPC_ACPI_CNTL] = ACPI_ENABLE; /* SCI stays on IRQ 9 */
    pci->config[LPC_ACPI_CNTL] = ACPI_ENABLE;
    for (unsigned i = 0; i < 4; i++) {
        pci->wmask[LPC_PIRQ_A + i] = pci->wmask[LPC_PIRQ_E + i] = 0x8f;
        pci->config[LPC_PIRQ_A + i] = pci->config[LPC_PIRQ_E + i] = PIRQ_OFF;
    }
    memset(&pci->wmask[LPC_DECODE], 0xff, 0x20);
    store_le32(&pci->wmask[LPC_RCBA], 0xffffc001);
    store_le16(&pci->wmask[PCI_CFG_COMMAND], 0);
    store_le16(&pci->config[PCI_CFG_COMMAND], PCI_CMD_IO | PCI_CMD_MEM | PCI_CMD_MASTER);
    return 0;
}

static void lpc_config_written(struct pci_dev *pci, unsigned off, unsigned len)
{
    if (off < LPC_ACPI_CNTL + 1 && off + len > LPC_PMBASE)
        lpc_place_pm(pci);
}

const struct pci_ops pci_lpc_ops = {
    .name = "lpc-bridge",
    .vendor = PCI_VENDOR_INTEL,
    .device = 0x2918,
    .revision = 2,
    .class_code = PCI_CLASS_ISA,
    .multifunction = true,
    .size = sizeof(struct pci_dev),
    .init = lpc_init,
    .reset_locked = lpc_place_pm,
    .config_written_locked = lpc_config_written,
};
