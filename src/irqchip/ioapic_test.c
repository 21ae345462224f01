/* SPDX-License-Identifier: MIT */
#include "irqchip/ioapic.h"

#include <string.h>

#include "base/error.h"
#include "state/state.h"
#include "unit.h"

struct fixture {
    struct ioapic io;
    struct apic_msg last;
    unsigned sent;
    bool refuse;
};

static bool deliver(void *arg, const struct apic_msg *msg)
{
    struct fixture *f = arg;

    f->last = *msg;
    f->sent++;
    return !f->refuse;
}

static void start(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->io.deliver = deliver;
    f->io.deliver_arg = f;
    ioapic_regs_reset(&f->io.reg);
}

static void write_reg(struct fixture *f, unsigned reg, uint32_t v)
{
    ioapic_write(&f->io, IOAPIC_REGSEL, reg);
    ioapic_write(&f->io, IOAPIC_WIN, v);
}

static uint32_t read_reg(struct fixture *f, unsigned reg)
{
    ioapic_write(&f->io, IOAPIC_REGSEL, reg);
    return ioapic_read(&f->io, IOAPIC_WIN);
}

START_TEST(registers_read_as_documented)
{
    struct fixture f;

    start(&f);
    ck_assert_uint_eq(read_reg(&f, IOAPIC_REG_VER), 0x00170020);
    write_reg(&f, IOAPIC_REG_VER, 0);
    ck_assert_uint_eq(read_reg(&f, IOAPIC_REG_VER), 0x00170020);
    write_reg(&f, IOAPIC_REG_ID, 0xffffffff);
    ck_assert_uint_eq(read_reg(&f, IOAPIC_REG_ID), 0x0f000000);
    ck_assert_uint_eq(read_reg(&f, IOAPIC_REG_ARB), 0x0f000000);
    ck_assert_uint_eq(read_reg(&f, 0x10), 0x10000);
    write_reg(&f, 0x10, 0xffffffff);
    ck_assert_uint_eq(read_reg(&f, 0x10), 0x1afff);
    write_reg(&f, 0x3f, 0xffffffff);
    ck_assert_uint_eq(read_reg(&f, 0x3f), 0xff000000);
    ck_assert_uint_eq(read_reg(&f, 0x40), 0);
    write_reg(&f, 0xff, 1);
}
END_TEST

START_TEST(edges_are_sent_once)
{
    struct fixture f;

    start(&f);
    ioapic_set_pin(&f.io, 4, true);
    ck_assert_uint_eq(f.sent, 0); /* masked: lost */
    write_reg(&f, 0x19, 0x5a000000);
    write_reg(&f, 0x18, 0x00000931); /* unmask: lowest priority, logical, vector 31h */
    ck_assert_uint_eq(f.sent, 0);
    ioapic_set_pin(&f.io, 4, false);
    ioapic_set_pin(&f.io, 4, true);
    ioapic_set_pin(&f.io, 4, true);
    ck_assert_uint_eq(f.sent, 1);
    ck_assert(f.last.vector == 0x31 && f.last.dest == 0x5a && f.last.logical && !f.last.level);
    ck_assert_uint_eq(f.last.mode, APIC_MODE_LOWEST);
    ck_assert(!(read_reg(&f, 0x18) & IOAPIC_REMOTE_IRR));
}
END_TEST

START_TEST(levels_wait_for_the_eoi)
{
    struct fixture f;

    start(&f);
    write_reg(&f, 0x24, 0x8041);
    ioapic_set_pin(&f.io, 10, true);
    ck_assert_uint_eq(f.sent, 1);
    ck_assert(f.last.level);
    ck_assert(read_reg(&f, 0x24) & IOAPIC_REMOTE_IRR);
    ioapic_set_pin(&f.io, 10, false);
    ioapic_set_pin(&f.io, 10, true);
    ck_assert_uint_eq(f.sent, 1);
    ioapic_eoi(&f.io, 0x42);
    ck_assert_uint_eq(f.sent, 1);
    ioapic_eoi(&f.io, 0x41);
    ck_assert_uint_eq(f.sent, 2); /* still high */
    ioapic_set_pin(&f.io, 10, false);
    ioapic_write(&f.io, IOAPIC_EOI, 0x41);
    ck_assert_uint_eq(f.sent, 2);
    ck_assert(!(read_reg(&f, 0x24) & IOAPIC_REMOTE_IRR));

    write_reg(&f, 0x24, 0x18041);
    ioapic_set_pin(&f.io, 10, true);
    ck_assert_uint_eq(f.sent, 2);
    write_reg(&f, 0x24, 0x8041); /* unmasking finds the level */
    ck_assert_uint_eq(f.sent, 3);
    write_reg(&f, 0x24, 0x10041); /* to edge and back: the way without an EOI register */
    write_reg(&f, 0x24, 0x8041);
    ck_assert_uint_eq(f.sent, 4);
}
END_TEST

START_TEST(nobody_home_is_tried_again)
{
    struct fixture f;

    start(&f);
    f.refuse = true;
    write_reg(&f, 0x24, 0x8041);
    ioapic_set_pin(&f.io, 10, true);
    ck_assert_uint_eq(f.sent, 1);
    ck_assert(!(read_reg(&f, 0x24) & IOAPIC_REMOTE_IRR));
    f.refuse = false;
    write_reg(&f, 0x24, 0x8041);
    ck_assert_uint_eq(f.sent, 2);
    ck_assert(read_reg(&f, 0x24) & IOAPIC_REMOTE_IRR);
}
END_TEST

START_TEST(nmi_and_extint_pins)
{
    struct fixture f;

    start(&f);
    write_reg(&f, 0x10, 0x8700);
    ioapic_set_pin(&f.io, 0, true);
    ck_assert_uint_eq(f.last.mode, APIC_MODE_EXTINT);
    ck_assert(!(read_reg(&f, 0x10) & IOAPIC_REMOTE_IRR)); /* no EOI would ever come */
    write_reg(&f, 0x12, 0x400);
    ioapic_set_pin(&f.io, 1, true);
    ck_assert_uint_eq(f.last.mode, APIC_MODE_NMI);
    ioapic_set_pin(&f.io, 24, true); /* no such pin */
    ck_assert_uint_eq(f.sent, 2);
}
END_TEST

START_TEST(state_survives_a_round_trip)
{
    struct fixture f, got;
    struct state_writer w = {0};

    start(&f);
    start(&got);
    write_reg(&f, IOAPIC_REG_ID, 0x05000000);
    write_reg(&f, 0x24, 0x8041);
    write_reg(&f, 0x25, 0x03000000);
    ioapic_set_pin(&f.io, 10, true);
    ck_assert_int_eq(state_save(&w, &ioapic_state_desc, 0, &f.io.reg), 0);
    ck_assert_int_eq(state_load(w.data, w.len, &ioapic_state_desc, 0, &got.io.reg, NULL), 0);
    ck_assert_mem_eq(&f.io.reg, &got.io.reg, sizeof(f.io.reg));
    ck_assert_uint_eq(got.sent, 0);
    ioapic_eoi(&got.io, 0x41);
    ck_assert_uint_eq(got.sent, 1);
    ck_assert_uint_eq(got.last.dest, 3);
    state_writer_fini(&w);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, registers_read_as_documented);
    UNIT_TEST(s, edges_are_sent_once);
    UNIT_TEST(s, levels_wait_for_the_eoi);
    UNIT_TEST(s, nobody_home_is_tried_again);
    UNIT_TEST(s, nmi_and_extint_pins);
    UNIT_TEST(s, state_survives_a_round_trip);
}

UNIT_TEST_MAIN("ioapic", add_tests)
