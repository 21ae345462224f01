/* SPDX-License-Identifier: MIT */
/* The architectural state of one x86-64 CPU: what is saved, restored, and exchanged between
 * backends. Nothing in it is an implementation's own; the field table is x86_cpu_state_desc.
 * Names and bit positions follow the Intel SDM. */
#ifndef VZ_ARCH_X86_CPU_STATE_H
#define VZ_ARCH_X86_CPU_STATE_H

#include "base/compiler.h"

struct state_desc;

/* Instruction encoding order. */
enum x86_gpr {
    X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
    X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
};

enum x86_seg { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_LDTR, X86_TR, X86_SEG_COUNT };

/* struct x86_segment.attr: the descriptor's bits 40-47 and 52-55, as VMX access rights have them
 * (SDM vol. 3, 25.4.1). A register whose P is clear is unusable (it holds a null selector). */
#define SEG_ATTR_TYPE 0x000fu
#define SEG_ATTR_S    0x0010u
#define SEG_ATTR_DPL_SHIFT 5
#define SEG_ATTR_DPL  0x0060u
#define SEG_ATTR_P    0x0080u
#define SEG_ATTR_AVL  0x1000u
#define SEG_ATTR_L    0x2000u
#define SEG_ATTR_DB   0x4000u
#define SEG_ATTR_G    0x8000u

struct x86_segment {
    uint64_t base;
    uint32_t limit;    /* in bytes: granularity is already applied */
    uint16_t selector;
    uint16_t attr;
};

struct x86_table { /* GDTR, IDTR */
    uint64_t base;
    uint16_t limit;
};

#define X86_XSAVE_MAX 4096 /* bytes of the XSAVE area kept: x87, SSE, AVX, AVX-512 fit */

enum x86_run_state {
    X86_RUNNING,
    X86_HALTED,        /* HLT: wakes on an interrupt, NMI, INIT */
    X86_WAIT_FOR_SIPI, /* an application processor after INIT */
    X86_SHUTDOWN,      /* after a triple fault */
    X86_RUN_STATE_COUNT,
};

struct x86_cpu_state {
    uint64_t gpr[16];
    uint64_t rip;
    uint64_t rflags;
    struct x86_segment seg[X86_SEG_COUNT];
    struct x86_table gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, cr8, xcr0;
    uint64_t dr[4], dr6, dr7;
    uint8_t xsave[X86_XSAVE_MAX]; /* standard (not compacted) XSAVE format of the x86 SDM 13.4 */

    uint64_t efer, star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, apic_base, tsc, tsc_adjust, tsc_aux, tsc_deadline;
    uint64_t misc_enable, spec_ctrl, debugctl;
    uint64_t kvm_pv_eoi;     /* MSR_KVM_PV_EOI: where the guest's flag is; bit 0: in use */
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_phys_base[8], mtrr_phys_mask[8];

    uint32_t run_state;      /* enum x86_run_state */
    /* Events between instructions (SDM vol. 3, 25.5 and 27.7.1.3). */
    bool sti_shadow;         /* the instruction after STI: interrupts held off */
    bool mov_ss_shadow;      /* the instruction after MOV/POP SS: and debug traps too */
    bool nmi_blocked;        /* until IRET */
    bool nmi_pending;
    bool nmi_second;         /* another one behind it: only while none is blocked */
    bool smi_pending;
    bool smm;                /* in System Management Mode, until RSM (SDM vol. 3, 32), */
    bool smm_inside_nmi;     /* entered while NMIs were blocked */
    bool init_pending;       /* an INIT was not taken yet: in that mode it waits for its end */
    bool sipi_pending;       /* nor was a SIPI, which a CPU heeds that waits for one, or is about to by such an INIT: */
    uint8_t sipi_vector;     /* its page; 0 without */
    uint32_t smbase;         /* where that mode's code and what it saves are */
    bool exception_pending;  /* one to deliver before the next instruction */
    uint8_t exception_vector;
    bool exception_has_error;
    uint32_t exception_error;
};

extern const struct state_desc x86_cpu_state_desc;

#define X86_SMBASE_RESET 0x30000u

/* The state after power-up or INIT (SDM vol. 3, table 10-1). is_init keeps what INIT keeps (x87,
 * vector state, most MSRs). A bootstrap processor runs, the others wait for a SIPI. */
void x86_cpu_state_reset(struct x86_cpu_state *s, bool is_bsp, bool is_init);

#endif
