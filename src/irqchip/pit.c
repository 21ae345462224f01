/* SPDX-License-Identifier: MIT */
/* The 8254, by the data sheet. Everything about a running counter follows from its age: the number
 * of input clocks since its count was loaded. */
#include "irqchip/pit.h"

#include "arch/x86/pit_spec.h"
#include "base/clock.h"

static bool is_triggered_by_gate(const struct pit_channel *c)
{
    return c->reg.mode == 1 || c->reg.mode == 5;
}

static bool is_running(const struct pit_channel *c)
{
    return c->reg.loaded && (is_triggered_by_gate(c) ? c->reg.triggered : c->reg.gate);
}

static uint16_t to_bcd(uint32_t v)
{
    return (uint16_t)((v / 1000 % 10) << 12 | (v / 100 % 10) << 8 | (v / 10 % 10) << 4 | v % 10);
}

static uint64_t age(const struct pit_channel *c, uint64_t now)
{
    if (!is_running(c) || now < c->start_ns)
        return c->reg.base_ticks;
    return c->reg.base_ticks + mul_div_u64(now - c->start_ns, PIT_HZ, NS_PER_SEC);
}

static bool out_level(const struct pit_channel *c, uint64_t now)
{
    uint64_t e = age(c, now), n = pit_period(&c->reg);

    switch (c->reg.mode) {
    case 0: return c->reg.loaded && e >= n;
    case 1: return !is_running(c) || e >= n;
    case 2: return !is_running(c) || e % n != n - 1;
    case 3: return !is_running(c) || e % n < (n + 1) / 2;
    default: return !is_running(c) || e != n; /* 4, 5: one clock low */
    }
}

static uint16_t current_count(const struct pit_channel *c, uint64_t now)
{
    uint64_t e = age(c, now), n = pit_period(&c->reg), wrap = c->reg.bcd ? 10000 : 65536, count;

    if (c->reg.mode == 2)
        count = n - e % n;
    else if (c->reg.mode == 3)
        count = n - 2 * e % n;
    else
        count = (n + wrap - e % wrap) % wrap;
    count %= wrap;
    return c->reg.bcd ? to_bcd((uint32_t)count) : (uint16_t)count;
}

static uint64_t edges_by(const struct pit_channel *c, uint64_t e)
{
    uint64_t n = pit_period(&c->reg);

    if (!c->reg.loaded)
        return 0;
    switch (c->reg.mode) {
    case 0: return e >= n;
    case 2:
    case 3: return e / n;
    case 4: return e > n;
    default: return 0; /* 1, 5: need the gate, which channel 0 has tied high */
    }
}

static void restart(struct pit_channel *c, uint64_t now)
{
    c->reg.base_ticks = 0;
    c->reg.edges_seen = 0;
    c->start_ns = now;
}

static void load_count(struct pit_channel *c, uint16_t count, uint64_t now)
{
    c->reg.reload = count;
    c->reg.null_count = false;
    /* A one-shot under way keeps its old count (data sheet, modes 1 and 5); we restart on the next
     * trigger only, with the new one. */
    if (!is_triggered_by_gate(c) || !c->reg.loaded)
        restart(c, now);
    c->reg.loaded = true;
}

static void write_count(struct pit_channel *c, uint8_t v, uint64_t now)
{
    switch (c->reg.rw) {
    case PIT_RW_LSB:
        load_count(c, v, now);
        break;
    case PIT_RW_MSB:
        load_count(c, (uint16_t)(v << 8), now);
        break;
    default:
        if (c->reg.write_msb_next) {
            load_count(c, (uint16_t)(v << 8 | c->reg.write_lsb), now);
        } else {
            c->reg.write_lsb = v;
            c->reg.null_count = true;
            if (c->reg.mode == 0)
                c->reg.loaded = false; /* the first byte stops the counter */
        }
        c->reg.write_msb_next = !c->reg.write_msb_next;
        break;
    }
}

static void latch_count(struct pit_channel *c, uint64_t now)
{
    if (c->reg.latch_bytes)
        return; /* a second latch before the read is ignored */
    c->reg.latch = current_count(c, now);
    c->reg.latch_bytes = c->reg.rw == PIT_RW_BOTH ? 2 : 1;
}

static void latch_status(struct pit_channel *c, uint64_t now)
{
    if (c->reg.status_latched)
        return;
    c->reg.status_latched = true;
    c->reg.status = (uint8_t)((out_level(c, now) ? PIT_STATUS_OUT : 0) |
                          (c->reg.null_count ? PIT_STATUS_NULL : 0) | c->reg.rw << 4 |
                          c->reg.mode << 1 | (c->reg.bcd ? PIT_CW_BCD : 0));
}

static void write_control(struct pit *p, uint8_t v, uint64_t now)
{
    unsigned which = PIT_CW_CHANNEL(v);
    struct pit_channel *c;

    if (which == 3) {
        for (unsigned i = 0; i < 3; i++) {
            if (!(v & (2 << i)))
                continue;
            if (!(v & PIT_RB_NO_COUNT))
                latch_count(&p->channel[i], now);
            if (!(v & PIT_RB_NO_STATUS))
                latch_status(&p->channel[i], now);
        }
        return;
    }
    c = &p->channel[which];
    if (PIT_CW_RW(v) == PIT_RW_LATCH) {
        latch_count(c, now);
        return;
    }
    c->reg.rw = PIT_CW_RW(v);
    c->reg.mode = PIT_CW_MODE(v) > 5 ? PIT_CW_MODE(v) & 3 : PIT_CW_MODE(v);
    c->reg.bcd = v & PIT_CW_BCD;
    c->reg.loaded = c->reg.triggered = c->reg.write_msb_next = c->reg.read_msb_next = false;
    c->reg.latch_bytes = 0;
    c->reg.status_latched = false;
    c->reg.null_count = true;
    restart(c, now);
}

static void set_gate(struct pit_channel *c, bool gate, uint64_t now)
{
    if (gate == c->reg.gate)
        return;
    c->reg.base_ticks = age(c, now);
    c->start_ns = now;
    c->reg.gate = gate;
    if (!gate)
        return;
    if (is_triggered_by_gate(c) && c->reg.loaded)
        c->reg.triggered = true;
    if (is_triggered_by_gate(c) || pit_is_periodic(&c->reg))
        restart(c, now);
}

void pit_write(struct pit *p, uint16_t port, uint8_t v, uint64_t now)
{
    if (port == PIT_PORT_SPEAKER) {
        p->port61 = v & PIT_61_WRITE;
        set_gate(&p->channel[2], v & PIT_61_GATE2, now);
    } else if (port == PIT_PORT_CONTROL) {
        write_control(p, v, now);
    } else {
        write_count(&p->channel[port & 3], v, now);
    }
}

static uint8_t read_latch(struct pit_channel *c)
{
    bool msb = c->reg.rw == PIT_RW_MSB || (c->reg.rw == PIT_RW_BOTH && c->reg.latch_bytes == 1);

    c->reg.latch_bytes--;
    return (uint8_t)(msb ? c->reg.latch >> 8 : c->reg.latch);
}

static uint8_t read_channel(struct pit_channel *c, uint64_t now)
{
    uint16_t count;
    bool msb = c->reg.rw == PIT_RW_MSB;

    if (c->reg.status_latched) {
        c->reg.status_latched = false;
        return c->reg.status;
    }
    if (c->reg.latch_bytes)
        return read_latch(c);
    count = current_count(c, now);
    if (c->reg.rw == PIT_RW_BOTH) {
        msb = c->reg.read_msb_next;
        c->reg.read_msb_next = !msb;
    }
    return (uint8_t)(msb ? count >> 8 : count);
}

uint8_t pit_read(struct pit *p, uint16_t port, uint64_t now)
{
    if (port == PIT_PORT_SPEAKER)
        return (uint8_t)(p->port61 | (now / PIT_REFRESH_NS & 1 ? PIT_61_REFRESH : 0) |
                         (out_level(&p->channel[2], now) ? PIT_61_OUT2 : 0));
    if (port == PIT_PORT_CONTROL)
        return 0xff; /* write-only */
    return read_channel(&p->channel[port & 3], now);
}

bool pit_out(const struct pit *p, unsigned channel, uint64_t now)
{
    return out_level(&p->channel[channel], now);
}

uint64_t pit_sync(struct pit *p, uint64_t now)
{
    struct pit_channel *c = &p->channel[0];
    uint64_t edges = edges_by(c, age(c, now)), fresh = edges - c->reg.edges_seen;

    if (edges <= c->reg.edges_seen)
        return 0;
    c->reg.edges_seen = edges;
    return fresh;
}

uint64_t pit_next_edge(const struct pit *p, uint64_t now)
{
    const struct pit_channel *c = &p->channel[0];
    uint64_t e = age(c, now), n = pit_period(&c->reg), target;

    if (!is_running(c))
        return UINT64_MAX;
    if (pit_is_periodic(&c->reg))
        target = (e / n + 1) * n;
    else if (c->reg.mode == 0 || c->reg.mode == 4)
        target = n + (c->reg.mode == 4);
    else
        return UINT64_MAX;
    if (!pit_is_periodic(&c->reg) && e >= target)
        return UINT64_MAX;
    /* rounded up, so that the edge has happened by then */
    return c->start_ns + mul_div_u64(target - c->reg.base_ticks, NS_PER_SEC, PIT_HZ) + 1;
}

void pit_save(const struct pit *p, uint64_t now, struct pit_regs *ret)
{
    ret->port61 = p->port61;
    for (unsigned i = 0; i < 3; i++) {
        ret->channel[i] = p->channel[i].reg;
        ret->channel[i].base_ticks = age(&p->channel[i], now);
        pit_fold_age(&ret->channel[i]);
    }
}

void pit_load(struct pit *p, uint64_t now, const struct pit_regs *regs)
{
    p->port61 = regs->port61;
    for (unsigned i = 0; i < 3; i++)
        p->channel[i] = (struct pit_channel){.reg = regs->channel[i], .start_ns = now};
}

void pit_reset(struct pit *p, uint64_t now)
{
    struct pit_regs regs;

    pit_regs_reset(&regs);
    pit_load(p, now, &regs);
}
