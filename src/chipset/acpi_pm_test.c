/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "base/clock.h"
#include "chipset/chipset.h"
#include "fake_machine.h"
#include "unit.h"

static void on_request(void *arg, enum chipset_request kind, uint32_t value)
{
    ((unsigned *)arg)[kind]++;
}

struct fixture {
    struct fake_machine m;
    struct acpi_pm *pm;
    unsigned requests[3];
};

static void setup(struct fixture *f)
{
    struct chipset_requests requests = {on_request, f->requests};

    memset(f, 0, sizeof(*f));
    fake_machine_init(&f->m);
    ck_assert_int_eq(acpi_pm_create(f->m.bus, f->m.loop, &requests, &f->pm), 0);
}

START_TEST(s5_powers_off_and_other_sleeps_do_not)
{
    struct fixture f;

    setup(&f);
    fake_out(&f.m, 0x604, 2, 1 << 10 | 1 << 13);
    fake_out(&f.m, 0x604, 2, 5 << 10);
    ck_assert_uint_eq(f.requests[CHIPSET_POWER_OFF], 0);
    fake_out(&f.m, 0x604, 2, 5 << 10 | 1 << 13);
    ck_assert_uint_eq(f.requests[CHIPSET_POWER_OFF], 1);
    ck_assert_uint_eq(fake_in(&f.m, 0x604, 2), 5 << 10);
    fake_out(&f.m, 0x605, 1, 0x34);
    ck_assert_uint_eq(f.requests[CHIPSET_POWER_OFF], 2);
    fake_out(&f.m, 0x604, 2, 1 << 13);
    ck_assert_uint_eq(f.requests[CHIPSET_POWER_OFF], 2);
    acpi_pm_zero_is_off(f.pm);
    fake_out(&f.m, 0x604, 2, 1 << 13);
    ck_assert_uint_eq(f.requests[CHIPSET_POWER_OFF], 3);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(the_power_button_interrupts_in_acpi_mode_only)
{
    struct fixture f;

    setup(&f);
    fake_out(&f.m, 0x602, 2, 0x100);
    acpi_pm_power_button(f.pm);
    ck_assert(!f.m.level[9] && !acpi_pm_hears_power_button(f.pm));
    fake_out(&f.m, 0xb2, 1, ACPI_SMI_ENABLE);
    ck_assert(acpi_pm_hears_power_button(f.pm));
    ck_assert_uint_eq(fake_in(&f.m, 0x604, 2) & 1, 1);
    ck_assert(f.m.level[9]);
    ck_assert_uint_eq(fake_in(&f.m, 0x600, 4), 0x01000100);
    fake_out(&f.m, 0x600, 2, 0x100);
    ck_assert(!f.m.level[9]);
    fake_out(&f.m, 0x604, 2, 0); /* SCI_EN is not the guest's to clear */
    ck_assert_uint_eq(fake_in(&f.m, 0x604, 2) & 1, 1);
    fake_out(&f.m, 0xb2, 1, ACPI_SMI_DISABLE);
    ck_assert_uint_eq(fake_in(&f.m, 0x604, 2) & 1, 0);
    fake_machine_fini(&f.m);
}
END_TEST

static void count_smi(void *arg)
{
    ++*(unsigned *)arg;
}

START_TEST(the_command_port_interrupts_for_management_where_that_is_enabled)
{
    struct fixture f;
    unsigned count = 0;

    setup(&f);
    fake_out(&f.m, 0x630, 4, 0x21); /* a board without */
    fake_out(&f.m, 0xb2, 1, 0);
    ck_assert_uint_eq(fake_in(&f.m, 0x630, 4), 0);
    acpi_pm_set_smi(f.pm, count_smi, &count);
    for (unsigned en = 0; en < 2; en++) {
        fake_out(&f.m, 0x630, 4, 0x20 | en);
        fake_out(&f.m, 0xb3, 1, 5);
        fake_out(&f.m, 0xb2, 1, 4);
        ck_assert_uint_eq(count, en);
        ck_assert_uint_eq(fake_in(&f.m, 0x634, 4), en ? 0x20 : 0);
    }
    fake_out(&f.m, 0x634, 4, 0x20);
    ck_assert_uint_eq(fake_in(&f.m, 0x634, 4), 0);
    acpi_pm_lock_smi(f.pm, true);
    fake_out(&f.m, 0x630, 4, 0);
    ck_assert_uint_eq(fake_in(&f.m, 0x630, 4), 1);
    acpi_pm_lock_smi(f.pm, false);
    fake_out(&f.m, 0x630, 4, 0);
    ck_assert_uint_eq(fake_in(&f.m, 0x630, 4), 0);
    fake_out(&f.m, 0xb2, 1, 4);
    ck_assert_uint_eq(count, 1);
    fake_machine_fini(&f.m);
}
END_TEST

/* However often the controllers were loaded meanwhile: it comes when the guest goes on, and until it is taken. */
START_TEST(a_new_generation_interrupts_after_the_thaw)
{
    struct fixture f;

    setup(&f);
    fake_out(&f.m, 0xb2, 1, ACPI_SMI_ENABLE);
    fake_out(&f.m, 0x628, 1, BIT(ACPI_GPE_GENERATION));
    acpi_pm_freeze(f.pm);
    acpi_pm_new_generation(f.pm);
    ck_assert(!f.m.level[9]);
    acpi_pm_thaw(f.pm);
    ck_assert(f.m.level[9]);
    f.m.level[9] = false; /* as an interrupt controller that was loaded has it */
    acpi_pm_freeze(f.pm);
    acpi_pm_thaw(f.pm);
    ck_assert(f.m.level[9]);
    ck_assert_uint_eq(fake_in(&f.m, 0x620, 1), BIT(ACPI_GPE_GENERATION));
    fake_out(&f.m, 0x620, 1, BIT(ACPI_GPE_GENERATION));
    ck_assert(!f.m.level[9]);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(the_pm_timer_runs_at_its_rate)
{
    struct fixture f;
    struct timespec nap = {.tv_nsec = 5000000};
    uint32_t a, b;
    uint64_t begin;

    setup(&f);
    begin = clock_mono_ns();
    a = fake_in(&f.m, 0x608, 4);
    nanosleep(&nap, NULL);
    b = fake_in(&f.m, 0x608, 4);
    ck_assert_uint_ge(b - a, 17000); /* 5 ms are 17897 ticks */
    ck_assert_uint_le(b - a, (clock_mono_ns() - begin) * 358 / 100000 + 1);
    fake_out(&f.m, 0x602, 2, 1);
    ck_assert_uint_eq(fake_loop_fire(f.m.loop), 1); /* early: nothing is due */
    ck_assert_uint_eq(fake_in(&f.m, 0x600, 2), 0);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(registers_move_and_reset_brings_them_back)
{
    struct fixture f;

    setup(&f);
    acpi_pm_set_base(f.pm, 0xb000, true);
    fake_out(&f.m, 0xb002, 2, 0x100);
    ck_assert_uint_eq(fake_in(&f.m, 0xb002, 2), 0x100);
    ck_assert_uint_eq(fake_in(&f.m, 0x602, 2), 0xffff);
    acpi_pm_set_base(f.pm, 0xff90, true); /* runs over the end of the ports: nowhere */
    acpi_pm_set_base(f.pm, 0xb000, false);
    ck_assert_uint_eq(fake_in(&f.m, 0xb002, 2), 0xffff);
    bus_reset(f.m.bus);
    ck_assert_uint_eq(fake_in(&f.m, 0x602, 2), 0);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(state_survives_and_hostile_accesses_break_nothing)
{
    struct fixture f, g;

    setup(&f);
    setup(&g);
    fake_hostile_ports(&f.m, 0x600, 0x80);
    fake_hostile_ports(&f.m, 0xb2, 2);
    fake_out(&f.m, 0xb2, 1, ACPI_SMI_ENABLE);
    fake_out(&f.m, 0x602, 2, 0x100);
    acpi_pm_power_button(f.pm);
    {
        struct state_writer w = {0};

        ck_assert_int_eq(bus_save(f.m.bus, &w), 0);
        ck_assert_int_eq(bus_load(g.m.bus, w.data, w.len, NULL), 0);
        state_writer_fini(&w);
    }
    ck_assert(g.m.level[9]);
    ck_assert_uint_eq(fake_in(&g.m, 0x600, 4), fake_in(&f.m, 0x600, 4));
    ck_assert_uint_eq(fake_in(&g.m, 0x604, 2), fake_in(&f.m, 0x604, 2));
    ck_assert_uint_ge(fake_in(&g.m, 0x608, 4), 1);
    fake_machine_fini(&f.m);
    fake_machine_fini(&g.m);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, s5_powers_off_and_other_sleeps_do_not);
    UNIT_TEST(s, the_power_button_interrupts_in_acpi_mode_only);
    UNIT_TEST(s, the_command_port_interrupts_for_management_where_that_is_enabled);
    UNIT_TEST(s, a_new_generation_interrupts_after_the_thaw);
    UNIT_TEST(s, the_pm_timer_runs_at_its_rate);
    UNIT_TEST(s, registers_move_and_reset_brings_them_back);
    UNIT_TEST(s, state_survives_and_hostile_accesses_break_nothing);
}

UNIT_TEST_MAIN("acpi_pm", add_tests)
