/* SPDX-License-Identifier: MIT */
/* A bus with a hypervisor behind it that only remembers: for tests of device models. */
#ifndef VZ_TESTS_FAKE_MACHINE_H
#define VZ_TESTS_FAKE_MACHINE_H

#include <check.h>
#include <string.h>

#include <vz/error.h>

#include "bus/bus.h"
#include "fake_loop.h"

struct fake_machine {
    struct bus *bus;
    struct loop *loop;
    bool level[HV_IRQ_LINES];
    unsigned rises[HV_IRQ_LINES]; /* times the line went up */
    struct hv_msi msi;            /* the last one */
    unsigned msi_count;
};

static inline void fake_irq_line(struct hv_vm *vm, unsigned gsi, bool level)
{
    struct fake_machine *m = (struct fake_machine *)vm;

    ck_assert_uint_lt(gsi, HV_IRQ_LINES);
    m->rises[gsi] += level && !m->level[gsi];
    m->level[gsi] = level;
}

static inline void fake_msi(struct hv_vm *vm, const struct hv_msi *msi)
{
    struct fake_machine *m = (struct fake_machine *)vm;

    m->msi = *msi;
    m->msi_count++;
}

static const struct hv_ops fake_machine_hv = {
    .name = "fake machine", .irq_line = fake_irq_line, .msi = fake_msi};

static inline void fake_machine_init(struct fake_machine *m)
{
    memset(m, 0, sizeof(*m));
    ck_assert_int_eq(loop_create(&m->loop), 0);
    ck_assert_int_eq(bus_create(&m->bus), 0);
    bus_set_hv(m->bus, &fake_machine_hv, (struct hv_vm *)m);
}

static inline void fake_machine_fini(struct fake_machine *m)
{
    bus_destroy(m->bus);
    fake_loop_turn(m->loop);
    loop_destroy(m->loop);
}

static inline uint32_t fake_in(struct fake_machine *m, uint16_t port, unsigned size)
{
    return bus_io_ops.port_read(m->bus, port, size);
}

static inline void fake_out(struct fake_machine *m, uint16_t port, unsigned size, uint32_t v)
{
    bus_io_ops.port_write(m->bus, port, size, v);
}

static inline uint64_t fake_read(struct fake_machine *m, uint64_t gpa, unsigned size)
{
    return bus_io_ops.mmio_read(m->bus, gpa, size);
}

static inline void fake_write(struct fake_machine *m, uint64_t gpa, unsigned size, uint64_t v)
{
    bus_io_ops.mmio_write(m->bus, gpa, size, v);
}

/* Every size at every port around the range, with odd values: nothing may break. */
static inline void fake_hostile_ports(struct fake_machine *m, uint16_t base, unsigned len)
{
    static const uint32_t value[] = {0, 0xffffffff, 0xa5a5a5a5, 0x80, 1};

    for (unsigned v = 0; v < ARRAY_SIZE(value); v++) {
        for (unsigned p = base ? base - 1u : 0; p <= (unsigned)base + len && p < 0x10000; p++) {
            for (unsigned size = 1; size <= 4; size *= 2) {
                fake_out(m, (uint16_t)p, size, value[v]);
                (void)fake_in(m, (uint16_t)p, size);
            }
        }
    }
}

/* What was saved must load into another machine of the same make, and save to the same bytes. */
static inline void fake_machine_round_trip(struct fake_machine *from, struct fake_machine *to)
{
    struct state_writer a = {0}, b = {0};
    struct vz_error err = {0};

    ck_assert_int_eq(bus_save(from->bus, &a), 0);
    ck_assert_msg(bus_load(to->bus, a.data, a.len, &err) == 0, "%s", err.text);
    ck_assert_int_eq(bus_save(to->bus, &b), 0);
    ck_assert_uint_eq(a.len, b.len);
    ck_assert_mem_eq(a.data, b.data, a.len);
    state_writer_fini(&a);
    state_writer_fini(&b);
}

#endif
