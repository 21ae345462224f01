/* SPDX-License-Identifier: MIT */
/* What the files behind <vz/hypervisor.h> share: hyp_vm.c, hyp_memory.c, hyp_vcpu.c (running),
 * hyp_regs.c (registers and events).
 *
 * A backend reaches devices by calls in the middle of vcpu_run(); the program wants exits. So each
 * vCPU runs its backend on a stack of its own (base/fiber.h). A write is noted, and the backend
 * kicked: it returns right behind the instruction, which has then been completed. A read, or a
 * second access of the same instruction, leaves the stack in the middle of the call and enters it
 * again on the next run.
 *
 * Locks: memory_lock (one change of memory at a time) before gate_lock (who runs, who exists). */
#ifndef VZ_HYPERVISOR_HYP_H
#define VZ_HYPERVISOR_HYP_H

#include <pthread.h>
#include <vz/hypervisor.h>

#include "base/compiler.h"
#include "hv/hv_bare.h"
#include "hv/hv_x86.h"

struct fiber;
struct loop_timer;

#define HYP_PIECES_MAX MEM_FOREIGN_REGIONS_MAX

/* Memory the program has mapped: whole pages that are contiguous on both sides. */
struct hyp_piece {
    uint64_t gpa, len;
    uint8_t *host;
    unsigned flags; /* VZ_HV_MEMORY_... */
};

/* A vCPU number. What the backend made for it stays, for the next vCPU of this number. */
struct hyp_slot {
    const struct hv_ops *ops;
    struct hv_vcpu *hv;       /* NULL: never used */
    struct vz_hv_vcpu *vcpu;  /* NULL: free; gate_lock to change, its own thread may read */
    _Atomic uintptr_t owner;  /* pthread_self() of that thread, 0: free */
    uint64_t signature;       /* EDX at power-up: the CPU's, which only the backend knows */
    struct loop_timer *timer; /* of vz_hv_vcpu_run_until() */
};

struct vz_hv_vm {
    const struct hv_ops *ops;
    struct hv_vm *hv;
    struct mem *mem;
    struct loop *loop; /* of the interrupt controllers' timers and the deadlines */
    bool irqchip;
    unsigned vcpu_max;
    uint64_t gpa_limit;

    pthread_mutex_t memory_lock;
    struct hyp_piece *piece; /* sorted by gpa, HYP_PIECES_MAX */
    unsigned piece_count;

    /* Vcpus are held outside guest code while this is set: hyp_hold(). */
    _Atomic bool hold;
    pthread_mutex_t gate_lock;
    pthread_cond_t gate_changed;
    struct hyp_slot slot[VZ_HV_VCPUS_MAX];
    pthread_t loop_thread; /* gate_lock: */
    bool loop_started;
};

/* An access of the guest to a port or to MMIO. */
struct hyp_access {
    enum vz_hv_exit_reason reason;
    unsigned size;
    uint64_t address, value;
};

struct vz_hv_vcpu {
    struct vz_hv_vm *vm;
    const struct hv_ops *ops;
    struct hv_vcpu *hv;
    struct hyp_slot *slot;
    pthread_t thread;
    struct fiber *fiber;
    _Atomic bool inside; /* may execute guest code; see hyp_hold() */
    _Atomic bool cancelled;

    /* The rest belongs to the vCPU's thread. */
    bool in_call;              /* the fiber stands in a call of hv_io_ops */
    bool reading;              /* that call is a read, and the program has been asked */
    bool noted;                /* `access` is a write that the program has not been told of */
    bool draining;             /* nobody is interested in accesses any more */
    bool has_end;              /* `end` has not been told */
    bool shut_down;
    struct hyp_access access;  /* the write noted */
    struct hyp_access read;
    uint64_t answer;
    int run_result;            /* of the last vcpu_run() that returned */
    struct hv_exit end;
    struct vz_hv_vcpu_stats stats;

    /* Registers as of now, when loaded; what the program set since is marked byte by byte in
     * dirty[], and put into the backend when the instruction is complete. */
    struct x86_cpu_state state;
    bool loaded, changed;
    uint8_t dirty[sizeof(struct x86_cpu_state)];
};

/* ---- hyp_vm.c ---- */

enum vz_hv_result hyp_result(int r); /* from 0 or -errno */
/* Keep all vCPUs out of guest code until hyp_release(). Not from inside a backend. */
void hyp_hold(struct vz_hv_vm *vm);
void hyp_release(struct vz_hv_vm *vm);
/* Around what executes guest code, on the vCPU's thread. */
void hyp_enter(struct vz_hv_vcpu *v);
void hyp_exit(struct vz_hv_vcpu *v);
int hyp_loop_start(struct vz_hv_vm *vm) must_check;

/* ---- hyp_vcpu.c ---- */

extern const struct hv_io_ops hyp_io_ops;

/* VZ_HV_SUCCESS: v is a vCPU, and the caller on its thread. */
enum vz_hv_result hyp_check(const struct vz_hv_vcpu *v);

/* ---- hyp_regs.c ---- */

/* Put what the program has set into the backend; the last instruction is complete. 0 or -errno:
 * then it is still to be done. */
int hyp_regs_flush(struct vz_hv_vcpu *v) must_check;
/* What was read is no longer so. */
void hyp_regs_forget(struct vz_hv_vcpu *v);
/* All to power-up state, to be put into the backend by hyp_regs_flush(). */
void hyp_regs_reset(struct vz_hv_vcpu *v);
/* The backend's vCPU is new: note what only it knows of the power-up state. 0 or -errno. */
int hyp_regs_first(struct vz_hv_vcpu *v) must_check;

#endif
