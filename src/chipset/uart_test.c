/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "char/char.h"
#include "chipset/chipset.h"
#include "fake_machine.h"
#include "unit.h"

#define COM 0x3f8

struct fixture {
    struct fake_machine m;
    struct char_dev *line;
    struct uart *uart;
    int host; /* the far end of the line */
};

static void setup(struct fixture *f)
{
    struct uart_options o = {.port = UART_COM1_PORT, .gsi = UART_COM1_GSI};
    int s[2];

    memset(f, 0, sizeof(*f));
    fake_machine_init(&f->m);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    f->host = s[1];
    ck_assert_int_eq(char_fd_create(f->m.loop, s[0], s[0], &f->line, NULL), 0);
    o.line = f->line;
    o.loop = f->m.loop;
    ck_assert_int_eq(uart_create(f->m.bus, &o, &f->uart), 0);
}

static void teardown(struct fixture *f)
{
    bus_destroy(f->m.bus);
    char_destroy(f->line);
    fake_loop_turn(f->m.loop);
    loop_destroy(f->m.loop);
}

static void turns(struct fixture *f)
{
    for (int i = 0; i < 6; i++)
        fake_loop_turn(f->m.loop);
}

static void out(struct fixture *f, unsigned reg, uint8_t v)
{
    fake_out(&f->m, (uint16_t)(COM + reg), 1, v);
}

static uint8_t in(struct fixture *f, unsigned reg)
{
    return (uint8_t)fake_in(&f->m, (uint16_t)(COM + reg), 1);
}

START_TEST(bytes_go_both_ways)
{
    struct fixture f;
    char buf[8] = {0};

    setup(&f);
    out(&f, 2, 0x01);
    out(&f, 0, 'h');
    out(&f, 0, 'i');
    ck_assert_uint_eq(in(&f, 5), 0x60);
    turns(&f);
    ck_assert_int_eq(read(f.host, buf, 8), 2);
    ck_assert_str_eq(buf, "hi");
    ck_assert_int_eq(write(f.host, "ok", 2), 2);
    turns(&f);
    ck_assert_uint_eq(in(&f, 5), 0x61);
    ck_assert_uint_eq(in(&f, 0), 'o');
    ck_assert_uint_eq(in(&f, 0), 'k');
    ck_assert_uint_eq(in(&f, 5), 0x60);
    teardown(&f);
}
END_TEST

START_TEST(input_waits_on_the_host_until_the_fifo_has_room)
{
    struct fixture f;

    setup(&f);
    out(&f, 2, 0x01);
    ck_assert_int_eq(write(f.host, "0123456789abcdefghijklmnopqrstuv", 32), 32);
    turns(&f);
    for (unsigned i = 0; i < 32; i++) {
        const char *text = "0123456789abcdefghijklmnopqrstuv";

        ck_assert_uint_eq(in(&f, 5) & 3, 1); /* and never an overrun */
        ck_assert_uint_eq(in(&f, 0), (uint8_t)text[i]);
        turns(&f);
    }
    ck_assert_uint_eq(in(&f, 5) & 1, 0);
    teardown(&f);
}
END_TEST

START_TEST(transmit_interrupt_follows_the_data_sheet)
{
    struct fixture f;

    setup(&f);
    ck_assert(!f.m.level[4]);
    out(&f, 1, 0x02); /* enabled with an empty transmitter: at once */
    ck_assert(f.m.level[4]);
    ck_assert_uint_eq(in(&f, 2), 0x02);
    ck_assert(!f.m.level[4]);
    ck_assert_uint_eq(in(&f, 2), 0x01);
    out(&f, 0, 'x');
    ck_assert(f.m.level[4]);
    out(&f, 1, 0x00);
    ck_assert(!f.m.level[4]);
    out(&f, 1, 0x02); /* again */
    ck_assert(f.m.level[4]);
    teardown(&f);
}
END_TEST

START_TEST(receive_interrupt_has_trigger_and_timeout)
{
    struct fixture f;

    setup(&f);
    out(&f, 2, 0x41); /* FIFO, trigger at 4 */
    out(&f, 1, 0x01);
    ck_assert_int_eq(write(f.host, "abc", 3), 3);
    turns(&f);
    ck_assert(!f.m.level[4]);
    ck_assert_uint_eq(fake_loop_fire(f.m.loop), 1);
    ck_assert(f.m.level[4]);
    ck_assert_uint_eq(in(&f, 2), 0xcc);
    ck_assert_uint_eq(in(&f, 0), 'a');
    ck_assert(!f.m.level[4]);
    ck_assert_int_eq(write(f.host, "de", 2), 2);
    turns(&f);
    ck_assert_uint_eq(in(&f, 2), 0xc4);
    out(&f, 2, 0x43); /* clear the receiver */
    ck_assert(!f.m.level[4]);
    ck_assert_uint_eq(fake_loop_fire(f.m.loop), 0);
    teardown(&f);
}
END_TEST

START_TEST(loopback_wires_outputs_to_inputs)
{
    struct fixture f;

    setup(&f);
    ck_assert_uint_eq(in(&f, 6), 0xb0);
    out(&f, 4, 0x1a); /* loop, OUT2, RTS: what drivers probe with */
    ck_assert_uint_eq(in(&f, 6) & 0xf0, 0x90);
    ck_assert_uint_eq(in(&f, 6), 0x90); /* reading cleared the deltas */
    out(&f, 0, 0x5a);
    ck_assert_uint_eq(in(&f, 5), 0x61);
    out(&f, 0, 0x5b); /* no FIFO: one byte fits */
    ck_assert_uint_eq(in(&f, 5), 0x63);
    ck_assert_uint_eq(in(&f, 5), 0x61);
    ck_assert_uint_eq(in(&f, 0), 0x5a);
    out(&f, 1, 0x08);
    out(&f, 4, 0x1b);
    ck_assert(f.m.level[4]);
    ck_assert_uint_eq(in(&f, 2), 0x00);
    ck_assert_uint_eq(in(&f, 6), 0xb2);
    ck_assert(!f.m.level[4]);
    turns(&f);
    {
        char c;

        ck_assert_int_eq(recv(f.host, &c, 1, MSG_DONTWAIT), -1); /* nothing left the chip */
    }
    teardown(&f);
}
END_TEST

START_TEST(a_stuck_host_keeps_the_transmitter_busy)
{
    struct fixture f;
    size_t sent = 0, got = 0;
    uint8_t buf[4096];
    ssize_t n;

    setup(&f);
    out(&f, 2, 0x01);
    while ((in(&f, 5) & 0x20) && sent < 10000000) {
        out(&f, 0, (uint8_t)sent++);
        if (sent % 1024 == 0)
            turns(&f);
    }
    ck_assert_uint_lt(sent, 10000000);
    ck_assert(!f.m.level[4]);
    out(&f, 1, 0x02);
    ck_assert(!f.m.level[4]);
    for (int i = 0; i < 100000 && got < sent; i++) {
        n = recv(f.host, buf, sizeof(buf), MSG_DONTWAIT);
        for (ssize_t k = 0; k < n; k++)
            ck_assert_uint_eq(buf[k], (uint8_t)got++);
        fake_loop_turn(f.m.loop);
    }
    ck_assert_uint_eq(got, sent);
    ck_assert(f.m.level[4]);
    teardown(&f);
}
END_TEST

/* A reset keeps what the host has not taken yet, and switches the FIFO off: what a guest writes then
 * must find its place, and the state must load. */
START_TEST(a_reset_with_a_full_fifo_keeps_its_bounds)
{
    struct state_writer w = {0};
    struct fixture f, g;
    unsigned sent = 0;

    setup(&f);
    setup(&g);
    out(&f, 2, 0x01);
    for (unsigned i = 0; i < 10000000 && (in(&f, 5) & 0x20); i++) {
        out(&f, 0, 'x');
        if (++sent % 1024 == 0)
            turns(&f);
    }
    for (unsigned i = 0; i < 20; i++)
        out(&f, 0, 'y');
    ck_assert_uint_eq(in(&f, 5) & 0x20, 0);
    bus_reset(f.m.bus);
    for (unsigned i = 0; i < 1000; i++)
        out(&f, 0, 0xff);
    ck_assert_uint_eq(in(&f, 5), 0); /* busy still, and nothing was received */
    ck_assert_int_eq(bus_save(f.m.bus, &w), 0);
    ck_assert_int_eq(bus_load(g.m.bus, w.data, w.len, NULL), 0);
    state_writer_fini(&w);
    teardown(&f);
    teardown(&g);
}
END_TEST

START_TEST(divisor_and_scratch_are_registers)
{
    struct fixture f;

    setup(&f);
    out(&f, 3, 0x83);
    out(&f, 0, 1);
    out(&f, 1, 2);
    ck_assert_uint_eq(in(&f, 0), 1);
    ck_assert_uint_eq(in(&f, 1), 2);
    out(&f, 3, 0x03);
    ck_assert_uint_eq(in(&f, 1), 0);
    out(&f, 7, 0xa5);
    ck_assert_uint_eq(in(&f, 7), 0xa5);
    out(&f, 1, 0xff);
    ck_assert_uint_eq(in(&f, 1), 0x0f);
    teardown(&f);
}
END_TEST

START_TEST(state_survives_and_hostile_accesses_break_nothing)
{
    struct fixture f, g;

    setup(&f);
    setup(&g);
    fake_hostile_ports(&f.m, COM, 8);
    turns(&f);
    out(&f, 3, 0x03);
    out(&f, 4, 0x0b);
    out(&f, 2, 0x01);
    out(&f, 1, 0x05);
    ck_assert_int_eq(write(f.host, "pq", 2), 2);
    turns(&f);
    fake_machine_round_trip(&f.m, &g.m);
    ck_assert(g.m.level[4]);
    ck_assert_uint_eq(in(&g, 0), 'p');
    ck_assert_uint_eq(in(&g, 0), 'q');
    bus_reset(g.m.bus);
    ck_assert_uint_eq(in(&g, 5), 0x60);
    ck_assert(!g.m.level[4]);
    teardown(&f);
    teardown(&g);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, bytes_go_both_ways);
    UNIT_TEST(s, input_waits_on_the_host_until_the_fifo_has_room);
    UNIT_TEST(s, transmit_interrupt_follows_the_data_sheet);
    UNIT_TEST(s, receive_interrupt_has_trigger_and_timeout);
    UNIT_TEST(s, loopback_wires_outputs_to_inputs);
    UNIT_TEST(s, a_stuck_host_keeps_the_transmitter_busy);
    UNIT_TEST(s, a_reset_with_a_full_fifo_keeps_its_bounds);
    UNIT_TEST(s, divisor_and_scratch_are_registers);
    UNIT_TEST(s, state_survives_and_hostile_accesses_break_nothing);
}

UNIT_TEST_MAIN("uart", add_tests)
