/* SPDX-License-Identifier: MIT */
/* Surroundings that have nothing: for tests, and for --jit check, whose replay must reach no device.
 * Memory and ports read as ones, there is no local APIC, and no interrupt ever comes. Who needs a
 * call answered otherwise names the others in a struct x86_host_ops of his own. */
#ifndef VZ_CPU_X86_NO_HOST_H
#define VZ_CPU_X86_NO_HOST_H

#include <errno.h>

#include "cpu/x86/cpu.h"

static inline uint64_t no_mmio_read(void *arg, unsigned cpu, gpa_t gpa, unsigned size)
{
    return UINT64_MAX;
}

static inline void no_mmio_write(void *arg, unsigned cpu, gpa_t gpa, unsigned size, uint64_t value)
{
}

static inline uint32_t no_port_read(void *arg, unsigned cpu, uint16_t port, unsigned size)
{
    return UINT32_MAX;
}

static inline void no_port_write(void *arg, unsigned cpu, uint16_t port, unsigned size,
                                 uint32_t value)
{
}

static inline int no_apic_msr_read(void *arg, unsigned cpu, uint32_t msr, uint64_t *ret)
{
    return -EINVAL;
}

static inline int no_apic_msr_write(void *arg, unsigned cpu, uint32_t msr, uint64_t value)
{
    return -EINVAL;
}

static inline uint64_t no_cr8_read(void *arg, unsigned cpu)
{
    return 0;
}

static inline void no_cr8_write(void *arg, unsigned cpu, uint64_t value)
{
}

static inline bool no_interrupt_pending(void *arg, unsigned cpu)
{
    return false;
}

static inline int no_interrupt_ack(void *arg, unsigned cpu)
{
    return -1;
}

static inline void no_init_taken(void *arg, unsigned cpu)
{
}

static inline void no_tsc_changed(void *arg, unsigned cpu, uint64_t tsc_offset)
{
}

static const struct x86_host_ops no_host __attribute__((unused)) = {
    .mmio_read = no_mmio_read, .mmio_write = no_mmio_write,
    .port_read = no_port_read, .port_write = no_port_write,
    .apic_msr_read = no_apic_msr_read, .apic_msr_write = no_apic_msr_write,
    .cr8_read = no_cr8_read, .cr8_write = no_cr8_write,
    .interrupt_pending = no_interrupt_pending, .interrupt_ack = no_interrupt_ack,
    .init_taken = no_init_taken, .tsc_changed = no_tsc_changed,
};

#endif
