/* SPDX-License-Identifier: MIT */
/* The hypervisor contract: what a machine asks of whatever runs its CPUs. Behind it: soft/ (our own
 * CPU in user space), kvm/ (the host's CPUs, through /dev/kvm), fake/ (scripted, for tests).
 *
 * This header is for boards and machines, and knows no architecture. For others there are:
 *   hv_x86.h       what a CPU's state, the lines and the controllers are on x86
 *   hv_shortcut.h  ways between a device and the guest that do not lead through calls
 *   hv_bare.h      what <vz/hypervisor.h> wants besides
 *
 * Results are 0 or -errno. Nothing a guest does makes a backend abort.
 *
 * The interrupt controllers, and the timers that go with them, belong to the backend, since hardware
 * backends bring their own; the board raises lines and sends messages. All backends of an
 * architecture exchange the same architectural state.
 *
 * Port and memory-mapped accesses reach devices by a call from the vCPU's thread in the middle of
 * vcpu_run(), not by an exit: the software CPU can complete an instruction with several accesses
 * in place, and a hardware backend turns its exits into the same calls. */
#ifndef VZ_HV_HV_H
#define VZ_HV_HV_H

#include "base/compiler.h"
#include "mem/mem.h"

struct hv_bare;
struct hv_bare_ops;
struct hv_cpu_state; /* one CPU's architectural state; complete in hv_x86.h */
struct hv_shortcut_ops;
struct hv_vcpu;
struct hv_vm;
struct loop;
struct state_writer;
struct vz_error;

#define HV_VCPUS_MAX 64
#define HV_IRQ_LINES 24

/* What the guest's accesses outside RAM reach. Called on vCPU threads, concurrently; must not
 * block for long. size is 1, 2, 4 or 8 (ports: 1, 2 or 4); a wider or unaligned access arrives
 * split. Reads return the value in the low bits; nothing there: all ones. An architecture without
 * ports calls the first two only. */
struct hv_io_ops {
    uint64_t (*mmio_read)(void *arg, gpa_t gpa, unsigned size);
    void (*mmio_write)(void *arg, gpa_t gpa, unsigned size, uint64_t value);
    uint32_t (*port_read)(void *arg, uint16_t port, unsigned size);
    void (*port_write)(void *arg, uint16_t port, unsigned size, uint32_t value);
};

struct hv_vm_desc {
    struct mem *mem;             /* the caller's; outlives the VM; all regions are in place */
    struct loop *loop;           /* for the controllers' timers; outlives the VM */
    unsigned vcpu_count;         /* 1..HV_VCPUS_MAX */
    const struct hv_io_ops *io;
    void *io_arg;
    const char *jit;             /* software CPU: how it translates, jit_check() accepts it; NULL: as
                                    it thinks best. Used during vm_create() only */
    const char *name;            /* by which the host shows processes of the machine, or NULL; likewise */
    /* Hardware backends: show the guest the host's CPU and all that the hypervisor can add to it,
     * instead of the CPU of docs/cpu-policy.md. */
    bool host_cpu;
    /* Tell the guest of no more than so many bits of guest-physical addresses; 0: of all there are. */
    unsigned phys_bits_max;
    /* The CPUs take SMIs, in System Management Mode or what the architecture has for it; needs hv_ops.smi. */
    bool smm;
    const struct hv_bare *bare;  /* hv_bare.h; NULL for a board. Used during vm_create() only */
};

/* In the address of an access that a CPU makes in System Management Mode: another address space, whose
 * devices without a place of their own in it are the other's. */
#define HV_GPA_SMM BIT(63)

struct hv_msi {
    uint64_t address;
    uint32_t data;
};

enum hv_exit_kind {
    HV_EXIT_NONE,
    HV_EXIT_SHUTDOWN, /* the CPU has given up; exit->text says what it was doing */
    HV_EXIT_ERROR,    /* a state that cannot be continued; exit->text says which */
    /* hv_bare.h says when: */
    HV_EXIT_HALT, HV_EXIT_WINDOW, HV_EXIT_FETCH,
};

struct hv_exit {
    enum hv_exit_kind kind;
    gpa_t gpa;
    char text[512];
};

/* Numbers for --stats. name and unit are static strings. */
typedef void hv_stats_fn(void *arg, const char *name, uint64_t value);

struct hv_ops {
    const char *name; /* "soft", "kvm", "fake" */
    bool nested_paging; /* each page of guest memory costs it a fault: large ones are better */
    bool asks;          /* its CPUs ask before they write to guest memory (mem.h) */
    size_t cpu_state_size; /* of struct hv_cpu_state */
    const struct hv_shortcut_ops *shortcut; /* NULL: none */
    const struct hv_bare_ops *bare;         /* NULL: it is for boards only */

    /* Can this backend run an ordinary kernel here? Any thread. 0; -ENODEV: absent; -EACCES: not
     * for us; -ENOTSUP: there, but it does not work. err (may be NULL) says why. */
    int (*probe)(struct vz_error *err);

    /* Is text something for hv_vm_desc.jit? 0, or -EINVAL with err. Any thread. Optional: then any
     * text does, and none has an effect. */
    int (*jit_check)(const char *text, struct vz_error *err);
    /* Is guest memory better a file (mem_options.shared) for a VM with this hv_vm_desc.jit? Any thread.
     * Optional: then it does not matter. */
    bool (*memory_shared)(const char *jit);

    /* Any thread. The desc may be gone when this returns, what it points to may not. */
    int (*vm_create)(const struct hv_vm_desc *desc, struct hv_vm **ret, struct vz_error *err);
    /* No vcpu_run() is active; vCPUs that still exist are destroyed. NULL is fine. */
    void (*vm_destroy)(struct hv_vm *vm);

    /* Set the level of an input of the interrupt controllers, 0..HV_IRQ_LINES-1. Any thread; other
     * lines are ignored. */
    void (*irq_line)(struct hv_vm *vm, unsigned line, bool level);
    /* Any thread. */
    void (*msi)(struct hv_vm *vm, const struct hv_msi *msi);

    /* Of VMs with hv_vm_desc.smm. Optional: there are none. smi: interrupt every vCPU for System
     * Management. hidden: what mem_hide() hides has changed. Any thread, also in the middle of
     * vcpu_run(); what a vCPU has begun may still go by the old. */
    void (*smi)(struct hv_vm *vm);
    void (*hidden)(struct hv_vm *vm);

    /* vCPUs 0..vcpu_count-1, in reset state: 0 is the bootstrap processor, the others wait to be
     * started by it. The interrupt controllers know them by their indexes too. */
    int (*vcpu_create)(struct hv_vm *vm, unsigned index, struct hv_vcpu **ret);
    void (*vcpu_destroy)(struct hv_vcpu *cpu); /* NULL is fine */

    /* Run guest code on the calling thread (always the same one for a vCPU) until a kick
     * (-EINTR) or an exit (0, *exit filled in). Sleeps inside while the guest is halted. */
    int (*vcpu_run)(struct hv_vcpu *cpu, struct hv_exit *exit);
    /* Make vcpu_run() return -EINTR soon; when it is not running, the next call returns at once.
     * Any thread, and signal handlers. */
    void (*vcpu_kick)(struct hv_vcpu *cpu);

    /* While vcpu_run() is not active. ret and state have cpu_state_size bytes. -EINVAL: no CPU can
     * be in such a state. */
    int (*vcpu_get)(struct hv_vcpu *cpu, struct hv_cpu_state *ret);
    int (*vcpu_set)(struct hv_vcpu *cpu, const struct hv_cpu_state *state);

    /* Back to power-up state, interrupt controllers and all vCPUs. No vcpu_run() is active. */
    void (*vm_reset)(struct hv_vm *vm);

    /* Append the sections of the interrupt controllers and their timers, and load them again.
     * No vcpu_run() is active. */
    int (*irqchip_save)(struct hv_vm *vm, struct state_writer *w);
    int (*irqchip_load)(struct hv_vm *vm, const void *data, size_t len, struct vz_error *err);

    /* Width of guest-physical addresses; no device may sit above. */
    unsigned (*phys_bits)(struct hv_vm *vm);

    /* What a guest's CPU can do, as a set that the architecture numbers (x86: enum x86_feature).
     * Optional: nothing that other CPUs might lack. */
    uint64_t (*cpu_features)(struct hv_vm *vm);

    /* Call fn for each counter. Any thread; the values are a snapshot. Optional. */
    void (*stats)(struct hv_vm *vm, hv_stats_fn *fn, void *arg);
};

extern const struct hv_ops hv_soft_ops;
extern const struct hv_ops hv_kvm_ops;
extern const struct hv_ops hv_fake_ops;

#endif
