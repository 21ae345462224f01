/* SPDX-License-Identifier: MIT */
/* The 8259A pair, by the data sheet. As in every chipset since PCI, ELCR and not ICW1.LTIM selects
 * level triggering. An edge stays latched when its line falls again before the acknowledge. */
#include "irqchip/pic.h"

#include "arch/x86/pic_spec.h"

/* Priority order position of the highest set bit of mask: 0 (highest) .. 7; 8 when none. */
static unsigned best_rank(const struct pic_regs *c, uint8_t mask)
{
    unsigned rank = 0;

    if (!mask)
        return 8;
    while (!(mask & (1 << ((c->lowest + 1 + rank) & 7))))
        rank++;
    return rank;
}

static unsigned line_of(const struct pic_regs *c, unsigned rank)
{
    return (c->lowest + 1 + rank) & 7;
}

/* The line this chip asks to have served now, or -1. */
static int chip_request(const struct pic_regs *c, bool is_master)
{
    unsigned rank = best_rank(c, c->irr & (uint8_t)~c->imr), in_service;
    uint8_t isr = c->isr;

    if (rank == 8)
        return -1;
    /* Special mask mode: a masked line in service does not hold back others. */
    if (c->special_mask)
        isr &= (uint8_t)~c->imr;
    /* Special fully nested: the slave may interrupt itself through the cascade. */
    if (c->sfnm && is_master)
        isr &= (uint8_t) ~(1 << PIC_CASCADE_IRQ);
    in_service = best_rank(c, isr);
    return rank < in_service ? (int)line_of(c, rank) : -1;
}

static void chip_set_line(struct pic_regs *c, unsigned line, bool level)
{
    uint8_t bit = (uint8_t)(1 << line);

    if (c->elcr & bit)
        c->irr = level ? c->irr | bit : c->irr & (uint8_t)~bit;
    else if (level && !(c->level & bit))
        c->irr |= bit;
    c->level = level ? c->level | bit : c->level & (uint8_t)~bit;
}

/* Carry the slave's output to the master, and the master's to the CPU. */
void pic_update(struct pic_pair *p)
{
    struct pic_regs *master = &p->reg.chip[0];
    bool slave_out = chip_request(&p->reg.chip[1], false) >= 0;
    uint8_t bit = 1 << PIC_CASCADE_IRQ;

    /* The cascade is a level: it falls when the slave has nothing more to ask. */
    chip_set_line(master, PIC_CASCADE_IRQ, slave_out);
    master->irr = slave_out ? master->irr | bit : master->irr & (uint8_t)~bit;
    p->out = chip_request(master, true) >= 0;
}

static void chip_eoi(struct pic_regs *c, unsigned line, bool rotate)
{
    c->isr &= (uint8_t) ~(1 << line);
    if (rotate)
        c->lowest = (uint8_t)line;
}

static void chip_ack(struct pic_regs *c, unsigned line)
{
    uint8_t bit = (uint8_t)(1 << line);

    if (!(c->elcr & bit))
        c->irr &= (uint8_t)~bit;
    if (c->auto_eoi) {
        if (c->rotate_auto_eoi)
            c->lowest = (uint8_t)line;
    } else {
        c->isr |= bit;
    }
}

uint8_t pic_ack(struct pic_pair *p)
{
    struct pic_regs *master = &p->reg.chip[0], *slave = &p->reg.chip[1];
    int line = chip_request(master, true), vector;

    if (line < 0)
        return master->base + 7;
    chip_ack(master, (unsigned)line);
    vector = master->base + line;
    if (line == PIC_CASCADE_IRQ) {
        int slave_line = chip_request(slave, false);

        if (slave_line >= 0)
            chip_ack(slave, (unsigned)slave_line);
        vector = slave->base + (slave_line >= 0 ? slave_line : 7);
    }
    pic_update(p);
    return (uint8_t)vector;
}

void pic_set_irq(struct pic_pair *p, unsigned irq, bool level)
{
    if (irq == PIC_CASCADE_IRQ || irq > 15)
        return;
    chip_set_line(&p->reg.chip[irq >> 3], irq & 7, level);
    pic_update(p);
}

/* ICW1 starts the initialisation sequence (data sheet, "Initialization Command Words"). Lines and
 * ELCR are not the chip's to reset. */
static void chip_icw1(struct pic_regs *c, uint8_t v)
{
    c->irr = c->level & c->elcr;
    c->imr = c->isr = 0;
    c->lowest = 7;
    c->read_isr = c->poll = c->special_mask = c->sfnm = c->auto_eoi = c->rotate_auto_eoi = false;
    c->icw1 = v;
    c->icw_next = 2;
}

static void chip_ocw2(struct pic_regs *c, uint8_t v)
{
    unsigned op = v >> 5, line = v & 7, rank;

    switch (op) {
    case PIC_OCW2_ROTATE_AEOI_CLEAR:
    case PIC_OCW2_ROTATE_AEOI_SET:
        c->rotate_auto_eoi = op == PIC_OCW2_ROTATE_AEOI_SET;
        break;
    case PIC_OCW2_EOI:
    case PIC_OCW2_ROTATE_EOI:
        /* In special mask mode a masked line is not cleared by a non-specific EOI. */
        rank = best_rank(c, c->special_mask ? c->isr & (uint8_t)~c->imr : c->isr);
        if (rank < 8)
            chip_eoi(c, line_of(c, rank), op == PIC_OCW2_ROTATE_EOI);
        break;
    case PIC_OCW2_SPECIFIC_EOI:
    case PIC_OCW2_ROTATE_SPECIFIC:
        chip_eoi(c, line, op == PIC_OCW2_ROTATE_SPECIFIC);
        break;
    case PIC_OCW2_SET_PRIORITY:
        c->lowest = (uint8_t)line;
        break;
    default: /* PIC_OCW2_NOP */
        break;
    }
}

static void chip_ocw3(struct pic_regs *c, uint8_t v)
{
    if (v & PIC_OCW3_ESMM)
        c->special_mask = v & PIC_OCW3_SMM;
    if (v & PIC_OCW3_POLL)
        c->poll = true;
    else if (v & PIC_OCW3_RR)
        c->read_isr = v & PIC_OCW3_RIS;
}

static void chip_write_cmd(struct pic_regs *c, uint8_t v)
{
    if (v & PIC_ICW1_INIT)
        chip_icw1(c, v);
    else if (v & PIC_OCW3)
        chip_ocw3(c, v);
    else
        chip_ocw2(c, v);
}

static void chip_write_data(struct pic_regs *c, uint8_t v)
{
    switch (c->icw_next) {
    case 2:
        c->base = v & 0xf8;
        c->icw_next = !(c->icw1 & PIC_ICW1_SNGL) ? 3 : c->icw1 & PIC_ICW1_IC4 ? 4 : 0;
        break;
    case 3: /* the cascade is wired, whatever it says */
        c->icw_next = c->icw1 & PIC_ICW1_IC4 ? 4 : 0;
        break;
    case 4:
        c->sfnm = v & PIC_ICW4_SFNM;
        c->auto_eoi = v & PIC_ICW4_AEOI;
        c->icw_next = 0;
        break;
    default:
        c->imr = v; /* OCW1 */
        break;
    }
}

static void chip_write_elcr(struct pic_regs *c, uint8_t v)
{
    c->elcr = v;
    c->irr |= c->level & c->elcr;
}

void pic_write(struct pic_pair *p, uint16_t port, uint8_t v)
{
    switch (port) {
    case PIC_MASTER_CMD: chip_write_cmd(&p->reg.chip[0], v); break;
    case PIC_SLAVE_CMD: chip_write_cmd(&p->reg.chip[1], v); break;
    case PIC_MASTER_DATA: chip_write_data(&p->reg.chip[0], v); break;
    case PIC_SLAVE_DATA: chip_write_data(&p->reg.chip[1], v); break;
    case PIC_ELCR0: chip_write_elcr(&p->reg.chip[0], v & PIC_ELCR0_MASK); break;
    case PIC_ELCR1: chip_write_elcr(&p->reg.chip[1], v & PIC_ELCR1_MASK); break;
    default: return;
    }
    pic_update(p);
}

/* Poll mode: a read acknowledges; bit 7 says whether there was a request. */
static uint8_t chip_poll(struct pic_pair *p, unsigned which)
{
    struct pic_regs *c = &p->reg.chip[which];
    int line = chip_request(c, which == 0);

    c->poll = false;
    if (line < 0)
        return 0;
    chip_ack(c, (unsigned)line);
    pic_update(p);
    return (uint8_t)(0x80 | line);
}

uint8_t pic_read(struct pic_pair *p, uint16_t port)
{
    unsigned which = port == PIC_SLAVE_CMD || port == PIC_SLAVE_DATA || port == PIC_ELCR1;
    struct pic_regs *c = &p->reg.chip[which];

    if (port == PIC_ELCR0 || port == PIC_ELCR1)
        return c->elcr;
    if (c->poll)
        return chip_poll(p, which);
    if (port == PIC_MASTER_DATA || port == PIC_SLAVE_DATA)
        return c->imr;
    return c->read_isr ? c->isr : c->irr;
}

void pic_reset(struct pic_pair *p)
{
    pic_regs_reset(&p->reg);
    pic_update(p);
}
