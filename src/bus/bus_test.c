/* SPDX-License-Identifier: MIT */
#include "bus/bus.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "fake_machine.h"
#include "fake_shortcuts.h"
#include "unit.h"

struct dummy {
    struct device dev;
    struct bus_range range;
    struct irq_line line;
    unsigned reads, writes, resets;
    uint64_t off, value;
    unsigned size;
};

static uint64_t dummy_read(struct bus_range *r, uint64_t off, unsigned size)
{
    struct dummy *d = container_of(r, struct dummy, range);

    ck_assert_uint_eq(off % size, 0);
    ck_assert_uint_le(off + size, r->len);
    ck_assert_uint_ge(size, r->min_size);
    ck_assert_uint_le(size, r->max_size);
    ck_assert_int_ne(pthread_mutex_trylock(&d->dev.lock), 0);
    d->reads++;
    return UINT64_C(0x8877665544332211) << 8 | off;
}

static void dummy_write(struct bus_range *r, uint64_t off, unsigned size, uint64_t value)
{
    struct dummy *d = container_of(r, struct dummy, range);

    ck_assert_uint_eq(off % size, 0);
    ck_assert_uint_le(off + size, r->len);
    d->writes++;
    d->off = off;
    d->size = size;
    d->value = value;
}

static void dummy_reset(struct device *dev)
{
    ((struct dummy *)dev)->resets++;
}

static void dummy_destroy(struct device *dev)
{
    device_fini(dev);
}

static const struct device_ops dummy_ops = {
    .name = "dummy", .reset_locked = dummy_reset, .destroy = dummy_destroy};

static int make(struct dummy *d, struct fake_machine *m, enum bus_space_kind space, uint64_t base,
                uint64_t len, uint8_t min, uint8_t max)
{
    *d = (struct dummy){.range = {.dev = &d->dev, .base = base, .len = len, .min_size = min,
                                  .max_size = max, .read_locked = dummy_read,
                                  .write_locked = dummy_write}};
    ck_assert_int_eq(device_init(&d->dev, &dummy_ops, m->bus, 0), 0);
    return bus_add(m->bus, space, &d->range);
}

START_TEST(nothing_reads_as_ones_and_is_counted)
{
    struct fake_machine m;

    fake_machine_init(&m);
    ck_assert_uint_eq(fake_in(&m, 0x1234, 1), 0xff);
    ck_assert_uint_eq(fake_in(&m, 0xffff, 4), 0xffffffff);
    ck_assert_uint_eq(fake_read(&m, UINT64_MAX - 3, 8), UINT64_MAX);
    fake_out(&m, 0xffff, 4, 0);
    ck_assert_uint_eq(m.bus->stats.unclaimed_reads, 3);
    ck_assert_uint_eq(m.bus->stats.unclaimed_writes, 1);
    fake_machine_fini(&m);
}
END_TEST

/* What fn(m) writes to standard error. */
static void stderr_of(void (*fn)(struct fake_machine *m), struct fake_machine *m, char *ret,
                      size_t len)
{
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    size_t n;

    dup2(fileno(file), STDERR_FILENO);
    fn(m);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    n = fread(ret, 1, len - 1, file);
    ret[n] = 0;
    fclose(file);
}

static void read_until_too_many(struct fake_machine *m)
{
    for (unsigned i = 0; i < BUS_UNCLAIMED_TOO_MANY; i++)
        fake_read(m, 0xfffff000, 4);
}

START_TEST(a_guest_that_asks_for_nothing_a_million_times_is_told_of_once)
{
    struct fake_machine m;
    char text[512];

    fake_machine_init(&m);
    fake_in(&m, 0x1234, 1);
    stderr_of(read_until_too_many, &m, text, sizeof(text));
    ck_assert_str_eq(text, "libvz: the guest has read 1000000 times where no device is, last at "
                           "address 0xfffff000\n");
    stderr_of(read_until_too_many, &m, text, sizeof(text));
    ck_assert_str_eq(text, "");
    fake_machine_fini(&m);
}
END_TEST

START_TEST(accesses_are_split_to_what_the_range_takes)
{
    struct fake_machine m;
    struct dummy d;

    fake_machine_init(&m);
    ck_assert_int_eq(make(&d, &m, BUS_PORT, 0x100, 4, 1, 1), 0);
    fake_out(&m, 0x100, 4, 0x44332211);
    ck_assert_uint_eq(d.writes, 4);
    ck_assert_uint_eq(d.value, 0x44);
    ck_assert_uint_eq(fake_in(&m, 0x100, 4), 0x03020100);
    ck_assert_uint_eq(fake_in(&m, 0x103, 2), 0xff03); /* half inside */
    ck_assert_uint_eq(fake_in(&m, 0xff, 2), 0x00ff);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(narrow_reads_are_cut_out_and_narrow_writes_dropped)
{
    struct fake_machine m;
    struct dummy d;

    fake_machine_init(&m);
    ck_assert_int_eq(make(&d, &m, BUS_MMIO, 0x1000, 0x10, 4, 4), 0);
    ck_assert_uint_eq(fake_read(&m, 0x1005, 1), 0x11);
    ck_assert_uint_eq(fake_read(&m, 0x1004, 8), UINT64_C(0x3322110833221104));
    fake_write(&m, 0x1006, 2, 0xffff);
    ck_assert_uint_eq(d.writes, 0);
    ck_assert_uint_eq(m.bus->stats.unclaimed_writes, 1);
    fake_write(&m, 0x1008, 8, UINT64_C(0x1122334455667788));
    ck_assert_uint_eq(d.writes, 2);
    ck_assert_uint_eq(d.value, 0x11223344);
    fake_write(&m, 0x100e, 8, 0); /* unaligned, over the end */
    fake_machine_fini(&m);
}
END_TEST

START_TEST(ranges_do_not_overlap_and_can_move)
{
    struct fake_machine m;
    struct dummy a, b, c;

    fake_machine_init(&m);
    ck_assert_int_eq(make(&a, &m, BUS_MMIO, 0x2000, 0x1000, 0, 0), 0);
    ck_assert_int_eq(make(&b, &m, BUS_MMIO, 0x2fff, 0x1000, 0, 0), -EEXIST);
    ck_assert_int_eq(make(&c, &m, BUS_MMIO, 0x1000, 0x1001, 0, 0), -EEXIST);
    b.range.base = 0x3000;
    ck_assert_int_eq(bus_add(m.bus, BUS_MMIO, &b.range), 0);
    ck_assert_int_eq(bus_add(m.bus, BUS_MMIO, &b.range), -EINVAL);
    c.range.base = 0x1000;
    c.range.len = 0x4000; /* around both */
    ck_assert_int_eq(bus_add(m.bus, BUS_MMIO, &c.range), -EEXIST);
    c.range.base = UINT64_MAX - 10;
    ck_assert_int_eq(bus_add(m.bus, BUS_MMIO, &c.range), -EINVAL);
    bus_remove(m.bus, &a.range);
    bus_remove(m.bus, &a.range);
    ck_assert_uint_eq(fake_read(&m, 0x2000, 1), 0xff);
    a.range.base = 0x10000;
    ck_assert_int_eq(bus_add(m.bus, BUS_MMIO, &a.range), 0);
    ck_assert_uint_eq(fake_read(&m, 0x10004, 1), 4);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(lines_are_shared_by_or)
{
    struct fake_machine m;
    struct irq_line a, b;

    fake_machine_init(&m);
    irq_line_init(&a, m.bus, 5);
    irq_line_init(&b, m.bus, 5);
    irq_line_set(&a, true);
    irq_line_set(&a, true);
    irq_line_set(&b, true);
    irq_line_set(&a, false);
    ck_assert(m.level[5]);
    ck_assert_uint_eq(m.rises[5], 1);
    irq_line_set(&b, false);
    ck_assert(!m.level[5]);
    bus_msi(m.bus, 0xfee00000, 0x41);
    ck_assert_uint_eq(m.msi.data, 0x41);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(bells_follow_their_range)
{
    struct fake_shortcuts s = {.bell_count = 0};
    struct bus_bell a = {.off = 0, .fd = 100}, b = {.off = 4, .fd = 101};
    struct dummy d;

    fake_machine_init(&s.m);
    ck_assert_int_eq(make(&d, &s.m, BUS_MMIO, 0x10000, 0x1000, 1, 8), 0);
    ck_assert(!bus_bell_add(s.m.bus, &d.range, &a)); /* this backend has none */
    bus_set_hv(s.m.bus, &fake_shortcuts_hv, (struct hv_vm *)&s);
    ck_assert(bus_bell_add(s.m.bus, &d.range, &a));
    ck_assert_uint_eq(s.bell_count, 1);
    ck_assert_uint_eq(s.bell[0].gpa, 0x10000);
    bus_remove(s.m.bus, &d.range);
    ck_assert_uint_eq(s.bell_count, 0);
    ck_assert(bus_bell_add(s.m.bus, &d.range, &b));
    ck_assert_uint_eq(s.bell_count, 0);
    d.range.base = 0x20000;
    ck_assert_int_eq(bus_add(s.m.bus, BUS_MMIO, &d.range), 0);
    ck_assert_uint_eq(s.bell_count, 2);
    bus_bell_remove(s.m.bus, &d.range, &a);
    ck_assert_uint_eq(s.bell_count, 1);
    ck_assert_uint_eq(s.bell[0].gpa, 0x20004);
    bus_bell_remove(s.m.bus, &d.range, &b);
    ck_assert_uint_eq(s.bell_count, 0);
    fake_machine_fini(&s.m);
}
END_TEST

START_TEST(messages_take_the_shortcut_there_is)
{
    struct fake_shortcuts s = {.bell_count = 0};
    struct bus_msi_line line = {0}, more[FAKE_SHORTCUTS_MAX] = {{0}};
    struct hv_msi msi = {0};

    fake_machine_init(&s.m);
    bus_set_hv(s.m.bus, &fake_shortcuts_hv, (struct hv_vm *)&s);
    bus_msi_line_send(s.m.bus, &line, 0xfee00000, 0x41);
    bus_msi_line_send(s.m.bus, &line, 0xfee00000, 0x41);
    ck_assert_uint_eq(fake_irqfds_take(&s, &msi), 2);
    ck_assert_uint_eq(msi.data, 0x41);
    ck_assert_uint_eq(s.routed, 0);
    bus_msi_line_send(s.m.bus, &line, 0xfee01000, 0x42); /* the driver moved it */
    ck_assert_uint_eq(fake_irqfds_take(&s, &msi), 1);
    ck_assert_uint_eq(msi.address, 0xfee01000);
    ck_assert_uint_eq(s.routed, 1);
    ck_assert_uint_eq(s.m.msi_count, 0);
    for (unsigned i = 0; i < FAKE_SHORTCUTS_MAX; i++) /* the last gets none, and is called for */
        bus_msi_line_send(s.m.bus, &more[i], 0xfee00000, 0x50 + i);
    ck_assert_uint_eq(fake_irqfds_take(&s, &msi), FAKE_SHORTCUTS_MAX - 1);
    ck_assert_uint_eq(s.m.msi_count, 1);
    ck_assert_uint_eq(s.m.msi.data, 0x50 + FAKE_SHORTCUTS_MAX - 1);
    for (unsigned i = 0; i < FAKE_SHORTCUTS_MAX; i++)
        bus_msi_line_fini(s.m.bus, &more[i]);
    bus_msi_line_fini(s.m.bus, &line);
    for (unsigned i = 0; i < FAKE_SHORTCUTS_MAX; i++)
        ck_assert_ptr_null(s.irqfd[i]);
    fake_machine_fini(&s.m);
}
END_TEST

START_TEST(who_polls_lets_others_run_now_and_then)
{
    struct fake_machine m;
    struct dummy d, clock;

    fake_machine_init(&m);
    ck_assert_int_eq(make(&d, &m, BUS_PORT, 0x80, 4, 1, 4), 0);
    ck_assert_int_eq(make(&clock, &m, BUS_PORT, 0x90, 4, 1, 4), 0);
    clock.range.polled = true;
    for (unsigned i = 0; i < 4 * BUS_READS_PER_WAY; i++)
        fake_in(&m, 0x80, 4);
    ck_assert_uint_eq(m.bus->stats.gave_way, 0);
    for (unsigned i = 0; i < BUS_READS_PER_WAY - 1; i++)
        fake_in(&m, 0x90, 4);
    fake_out(&m, 0x90, 4, 0);
    ck_assert_uint_eq(m.bus->stats.gave_way, 0);
    fake_in(&m, 0x90, 4);
    ck_assert_uint_eq(m.bus->stats.gave_way, 1);
    for (unsigned i = 0; i < 3 * BUS_READS_PER_WAY; i++)
        fake_in(&m, 0x90, 4);
    ck_assert_uint_eq(m.bus->stats.gave_way, 4);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(two_buses_know_nothing_of_each_other)
{
    struct fake_machine m, n;
    struct dummy d;

    fake_machine_init(&m);
    fake_machine_init(&n);
    ck_assert_int_eq(make(&d, &m, BUS_PORT, 0x80, 1, 1, 1), 0);
    ck_assert_uint_eq(fake_in(&n, 0x80, 1), 0xff);
    bus_reset(n.bus);
    ck_assert_uint_eq(d.resets, 0);
    bus_reset(m.bus);
    ck_assert_uint_eq(d.resets, 1);
    fake_machine_fini(&m);
    fake_machine_fini(&n);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, nothing_reads_as_ones_and_is_counted);
    UNIT_TEST(s, a_guest_that_asks_for_nothing_a_million_times_is_told_of_once);
    UNIT_TEST(s, accesses_are_split_to_what_the_range_takes);
    UNIT_TEST(s, narrow_reads_are_cut_out_and_narrow_writes_dropped);
    UNIT_TEST(s, ranges_do_not_overlap_and_can_move);
    UNIT_TEST(s, lines_are_shared_by_or);
    UNIT_TEST(s, bells_follow_their_range);
    UNIT_TEST(s, messages_take_the_shortcut_there_is);
    UNIT_TEST(s, who_polls_lets_others_run_now_and_then);
    UNIT_TEST(s, two_buses_know_nothing_of_each_other);
}

UNIT_TEST_MAIN("bus", add_tests)
