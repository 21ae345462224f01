/* SPDX-License-Identifier: MIT */
/* What the files of the KVM backend share. The kernel's interface is Documentation/virt/kvm/api.rst
 * of Linux, called "api" in these files.
 *
 * Interrupt controllers and PIT are KVM's own (KVM_CREATE_IRQCHIP), so an idle guest sleeps in the
 * kernel, and most of what it does never comes here. */
#ifndef VZ_HV_KVM_KVM_H
#define VZ_HV_KVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/tsc_rate.h"
#include "hv/hv_bare.h"
#include "hv/hv_shortcut.h"
#include "hv/hv_x86.h"

#define KVM_STATE_MSRS_MAX 64

/* Per vCPU; written by its thread only. */
struct kvm_vcpu_count {
    _Atomic uint64_t user_exits, port_accesses, mmio_accesses, msr_accesses, interrupted, deferred;
};

struct hv_vcpu {
    struct hv_vm *vm;
    unsigned index;
    int fd;
    int stats_fd; /* -1: the kernel has none */
    struct kvm_run *run;
    pid_t thread;         /* whose signal mask is prepared; 0: none yet */
    _Atomic pid_t inside; /* the thread that may be in KVM_RUN; 0: none */
    _Atomic bool kicked;
    _Atomic bool smi;     /* is to be given to KVM before the next KVM_RUN */
    bool unfinished;      /* the access that ended KVM_RUN is completed by the next KVM_RUN */
    bool shut_down;       /* X86_SHUTDOWN: KVM has no such state */
    int vector;           /* without interrupt controllers: queued; -1: none */
    bool window;          /* likewise: asked for */
    unsigned faults;      /* in a row that KVM had in memory that was not there */
    struct kvm_vcpu_count count;
};

struct kvm_slot {
    uint64_t gpa, len; /* len 0: free */
    uint8_t *host;
    bool rom;
    unsigned space; /* 1: in System Management Mode */
};

struct hv_irqfd {
    struct hv_vm *vm;
    int fd;
    unsigned gsi;
    struct hv_msi msi;
};

struct hv_vm {
    int sys_fd, fd;
    struct mem *mem;
    const struct hv_io_ops *io;
    void *io_arg;
    bool host_cpu, irqchip, embedded, smm;
    _Atomic bool exposed; /* KVM could not hide what is to be hidden: it is over */
    unsigned vcpu_count; /* of those made */
    size_t run_len;
    struct tsc_rate tsc;
    unsigned phys_bits, phys_bits_max;
    uint64_t features; /* of the guest's CPUs, by enum x86_feature */
    uint64_t arch_capabilities;
    uint64_t tsc_of_first; /* the TSC in the state last set on vCPU 0 */
    uint64_t cr4_offered; /* by the policy; the host may have less */
    bool has_xsave; /* offered to the guest */
    bool has_msr[KVM_STATE_MSRS_MAX]; /* by place in kvm_state.c's table */

    struct kvm_coalesced_mmio_ring *ring; /* NULL: nothing is deferred */
    pthread_mutex_t ring_lock;            /* for taking from it; devices' locks come after */

    pthread_mutex_t slot_lock;
    struct kvm_slot *slot, *plan; /* as they are, and the first plan_count as they are to be */
    unsigned slot_max, plan_count;
    bool log_dirty;

    pthread_mutex_t line_lock;
    uint32_t lines;                       /* which GSIs are high; PIT's pulses are not among them */

    pthread_mutex_t route_lock;
    unsigned route_max;                   /* GSIs, pins included */
    struct hv_irqfd **irqfd;              /* by GSI - HV_IRQ_LINES */

    struct hv_vcpu *vcpu;                 /* [vcpu_count] */
};

/* ioctl() that is not disturbed by signals. What ioctl() returns, or -errno. */
int kvm_ioctl(int fd, unsigned long request, void *arg);
/* An argument that is a number. */
int kvm_ioctl_value(int fd, unsigned long request, unsigned long arg);
/* KVM_CHECK_EXTENSION; 0: no. */
int kvm_has(int fd, unsigned cap);
/* Open /dev/kvm and make an empty VM. 0 or -errno with err filled in. */
int kvm_open_vm(int *ret_sys, int *ret_vm, struct vz_error *err);

/* kvm_probe.c */
int kvm_probe(struct vz_error *err);

/* kvm_memory.c */
int kvm_memory_init(struct hv_vm *vm);
int kvm_memory_changed(struct hv_vm *vm);
void kvm_hidden(struct hv_vm *vm);
int kvm_dirty_log(struct hv_vm *vm, bool on);
int kvm_dirty_fetch(struct hv_vm *vm, unsigned index, uint64_t *bitmap);

/* kvm_smm.c: System Management Mode. Has this KVM got it? 0 or -errno; have all vCPUs enter it; give KVM the SMI that a
 * vCPU has been sent, before each KVM_RUN; and its part of a vCPU's state. */
int kvm_check_smm(struct hv_vm *vm, struct vz_error *err);
void kvm_smi(struct hv_vm *vm);
void kvm_take_smi(struct hv_vcpu *v);
int kvm_get_smm(struct hv_vcpu *v, const struct kvm_vcpu_events *e, struct x86_cpu_state *ret);
int kvm_set_smm(struct hv_vcpu *v, struct kvm_vcpu_events *e, const struct x86_cpu_state *s);

/* kvm_irq.c */
int kvm_irq_init(struct hv_vm *vm);
void kvm_irq_fini(struct hv_vm *vm);
void kvm_irq_settle(struct hv_vm *vm); /* what was written to irqfds has arrived afterwards */
void kvm_irq_line(struct hv_vm *vm, unsigned gsi, bool level);
void kvm_msi(struct hv_vm *vm, const struct hv_msi *msi);
int kvm_irqfd_add(struct hv_vm *vm, int fd, const struct hv_msi *msi, struct hv_irqfd **ret);
int kvm_irqfd_route(struct hv_irqfd *irq, const struct hv_msi *msi);
void kvm_irqfd_remove(struct hv_irqfd *irq);
int kvm_ioeventfd_add(struct hv_vm *vm, gpa_t gpa, int fd);
void kvm_ioeventfd_remove(struct hv_vm *vm, gpa_t gpa, int fd);

/* kvm_cpuid.c: what the guest's CPUs are. vm->tsc is set. */
int kvm_cpuid_init(struct hv_vm *vm, struct vz_error *err);
/* An MSR that KVM leaves to us. False: #GP. */
bool kvm_msr_read(const struct hv_vm *vm, uint32_t msr, uint64_t *ret);
bool kvm_msr_write(const struct hv_vm *vm, uint32_t msr, uint64_t value);

/* kvm_run.c */
int kvm_vcpu_run(struct hv_vcpu *v, struct hv_exit *exit);
void kvm_vcpu_kick(struct hv_vcpu *v);
int kvm_vcpu_interrupt(struct hv_vcpu *v, int vector);
void kvm_vcpu_window(struct hv_vcpu *v, bool on);
int kvm_port_defer_writes(struct hv_vm *vm, uint16_t port, unsigned len);

/* kvm_exit.c: what ended KVM_RUN. True: served, go on; false: *exit is filled in. */
bool kvm_serve_exit(struct hv_vcpu *v, struct hv_exit *exit);
void kvm_describe(struct hv_vcpu *v, const char *what, char *buf, size_t len);

/* kvm_state.c */
int kvm_state_probe_msrs(struct hv_vm *vm);
int kvm_vcpu_get(struct hv_vcpu *v, struct x86_cpu_state *ret);
int kvm_vcpu_set(struct hv_vcpu *v, const struct x86_cpu_state *s);
/* To power-up state; the TSC goes on. */
int kvm_vcpu_reset(struct hv_vcpu *v);
int kvm_get_msr(struct hv_vcpu *v, uint32_t msr, uint64_t *ret);
int kvm_set_msr(struct hv_vcpu *v, uint32_t msr, uint64_t value);

/* kvm_irqchip.c */
int kvm_irqchip_save(struct hv_vm *vm, struct state_writer *w);
int kvm_irqchip_load(struct hv_vm *vm, const void *data, size_t len, struct vz_error *err);
int kvm_irqchip_reset(struct hv_vm *vm);

static inline void kvm_count(_Atomic uint64_t *counter)
{
    /* One writer: no locked instruction is needed. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

#endif
