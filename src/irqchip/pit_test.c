/* SPDX-License-Identifier: MIT */
#include "irqchip/pit.h"

#include "base/clock.h"
#include "base/error.h"
#include "arch/x86/pit_spec.h"
#include "state/state.h"
#include "unit.h"

#define T0 UINT64_C(1000000000000)

/* The time when a channel started at T0 is ticks old. */
static uint64_t at(uint64_t ticks)
{
    return T0 + mul_div_u64(ticks, NS_PER_SEC, PIT_HZ) + 1;
}

static void program(struct pit *p, unsigned channel, uint8_t control, uint16_t count)
{
    pit_write(p, PIT_PORT_CONTROL, (uint8_t)(channel << 6 | control), T0);
    pit_write(p, (uint16_t)(PIT_PORT_CHANNEL0 + channel), (uint8_t)count, T0);
    pit_write(p, (uint16_t)(PIT_PORT_CHANNEL0 + channel), (uint8_t)(count >> 8), T0);
}

static unsigned latched(struct pit *p, unsigned channel, uint64_t now)
{
    unsigned lsb;

    pit_write(p, PIT_PORT_CONTROL, (uint8_t)(channel << 6), now);
    lsb = pit_read(p, (uint16_t)(PIT_PORT_CHANNEL0 + channel), now + 5000000);
    return lsb | (unsigned)pit_read(p, (uint16_t)(PIT_PORT_CHANNEL0 + channel), now) << 8;
}

START_TEST(mode_0_fires_once)
{
    struct pit p;

    pit_reset(&p, T0);
    program(&p, 0, 0x30, 1000);
    ck_assert(!pit_out(&p, 0, at(999)));
    ck_assert_uint_eq(latched(&p, 0, at(400)), 600);
    ck_assert_uint_eq(pit_sync(&p, at(999)), 0);
    ck_assert_uint_eq(pit_next_edge(&p, at(10)), at(1000));
    ck_assert(pit_out(&p, 0, at(1000)));
    ck_assert_uint_eq(pit_sync(&p, at(1000)), 1);
    ck_assert_uint_eq(pit_sync(&p, at(9000)), 0);
    ck_assert_uint_eq(pit_next_edge(&p, at(1000)), UINT64_MAX);
    ck_assert_uint_eq(latched(&p, 0, at(1001)), 0xffff); /* counts on, wrapping */
}
END_TEST

START_TEST(periodic_modes)
{
    struct pit p;

    pit_reset(&p, T0);
    program(&p, 0, 0x34, 100);
    ck_assert(pit_out(&p, 0, at(98)) && !pit_out(&p, 0, at(99)) && pit_out(&p, 0, at(100)));
    ck_assert_uint_eq(pit_sync(&p, at(350)), 3);
    ck_assert_uint_eq(pit_next_edge(&p, at(350)), at(400));
    ck_assert_uint_eq(latched(&p, 0, at(330)), 70);
    program(&p, 0, 0x36, 100);
    ck_assert(pit_out(&p, 0, at(49)) && !pit_out(&p, 0, at(50)) && pit_out(&p, 0, at(100)));
    ck_assert_uint_eq(latched(&p, 0, at(10)), 80);
    ck_assert_uint_eq(pit_sync(&p, at(99)), 0);
    ck_assert_uint_eq(pit_sync(&p, at(100)), 1);
    program(&p, 0, 0x34, 0);
    ck_assert_uint_eq(pit_sync(&p, at(65535)), 0);
    ck_assert_uint_eq(pit_sync(&p, at(65536)), 1);
}
END_TEST

START_TEST(bcd_and_byte_access)
{
    struct pit p;

    pit_reset(&p, T0);
    program(&p, 0, 0x31, 0x1000);
    ck_assert_uint_eq(latched(&p, 0, at(1)), 0x999);
    pit_write(&p, PIT_PORT_CONTROL, 0x10, T0); /* LSB only, mode 0 */
    pit_write(&p, PIT_PORT_CHANNEL0, 50, T0);
    ck_assert_uint_eq(pit_read(&p, PIT_PORT_CHANNEL0, at(20)), 30);
    ck_assert_uint_eq(pit_read(&p, PIT_PORT_CHANNEL0, at(21)), 29);
}
END_TEST

START_TEST(read_back_gives_status_then_count)
{
    struct pit p;

    pit_reset(&p, T0);
    pit_write(&p, PIT_PORT_CONTROL, 0x34, T0);
    pit_write(&p, PIT_PORT_CONTROL, 0xe2, T0); /* status of channel 0 */
    ck_assert_uint_eq(pit_read(&p, PIT_PORT_CHANNEL0, T0), 0xf4); /* OUT, null count */
    program(&p, 0, 0x34, 1000);
    pit_write(&p, PIT_PORT_CONTROL, 0xc2, at(100));
    ck_assert_uint_eq(pit_read(&p, PIT_PORT_CHANNEL0, at(500)), 0xb4);
    ck_assert_uint_eq(pit_read(&p, PIT_PORT_CHANNEL0, at(500)), 900 & 0xff);
    ck_assert_uint_eq(pit_read(&p, PIT_PORT_CHANNEL0, at(500)), 900 >> 8);
}
END_TEST

START_TEST(gate_2_starts_and_stops)
{
    struct pit p;

    pit_reset(&p, T0);
    pit_write(&p, PIT_PORT_SPEAKER, 0, T0);
    program(&p, 2, 0x30, 1000);
    ck_assert_uint_eq(latched(&p, 2, at(500)), 1000); /* held */
    pit_write(&p, PIT_PORT_SPEAKER, 1, at(500));
    ck_assert(!(pit_read(&p, PIT_PORT_SPEAKER, at(1400)) & PIT_61_OUT2));
    ck_assert(pit_read(&p, PIT_PORT_SPEAKER, at(1502)) & PIT_61_OUT2);
    pit_write(&p, PIT_PORT_SPEAKER, 0, T0);
    program(&p, 2, 0x32, 100); /* mode 1: waits for the gate to rise */
    ck_assert(pit_out(&p, 2, at(1000)));
    pit_write(&p, PIT_PORT_SPEAKER, 3, at(1000));
    ck_assert(!pit_out(&p, 2, at(1050)));
    ck_assert(pit_out(&p, 2, at(1102)));
}
END_TEST

START_TEST(state_survives_a_round_trip)
{
    const uint64_t later = 77 * T0;
    struct pit p, got;
    struct pit_regs saved, loaded;
    struct state_writer w = {0};

    pit_reset(&p, T0);
    program(&p, 0, 0x34, 1000);
    pit_sync(&p, at(5300));
    pit_save(&p, at(5300), &saved);
    ck_assert_int_eq(state_save(&w, &pit_state_desc, 0, &saved), 0);
    pit_regs_reset(&loaded);
    ck_assert_int_eq(state_load(w.data, w.len, &pit_state_desc, 0, &loaded, NULL), 0);
    pit_load(&got, later, &loaded);
    ck_assert_uint_eq(pit_sync(&got, later), 0);
    ck_assert_uint_eq(pit_next_edge(&got, later) - later, at(700) - T0);
    ck_assert_uint_eq(latched(&got, 0, later + (at(100) - T0)), 600);
    ck_assert_uint_eq(pit_sync(&got, later + (at(700) - T0)), 1);
    state_writer_fini(&w);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, mode_0_fires_once);
    UNIT_TEST(s, periodic_modes);
    UNIT_TEST(s, bcd_and_byte_access);
    UNIT_TEST(s, read_back_gives_status_then_count);
    UNIT_TEST(s, gate_2_starts_and_stops);
    UNIT_TEST(s, state_survives_a_round_trip);
}

UNIT_TEST_MAIN("pit", add_tests)
