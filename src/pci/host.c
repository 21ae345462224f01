/* SPDX-License-Identifier: MIT */
/* The PCI bus: the two ways to configuration space, and the making of functions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/le.h"
#include "base/log.h"
#include "base/trace.h"
#include "pci/pci_host.h"

#define ADDRESS_ENABLE UINT32_C(0x80000000)

/* --- functions --- */

static uint64_t bar_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct pci_bar *bar = container_of(r, struct pci_bar, range);
    const struct pci_bar_desc *desc = &bar->pci->ops->bar[bar - bar->pci->bar];

    return desc->read_locked ? desc->read_locked(bar->pci, off, size)
                             : pci_bad_read(bar->pci, off, size);
}

static void bar_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct pci_bar *bar = container_of(r, struct pci_bar, range);
    const struct pci_bar_desc *desc = &bar->pci->ops->bar[bar - bar->pci->bar];

    if (desc->write_locked)
        desc->write_locked(bar->pci, off, size, value);
}

static void dev_reset(struct device *dev)
{
    struct pci_dev *pci = container_of(dev, struct pci_dev, dev);

    pci_config_reset_locked(pci);
    if (pci->ops->reset_locked)
        pci->ops->reset_locked(pci);
}

static void dev_destroy(struct device *dev)
{
    struct pci_dev *pci = container_of(dev, struct pci_dev, dev);

    pci_msix_fini(pci);
    if (pci->ops->fini)
        pci->ops->fini(pci);
    pci->host->slot[pci->devfn] = NULL;
    device_fini(dev);
    free(pci);
}

void pci_dev_destroy(struct pci_dev *pci)
{
    device_lock(&pci->dev);
    pci_intx_locked(pci, false); /* others may share the GSI */
    device_unlock(&pci->dev);
    dev_destroy(&pci->dev);
}

/* Read-only bits keep what this machine's function has: a file does not change identities. */
static int dev_loaded(void *object, struct vz_error *err)
{
    struct pci_dev *pci = object;

    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
        pci->config[i] = (uint8_t)((pci->config[i] & pci->wmask[i]) |
                                   (pci->reset_value[i] & ~pci->wmask[i]));
    for (unsigned i = 0; i < PCI_MSIX_MAX; i++)
        pci->msix[i].control &= 1;
    pci_map_bars_locked(pci);
    pci_update_intx_locked(pci);
    if (pci->ops->config_written_locked)
        pci->ops->config_written_locked(pci, 0, PCI_CONFIG_SIZE);
    return 0;
}

static const struct state_field dev_fields[] = {
    STATE_BYTES(struct pci_dev, config),
    STATE_STRUCT_ARRAY(struct pci_dev, msix, pci_msix_entry_fields),
    STATE_UINT(struct pci_dev, msix_pending),
    STATE_BOOL(struct pci_dev, intx_level),
    STATE_END,
};

static const struct state_desc dev_state = {
    .name = "pci-function", .version = 1, .fields = dev_fields, .loaded = dev_loaded};

static const struct device_ops dev_ops = {.name = "pci-function",
                                          .reset_locked = dev_reset,
                                          .state = &dev_state,
                                          .destroy = dev_destroy};

static void init_bars(struct pci_dev *pci)
{
    for (unsigned i = 0; i < PCI_BARS_MAX; i++) {
        const struct pci_bar_desc *desc = &pci->ops->bar[i];

        pci->bar[i] = (struct pci_bar){
            .pci = pci, .size = desc->kind ? desc->size : 0, .kind = desc->kind,
            .range = {.dev = &pci->dev, .min_size = desc->access, .max_size = desc->access,
                      .read_locked = bar_read, .write_locked = bar_write}};
    }
}

int pci_dev_create(struct pci_host *host, const struct pci_ops *ops, unsigned devfn,
                   struct pci_dev **ret)
{
    struct pci_dev *pci;
    int r;

    if (devfn >= ARRAY_SIZE(host->slot) || ops->size < sizeof(*pci))
        return -EINVAL;
    if (host->slot[devfn])
        return -EEXIST;
    pci = calloc(1, ops->size);
    if (!pci)
        return -ENOMEM;
    pci->ops = ops;
    pci->host = host;
    pci->devfn = devfn;
    pci->cap_end = PCI_CFG_FIRST_CAPABILITY;
    r = device_init(&pci->dev, &dev_ops, host->dev.bus, devfn);
    if (r < 0) {
        free(pci);
        return r;
    }
    host->slot[devfn] = pci;
    if (ops->state) {
        pci->state_desc = (struct state_desc){.name = ops->name, .version = ops->state_version,
                                              .fields = ops->state, .loaded = ops->loaded};
        pci->dev.own_state = &pci->state_desc;
    }
    if (ops->intx_pin)
        irq_line_init(&pci->intx, host->dev.bus, pci_intx_gsi(devfn, ops->intx_pin));
    init_bars(pci);
    r = pci_msix_init(pci);
    pci_config_init(pci);
    if (!r && ops->init)
        r = ops->init(pci);
    if (r < 0) {
        dev_destroy(&pci->dev);
        return r;
    }
    memcpy(pci->reset_value, pci->config, sizeof(pci->config));
    device_lock(&pci->dev);
    dev_reset(&pci->dev);
    device_unlock(&pci->dev);
    if (ret)
        *ret = pci;
    return 0;
}

/* --- configuration accesses; under the host's lock --- */

static uint32_t config_read(struct pci_host *host, unsigned devfn, unsigned off, unsigned size)
{
    struct pci_dev *pci = host->slot[devfn];
    uint32_t v = 0;

    if (!pci)
        return UINT32_MAX;
    if (off + size <= PCI_CONFIG_SIZE) { /* beyond: no extended capabilities, all 0 */
        device_lock(&pci->dev);
        v = pci_config_read_locked(pci, off, size);
        device_unlock(&pci->dev);
    }
    return v;
}

static void config_write(struct pci_host *host, unsigned devfn, unsigned off, unsigned size,
                         uint32_t v)
{
    struct pci_dev *pci = host->slot[devfn];

    if (!pci || off + size > PCI_CONFIG_SIZE)
        return;
    TRACE(host->trace, pci, pci->ops->name, pci, "configuration %#x.%u = %#x", off, size, v);
    device_lock(&pci->dev);
    pci_config_write_locked(pci, off, size, v);
    device_unlock(&pci->dev);
}

/* Does CONFIG_ADDRESS select something on bus 0? [3.2.2.3.2] */
static bool address_is_ours(const struct pci_host *host)
{
    return (host->address & ADDRESS_ENABLE) && !(host->address & 0x00ff0000);
}

static unsigned address_devfn(const struct pci_host *host)
{
    return (host->address >> 8) & 0xff;
}

static uint64_t ports_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct pci_host *host = container_of(r, struct pci_host, ports);
    const struct pci_reset_port *reset = &host->options.reset_port;

    if (off >= 4)
        return address_is_ours(host)
                   ? config_read(host, address_devfn(host),
                                 (host->address & 0xfc) + (unsigned)(off - 4), size)
                   : UINT64_MAX;
    if (off == 0 && size == 4)
        return host->address;
    return off == 1 && size == 1 && reset->read ? reset->read(reset->arg) : UINT64_MAX;
}

static void ports_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct pci_host *host = container_of(r, struct pci_host, ports);
    const struct pci_reset_port *reset = &host->options.reset_port;

    if (off >= 4) {
        if (address_is_ours(host))
            config_write(host, address_devfn(host), (host->address & 0xfc) + (unsigned)(off - 4),
                         size, (uint32_t)value);
    } else if (off == 0 && size == 4) {
        host->address = (uint32_t)value & ~UINT32_C(0x7f000003);
    } else if (off == 1 && size == 1 && reset->write) {
        reset->write(reset->arg, (uint8_t)value);
    }
}

/* ECAM: bus 27:20, devfn 19:12, register 11:0 (PCI Express 7.2.2). */
static uint64_t ecam_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct pci_host *host = container_of(r, struct pci_host, ecam);

    return off >> 20 ? UINT64_MAX
                     : config_read(host, (off >> 12) & 0xff, (unsigned)off & 0xfff, size);
}

static void ecam_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct pci_host *host = container_of(r, struct pci_host, ecam);

    if (!(off >> 20))
        config_write(host, (off >> 12) & 0xff, (unsigned)off & 0xfff, size, (uint32_t)value);
}

void pci_host_place_ecam(struct pci_host *host, uint64_t base, bool enabled)
{
    if (host->ecam.added && enabled && host->ecam.base == base)
        return;
    bus_remove(host->dev.bus, &host->ecam);
    host->ecam.base = base;
    if (enabled && bus_add(host->dev.bus, BUS_MMIO, &host->ecam) < 0)
        log_once(LOG_WARN, "the guest moved PCI configuration space to an occupied place");
}

/* --- addresses, as firmware gives them out --- */

static void assign_one(struct pci_dev *pci, unsigned index, uint64_t *io, uint64_t *mem32,
                       uint64_t *mem64)
{
    const struct pci_bar *bar = &pci->bar[index];
    const struct pci_host_options *o = &pci->host->options;
    uint64_t *next = bar->kind == PCI_BAR_IO      ? io
                     : bar->kind == PCI_BAR_MEM64 ? mem64
                                                  : mem32;
    uint64_t end = next == io ? 0x10000 : next == mem64 ? o->mem64_end : o->mem32_end;
    uint64_t base = align_up(*next, bar->size);

    if (base < *next || !range_fits(base, bar->size, end)) {
        log_warn("no room for BAR %u of %s", index, pci->ops->name);
        return;
    }
    pci_bar_set_locked(pci, index, base);
    *next = base + bar->size;
}

void pci_assign_bars(struct pci_host *host)
{
    uint64_t io = host->options.io_base, mem32 = host->options.mem32_base,
             mem64 = host->options.mem64_base;

    for (unsigned devfn = 0; devfn < ARRAY_SIZE(host->slot); devfn++) {
        struct pci_dev *pci = host->slot[devfn];

        if (!pci)
            continue;
        device_lock(&pci->dev);
        for (unsigned i = 0; i < PCI_BARS_MAX; i++) {
            if (pci->bar[i].size)
                assign_one(pci, i, &io, &mem32, &mem64);
        }
        pci_config_write_locked(pci, PCI_CFG_COMMAND, 2, PCI_CMD_IO | PCI_CMD_MEM);
        if (pci->ops->intx_pin)
            pci_config_write_locked(pci, PCI_CFG_INTERRUPT_LINE, 1, pci->intx.gsi);
        device_unlock(&pci->dev);
    }
}

/* --- the host itself --- */

static void host_reset(struct device *dev)
{
    container_of(dev, struct pci_host, dev)->address = 0;
}

static const struct state_field host_fields[] = {STATE_UINT(struct pci_host, address), STATE_END};

static int host_loaded(void *object, struct vz_error *err)
{
    struct pci_host *host = object;

    host->address &= ~UINT32_C(0x7f000003);
    return 0;
}

static const struct state_desc host_state = {
    .name = "pci-host", .version = 1, .fields = host_fields, .loaded = host_loaded};

static void host_destroy(struct device *dev)
{
    struct pci_host *host = container_of(dev, struct pci_host, dev);

    device_fini(dev);
    free(host);
}

static const struct device_ops host_ops = {
    .name = "pci-host", .reset_locked = host_reset, .state = &host_state,
    .destroy = host_destroy};

int pci_host_create(struct bus *bus, const struct pci_host_options *options, struct pci_host **ret)
{
    struct pci_host *host = calloc(1, sizeof(*host));
    int r;

    if (!host)
        return -ENOMEM;
    host->options = *options;
    host->trace = trace_mask();
    r = device_init(&host->dev, &host_ops, bus, 0);
    if (r < 0) {
        free(host);
        return r;
    }
    host->ports = (struct bus_range){.dev = &host->dev, .base = 0xcf8, .len = 8, .max_size = 4,
                                     .read_locked = ports_read, .write_locked = ports_write};
    host->ecam = (struct bus_range){.dev = &host->dev, .len = PCI_ECAM_SIZE, .max_size = 4,
                                    .space = BUS_MMIO,
                                    .read_locked = ecam_read, .write_locked = ecam_write};
    r = bus_add(bus, BUS_PORT, &host->ports);
    if (!r)
        r = pci_dev_create(host, &pci_mch_ops, PCI_DEVFN(0, 0), NULL);
    if (!r)
        r = pci_dev_create(host, &pci_lpc_ops, PCI_DEVFN(31, 0), NULL);
    if (!r)
        *ret = host;
    return r;
}
