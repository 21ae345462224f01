/* SPDX-License-Identifier: MIT */
/* The I/O APIC. A plain model without a lock; it hands messages to `deliver`, which must not call
 * back in. */
#ifndef VZ_IRQCHIP_IOAPIC_H
#define VZ_IRQCHIP_IOAPIC_H

#include "arch/x86/chips.h"
#include "irqchip/apic_msg.h"

struct ioapic {
    apic_deliver_fn *deliver;
    void *deliver_arg;
    struct ioapic_regs reg;
};

void ioapic_set_pin(struct ioapic *io, unsigned pin, bool level);
/* The local APICs' EOI message, or a write of the EOI register. */
void ioapic_eoi(struct ioapic *io, uint8_t vector);
uint32_t ioapic_read(struct ioapic *io, unsigned offset);
void ioapic_write(struct ioapic *io, unsigned offset, uint32_t v);
bool ioapic_is_masked(const struct ioapic *io, unsigned pin);

#endif
