/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "arch/x86/regs.h"
#include "base/error.h"
#include "irqchip/irqchip_fixture.h"
#include "state/state.h"

static void ipi(struct fixture *f, unsigned from, uint32_t dest, uint32_t lo)
{
    apic_write(f, from, APIC_ICR2, dest << 24);
    apic_write(f, from, APIC_ICR, lo);
}

static int msr(struct fixture *f, unsigned cpu, uint32_t index, uint64_t v)
{
    return irqchip_msr_write(f->chip, cpu, index, v);
}

START_TEST(reset_values)
{
    struct fixture f;

    fixture_start(&f, 2);
    ck_assert_uint_eq(apic_read(&f, 1, APIC_ID), 1u << 24);
    ck_assert_uint_eq(apic_read(&f, 0, APIC_VERSION) & 0xff00ff, 0x050014);
    ck_assert_uint_eq(apic_read(&f, 0, APIC_SVR), 0xff);
    ck_assert_uint_eq(apic_read(&f, 0, APIC_DFR), 0xffffffff);
    ck_assert_uint_eq(apic_read(&f, 0, 0x350), 0x700);
    ck_assert_uint_eq(apic_read(&f, 1, 0x350), 0x10000);
    ck_assert_uint_eq(apic_read(&f, 1, APIC_LVT_TIMER), 0x10000);
    apic_write(&f, 1, APIC_LVT_TIMER, 0x40);
    ck_assert_uint_eq(apic_read(&f, 1, APIC_LVT_TIMER), 0x10040); /* disabled by software */
    fixture_stop(&f);
}
END_TEST

START_TEST(priorities_and_eoi)
{
    struct fixture f;

    fixture_start(&f, 1);
    apic_enable_all(&f, 1);
    irqchip_msi(f.chip, 0xfee00000, 0x51);
    ck_assert_uint_eq(f.told[0], IRQCHIP_INTR);
    ck_assert(irqchip_has_interrupt(f.chip, 0));
    irqchip_cr8_set(f.chip, 0, 5);
    ck_assert_uint_eq(apic_read(&f, 0, APIC_TPR), 0x50);
    ck_assert(!irqchip_has_interrupt(f.chip, 0));
    ck_assert_int_eq(irqchip_ack(f.chip, 0), -1);
    irqchip_cr8_set(f.chip, 0, 4);
    ck_assert_uint_eq(f.intr_count, 2);
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x51);
    ck_assert_uint_eq(apic_read(&f, 0, APIC_ISR + 0x20), 1u << 17);
    ck_assert_uint_eq(apic_read(&f, 0, APIC_PPR), 0x50);
    irqchip_msi(f.chip, 0xfee00000, 0x5f); /* same class: waits */
    ck_assert(!irqchip_has_interrupt(f.chip, 0));
    irqchip_msi(f.chip, 0xfee00000, 0x61); /* higher: nests */
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x61);
    apic_write(&f, 0, APIC_EOI, 0);
    ck_assert(!irqchip_has_interrupt(f.chip, 0));
    apic_write(&f, 0, APIC_EOI, 0);
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x5f);
    fixture_stop(&f);
}
END_TEST

START_TEST(ipis_find_their_destination)
{
    struct fixture f;

    fixture_start(&f, 4);
    apic_enable_all(&f, 4);
    ipi(&f, 0, 2, 0x4041);
    ck_assert_int_eq(irqchip_ack(f.chip, 2), 0x41);
    ipi(&f, 0, 0, 0xc4042); /* all but self */
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(irqchip_ack(f.chip, i), i && i != 2 ? 0x42 : -1); /* 2: in service */
    ipi(&f, 3, 0xff, 0x4091); /* broadcast */
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(irqchip_ack(f.chip, i), 0x91);
    for (unsigned i = 0; i < 4; i++)
        apic_write(&f, i, APIC_LDR, 1u << (24 + i));
    ipi(&f, 0, 0xa, 0x48a1); /* flat logical: 1 and 3 */
    ck_assert_int_eq(irqchip_ack(f.chip, 0), -1);
    ck_assert_int_eq(irqchip_ack(f.chip, 1), 0xa1);
    ck_assert_int_eq(irqchip_ack(f.chip, 3), 0xa1);
    for (unsigned i = 0; i < 4; i++) {
        apic_write(&f, i, APIC_DFR, 0);
        apic_write(&f, i, APIC_LDR, (i < 2 ? 0x10u : 0x20u) << 24 | 1u << (24 + (i & 1)));
    }
    ipi(&f, 0, 0x22, 0x48b1); /* cluster 2, member 1 */
    ck_assert_int_eq(irqchip_ack(f.chip, 1), -1);
    ck_assert_int_eq(irqchip_ack(f.chip, 3), 0xb1);
    irqchip_cr8_set(f.chip, 0, 14);
    ipi(&f, 0, 0x13, 0x49c1); /* lowest priority among 0 and 1 */
    ck_assert_int_eq(irqchip_ack(f.chip, 1), 0xc1);
    ipi(&f, 0, 0, 0x440f1); /* self */
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0xf1);
    fixture_stop(&f);
}
END_TEST

START_TEST(init_sipi_and_nmi_reach_the_cpu)
{
    struct fixture f;

    fixture_start(&f, 2);
    ipi(&f, 0, 1, 0xc500);
    ck_assert_uint_eq(f.told[1], IRQCHIP_INIT);
    ipi(&f, 0, 1, 0x8500); /* de-assert: nothing */
    ipi(&f, 0, 1, 0x4600 | 0x9a);
    ck_assert_uint_eq(f.told[1], IRQCHIP_INIT | IRQCHIP_SIPI);
    ck_assert_uint_eq(f.sipi_vector, 0x9a);
    ipi(&f, 1, 0, 0x4400);
    ck_assert_uint_eq(f.told[0], IRQCHIP_NMI);
    apic_enable_all(&f, 2);
    apic_write(&f, 0, 0x360, 0x400);
    f.told[0] = f.told[1] = 0;
    irqchip_lint1(f.chip);
    ck_assert_uint_eq(f.told[0], IRQCHIP_NMI);
    ck_assert_uint_eq(f.told[1], 0);
    irqchip_cpu_init(f.chip, 0);
    ck_assert_uint_eq(apic_read(&f, 0, 0x360), 0x10000);
    ck_assert_uint_eq(apic_read(&f, 0, APIC_SVR), 0xff);
    fixture_stop(&f);
}
END_TEST

START_TEST(illegal_vectors_are_errors)
{
    struct fixture f;

    fixture_start(&f, 2);
    apic_enable_all(&f, 2);
    apic_write(&f, 0, APIC_LVT_ERROR, 0x33);
    ipi(&f, 0, 1, 0x4005);
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x33);
    ck_assert_uint_eq(apic_read(&f, 0, APIC_ESR), 0);
    apic_write(&f, 0, APIC_ESR, 0);
    ck_assert_uint_eq(apic_read(&f, 0, APIC_ESR), ESR_SEND_ILLEGAL);
    apic_write(&f, 0, APIC_ESR, 0);
    ck_assert_uint_eq(apic_read(&f, 0, APIC_ESR), 0);
    apic_write(&f, 1, APIC_LVT_ERROR, 0x03); /* illegal itself: must not recurse for ever */
    irqchip_msi(f.chip, 0xfee01000, 0x05);
    apic_write(&f, 1, APIC_ESR, 0);
    ck_assert_uint_eq(apic_read(&f, 1, APIC_ESR), ESR_RECEIVE_ILLEGAL);
    fixture_stop(&f);
}
END_TEST

START_TEST(x2apic_registers_and_faults)
{
    struct fixture f;
    uint64_t v;

    fixture_start(&f, 20);
    ck_assert_int_eq(irqchip_msr_read(f.chip, 0, 0x802, &v), -EINVAL);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_int_eq(irqchip_msr_read(f.chip, i, MSR_APIC_BASE, &v), 0);
        ck_assert_int_eq(msr(&f, i, MSR_APIC_BASE, v | APIC_BASE_X2APIC), 0);
        ck_assert_int_eq(msr(&f, i, 0x80f, 0x1ff), 0);
    }
    ck_assert(!irqchip_mmio_read(f.chip, 0, LAPIC_GPA, 4, &v));
    ck_assert_uint_eq(irqchip_lapic_gpa(f.chip, 0), UINT64_MAX);
    ck_assert(irqchip_msr_read(f.chip, 19, 0x802, &v) == 0 && v == 19);
    ck_assert(irqchip_msr_read(f.chip, 19, 0x80d, &v) == 0 && v == 0x10008);
    ck_assert_int_eq(msr(&f, 0, 0x830, UINT64_C(0x1300004041)), 0);
    ck_assert_int_eq(irqchip_ack(f.chip, 19), 0x41);
    ck_assert_int_eq(msr(&f, 0, 0x830, UINT64_C(0x0001000c00004851)), 0); /* cluster 1 */
    ck_assert_int_eq(irqchip_ack(f.chip, 18), 0x51);
    ck_assert_int_eq(irqchip_ack(f.chip, 19), 0x51);
    ck_assert_int_eq(irqchip_ack(f.chip, 17), -1);
    ck_assert_int_eq(msr(&f, 0, 0x83f, 0x61), 0);
    ck_assert_int_eq(irqchip_ack(f.chip, 0), 0x61);
    ck_assert_int_eq(msr(&f, 0, 0x80b, 0), 0);
    ck_assert_int_eq(msr(&f, 0, 0x80b, 1), -EINVAL);
    ck_assert_int_eq(msr(&f, 0, 0x828, 1), -EINVAL);
    ck_assert_int_eq(msr(&f, 0, 0x802, 0), -EINVAL);
    ck_assert_int_eq(msr(&f, 0, 0x808, 0x100), -EINVAL);
    ck_assert_int_eq(msr(&f, 0, 0x80e, 0), -EINVAL);
    ck_assert_int_eq(msr(&f, 0, 0x831, 0), -EINVAL);
    ck_assert_int_eq(irqchip_msr_read(f.chip, 0, 0x80b, &v), -EINVAL);
    ck_assert_int_eq(irqchip_msr_read(f.chip, 0, 0x83f, &v), -EINVAL);
    ck_assert_int_eq(irqchip_msr_read(f.chip, 0, 0x80e, &v), -EINVAL);
    fixture_stop(&f);
}
END_TEST

START_TEST(apic_base_transitions)
{
    const uint64_t base = 0xfee00100;
    struct fixture f;
    uint64_t v;

    fixture_start(&f, 1);
    ck_assert_int_eq(msr(&f, 0, MSR_APIC_BASE, base | 1), -EINVAL);
    ck_assert_int_eq(msr(&f, 0, MSR_APIC_BASE, base | 0x800 | BIT(39)), -EINVAL);
    ck_assert_int_eq(msr(&f, 0, MSR_APIC_BASE, base | 0x400), -EINVAL);
    ck_assert_int_eq(msr(&f, 0, MSR_APIC_BASE, 0xfed00900), 0);
    ck_assert_uint_eq(irqchip_lapic_gpa(f.chip, 0), 0xfed00000);
    ck_assert(!irqchip_mmio_read(f.chip, 0, LAPIC_GPA, 4, &v));
    ck_assert_int_eq(msr(&f, 0, MSR_APIC_BASE, base | 0xc00), 0);
    ck_assert_int_eq(msr(&f, 0, MSR_APIC_BASE, base | 0x800), -EINVAL);
    ck_assert_int_eq(msr(&f, 0, MSR_APIC_BASE, base), 0);
    ck_assert_int_eq(msr(&f, 0, MSR_APIC_BASE, base | 0xc00), -EINVAL);
    ck_assert(!irqchip_mmio_read(f.chip, 0, LAPIC_GPA, 4, &v));
    irqchip_cr8_set(f.chip, 0, 7);
    ck_assert_uint_eq(irqchip_cr8_get(f.chip, 0), 7);
    irqchip_msi(f.chip, 0xfee00000, 0xf1);
    ck_assert(!irqchip_has_interrupt(f.chip, 0));
    ck_assert_int_eq(msr(&f, 0, MSR_APIC_BASE, base | 0x800), 0);
    ck_assert_uint_eq(apic_read(&f, 0, APIC_SVR), 0xff);
    fixture_stop(&f);
}
END_TEST

START_TEST(odd_accesses)
{
    struct fixture f;
    uint64_t v;

    fixture_start(&f, 1);
    ck_assert(irqchip_mmio_read(f.chip, 0, LAPIC_GPA + 0x32, 1, &v));
    ck_assert_uint_eq(v, 5);
    ck_assert(irqchip_mmio_read(f.chip, 0, LAPIC_GPA + 0x34, 4, &v));
    ck_assert_uint_eq(v, 0);
    ck_assert(irqchip_mmio_write(f.chip, 0, LAPIC_GPA + 0x80, 1, 0x20));
    ck_assert_uint_eq(apic_read(&f, 0, APIC_TPR), 0);
    for (unsigned off = 0; off < 4096; off++) {
        irqchip_mmio_write(f.chip, 0, LAPIC_GPA + off, 4, 0xffffffff);
        irqchip_mmio_read(f.chip, 0, LAPIC_GPA + off, 8, &v);
        irqchip_mmio_write(f.chip, 0, IOAPIC_BASE + off, 4, 0xffffffff);
        irqchip_mmio_read(f.chip, 0, IOAPIC_BASE + off, 2, &v);
    }
    fixture_stop(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, reset_values);
    UNIT_TEST(s, priorities_and_eoi);
    UNIT_TEST(s, ipis_find_their_destination);
    UNIT_TEST(s, init_sipi_and_nmi_reach_the_cpu);
    UNIT_TEST(s, illegal_vectors_are_errors);
    UNIT_TEST(s, x2apic_registers_and_faults);
    UNIT_TEST(s, apic_base_transitions);
    UNIT_TEST(s, odd_accesses);
}

UNIT_TEST_MAIN("lapic", add_tests)
