/* SPDX-License-Identifier: MIT */
/* An interrupt message on its way to the local APICs: from the IOAPIC, an MSI, or an IPI. */
#ifndef VZ_IRQCHIP_APIC_MSG_H
#define VZ_IRQCHIP_APIC_MSG_H

#include "arch/x86/lapic_spec.h"
#include "base/compiler.h"

struct apic_msg {
    uint32_t dest;
    bool wide;    /* dest is an x2APIC destination of 32 bits, else one of 8 */
    bool logical;
    bool level;   /* level-triggered: its EOI is broadcast to the IOAPIC */
    uint8_t mode; /* enum apic_mode */
    uint8_t vector;
};

/* Returns whether any local APIC took it. */
typedef bool apic_deliver_fn(void *arg, const struct apic_msg *msg);

#endif
