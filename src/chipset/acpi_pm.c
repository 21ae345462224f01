/* SPDX-License-Identifier: MIT */
/* ACPI fixed hardware (ACPI 6.4 section 4.8) laid out as in an ICH9: power management 1a event and
 * control registers, the PM timer, GPE0, and the SMI command port that switches ACPI mode on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/trace.h"
#include "chipset/chipset.h"
#include "loop/loop.h"

enum { PM1_TMR = 0x0001, PM1_GBL = 0x0020, PM1_PWRBTN = 0x0100, PM1_SLPBTN = 0x0200,
       PM1_RTC = 0x0400, PM1_WAKE = 0x8000 };
#define PM1_STS_MASK (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC | PM1_WAKE)
#define PM1_EN_MASK  (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC)
enum { SMI_EN = 0x30, SMI_STS = 0x34, SMI_GLOBAL = 0x01, SMI_APM = 0x20 }; /* ICH9 13.8.3.7, 8 */
enum { CNT_SCI_EN = 0x0001, CNT_BM_RLD = 0x0002, CNT_SLP_TYP_SHIFT = 10, CNT_SLP_TYP = 0x1c00,
       CNT_SLP_EN = 0x2000 };

struct acpi_pm {
    struct device dev;
    struct bus_range range, smi_range;
    struct irq_line sci;
    struct loop_timer *timer;
    struct chipset_requests requests;
    void (*smi)(void *arg); /* NULL: there are none */
    void *smi_arg;
    bool smi_locked; /* SMI_GLOBAL stays as it is */
    bool zero_is_off; /* acpi_pm_zero_is_off() */
    uint64_t base_ns; /* host time at which the PM timer stood at base_ticks */
    uint64_t base_ticks;
    bool frozen; /* at base_ticks */

    uint16_t pm1_sts, pm1_en, pm1_cnt;
    uint8_t gpe_sts[ACPI_GPE0_LEN / 2], gpe_en[ACPI_GPE0_LEN / 2];
    uint8_t smi_cmd, smi_data; /* ports 0xb2, 0xb3 */
    uint32_t smi_en, smi_sts;
    uint64_t ticks;            /* the PM timer when saved, never cut to its 32 bits */
    uint64_t seen_halves;      /* half periods of the timer that TMR_STS has told of */
    uint16_t io_base;
    bool io_enabled;
};

static uint64_t now_ticks(const struct acpi_pm *pm)
{
    uint64_t ns = pm->frozen ? 0 : clock_mono_ns() - pm->base_ns;

    return pm->base_ticks + mul_div_u64(ns, ACPI_PM_TIMER_HZ, NS_PER_SEC);
}

static void update_sci(struct acpi_pm *pm)
{
    bool level = pm->pm1_sts & pm->pm1_en & PM1_EN_MASK;

    for (unsigned i = 0; i < ARRAY_SIZE(pm->gpe_sts); i++)
        level |= pm->gpe_sts[i] & pm->gpe_en[i];
    irq_line_set(&pm->sci, level && (pm->pm1_cnt & CNT_SCI_EN));
}

/* TMR_STS comes whenever the top bit of the counter changes (4.8.2.1); ask the host for the next
 * time only when someone wants the interrupt. */
static void update_timer(struct acpi_pm *pm)
{
    uint64_t ticks = now_ticks(pm), halves = ticks >> 31;

    if (halves != pm->seen_halves) {
        pm->seen_halves = halves;
        pm->pm1_sts |= PM1_TMR;
    }
    if (pm->pm1_en & ~pm->pm1_sts & PM1_TMR) {
        uint64_t left = ((halves + 1) << 31) - ticks;

        loop_timer_arm(pm->timer,
                       clock_mono_ns() + mul_div_u64(left, NS_PER_SEC, ACPI_PM_TIMER_HZ) + 1000);
    } else {
        loop_timer_disarm(pm->timer);
    }
    update_sci(pm);
}

static void on_timer(void *arg)
{
    struct acpi_pm *pm = arg;

    device_lock(&pm->dev);
    update_timer(pm);
    device_unlock(&pm->dev);
}

static bool is_off(const struct acpi_pm *pm, unsigned type)
{
    return type == ACPI_S5_TYPE || (pm->zero_is_off && type == 0);
}

static void write_cnt_high(struct acpi_pm *pm, uint8_t v)
{
    uint16_t cnt = (uint16_t)(v << 8);

    /* SLP_EN is write-only and reads as 0. */
    pm->pm1_cnt = (uint16_t)((pm->pm1_cnt & 0xff) | (cnt & CNT_SLP_TYP));
    if ((cnt & CNT_SLP_EN) && is_off(pm, (cnt & CNT_SLP_TYP) >> CNT_SLP_TYP_SHIFT)) {
        TRACE(trace_mask(), chipset, "acpi-pm", pm, "the guest turns itself off");
        pm->requests.request(pm->requests.arg, CHIPSET_POWER_OFF, 0);
    }
}

static void write_smi_en(struct acpi_pm *pm, unsigned shift, uint8_t v)
{
    uint32_t kept = pm->smi_locked ? pm->smi_en & SMI_GLOBAL : 0;

    pm->smi_en = (pm->smi_en & ~(UINT32_C(0xff) << shift)) | (uint32_t)v << shift;
    if (pm->smi_locked)
        pm->smi_en = (pm->smi_en & ~(uint32_t)SMI_GLOBAL) | kept;
}

static void write_byte(struct acpi_pm *pm, unsigned off, uint8_t v)
{
    unsigned shift = 8 * (off & 1);

    switch (off) {
    case ACPI_PM1_EVT + 0 ... ACPI_PM1_EVT + 1: pm->pm1_sts &= (uint16_t) ~(v << shift); break;
    case ACPI_PM1_EVT + 2 ... ACPI_PM1_EVT + 3:
        pm->pm1_en = ((pm->pm1_en & (uint16_t)~(0xff << shift)) | v << shift) & PM1_EN_MASK;
        break;
    case ACPI_PM1_CNT:
        /* SCI_EN belongs to the firmware: only the SMI port changes it. */
        pm->pm1_cnt = (pm->pm1_cnt & (uint16_t)~CNT_BM_RLD) | (v & CNT_BM_RLD);
        break;
    case ACPI_PM1_CNT + 1: write_cnt_high(pm, v); break;
    case ACPI_GPE0 ... ACPI_GPE0 + ACPI_GPE0_LEN / 2 - 1:
        pm->gpe_sts[off - ACPI_GPE0] &= (uint8_t)~v;
        break;
    case ACPI_GPE0 + ACPI_GPE0_LEN / 2 ... ACPI_GPE0 + ACPI_GPE0_LEN - 1:
        pm->gpe_en[off - ACPI_GPE0 - ACPI_GPE0_LEN / 2] = v;
        break;
    case SMI_EN ... SMI_EN + 3:
        if (pm->smi)
            write_smi_en(pm, 8 * (off - SMI_EN), v);
        break;
    case SMI_STS ... SMI_STS + 3: pm->smi_sts &= ~((uint32_t)v << (8 * (off - SMI_STS))); break;
    default: break;
    }
}

static uint8_t read_byte(const struct acpi_pm *pm, unsigned off, uint32_t ticks)
{
    unsigned shift = 8 * (off & 1);

    switch (off) {
    case ACPI_PM1_EVT + 0 ... ACPI_PM1_EVT + 1: return (uint8_t)(pm->pm1_sts >> shift);
    case ACPI_PM1_EVT + 2 ... ACPI_PM1_EVT + 3: return (uint8_t)(pm->pm1_en >> shift);
    case ACPI_PM1_CNT ... ACPI_PM1_CNT + 1: return (uint8_t)(pm->pm1_cnt >> shift);
    case ACPI_PM_TIMER ... ACPI_PM_TIMER + 3: return (uint8_t)(ticks >> (8 * (off & 3)));
    case ACPI_GPE0 ... ACPI_GPE0 + ACPI_GPE0_LEN / 2 - 1: return pm->gpe_sts[off - ACPI_GPE0];
    case ACPI_GPE0 + ACPI_GPE0_LEN / 2 ... ACPI_GPE0 + ACPI_GPE0_LEN - 1:
        return pm->gpe_en[off - ACPI_GPE0 - ACPI_GPE0_LEN / 2];
    case SMI_EN ... SMI_EN + 3: return (uint8_t)(pm->smi_en >> (8 * (off - SMI_EN)));
    case SMI_STS ... SMI_STS + 3: return (uint8_t)(pm->smi_sts >> (8 * (off - SMI_STS)));
    default: return 0;
    }
}

static uint64_t pm_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct acpi_pm *pm = container_of(r, struct acpi_pm, range);
    uint32_t ticks = (uint32_t)now_ticks(pm);
    uint64_t v = 0;

    if (off < ACPI_PM1_CNT)
        update_timer(pm);
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)read_byte(pm, (unsigned)off + i, ticks) << (8 * i);
    return v;
}

static void pm_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct acpi_pm *pm = container_of(r, struct acpi_pm, range);

    update_timer(pm);
    for (unsigned i = 0; i < size; i++)
        write_byte(pm, (unsigned)off + i, (uint8_t)(value >> (8 * i)));
    update_timer(pm);
}

static uint64_t smi_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct acpi_pm *pm = container_of(r, struct acpi_pm, smi_range);

    return off ? pm->smi_data : pm->smi_cmd;
}

static void smi_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct acpi_pm *pm = container_of(r, struct acpi_pm, smi_range);

    if (off) {
        pm->smi_data = (uint8_t)value;
        return;
    }
    pm->smi_cmd = (uint8_t)value;
    if (value == ACPI_SMI_ENABLE)
        pm->pm1_cnt |= CNT_SCI_EN;
    else if (value == ACPI_SMI_DISABLE)
        pm->pm1_cnt &= (uint16_t)~CNT_SCI_EN;
    update_sci(pm);
    if ((pm->smi_en & SMI_GLOBAL) && (pm->smi_en & SMI_APM)) {
        pm->smi_sts |= SMI_APM;
        pm->smi(pm->smi_arg);
    }
}

void acpi_pm_set_smi(struct acpi_pm *pm, void (*smi)(void *arg), void *arg)
{
    pm->smi = smi;
    pm->smi_arg = arg;
}

void acpi_pm_zero_is_off(struct acpi_pm *pm)
{
    pm->zero_is_off = true;
}

void acpi_pm_lock_smi(void *acpi_pm, bool locked)
{
    struct acpi_pm *pm = acpi_pm;

    device_lock(&pm->dev);
    pm->smi_locked = locked;
    device_unlock(&pm->dev);
}

static void place_locked(struct acpi_pm *pm)
{
    bus_remove(pm->dev.bus, &pm->range);
    pm->range.base = pm->io_base;
    /* A guest may move it onto something else; then it is not to be seen. */
    if (pm->io_enabled && bus_add(pm->dev.bus, BUS_PORT, &pm->range) < 0)
        log_once(LOG_WARN, "the guest moved the ACPI registers to an occupied place, %#x",
                 pm->io_base);
}

void acpi_pm_set_base(void *acpi_pm, uint16_t base, bool enabled)
{
    struct acpi_pm *pm = acpi_pm;

    device_lock(&pm->dev);
    if (pm->io_base != base || pm->io_enabled != enabled || pm->range.added != enabled) {
        pm->io_base = base;
        pm->io_enabled = enabled;
        place_locked(pm);
    }
    device_unlock(&pm->dev);
}

void acpi_pm_freeze(struct acpi_pm *pm)
{
    device_lock(&pm->dev);
    pm->base_ticks = now_ticks(pm);
    pm->frozen = true;
    device_unlock(&pm->dev);
}

void acpi_pm_thaw(struct acpi_pm *pm)
{
    device_lock(&pm->dev);
    pm->base_ns = clock_mono_ns();
    pm->frozen = false;
    irq_line_set(&pm->sci, false); /* the controllers were loaded meanwhile: tell them what it is */
    update_timer(pm);
    device_unlock(&pm->dev);
}

void acpi_pm_new_generation(struct acpi_pm *pm)
{
    device_lock(&pm->dev);
    pm->gpe_sts[ACPI_GPE_GENERATION / 8] |= BIT(ACPI_GPE_GENERATION % 8);
    device_unlock(&pm->dev);
}

void acpi_pm_power_button(struct acpi_pm *pm)
{
    device_lock(&pm->dev);
    pm->pm1_sts |= PM1_PWRBTN;
    update_sci(pm);
    device_unlock(&pm->dev);
}

bool acpi_pm_hears_power_button(struct acpi_pm *pm)
{
    bool hears;

    device_lock(&pm->dev);
    hears = (pm->pm1_en & PM1_PWRBTN) && (pm->pm1_cnt & CNT_SCI_EN);
    device_unlock(&pm->dev);
    return hears;
}

static void pm_reset(struct device *dev)
{
    struct acpi_pm *pm = container_of(dev, struct acpi_pm, dev);

    pm->pm1_sts = pm->pm1_en = pm->pm1_cnt = 0;
    memset(pm->gpe_sts, 0, sizeof(pm->gpe_sts));
    memset(pm->gpe_en, 0, sizeof(pm->gpe_en));
    pm->smi_cmd = pm->smi_data = 0;
    pm->smi_en = pm->smi_sts = 0;
    pm->base_ns = clock_mono_ns();
    pm->base_ticks = pm->ticks = pm->seen_halves = 0;
    pm->io_base = ACPI_PM_BASE;
    pm->io_enabled = true;
    place_locked(pm);
    loop_timer_disarm(pm->timer);
    update_sci(pm);
}

static void pm_before_save(struct device *dev)
{
    struct acpi_pm *pm = container_of(dev, struct acpi_pm, dev);

    pm->ticks = now_ticks(pm);
}

static int pm_loaded(void *object, struct vz_error *err)
{
    struct acpi_pm *pm = object;

    if (!pm->smi)
        pm->smi_en = 0;
    pm->base_ns = clock_mono_ns();
    pm->base_ticks = pm->ticks;
    place_locked(pm);
    update_timer(pm);
    return 0;
}

static const struct state_field pm_fields[] = {
    STATE_UINT_MAX(struct acpi_pm, pm1_sts, PM1_STS_MASK),
    STATE_UINT_MAX(struct acpi_pm, pm1_en, PM1_EN_MASK),
    STATE_UINT(struct acpi_pm, pm1_cnt),
    STATE_BYTES(struct acpi_pm, gpe_sts),
    STATE_BYTES(struct acpi_pm, gpe_en),
    STATE_UINT(struct acpi_pm, smi_cmd),
    STATE_UINT(struct acpi_pm, smi_data),
    STATE_UINT(struct acpi_pm, smi_en),
    STATE_UINT(struct acpi_pm, smi_sts),
    STATE_UINT_MAX(struct acpi_pm, ticks, UINT64_MAX >> 8),
    STATE_UINT(struct acpi_pm, seen_halves),
    STATE_UINT(struct acpi_pm, io_base),
    STATE_BOOL(struct acpi_pm, io_enabled),
    STATE_END,
};

static const struct state_desc pm_state = {
    .name = "acpi-pm", .version = 1, .fields = pm_fields, .loaded = pm_loaded};

static void pm_destroy(struct device *dev)
{
    struct acpi_pm *pm = container_of(dev, struct acpi_pm, dev);

    loop_timer_destroy(pm->timer);
    device_fini(dev);
    free(pm);
}

static const struct device_ops pm_ops = {.name = "acpi-pm",
                                         .reset_locked = pm_reset,
                                         .state = &pm_state,
                                         .before_save_locked = pm_before_save,
                                         .destroy = pm_destroy};

int acpi_pm_create(struct bus *bus, struct loop *loop, const struct chipset_requests *requests,
                   struct acpi_pm **ret)
{
    struct acpi_pm *pm = calloc(1, sizeof(*pm));
    int r;

    if (!pm)
        return -ENOMEM;
    pm->requests = *requests;
    r = loop_timer_create(loop, on_timer, pm, &pm->timer);
    if (!r)
        r = device_init(&pm->dev, &pm_ops, bus, 0);
    if (r < 0) {
        loop_timer_destroy(pm->timer);
        free(pm);
        return r;
    }
    irq_line_init(&pm->sci, bus, ACPI_SCI_GSI);
    pm->range = (struct bus_range){.dev = &pm->dev, .len = ACPI_PM_LEN, .max_size = 4, .polled = true,
                                   .read_locked = pm_read, .write_locked = pm_write};
    pm->smi_range = (struct bus_range){.dev = &pm->dev, .base = ACPI_SMI_PORT, .len = 2,
                                       .max_size = 1, .read_locked = smi_read,
                                       .write_locked = smi_write};
    pm_reset(&pm->dev);
    *ret = pm;
    return bus_add(bus, BUS_PORT, &pm->smi_range);
}
