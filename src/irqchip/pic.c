/* SPDX-License-Identifier: MIT */
/* The 8259A pair, by the data sheet. As in every chipset since PCI, ELCR and not ICW1.LTIM selects
 * level triggering. An edge stays latched when its line falls again before the acknowledge. */
#include "irqchip/pic.h"

#include "irqchip/pic_spec.h"
#include "state/state.h"

/* Priority order position of the highest set bit of mask: 0 (highest) .. 7; 8 when none. */
static unsigned best_rank(const struct pic *c, uint8_t mask)
{
    unsigned rank = 0;

    if (!mask)
        return 8;
    while (!(mask & (1 << ((c->lowest + 1 + rank) & 7))))
        rank++;
    return rank;
}

static unsigned line_of(const struct pic *c, unsigned rank)
{
    return (c->lowest + 1 + rank) & 7;
}

/* The line this chip asks to have served now, or -1. */
static int chip_request(const struct pic *c, bool is_master)
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

static void chip_set_line(struct pic *c, unsigned line, bool level)
{
    uint8_t bit = (uint8_t)(1 << line);

    if (c->elcr & bit)
        c->irr = level ? c->irr | bit : c->irr & (uint8_t)~bit;
    else if (level && !(c->level & bit))
        c->irr |= bit;
    c->level = level ? c->level | bit : c->level & (uint8_t)~bit;
}

/* Carry the slave's output to the master, and the master's to the CPU. */
static void update(struct pic_pair *p)
{
    struct pic *master = &p->chip[0];
    bool slave_out = chip_request(&p->chip[1], false) >= 0;
    uint8_t bit = 1 << PIC_CASCADE_IRQ;

    /* The cascade is a level: it falls when the slave has nothing more to ask. */
    chip_set_line(master, PIC_CASCADE_IRQ, slave_out);
    master->irr = slave_out ? master->irr | bit : master->irr & (uint8_t)~bit;
    p->out = chip_request(master, true) >= 0;
}

static void chip_eoi(struct pic *c, unsigned line, bool rotate)
{
    c->isr &= (uint8_t) ~(1 << line);
    if (rotate)
        c->lowest = (uint8_t)line;
}

static void chip_ack(struct pic *c, unsigned line)
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
    struct pic *master = &p->chip[0], *slave = &p->chip[1];
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
    update(p);
    return (uint8_t)vector;
}

void pic_set_irq(struct pic_pair *p, unsigned irq, bool level)
{
    if (irq == PIC_CASCADE_IRQ || irq > 15)
        return;
    chip_set_line(&p->chip[irq >> 3], irq & 7, level);
    update(p);
}

/* ICW1 starts the initialisation sequence (data sheet, "Initialization Command Words"). Lines and
 * ELCR are not the chip's to reset. */
static void chip_icw1(struct pic *c, uint8_t v)
{
    c->irr = c->level & c->elcr;
    c->imr = c->isr = 0;
    c->lowest = 7;
    c->read_isr = c->poll = c->special_mask = c->sfnm = c->auto_eoi = c->rotate_auto_eoi = false;
    c->icw1 = v;
    c->icw_next = 2;
}

static void chip_ocw2(struct pic *c, uint8_t v)
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

static void chip_ocw3(struct pic *c, uint8_t v)
{
    if (v & PIC_OCW3_ESMM)
        c->special_mask = v & PIC_OCW3_SMM;
    if (v & PIC_OCW3_POLL)
        c->poll = true;
    else if (v & PIC_OCW3_RR)
        c->read_isr = v & PIC_OCW3_RIS;
}

static void chip_write_cmd(struct pic *c, uint8_t v)
{
    if (v & PIC_ICW1_INIT)
        chip_icw1(c, v);
    else if (v & PIC_OCW3)
        chip_ocw3(c, v);
    else
        chip_ocw2(c, v);
}

static void chip_write_data(struct pic *c, uint8_t v)
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

static void chip_write_elcr(struct pic *c, uint8_t v)
{
    c->elcr = v;
    c->irr |= c->level & c->elcr;
}

void pic_write(struct pic_pair *p, uint16_t port, uint8_t v)
{
    switch (port) {
    case PIC_MASTER_CMD: chip_write_cmd(&p->chip[0], v); break;
    case PIC_SLAVE_CMD: chip_write_cmd(&p->chip[1], v); break;
    case PIC_MASTER_DATA: chip_write_data(&p->chip[0], v); break;
    case PIC_SLAVE_DATA: chip_write_data(&p->chip[1], v); break;
    case PIC_ELCR0: chip_write_elcr(&p->chip[0], v & PIC_ELCR0_MASK); break;
    case PIC_ELCR1: chip_write_elcr(&p->chip[1], v & PIC_ELCR1_MASK); break;
    default: return;
    }
    update(p);
}

/* Poll mode: a read acknowledges; bit 7 says whether there was a request. */
static uint8_t chip_poll(struct pic_pair *p, unsigned which)
{
    struct pic *c = &p->chip[which];
    int line = chip_request(c, which == 0);

    c->poll = false;
    if (line < 0)
        return 0;
    chip_ack(c, (unsigned)line);
    update(p);
    return (uint8_t)(0x80 | line);
}

uint8_t pic_read(struct pic_pair *p, uint16_t port)
{
    unsigned which = port == PIC_SLAVE_CMD || port == PIC_SLAVE_DATA || port == PIC_ELCR1;
    struct pic *c = &p->chip[which];

    if (port == PIC_ELCR0 || port == PIC_ELCR1)
        return c->elcr;
    if (c->poll)
        return chip_poll(p, which);
    if (port == PIC_MASTER_DATA || port == PIC_SLAVE_DATA)
        return c->imr;
    return c->read_isr ? c->isr : c->irr;
}

/* Power-up leaves the real chip undefined; all lines masked is the only harmless choice. The lines
 * keep their level: they are the devices'. */
void pic_reset(struct pic_pair *p)
{
    for (unsigned i = 0; i < 2; i++)
        p->chip[i] = (struct pic){.imr = 0xff, .lowest = 7, .level = p->chip[i].level};
    update(p);
}

static const struct state_field chip_fields[] = {
    STATE_UINT(struct pic, irr),
    STATE_UINT(struct pic, imr),
    STATE_UINT(struct pic, isr),
    STATE_UINT(struct pic, level),
    STATE_UINT(struct pic, elcr),
    STATE_UINT_MAX(struct pic, lowest, 7),
    STATE_UINT_MAX(struct pic, base, 0xf8),
    STATE_UINT_MAX(struct pic, icw_next, 4),
    STATE_UINT(struct pic, icw1),
    STATE_BOOL(struct pic, read_isr),
    STATE_BOOL(struct pic, poll),
    STATE_BOOL(struct pic, special_mask),
    STATE_BOOL(struct pic, sfnm),
    STATE_BOOL(struct pic, auto_eoi),
    STATE_BOOL(struct pic, rotate_auto_eoi),
    STATE_END,
};

static const struct state_field pair_fields[] = {
    STATE_STRUCT_ARRAY(struct pic_pair, chip, chip_fields),
    STATE_END,
};

static int pic_loaded(void *object, struct vz_error *err)
{
    struct pic_pair *p = object;

    p->chip[0].elcr &= PIC_ELCR0_MASK;
    p->chip[1].elcr &= PIC_ELCR1_MASK;
    p->chip[0].base &= 0xf8;
    p->chip[1].base &= 0xf8;
    update(p);
    return 0;
}

const struct state_desc pic_state_desc = {
    .name = "pic",
    .version = 1,
    .fields = pair_fields,
    .loaded = pic_loaded,
};
