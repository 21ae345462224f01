/* SPDX-License-Identifier: MIT */
/* The hypervisor contract: what a machine asks of whatever runs its CPUs. Behind it: soft/ (our own
 * CPU in user space), kvm/ (the host's CPUs, through /dev/kvm), fake/ (scripted, for tests).
 *
 * Results are 0 or -errno. Nothing a guest does makes a backend abort.
 *
 * The interrupt controllers (local APICs, IOAPIC, PICs) and the PIT belong to the backend, since
 * hardware backends bring their own (the backend answers ports 0x20-0x21, 0xa0-0xa1, 0x4d0-0x4d1,
 * 0x40-0x43, 0x61 and the APIC pages itself); the board raises lines by GSI and sends MSIs. Both
 * kinds of backend exchange the same architectural state (arch/x86/).
 *
 * Port and memory-mapped accesses reach devices by a call from the vCPU's thread in the middle of
 * vcpu_run(), not by an exit: the software CPU can complete an instruction with several accesses
 * in place, and a hardware backend turns its exits into the same calls. */
#ifndef VZ_HV_HV_H
#define VZ_HV_HV_H

#include "arch/x86/cpu_state.h"
#include "base/compiler.h"
#include "mem/mem.h"

struct hv_vm;
struct hv_vcpu;
struct hv_irqfd;
struct loop;
struct state_writer;
struct vz_error;

#define HV_VCPUS_MAX 64
#define HV_GSI_COUNT 24

/* What the guest's accesses outside RAM reach. Called on vCPU threads, concurrently; must not
 * block for long. size is 1, 2, 4 or 8 (ports: 1, 2 or 4); a wider or unaligned access arrives
 * split. Reads return the value in the low bits; nothing there: all ones. */
struct hv_io_ops {
    uint64_t (*mmio_read)(void *arg, gpa_t gpa, unsigned size);
    void (*mmio_write)(void *arg, gpa_t gpa, unsigned size, uint64_t value);
    uint32_t (*port_read)(void *arg, uint16_t port, unsigned size);
    void (*port_write)(void *arg, uint16_t port, unsigned size, uint32_t value);
};

struct hv_vm_desc {
    struct mem *mem;             /* the caller's; outlives the VM; all regions are in place */
    struct loop *loop;           /* for the timers of LAPIC and PIT; outlives the VM */
    unsigned vcpu_count;         /* 1..HV_VCPUS_MAX */
    const struct hv_io_ops *io;
    void *io_arg;
    const char *jit;             /* software CPU: how it translates, jit_check() accepts it; NULL: as
                                    it thinks best. Used during vm_create() only */
    /* Hardware backends: show the guest the host's CPU and all that the hypervisor can add to it,
     * instead of the CPU of docs/cpu-policy.md. */
    bool host_cpu;
    /* No interrupt controllers and no PIT (loop may be NULL): their ports, pages and MSRs are not
     * there, every vCPU starts running, irq_line(), msi(), irqchip_*() are not called. HLT
     * ends vcpu_run() with HV_EXIT_HALT, interrupts come by vcpu_interrupt(). */
    bool no_irqchip;
    /* For <vz/hypervisor.h>, not a board. The calls of io may last (the caller's stack is left by a
     * switch and entered again), mem is a foreign one (mem_create_foreign()) and may change by
     * memory_changed(), and in such a call vcpu_get() gives the registers the instruction began
     * with. A kick from inside a call ends vcpu_run() right behind the instruction (of a repeated
     * one: the iteration). Stores to ROM reach io->mmio_write; a fetch where there is nothing to
     * execute gives HV_EXIT_FETCH. */
    bool embedded;
};

struct hv_msi {
    uint64_t address;
    uint32_t data;
};

enum hv_exit_kind {
    HV_EXIT_NONE,
    HV_EXIT_SHUTDOWN, /* triple fault; exit->text says what the CPU was doing */
    HV_EXIT_ERROR,    /* a state that cannot be continued; exit->text says which */
    HV_EXIT_HALT,     /* no_irqchip: HLT done, the next run goes on behind it */
    HV_EXIT_WINDOW,   /* no_irqchip: vcpu_window()'s, an interrupt could be taken now */
    HV_EXIT_FETCH,    /* embedded: nothing to execute at gpa; nothing has happened */
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
    bool no_exec;     /* honours mem_region.no_exec */
    bool nested_paging; /* each page of guest memory costs it a fault: large ones are better */

    /* Can this backend run an ordinary kernel here? Any thread. 0; -ENODEV: absent; -EACCES: not
     * for us; -ENOTSUP: there, but it does not work. err (may be NULL) says why. */
    int (*probe)(struct vz_error *err);

    /* Is text something for hv_vm_desc.jit? 0, or -EINVAL with err. Any thread. Optional: then any
     * text does, and none has an effect. */
    int (*jit_check)(const char *text, struct vz_error *err);

    /* Any thread. The desc may be gone when this returns, what it points to may not. */
    int (*vm_create)(const struct hv_vm_desc *desc, struct hv_vm **ret, struct vz_error *err);
    /* No vcpu_run() is active; vCPUs that still exist are destroyed. NULL is fine. */
    void (*vm_destroy)(struct hv_vm *vm);

    /* Set the level of an input pin: GSI 0..HV_GSI_COUNT-1, 0..15 also reach the PICs.
     * Any thread; other GSIs are ignored. */
    void (*irq_line)(struct hv_vm *vm, unsigned gsi, bool level);
    /* Any thread. */
    void (*msi)(struct hv_vm *vm, const struct hv_msi *msi);

    /* vCPUs 0..vcpu_count-1, in reset state: 0 is the bootstrap processor, the others wait for
     * a SIPI. The index is also the APIC id. */
    int (*vcpu_create)(struct hv_vm *vm, unsigned index, struct hv_vcpu **ret);
    void (*vcpu_destroy)(struct hv_vcpu *cpu); /* NULL is fine */

    /* Run guest code on the calling thread (always the same one for a vCPU) until a kick
     * (-EINTR) or an exit (0, *exit filled in). Sleeps inside while the guest is halted. */
    int (*vcpu_run)(struct hv_vcpu *cpu, struct hv_exit *exit);
    /* Make vcpu_run() return -EINTR soon; when it is not running, the next call returns at once.
     * Any thread, and signal handlers. */
    void (*vcpu_kick)(struct hv_vcpu *cpu);

    /* While vcpu_run() is not active. */
    int (*vcpu_get)(struct hv_vcpu *cpu, struct x86_cpu_state *ret);
    int (*vcpu_set)(struct hv_vcpu *cpu, const struct x86_cpu_state *state);

    /* no_irqchip; while vcpu_run() is not active. Queue an external interrupt: the guest takes it
     * as soon as IF and shadows allow. -EBUSY: one is queued already. vector < 0: take the queued
     * one back; -ENOENT: there is none. Optional: then no_irqchip is not offered. */
    int (*vcpu_interrupt)(struct hv_vcpu *cpu, int vector);
    /* Likewise. End vcpu_run() with HV_EXIT_WINDOW once, when nothing is queued and an interrupt
     * would be taken at once. */
    void (*vcpu_window)(struct hv_vcpu *cpu, bool on);

    /* Back to power-up state, interrupt controllers and all vCPUs. No vcpu_run() is active. */
    void (*vm_reset)(struct hv_vm *vm);

    /* Append the sections of the interrupt controllers and the PIT, and load them again.
     * No vcpu_run() is active. */
    int (*irqchip_save)(struct hv_vm *vm, struct state_writer *w);
    int (*irqchip_load)(struct hv_vm *vm, const void *data, size_t len, struct vz_error *err);

    /* Width of guest-physical addresses; no device may sit above. NULL: 46. */
    unsigned (*phys_bits)(struct hv_vm *vm);

    /* desc.mem's regions are not what they were: take over what is mapped now. No vCPU executes
     * guest code: each is outside vcpu_run() or, if embedded, in a call of io. 0 or -errno (then
     * nothing outside the old and the new regions is mapped). */
    int (*memory_changed)(struct hv_vm *vm);

    /* ---- Shortcuts between a device and the guest. All optional: NULL, or a failure of _add,
     * means that the caller goes on with msi() and with calls of its hv_io_ops. Any thread. ---- */

    /* Have every write to the eventfd fd send msi, until removed. The fd stays the caller's. */
    int (*irqfd_add)(struct hv_vm *vm, int fd, const struct hv_msi *msi, struct hv_irqfd **ret);
    /* Send another message from now on. 0 or -errno, then the old one stays. */
    int (*irqfd_route)(struct hv_irqfd *irq, const struct hv_msi *msi);
    void (*irqfd_remove)(struct hv_irqfd *irq); /* NULL is fine */

    /* Have the guest's writes at gpa, of any size and value, signal the eventfd fd instead of
     * calling mmio_write(). */
    int (*ioeventfd_add)(struct hv_vm *vm, gpa_t gpa, int fd);
    void (*ioeventfd_remove)(struct hv_vm *vm, gpa_t gpa, int fd);

    /* Writes to ports [port, port + len) may reach port_write() late: before any other access that
     * calls hv_io_ops, and before vcpu_run() returns. */
    int (*port_defer_writes)(struct hv_vm *vm, uint16_t port, unsigned len);

    /* ---- Dirty pages, optional. ---- */

    /* Begin or end to note which pages the guest's CPUs write (what devices write is not among
     * them: mem_written()). Any thread. 0 or -errno. */
    int (*dirty_log)(struct hv_vm *vm, bool on);
    /* Set the bits of the pages of region mem->region[index] written since the last call, and
     * perhaps of some that were only read; bit n of bitmap[n / 64] stands for its page n. Others
     * are left. */
    int (*dirty_fetch)(struct hv_vm *vm, unsigned index, uint64_t *bitmap);

    /* Call fn for each counter. Any thread; the values are a snapshot. Optional. */
    void (*stats)(struct hv_vm *vm, hv_stats_fn *fn, void *arg);
};

extern const struct hv_ops hv_soft_ops;
extern const struct hv_ops hv_kvm_ops;
extern const struct hv_ops hv_fake_ops;

#endif
