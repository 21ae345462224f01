/* SPDX-License-Identifier: MIT */
/* Interrupts into KVM's controllers: lines, messages, and eventfds that send messages (irqfd, api
 * 4.75); and eventfds that the guest's writes signal (ioeventfd, api 4.59).
 *
 * KVM knows messages by GSI numbers: the first 24 are the lines, the rest are given out here. Its
 * routing table is replaced as a whole with each change, which waits for all vCPUs to leave it:
 * cheap enough for drivers that set up their vectors once. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/chips.h"
#include "hv/kvm/kvm.h"

#define ROUTES_MAX 1024u /* of messages: 64 devices with 16 vectors in use each */

static struct kvm_irq_routing_entry pin_entry(unsigned gsi, unsigned chip, unsigned pin)
{
    return (struct kvm_irq_routing_entry){.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP,
                                          .u.irqchip = {.irqchip = chip, .pin = pin}};
}

/* The wiring that irqchip.h describes. Returns the count. */
static unsigned add_pins(struct kvm_irq_routing_entry *e)
{
    unsigned n = 0;

    for (unsigned gsi = 0; gsi < HV_IRQ_LINES; gsi++) {
        if (gsi < 16 && gsi != 2)
            e[n++] = pin_entry(gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
                               gsi & 7);
        if (gsi != PIT_PIN)
            e[n++] = pin_entry(gsi, KVM_IRQCHIP_IOAPIC, gsi ? gsi : PIT_PIN);
    }
    return n;
}

static struct kvm_irq_routing_entry msi_entry(unsigned gsi, const struct hv_msi *msi)
{
    return (struct kvm_irq_routing_entry){
        .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = {.address_lo = (uint32_t)msi->address,
                  .address_hi = (uint32_t)(msi->address >> 32), .data = msi->data}};
}

static int set_routes_locked(struct hv_vm *vm)
{
    struct kvm_irq_routing *table =
        calloc(1, sizeof(*table) + (2 * HV_IRQ_LINES + vm->route_max) * sizeof(table->entries[0]));
    int r;

    if (!table)
        return -ENOMEM;
    table->nr = add_pins(table->entries);
    for (unsigned i = 0; i < vm->route_max; i++) {
        if (vm->irqfd[i])
            table->entries[table->nr++] = msi_entry(HV_IRQ_LINES + i, &vm->irqfd[i]->msi);
    }
    r = kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, table);
    free(table);
    return r;
}

int kvm_irq_init(struct hv_vm *vm)
{
    int max = kvm_has(vm->fd, KVM_CAP_IRQ_ROUTING);

    if (max < (int)(2 * HV_IRQ_LINES))
        return -ENOTSUP;
    vm->route_max = MIN((unsigned)max - 2 * HV_IRQ_LINES, ROUTES_MAX);
    vm->irqfd = calloc(vm->route_max + 1, sizeof(struct hv_irqfd *));
    return vm->irqfd ? set_routes_locked(vm) : -ENOMEM;
}

void kvm_irq_fini(struct hv_vm *vm)
{
    for (unsigned i = 0; vm->irqfd && i < vm->route_max; i++)
        free(vm->irqfd[i]);
    free(vm->irqfd);
}

/* A line that is as it was is left alone: after a load KVM does not know the levels of
 * edge-triggered lines, and would see an edge. */
void kvm_irq_line(struct hv_vm *vm, unsigned gsi, bool level)
{
    struct kvm_irq_level line = {.irq = gsi, .level = level};

    if (gsi >= HV_IRQ_LINES)
        return;
    pthread_mutex_lock(&vm->line_lock);
    if (level != !!(vm->lines & BIT(gsi))) {
        vm->lines ^= (uint32_t)BIT(gsi);
        (void)kvm_ioctl(vm->fd, KVM_IRQ_LINE, &line); /* cannot fail for a line that is there */
    }
    pthread_mutex_unlock(&vm->line_lock);
}

void kvm_msi(struct hv_vm *vm, const struct hv_msi *msi)
{
    struct kvm_msi m = {.address_lo = (uint32_t)msi->address,
                        .address_hi = (uint32_t)(msi->address >> 32), .data = msi->data};

    /* A message that no LAPIC takes is lost, as on a bus. */
    (void)kvm_ioctl(vm->fd, KVM_SIGNAL_MSI, &m);
}

/* ---- irqfd ---- */

static int attach(struct hv_irqfd *irq, bool on)
{
    struct kvm_irqfd f = {.fd = (uint32_t)irq->fd, .gsi = irq->gsi,
                          .flags = on ? 0 : KVM_IRQFD_FLAG_DEASSIGN};

    return kvm_ioctl(irq->vm->fd, KVM_IRQFD, &f);
}

/* Give irq a GSI and make it known. */
static int route_new_locked(struct hv_vm *vm, struct hv_irqfd *irq)
{
    unsigned i = 0;
    int r;

    while (i < vm->route_max && vm->irqfd[i])
        i++;
    if (i == vm->route_max)
        return -ENOSPC;
    irq->gsi = HV_IRQ_LINES + i;
    vm->irqfd[i] = irq;
    r = set_routes_locked(vm);
    if (!r)
        r = attach(irq, true);
    if (r)
        vm->irqfd[i] = NULL;
    return r;
}

int kvm_irqfd_add(struct hv_vm *vm, int fd, const struct hv_msi *msi, struct hv_irqfd **ret)
{
    struct hv_irqfd *irq = calloc(1, sizeof(*irq));
    int r;

    if (!irq)
        return -ENOMEM;
    *irq = (struct hv_irqfd){.vm = vm, .fd = fd, .msi = *msi};
    pthread_mutex_lock(&vm->route_lock);
    r = route_new_locked(vm, irq);
    pthread_mutex_unlock(&vm->route_lock);
    if (r)
        free(irq);
    else
        *ret = irq;
    return r;
}

int kvm_irqfd_route(struct hv_irqfd *irq, const struct hv_msi *msi)
{
    struct hv_vm *vm = irq->vm;
    struct hv_msi old = irq->msi;
    int r = 0;

    if (old.address == msi->address && old.data == msi->data)
        return 0;
    pthread_mutex_lock(&vm->route_lock);
    irq->msi = *msi;
    r = set_routes_locked(vm);
    if (r)
        irq->msi = old;
    pthread_mutex_unlock(&vm->route_lock);
    return r;
}

/* The route stays in KVM's table until the next change; nothing uses it. */
void kvm_irqfd_remove(struct hv_irqfd *irq)
{
    struct hv_vm *vm;

    if (!irq)
        return;
    vm = irq->vm;
    pthread_mutex_lock(&vm->route_lock);
    (void)attach(irq, false);
    vm->irqfd[irq->gsi - HV_IRQ_LINES] = NULL;
    pthread_mutex_unlock(&vm->route_lock);
    free(irq);
}

/* What cannot be delivered from inside write() goes to a work queue, which detaching waits for. */
void kvm_irq_settle(struct hv_vm *vm)
{
    pthread_mutex_lock(&vm->route_lock);
    for (unsigned i = 0; i < vm->route_max; i++) {
        if (vm->irqfd[i] && !attach(vm->irqfd[i], false))
            (void)attach(vm->irqfd[i], true); /* there was room for it */
    }
    pthread_mutex_unlock(&vm->route_lock);
}

/* ---- ioeventfd ---- */

static int doorbell(struct hv_vm *vm, gpa_t gpa, int fd, bool on)
{
    /* Length 0: every write that begins at gpa; processors may tell it without decoding. */
    struct kvm_ioeventfd f = {.addr = gpa, .fd = fd,
                              .flags = on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN};

    return kvm_ioctl(vm->fd, KVM_IOEVENTFD, &f);
}

int kvm_ioeventfd_add(struct hv_vm *vm, gpa_t gpa, int fd)
{
    return kvm_has(vm->fd, KVM_CAP_IOEVENTFD_ANY_LENGTH) ? doorbell(vm, gpa, fd, true) : -ENOTSUP;
}

void kvm_ioeventfd_remove(struct hv_vm *vm, gpa_t gpa, int fd)
{
    (void)doorbell(vm, gpa, fd, false);
}
