/* SPDX-License-Identifier: MIT */
/* The timer of a local APIC, SDM vol. 3, 11.5.4. Counts are computed from the clock; the host
 * timer is armed only while an expiry would be seen, that is, while the LVT entry is unmasked. */
#include "base/clock.h"
#include "base/tsc_rate.h"
#include "irqchip/irqchip_impl.h"
#include "loop/loop.h"

static uint32_t mode(const struct lapic *l)
{
    return lapic_timer_mode(&l->reg);
}

static uint64_t divisor(const struct lapic *l)
{
    return lapic_timer_divisor(&l->reg);
}

static uint64_t period_ns(const struct lapic *l)
{
    return l->reg.tmict * divisor(l);
}

static uint64_t guest_tsc(const struct lapic *l)
{
    return clock_tsc() + l->tsc_offset;
}

/* Count one expiry; periodic timers move to the next multiple of the period after now. */
static void expire(struct lapic *l, uint64_t now)
{
    l->chip->stats.timer_fires++;
    if (mode(l) == LVT_TIMER_PERIODIC && l->reg.tmict) {
        uint64_t period = period_ns(l);

        l->timer_expiry_ns += ((now - l->timer_expiry_ns) / period + 1) * period;
    } else {
        l->reg.timer_running = false;
    }
    lapic_local(l, LVT_TIMER);
}

void lapic_timer_sync(struct lapic *l)
{
    uint64_t now;

    if (mode(l) == LVT_TIMER_DEADLINE) {
        if (l->reg.tsc_deadline && guest_tsc(l) >= l->reg.tsc_deadline) {
            l->reg.tsc_deadline = 0;
            l->chip->stats.timer_fires++;
            lapic_local(l, LVT_TIMER);
        }
        return;
    }
    if (!l->reg.timer_running)
        return;
    now = clock_mono_ns();
    if (now >= l->timer_expiry_ns)
        expire(l, now);
}

static void arm(struct lapic *l, uint64_t deadline_ns)
{
    l->chip->stats.timer_arms++;
    loop_timer_arm(l->timer, deadline_ns);
}

/* The TSC deadline on the host's clock. It may have passed since it was last looked at. */
static uint64_t deadline_ns(const struct lapic *l)
{
    uint64_t now = clock_mono_ns(), tsc = guest_tsc(l), left;

    if (l->reg.tsc_deadline <= tsc)
        return now;
    left = mul_div_u64(l->reg.tsc_deadline - tsc, NS_PER_MS, tsc_rate_khz(l->chip->tsc));
    return left >= UINT64_MAX - now ? UINT64_MAX : now + left + 1; /* rounded up */
}

void lapic_timer_rearm(struct lapic *l)
{
    lapic_timer_sync(l);
    if (l->reg.lvt[LVT_TIMER] & LVT_MASKED) {
        loop_timer_disarm(l->timer);
    } else if (mode(l) == LVT_TIMER_DEADLINE && l->reg.tsc_deadline) {
        arm(l, deadline_ns(l));
    } else if (mode(l) != LVT_TIMER_DEADLINE && l->reg.timer_running) {
        uint64_t at = l->timer_expiry_ns;

        if (mode(l) == LVT_TIMER_PERIODIC && period_ns(l) < IRQCHIP_MIN_PERIOD_NS)
            at = MAX(at, clock_mono_ns() + IRQCHIP_MIN_PERIOD_NS);
        arm(l, at);
    } else {
        loop_timer_disarm(l->timer);
    }
}

void lapic_timer_fired(void *arg)
{
    struct lapic *l = arg;

    pthread_mutex_lock(&l->chip->lock);
    lapic_timer_rearm(l); /* an expiry that is due is taken first */
    pthread_mutex_unlock(&l->chip->lock);
}

uint64_t lapic_timer_remaining(const struct lapic *l)
{
    uint64_t now = clock_mono_ns(), late, period;

    if (!l->reg.timer_running)
        return 0;
    if (now < l->timer_expiry_ns)
        return l->timer_expiry_ns - now;
    if (mode(l) != LVT_TIMER_PERIODIC || !l->reg.tmict)
        return 0;
    period = period_ns(l);
    late = (now - l->timer_expiry_ns) % period;
    return period - late;
}

uint32_t lapic_timer_count(const struct lapic *l)
{
    uint64_t div = divisor(l);

    if (mode(l) == LVT_TIMER_DEADLINE)
        return 0;
    return (uint32_t)MIN((lapic_timer_remaining(l) + div - 1) / div, (uint64_t)l->reg.tmict);
}

void lapic_timer_write_tmict(struct lapic *l, uint32_t v)
{
    lapic_timer_sync(l);
    if (mode(l) == LVT_TIMER_DEADLINE)
        return; /* 11.5.4.1: ignored */
    l->reg.tmict = v;
    l->reg.timer_running = v;
    l->timer_expiry_ns = clock_mono_ns() + period_ns(l);
    lapic_timer_rearm(l);
}

/* The count goes on from where it is, at the new rate. */
void lapic_timer_write_tdcr(struct lapic *l, uint32_t v)
{
    uint64_t count;

    lapic_timer_sync(l);
    count = lapic_timer_count(l);
    l->reg.tdcr = v & TDCR_WRITABLE;
    if (l->reg.timer_running) {
        l->timer_expiry_ns = clock_mono_ns() + count * divisor(l);
        lapic_timer_rearm(l);
    }
}

/* Changes from or to TSC-deadline mode disarm; between one-shot and periodic the count goes on. */
void lapic_timer_write_lvt(struct lapic *l, uint32_t v)
{
    lapic_timer_sync(l);
    if ((mode(l) == LVT_TIMER_DEADLINE) != ((v & LVT_TIMER_MODE) == LVT_TIMER_DEADLINE)) {
        l->reg.timer_running = false;
        l->reg.tmict = 0;
        l->reg.tsc_deadline = 0;
    }
    l->reg.lvt[LVT_TIMER] = v;
    lapic_timer_rearm(l);
}

uint64_t lapic_timer_read_deadline(struct lapic *l)
{
    if (mode(l) != LVT_TIMER_DEADLINE)
        return 0;
    lapic_timer_sync(l);
    return l->reg.tsc_deadline;
}

void lapic_timer_write_deadline(struct lapic *l, uint64_t v)
{
    if (mode(l) != LVT_TIMER_DEADLINE)
        return;
    /* No sync first: a write before the old deadline was noticed replaces it. */
    l->reg.tsc_deadline = v;
    lapic_timer_rearm(l);
}

void lapic_timer_reset(struct lapic *l)
{
    l->timer_expiry_ns = 0;
    if (l->timer)
        loop_timer_disarm(l->timer);
}
