/* SPDX-License-Identifier: MIT */
/* What the files of jit/ share. */
#ifndef VZ_CPU_X86_JIT_PRIV_H
#define VZ_CPU_X86_JIT_PRIV_H

#include "cpu/x86/block.h"
#include "cpu/x86/jit/emit.h"
#include "cpu/x86/jit/jit.h"

/* A guest address, from registers or fixed. */
struct address {
    uint8_t base, index, scale, seg; /* guest registers or X86_NO_REG */
    bool fixed;                      /* is `at`, plus a segment base */
    bool by_rip;                     /* which is relative to RIP */
    bool narrow;                     /* wraps at 4 GiB */
    union {
        int32_t disp;
        uint64_t at;
    };
};

/* What seldom happens is a jump to a common stub with r11 at one of the following records, which
 * lie in jit.data. Places in code memory are so far from its beginning, in either mapping. */

/* One translated access that may miss the TLB. */
struct jit_site {
    const void *hit;          /* where to go on with the addend in r11 */
    struct address address;
    uint32_t half;            /* place of the displacement that says in which half it is expected, or 0 */
    uint16_t after;           /* how far behind `hit` the instruction ends; 0: it ends the block */
    uint16_t behind;          /* so many bytes behind the block's struct jit_exits is this */
    uint8_t index;            /* of the instruction, to interpret when it is no plain RAM */
    uint8_t access;           /* enum mmu_access */
    uint8_t size, align;
    uint8_t elsewhere;        /* how often the address was in the other half than expected */
    uint8_t guarded, held;    /* as in jit_detour */
    bool locked : 1;
    bool sole : 1;            /* nothing that the instruction does before it can fail, nor does that access memory */
    bool flags_kept : 1;      /* the guest's flags are in jit_flags, not in EFLAGS */
};

_Static_assert(sizeof(struct jit_site) == 40, "there are many of them");

/* Where the interpreter takes over. */
struct jit_bail {
    const struct insn *insn;
    uint64_t block_rip;
};

/* A system call: nothing of it has happened where it bails. */
struct jit_syscall {
    struct jit_bail bail;
    uint64_t next_rip;
};

/* An instruction interpreted in the middle of a block: a copy of it, and what brings us back. */
struct jit_detour {
    struct jit_bail bail;     /* to `insn` */
    struct insn insn;
    struct insn back;         /* insn_jit_resume; imm: where to go on; aux: index of the instruction there; */
                              /* vreg: bits of fpu_slow that must be clear then (`guarded`) */
                              /* reg: guest register expected in r10 then, if any needs to be (`held`) */
    const struct block *block;
};

_Static_assert(sizeof(struct jit_detour) == 88, "there are many of them");

/* What check.h wants to know of an instruction's flags. */
struct jit_flags {
    uint16_t live;            /* matter in front of it */
    uint16_t set, undefined;  /* are by it, for sure and perhaps */
};

/* Where a block's exits may be aimed at other translated blocks. */
struct jit_exit {
    uint64_t rip;             /* where it leads when it is linked */
    struct block_link *link;
    uint32_t rel;             /* place of the jump's displacement; 0: there is none */
    uint32_t unlinked;        /* where it leads to leave for the main loop */
    bool kept;                /* with the flags in jit_flags */
    bool looks;               /* whether the link's context is the one of now, before it goes there */
    bool aimed;               /* at the code of the block that the link leads to */
};

struct jit_exits {
    const struct block *block;
    uint64_t from;            /* home_rip of the block */
    uint64_t granules;        /* of its first page that it relies on besides its own bytes */
    struct jit_entries entry;
    uint32_t moving;          /* so far behind j->run is what depends on the address: jit_move.c */
    uint16_t moving_count;    /* 0: it cannot be moved */
    uint16_t code_bytes;      /* of the block's translation */
    uint8_t exit_count;
    bool vector;              /* has x87, MMX, SSE or AVX instructions */
    struct jit_exit exit[];   /* by link slot */
};

_Static_assert(sizeof(struct jit_exits) == 56, "there are many of them");

/* In front of a struct jit_exits, with check.h only. */
struct jit_checked {
    const struct jit_flags *flags; /* of each instruction, and behind */
    uint64_t count;                /* so often */
};

static inline struct jit_checked *jit_checked_of(struct jit_exits *exits)
{
    return (struct jit_checked *)(void *)exits - 1;
}

/* For the page with most fixed offsets from FS or GS (jit_memory.c). */
struct jit_vote {
    uint32_t page;
    unsigned lead; /* so many more than all others since it was put up */
};

struct translation;

#define JIT_FILL_SIZES 6 /* 1 to 32 bytes */

struct jit {
    uint8_t *run, *write;     /* the two mappings */
    uint8_t *next;            /* free from here, in the writable one, up to `rare` */
    uint8_t *first;           /* behind the common stubs */
    uint8_t *rare, *rare_next; /* the part for what seldom runs, and its free rest */
    uint8_t *data, *data_next; /* sites, detours, exits: plain memory */
    const uint8_t *enter, *leave, *interpret, *slow, *interpret_slot;
    const uint8_t *do_system; /* with the flags in EFLAGS; r11: a struct jit_bail */
    const uint8_t *syscall, *sysret; /* with the flags kept; r11: a struct jit_syscall, jit_bail, */
    const uint8_t *iret[2];   /* jit_bail; by the half of the address space that the code is in */
    const uint8_t *bail[2], *stale[2]; /* by: the flags are kept */
    const uint8_t *exit[2][2]; /* by: the flags are kept, half of the address space that it leads to */
    const uint8_t *fill[TLB_SLOT_FIRST_FREE][2][JIT_FILL_SIZES]; /* by: slot, upper half, log2 of the size */
    size_t code_bytes, data_bytes;
    int perf_map, record;     /* files, or -1 */
    unsigned next_slot;       /* to give out, of x86_cpu.slot[] */
    struct jit_vote vote[2];  /* FS, GS */
    struct jit_detour missed; /* for the instruction of a site, while it is interpreted */
    struct translation *translation; /* of the block in hand */
};

/* What one block may take. Room is kept for an instruction and the way out behind it, and for what
 * each access and guard adds to what seldom runs. */
#define JIT_BLOCK_CODE_MAX (16u << 10)
#define JIT_BLOCK_RARE_MAX (16u << 10)
#define JIT_INSN_CODE_MAX  1024u
#define JIT_RARE_CODE_MAX  128u
#define JIT_RARE_ENDS_MAX  512u
#define JIT_BLOCK_DATA_MAX (28u << 10)

_Static_assert(JIT_BLOCK_CODE_MAX <= UINT16_MAX && JIT_BLOCK_DATA_MAX <= UINT16_MAX, "what records say of them fits");

/* One part in so many of the code memory is for what seldom runs. */
#define JIT_RARE_SHARE 3

/* What runs at a place in code memory. */
static inline const uint8_t *jit_code_at(const struct jit *j, uint32_t place)
{
    return j->run + place;
}

/* Of a block that has been translated, dead or not, or NULL. */
static inline struct jit_exits *jit_exits_of(const struct x86_cpu *c, const struct block *b)
{
    return b->exits ? (struct jit_exits *)(void *)(c->jit->run + b->exits) : NULL;
}

static inline const struct jit_exits *jit_exits_of_site(const struct jit_site *site)
{
    return (const struct jit_exits *)(const void *)((const uint8_t *)site - site->behind);
}

/* Where the translation of a block begins: with one of its entries. What seldom runs is behind what often runs. */
static inline const uint8_t *jit_code_begin(const struct jit *j, const struct jit_exits *exits)
{
    return jit_code_at(j, MIN(exits->entry.kept, exits->entry.flags));
}

#define H_GUEST_RSP H_R12

/* Is guest register g in x86_cpu.reg[] only? r12 is the one of those that compilers keep variables
 * in that they use least. */
static inline bool jit_in_memory(unsigned g)
{
    return g == 10 || g == 11 || g == 12 || g == 15;
}

static inline unsigned jit_host_reg(unsigned g)
{
    return g == X86_RSP ? H_GUEST_RSP : g;
}

/* r15 points into struct x86_cpu, so that a displacement of one byte reaches all of its hot part. */
#define CPU_BIAS 128
#define CPU_OFF(field) ((int32_t)offsetof(struct x86_cpu, field) - CPU_BIAS)
#define REG_OFF(g) (CPU_OFF(reg) + 8 * (int32_t)(g))

/* Of a size that is a power of 2: as a shift. */
#define LOG2_OF(type) ((unsigned)__builtin_ctzl(sizeof(type)))

/* The same as operands, a guest register's place in memory too. */
#define CPU(field)          CPU_BEHIND(field, 0)
#define CPU_BEHIND(field, n) host_mem(H_R15, CPU_OFF(field) + (int32_t)(n))
#define GUEST_REG(g)        host_mem(H_R15, REG_OFF(g))

/* The stubs that all translated code shares, at j->write; sets j->first. */
void jit_emit_stubs(struct x86_cpu *c);
void jit_emit_privilege_stubs(struct x86_cpu *c, struct emit *e); /* those of jit_privilege.c */

/* C half of a TLB miss: 1: go on at c->jit_resume with c->jit_addend; 0: interpret c->jit_insn. */
uint64_t jit_slow(struct x86_cpu *c, struct jit_site *site);

/* Interpret a system instruction that ends its block, by insn_end(). Returns the translation to go on with, or
 * NULL where the main loop has something to do. */
const void *jit_do_system(struct x86_cpu *c, const struct jit_bail *bail);

/* With --jit perf: b, which has just been translated, gets a name. */
void jit_note_for_perf(struct x86_cpu *c, const struct block *b);

insn_fn insn_jit_resume;

#endif
