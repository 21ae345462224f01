/* SPDX-License-Identifier: MIT */
/* What the files of direct/ share.
 *
 * A space is a guest's address space that has been given a stub: it is known by its page-table root.
 * What its stub maps is written down page by page in leaves, one for each page table of the guest (or
 * large page) that anything was mapped by, with the entries as they were then. So the mappings are a
 * TLB: they may be older than the guest's tables until the guest invalidates; then the entries are
 * compared, and only what changed is unmapped.
 *
 * Locks. direct_vm.lock guards spaces, leaves and the reverse map; nobody who holds it waits for a
 * vCPU, so it is taken inside smc.c's requests as well, and smc_claim() is never called under it. What
 * is in a struct direct is its vCPU's own, but for `native`. */
#ifndef VZ_CPU_X86_DIRECT_DIRECT_PRIV_H
#define VZ_CPU_X86_DIRECT_DIRECT_PRIV_H

#include "cpu/x86/direct/direct.h"
#include "stub/stub.h"

#define DIRECT_SPACES  32u
#define DIRECT_STUBS   16u
#define DIRECT_HISTORY 64u        /* direct mapped by page-table root */
#define DIRECT_LEAVES_MAX 4096u   /* in a space: 8 GiB at best */
#define DIRECT_COMMANDS_MAX 30000u /* in a stub's life: each may add two to its mappings, of which
                                      Linux allows 65530 */
#define DIRECT_FLUSHES 64u
#define DIRECT_REST_MS 3000u      /* of a space for which the host refused a command */
#define DIRECT_AROUND  16u        /* pages looked at around a fault */
#define AROUND_TRAP_US 9u         /* what follows an event besides the round trip */

#define LEAF_PAGES   512u
#define LEAF_BYTES   (LEAF_PAGES * (uint64_t)MEM_PAGE_SIZE)
#define LEAF_BUCKETS 256u

/* What a page is mapped with. */
enum { MAPPED_READ = 1, MAPPED_WRITE = 2, MAPPED_EXEC = 4 };

/* Carries commands out; a stub's thread, or what a test looks at. Results as of stub_map() and so on. */
struct direct_out {
    bool (*map)(void *arg, uint64_t va, uint64_t len, uint64_t offset, unsigned prot);
    bool (*unmap)(void *arg, uint64_t va, uint64_t len);
    int (*flush)(void *arg);
    void *arg;
};

/* The guest's page-table entries that lead to an address, A, D and what software has in them masked. */
struct direct_path {
    const uint64_t *at[3]; /* PML4E, PDPTE, PDE */
    uint64_t entry[3];
    const uint64_t *table; /* the page table; NULL: the PDE maps a large page */
    uint8_t rights;        /* that all of them grant: MAPPED_* */
};

/* Pages of 2 MiB of guest addresses. */
struct leaf {
    uint64_t va;
    struct direct_path path;
    struct space *space;
    struct leaf *next;           /* in its bucket */
    uint32_t id;                 /* in direct_vm.leaf[] */
    unsigned count;              /* of pages that are mapped, */
    uint64_t mapped[LEAF_PAGES / 64]; /* and which */
    uint64_t maybe[LEAF_PAGES / 64]; /* bit n: pages of RAM whose number is n modulo LEAF_PAGES may be among them */
    uint8_t rights[LEAF_PAGES];
    uint64_t entry[LEAF_PAGES];  /* of the page table, masked, when it was mapped */
    uint32_t ram[LEAF_PAGES];    /* number of the page of RAM */
};

/* Times in units of the host's TSC. */
struct account {
    unsigned traps;
    uint64_t cost, gain;
    uint64_t rest;      /* how long the last rest was */
};

struct space {
    uint64_t root;      /* 0: free */
    uint64_t serial;    /* never the same twice */
    struct stub *stub;
    bool tsc_faults;    /* RDTSC is an event in it */
    unsigned slot;      /* of the top-level table, in which the stub has its own pages */
    unsigned inside;    /* vCPUs that run in it or are about to */
    uint64_t used;      /* when it was last entered, in entries */
    uint64_t rests_until; /* the JIT has it until then; 0: it runs natively */
    struct account account;
    uint64_t worked_ns; /* that its stub had had when it was last asked */

    struct leaf *bucket[LEAF_BUCKETS];
    unsigned leaves, pages;
    unsigned commands;  /* since it was empty */
    unsigned maps, unmaps; /* ever, modulo */
    bool has_global;    /* some page is, to the guest */
    /* To be unmapped before anything else happens in it: code has been claimed, or changed. */
    unsigned gone_count;
    uint64_t gone[DIRECT_FLUSHES];
    bool gone_all;
};

/* What a vCPU has invalidated of a space since its last entry there. */
struct flushes {
    uint64_t serial;    /* of the space that this is about */
    uint32_t pcid;
    unsigned count;
    uint64_t page[DIRECT_FLUSHES];
};

/* How a program that has no stub has behaved so far. */
struct history {
    uint64_t root;
    uint64_t time;      /* in user mode */
    uint64_t stretches;
};

/* Of a page of RAM: may it be executed natively? Those that have been looked at are claimed (smc.h), so
 * whoever writes to them tells. With how often it has changed, in units of SCAN_AGAIN. */
enum scanned {
    SCAN_NOT,
    SCAN_CLEAN,
    SCAN_FOUND,   /* something is in it that would show the host */
    SCAN_CHANGED, /* since it was looked at */
    SCAN_COPIED,  /* a copy of it may (direct_shadow.c) */
    SCAN_STATE = 7,
    SCAN_AGAIN = 8,
    SCAN_TOO_OFTEN = 16 * SCAN_AGAIN, /* it is not looked at for some time */
};

#define DIRECT_SHADOWS 64u

struct direct_reach;

struct direct_vm {
    struct x86_vm *vm;
    struct stub_host *host;
    bool always;
    bool judged, works;     /* the host has been probed; it serves */
    bool scan_cpuid;        /* the host cannot make CPUID fault */
    bool tsc_faults;        /* it can make RDTSC fault */
    uint64_t us;            /* TSC ticks in a microsecond */
    /* Ticks that an event takes with all that follows at least, and hand-overs alone. They shrink if one is
     * seen that took less: the host may have been busy when it was probed. */
    _Atomic uint64_t least_trap, round_trip;
    _Atomic uint64_t trap;  /* that events have taken of late, with mappings and waits */
    uint64_t lowest, end;   /* of addresses that a process of the host may map */
    uint64_t pages;         /* of RAM */
    _Atomic uint8_t *scan;  /* of each, enum scanned */
    uint8_t *forgiven;       /* of each, the second in which it was last looked at again though it had changed too
                                often. Under the lock */
    _Atomic uint32_t *where; /* of each, where it is mapped writable or executable: leaf and page + 1,
                                WHERE_MANY, or 0; with WHERE_WRITABLE. Written under the lock */
    _Atomic bool lock;
    uint8_t *shadows;        /* DIRECT_SHADOWS pages behind RAM in its file; NULL: none */
    uint64_t shadow_of[DIRECT_SHADOWS]; /* page + 1; 0: free */
    struct direct_reach *reach; /* for direct_make_shadow() */
    struct leaf **leaf;     /* by id */
    uint32_t leaf_count, leaf_free;
    unsigned stubs;
    uint64_t serial, entries;
    _Atomic uint64_t epoch; /* counts the spaces that came and went */
    struct space space[DIRECT_SPACES];
    _Atomic uint64_t roots[DIRECT_SPACES]; /* of space[]: to be looked at without the lock */
};

#define WHERE_WRITABLE (UINT32_C(1) << 31) /* somewhere, since it was last mapped nowhere */
#define WHERE_MANY     (WHERE_WRITABLE - 1)

/* What x86_cpu.direct is. */
struct direct {
    struct direct_vm *vm;
    struct direct_check *check; /* NULL, but with direct=check */
    _Atomic(struct stub_thread *) native; /* in which the vCPU runs */
    _Atomic uint32_t kickers;             /* threads that are looking at it */
    uint64_t root, epoch;    /* that the next two are about */
    struct space *space;     /* NULL: it has none */
    struct history *history;

    bool thread_told;        /* stub_host_cpuid_thread() */
    bool asks;               /* X86_PENDING_ASK is set */
    bool in_user;            /* the other engines have the program until it enters the kernel */
    bool timing;
    unsigned long_stretches; /* of user mode, in a row */
    uint8_t visits;          /* of the main loop by the kernel, until user_ends is set again */
    uint64_t began, began_work; /* TSC, and processor time of the vCPU's thread */
    uint64_t refused;        /* the page with code that is not for a stub; 1: none */
    uint64_t last_refused;   /* the same, */
    unsigned refusals;       /* and how often in turn */
    uint64_t retry, patience; /* when it is worth another try elsewhere; how long the last wait was */

    bool wants;              /* a page that the last stretch ended for, */
    bool wants_code;         /* by fetching, it seems, */
    uint64_t want;           /* and its address */
    uint64_t refused_since;  /* the others have had it for that; 0: they have not */
    uint64_t jit_time, native_time, refused_time, cost; /* for the counters */
    uint64_t used;           /* spaces of which flushes[] is told; others are looked at as a whole */
    struct flushes flushes[DIRECT_SPACES];
    struct history histories[DIRECT_HISTORY];
    struct stub_regs regs;
    uint8_t area[X86_XSAVE_MAX];
};

static inline unsigned leaf_index(uint64_t va)
{
    return (unsigned)(va >> MEM_PAGE_SHIFT) & (LEAF_PAGES - 1);
}

/* ---- direct_exchange.c: registers into a stub and out of it; the vector state is parked ---- */

void direct_export(struct x86_cpu *c, struct stub_thread *t);
void direct_import(struct x86_cpu *c, struct stub_thread *t);

/* May the CPU's state of now run in a stub? Its mode, selectors, flags and features. */
bool direct_may_run(const struct x86_cpu *c);
/* Must RDTSC be an event, since the guest's TSC is not the host's, or is not for programs? */
bool direct_needs_tsc(const struct x86_cpu *c);

/* ---- direct_vm.c: under the lock ---- */

/* Is the host known to serve? Finds out, if it can by now. */
bool direct_works(struct direct_vm *v);

/* Give the CPU's address space of now a place, if need be that of another; NULL: all are in use. */
struct space *direct_promote(struct x86_cpu *c);
/* Has it a stub, whose own pages are out of the guest's way, and is it still the CPU's? */
bool direct_has_stub(const struct x86_cpu *c, const struct space *s);
/* Not under the lock, since it takes a while: have one made if there is none. */
bool direct_need_stub(struct x86_cpu *c, struct space *s, bool *ret_fresh);
/* Take it back; nobody is inside. */
void direct_drop_stub(struct direct_vm *v, struct space *s);
void direct_drop_space(struct direct_vm *v, struct space *s);

/* ---- direct_run.c ---- */

/* Have the other engines come back to the main loop behind each block, or no more. */
void direct_ask_often(struct x86_cpu *c, bool on);

/* ---- direct_tell.c: what struct x86_engine has, and */

void direct_mappings_gone(struct x86_cpu *c, const struct x86_gone *gone);
void direct_page_watched(struct x86_cpu *c, const uint8_t *host);
void direct_code_gone(struct x86_cpu *c, const uint8_t *host, uint64_t granules);

/* A page that is written natively again, or would be, and had been claimed for its code: take it for
 * data. As if it had been written as a whole, since what else is cached of it hears of that. */
void direct_disclaim(struct x86_cpu *c, uint64_t va);

/* ---- direct_prepare.c ---- */

struct direct_out direct_out_of(struct stub_thread *t);

/* Have the space ready for the CPU to run on in its stub, where it is counted as inside then; *ret_commands for
 * mappings were carried out for it. NULL: it is not to, now. */
struct stub_thread *direct_prepare(struct x86_cpu *c, struct space *s, unsigned *ret_commands);

/* Under the lock. The stub cannot go on as it is: what is mapped now nobody knows. */
void direct_give_up_stub(struct x86_cpu *c, struct space *s, uint64_t rest_ms);

/* ---- direct_lock.c ---- */

void direct_lock(struct direct_vm *v);
void direct_unlock(struct direct_vm *v);

/* ---- direct_table.c: the guest's tables, only ever read ---- */

/* How far the tables lead towards va, with all accessed flags set on the way. False: they grant a
 * user nothing there, or it is nothing that a stub can have. */
bool direct_walk(const struct x86_cpu *c, uint64_t va, struct direct_path *ret);

/* Is the path as it was? */
bool direct_path_holds(const struct direct_path *p);

/* What may be mapped for page n of the path: MAPPED_*, 0: nothing. *ret_entry: to compare with
 * direct_page_holds(); *ret_host: the page. MAPPED_WRITE and MAPPED_EXEC are what the guest's tables
 * say, and need more. */
uint8_t direct_page(const struct x86_cpu *c, const struct direct_path *p, unsigned n,
                    uint64_t *ret_entry, const uint8_t **ret_host);

/* Does the table still grant what was mapped with these rights by this entry? */
bool direct_page_holds(const struct direct_path *p, unsigned n, uint64_t entry, uint8_t rights);

/* The first multiple of LEAF_BYTES, from this one on, where they lead users anywhere; UINT64_MAX: none. */
uint64_t direct_next_leaf(const struct x86_cpu *c, uint64_t va);

/* Is the whole slot of the top-level table empty? */
bool direct_slot_is_empty(const struct x86_cpu *c, unsigned slot);

/* ---- direct_scan.c ---- */

/* The first instruction from `at` on that would show the host, as it seems; len: none. */
unsigned direct_find_shown(const uint8_t *code, unsigned at, unsigned len, bool cpuid);

/* Look through the page of RAM at host, which the guest has at va, if that is needed. Not under the
 * lock. */
enum scanned direct_scan(struct x86_cpu *c, uint64_t va, const uint8_t *host);

/* ---- direct_reach.c ---- */

#define REACH_PAGES 8u
#define REACH_BYTES (REACH_PAGES * MEM_PAGE_SIZE)

/* Some pages of code in a row, of which bytes instructions begin at and which they consist of. */
struct direct_reach {
    uint8_t code[REACH_BYTES];
    bool here[REACH_PAGES]; /* the others are no code */
    uint64_t begins[REACH_BYTES / 64], covered[REACH_BYTES / 64];
    unsigned image, image_size; /* bytes of which nothing is executed besides */
};

/* What a byte 0F is that direct_find_shown() has found. */
enum direct_role { ROLE_UNKNOWN, ROLE_INSTRUCTION, ROLE_PART /* of another instruction, or data */ };

/* Add what can be executed if the instruction at `at` is. */
void direct_reach_from(struct direct_reach *r, unsigned at);
enum direct_role direct_role_of(const struct direct_reach *r, unsigned n);
/* Does anything in these bytes jump to where only a table or a register says? */
bool direct_reach_has_jumps(const struct direct_reach *r, unsigned begin, unsigned size);
/* direct_image.c: add what the functions of a shared object lead to, if all of one is there. */
void direct_reach_image(struct direct_reach *r);
/* Fill it in with what lies around va, where the guest has this page, and what of it this vCPU's other engines have executed. Returns
 * where va's page begins. */
unsigned direct_reach_around(struct x86_cpu *c, uint64_t va, const uint8_t *page,
                             struct direct_reach *r);

/* ---- direct_shadow.c ---- */

int direct_shadows_create(struct direct_vm *v) must_check; /* 0 or -1: there are none then */
void direct_shadows_destroy(struct direct_vm *v);
/* The rest under the lock. Something would show the host in the page at host, which the guest has at va:
 * is it known what is an instruction there? Then a copy is made, if there is one. */
enum scanned direct_make_shadow(struct x86_cpu *c, uint64_t va, const uint8_t *host);
/* The page has changed. */
void direct_shadow_gone(struct direct_vm *v, uint64_t page);
/* Where in the file the copy of a page of RAM is; 0: there is none. */
uint64_t direct_shadow(const struct direct_vm *v, uint64_t page);

/* ---- direct_space.c: under the lock ---- */

struct space *space_of(struct direct_vm *v, uint64_t root);
struct leaf *space_leaf(const struct space *s, uint64_t va);

/* How page va is mapped: MAPPED_*. */
uint8_t space_rights(const struct space *s, uint64_t va);

/* Have mapped what the guest's tables grant around va, or everywhere. What is returned: MAPPED_*, as
 * va is mapped then. */
uint8_t space_fill(struct x86_cpu *c, struct space *s, const struct direct_out *out, uint64_t va);
void space_fill_all(struct x86_cpu *c, struct space *s, const struct direct_out *out);

/* Compare the page at va, or all, with the guest's tables; unmap what is not so any more. The second
 * gives how many pages were. */
void space_check_page(struct x86_cpu *c, struct space *s, const struct direct_out *out, uint64_t va);
unsigned space_check_all(struct x86_cpu *c, struct space *s, const struct direct_out *out);

/* Unmap what space.gone says. */
void space_drop_gone(struct x86_cpu *c, struct space *s, const struct direct_out *out);

/* Forget all mappings, without a command; unmap them all. */
void space_forget(struct direct_vm *v, struct space *s);
void space_clear(struct x86_cpu *c, struct space *s, const struct direct_out *out);

/* The page of RAM must not be mapped with these rights any more: say so to the spaces that have it.
 * Returns the bits of those. */
uint64_t space_page_gone(struct direct_vm *v, uint64_t page, uint8_t rights);

/* ---- direct_policy.c ---- */

/* Do not ask before the kernel has been seen a few times more. */
void policy_look_away(struct x86_cpu *c);

/* Other engines' stretch of user mode begins and ends. */
void policy_begin(struct direct *d);
void policy_end(struct x86_cpu *c);

/* Is the program of now for a stub? again: it has had one. */
bool policy_is_ripe(const struct direct *d, bool again);

/* An event has brought a stub out within so many ticks. Under the lock. */
void policy_round_trip(struct direct_vm *v, uint64_t ticks);

/* The vCPU's thread's processor time, in ticks. */
uint64_t policy_work(const struct direct_vm *v);

/* Of so many ticks in which its program ran: how many it can have had a processor for. */
uint64_t policy_native_work(const struct direct_vm *v, struct space *s, uint64_t ticks);

/* There was no stretch, and to find that out took so long. Under the lock. */
void policy_refused(struct direct *d, struct space *s, uint64_t ticks);

/* A stretch in a stub is over, which was prepared from `began` on, and entered and left; so long it ran, as it
 * says, and worked. True: demoted. Under the lock. */
struct direct_times {
    uint64_t began, entered, left, native, worked;
    unsigned commands; /* that were carried out for it */
};
bool policy_trap(struct direct *d, struct space *s, const struct direct_times *t);

#endif
