/* SPDX-License-Identifier: MIT */
#include "arch/x86/chips.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/pit_spec.h"
#include "arch/x86/regs.h"
#include "base/error.h"
#include "golden.h"
#include "state/state.h"
#include "unit.h"

/* SDM vol. 3, 11.4.7.1, but for the wiring that firmware leaves. */
START_TEST(power_up_and_init)
{
    struct x86_chips *c = x86_chips_new(2, 46);

    ck_assert_uint_eq(c->lapic[0].apic_base, 0xfee00900);
    ck_assert_uint_eq(c->lapic[1].apic_base, 0xfee00800);
    ck_assert_uint_eq(c->lapic[0].lvt[LVT_LINT0], 0x700);
    ck_assert_uint_eq(c->lapic[1].lvt[LVT_LINT0], LVT_MASKED);
    ck_assert_uint_eq(c->lapic[1].svr, 0xff);
    ck_assert_uint_eq(c->lapic[1].dfr, UINT32_MAX);
    ck_assert_uint_eq(c->pic.chip[1].imr, 0xff);
    ck_assert_uint_eq(c->ioapic.redir[23], 0x10000);
    ck_assert_uint_eq(pit_period(&c->pit.channel[0]), 65536);
    c->lapic[0].apic_base = 0xfee00d00;
    c->lapic[0].tpr = 0x20;
    lapic_regs_reset(&c->lapic[0], 0, true);
    ck_assert_uint_eq(c->lapic[0].apic_base, 0xfee00d00);
    ck_assert_uint_eq(c->lapic[0].tpr, 0);
    ck_assert_uint_eq(c->lapic[0].lvt[LVT_LINT0], LVT_MASKED);
    free(c);
}
END_TEST

START_TEST(the_timer_divides_as_the_manual_says)
{
    static const struct { uint32_t tdcr, by; } figure_11_10[] = {
        {0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};

    for (unsigned i = 0; i < ARRAY_SIZE(figure_11_10); i++) {
        struct lapic_regs r = {.tdcr = figure_11_10[i].tdcr};

        ck_assert_uint_eq(lapic_timer_divisor(&r), figure_11_10[i].by);
    }
}
END_TEST

START_TEST(apic_base_has_modes_and_a_width)
{
    ck_assert(lapic_base_valid(0xfee00900, 46) && lapic_base_valid(0xfee00d00, 46));
    ck_assert(lapic_base_valid(0xfee00100, 46));
    ck_assert(!lapic_base_valid(0xfee00400, 46)); /* x2APIC without an APIC */
    ck_assert(!lapic_base_valid(0xfee00a00, 46));
    ck_assert(lapic_base_valid(BIT(45) | 0x800, 46) && !lapic_base_valid(BIT(46) | 0x800, 46));
    ck_assert(!lapic_base_valid(BIT(45) | 0x800, 39));
}
END_TEST

START_TEST(whole_periods_are_not_part_of_an_age)
{
    struct pit_channel_regs c = {.reload = 100, .mode = 2, .base_ticks = 1234, .edges_seen = 12};

    pit_fold_age(&c);
    ck_assert_uint_eq(c.base_ticks, 34);
    ck_assert_uint_eq(c.edges_seen, 0);
    c = (struct pit_channel_regs){.reload = 0x99, .bcd = true, .mode = 0, .base_ticks = UINT64_MAX};
    pit_fold_age(&c);
    ck_assert_uint_eq(c.base_ticks, PIT_TICKS_MAX);
    ck_assert_uint_eq(pit_period(&c), 99);
    c.reload = 0;
    ck_assert_uint_eq(pit_period(&c), 10000);
}
END_TEST

/* Something in every register that has room for it. */
static struct x86_chips *busy_chips(void)
{
    struct x86_chips *c = x86_chips_new(2, 46);

    c->lapic[1] = (struct lapic_regs){
        .apic_base = 0xfee00c00, .tpr = 0x12, .ldr = 2, .dfr = 0x0fffffff, .svr = 0x11ff, .esr = 4,
        .esr_pending = 0x80, .icr = UINT64_C(0x100000041), .lvt = {0x20040, 0x10000, 0x400, 0x8700},
        .isr = {0, 1}, .tmr = {0, 3}, .irr = {0x80000000, 4}, .extint = true, .tmict = 77,
        .tdcr = 11, .timer_running = true, .timer_remaining_ns = 5, .tsc_deadline = 9};
    c->ioapic = (struct ioapic_regs){.id = 0x05000000, .regsel = 0x12, .level = 0x800400};
    c->ioapic.redir[10] = UINT64_C(0x300000000000c041);
    c->pic.chip[1] = (struct pic_regs){.irr = 1, .imr = 2, .isr = 4, .level = 8, .elcr = 0x10,
        .lowest = 3, .base = 0x28, .icw_next = 2, .icw1 = 0x11, .read_isr = true, .poll = true,
        .special_mask = true, .sfnm = true, .auto_eoi = true, .rotate_auto_eoi = true};
    c->pit.channel[2] = (struct pit_channel_regs){.reload = 1000, .mode = 4, .rw = PIT_RW_MSB,
        .bcd = true, .gate = true, .loaded = true, .triggered = true, .null_count = true,
        .write_msb_next = true, .read_msb_next = true, .write_lsb = 1, .latch_bytes = 2,
        .latch = 3, .status_latched = true, .status = 4, .base_ticks = 5, .edges_seen = 6};
    c->pit.port61 = 3;
    return c;
}

START_TEST(all_of_it_is_saved_and_loaded)
{
    struct x86_chips *c = busy_chips(), *got = x86_chips_new(2, 46);
    struct state_writer w = {0}, again = {0};

    ck_assert_int_eq(x86_chips_save(c, &w), 0);
    ck_assert_int_eq(x86_chips_load(got, w.data, w.len, NULL), 0);
    ck_assert_int_eq(x86_chips_save(got, &again), 0);
    ck_assert_uint_eq(w.len, again.len);
    ck_assert_mem_eq(w.data, again.data, w.len);
    ck_assert_mem_eq(&c->lapic[1].isr, &got->lapic[1].isr, sizeof(c->lapic[1].isr));
    ck_assert_uint_eq(got->lapic[1].tsc_deadline, 9);
    ck_assert_uint_eq(got->pit.channel[2].edges_seen, 6);
    ck_assert_uint_eq(got->pic.chip[1].base, 0x28);
    state_writer_fini(&w);
    state_writer_fini(&again);
    free(c);
    free(got);
}
END_TEST

static int load_with(void (*damage)(struct x86_chips *c), struct vz_error *err)
{
    struct x86_chips *c = busy_chips(), *got = x86_chips_new(2, 39);
    struct state_writer w = {0};
    int r;

    damage(c);
    ck_assert_int_eq(x86_chips_save(c, &w), 0);
    r = x86_chips_load(got, w.data, w.len, err);
    state_writer_fini(&w);
    free(c);
    free(got);
    return r;
}

static void base_too_high(struct x86_chips *c)
{
    c->lapic[1].apic_base = BIT(40) | APIC_BASE_ENABLE;
}

static void no_such_divisor(struct x86_chips *c)
{
    c->lapic[0].tdcr = 0x10;
}

static void no_byte_order(struct x86_chips *c)
{
    c->pit.channel[1].rw = PIT_RW_LATCH;
}

START_TEST(what_no_chip_can_hold_is_refused)
{
    struct vz_error err;

    ck_assert_int_eq(load_with(base_too_high, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "apic_base"));
    ck_assert_int_eq(load_with(no_such_divisor, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "tdcr"));
    ck_assert_int_eq(load_with(no_byte_order, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "rw"));
}
END_TEST

START_TEST(golden_chips_are_loaded)
{
    struct x86_chips *c = busy_chips(), *got = x86_chips_new(2, 46);
    struct state_writer now = {0}, again = {0}, then;

    ck_assert_int_eq(x86_chips_save(c, &now), 0);
    then = golden_sections("chips-0.4.sections", &now);
    ck_assert_int_eq(x86_chips_load(got, then.data, then.len, NULL), 0);
    ck_assert_int_eq(x86_chips_save(got, &again), 0);
    ck_assert_uint_eq(now.len, again.len);
    ck_assert_mem_eq(now.data, again.data, now.len);
    state_writer_fini(&now);
    state_writer_fini(&then);
    state_writer_fini(&again);
    free(c);
    free(got);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, power_up_and_init);
    UNIT_TEST(s, the_timer_divides_as_the_manual_says);
    UNIT_TEST(s, apic_base_has_modes_and_a_width);
    UNIT_TEST(s, whole_periods_are_not_part_of_an_age);
    UNIT_TEST(s, all_of_it_is_saved_and_loaded);
    UNIT_TEST(s, golden_chips_are_loaded);
    UNIT_TEST(s, what_no_chip_can_hold_is_refused);
}

UNIT_TEST_MAIN("chips", add_tests)
