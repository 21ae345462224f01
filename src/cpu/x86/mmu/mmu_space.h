/* SPDX-License-Identifier: MIT */
/* What the files of mmu/ share: the soft TLBs behind struct tlb_entry, and the page walker. */
#ifndef VZ_CPU_X86_MMU_SPACE_H
#define VZ_CPU_X86_MMU_SPACE_H

#include "cpu/x86/fpu/fpu.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/mmu/tlb_table.h"

#define MMU_ASIDS 16 /* address spaces whose translations are kept; direct mapped by PCID */

/* Kinds of access that have TLB tables of their own. */
enum mmu_kind {
    MMU_USER,        /* CPL 3 */
    MMU_SUPER,       /* CPL 0-2, SMAP in force: user pages are out of bounds */
    MMU_SUPER_USER,  /* CPL 0-2, SMAP off or AC set: user pages too */
    MMU_KINDS,
};

#define STORED_MANY UINT16_MAX /* in more than one place */

/* Filters answer "may this half hold X?" with no false no: a bit per hashed number. A false yes costs
 * much: all code of that half is looked up anew. words has a bit for each word that is not 0. */
#define MMU_FILTER_WORDS 1024u

struct mmu_filter {
    uint64_t words[MMU_FILTER_WORDS / 64];
    uint64_t bits[MMU_FILTER_WORDS];
};

/* One half of one address space. */
struct mmu_space {
    struct tlb_table table[MMU_KINDS];
    uint64_t generation;       /* code_ctx of this space, without the mode bits */
    uint16_t pcid;             /* lower halves only */
    struct mmu_filter code;    /* mmu_filter_number() of pages that instructions were fetched from */
    bool has_large, has_1g;    /* some entry may come from a page of 2 MiB or more, of 1 GiB */
};

struct mmu {
    struct mmu_space lower[MMU_ASIDS];
    struct mmu_space upper;
    struct mmu_space *current;    /* lower half in use */
    uint32_t lower_used;          /* bits of those that may hold anything; the others are empty */
    bool upper_has_non_global;
    bool unprotected;             /* a write tag may rely on CR0.WP being clear */
    uint64_t next_generation;
    uint64_t mode_key[2];         /* registers that translation depends on, as last seen */
    uint64_t legacy_cs_base;
    struct tlb_entry *tables;     /* one mapping for all of them */
    struct tlb_entry *nothing;    /* a table that never holds anything: every access is slow */
    uint16_t *stored;             /* per page of RAM: place in its table + 1 of the entries with a
                                     write tag for it, or STORED_MANY; NULL for foreign RAM */
    size_t stored_bytes;
};

/* A page's translation. */
struct walk {
    gpa_t gpa;           /* of the byte asked for */
    bool user, writable, executable, dirty, global;
    uint8_t level;       /* 1: 4 KiB, 2: 2 or 4 MiB, 3: 1 GiB */
    const struct mem_region *near; /* of the table that maps it, or NULL: where to look for the page first */
};

/* Walk the page tables for va and access; sets A and D bits. False: *ret_error is the page-fault
 * error code's P and RSVD bits; nothing is raised. Permissions of the access itself (U/S, W, NX)
 * are checked too, as `who` is allowed. */
bool mmu_walk(struct x86_cpu *c, uint64_t va, enum mmu_access access, enum mmu_kind kind,
              struct walk *ret, uint32_t *ret_error) must_check;

/* The memory that this CPU has at gpa now, or NULL. */
const struct mem_region *mmu_region(const struct x86_cpu *c, gpa_t gpa);
/* The same where it is likely that all is in one region: near is the one of what was looked for before, or NULL. */
static inline const struct mem_region *mmu_region_near(const struct x86_cpu *c, gpa_t gpa, const struct mem_region *near)
{
    return likely(near && gpa - near->gpa < near->len && !mem_hides(c->vm->mem)) ? near : mmu_region(c, gpa);
}
/* Host address of RAM at gpa, or NULL; *ret_rom says whether stores are to be dropped. */
uint8_t *mmu_ram(const struct x86_cpu *c, gpa_t gpa, bool *ret_rom);

/* The page of RAM at host is about to be stored to: ask for it (mem.h). */
static inline void mmu_own(struct x86_cpu *c, const uint8_t *host)
{
    if (likely(mem_may_store(c->vm->mem, host)))
        return;
    fpu_park(c);
    mem_own(c->vm->mem, host, 1);
}

/* Are the program's accesses checked for alignment (SDM vol. 3, 6.15, #AC)? */
static inline bool mmu_checks_alignment(const struct x86_cpu *c)
{
    return (c->rflags & X86_FLAG_AC) && (c->cr0 & X86_CR0_AM) && c->cpl == 3;
}

enum mmu_kind mmu_kind_now(const struct x86_cpu *c, enum mmu_who who);

/* The table for va and kind, ready for use. */
struct tlb_table *mmu_table(struct x86_cpu *c, uint64_t va, enum mmu_kind kind);

/* What an access found out. host is NULL for MMIO. */
struct xlat {
    uint8_t *host;
    gpa_t gpa;
    bool plain; /* MMU_WRITE: the store needs no more than a store (no code, no ROM) */
    bool rom;   /* stores are dropped */
};

/* Translate for an access that stays within one page, through the TLB; fills the TLB. With raise,
 * records the page fault; without, fails silently. */
bool mmu_translate(struct x86_cpu *c, uint64_t va, enum mmu_access access, enum mmu_who who,
                   bool raise, struct xlat *ret) must_check;

/* Point the CPU at the tables and contexts of now. */
void mmu_select_tables(struct x86_cpu *c);

/* ---- filters ---- */

static inline unsigned mmu_filter_bit(uint64_t number)
{
    return (unsigned)((number ^ (number >> 12) ^ (number >> 24)) & (MMU_FILTER_WORDS * 64 - 1));
}

static inline void mmu_filter_add(struct mmu_filter *f, uint64_t number)
{
    unsigned bit = mmu_filter_bit(number), word = bit / 64;

    f->bits[word] |= BIT(bit % 64);
    f->words[word / 64] |= BIT(word % 64);
}

static inline bool mmu_filter_has(const struct mmu_filter *f, uint64_t number)
{
    unsigned bit = mmu_filter_bit(number);

    return f->bits[bit / 64] & BIT(bit % 64);
}

/* The numbers by which mmu_space.code knows a page, and the large ones of level 2 and 3 that it may be
 * a piece of. */
static inline uint64_t mmu_filter_number(uint64_t vpn, unsigned level)
{
    return level == 1 ? vpn : level == 2 ? ~(vpn >> 10) : ~(vpn >> 18) ^ 0x5555;
}

/* ---- spaces ---- */

static inline void mmu_use_space(struct mmu *m, struct mmu_space *lower)
{
    m->current = lower;
    m->lower_used |= 1u << (lower - m->lower);
}

/* Where write tags for the page may be: see mmu.stored. */
static inline uint16_t *mmu_stored_at(const struct x86_cpu *c, const uint8_t *host)
{
    return c->mmu->stored
               ? &c->mmu->stored[(uint64_t)(host - c->vm->mem->base) >> MEM_PAGE_SHIFT]
               : NULL;
}

static inline struct mmu_space *mmu_space_of(struct mmu *m, uint64_t va)
{
    return va >> 63 ? &m->upper : m->current;
}

#endif
