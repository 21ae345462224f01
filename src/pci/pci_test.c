/* SPDX-License-Identifier: MIT */
#include "pci/pci.h"

#include <errno.h>

#include "fake_machine.h"
#include "unit.h"

#define ECAM 0xb0000000u
#define SLOT PCI_DEVFN(3, 0)

struct fixture {
    struct fake_machine m;
    struct pci_host *host;
    struct pci_dev *dev;
    uint16_t pm_base;
    bool pm_on, smi_locked;
    unsigned smram;
    uint8_t cf9;
};

static void on_pm_base(void *arg, uint16_t base, bool enabled)
{
    struct fixture *f = arg;

    f->pm_base = base;
    f->pm_on = enabled;
}

static void on_smi_lock(void *arg, bool locked)
{
    ((struct fixture *)arg)->smi_locked = locked;
}

static void on_smram(void *arg, unsigned mib)
{
    ((struct fixture *)arg)->smram = mib;
}

static uint8_t cf9_read(void *arg)
{
    return ((struct fixture *)arg)->cf9;
}

static void cf9_write(void *arg, uint8_t v)
{
    ((struct fixture *)arg)->cf9 = v;
}

static void setup_with(struct fixture *f, bool smm)
{
    struct pci_host_options o = {
        .ecam_base = ECAM, .mem32_base = 0xc0000000, .mem32_end = 0xfec00000, .io_base = 0x1000,
        .mem64_base = UINT64_C(1) << 45, .mem64_end = UINT64_C(1) << 46,
        .reset_port = {cf9_read, cf9_write, f}, .pm_base = on_pm_base, .pm_arg = f,
        .smi_lock = smm ? on_smi_lock : NULL, .smram = smm ? on_smram : NULL, .smm_arg = f};

    memset(f, 0, sizeof(*f));
    fake_machine_init(&f->m);
    ck_assert_int_eq(pci_host_create(f->m.bus, &o, &f->host), 0);
    ck_assert_int_eq(pci_dev_create(f->host, &pci_testdev_ops, SLOT, &f->dev), 0);
}

static void setup(struct fixture *f)
{
    setup_with(f, false);
}

static uint64_t ecam(unsigned devfn, unsigned reg)
{
    return ECAM + (devfn << 12) + reg;
}

static uint32_t cfg(struct fixture *f, unsigned devfn, unsigned reg, unsigned size)
{
    fake_out(&f->m, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
    return fake_in(&f->m, (uint16_t)(0xcfc + (reg & 3)), size);
}

static void set_cfg(struct fixture *f, unsigned devfn, unsigned reg, unsigned size, uint32_t v)
{
    fake_out(&f->m, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
    fake_out(&f->m, (uint16_t)(0xcfc + (reg & 3)), size, v);
}

START_TEST(bridges_are_found_both_ways)
{
    struct fixture f;

    setup(&f);
    ck_assert_uint_eq(cfg(&f, 0, 0, 4), 0x29c08086);
    ck_assert_uint_eq(fake_read(&f.m, ecam(0, 0), 4), 0x29c08086);
    ck_assert_uint_eq(cfg(&f, PCI_DEVFN(31, 0), 2, 2), 0x2918);
    ck_assert_uint_eq(cfg(&f, PCI_DEVFN(31, 0), 0x0a, 1), 0x01);
    ck_assert_uint_eq(cfg(&f, PCI_DEVFN(31, 0), 0x0e, 1), 0x80);
    ck_assert_uint_eq(cfg(&f, PCI_DEVFN(5, 0), 0, 4), 0xffffffff);
    ck_assert_uint_eq(fake_read(&f.m, ecam(0, 0x100), 4), 0);
    ck_assert_uint_eq(fake_read(&f.m, ECAM + (1 << 20), 4), 0xffffffff);
    fake_out(&f.m, 0xcf8, 4, 0x80010000); /* bus 1 */
    ck_assert_uint_eq(fake_in(&f.m, 0xcfc, 4), 0xffffffff);
    fake_out(&f.m, 0xcf8, 4, 0); /* not enabled */
    ck_assert_uint_eq(fake_in(&f.m, 0xcfc, 4), 0xffffffff);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(the_reset_port_lies_between_the_configuration_ports)
{
    struct fixture f;

    setup(&f);
    fake_out(&f.m, 0xcf8, 4, 0x80000008);
    fake_out(&f.m, 0xcf9, 1, 0x06);
    ck_assert_uint_eq(f.cf9, 0x06);
    ck_assert_uint_eq(fake_in(&f.m, 0xcf9, 1), 0x06);
    ck_assert_uint_eq(fake_in(&f.m, 0xcf8, 4), 0x80000008);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(bars_are_sized_decoded_and_moved)
{
    struct fixture f;

    setup(&f);
    set_cfg(&f, SLOT, 0x10, 4, 0xffffffff);
    ck_assert_uint_eq(cfg(&f, SLOT, 0x10, 4), 0xfffff000);
    set_cfg(&f, SLOT, 0x10, 4, 0xc0000000);
    ck_assert_uint_eq(fake_read(&f.m, 0xc0000000, 4), 0xffffffff);
    set_cfg(&f, SLOT, 4, 2, PCI_CMD_MEM);
    ck_assert_uint_eq(fake_read(&f.m, 0xc0000000, 4), 0x747a7674);
    fake_write(&f.m, 0xc0000004, 4, 0x1234);
    set_cfg(&f, SLOT, 0x10, 4, 0xd0000000);
    ck_assert_uint_eq(fake_read(&f.m, 0xd0000004, 4), 0x1234);
    ck_assert_uint_eq(fake_read(&f.m, 0xc0000000, 4), 0xffffffff);
    set_cfg(&f, SLOT, 0x10, 4, ECAM); /* onto something else: not seen, nothing broken */
    ck_assert_uint_eq(fake_read(&f.m, ecam(0, 0), 4), 0x29c08086);
    set_cfg(&f, SLOT, 0x10, 4, 0xc0000000);
    ck_assert_uint_eq(fake_read(&f.m, 0xc0000004, 4), 0x1234);
    set_cfg(&f, SLOT, 4, 2, 0);
    ck_assert_uint_eq(fake_read(&f.m, 0xc0000004, 4), 0xffffffff);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(firmware_s_assignment_gives_every_bar_a_place)
{
    struct fixture f;

    setup(&f);
    pci_assign_bars(f.host);
    ck_assert_uint_eq(cfg(&f, SLOT, 0x10, 4), 0xc0000000);
    ck_assert_uint_eq(cfg(&f, SLOT, 0x14, 4), 0xc0001000);
    ck_assert_uint_eq(cfg(&f, SLOT, 0x3c, 2), 0x0100 | pci_intx_gsi(SLOT, 1));
    ck_assert_uint_eq(fake_read(&f.m, 0xc0000000, 4), 0x747a7674);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(msix_sends_masks_and_remembers)
{
    struct fixture f;
    unsigned cap;

    setup(&f);
    pci_assign_bars(f.host);
    cap = cfg(&f, SLOT, 0x34, 1);
    ck_assert_uint_eq(cfg(&f, SLOT, cap, 1), 0x11);
    ck_assert_uint_eq(cfg(&f, SLOT, cap + 2, 2), 1);
    fake_write(&f.m, 0xc0001010, 8, 0xfee01000);
    fake_write(&f.m, 0xc0001018, 4, 0x55);
    fake_write(&f.m, 0xc0000008, 4, 1); /* not enabled yet */
    ck_assert_uint_eq(f.m.msi_count, 0);
    set_cfg(&f, SLOT, cap + 2, 2, 0x8000);
    fake_write(&f.m, 0xc0000008, 4, 1); /* masked from reset */
    ck_assert_uint_eq(f.m.msi_count, 0);
    ck_assert_uint_eq(fake_read(&f.m, 0xc0001800, 8), 2);
    fake_write(&f.m, 0xc000101c, 4, 0);
    ck_assert_uint_eq(f.m.msi_count, 1);
    ck_assert_uint_eq(f.m.msi.address, 0xfee01000);
    ck_assert_uint_eq(f.m.msi.data, 0x55);
    ck_assert_uint_eq(fake_read(&f.m, 0xc0001800, 8), 0);
    set_cfg(&f, SLOT, cap + 2, 2, 0xc000); /* the whole function masked */
    fake_write(&f.m, 0xc0000008, 4, 1);
    ck_assert_uint_eq(f.m.msi_count, 1);
    set_cfg(&f, SLOT, cap + 2, 2, 0x8000);
    ck_assert_uint_eq(f.m.msi_count, 2);
    fake_write(&f.m, 0xc0000008, 4, 77); /* no such vector */
    ck_assert_uint_eq(f.m.msi_count, 2);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(intx_follows_pin_disable_bit_and_msix)
{
    struct fixture f;
    unsigned gsi = pci_intx_gsi(SLOT, 1), cap;

    setup(&f);
    pci_assign_bars(f.host);
    fake_write(&f.m, 0xc000000c, 4, 1);
    ck_assert(f.m.level[gsi]);
    ck_assert_uint_eq(cfg(&f, SLOT, 6, 2) & 8, 8);
    set_cfg(&f, SLOT, 4, 2, PCI_CMD_MEM | PCI_CMD_INTX_OFF);
    ck_assert(!f.m.level[gsi]);
    set_cfg(&f, SLOT, 4, 2, PCI_CMD_MEM);
    ck_assert(f.m.level[gsi]);
    cap = cfg(&f, SLOT, 0x34, 1);
    set_cfg(&f, SLOT, cap + 2, 2, 0x8000);
    ck_assert(!f.m.level[gsi]);
    bus_reset(f.m.bus);
    ck_assert_uint_eq(cfg(&f, SLOT, 0x10, 4), 0);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(bridges_move_what_they_place)
{
    struct fixture f;

    setup(&f);
    ck_assert_uint_eq(f.pm_base, 0x600);
    ck_assert(f.pm_on);
    set_cfg(&f, PCI_DEVFN(31, 0), 0x40, 4, 0xb001);
    ck_assert_uint_eq(f.pm_base, 0xb000);
    set_cfg(&f, PCI_DEVFN(31, 0), 0x44, 1, 0);
    ck_assert(!f.pm_on);
    set_cfg(&f, 0, 0x60, 4, 0xe0000001);
    ck_assert_uint_eq(fake_read(&f.m, ECAM, 4), 0xffffffff);
    ck_assert_uint_eq(fake_read(&f.m, 0xe0000000, 4), 0x29c08086);
    bus_reset(f.m.bus);
    ck_assert_uint_eq(fake_read(&f.m, ECAM, 4), 0x29c08086);
    ck_assert_uint_eq(f.pm_base, 0x600);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(memory_for_management_is_closed_and_locked)
{
    struct state_writer w = {0};
    struct fixture f;
    struct vz_error err;

    setup_with(&f, true);
    ck_assert_uint_eq(cfg(&f, 0, 0x50, 2), 16); /* how large it can be, in MiB */
    set_cfg(&f, 0, 0x50, 2, 0xffff);
    ck_assert_uint_eq(cfg(&f, 0, 0x50, 2), 16);
    set_cfg(&f, 0, 0x9e, 1, 0x05); /* 8 MiB */
    ck_assert_uint_eq(f.smram, 0); /* not enabled */
    set_cfg(&f, 0, 0x9d, 1, 0x48);
    ck_assert_uint_eq(f.smram, 8);
    set_cfg(&f, 0, 0x9e, 1, 0x07);
    ck_assert_uint_eq(f.smram, 16);
    ck_assert_uint_eq(cfg(&f, 0, 0x9d, 1), 0x4a);
    set_cfg(&f, 0, 0x9d, 1, 0x58); /* locked: it is not open any more, and stays so */
    ck_assert_uint_eq(cfg(&f, 0, 0x9d, 1), 0x1a);
    set_cfg(&f, 0, 0x9d, 1, 0x40);
    set_cfg(&f, 0, 0x9e, 1, 0x00);
    ck_assert_uint_eq(cfg(&f, 0, 0x9d, 1), 0x1a);
    ck_assert_uint_eq(f.smram, 16);
    set_cfg(&f, PCI_DEVFN(31, 0), 0xa0, 1, 0x10);
    ck_assert(f.smi_locked);
    set_cfg(&f, PCI_DEVFN(31, 0), 0xa0, 1, 0);
    ck_assert(f.smi_locked);
    ck_assert_int_eq(bus_save(f.m.bus, &w), 0);
    bus_reset(f.m.bus);
    ck_assert_uint_eq(f.smram, 0);
    ck_assert(!f.smi_locked);
    ck_assert_uint_eq(cfg(&f, 0, 0x9d, 1), 0x02);
    ck_assert_int_eq(bus_load(f.m.bus, w.data, w.len, &err), 0);
    ck_assert_uint_eq(f.smram, 16);
    ck_assert(f.smi_locked);
    set_cfg(&f, 0, 0x9e, 1, 0x00);
    ck_assert_uint_eq(f.smram, 16);
    state_writer_fini(&w);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(state_survives)
{
    struct fixture f, g;

    setup(&f);
    setup(&g);
    pci_assign_bars(f.host);
    fake_write(&f.m, 0xc0000004, 4, 0xabcd);
    fake_write(&f.m, 0xc000000c, 4, 1);
    fake_write(&f.m, 0xc0001010, 4, 0xfee01000);
    fake_machine_round_trip(&f.m, &g.m);
    ck_assert_uint_eq(fake_read(&g.m, 0xc0000004, 4), 0xabcd);
    ck_assert_uint_eq(fake_read(&g.m, 0xc0001010, 4), 0xfee01000);
    ck_assert(g.m.level[pci_intx_gsi(SLOT, 1)]);
    fake_machine_fini(&f.m);
    fake_machine_fini(&g.m);
}
END_TEST

START_TEST(hostile_accesses_break_nothing)
{
    struct fixture f;
    static const uint32_t value[] = {0xffffffff, 0, 0xa5a5a5a5};

    setup(&f);
    for (unsigned v = 0; v < ARRAY_SIZE(value); v++) {
        for (unsigned devfn = 0; devfn < 256; devfn++) {
            for (unsigned reg = 0; reg < 256; reg++) {
                fake_write(&f.m, ecam(devfn, reg), 1 << (reg % 4), value[v]);
                (void)fake_read(&f.m, ecam(devfn, reg), 8);
            }
        }
        fake_hostile_ports(&f.m, 0xcf8, 8);
    }
    bus_reset(f.m.bus);
    ck_assert_uint_eq(cfg(&f, SLOT, 0, 4), PCI_VENDOR_VZ | 1 << 16);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(places_are_taken_once)
{
    struct fixture f;
    struct pci_dev *dev;

    setup(&f);
    ck_assert_int_eq(pci_dev_create(f.host, &pci_testdev_ops, SLOT, &dev), -EEXIST);
    ck_assert_int_eq(pci_dev_create(f.host, &pci_testdev_ops, 256, &dev), -EINVAL);
    fake_machine_fini(&f.m);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, bridges_are_found_both_ways);
    UNIT_TEST(s, the_reset_port_lies_between_the_configuration_ports);
    UNIT_TEST(s, bars_are_sized_decoded_and_moved);
    UNIT_TEST(s, firmware_s_assignment_gives_every_bar_a_place);
    UNIT_TEST(s, msix_sends_masks_and_remembers);
    UNIT_TEST(s, intx_follows_pin_disable_bit_and_msix);
    UNIT_TEST(s, bridges_move_what_they_place);
    UNIT_TEST(s, memory_for_management_is_closed_and_locked);
    UNIT_TEST(s, state_survives);
    UNIT_TEST(s, hostile_accesses_break_nothing);
    UNIT_TEST(s, places_are_taken_once);
}

UNIT_TEST_MAIN("pci", add_tests)
