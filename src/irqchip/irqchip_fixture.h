/* SPDX-License-Identifier: MIT */
/* For the tests: an irqchip on a running loop, and what it told its owner. */
#ifndef VZ_IRQCHIP_IRQCHIP_FIXTURE_H
#define VZ_IRQCHIP_IRQCHIP_FIXTURE_H

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "arch/x86/chips.h"
#include "arch/x86/regs.h"
#include "base/clock.h"
#include "base/tsc_rate.h"
#include "irqchip/irqchip.h"
#include "loop/loop.h"
#include "unit.h"

#define LAPIC_GPA ((uint64_t)APIC_DEFAULT_BASE)

struct fixture {
    struct loop *loop;
    pthread_t thread;
    struct irqchip *chip;
    struct tsc_rate tsc;
    uint32_t khz;
    _Atomic unsigned told[IRQCHIP_CPUS_MAX]; /* bits of IRQCHIP_* */
    _Atomic unsigned intr_count;
    uint8_t sipi_vector;
};

static inline void fixture_notify(void *arg, unsigned cpu, unsigned what, uint8_t vector)
{
    struct fixture *f = arg;

    f->told[cpu] |= what;
    f->intr_count += what == IRQCHIP_INTR;
    if (what == IRQCHIP_SIPI)
        f->sipi_vector = vector;
}

static inline void *fixture_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static inline void fixture_start(struct fixture *f, unsigned cpus)
{
    static const struct irqchip_cpu_ops ops = {.notify = fixture_notify};
    struct irqchip_config config = {.vcpu_count = cpus, .phys_addr_bits = 39, .ops = &ops};

    memset(f, 0, sizeof(*f));
    tsc_rate_start(&f->tsc);
    f->khz = tsc_rate_khz(&f->tsc);
    config.tsc = &f->tsc;
    ck_assert_int_eq(loop_create(&f->loop), 0);
    config.loop = f->loop;
    config.ops_arg = f;
    ck_assert_int_eq(irqchip_create(&config, &f->chip), 0);
    ck_assert_int_eq(pthread_create(&f->thread, NULL, fixture_loop, f->loop), 0);
}

static inline void fixture_stop(struct fixture *f)
{
    loop_stop(f->loop);
    pthread_join(f->thread, NULL);
    irqchip_destroy(f->chip);
    loop_destroy(f->loop);
}

static inline void apic_write(struct fixture *f, unsigned cpu, unsigned reg, uint32_t v)
{
    ck_assert(irqchip_mmio_write(f->chip, cpu, LAPIC_GPA + reg, 4, v));
}

static inline uint32_t apic_read(struct fixture *f, unsigned cpu, unsigned reg)
{
    uint64_t v = 0;

    ck_assert(irqchip_mmio_read(f->chip, cpu, LAPIC_GPA + reg, 4, &v));
    return (uint32_t)v;
}

static inline void apic_enable_all(struct fixture *f, unsigned cpus)
{
    for (unsigned i = 0; i < cpus; i++)
        apic_write(f, i, APIC_SVR, 0x1ff);
}

static inline void sleep_us(unsigned us)
{
    struct timespec ts = {.tv_nsec = (long)us * 1000};

    nanosleep(&ts, NULL);
}

/* Wait until cpu has an interrupt; false after two seconds. */
static inline bool wait_interrupt(struct fixture *f, unsigned cpu)
{
    for (unsigned i = 0; i < 20000; i++) {
        if (irqchip_has_interrupt(f->chip, cpu))
            return true;
        sleep_us(100);
    }
    return false;
}

#endif
