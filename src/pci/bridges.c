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

/* SMRAM and ESMRAMC (5.1.19, 5.1.20), and what QEMU's has in a place that is reserved: the size of a TSEG
 * of "11b", in MiB, which firmware for virtual machines asks for. */
enum { MCH_TSEG_MIB = 0x50, MCH_SMRAM = 0x9d, MCH_ESMRAMC = 0x9e };
enum { SMRAM_OPEN = 0x40, SMRAM_CLOSED = 0x20, SMRAM_LOCK = 0x10, SMRAM_ENABLE = 0x08,
       SMRAM_RESET = 0x02, ESMRAMC_TSEG_SIZE = 0x06, ESMRAMC_TSEG = 0x01, ESMRAMC_RESET = 0x38 };
#define TSEG_MIB_MAX 16u

/* Once locked, it stays as it is until a reset. */
static void mch_place_smram(struct pci_dev *pci)
{
    static const unsigned mib[] = {1, 2, 8, TSEG_MIB_MAX};
    const struct pci_host_options *o = &pci->host->options;
    bool locked = pci->config[MCH_SMRAM] & SMRAM_LOCK;
    bool on = (pci->config[MCH_SMRAM] & SMRAM_ENABLE) && (pci->config[MCH_ESMRAMC] & ESMRAMC_TSEG);

    if (!o->smram)
        return;
    if (locked)
        pci->config[MCH_SMRAM] &= (uint8_t)~SMRAM_OPEN;
    pci->wmask[MCH_SMRAM] = locked ? 0 : SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCK | SMRAM_ENABLE;
    pci->wmask[MCH_ESMRAMC] = locked ? 0 : 0x80 | ESMRAMC_TSEG_SIZE | ESMRAMC_TSEG;
    o->smram(o->smm_arg, on ? mib[(pci->config[MCH_ESMRAMC] & ESMRAMC_TSEG_SIZE) >> 1] : 0);
}

static void mch_init_smram(struct pci_dev *pci)
{
    store_le16(&pci->wmask[MCH_TSEG_MIB], 0);
    store_le16(&pci->config[MCH_TSEG_MIB], TSEG_MIB_MAX);
    pci->config[MCH_SMRAM] = SMRAM_RESET;
    pci->config[MCH_ESMRAMC] = ESMRAMC_RESET;
    pci->wmask[MCH_SMRAM] = pci->wmask[MCH_ESMRAMC] = 0xff; /* until the first mch_place_smram() */
}

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
    if (pci->host->options.smram)
        mch_init_smram(pci);
    store_le16(&pci->wmask[PCI_CFG_COMMAND], 0); /* always decodes, always masters */
    store_le16(&pci->config[PCI_CFG_COMMAND], PCI_CMD_MEM | PCI_CMD_MASTER);
    return 0;
}

static void mch_config_written(struct pci_dev *pci, unsigned off, unsigned len)
{
    if (off < MCH_PCIEXBAR + 8 && off + len > MCH_PCIEXBAR)
        mch_place_ecam(pci);
    if (off <= MCH_ESMRAMC && off + len > MCH_SMRAM)
        mch_place_smram(pci);
}

static void mch_reset(struct pci_dev *pci)
{
    mch_place_ecam(pci);
    mch_place_smram(pci);
}

const struct pci_ops pci_mch_ops = {
    .name = "host-bridge",
    .vendor = PCI_VENDOR_INTEL,
    .device = 0x29c0,
    .revision = 2,
    .class_code = PCI_CLASS_HOST,
    .size = sizeof(struct pci_dev),
    .init = mch_init,
    .reset_locked = mch_reset,
    .config_written_locked = mch_config_written,
};

/* LPC: ACPI base and control (13.1.13-14), interrupt routing (13.1.17), GPIO and decode ranges. */
enum { LPC_PMBASE = 0x40, LPC_ACPI_CNTL = 0x44, LPC_PIRQ_A = 0x60, LPC_PIRQ_E = 0x68,
       LPC_DECODE = 0x80, LPC_GEN_PMCON_1 = 0xa0, LPC_RCBA = 0xf0 };
enum { PMBASE_ADDRESS = 0xff80, PMBASE_IO = 0x0001, ACPI_ENABLE = 0x80, PIRQ_OFF = 0x80,
       SMI_LOCK = 0x10 };

static void lpc_place_pm(struct pci_dev *pci)
{
    const struct pci_host_options *o = &pci->host->options;

    if (o->pm_base)
        o->pm_base(o->pm_arg, load_le16(&pci->config[LPC_PMBASE]) & PMBASE_ADDRESS,
                   pci->config[LPC_ACPI_CNTL] & ACPI_ENABLE);
}

/* 13.8.1.1: until a reset. */
static void lpc_lock_smi(struct pci_dev *pci)
{
    const struct pci_host_options *o = &pci->host->options;
    bool locked = pci->config[LPC_GEN_PMCON_1] & SMI_LOCK;

    if (!o->smi_lock)
        return;
    pci->wmask[LPC_GEN_PMCON_1] = locked ? 0 : SMI_LOCK;
    o->smi_lock(o->pm_arg, locked);
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
    if (off <= LPC_GEN_PMCON_1 && off + len > LPC_GEN_PMCON_1)
        lpc_lock_smi(pci);
}

static void lpc_reset(struct pci_dev *pci)
{
    lpc_place_pm(pci);
    lpc_lock_smi(pci);
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
    .reset_locked = lpc_reset,
    .config_written_locked = lpc_config_written,
};
