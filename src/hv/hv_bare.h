/* SPDX-License-Identifier: MIT */
/* The hypervisor contract for <vz/hypervisor.h>, whose programs are no boards: they lay out memory
 * while the machine runs, look at registers in the middle of an instruction, and may do without
 * interrupt controllers.
 *
 * A VM that is made with hv_vm_desc.bare differs so:
 * - the calls of hv_io_ops may last (the caller's stack is left by a switch and entered again); in
 *   such a call vcpu_get() gives the registers the instruction began with, and a kick from inside
 *   ends vcpu_run() right behind the instruction (of a repeated one: the iteration);
 * - desc.mem is a foreign one (mem_create_foreign()) and may change by memory_changed();
 * - stores to ROM reach io->mmio_write; a fetch where there is nothing to execute gives
 *   HV_EXIT_FETCH with gpa: nothing has happened;
 * - states of different vCPUs need not belong together (their TSCs above all). */
#ifndef VZ_HV_HV_BARE_H
#define VZ_HV_HV_BARE_H

#include "hv/hv.h"

struct hv_bare {
    /* No interrupt controllers and no timers (hv_vm_desc.loop may be NULL): their ports, pages and
     * registers are not there, every vCPU starts running, irq_line(), msi(), irqchip_*() are not
     * called. A halt ends vcpu_run() with HV_EXIT_HALT, the next run goes on behind it; interrupts
     * come by hv_bare_ops.interrupt(). */
    bool no_irqchip;
};

struct hv_bare_ops {
    bool no_exec; /* honours mem_region.no_exec */

    /* desc.mem's regions are not what they were: take over what is mapped now. No vCPU executes
     * guest code: each is outside vcpu_run() or in a call of io. 0 or -errno (then nothing outside
     * the old and the new regions is mapped). */
    int (*memory_changed)(struct hv_vm *vm);

    /* no_irqchip; while vcpu_run() is not active. Queue an external interrupt: the guest takes it
     * as soon as it may. -EBUSY: one is queued already. vector < 0: take the queued one back;
     * -ENOENT: there is none. */
    int (*interrupt)(struct hv_vcpu *cpu, int vector);
    /* Likewise. End vcpu_run() with HV_EXIT_WINDOW once, when nothing is queued and an interrupt
     * would be taken at once. */
    void (*window)(struct hv_vcpu *cpu, bool on);
};

static inline bool hv_has_irqchip(const struct hv_vm_desc *desc)
{
    return !desc->bare || !desc->bare->no_irqchip;
}

#endif
