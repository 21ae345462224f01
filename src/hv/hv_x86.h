/* SPDX-License-Identifier: MIT */
/* The hypervisor contract on x86: what hv.h leaves open.
 *
 * Interrupt lines are GSIs: 0..15 reach the two 8259As as well as the IOAPIC, the rest the IOAPIC
 * only; 0 is the PIT's. A vCPU's index is its APIC id; all but 0 wait for a SIPI. The backend
 * answers ports 0x20-0x21, 0xa0-0xa1, 0x4d0-0x4d1, 0x40-0x43, 0x61, the IOAPIC's page and the local
 * APICs' itself; hv_exit is a shutdown after a triple fault. What is saved is arch/x86's: chips.h for
 * the controllers, cpu_state.h for a CPU. */
#ifndef VZ_HV_HV_X86_H
#define VZ_HV_HV_X86_H

#include "arch/x86/cpu_state.h"
#include "hv/hv.h"

struct hv_cpu_state {
    struct x86_cpu_state x86;
};

/* hv->vcpu_get() and _set() for who knows that it is an x86 CPU. */
static inline int hv_x86_get(const struct hv_ops *hv, struct hv_vcpu *cpu,
                             struct x86_cpu_state *ret)
{
    return hv->vcpu_get(cpu, container_of(ret, struct hv_cpu_state, x86));
}

static inline int hv_x86_set(const struct hv_ops *hv, struct hv_vcpu *cpu,
                             const struct x86_cpu_state *state)
{
    return hv->vcpu_set(cpu, container_of(state, const struct hv_cpu_state, x86));
}

#endif
