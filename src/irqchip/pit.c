/* SPDX-License-Identifier: MIT */
/* The 8254, by the data sheet. Everything about a running counter follows from its age: the number
 * of input clocks since its count was loaded. */
#include "irqchip/pit.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "irqchip/pit_spec.h"
#include "state/state.h"

static bool is_periodic(const struct pit_channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static bool is_triggered_by_gate(const struct pit_channel *c)
{
    return c->mode == 1 || c->mode == 5;
}

static bool is_running(const struct pit_channel *c)
{
    return c->loaded && (is_triggered_by_gate(c) ? c->triggered : c->gate);
}

static uint32_t from_bcd(uint16_t v)
{
    return (v >> 12) * 1000u + ((v >> 8) & 15) * 100u + ((v >> 4) & 15) * 10u + (v & 15);
}

static uint16_t to_bcd(uint32_t v)
{
    return (uint16_t)((v / 1000 % 10) << 12 | (v / 100 % 10) << 8 | (v / 10 % 10) << 4 | v % 10);
}

/* The period or delay in input clocks, 1..65536. */
static uint32_t period(const struct pit_channel *c)
{
    uint32_t n = c->bcd ? from_bcd(c->reload) : c->reload;

    return n ? n : c->bcd ? 10000 : 65536;
}

static uint64_t age(const struct pit_channel *c, uint64_t now)
{
    if (!is_running(c) || now < c->start_ns)
        return c->base_ticks;
    return c->base_ticks + mul_div_u64(now - c->start_ns, PIT_HZ, NS_PER_SEC);
}

static bool out_level(const struct pit_channel *c, uint64_t now)
{
    uint64_t e = age(c, now), n = period(c);

    switch (c->mode) {
    case 0: return c->loaded && e >= n;
    case 1: return !is_running(c) || e >= n;
    case 2: return !is_running(c) || e % n != n - 1;
    case 3: return !is_running(c) || e % n < (n + 1) / 2;
    default: return !is_running(c) || e != n; /* 4, 5: one clock low */
    }
}

static uint16_t current_count(const struct pit_channel *c, uint64_t now)
{
    uint64_t e = age(c, now), n = period(c), wrap = c->bcd ? 10000 : 65536, count;

    if (c->mode == 2)
        count = n - e % n;
    else if (c->mode == 3)
        count = n - 2 * e % n;
    else
        count = (n + wrap - e % wrap) % wrap;
    count %= wrap;
    return c->bcd ? to_bcd((uint32_t)count) : (uint16_t)count;
}

static uint64_t edges_by(const struct pit_channel *c, uint64_t e)
{
    uint64_t n = period(c);

    if (!c->loaded)
        return 0;
    switch (c->mode) {
    case 0: return e >= n;
    case 2:
    case 3: return e / n;
    case 4: return e > n;
    default: return 0; /* 1, 5: need the gate, which channel 0 has tied high */
    }
}

static void restart(struct pit_channel *c, uint64_t now)
{
    c->base_ticks = 0;
    c->edges_seen = 0;
    c->start_ns = now;
}

static void load_count(struct pit_channel *c, uint16_t count, uint64_t now)
{
    c->reload = count;
    c->null_count = false;
    /* A one-shot under way keeps its old count (data sheet, modes 1 and 5); we restart on the next
     * trigger only, with the new one. */
    if (!is_triggered_by_gate(c) || !c->loaded)
        restart(c, now);
    c->loaded = true;
}

static void write_count(struct pit_channel *c, uint8_t v, uint64_t now)
{
    switch (c->rw) {
    case PIT_RW_LSB:
        load_count(c, v, now);
        break;
    case PIT_RW_MSB:
        load_count(c, (uint16_t)(v << 8), now);
        break;
    default:
        if (c->write_msb_next) {
            load_count(c, (uint16_t)(v << 8 | c->write_lsb), now);
        } else {
            c->write_lsb = v;
            c->null_count = true;
            if (c->mode == 0)
                c->loaded = false; /* the first byte stops the counter */
        }
        c->write_msb_next = !c->write_msb_next;
        break;
    }
}

static void latch_count(struct pit_channel *c, uint64_t now)
{
    if (c->latch_bytes)
        return; /* a second latch before the read is ignored */
    c->latch = current_count(c, now);
    c->latch_bytes = c->rw == PIT_RW_BOTH ? 2 : 1;
}

static void latch_status(struct pit_channel *c, uint64_t now)
{
    if (c->status_latched)
        return;
    c->status_latched = true;
    c->status = (uint8_t)((out_level(c, now) ? PIT_STATUS_OUT : 0) |
                          (c->null_count ? PIT_STATUS_NULL : 0) | c->rw << 4 | c->mode << 1 |
                          (c->bcd ? PIT_CW_BCD : 0));
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
    c->rw = PIT_CW_RW(v);
    c->mode = PIT_CW_MODE(v) > 5 ? PIT_CW_MODE(v) & 3 : PIT_CW_MODE(v);
    c->bcd = v & PIT_CW_BCD;
    c->loaded = c->triggered = c->write_msb_next = c->read_msb_next = false;
    c->latch_bytes = 0;
    c->status_latched = false;
    c->null_count = true;
    restart(c, now);
}

static void set_gate(struct pit_channel *c, bool gate, uint64_t now)
{
    if (gate == c->gate)
        return;
    c->base_ticks = age(c, now);
    c->start_ns = now;
    c->gate = gate;
    if (!gate)
        return;
    if (is_triggered_by_gate(c) && c->loaded)
        c->triggered = true;
    if (is_triggered_by_gate(c) || is_periodic(c))
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
    bool msb = c->rw == PIT_RW_MSB || (c->rw == PIT_RW_BOTH && c->latch_bytes == 1);

    c->latch_bytes--;
    return (uint8_t)(msb ? c->latch >> 8 : c->latch);
}

static uint8_t read_channel(struct pit_channel *c, uint64_t now)
{
    uint16_t count;
    bool msb = c->rw == PIT_RW_MSB;

    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->latch_bytes)
        return read_latch(c);
    count = current_count(c, now);
    if (c->rw == PIT_RW_BOTH) {
        msb = c->read_msb_next;
        c->read_msb_next = !msb;
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
    uint64_t edges = edges_by(c, age(c, now)), fresh = edges - c->edges_seen;

    if (edges <= c->edges_seen)
        return 0;
    c->edges_seen = edges;
    return fresh;
}

uint64_t pit_next_edge(const struct pit *p, uint64_t now)
{
    const struct pit_channel *c = &p->channel[0];
    uint64_t e = age(c, now), n = period(c), target;

    if (!is_running(c))
        return UINT64_MAX;
    if (is_periodic(c))
        target = (e / n + 1) * n;
    else if (c->mode == 0 || c->mode == 4)
        target = n + (c->mode == 4);
    else
        return UINT64_MAX;
    if (!is_periodic(c) && e >= target)
        return UINT64_MAX;
    /* rounded up, so that the edge has happened by then */
    return c->start_ns + mul_div_u64(target - c->base_ticks, NS_PER_SEC, PIT_HZ) + 1;
}

void pit_freeze(struct pit *p, uint64_t now)
{
    for (unsigned i = 0; i < 3; i++) {
        struct pit_channel *c = &p->channel[i];

        c->base_ticks = age(c, now);
        c->start_ns = now;
        if (is_periodic(c)) {
            uint64_t whole = c->base_ticks / period(c);

            c->edges_seen -= MIN(whole, c->edges_seen);
            c->base_ticks %= period(c);
        }
        c->base_ticks = MIN(c->base_ticks, PIT_TICKS_MAX);
    }
}

void pit_thaw(struct pit *p, uint64_t now)
{
    for (unsigned i = 0; i < 3; i++)
        p->channel[i].start_ns = now;
}

void pit_reset(struct pit *p, uint64_t now)
{
    memset(p, 0, sizeof(*p));
    for (unsigned i = 0; i < 3; i++) {
        struct pit_channel *c = &p->channel[i];

        c->rw = PIT_RW_BOTH;
        c->mode = 3;
        c->gate = i != 2;
        c->loaded = true;
        restart(c, now);
    }
}

static const struct state_field channel_fields[] = {
    STATE_UINT(struct pit_channel, reload),
    STATE_UINT_MAX(struct pit_channel, mode, 5),
    STATE_UINT_MAX(struct pit_channel, rw, 3),
    STATE_BOOL(struct pit_channel, bcd),
    STATE_BOOL(struct pit_channel, gate),
    STATE_BOOL(struct pit_channel, loaded),
    STATE_BOOL(struct pit_channel, triggered),
    STATE_BOOL(struct pit_channel, null_count),
    STATE_BOOL(struct pit_channel, write_msb_next),
    STATE_BOOL(struct pit_channel, read_msb_next),
    STATE_UINT(struct pit_channel, write_lsb),
    STATE_UINT_MAX(struct pit_channel, latch_bytes, 2),
    STATE_UINT(struct pit_channel, latch),
    STATE_BOOL(struct pit_channel, status_latched),
    STATE_UINT(struct pit_channel, status),
    STATE_UINT_MAX(struct pit_channel, base_ticks, PIT_TICKS_MAX),
    STATE_UINT_MAX(struct pit_channel, edges_seen, PIT_TICKS_MAX),
    STATE_END,
};

static const struct state_field pit_fields[] = {
    STATE_STRUCT_ARRAY(struct pit, channel, channel_fields),
    STATE_UINT_MAX(struct pit, port61, PIT_61_WRITE),
    STATE_END,
};

static int pit_loaded(void *object, struct vz_error *err)
{
    const struct pit *p = object;

    for (unsigned i = 0; i < 3; i++) {
        if (p->channel[i].rw == PIT_RW_LATCH)
            return error_set(err, EINVAL, VZ_ERROR_INVALID, "channel [%u]: rw: 0", i);
    }
    return 0;
}

const struct state_desc pit_state_desc = {
    .name = "pit",
    .version = 1,
    .fields = pit_fields,
    .loaded = pit_loaded,
};
