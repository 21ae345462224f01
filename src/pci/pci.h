/* SPDX-License-Identifier: MIT */
/* PCI functions and the bus they sit on (PCI Local Bus 3.0, section numbers in brackets).
 *
 * A function is a pci_ops table and a struct that starts with struct pci_dev. The core allocates
 * it, implements its configuration space, decodes its BARs, keeps its MSI-X table, checks and
 * locks every access, and saves all that; the author writes only behaviour. testdev.c is the
 * smallest one: copy it to start a device.
 *
 * Only bus 0 exists. Two places lead to configuration space: ports 0xcf8 and 0xcfc, and ECAM. */
#ifndef VZ_PCI_PCI_H
#define VZ_PCI_PCI_H

#include "bus/bus.h"

struct pci_dev;
struct pci_host;

#define PCI_VENDOR_INTEL  0x8086
#define PCI_VENDOR_VIRTIO 0x1af4
#define PCI_VENDOR_VZ     0x1b36 /* as other virtual machines' own devices */
#define PCI_CLASS_HOST    0x060000
#define PCI_CLASS_ISA     0x060100
#define PCI_CLASS_OTHER   0xff0000

#define PCI_DEVFN(dev, fn) ((unsigned)(dev) << 3 | (fn))
#define PCI_BARS_MAX       6
#define PCI_CONFIG_SIZE    256
#define PCI_MSIX_MAX       64 /* vectors of a function */

/* Offsets in configuration space [6.1]. */
enum {
    PCI_CFG_VENDOR = 0x00, PCI_CFG_DEVICE = 0x02, PCI_CFG_COMMAND = 0x04, PCI_CFG_STATUS = 0x06,
    PCI_CFG_REVISION = 0x08, PCI_CFG_CLASS = 0x09, PCI_CFG_CACHE_LINE = 0x0c,
    PCI_CFG_HEADER_TYPE = 0x0e, PCI_CFG_BAR0 = 0x10, PCI_CFG_SUBSYSTEM_VENDOR = 0x2c,
    PCI_CFG_SUBSYSTEM = 0x2e, PCI_CFG_CAPABILITIES = 0x34, PCI_CFG_INTERRUPT_LINE = 0x3c,
    PCI_CFG_INTERRUPT_PIN = 0x3d, PCI_CFG_FIRST_CAPABILITY = 0x40,
};
enum { PCI_CMD_IO = 0x0001, PCI_CMD_MEM = 0x0002, PCI_CMD_MASTER = 0x0004,
       PCI_CMD_INTX_OFF = 0x0400 };
enum { PCI_STATUS_INTX = 0x0008, PCI_STATUS_CAPABILITIES = 0x0010 };

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64 };

/* Handlers: under the function's lock, on a vCPU thread; must not wait. off + size is inside the
 * BAR, off is a multiple of size. */
struct pci_bar_desc {
    enum pci_bar_kind kind; /* a MEM64 takes two slots: the next entry is NONE */
    bool prefetchable;
    uint64_t size;          /* power of two; memory: 16 bytes or more, ports: 4 to 256 */
    uint8_t access;         /* the only access size in bytes; 0: all from 1 to 8 */
    uint64_t (*read_locked)(struct pci_dev *pci, uint64_t off, unsigned size);
    void (*write_locked)(struct pci_dev *pci, uint64_t off, unsigned size, uint64_t value);
};

struct pci_ops {
    const char *name;
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code; /* 24 bits */
    uint8_t revision;
    bool multifunction;
    struct pci_bar_desc bar[PCI_BARS_MAX];
    unsigned msix_vectors; /* up to PCI_MSIX_MAX; the core adds a BAR behind the declared ones */
    uint8_t intx_pin;      /* 1..4: INTA..INTD; 0: none */
    size_t size;           /* of the device's struct, which starts with struct pci_dev */

    /* Optional. After the core has filled in configuration space: add capabilities and registers.
     * 0 or -errno. */
    int (*init)(struct pci_dev *pci);
    /* Optional; the last use of this table, which may free itself. */
    void (*fini)(struct pci_dev *pci);
    /* Optional. Under the lock; the core has reset configuration space, BARs and MSI-X. */
    void (*reset_locked)(struct pci_dev *pci);
    /* Optional. Under the lock; bytes [off, off + len) of configuration space were written. */
    void (*config_written_locked)(struct pci_dev *pci, unsigned off, unsigned len);
    /* Optional. Under the lock; bytes [off, off + len) are about to be read: make them current. */
    void (*config_read_locked)(struct pci_dev *pci, unsigned off, unsigned len);
    /* The device's own fields, and the version of that table. NULL: no state of its own. */
    const struct state_field *state;
    uint32_t state_version;
    int (*loaded)(void *object, struct vz_error *err); /* optional, see state_desc */
};

struct pci_msix_entry {
    uint32_t address_low, address_high, data, control;
};

struct pci_bar {
    struct bus_range range;
    struct pci_dev *pci;
    uint64_t size; /* 0: no BAR here */
    enum pci_bar_kind kind;
};

/* Guarded by dev.lock, but for what never changes after creation. */
struct pci_dev {
    struct device dev;
    const struct pci_ops *ops;
    struct pci_host *host;
    unsigned devfn;
    struct pci_bar bar[PCI_BARS_MAX];
    struct irq_line intx;
    struct state_desc state_desc;   /* of ops->state */
    uint8_t wmask[PCI_CONFIG_SIZE]; /* bits the guest may write */
    uint8_t reset_value[PCI_CONFIG_SIZE];
    unsigned cap_end;               /* where the next capability goes */
    unsigned cap_last;              /* the last one's offset; 0: none yet */
    unsigned msix_cap, msix_bar;    /* 0: no MSI-X */

    uint8_t config[PCI_CONFIG_SIZE];
    struct pci_msix_entry msix[PCI_MSIX_MAX];
    uint64_t msix_pending; /* bit per vector */
    struct bus_msi_line msix_line[PCI_MSIX_MAX]; /* the way to send each */
    bool intx_level;       /* what the device wants, whatever the command register says */
};

/* Ports inside 0xcf8..0xcff that belong to another device: byte accesses to 0xcf9. */
struct pci_reset_port {
    uint8_t (*read)(void *arg);
    void (*write)(void *arg, uint8_t value);
    void *arg;
};

struct pci_host_options {
    uint64_t ecam_base;  /* 256 MiB; where reset puts it, and the guest may move it */
    uint64_t mem32_base, mem32_end, mem64_base, mem64_end; /* for pci_assign_bars() */
    uint16_t io_base;
    struct pci_reset_port reset_port;
    /* The LPC bridge's PMBASE moved, or was switched on or off (ICH9 13.1.13). Any of them may be
     * called under the LPC bridge's lock. */
    void (*pm_base)(void *arg, uint16_t base, bool enabled);
    void (*smi_lock)(void *arg, bool locked); /* SMIs stay enabled or not (13.8.1.1); NULL: there are none */
    void *pm_arg;
    /* So many MiB at the end of the memory below 4 GiB, or none, are for System Management Mode only from now
     * on (MCH 5.1.20). Under the host bridge's lock. NULL: there is no such mode. */
    void (*smram)(void *arg, unsigned mib);
    void *smm_arg;
};

/* The Q35-like host bridge at 00.0 and the LPC bridge at 1f.0, with nothing else on the bus. It
 * belongs to the bus. 0 or -errno. */
int pci_host_create(struct bus *bus, const struct pci_host_options *options,
                    struct pci_host **ret) must_check;

/* Make a function, with BARs that are nowhere yet. -EEXIST: the place is taken. No vCPU runs. */
int pci_dev_create(struct pci_host *host, const struct pci_ops *ops, unsigned devfn,
                   struct pci_dev **ret) must_check;

/* Take it off the bus and free it. Nothing of it is in flight, and no vCPU runs. */
void pci_dev_destroy(struct pci_dev *pci);

/* Do what firmware does: give every BAR an address and enable decoding. After a reset, when no
 * firmware will run. No vCPU runs. */
void pci_assign_bars(struct pci_host *host);

/* A capability of len bytes (header included; all read-only until wmask says more). For init().
 * Returns its offset, or 0 when there is no room. */
unsigned pci_add_capability(struct pci_dev *pci, uint8_t id, unsigned len) must_check;

/* The following need pci->dev.lock. */
void pci_intx_locked(struct pci_dev *pci, bool level);
bool pci_msix_enabled_locked(const struct pci_dev *pci);
/* Send vector's message, or remember it while masked. Vectors out of range do nothing. */
void pci_msix_locked(struct pci_dev *pci, unsigned vector);

/* For read handlers: a register that is not there. All ones, counted. */
uint64_t pci_bad_read(struct pci_dev *pci, uint64_t off, unsigned size);

/* The GSI of a function's interrupt pin (1..4): 16 to 23, as the DSDT's _PRT says. */
static inline unsigned pci_intx_gsi(unsigned devfn, unsigned pin)
{
    return 16 + (((devfn >> 3) + pin - 1) & 7);
}

extern const struct pci_ops pci_testdev_ops; /* testdev.c */

#endif
