/* SPDX-License-Identifier: MIT */
/* The smallest PCI function: an identity, a scratch register and a doorbell that sends its own
 * interrupts back. No board has it by default; copy it to start a device. */
#include "pci/pci.h"

#define TESTDEV_ID 0x747a7674u

enum { REG_ID = 0, REG_SCRATCH = 4, REG_MSIX = 8, REG_INTX = 12 };

struct testdev {
    struct pci_dev pci;
    uint32_t scratch;
};

static uint64_t testdev_read(struct pci_dev *pci, uint64_t off, unsigned size)
{
    struct testdev *t = container_of(pci, struct testdev, pci);

    switch (off) { /* the core has checked off and size against .bar */
    case REG_ID: return TESTDEV_ID;
    case REG_SCRATCH: return t->scratch;
    default: return pci_bad_read(pci, off, size);
    }
}

static void testdev_write(struct pci_dev *pci, uint64_t off, unsigned size, uint64_t value)
{
    struct testdev *t = container_of(pci, struct testdev, pci);

    switch (off) {
    case REG_SCRATCH: t->scratch = (uint32_t)value; break;
    case REG_MSIX: pci_msix_locked(pci, (unsigned)value); break;
    case REG_INTX: pci_intx_locked(pci, value & 1); break;
    default: break;
    }
}

static void testdev_reset(struct pci_dev *pci)
{
    container_of(pci, struct testdev, pci)->scratch = 0;
}

static const struct state_field testdev_state[] = {STATE_UINT(struct testdev, scratch), STATE_END};

const struct pci_ops pci_testdev_ops = {
    .name = "testdev", .vendor = PCI_VENDOR_VZ, .device = 1, .class_code = PCI_CLASS_OTHER,
    .bar[0] = {.kind = PCI_BAR_MEM32, .size = 4096, .access = 4,
               .read_locked = testdev_read, .write_locked = testdev_write},
    .msix_vectors = 2, .intx_pin = 1, .reset_locked = testdev_reset,
    .state = testdev_state, .state_version = 1, .size = sizeof(struct testdev),
};
