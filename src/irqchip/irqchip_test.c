/* SPDX-License-Identifier: MIT */
/* The chips together: timers on the host clock, the wiring, save and load. */
#include "irqchip/irqchip.h"

#include <errno.h>

#include "arch/x86/regs.h"
#include "base/error.h"
#include "irqchip/irqchip_fixture.h"
#include "state/state.h"

static void port(struct fixture *f, uint16_t p, uint8_t v)
{
    irqchip_port_write(f->chip, p, 1, v);
}

static void start_pics(struct fixture *f, uint8_t master_mask)
{
    static const uint8_t icw[2][4] = {{0x11, 0x20, 4, 1}, {0x11, 0x28, 2, 1}};

    for (unsigned i = 0; i < 2; i++) {
        uint16_t cmd = i ? 0xa0 : 0x20;

        for (unsigned n = 0; n < 4; n++)
            port(f, n ? cmd + 1 : cmd, icw[i][n]);
        port(f, cmd + 1, i ? 0xff : master_mask);
    }
}

static void ioapic_write_reg(struct fixture *f, unsigned reg, uint32_t v)
{
    ck_assert(irqchip_mmio_write(f->chip, 0, IOAPIC_BASE, 4, reg));
    ck_assert(irqchip_mmio_write(f->chip, 0, IOAPIC_BASE + 0x10, 4, v));
}

static uint64_t guest_tsc_plus_us(struct fixture *f, uint64_t offset, uint64_t us)
{
    return clock_tsc() + offset + us * f->khz / 1000;
}

START_TEST(one_shot_and_count)
{
    struct fixture f;
    uint64_t begin;

    fixture_start(&f, 1);
    apic_enable_all(&f, 1);
    apic_write(&f, 0, APIC_TDCR, 3); /* by 16 */
    apic_write(&f, 0, APIC_LVT_TIMER, 0x40);
    apic_write(&f, 0, APIC_TMICT, UINT32_MAX); /* a minute: running, however slow the host */
    ck_assert_uint_gt(apic_read(&f, 0, APIC_TMCCT), 0);
    begin = clock_mono_ns();
    apic_write(&f, 0, APIC_TMICT, 5000000 / 16);
    ck_assert_uint_le(apic_read(&f, 0, APIC_TMCCT), 5000000 / 16);
    ck_assert(wait_interrupt(&f, 0));
    ck_assert_uint_ge(clock_mono_ns() - begin, 4999900);
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x40);
    apic_write(&f, 0, APIC_EOI, 0);
    ck_assert_uint_eq(apic_read(&f, 0, APIC_TMCCT), 0);
    sleep_us(7000);
    ck_assert(!irqchip_has_interrupt(f.chip, 0));
    fixture_stop(&f);
}
END_TEST

START_TEST(periodic_and_masked)
{
    struct fixture f;
    struct irqchip_stats before, after;

    fixture_start(&f, 1);
    apic_enable_all(&f, 1);
    apic_write(&f, 0, APIC_TDCR, 0xb);
    apic_write(&f, 0, APIC_LVT_TIMER, 0x20040);
    apic_write(&f, 0, APIC_TMICT, 1000000);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert(wait_interrupt(&f, 0));
        ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x40);
        apic_write(&f, 0, APIC_EOI, 0);
    }
    apic_write(&f, 0, APIC_LVT_TIMER, 0x30040);
    if (irqchip_ack(f.chip, 0) >= 0)
        apic_write(&f, 0, APIC_EOI, 0);
    irqchip_stats_get(f.chip, &before);
    sleep_us(5000);
    irqchip_stats_get(f.chip, &after);
    /* Masked: nothing runs, but for one that had begun. */
    ck_assert_uint_le(after.timer_fires - before.timer_fires, 1);
    ck_assert_uint_gt(apic_read(&f, 0, APIC_TMCCT), 0);       /* but it counts */
    apic_write(&f, 0, APIC_LVT_TIMER, 0x20040);
    ck_assert(wait_interrupt(&f, 0));
    fixture_stop(&f);
}
END_TEST

START_TEST(a_tiny_period_does_not_flood_the_host)
{
    struct fixture f;
    struct irqchip_stats stats;
    uint64_t begin = clock_mono_ns();

    fixture_start(&f, 1);
    apic_enable_all(&f, 1);
    apic_write(&f, 0, APIC_TDCR, 0xb);
    apic_write(&f, 0, APIC_LVT_TIMER, 0x20040);
    apic_write(&f, 0, APIC_TMICT, 1);
    sleep_us(10000);
    irqchip_stats_get(f.chip, &stats);
    ck_assert_uint_lt(stats.timer_fires, (clock_mono_ns() - begin) / 100);
    apic_write(&f, 0, APIC_TMICT, 0);
    fixture_stop(&f);
}
END_TEST

START_TEST(tsc_deadline)
{
    const uint64_t offset = UINT64_C(0) - (clock_tsc() - 1000000);
    struct fixture f;
    struct irqchip_stats before, after;
    uint64_t v, deadline;

    fixture_start(&f, 1);
    apic_enable_all(&f, 1);
    irqchip_set_tsc_offset(f.chip, 0, offset);
    ck_assert_int_eq(irqchip_msr_write(f.chip, 0, MSR_TSC_DEADLINE, 1), 0);
    ck_assert(irqchip_msr_read(f.chip, 0, MSR_TSC_DEADLINE, &v) == 0 && v == 0); /* other mode */
    apic_write(&f, 0, APIC_LVT_TIMER, 0x40040);
    ck_assert_int_eq(irqchip_msr_write(f.chip, 0, MSR_TSC_DEADLINE, 1), 0); /* past: at once */
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x40);
    apic_write(&f, 0, APIC_EOI, 0);
    deadline = guest_tsc_plus_us(&f, offset, 3000);
    ck_assert_int_eq(irqchip_msr_write(f.chip, 0, MSR_TSC_DEADLINE, deadline), 0);
    ck_assert_int_eq(irqchip_msr_read(f.chip, 0, MSR_TSC_DEADLINE, &v), 0);
    ck_assert(v == deadline || clock_tsc() + offset >= deadline); /* the host may be slow */
    ck_assert(wait_interrupt(&f, 0));
    ck_assert(clock_tsc() + offset >= deadline);
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x40);
    apic_write(&f, 0, APIC_EOI, 0);
    ck_assert(irqchip_msr_read(f.chip, 0, MSR_TSC_DEADLINE, &v) == 0 && v == 0);
    irqchip_stats_get(f.chip, &before);
    ck_assert_int_eq(irqchip_msr_write(f.chip, 0, MSR_TSC_DEADLINE, UINT64_MAX), 0);
    sleep_us(2000);
    irqchip_stats_get(f.chip, &after);
    ck_assert_uint_eq(after.timer_arms, before.timer_arms + 1); /* far off is not at once */
    ck_assert_int_eq(irqchip_msr_write(f.chip, 0, MSR_TSC_DEADLINE, 0), 0);
    sleep_us(2000);
    ck_assert(!irqchip_has_interrupt(f.chip, 0));
    fixture_stop(&f);
}
END_TEST

/* Twice: as made, and after a guest has programmed them otherwise. */
START_TEST(pics_are_as_a_bios_leaves_them)
{
    struct fixture f;

    fixture_start(&f, 1);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(irqchip_port_read(f.chip, 0x21, 1), 0xfb);
        ck_assert_uint_eq(irqchip_port_read(f.chip, 0xa1, 1), 0xff);
        ck_assert_uint_eq(irqchip_port_read(f.chip, 0x4d0, 2), 0); /* edges */
        irqchip_irq_line(f.chip, 12, true);
        irqchip_irq_line(f.chip, 4, true);
        ck_assert(!irqchip_has_interrupt(f.chip, 0));
        port(&f, 0xa1, 0xef); /* nothing but the masks has to be written */
        ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x74);
        port(&f, 0xa0, 0x20);
        port(&f, 0x20, 0x20);
        port(&f, 0x21, 0xef);
        ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x0c);
        start_pics(&f, 0);
        irqchip_irq_line(f.chip, 12, false);
        irqchip_irq_line(f.chip, 4, false);
        irqchip_reset(f.chip);
    }
    fixture_stop(&f);
}
END_TEST

START_TEST(pit_through_the_pic_in_virtual_wire_mode)
{
    struct fixture f;

    fixture_start(&f, 2);
    start_pics(&f, 0xfe);
    port(&f, 0x43, 0x34);
    port(&f, 0x40, 0xa9); /* 1193: 1 ms */
    port(&f, 0x40, 0x04);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(wait_interrupt(&f, 0));
        ck_assert(!irqchip_has_interrupt(f.chip, 1));
        ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x20);
        ck_assert_int_eq(irqchip_ack(f.chip, 0), -1);
        port(&f, 0x20, 0x20);
    }
    fixture_stop(&f);
}
END_TEST

START_TEST(pit_through_ioapic_pin_2)
{
    struct fixture f;

    fixture_start(&f, 2);
    apic_enable_all(&f, 2);
    port(&f, 0x43, 0x30);
    port(&f, 0x40, 0x10);
    port(&f, 0x40, 0x00);
    sleep_us(1000); /* fires while masked: lost at the IOAPIC */
    ioapic_write_reg(&f, 0x15, 1u << 24);
    ioapic_write_reg(&f, 0x14, 0x30);
    ck_assert(!irqchip_has_interrupt(f.chip, 1));
    port(&f, 0x40, 0xa9);
    port(&f, 0x40, 0x04);
    ck_assert(wait_interrupt(&f, 1));
    ck_assert_int_eq(irqchip_ack(f.chip, 1), 0x30);
    ck_assert(!irqchip_has_interrupt(f.chip, 0));
    fixture_stop(&f);
}
END_TEST

START_TEST(a_level_line_through_the_ioapic)
{
    struct fixture f;

    fixture_start(&f, 1);
    apic_enable_all(&f, 1);
    ioapic_write_reg(&f, 0x10 + 2 * 11, 0x8055);
    irqchip_irq_line(f.chip, 11, true);
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x55);
    ck_assert_uint_eq(apic_read(&f, 0, APIC_TMR + 0x20), 1u << 21);
    apic_write(&f, 0, APIC_EOI, 0);
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x55); /* still asserted */
    irqchip_irq_line(f.chip, 11, false);
    apic_write(&f, 0, APIC_EOI, 0);
    ck_assert_int_eq(irqchip_ack(f.chip, 0), -1);
    apic_write(&f, 0, APIC_SVR, 0x11ff); /* suppress EOI broadcasts: the IOAPIC's own register */
    irqchip_irq_line(f.chip, 11, true);
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x55);
    apic_write(&f, 0, APIC_EOI, 0);
    ck_assert_int_eq(irqchip_ack(f.chip, 0), -1);
    ck_assert(irqchip_mmio_write(f.chip, 0, IOAPIC_BASE + 0x40, 4, 0x55));
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x55);
    fixture_stop(&f);
}
END_TEST

START_TEST(extint_routes)
{
    struct fixture f;

    fixture_start(&f, 2);
    apic_enable_all(&f, 2);
    start_pics(&f, 0);
    irqchip_irq_line(f.chip, 4, true);
    ck_assert(irqchip_has_interrupt(f.chip, 0));
    apic_write(&f, 0, 0x350, 0x10700);
    ck_assert(!irqchip_has_interrupt(f.chip, 0));
    port(&f, 0x20, 0x0c); /* take it by polling */
    ck_assert_uint_eq(irqchip_port_read(f.chip, 0x20, 1), 0x84);
    port(&f, 0x20, 0x20);
    ioapic_write_reg(&f, 0x11, 1u << 24);
    ioapic_write_reg(&f, 0x10, 0x700); /* pin 0, ExtINT, to CPU 1 */
    irqchip_irq_line(f.chip, 5, true);
    ck_assert(!irqchip_has_interrupt(f.chip, 0));
    ck_assert_int_eq(irqchip_ack(f.chip, 1), 0x25);
    port(&f, 0x20, 0x20);
    apic_write(&f, 0, 0x350, 0x47); /* LINT0 as a fixed interrupt */
    irqchip_irq_line(f.chip, 6, true);
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x47);
    /* No APIC at all: INTR goes straight to the BSP. */
    ck_assert_int_eq(irqchip_msr_write(f.chip, 0, MSR_APIC_BASE, 0xfee00100), 0);
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x26);
    fixture_stop(&f);
}
END_TEST

START_TEST(wide_port_accesses_are_bytes)
{
    struct fixture f;

    fixture_start(&f, 1);
    irqchip_port_write(f.chip, 0x4d0, 2, 0xffff);
    ck_assert_uint_eq(irqchip_port_read(f.chip, 0x4d0, 2), 0xdef8);
    ck_assert_uint_eq(irqchip_port_read(f.chip, 0x61, 2) >> 8, 0xff);
    for (unsigned p = 0; p < 0x10000; p++)
        ck_assert_int_eq(irqchip_owns_port((uint16_t)p),
                         p == 0x20 || p == 0x21 || p == 0xa0 || p == 0xa1 || p == 0x4d0 ||
                             p == 0x4d1 || (p >= 0x40 && p <= 0x43) || p == 0x61);
    fixture_stop(&f);
}
END_TEST

/* Save, load into another irqchip, save there: the same but for the times. */
START_TEST(state_moves_to_another_machine)
{
    struct fixture f, g;
    struct state_writer w = {0};
    uint64_t begin;
    uint32_t count;

    fixture_start(&f, 2);
    apic_enable_all(&f, 2);
    begin = clock_mono_ns();
    apic_write(&f, 0, APIC_TDCR, 0xb);
    apic_write(&f, 0, APIC_LVT_TIMER, 0x40);
    apic_write(&f, 0, APIC_TMICT, 20000000);
    apic_write(&f, 1, APIC_LVT_TIMER, 0x40041);
    ck_assert_int_eq(irqchip_msr_write(f.chip, 1, MSR_TSC_DEADLINE,
                                       guest_tsc_plus_us(&f, 0, 20000)), 0);
    irqchip_msi(f.chip, 0xfee01000, 0x77);
    ck_assert_int_eq(irqchip_ack(f.chip, 1), 0x77);
    irqchip_msi(f.chip, 0xfee01000, 0x99);
    ck_assert_int_eq(irqchip_save(f.chip, &w), 0);
    fixture_stop(&f);

    fixture_start(&g, 2);
    ck_assert_int_eq(irqchip_load(g.chip, w.data, w.len, NULL), 0);
    ck_assert(irqchip_has_interrupt(g.chip, 1));
    ck_assert(g.told[1] & IRQCHIP_INTR);
    ck_assert_int_eq(irqchip_ack(g.chip, 1), 0x99);
    apic_write(&g, 1, APIC_EOI, 0);
    apic_write(&g, 1, APIC_EOI, 0);
    ck_assert_uint_eq(apic_read(&g, 0, APIC_TMICT), 20000000);
    count = apic_read(&g, 0, APIC_TMCCT);
    ck_assert(count > 0 || clock_mono_ns() - begin >= 20000000); /* the host may be slow */
    ck_assert(wait_interrupt(&g, 0));
    ck_assert_int_eq(irqchip_ack(g.chip, 0), 0x40);
    ck_assert(wait_interrupt(&g, 1));
    ck_assert_int_eq(irqchip_ack(g.chip, 1), 0x41);
    fixture_stop(&g);
    state_writer_fini(&w);
}
END_TEST

START_TEST(a_bad_state_leaves_it_reset)
{
    struct fixture f;
    struct state_writer w = {0};

    fixture_start(&f, 2);
    ck_assert_int_eq(irqchip_save(f.chip, &w), 0);
    apic_enable_all(&f, 2);
    ck_assert_int_lt(irqchip_load(f.chip, w.data, w.len - 1, NULL), 0);
    ck_assert_uint_eq(apic_read(&f, 1, APIC_SVR), 0xff);
    for (size_t i = 0; i < w.len; i += 3) { /* damage anywhere: an answer, and still alive */
        w.data[i] ^= 0xff;
        if (irqchip_load(f.chip, w.data, w.len, NULL) == 0)
            irqchip_ack(f.chip, 0);
        w.data[i] ^= 0xff;
    }
    ck_assert_int_eq(irqchip_load(f.chip, w.data, w.len, NULL), 0);
    state_writer_fini(&w);
    fixture_stop(&f);
}
END_TEST

START_TEST(bad_configurations_are_refused)
{
    struct tsc_rate tsc = {.khz = 1};
    struct irqchip_config c = {.vcpu_count = 256, .tsc = &tsc, .phys_addr_bits = 39};
    struct irqchip *chip;

    ck_assert_int_eq(irqchip_create(&c, &chip), -EINVAL);
    c.vcpu_count = 0;
    ck_assert_int_eq(irqchip_create(&c, &chip), -EINVAL);
    irqchip_destroy(NULL);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, one_shot_and_count);
    UNIT_TEST(s, periodic_and_masked);
    UNIT_TEST(s, a_tiny_period_does_not_flood_the_host);
    UNIT_TEST(s, tsc_deadline);
    UNIT_TEST(s, pics_are_as_a_bios_leaves_them);
    UNIT_TEST(s, pit_through_the_pic_in_virtual_wire_mode);
    UNIT_TEST(s, pit_through_ioapic_pin_2);
    UNIT_TEST(s, a_level_line_through_the_ioapic);
    UNIT_TEST(s, extint_routes);
    UNIT_TEST(s, wide_port_accesses_are_bytes);
    UNIT_TEST(s, state_moves_to_another_machine);
    UNIT_TEST(s, a_bad_state_leaves_it_reset);
    UNIT_TEST(s, bad_configurations_are_refused);
}

UNIT_TEST_MAIN("irqchip", add_tests)
