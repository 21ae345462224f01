/* SPDX-License-Identifier: MIT */
/* The 8259A pair. A plain model without locks or callbacks: its owner (irqchip.c) calls it under
 * the irqchip lock and looks at `out` afterwards. */
#ifndef VZ_IRQCHIP_PIC_H
#define VZ_IRQCHIP_PIC_H

#include "base/compiler.h"

struct state_desc;

struct pic {
    uint8_t irr, imr, isr;
    uint8_t level;      /* state of the input lines */
    uint8_t elcr;       /* bit set: that line is level-triggered */
    uint8_t lowest;     /* the line of lowest priority, 7 after reset */
    uint8_t base;       /* vector of line 0 */
    uint8_t icw_next;   /* initialisation: which ICW the data port takes next, 2..4; 0: none */
    uint8_t icw1;
    bool read_isr;      /* OCW3: the command port reads the ISR */
    bool poll;          /* OCW3: the next read is an acknowledge */
    bool special_mask, sfnm, auto_eoi, rotate_auto_eoi;
};

struct pic_pair {
    struct pic chip[2]; /* master, slave */
    bool out;           /* INTR to the CPU */
};

extern const struct state_desc pic_state_desc; /* of struct pic_pair */

void pic_reset(struct pic_pair *p);
/* irq 0..15; 2 is the cascade's and ignored. */
void pic_set_irq(struct pic_pair *p, unsigned irq, bool level);
/* INTA: the vector. Only while `out` (otherwise the spurious vector of line 7). */
uint8_t pic_ack(struct pic_pair *p);
/* port: a byte access to one of the six of pic_spec.h. */
uint8_t pic_read(struct pic_pair *p, uint16_t port);
void pic_write(struct pic_pair *p, uint16_t port, uint8_t v);

#endif
