/* SPDX-License-Identifier: MIT */
/* The 8259A pair. A plain model without locks or callbacks: its owner (irqchip.c) calls it under
 * the irqchip lock and looks at `out` afterwards. */
#ifndef VZ_IRQCHIP_PIC_H
#define VZ_IRQCHIP_PIC_H

#include "arch/x86/chips.h"

struct pic_pair {
    struct pic_pair_regs reg;
    bool out; /* INTR to the CPU */
};

void pic_reset(struct pic_pair *p);
/* `out`, and what of the slave shows in the master: after reg was loaded. */
void pic_update(struct pic_pair *p);
/* irq 0..15; 2 is the cascade's and ignored. */
void pic_set_irq(struct pic_pair *p, unsigned irq, bool level);
/* INTA: the vector. Only while `out` (otherwise the spurious vector of line 7). */
uint8_t pic_ack(struct pic_pair *p);
/* port: a byte access to one of the six of pic_spec.h. */
uint8_t pic_read(struct pic_pair *p, uint16_t port);
void pic_write(struct pic_pair *p, uint16_t port, uint8_t v);

#endif
