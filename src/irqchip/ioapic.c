/* SPDX-License-Identifier: MIT */
/* The I/O APIC. Edges on masked pins are lost, as on the chip. A level-triggered message that no
 * local APIC takes leaves Remote IRR clear and is tried again at the pin's next event. */
#include "irqchip/ioapic.h"

/* Only fixed and lowest-priority messages are answered by an EOI. */
static bool wants_eoi(uint64_t e)
{
    return (e & IOAPIC_LEVEL) && IOAPIC_MODE(e) <= APIC_MODE_LOWEST;
}

static void send(struct ioapic *io, unsigned pin)
{
    uint64_t *e = &io->reg.redir[pin];
    struct apic_msg msg = {
        .dest = IOAPIC_DEST(*e),
        .logical = *e & IOAPIC_LOGICAL,
        .level = wants_eoi(*e),
        .mode = (uint8_t)IOAPIC_MODE(*e),
        .vector = (uint8_t)(*e & IOAPIC_VECTOR),
    };

    if (io->deliver(io->deliver_arg, &msg) && msg.level)
        *e |= IOAPIC_REMOTE_IRR;
}

/* Send what the level of a pin asks for. */
static void service_level(struct ioapic *io, unsigned pin)
{
    uint64_t e = io->reg.redir[pin];

    if ((io->reg.level & BIT(pin)) && (e & IOAPIC_LEVEL) &&
        !(e & (IOAPIC_MASKED | IOAPIC_REMOTE_IRR)))
        send(io, pin);
}

void ioapic_set_pin(struct ioapic *io, unsigned pin, bool level)
{
    uint32_t bit;
    bool rises;

    if (pin >= IOAPIC_PINS)
        return;
    bit = (uint32_t)1 << pin;
    rises = level && !(io->reg.level & bit);
    io->reg.level = level ? io->reg.level | bit : io->reg.level & ~bit;
    if (!rises)
        return;
    if (io->reg.redir[pin] & IOAPIC_LEVEL)
        service_level(io, pin);
    else if (!(io->reg.redir[pin] & IOAPIC_MASKED))
        send(io, pin);
}

void ioapic_eoi(struct ioapic *io, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *e = &io->reg.redir[pin];

        if ((*e & IOAPIC_VECTOR) != vector || !(*e & IOAPIC_REMOTE_IRR))
            continue;
        *e &= ~IOAPIC_REMOTE_IRR;
        service_level(io, pin);
    }
}

static void write_redir(struct ioapic *io, unsigned reg, uint32_t v)
{
    unsigned pin = (reg - IOAPIC_REG_REDIR) / 2, shift = reg & 1 ? 32 : 0;
    uint64_t *e, mask = IOAPIC_WRITABLE & ((uint64_t)UINT32_MAX << shift);

    if (pin >= IOAPIC_PINS)
        return;
    e = &io->reg.redir[pin];
    *e = (*e & ~mask) | ((uint64_t)v << shift & mask);
    if (!(*e & IOAPIC_LEVEL))
        *e &= ~IOAPIC_REMOTE_IRR;
    service_level(io, pin);
}

static uint32_t read_reg(const struct ioapic *io, unsigned reg)
{
    switch (reg) {
    case IOAPIC_REG_ID:
    case IOAPIC_REG_ARB: /* there is no APIC bus to arbitrate: it is the id */
        return io->reg.id;
    case IOAPIC_REG_VER:
        return IOAPIC_VERSION | (IOAPIC_PINS - 1) << 16;
    default:
        if (reg < IOAPIC_REG_REDIR || reg >= IOAPIC_REG_REDIR + 2 * IOAPIC_PINS)
            return 0;
        return (uint32_t)(io->reg.redir[(reg - IOAPIC_REG_REDIR) / 2] >> (reg & 1 ? 32 : 0));
    }
}

uint32_t ioapic_read(struct ioapic *io, unsigned offset)
{
    switch (offset) {
    case IOAPIC_REGSEL: return io->reg.regsel;
    case IOAPIC_WIN: return read_reg(io, io->reg.regsel);
    default: return 0;
    }
}

void ioapic_write(struct ioapic *io, unsigned offset, uint32_t v)
{
    switch (offset) {
    case IOAPIC_REGSEL:
        io->reg.regsel = (uint8_t)v;
        break;
    case IOAPIC_WIN:
        if (io->reg.regsel == IOAPIC_REG_ID)
            io->reg.id = v & IOAPIC_ID_MASK;
        else if (io->reg.regsel >= IOAPIC_REG_REDIR)
            write_redir(io, io->reg.regsel, v);
        break;
    case IOAPIC_EOI:
        ioapic_eoi(io, (uint8_t)v);
        break;
    default:
        break;
    }
}

bool ioapic_is_masked(const struct ioapic *io, unsigned pin)
{
    return io->reg.redir[pin] & IOAPIC_MASKED;
}
