/* SPDX-License-Identifier: MIT */
/* Processes that run user code on the host's processor as it is ("stubs"): what the host does for
 * direct execution. Knows nothing of the guest CPU. A stub is an address space made of mappings of
 * guest RAM, and in it one thread per virtual CPU. It runs until something happens; then its
 * registers are here, and what happened is an event. It can make no system call of its own.
 *
 * Who may call what: a stub_thread belongs to one thread of ours at a time; different ones of a stub
 * run at the same time. stub_kick(), stub_create(), stub_destroy() and the host's functions may be
 * called by any thread. Nothing here calls back. */
#ifndef VZ_STUB_STUB_H
#define VZ_STUB_STUB_H

#include "base/compiler.h"

struct stub_host;
struct stub;
struct stub_thread;

enum stub_mode {
    STUB_AUTO,   /* the best that works */
    STUB_NOTIFY, /* seccomp's user notifications */
    STUB_PTRACE, /* for hosts without those; not yet: -ENOSYS */
};

struct stub_host_options {
    int ram, ram_ro;    /* the guest's RAM: a memory file, and a read-only descriptor of it; ours */
    unsigned threads;   /* virtual CPUs, 1 to STUB_THREADS_MAX */
    unsigned max_stubs; /* at a time; 0: 16 */
    enum stub_mode mode;
    const char *name;   /* by which ps and perf show them, 15 letters at most; NULL: "vz-stub" */
};

/* What this host does, found out by trying. */
struct stub_probe {
    bool works;              /* if not, why says in words why not, and stub_create() fails */
    enum stub_mode mode;
    bool sync_wake_up;       /* hand-overs stay on one CPU by themselves (Linux 6.6) */
    bool cpuid_faults;       /* CPUID in a stub is STUB_FAULT; else it answers for the host */
    bool tsc_faults;         /* RDTSC and RDTSCP can be STUB_FAULT */
    bool sandbox;            /* stubs have empty namespaces of their own besides */
    uint64_t round_trip_ns;  /* a trap: an event and back, nothing done in between */
    uint64_t map_ns, unmap_ns; /* a page that is mapped, read, and unmapped by its own command */
    uint64_t make_ns;        /* a stub, until it is ready */
    char why[160];
};

#define STUB_THREADS_MAX 64
/* With a trap that takes longer running in stubs pays for no program. */
#define STUB_WORST_TRAP_NS 100000
/* A stub has this many bytes of its address space for itself, from a multiple of it on. */
#define STUB_REGION      UINT64_C(0x200000)
/* What no mapping may reach: the end of a process' addresses. */
#define STUB_ADDRESS_END UINT64_C(0x7ffffffff000)

/* ---- the host ---- */

/* A machine's stubs. Makes a thread ("vz-stubs"), which finds out what this computer allows, starts the
 * parent of stubs, and has one ready, and two once one has been wanted; it does not wait for that. The process gets a child,
 * and a SIGCHLD at the end. 0; -EINVAL: threads; -ENOSYS: surely not here, and why, if not NULL, has
 * words; or -errno. The descriptors may be closed after. */
int stub_host_create(struct stub_host **ret, const struct stub_host_options *options,
                     char why[160]) must_check;

/* All its stubs are destroyed. Every process is gone when this returns. NULL is fine. */
void stub_host_destroy(struct stub_host *host);

/* What was found out; valid until the host is destroyed. NULL: not yet, some 20 ms after its start;
 * unless wait. */
const struct stub_probe *stub_host_probed(struct stub_host *host, bool wait);

/* The same, waiting. */
const struct stub_probe *stub_host_probe(struct stub_host *host);

/* CPUID faulting is a register of the processor, which a switch between a thread that has it and one
 * that has not must write: 13 us where that is a VM's exit. So vCPU threads have it as well: to be
 * called on such a thread, once it is known what the host does (stub_host_probed()); it may not execute
 * CPUID from then on until it has said false. Nothing happens where the host has no CPUID faulting. */
void stub_host_cpuid_thread(struct stub_host *host, bool on);

/* ---- stubs ---- */

/* What it is to be like. region: a multiple of STUB_REGION; the guest's mappings are elsewhere. */
struct stub_wish {
    uint64_t region;
    bool tsc_faults; /* RDTSC and RDTSCP are STUB_FAULT, where the host can do that (struct stub_probe) */
};

/* Take a stub, one that is ready if there is one. Those that are kept ready are as the one that was asked for last.
 * 0; -EINVAL; -EBUSY: max_stubs are there; -EIO: the parent has died; or -errno. */
int stub_create(struct stub **ret, struct stub_host *host, const struct stub_wish *wish) must_check;

/* No thread of ours is in stub_run() or stub_flush() of it. Killed at once, taken apart elsewhere.
 * NULL is fine. */
void stub_destroy(struct stub *stub);

/* Virtual CPU n's thread in it. */
struct stub_thread *stub_thread(struct stub *stub, unsigned n);

/* The registers where it stands. GPRs in the processor's order (RAX RCX RDX RBX RSP RBP RSI RDI R8...).
 * Given to stub_run(), which enters with CS 33h, SS 2Bh, null data selectors; and what it left. A
 * program can load other selectors, or set flags (TF, AC, NT): these are as they were at the event,
 * and gone at the next entry. */
struct stub_regs {
    uint64_t gpr[16], rip, rflags, fs_base, gs_base;
    uint16_t cs, ss, ds, es, fs, gs; /* ignored on entry */
};

/* The x87, SSE and AVX state: an XSAVE area in standard form, in memory that the guest can write
 * while it runs. *size is its length. To be read and written between runs only, and copied before it
 * is checked. Components whose bit in XSTATE_BV is clear are in their initial state, whatever their
 * bytes are. An area that the processor does not take (reserved bits set) is lost, and a STUB_FAULT or
 * STUB_BROKEN comes of it. */
void *stub_xsave(struct stub_thread *t, size_t *size);

enum stub_event {
    STUB_SYSCALL,     /* rip is at the SYSCALL instruction. RCX and R11 are what it made of them */
    STUB_INT80,       /* at an INT 80h; the upper half of RAX is lost */
    STUB_PAGE_FAULT,  /* for `address`, which is a hint */
    STUB_FAULT,       /* #GP, #AC, #MF, #XM, #DE, #UD, and INT 4: rip is at the instruction */
    STUB_BREAKPOINT,  /* INT3 or ICEBP: rip is at it, if it has one byte. (CD 03: one further on) */
    STUB_SINGLE_STEP, /* TF was set: #DB with DR6.BS, nothing to be executed */
    STUB_VSYSCALL,    /* rip is in the vsyscall page, as called; RAX is lost */
    STUB_KICKED,      /* nothing happened: somebody called stub_kick() */
    STUB_BROKEN,      /* the program has tampered with its stub, which has been killed: an exception
                       * for that program, at the registers it was entered with. Destroy the stub */
    STUB_DIED,        /* somebody else has killed it (the host had no memory): nothing can go on */
};

/* Commands, carried out in this order before user code runs on. False: no room, so run or flush what
 * there is; or a range that cannot be (stub_can_map()). prot: PROT_READ, _WRITE, _EXEC. Writable ones
 * are made by the writable descriptor, all others by the read-only one. */
bool stub_map(struct stub_thread *t, uint64_t address, uint64_t length, uint64_t offset_in_ram,
              unsigned prot) must_check;
bool stub_unmap(struct stub_thread *t, uint64_t address, uint64_t length) must_check;

/* Whole pages of a process' addresses, outside the stub's own region? */
bool stub_can_map(const struct stub *stub, uint64_t address, uint64_t length);

/* How many commands of this thread wait, and how many have room. */
unsigned stub_commands(const struct stub_thread *t);
#define STUB_COMMANDS_MAX 250

/* Carry out the commands, enter with *regs, wait for an event. On 0 *regs and *event are it, and
 * *address for STUB_PAGE_FAULT. With STUB_KICKED because of a kick before the entry, STUB_BROKEN and
 * STUB_DIED *regs is untouched; after such a kick the commands still wait. -EINVAL: a base is not
 * canonical or rip is not a process' address;
 * -ENOMEM, -EPERM, ...: a command failed (too many mappings; an address that the host reserves), so
 * what is mapped is not known any more: destroy the stub. No user code was executed. */
int stub_run(struct stub_thread *t, struct stub_regs *regs, enum stub_event *event,
             uint64_t *address) must_check;

/* How long user code has run in the last stub_run() that it came out of by an event, in ticks of the host's
 * TSC: without the hand-overs and commands, but with what it waited for a processor in between. What the
 * stub says, that is any number; 0 where RDTSC faults, since it cannot tell then. */
uint64_t stub_ran(const struct stub_thread *t);

/* How much of the host's processors' time the stub has had, all its threads and hand-overs together, in ns. A system
 * call. */
uint64_t stub_worked_ns(const struct stub *stub);

/* Carry out the commands without running user code. Errors as with stub_run(); -EIO: it is dead, and
 * the next stub_run() says how. */
int stub_flush(struct stub_thread *t) must_check;

/* Threads have been kicked, and must come out. Where one is waited for that has not for ten seconds, because its process
 * was stopped or frozen, the stub is killed. Any thread, signal handlers too. */
void stub_host_watch(struct stub_host *host);

/* Any thread, signal handlers too: make it come out soon. One that comes while nobody is inside makes
 * the next stub_run() return at once. */
void stub_kick(struct stub_thread *t);

#endif
