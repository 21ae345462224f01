/* SPDX-License-Identifier: MIT */
#include "irqchip/pic.h"

#include "arch/x86/pic_spec.h"
#include "base/error.h"
#include "state/state.h"
#include "unit.h"

#define EOI 0x20

/* As a PC's firmware does: vectors 20h and 28h, everything unmasked. */
static void start(struct pic_pair *p, uint8_t icw4)
{
    *p = (struct pic_pair){0};
    pic_reset(p);
    for (unsigned i = 0; i < 2; i++) {
        uint16_t cmd = i ? PIC_SLAVE_CMD : PIC_MASTER_CMD;

        pic_write(p, cmd, 0x11);
        pic_write(p, cmd + 1, i ? 0x28 : 0x20);
        pic_write(p, cmd + 1, i ? 2 : 4);
        pic_write(p, cmd + 1, icw4);
        pic_write(p, cmd + 1, 0);
    }
}

static void pulse(struct pic_pair *p, unsigned irq)
{
    pic_set_irq(p, irq, true);
    pic_set_irq(p, irq, false);
}

START_TEST(priorities_nest)
{
    struct pic_pair p;

    start(&p, 1);
    ck_assert(!p.out);
    pulse(&p, 5);
    ck_assert_uint_eq(pic_ack(&p), 0x25);
    pulse(&p, 6);
    ck_assert(!p.out); /* lower than what is in service */
    pulse(&p, 1);
    ck_assert(p.out);
    ck_assert_uint_eq(pic_ack(&p), 0x21);
    pic_write(&p, PIC_MASTER_CMD, EOI); /* ends 1 */
    ck_assert(!p.out);
    pic_write(&p, PIC_MASTER_CMD, EOI); /* ends 5 */
    ck_assert(p.out);
    ck_assert_uint_eq(pic_ack(&p), 0x26);
    pic_write(&p, PIC_MASTER_CMD, 0x66); /* specific EOI of 6 */
    ck_assert_uint_eq(p.reg.chip[0].isr, 0);
    ck_assert_uint_eq(pic_ack(&p), 0x27); /* spurious */
    ck_assert_uint_eq(p.reg.chip[0].isr, 0);
}
END_TEST

START_TEST(the_slave_goes_through_line_2)
{
    struct pic_pair p;

    start(&p, 1);
    pulse(&p, 12);
    pulse(&p, 8);
    ck_assert_uint_eq(pic_ack(&p), 0x28);
    ck_assert_uint_eq(p.reg.chip[0].isr, 4);
    pic_write(&p, PIC_SLAVE_CMD, EOI);
    ck_assert(!p.out);
    pic_write(&p, PIC_MASTER_CMD, EOI);
    ck_assert(p.out);
    ck_assert_uint_eq(pic_ack(&p), 0x2c);
    pic_write(&p, PIC_SLAVE_CMD, 0x0b);
    ck_assert_uint_eq(pic_read(&p, PIC_SLAVE_CMD), 0x10);
}
END_TEST

START_TEST(masks_and_levels)
{
    struct pic_pair p;

    start(&p, 1);
    pic_write(&p, PIC_SLAVE_DATA, 0xff);
    pic_set_irq(&p, 10, true);
    ck_assert(!p.out);
    ck_assert_uint_eq(pic_read(&p, PIC_SLAVE_CMD), 4); /* IRR latches while masked */
    pic_write(&p, PIC_SLAVE_DATA, 0);
    ck_assert(p.out);
    pic_ack(&p);
    pic_write(&p, PIC_SLAVE_CMD, EOI);
    pic_write(&p, PIC_MASTER_CMD, EOI);
    ck_assert(!p.out); /* an edge counts once */

    pic_write(&p, PIC_ELCR1, 0xff);
    ck_assert_uint_eq(pic_read(&p, PIC_ELCR1), 0xde);
    ck_assert(p.out); /* the line is still high */
    ck_assert_uint_eq(pic_ack(&p), 0x2a);
    pic_write(&p, PIC_SLAVE_CMD, EOI);
    pic_write(&p, PIC_MASTER_CMD, EOI);
    ck_assert(p.out); /* a level comes again */
    pic_set_irq(&p, 10, false);
    ck_assert(!p.out);
}
END_TEST

START_TEST(automatic_eoi_and_rotation)
{
    struct pic_pair p;

    start(&p, 3);
    pic_write(&p, PIC_MASTER_CMD, 0x80); /* rotate in AEOI mode */
    pulse(&p, 3);
    ck_assert_uint_eq(pic_ack(&p), 0x23);
    ck_assert_uint_eq(p.reg.chip[0].isr, 0);
    pulse(&p, 3);
    pulse(&p, 7);
    ck_assert_uint_eq(pic_ack(&p), 0x27); /* 3 has become the lowest */
    start(&p, 1);
    pic_write(&p, PIC_MASTER_CMD, 0xc4); /* set priority: 4 lowest, 5 highest */
    pulse(&p, 0);
    pulse(&p, 5);
    ck_assert_uint_eq(pic_ack(&p), 0x25);
}
END_TEST

START_TEST(special_mask_and_poll)
{
    struct pic_pair p;

    start(&p, 1);
    pulse(&p, 1);
    pic_ack(&p);
    pulse(&p, 6);
    ck_assert(!p.out);
    pic_write(&p, PIC_MASTER_CMD, 0x68); /* special mask mode */
    pic_write(&p, PIC_MASTER_DATA, 2);
    ck_assert(p.out);
    pic_write(&p, PIC_MASTER_CMD, 0x0c); /* poll */
    ck_assert_uint_eq(pic_read(&p, PIC_MASTER_CMD), 0x86);
    ck_assert(!p.out);
    pic_write(&p, PIC_MASTER_CMD, 0x0c);
    ck_assert_uint_eq(pic_read(&p, PIC_MASTER_CMD), 0);
}
END_TEST

START_TEST(state_survives_a_round_trip)
{
    struct pic_pair p, got = {0};
    struct state_writer w = {0};

    start(&p, 1);
    pic_write(&p, PIC_ELCR1, 4);
    pulse(&p, 3);
    pic_ack(&p);
    pulse(&p, 9);
    pulse(&p, 0);
    pic_write(&p, PIC_MASTER_CMD, 0x0b);
    ck_assert_int_eq(state_save(&w, &pic_state_desc, 0, &p.reg), 0);
    ck_assert_int_eq(state_load(w.data, w.len, &pic_state_desc, 0, &got.reg, NULL), 0);
    pic_update(&got);
    ck_assert_mem_eq(&p, &got, sizeof(p));
    ck_assert(got.out);
    state_writer_fini(&w);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, priorities_nest);
    UNIT_TEST(s, the_slave_goes_through_line_2);
    UNIT_TEST(s, masks_and_levels);
    UNIT_TEST(s, automatic_eoi_and_rotation);
    UNIT_TEST(s, special_mask_and_poll);
    UNIT_TEST(s, state_survives_a_round_trip);
}

UNIT_TEST_MAIN("pic", add_tests)
