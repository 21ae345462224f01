/* SPDX-License-Identifier: MIT */
/* MC146818 real-time clock and CMOS memory (Motorola data sheet, sections in brackets).
 *
 * The guest's clock is the host's plus an offset. While it runs, the time registers are computed
 * when read; while it is stopped (SET, or the divider held in reset) they are plain memory, and
 * starting it again turns them into a new offset. Flags are brought up to date whenever somebody
 * looks, so that the host is woken only for interrupts that are enabled. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/error.h"
#include "chipset/chipset.h"
#include "loop/loop.h"

enum { SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH,
       YEAR, REG_A, REG_B, REG_C, REG_D, CENTURY = 0x32, CMOS_SIZE = 128 };
enum { A_UIP = 0x80, A_DIV = 0x70, A_RATE = 0x0f };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_SQWE = 0x08, B_DM = 0x04,
       B_24H = 0x02 };
enum { C_IRQF = 0x80, C_PF = 0x40, C_AF = 0x20, C_UF = 0x10 };
enum { D_VRT = 0x80 };

#define UIP_NS     (244 * UINT64_C(1000)) /* UIP leads the update by this [figure 15] */
#define DAY_S      86400
#define BOOT_REG_A 0x26 /* 32.768 kHz, 1024 Hz */

struct rtc {
    struct device dev;
    struct bus_range range;
    struct irq_line line;
    struct loop_timer *timer;
    uint64_t (*now_ns)(void *arg);
    void *now_arg;

    uint8_t index;           /* port 0x70, with the NMI mask in bit 7 */
    uint8_t cmos[CMOS_SIZE];
    uint64_t offset_ns;      /* the guest's clock minus the host's, modulo 2^64 */
    uint64_t seen_s;         /* the guest's second that UF and AF have been told of */
    uint64_t seen_period;    /* and the period that PF has */
};

static uint64_t guest_ns(const struct rtc *rtc)
{
    return rtc->now_ns(rtc->now_arg) + rtc->offset_ns;
}

static bool is_running(const struct rtc *rtc)
{
    return !(rtc->cmos[REG_B] & B_SET) && (rtc->cmos[REG_A] & A_DIV) < 0x60;
}

/* [table 3: 32.768 kHz time base] 0: no periodic interrupt. */
static uint64_t period_ns(const struct rtc *rtc)
{
    unsigned rate = rtc->cmos[REG_A] & A_RATE;

    if (!rate)
        return 0;
    if (rate <= 2)
        rate += 7;
    return (NS_PER_SEC << (rate - 1)) / 32768;
}

static uint8_t encode(const struct rtc *rtc, unsigned v)
{
    return (uint8_t)(rtc->cmos[REG_B] & B_DM ? v : (v / 10 % 10) << 4 | v % 10);
}

static unsigned decode(const struct rtc *rtc, uint8_t v)
{
    return rtc->cmos[REG_B] & B_DM ? v : (v >> 4) * 10u + (v & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
    if (rtc->cmos[REG_B] & B_24H)
        return encode(rtc, hour);
    return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
}

static unsigned decode_hour(const struct rtc *rtc, uint8_t v)
{
    if (rtc->cmos[REG_B] & B_24H)
        return decode(rtc, v);
    return decode(rtc, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

/* The clock into the time registers. */
static void latch_time(struct rtc *rtc)
{
    uint64_t s = guest_ns(rtc) / NS_PER_SEC, days = s / DAY_S;
    struct calendar_date date = calendar_date((int64_t)days);
    unsigned of_day = (unsigned)(s % DAY_S), year = (unsigned)date.year;

    rtc->cmos[SECONDS] = encode(rtc, of_day % 60);
    rtc->cmos[MINUTES] = encode(rtc, of_day / 60 % 60);
    rtc->cmos[HOURS] = encode_hour(rtc, of_day / 3600);
    rtc->cmos[WEEKDAY] = encode(rtc, (unsigned)((days + 4) % 7) + 1); /* 1970 began on a Thursday */
    rtc->cmos[DAY] = encode(rtc, date.day);
    rtc->cmos[MONTH] = encode(rtc, date.month);
    rtc->cmos[YEAR] = encode(rtc, year % 100);
    rtc->cmos[CENTURY] = encode(rtc, year / 100);
}

/* The time registers, whatever the guest put there, into the clock. Fractions start at fraction. */
static void apply_time(struct rtc *rtc, uint64_t fraction_ns)
{
    unsigned year = decode(rtc, rtc->cmos[CENTURY]) * 100 + decode(rtc, rtc->cmos[YEAR]);
    int64_t days = calendar_days(year, decode(rtc, rtc->cmos[MONTH]), decode(rtc, rtc->cmos[DAY]));
    int64_t s = days * DAY_S + decode_hour(rtc, rtc->cmos[HOURS]) * 3600 +
                decode(rtc, rtc->cmos[MINUTES]) * 60 + decode(rtc, rtc->cmos[SECONDS]);
    uint64_t ns;

    /* Beyond what nanoseconds in 64 bits hold (1970 to 2554) the clock starts over. */
    ns = s < 0 || (uint64_t)s > UINT64_MAX / NS_PER_SEC - 1 ? 0 : (uint64_t)s * NS_PER_SEC;
    rtc->offset_ns = ns + fraction_ns - rtc->now_ns(rtc->now_arg);
    rtc->seen_s = ns / NS_PER_SEC;
}

/* Does the alarm ask for this second? 0xc0 and up means any [alarm bytes]. */
static bool alarm_matches(const struct rtc *rtc, uint64_t s)
{
    unsigned day = (unsigned)(s % DAY_S);
    uint8_t as = rtc->cmos[SECONDS_ALARM], am = rtc->cmos[MINUTES_ALARM],
            ah = rtc->cmos[HOURS_ALARM];

    return (as >= 0xc0 || as == encode(rtc, day % 60)) &&
           (am >= 0xc0 || am == encode(rtc, day / 60 % 60)) &&
           ((ah & 0xc0) == 0xc0 || ah == encode_hour(rtc, day / 3600));
}

static void catch_up_seconds(struct rtc *rtc, uint64_t now_s)
{
    uint64_t first = rtc->seen_s + 1;

    if (now_s == rtc->seen_s)
        return;
    rtc->seen_s = now_s;
    rtc->cmos[REG_C] |= C_UF;
    if (now_s < first) /* the host's clock was set back: no alarm was passed */
        first = now_s;
    else if (now_s - first >= DAY_S) /* one day has every time of day in it */
        first = now_s - DAY_S + 1;
    for (uint64_t s = first; s <= now_s && !(rtc->cmos[REG_C] & C_AF); s++) {
        if (alarm_matches(rtc, s))
            rtc->cmos[REG_C] |= C_AF;
    }
}

static void arm(struct rtc *rtc, uint64_t now, uint64_t period)
{
    uint64_t wait = UINT64_MAX;

    if (is_running(rtc) && (rtc->cmos[REG_B] & (B_UIE | B_AIE)))
        wait = NS_PER_SEC - now % NS_PER_SEC;
    if (period && (rtc->cmos[REG_B] & B_PIE))
        wait = MIN(wait, period - now % period);
    if (wait == UINT64_MAX || (rtc->cmos[REG_C] & C_IRQF))
        loop_timer_disarm(rtc->timer); /* reading C re-arms */
    else
        loop_timer_arm(rtc->timer, clock_mono_ns() + wait);
}

/* Bring flags, line and timer up to date. */
static void update(struct rtc *rtc)
{
    uint64_t now = guest_ns(rtc), period = period_ns(rtc);
    uint8_t *c = &rtc->cmos[REG_C];

    if (is_running(rtc))
        catch_up_seconds(rtc, now / NS_PER_SEC);
    if (period && now / period != rtc->seen_period) {
        rtc->seen_period = now / period;
        *c |= C_PF;
    }
    *c = (*c & ~C_IRQF) | (*c & rtc->cmos[REG_B] & (B_PIE | B_AIE | B_UIE) ? C_IRQF : 0);
    irq_line_set(&rtc->line, *c & C_IRQF);
    arm(rtc, now, period);
}

static void on_timer(void *arg)
{
    struct rtc *rtc = arg;

    device_lock(&rtc->dev);
    update(rtc);
    device_unlock(&rtc->dev);
}

/* Registers A and B decide whether the clock runs: carry the time over. */
static void write_control(struct rtc *rtc, unsigned index, uint8_t v)
{
    bool was_running = is_running(rtc), was_reset = (rtc->cmos[REG_A] & A_DIV) >= 0x60;

    if (was_running)
        latch_time(rtc);
    rtc->cmos[index] = v;
    if (!was_running && is_running(rtc)) {
        /* After a divider reset the first update comes half a second later [divider]. */
        apply_time(rtc, was_reset ? NS_PER_SEC / 2 : guest_ns(rtc) % NS_PER_SEC);
    } else if (was_running) {
        latch_time(rtc); /* the format may have changed */
    }
}

static bool is_time(unsigned index)
{
    return index == SECONDS || index == MINUTES || index == HOURS ||
           (index >= WEEKDAY && index <= YEAR) || index == CENTURY;
}

static void write_cmos(struct rtc *rtc, unsigned index, uint8_t v)
{
    if (index == REG_A) {
        write_control(rtc, index, v & (uint8_t)~A_UIP);
    } else if (index == REG_B) {
        /* SET clears UIE [register B]. */
        write_control(rtc, index, v & B_SET ? v & (uint8_t)~B_UIE : v);
    } else if (is_time(index) && is_running(rtc)) {
        uint64_t fraction = guest_ns(rtc) % NS_PER_SEC;

        latch_time(rtc);
        rtc->cmos[index] = v;
        apply_time(rtc, fraction);
    } else if (index != REG_C && index != REG_D) {
        rtc->cmos[index] = v;
    }
}

static uint8_t read_cmos(struct rtc *rtc, unsigned index)
{
    uint8_t v;

    if (is_time(index) && is_running(rtc))
        latch_time(rtc);
    v = rtc->cmos[index];
    if (index == REG_A && is_running(rtc) &&
        guest_ns(rtc) % NS_PER_SEC >= NS_PER_SEC - UIP_NS)
        v |= A_UIP;
    if (index == REG_C)
        rtc->cmos[REG_C] = 0;
    return v;
}

static uint64_t rtc_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct rtc *rtc = container_of(r, struct rtc, range);
    uint8_t v;

    if (off == 0)
        return 0xff; /* the index is write-only */
    update(rtc);
    v = read_cmos(rtc, rtc->index & (CMOS_SIZE - 1));
    update(rtc);
    return v;
}

static void rtc_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct rtc *rtc = container_of(r, struct rtc, range);

    if (off == 0) {
        rtc->index = (uint8_t)value;
        return;
    }
    update(rtc);
    write_cmos(rtc, rtc->index & (CMOS_SIZE - 1), (uint8_t)value);
    update(rtc);
}

void rtc_set_nvram(struct rtc *rtc, uint8_t index, uint8_t value)
{
    if (index > REG_D && index < CMOS_SIZE && index != CENTURY)
        rtc->cmos[index] = value;
}

/* A battery keeps the time, the alarm and the memory; RESET stops interrupts [RESET]. */
static void rtc_reset(struct device *dev)
{
    struct rtc *rtc = container_of(dev, struct rtc, dev);

    rtc->index = 0;
    write_control(rtc, REG_A, BOOT_REG_A);
    write_control(rtc, REG_B, B_24H);
    rtc->cmos[REG_C] = 0;
    rtc->cmos[REG_D] = D_VRT;
    rtc->seen_s = guest_ns(rtc) / NS_PER_SEC;
    rtc->seen_period = guest_ns(rtc) / period_ns(rtc);
    update(rtc);
}

static int rtc_loaded(void *object, struct vz_error *err)
{
    update(object);
    return 0;
}

static const struct state_field rtc_fields[] = {
    STATE_UINT(struct rtc, index),
    STATE_BYTES(struct rtc, cmos),
    STATE_UINT(struct rtc, offset_ns),
    STATE_UINT(struct rtc, seen_s),
    STATE_UINT(struct rtc, seen_period),
    STATE_END,
};

static const struct state_desc rtc_state = {
    .name = "rtc", .version = 1, .fields = rtc_fields, .loaded = rtc_loaded};

static void rtc_destroy(struct device *dev)
{
    struct rtc *rtc = container_of(dev, struct rtc, dev);

    loop_timer_destroy(rtc->timer);
    device_fini(dev);
    free(rtc);
}

static const struct device_ops rtc_ops = {
    .name = "rtc", .reset_locked = rtc_reset, .state = &rtc_state, .destroy = rtc_destroy};

static uint64_t host_now_ns(void *arg)
{
    return clock_real_ns();
}

int rtc_create(struct bus *bus, const struct rtc_options *options, struct rtc **ret)
{
    struct rtc *rtc = calloc(1, sizeof(*rtc));
    int r;

    if (!rtc)
        return -ENOMEM;
    rtc->now_ns = options->now_ns ? options->now_ns : host_now_ns;
    rtc->now_arg = options->now_arg;
    r = loop_timer_create(options->loop, on_timer, rtc, &rtc->timer);
    if (!r)
        r = device_init(&rtc->dev, &rtc_ops, bus, 0);
    if (r < 0) {
        loop_timer_destroy(rtc->timer);
        free(rtc);
        return r;
    }
    irq_line_init(&rtc->line, bus, 8);
    rtc_reset(&rtc->dev);
    rtc->range = (struct bus_range){.dev = &rtc->dev, .base = 0x70, .len = 2, .max_size = 1,
                                    .late_len = 1, /* the index */
                                    .read_locked = rtc_read, .write_locked = rtc_write};
    *ret = rtc;
    return bus_add(bus, BUS_PORT, &rtc->range);
}
