/* SPDX-License-Identifier: MIT */
/* The software CPU: one x86-64 processor in user space. It knows guest memory (mem/) and nothing of
 * devices or of hv/: what it needs from outside comes through struct x86_host_ops.
 *
 * Threads: everything here belongs to the vCPU's own thread, but for x86_cpu_post() and the
 * fields marked "any thread".
 *
 * How it runs. x86_cpu_run() finds the decoded block for the current RIP (block.h) and calls the
 * function of its first instruction; each such function does one instruction and jumps to the
 * next one's function (insn.h). A block ends at a branch or where the CPU's mode may change; then
 * RIP is current again, pending events are looked at, and the next block is found.
 *
 * Vector and x87 state lives in the host's own registers while guest code runs (fpu.h); this
 * folder is compiled without them, and whoever calls out of it parks them first. */
#ifndef VZ_CPU_X86_CPU_H
#define VZ_CPU_X86_CPU_H

#include <stdatomic.h>

#include "arch/x86/cpu_state.h"
#include "arch/x86/regs.h"
#include "base/compiler.h"
#include "cpu/x86/jit/jit_options.h"
#include "cpu/x86/tlb.h"
#include "mem/mem.h"

struct x86_cpu;
struct x86_cpuid_policy;
struct x86_engine;
struct x86_vm;
struct block_cache;
struct block_jump;
struct block_link;
struct direct;
struct direct_vm;
struct jit;
struct jit_check;
struct thunk_cache;
struct tsc_rate;

/* In the address of an access from System Management Mode to what is no memory. */
#define X86_GPA_SMM BIT(63)

/* What the CPU asks of its surroundings. Called on the vCPU thread with the guest's vector state
 * parked; arg is x86_vm_desc.host_arg, cpu the vCPU's index. */
struct x86_host_ops {
    uint64_t (*mmio_read)(void *arg, unsigned cpu, gpa_t gpa, unsigned size);
    void (*mmio_write)(void *arg, unsigned cpu, gpa_t gpa, unsigned size, uint64_t value);
    uint32_t (*port_read)(void *arg, unsigned cpu, uint16_t port, unsigned size);
    void (*port_write)(void *arg, unsigned cpu, uint16_t port, unsigned size, uint32_t value);
    /* MSRs that the local APIC owns: APIC_BASE, TSC_DEADLINE, 0x800-0x8ff. 0, or -EINVAL: #GP. */
    int (*apic_msr_read)(void *arg, unsigned cpu, uint32_t msr, uint64_t *ret);
    int (*apic_msr_write)(void *arg, unsigned cpu, uint32_t msr, uint64_t value);
    uint64_t (*cr8_read)(void *arg, unsigned cpu);
    void (*cr8_write)(void *arg, unsigned cpu, uint64_t value); /* 0..15, checked */
    bool (*interrupt_pending)(void *arg, unsigned cpu);
    int (*interrupt_ack)(void *arg, unsigned cpu); /* the vector, or -1: none after all */
    void (*init_taken)(void *arg, unsigned cpu); /* the local APIC goes to its INIT state */
    void (*tsc_changed)(void *arg, unsigned cpu, uint64_t tsc_offset);
};

/* Reasons to look up from running blocks: bits of x86_cpu.pending. */
enum x86_pending {
    X86_PENDING_INTR = 1,    /* ask host ops interrupt_pending() when IF allows */
    X86_PENDING_NMI = 2,     /* by x86_cpu_post_nmi(): they are counted */
    X86_PENDING_INIT = 4,
    X86_PENDING_SIPI = 8,    /* vector in sipi_vector */
    X86_PENDING_KICK = 16,   /* leave x86_cpu_run() */
    X86_PENDING_SYNC = 32,   /* another vCPU wants an answer: smc.h, exclusive sections */
    X86_PENDING_SHADOW = 64, /* own: an STI or MOV SS shadow must be ended after the next insn */
    X86_PENDING_FLUSH = 128, /* own: empty the block cache, thunks are short (thunk.h) */
    X86_PENDING_CHECK = 256, /* own: jit/check.h, block by block; always set then */
    X86_PENDING_ASK = 512,   /* own: another engine wants to be asked behind each block (engine.h) */
    X86_PENDING_SMI = 1024,  /* only where the machine has SMM */
    X86_PENDING_HIDDEN = 2048, /* other memory is hidden than before (mem_hide()): forget translations */
};

/* Arithmetic flags as LAHF and SETO leave them in AX: OF is bit 0, the rest are in the high byte
 * at the places they have in the low byte of RFLAGS. */
#define AF_OF 0x0001u
#define AF_CF 0x0100u
#define AF_PF 0x0400u
#define AF_AF 0x1000u
#define AF_ZF 0x4000u
#define AF_SF 0x8000u

/* x86_cpu.reg[]: the GPRs, and two that make addresses uniform. */
enum { REG_ZERO = 16, REG_BLOCK_RIP = 17, REG_COUNT = 18 };

/* x86_cpu.ea_base[]: what a memory operand's segment adds to its offset, by enum x86_seg; in
 * 64-bit mode 0 but for FS and GS. */
enum { EA_BASE_COUNT = 6 };

/* x86_cpu.tlb_for[]: CPL 3, and CPL 0 to 2 with AC clear and set. */
enum { TLB_FOR_USER, TLB_FOR_KERNEL, TLB_FOR_KERNEL_AC, TLB_FOR_COUNT };

enum x86_stop {
    X86_STOP_KICK,     /* X86_PENDING_KICK was posted */
    X86_STOP_HALT,     /* HLT, or waiting for a SIPI: run again when something is posted */
    X86_STOP_SHUTDOWN, /* triple fault */
    X86_STOP_BROKEN,   /* the host has taken away what it ran in; shutdown_text says what */
    X86_STOP_FETCH,    /* embedded only: no RAM to fetch from at fetch_gpa; nothing has happened */
};

/* What a vCPU counts, one list for the struct and for who prints it. insns_interpreted is counted
 * when a block ends that was not translated; blocks when the main loop enters one, translated or
 * not; block_lookups where the front cache does not know it, and block_steps along hash chains then;
 * blocks_moved to another address of the same code.
 * Of translated code: jit_bytes made of jit_guest_bytes; jit_misses of its TLB look-ups, jit_detours
 * for instructions that are interpreted in between, jit_kills by changed code, jit_full for want of
 * code memory; how often translated code runs is not counted, which would slow it down. Of direct
 * execution (direct/): processes taken, address spaces that got one and lost it again for not paying,
 * what ended their stretches (system calls among it, and pages that only the stub had not), commands for
 * mappings, times that all of a space's were compared with the guest's tables, and microseconds of user mode
 * natively and, while it is being judged, in the JIT; code that was not for a stub, and microseconds in it;
 * microseconds that events have cost; stretches that direct=check has compared, and has not. */
#define X86_CPU_COUNTERS(X)                                                                        \
    X(insns_interpreted) X(blocks) X(blocks_decoded) X(blocks_moved) X(block_lookups) X(block_steps)               \
    X(insns_decoded) X(cache_flushes)                                                              \
    X(smc_invalidations) X(smc_slow_writes) X(tlb_misses) X(tlb_flushes) X(page_walks)             \
    X(exceptions) X(interrupts) X(halts)                                                           \
    X(jit_blocks) X(jit_bytes) X(jit_guest_bytes) X(jit_misses) X(jit_detours) X(jit_kills)        \
    X(jit_full) X(jit_checks) X(jit_check_retries) X(jit_check_races) X(jit_unchecked)             \
    X(mmio) X(port_io) X(syscalls) X(thunks) X(syncs) X(exclusives)                                \
    X(direct_stubs) X(direct_promotions) X(direct_demotions) X(direct_traps) X(direct_kicks)       \
    X(direct_maps) X(direct_unmaps) X(direct_checks) X(direct_native_us) X(direct_jit_us)        \
    X(direct_calls) X(direct_fills) X(direct_refusals) X(direct_refused_us) X(direct_cost_us)         \
    X(direct_checked) X(direct_unchecked)

struct x86_cpu_counters {
#define X86_COUNTER_FIELD(name) uint64_t name;
    X86_CPU_COUNTERS(X86_COUNTER_FIELD)
#undef X86_COUNTER_FIELD
};

struct x86_cpu {
    /* The hot part: registers, then what every block looks at. Translated code reaches the first
     * 256 bytes with short displacements (jit_priv.h). */
    uint64_t reg[REG_COUNT];
    uint16_t af;                   /* arithmetic flags, AF_* */
    uint8_t cpl;
    uint8_t code_size;             /* enum x86_code_size */
    _Atomic uint32_t pending;      /* enum x86_pending; any thread, through x86_cpu_post() */
    uint64_t rip;                  /* valid whenever no block runs; offset in CS, not linear */
    struct tlb_entry *tlb[2];      /* data accesses now: lower and upper half (mmu.h) */
    uint64_t code_ctx[2];          /* identifies address space, mode and their age (block.h) */
    struct block_jump *jumps[2];   /* front cache of blocks (insn.h), as this half of the address space begins in it */
    uint32_t jump_mask;            /* which bits of a RIP choose among them */
    bool slots_used;               /* some slot from TLB_SLOT_FIRST_FREE on may have a tag */
    uint8_t fpu_slow;              /* enum fpu_slow (fpu.h): why vector instructions look closer */
    uint16_t jit_flags;            /* scratch of translated code (jit/): flags, */
    struct tlb_slot slot[TLB_SLOTS]; /* of which those come first that are emptied each time */
    uint64_t jit_word;             /* scratch too: anything, within an instruction, */
    uint64_t jit_addend;           /* from guest address to host address, */
    const void *jit_resume;        /* where to go on, */
    const struct insn *jit_insn;   /* what to interpret, */
    uint8_t jit_bounce[32];        /* and a copy of what was read across pages */
    uint64_t ea_base[EA_BASE_COUNT];
    uint64_t rflags;               /* all but the arithmetic flags; bit 1 set */
    struct block_link *link;       /* where the branch just taken wants its target written */
    /* What tlb[] is for code of each kind in this address space, ready for use: translated code
     * goes from one to the other by itself. */
    struct tlb_entry *tlb_for[TLB_FOR_COUNT][2];
    bool user_ends;                /* changes from and to CPL 3 end the stretch: another engine is asked (engine.h) */
    struct x86_cpu_counters count;

    struct x86_segment seg[X86_SEG_COUNT];
    struct x86_table gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, xcr0;
    uint64_t dr[4], dr6, dr7;
    uint64_t pdpte[4];             /* PAE paging's top level, as last loaded; mmu_load_pdptes() */
    uint64_t efer, star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_adjust, tsc_aux, misc_enable, spec_ctrl, debugctl, kvm_pv_eoi;
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_phys_base[8], mtrr_phys_mask[8];
    uint64_t tsc_offset;           /* guest TSC = host TSC + this */

    uint8_t run_state;             /* enum x86_run_state */
    bool sti_shadow, mov_ss_shadow; /* hold for the instruction at RIP */
    bool nmi_blocked;
    bool smm, smm_inside_nmi;      /* system/smm.c */
    uint32_t smbase;
    bool intr_held;                /* X86_PENDING_INTR waits for IF; only while it runs */
    bool broken;                   /* run_state is X86_SHUTDOWN because of the host: X86_STOP_BROKEN */
    bool stack32;                  /* SS.B: ESP rather than SP, outside 64-bit mode */
    bool ss_flat, cs_flat;         /* base 0, limit 4 GiB (kept by segment loads) */
    bool flat32;                   /* 32-bit protected or compatibility mode, where CS, SS, DS and ES
                                      reach all of 4 GiB and the last three may be written */
    uint8_t watch_hits;            /* DR7 data breakpoints hit by the instruction, DR6 B0-B3 */

    /* The exception raised by the instruction that ended the block; delivered by the main loop
     * with rip at the faulting instruction (traps: after it). */
    struct {
        bool pending, has_error, soft; /* soft: INT n, INT3, INTO: gate DPL is checked */
        uint8_t vector;
        uint8_t soft_len;              /* instruction length, added to rip when delivered */
        uint32_t error;
    } fault;
    /* Embedded only. Blocks leave MMIO alone: an instruction that meets it is undone as if by a
     * fault (io_retry makes it so, io_step says so) and done again by itself, with rip current. */
    bool io_retry, io_step;
    bool fetch_stop;               /* the fault is a fetch outside RAM, at fetch_gpa */
    gpa_t fetch_gpa;
    _Atomic uint8_t sipi_vector;
    char shutdown_text[256];       /* what led to the triple fault */

    /* Vector and x87 state, see fpu.h. */
    uint32_t mxcsr;                /* the guest's mask bits; the host's register has the rest */
    /* In one cache line: translated code writes all three at each x87 instruction, and that they lay
     * in two took half of such a program's time. */
    uint64_t x87_ip __attribute__((aligned(32)));
    uint64_t x87_dp;
    uint16_t x87_op;
    uint64_t host_xcr0;            /* components that xsave[] holds on this host */
    uint8_t xsave[X86_XSAVE_MAX] __attribute__((aligned(64)));

    struct x86_vm *vm;
    unsigned index;                /* also the APIC id */
    _Atomic uint32_t nmi_queued;   /* any thread: NMIs that nmi_count does not have yet */
    uint8_t nmi_count;             /* that wait; at most 2, see cpu_count_nmis() */
    struct mmu *mmu;
    struct block_cache *blocks;
    struct thunk_cache *thunks;
    struct jit *jit;               /* NULL: interpret everything */
    struct jit_check *check;       /* NULL, but with --jit check */
    struct sync_slot *sync;        /* smc.h */
    struct direct *direct;         /* NULL, but with --jit direct */
};

struct x86_vm_desc {
    struct mem *mem;
    unsigned cpu_count;
    struct tsc_rate *tsc;      /* the host's; outlives the machine */
    struct jit_options jit;    /* optimised builds only */
    const char *name;          /* of the machine, for processes that are made for it; NULL: it has none */
    bool no_apic;              /* CPUID shows no local APIC */
    bool smm;                  /* SMIs are taken. In the addresses of accesses from that mode X86_GPA_SMM is set */
    unsigned phys_bits_max;    /* CPUID shows no wider guest-physical addresses; 0: all of them. Tables may use
                                  all of them in any case */
    /* What runs the machine wants to know the CPU's state in the middle of host calls for ports and
     * MMIO: rip and registers are then those of the instruction's start (of a repeated one: of
     * the present iteration), x86_cpu_get() works, and a KICK posted meanwhile is honoured right
     * behind the instruction or iteration. The calls may block: they are made between
     * sync_host_call_begin() and _end(), and the machine's memory may change meanwhile. Stores
     * to ROM become MMIO; fetches outside RAM X86_STOP_FETCH. */
    bool embedded;
    const struct x86_host_ops *host;
    void *host_arg;
    const struct x86_engine *engine; /* one that is asked before ours (engine.h); NULL: none */
};

/* What the vCPUs of one machine share. Creates all vCPUs, in power-up state. 0 or -errno. */
int x86_vm_create(const struct x86_vm_desc *desc, struct x86_vm **ret) must_check;
void x86_vm_destroy(struct x86_vm *vm); /* no vCPU runs; NULL is fine */
struct x86_cpu *x86_vm_cpu(struct x86_vm *vm, unsigned index);

/* Run until something other than guest code has to happen. */
enum x86_stop x86_cpu_run(struct x86_cpu *c);

/* Set bits of pending. Any thread, signal handlers too. Does not wake a sleeper: hv does. */
void x86_cpu_post(struct x86_cpu *c, uint32_t bits);
/* One NMI more. The same threads. */
void x86_cpu_post_nmi(struct x86_cpu *c);

/* While x86_cpu_run() is not active on it. Values that no CPU can hold give -EINVAL. cr8,
 * apic_base and tsc_deadline are the local APIC's and are left alone. */
void x86_cpu_get(struct x86_cpu *c, struct x86_cpu_state *ret);
int x86_cpu_set(struct x86_cpu *c, const struct x86_cpu_state *s) must_check;

/* Guest memory has been laid out anew: forget translations now and code at the next block boundary.
 * The CPU is outside x86_cpu_run() or in a host call of an embedded one. */
void x86_cpu_memory_changed(struct x86_cpu *c);

/* Give back to the host what makes the CPU fast, for one that has nothing to do: it is slow for some milliseconds when
 * it has again. Little is left as it is. Its own thread, while x86_cpu_run() is not active on it. False: there
 * was too little for that. */
bool x86_cpu_rest(struct x86_cpu *c);

/* One line: mode, RIP, the code bytes there, registers. For shutdown reports and traces. */
void x86_cpu_describe(struct x86_cpu *c, char *buf, unsigned len);

/* ---- inside cpu/x86 ---- */

struct x86_vm {
    struct mem *mem;
    const struct x86_host_ops *host;
    void *host_arg;
    struct tsc_rate *tsc;
    unsigned cpu_count;
    struct jit_options jit;
    bool embedded, smm;
    struct x86_cpuid_policy *cpuid;
    struct sync_domain *sync;
    struct direct_vm *direct; /* NULL: all guest code is translated or interpreted */
    _Atomic uint32_t check_next, check_serving; /* jit/check.c: whose turn it is */
    struct x86_cpu **cpu;
    const struct x86_engine *engine[5]; /* in the order in which they are asked; ends with NULL */
};

/* Other vCPUs' threads look at it when they are given a state. */
static inline void cpu_set_tsc_offset(struct x86_cpu *c, uint64_t offset)
{
    __atomic_store_n(&c->tsc_offset, offset, __ATOMIC_RELAXED);
}

/* Take those queued into nmi_count. The architecture keeps one NMI pending. Like KVM, as a virtual
 * CPU may react later than a real one, keep two where the first could be taken at once: two that
 * come together are two (Linux, process_nmi() in arch/x86/kvm/x86.c). */
static inline void cpu_count_nmis(struct x86_cpu *c)
{
    uint32_t limit = c->nmi_blocked ? 1 : 2;
    uint32_t queued = atomic_exchange_explicit(&c->nmi_queued, 0, memory_order_seq_cst);

    c->nmi_count = (uint8_t)MIN(c->nmi_count + MIN(queued, limit), limit);
}

static inline bool in_64bit(const struct x86_cpu *c)
{
    return c->code_size == 2; /* X86_CODE_64 */
}

static inline bool in_long_mode(const struct x86_cpu *c)
{
    return c->efer & X86_EFER_LMA;
}

static inline bool in_real_or_v86(const struct x86_cpu *c)
{
    return !(c->cr0 & X86_CR0_PE) || (c->rflags & X86_FLAG_VM);
}

/* AF_* form from the low bits of RFLAGS, and back (the arithmetic flags only). */
static inline uint16_t af_from_rflags(uint64_t f)
{
    return (uint16_t)(((f & 0xd5) << 8) | ((f >> 11) & 1));
}

static inline uint64_t af_to_rflags(uint16_t af)
{
    return ((af >> 8) & 0xd5u) | (uint64_t)(af & AF_OF) << 11;
}

static inline uint64_t cpu_rflags(const struct x86_cpu *c)
{
    return c->rflags | af_to_rflags(c->af);
}

/* Record an exception for the main loop. rip must be, or be made, that of the instruction. The
 * instruction's function returns at once afterwards, without NEXT. */
static inline void cpu_raise(struct x86_cpu *c, uint8_t vector, bool has_error, uint32_t error)
{
    c->fault.pending = true;
    c->fault.has_error = has_error;
    c->fault.soft = false;
    c->fault.vector = vector;
    c->fault.error = error;
}

#endif
