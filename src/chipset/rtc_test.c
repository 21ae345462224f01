/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "chipset/chipset.h"
#include "fake_machine.h"
#include "unit.h"

#define T0 UINT64_C(1709210096) /* Thu 2024-02-29 12:34:56 UTC */

struct fixture {
    struct fake_machine m;
    struct rtc *rtc;
    uint64_t now;
};

static uint64_t on_now(void *arg)
{
    return *(uint64_t *)arg;
}

static void setup(struct fixture *f)
{
    struct rtc_options o = {.now_ns = on_now, .now_arg = &f->now};

    memset(f, 0, sizeof(*f));
    f->now = T0 * NS_PER_SEC;
    fake_machine_init(&f->m);
    o.loop = f->m.loop;
    ck_assert_int_eq(rtc_create(f->m.bus, &o, &f->rtc), 0);
}

static uint8_t get(struct fixture *f, uint8_t index)
{
    fake_out(&f->m, 0x70, 1, index);
    return (uint8_t)fake_in(&f->m, 0x71, 1);
}

static void set(struct fixture *f, uint8_t index, uint8_t v)
{
    fake_out(&f->m, 0x70, 1, index);
    fake_out(&f->m, 0x71, 1, v);
}

static void check_time(struct fixture *f, unsigned h, unsigned m, unsigned s)
{
    ck_assert_uint_eq(get(f, 4), h);
    ck_assert_uint_eq(get(f, 2), m);
    ck_assert_uint_eq(get(f, 0), s);
}

START_TEST(it_tells_the_hosts_time)
{
    struct fixture f;

    setup(&f);
    check_time(&f, 0x12, 0x34, 0x56);
    ck_assert_uint_eq(get(&f, 6), 5);
    ck_assert_uint_eq(get(&f, 7), 0x29);
    ck_assert_uint_eq(get(&f, 8), 0x02);
    ck_assert_uint_eq(get(&f, 9), 0x24);
    ck_assert_uint_eq(get(&f, 0x32), 0x20);
    ck_assert_uint_eq(get(&f, 0x0d), 0x80);
    set(&f, 0x0b, 0x04); /* binary, 12 hours */
    check_time(&f, 0x8c, 34, 56);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(uip_leads_the_update)
{
    struct fixture f;

    setup(&f);
    ck_assert_uint_eq(get(&f, 0x0a), 0x26);
    f.now += NS_PER_SEC - 200000;
    ck_assert_uint_eq(get(&f, 0x0a), 0xa6);
    f.now += 200000;
    ck_assert_uint_eq(get(&f, 0x0a), 0x26);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(setting_the_clock_sticks)
{
    struct fixture f;

    setup(&f);
    set(&f, 0x0b, 0x82);
    set(&f, 0x0a, 0x76);
    set(&f, 4, 0x01);
    set(&f, 2, 0x02);
    set(&f, 0, 0x03);
    f.now += 100 * NS_PER_SEC; /* stopped */
    check_time(&f, 0x01, 0x02, 0x03);
    set(&f, 0x0b, 0x02);
    set(&f, 0x0a, 0x26);
    check_time(&f, 0x01, 0x02, 0x03);
    f.now += NS_PER_SEC / 2;
    check_time(&f, 0x01, 0x02, 0x04);
    bus_reset(f.m.bus); /* the battery keeps it */
    check_time(&f, 0x01, 0x02, 0x04);
    set(&f, 2, 0x59); /* while it runs, too */
    f.now += 56 * NS_PER_SEC;
    check_time(&f, 0x02, 0x00, 0x00);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(update_and_periodic_interrupts_come_once_each)
{
    struct fixture f;

    setup(&f);
    ck_assert_uint_eq(fake_loop_fire(f.m.loop), 0); /* nothing enabled: the host sleeps */
    set(&f, 0x0b, 0x12);
    (void)get(&f, 0x0c);
    f.now += NS_PER_SEC;
    ck_assert_uint_eq(fake_loop_fire(f.m.loop), 1);
    ck_assert(f.m.level[8]);
    ck_assert_uint_eq(get(&f, 0x0c) & 0xb0, 0x90);
    ck_assert(!f.m.level[8]);
    ck_assert_uint_eq(get(&f, 0x0c) & 0x90, 0);
    set(&f, 0x0b, 0x42);
    (void)get(&f, 0x0c);
    f.now += NS_PER_SEC / 1024 + 1000;
    ck_assert_uint_eq(fake_loop_fire(f.m.loop), 1);
    ck_assert_uint_eq(get(&f, 0x0c), 0xc0);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(the_alarm_rings_at_its_time)
{
    struct fixture f;

    setup(&f);
    set(&f, 1, 0x58);
    set(&f, 3, 0xff);
    set(&f, 5, 0x12);
    set(&f, 0x0b, 0x22);
    (void)get(&f, 0x0c);
    f.now += NS_PER_SEC;
    fake_loop_fire(f.m.loop);
    ck_assert(!f.m.level[8]);
    f.now += 5 * NS_PER_SEC; /* late, but not lost */
    fake_loop_fire(f.m.loop);
    ck_assert(f.m.level[8]);
    ck_assert_uint_eq(get(&f, 0x0c) & 0xa0, 0xa0);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(a_host_clock_set_back_rings_no_alarm)
{
    struct fixture f;

    setup(&f);
    set(&f, 1, 0x50);
    set(&f, 3, 0x34);
    set(&f, 5, 0x12);
    set(&f, 0x0b, 0x22);
    (void)get(&f, 0x0c);
    f.now -= 2 * NS_PER_SEC;
    fake_loop_fire(f.m.loop);
    ck_assert(!f.m.level[8]);
    f.now -= 4 * NS_PER_SEC;
    ck_assert_uint_eq(get(&f, 0), 0x50);
    ck_assert(f.m.level[8]);
    fake_machine_fini(&f.m);
}
END_TEST

START_TEST(state_survives_and_hostile_values_break_nothing)
{
    struct fixture f, g;

    setup(&f);
    setup(&g);
    rtc_set_nvram(f.rtc, 0x34, 0x77);
    ck_assert_uint_eq(get(&f, 0x34), 0x77);
    for (unsigned v = 0; v < 256; v += 5) {
        for (unsigned i = 0; i < 256; i++) {
            set(&f, (uint8_t)i, (uint8_t)v);
            (void)get(&f, (uint8_t)i);
        }
        f.now += v * NS_PER_SEC * 100000;
        fake_loop_fire(f.m.loop);
    }
    fake_hostile_ports(&f.m, 0x70, 2);
    f.now = 0; /* the host's clock goes back */
    fake_loop_fire(f.m.loop);
    set(&f, 0x0b, 0x72);
    set(&f, 0x0a, 0x26);
    g.now = f.now;
    fake_machine_round_trip(&f.m, &g.m);
    ck_assert_uint_eq(get(&f, 0), get(&g, 0));
    fake_machine_fini(&f.m);
    fake_machine_fini(&g.m);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, it_tells_the_hosts_time);
    UNIT_TEST(s, uip_leads_the_update);
    UNIT_TEST(s, setting_the_clock_sticks);
    UNIT_TEST(s, update_and_periodic_interrupts_come_once_each);
    UNIT_TEST(s, the_alarm_rings_at_its_time);
    UNIT_TEST(s, a_host_clock_set_back_rings_no_alarm);
    UNIT_TEST(s, state_survives_and_hostile_values_break_nothing);
}

UNIT_TEST_MAIN("rtc", add_tests)
