/* SPDX-License-Identifier: MIT */
/* The level below <vz/machine.h>: guest-physical memory and virtual CPUs, for programs that bring
 * the rest of a machine themselves. What Apple's Hypervisor framework is to its Virtualization
 * framework; the same on every accelerator.
 *
 *   create a VM - map memory - per vCPU, on a thread of its own: create, set registers, run, look
 *   at the exit, run again, ..., destroy - destroy the VM. examples/hypervisor.c is all of it.
 *
 * Lifetime: a VM lives from vz_hv_vm_create() to vz_hv_vm_destroy(), which its vCPUs must not
 *   outlive. Any number of VMs may exist in a process.
 * Threads: functions of a VM may be called from any thread, at any time. A vCPU belongs to the
 *   thread that created it: every function of it is called from there and gives VZ_HV_DENIED
 *   anywhere else, but for vz_hv_vcpu_cancel(). A thread has at most one vCPU of a VM, and destroys
 *   it before it ends. No thread of the library's ever calls the program.
 * Results: VZ_HV_SUCCESS (0) or one of the codes below. What fails has changed nothing. NULL for an
 *   object or for memory that is to be filled in gives VZ_HV_BAD_ARGUMENT.
 * Structs: options start with their size, statistics are asked for with it. What else a later
 *   version may have more to say in ends in `reserved` members, which become named ones: programs
 *   neither read nor copy them singly, and what is handed in has zeros there (begin with {0}, or
 *   with what vz_hv_vcpu_get_events() gave), which will mean what holds today. Sizes stay.
 *
 * All of it since 0.2. */
#ifndef VZ_HYPERVISOR_H
#define VZ_HYPERVISOR_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vz_hv_vm;
struct vz_hv_vcpu;

/* The codes are those of Apple's hv_return_t, with their numbers. */
enum vz_hv_result {
    VZ_HV_SUCCESS = 0,
    VZ_HV_ERROR = (int)0xfae94001,               /* the host failed where it should not have */
    VZ_HV_BUSY = (int)0xfae94002,                /* what is asked for is taken or in use */
    VZ_HV_BAD_ARGUMENT = (int)0xfae94003,
    VZ_HV_ILLEGAL_GUEST_STATE = (int)0xfae94004, /* registers that no CPU can hold together */
    VZ_HV_NO_RESOURCES = (int)0xfae94005,        /* no memory, threads, descriptors; too many pieces */
    VZ_HV_NO_DEVICE = (int)0xfae94006,           /* no such accelerator on this host */
    VZ_HV_DENIED = (int)0xfae94007,              /* not from this thread; or no permission */
    VZ_HV_FAULT = (int)0xfae94008,               /* no memory at the address given */
    VZ_HV_UNSUPPORTED = (int)0xfae9400f,         /* not by this accelerator, or not in this kind of VM */
};

/* A few words about a result: a static string, for any value. Any thread. */
VZ_PUBLIC const char *vz_hv_result_text(enum vz_hv_result result);

/* ---- Virtual machines ------------------------------------------------------------------- */

#define VZ_HV_VCPUS_MAX 64
#define VZ_HV_PAGE_SIZE 4096

/* vz_hv_vm_options.flags. With interrupt controllers (local APICs, IOAPIC, two 8259A) and an 8254
 * timer in the library: the guest reaches them as on a PC (ports 0x20, 0x21, 0x40 to 0x43, 0x61,
 * 0xa0, 0xa1, 0x4d0, 0x4d1; 0xfec00000; the APIC page and MSRs) without exits; a halted vCPU sleeps
 * inside vz_hv_vcpu_run(); vCPU 0 starts, the others wait for INIT and SIPI. Without: CPUID shows
 * no APIC, all vCPUs start, HLT is an exit, and interrupts come from vz_hv_vcpu_inject_interrupt(). */
#define VZ_HV_VM_IRQCHIP 1u

/* Do not try first whether the accelerator can run an ordinary kernel: some hosts' /dev/kvm cannot,
 * and is good for small programs nevertheless. Needs the accelerator's name. */
#define VZ_HV_VM_UNPROBED 2u

struct vz_hv_vm_options { /* start from VZ_HV_VM_OPTIONS_INIT */
    size_t size;
    const char *accelerator; /* "soft", "kvm"; NULL or "auto": the best that works here */
    unsigned flags;          /* VZ_HV_VM_... */
    unsigned vcpu_max;       /* vCPUs are numbered 0 to this - 1; 1 to VZ_HV_VCPUS_MAX; 0 means 8 */
};
#define VZ_HV_VM_OPTIONS_INIT VZ_INIT_(struct vz_hv_vm_options, )

/**
 * Create a virtual machine without memory and vCPUs.
 * @options  NULL for the defaults
 * @ret      the VM; vz_hv_vm_destroy() it
 * @err      filled in on failure with the reason in words; may be NULL
 * Returns VZ_HV_BAD_ARGUMENT (options, or no such accelerator; UNPROBED without its name), VZ_HV_NO_DEVICE (it does not exist here),
 * VZ_HV_DENIED (no permission to use it), VZ_HV_UNSUPPORTED (it does not work here, or cannot do
 * this), VZ_HV_NO_RESOURCES. */
VZ_PUBLIC enum vz_hv_result vz_hv_vm_create(const struct vz_hv_vm_options *options,
                                            struct vz_hv_vm **ret, struct vz_error *err);

/**
 * Destroy a VM; its memory stays the caller's. NULL is fine. No other call for the VM may be active.
 * Returns VZ_HV_BUSY while a vCPU of it exists. */
VZ_PUBLIC enum vz_hv_result vz_hv_vm_destroy(struct vz_hv_vm *vm);

/* The name of the accelerator in use: a static string. */
VZ_PUBLIC const char *vz_hv_vm_accelerator(const struct vz_hv_vm *vm);

/* ---- Memory ----------------------------------------------------------------------------- */

#define VZ_HV_MEMORY_READ  1u
#define VZ_HV_MEMORY_WRITE 2u
#define VZ_HV_MEMORY_EXEC  4u

/**
 * Let the guest see [host, host + len) at guest-physical address gpa. All three are multiples of
 * VZ_HV_PAGE_SIZE. The memory stays the caller's: whatever can be read (and written, if flags say so) by
 * this process, private or shared, and it must stay so until it is unmapped. The same memory may
 * be mapped at several addresses. It may be done while vCPUs run; they see it at their next access.
 * @flags  VZ_HV_MEMORY_...; 0: as if not mapped, but taken. The guest's other accesses are exits: reads
 *         and writes VZ_HV_EXIT_MMIO_..., fetches VZ_HV_EXIT_MEMORY.
 * Returns VZ_HV_BAD_ARGUMENT (alignment, length 0, past the guest's address width, unknown flags), VZ_HV_FAULT
 * (no memory at host, or this process may not use it so itself), VZ_HV_BUSY (part of it is mapped, or is the IOAPIC's
 * or the local APICs' with VZ_HV_VM_IRQCHIP), VZ_HV_UNSUPPORTED (WRITE or EXEC without READ; READ without EXEC where hardware runs the CPUs), VZ_HV_NO_RESOURCES (more than 512 pieces). */
VZ_PUBLIC enum vz_hv_result vz_hv_vm_map(struct vz_hv_vm *vm, void *host, uint64_t gpa,
                                         uint64_t len, unsigned flags);

/**
 * Take memory away, all or a part of what was mapped; also while vCPUs run. When it returns no vCPU
 * uses the memory any more.
 * Returns VZ_HV_BAD_ARGUMENT (alignment, length 0, or part of it is not mapped), VZ_HV_NO_RESOURCES. */
VZ_PUBLIC enum vz_hv_result vz_hv_vm_unmap(struct vz_hv_vm *vm, uint64_t gpa, uint64_t len);

/**
 * Change the flags of mapped memory; also while vCPUs run: in force when it returns.
 * Returns as vz_hv_vm_unmap(), and VZ_HV_UNSUPPORTED and VZ_HV_FAULT as vz_hv_vm_map(). */
VZ_PUBLIC enum vz_hv_result vz_hv_vm_protect(struct vz_hv_vm *vm, uint64_t gpa, uint64_t len,
                                             unsigned flags);

/**
 * The program has changed code in mapped memory that may have been executed before: guest code is
 * kept in translated form. Not needed before a vCPU first executes there, and for data.
 * Returns VZ_HV_BAD_ARGUMENT when part of it is not mapped for reading. */
VZ_PUBLIC enum vz_hv_result vz_hv_vm_memory_written(struct vz_hv_vm *vm, uint64_t gpa,
                                                    uint64_t len);

/* ---- Interrupts through the library's controllers --------------------------------------- */

/**
 * Set the level of an input of the IOAPIC, 0 to 23, and of the 8259As for 0 to 15.
 * Returns VZ_HV_BAD_ARGUMENT, or VZ_HV_UNSUPPORTED without VZ_HV_VM_IRQCHIP. */
VZ_PUBLIC enum vz_hv_result vz_hv_vm_set_irq(struct vz_hv_vm *vm, unsigned irq, bool level);

/**
 * Send a message-signalled interrupt: address and data as a device would write them.
 * Returns VZ_HV_UNSUPPORTED without VZ_HV_VM_IRQCHIP. */
VZ_PUBLIC enum vz_hv_result vz_hv_vm_send_msi(struct vz_hv_vm *vm, uint64_t address,
                                              uint32_t data);

/* ---- Virtual CPUs ----------------------------------------------------------------------- */

/**
 * Create a vCPU in power-up state (real mode, CS:IP f000:fff0), to run on the calling thread.
 * @index  0 to vcpu_max - 1; the APIC id too. A number may be used again after its vCPU is destroyed.
 * Returns VZ_HV_BAD_ARGUMENT (index), VZ_HV_BUSY (the number is in use, or the thread has a vCPU of this
 * VM), VZ_HV_NO_RESOURCES. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_create(struct vz_hv_vm *vm, unsigned index,
                                              struct vz_hv_vcpu **ret);

/* Destroy a vCPU, in whatever state it is. NULL is fine. No vz_hv_vcpu_cancel() may come any more;
 * one whose exit has been seen may still be on its way out, as long as the VM lives. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_destroy(struct vz_hv_vcpu *vcpu);

/* Put a vCPU back into power-up state; an access that waits for an answer is dropped. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_reset(struct vz_hv_vcpu *vcpu);

enum vz_hv_exit_reason {
    VZ_HV_EXIT_CANCELLED,        /* vz_hv_vcpu_cancel() */
    VZ_HV_EXIT_DEADLINE,         /* the time given to vz_hv_vcpu_run_until() is over */
    VZ_HV_EXIT_PORT_READ,        /* IN, INS: vz_hv_vcpu_answer(), then run again */
    VZ_HV_EXIT_PORT_WRITE,       /* OUT, OUTS */
    VZ_HV_EXIT_MMIO_READ,        /* a load outside memory: vz_hv_vcpu_answer(), then run again */
    VZ_HV_EXIT_MMIO_WRITE,       /* a store outside memory, or to memory mapped without WRITE */
    VZ_HV_EXIT_MEMORY,           /* an instruction fetch where nothing may be executed */
    VZ_HV_EXIT_HALT,             /* HLT; running again goes on behind it */
    VZ_HV_EXIT_INTERRUPT_WINDOW, /* vz_hv_vcpu_request_interrupt_window()'s */
    VZ_HV_EXIT_SHUTDOWN,         /* triple fault; only vz_hv_vcpu_reset() leads out */
    VZ_HV_EXIT_ERROR,            /* the accelerator cannot go on from this state; text says why */
    VZ_HV_EXIT_COUNT
};

/* Why vz_hv_vcpu_run() returned. Members that a reason does not name are 0. Filled in as a whole:
 * whatever was in it before. */
struct vz_hv_exit {
    enum vz_hv_exit_reason reason;
    unsigned size;    /* PORT, MMIO: bytes: 1, 2, 4 or 8 (ports: not 8); wider accesses come in pieces */
    uint64_t address; /* PORT: the port; MMIO, MEMORY: the guest-physical address */
    uint64_t value;   /* PORT_WRITE, MMIO_WRITE: what was written */
    char text[512];   /* SHUTDOWN, ERROR: what the vCPU was doing, one line */
    uint64_t reserved[8]; /* 0; see "Structs" above */
};

/**
 * Run guest code until something happens that the program must see. The registers are then:
 *   after PORT_WRITE and MMIO_WRITE those behind the instruction (of a repeated string instruction: the
 *   iteration), after PORT_READ and MMIO_READ those it began with. Where an instruction makes more
 *   accesses than one (XSAVE to MMIO, an access split over two pages), there is one exit for each, and
 *   until the last the registers are those the instruction began with.
 *   What is written to registers while an instruction is not complete takes effect behind it, and wins
 *   over what the instruction itself writes.
 * @exit  filled in when the result is VZ_HV_SUCCESS
 * Returns VZ_HV_ILLEGAL_GUEST_STATE: registers have been set that do not go together; nothing ran, and
 * they can be mended. VZ_HV_ERROR. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_run(struct vz_hv_vcpu *vcpu, struct vz_hv_exit *exit);

#define VZ_HV_DEADLINE_FOREVER UINT64_MAX

/* The same, but with VZ_HV_EXIT_DEADLINE soon after CLOCK_MONOTONIC has reached deadline_ns
 * nanoseconds (in the past: without running, unless an instruction must be completed first). Also
 * VZ_HV_NO_RESOURCES: no thread for the timer. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_run_until(struct vz_hv_vcpu *vcpu, uint64_t deadline_ns,
                                                 struct vz_hv_exit *exit);

/* The value that the read of the last exit gives, in its low bytes; all ones if none is given.
 * VZ_HV_BAD_ARGUMENT when no read waits. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_answer(struct vz_hv_vcpu *vcpu, uint64_t value);

/* Make the running, or else the next, vz_hv_vcpu_run() return VZ_HV_EXIT_CANCELLED. Several calls
 * before that make one exit; exits for accesses that were on their way come first. Any thread, and
 * signal handlers. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_cancel(struct vz_hv_vcpu *vcpu);

/* ---- Registers -------------------------------------------------------------------------- */

/* Values are checked together when the vCPU next runs, not when they are set. */
enum vz_hv_reg {
    VZ_HV_REG_RAX, VZ_HV_REG_RCX, VZ_HV_REG_RDX, VZ_HV_REG_RBX,
    VZ_HV_REG_RSP, VZ_HV_REG_RBP, VZ_HV_REG_RSI, VZ_HV_REG_RDI,
    VZ_HV_REG_R8, VZ_HV_REG_R9, VZ_HV_REG_R10, VZ_HV_REG_R11,
    VZ_HV_REG_R12, VZ_HV_REG_R13, VZ_HV_REG_R14, VZ_HV_REG_R15,
    VZ_HV_REG_RIP, VZ_HV_REG_RFLAGS,
    VZ_HV_REG_CR0, VZ_HV_REG_CR2, VZ_HV_REG_CR3, VZ_HV_REG_CR4, VZ_HV_REG_CR8, VZ_HV_REG_XCR0,
    VZ_HV_REG_DR0, VZ_HV_REG_DR1, VZ_HV_REG_DR2, VZ_HV_REG_DR3, VZ_HV_REG_DR6, VZ_HV_REG_DR7,
    VZ_HV_REG_COUNT
};
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_get_reg(struct vz_hv_vcpu *vcpu, enum vz_hv_reg reg,
                                               uint64_t *ret);
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_set_reg(struct vz_hv_vcpu *vcpu, enum vz_hv_reg reg,
                                               uint64_t value);

enum vz_hv_segment_reg {
    VZ_HV_ES, VZ_HV_CS, VZ_HV_SS, VZ_HV_DS, VZ_HV_FS, VZ_HV_GS, VZ_HV_LDTR, VZ_HV_TR,
    VZ_HV_SEGMENT_COUNT
};
/* Complete as the architecture has it: it will not grow. */
struct vz_hv_segment {
    uint64_t base;
    uint32_t limit;    /* in bytes, granularity applied */
    uint16_t selector;
    uint16_t access;   /* type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15 (SDM vol. 3, 25.4.1);
                          P clear: unusable */
};
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_get_segment(struct vz_hv_vcpu *vcpu,
                                                   enum vz_hv_segment_reg reg,
                                                   struct vz_hv_segment *ret);
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_set_segment(struct vz_hv_vcpu *vcpu,
                                                   enum vz_hv_segment_reg reg,
                                                   const struct vz_hv_segment *value);

/* The descriptor tables' registers. */
enum vz_hv_table_reg { VZ_HV_GDTR, VZ_HV_IDTR, VZ_HV_TABLE_COUNT };
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_get_table(struct vz_hv_vcpu *vcpu, enum vz_hv_table_reg reg,
                                                 uint64_t *ret_base, uint16_t *ret_limit);
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_set_table(struct vz_hv_vcpu *vcpu, enum vz_hv_table_reg reg,
                                                 uint64_t base, uint16_t limit);

/* Model-specific registers by their architectural number: TSC, TSC_ADJUST, TSC_AUX, APIC_BASE,
 * TSC_DEADLINE, SPEC_CTRL, SYSENTER_*, MISC_ENABLE, DEBUGCTL, PAT, MTRRs, EFER, STAR, LSTAR, CSTAR,
 * FMASK, FS_BASE, GS_BASE, KERNEL_GS_BASE. Also VZ_HV_UNSUPPORTED: another one. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_get_msr(struct vz_hv_vcpu *vcpu, uint32_t msr,
                                               uint64_t *ret);
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_set_msr(struct vz_hv_vcpu *vcpu, uint32_t msr,
                                               uint64_t value);

/* x87, SSE and AVX state as XSAVE stores it, in the standard format (SDM vol. 1, 13.4). Transfers
 * the first len bytes, at least 576 (legacy area and header), at most VZ_HV_XSAVE_SIZE; state that
 * lies beyond is left alone when setting. */
#define VZ_HV_XSAVE_SIZE 4096
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_get_xsave(struct vz_hv_vcpu *vcpu, void *ret, size_t len);
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_set_xsave(struct vz_hv_vcpu *vcpu, const void *area,
                                                 size_t len);

/* What a vCPU keeps between instructions besides registers. */
struct vz_hv_events {
    bool sti_shadow;        /* STI was the last instruction: interrupts are held off for one more */
    bool mov_ss_shadow;     /* likewise MOV SS and POP SS */
    bool nmi_blocked;       /* until IRET */
    bool nmi_pending;
    bool halted;            /* VZ_HV_VM_IRQCHIP: asleep in HLT */
    bool waits_for_sipi;    /* VZ_HV_VM_IRQCHIP */
    bool exception_pending; /* to be delivered before the next instruction */
    bool exception_has_error;
    uint8_t exception_vector;
    uint32_t exception_error;
    uint64_t reserved[4];   /* 0; see "Structs" above */
};
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_get_events(struct vz_hv_vcpu *vcpu,
                                                  struct vz_hv_events *ret);
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_set_events(struct vz_hv_vcpu *vcpu,
                                                  const struct vz_hv_events *events);

/* ---- Interrupts without the library's controllers, and exceptions ----------------------- */

/**
 * Queue an external interrupt; the guest takes it as soon as IF and the shadows of STI and MOV SS allow.
 * @vector  0 to 255
 * Returns VZ_HV_BUSY while one is queued that was not taken yet, VZ_HV_BAD_ARGUMENT, VZ_HV_UNSUPPORTED with
 * VZ_HV_VM_IRQCHIP. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_inject_interrupt(struct vz_hv_vcpu *vcpu, unsigned vector);

/* Take a queued interrupt back. VZ_HV_BAD_ARGUMENT: none is queued (it may have been taken).
 * VZ_HV_UNSUPPORTED with VZ_HV_VM_IRQCHIP. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_withdraw_interrupt(struct vz_hv_vcpu *vcpu);

/* Ask for one VZ_HV_EXIT_INTERRUPT_WINDOW when nothing is queued and an interrupt would be taken at
 * once; on false, ask no more. VZ_HV_UNSUPPORTED with VZ_HV_VM_IRQCHIP. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_request_interrupt_window(struct vz_hv_vcpu *vcpu, bool on);

/* Make an NMI pending; taken when none is being handled. One more is kept behind it unless one is
 * being handled, as two of a machine's devices may raise theirs together; further ones are lost. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_inject_nmi(struct vz_hv_vcpu *vcpu);

/**
 * Raise an exception before the next instruction. For a page fault set CR2 yourself.
 * @vector     0 to 31, but not 2 (an NMI), and not 3 and 4, which instructions end with
 * @has_error  push @error, which only those do that have one, in protected mode: 8, 10 to 14, 17, 21, 29, 30
 * Returns VZ_HV_BUSY when one is pending, VZ_HV_BAD_ARGUMENT. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_inject_exception(struct vz_hv_vcpu *vcpu, unsigned vector,
                                                        bool has_error, uint32_t error);

/* ---- Statistics ------------------------------------------------------------------------- */

struct vz_hv_vcpu_stats {
    uint64_t exec_time_ns;             /* inside vz_hv_vcpu_run(): guest code, and sleep in HLT */
    uint64_t runs;                     /* calls that gave an exit */
    uint64_t exits[VZ_HV_EXIT_COUNT];  /* by reason; their sum is runs */
};

/* Since the vCPU's creation. size: sizeof(struct vz_hv_vcpu_stats) as the caller knows it. */
VZ_PUBLIC enum vz_hv_result vz_hv_vcpu_get_stats(struct vz_hv_vcpu *vcpu,
                                                 struct vz_hv_vcpu_stats *ret, size_t size);

#ifdef __cplusplus
}
#endif
#endif
