/* SPDX-License-Identifier: MIT */
/* What the files of mmu/ share: the soft TLBs behind struct tlb_entry, and the page walker. */
#ifndef VZ_CPU_X86_MMU_PRIV_H
#define VZ_CPU_X86_MMU_PRIV_H

#include "cpu/x86/mmu.h"

#define MMU_ASIDS 16 /* address spaces whose translations are kept; direct mapped by PCID */

/* Kinds of access that have TLB tables of their own. */
enum mmu_kind {
    MMU_USER,        /* CPL 3 */
    MMU_SUPER,       /* CPL 0-2, SMAP in force: user pages are out of bounds */
    MMU_SUPER_USER,  /* CPL 0-2, SMAP off or AC set: user pages too */
    MMU_KINDS,
};

/* Filters answer "may this half hold X?" with no false no: a bit per hashed number. A false yes for
 * code costs much: all code of that half is looked up anew. */
#define MMU_CODE_BITS  65536
#define MMU_LARGE_BITS 4096

#define STORED_MANY UINT16_MAX /* in more than one place */

/* One half of one address space. */
struct mmu_space {
    struct tlb_entry *table[MMU_KINDS]; /* TLB_ENTRIES each */
    bool ready[MMU_KINDS];              /* table holds no stale entry: else empty it before use */
    uint64_t generation;                /* code_ctx of this space, without the mode bits */
    uint16_t pcid;                      /* lower halves only */
    bool has_code;                      /* some bit of code[] is set */
    uint64_t code[MMU_CODE_BITS / 64];  /* filter of pages that instructions were fetched from */
    uint64_t large[MMU_LARGE_BITS / 64]; /* and of 4 MiB regions with entries of large pages */
    bool has_1g;                        /* some entry comes from a 1 GiB page */
};

struct mmu {
    struct mmu_space lower[MMU_ASIDS];
    struct mmu_space upper;
    struct mmu_space *current;    /* lower half in use */
    bool upper_has_non_global;
    uint64_t next_generation;
    uint64_t mode_key[3];         /* registers that translation depends on, as last seen */
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
};

/* Walk the page tables for va and access; sets A and D bits. False: *ret_error is the page-fault
 * error code's P and RSVD bits; nothing is raised. Permissions of the access itself (U/S, W, NX)
 * are checked too, as `who` is allowed. */
bool mmu_walk(struct x86_cpu *c, uint64_t va, enum mmu_access access, enum mmu_kind kind,
              struct walk *ret, uint32_t *ret_error) must_check;

/* Host address of RAM at gpa, or NULL; *ret_rom says whether stores are to be dropped. */
uint8_t *mmu_ram(const struct x86_cpu *c, gpa_t gpa, bool *ret_rom);

/* Are the program's accesses checked for alignment (SDM vol. 3, 6.15, #AC)? */
static inline bool mmu_checks_alignment(const struct x86_cpu *c)
{
    return (c->rflags & X86_FLAG_AC) && (c->cr0 & X86_CR0_AM) && c->cpl == 3;
}

enum mmu_kind mmu_kind_now(const struct x86_cpu *c, enum mmu_who who);

/* The table for va and kind, emptied if it was stale. */
struct tlb_entry *mmu_table(struct x86_cpu *c, uint64_t va, enum mmu_kind kind);

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

/* bits is a power of two */
static inline unsigned mmu_filter_hash(unsigned bits, uint64_t n)
{
    return (unsigned)((n ^ (n >> 12) ^ (n >> 24)) & (bits - 1));
}

static inline void mmu_filter_add(uint64_t *filter, unsigned bits, uint64_t n)
{
    filter[mmu_filter_hash(bits, n) / 64] |= BIT(mmu_filter_hash(bits, n) % 64);
}

static inline bool mmu_filter_has(const uint64_t *filter, unsigned bits, uint64_t n)
{
    return filter[mmu_filter_hash(bits, n) / 64] & BIT(mmu_filter_hash(bits, n) % 64);
}

static inline struct mmu_space *mmu_space_of(struct mmu *m, uint64_t va)
{
    return va >> 63 ? &m->upper : m->current;
}

#endif
