/* SPDX-License-Identifier: MIT */
/* What mappings.c holds the CPU to: which translations of an address may be in use, by the page
 * tables as they are and by what has not been flushed since they were otherwise. SDM vol. 3, 4.10.
 *
 * There are SPACES top-level tables. In each, user addresses lie in SLOTS of its entries; the last
 * slot is the same tables in all. A slot has REGIONS of 2 MiB, each a large page or a table, and of
 * each region PAGES are looked at: together VAS addresses, which is what `v` is an index of. */
#ifndef VZ_TESTS_GUEST_MAPPINGS_MODEL_H
#define VZ_TESTS_GUEST_MAPPINGS_MODEL_H

#include "user.h"

enum {
    SPACES = 4,
    PCIDS = 6,
    CPUS = 2,
    SLOTS = 3,
    SHARED_SLOT = SLOTS - 1, /* here pages may be global */
    REGIONS = 3,
    PAGES = 6,
    PER_SLOT = REGIONS * PAGES,
    VAS = SLOTS * PER_SLOT,
    AREAS = (SLOTS - 1) * SPACES + 1,
    CHUNKS = 4,             /* of 2 MiB, to be mapped by large pages */
    POOL = CHUNKS * PAGES + 8, /* pages that can be mapped */
    STALE = 6,
};

#define PTE_P    UINT64_C(1)
#define PTE_W    UINT64_C(2)
#define PTE_U    UINT64_C(4)
#define PTE_A    UINT64_C(0x20)
#define PTE_D    UINT64_C(0x40)
#define PTE_PS   UINT64_C(0x80)
#define PTE_G    UINT64_C(0x100)
#define PTE_NX   (UINT64_C(1) << 63)
#define PTE_ADDR UINT64_C(0xffffffffff000)

/* A whole translation: rights of all levels together, and which page of the pool; 0: none. */
typedef uint16_t xlat;
enum { X_P = 1, X_W = 2, X_U = 4, X_NX = 8, X_RESERVED = 16, X_LARGE = 32, X_G = 64, X_PAGE = 8 };

struct stale {
    uint8_t count;
    xlat x[STALE];
};

/* What one CPU may have cached. */
struct tlb_model {
    unsigned space, pcid;                 /* what CR3 says */
    struct stale of_pcid[PCIDS][VAS], global[VAS];
    uint8_t used[PCIDS];                  /* bits: spaces that were active with this PCID since it was flushed */
    uint16_t upper[PCIDS];                /* bits: regions below entries that have changed since */
};

/* What a page-table entry for a page must say when asked. */
struct leaf {
    uint64_t *entry;
    bool must_a, must_d, may_d;
};

extern uint64_t *roots[SPACES];
extern struct tlb_model tlb[CPUS];
extern unsigned cpus, pcids; /* in use */
extern uint64_t reserved_bit; /* in a page's entry; 0 when this CPU has none */

void model_create(uint64_t *seed);
uint64_t va_of(unsigned v);
/* The one behind v, or VAS. */
unsigned next_va(unsigned v);
uint8_t *pool_page(unsigned n); /* as the kernel sees it */

xlat walk(unsigned space, unsigned v);
struct leaf *leaf_of(unsigned space, unsigned v); /* NULL: no table or page there */
/* All translations that may be used now: at most max. */
unsigned possible(unsigned cpu, unsigned v, xlat *x, unsigned max);
static inline bool reaches_page(xlat x)
{
    return (x & (X_P | X_RESERVED)) == X_P;
}

/* One random change of the page tables, noted as to be flushed. Returns the range it may concern,
 * as first and last v. Needs nothing_is_stale_above() to hold: mappings.c sees to it. */
struct range {
    unsigned first, last;
};
struct range change(uint64_t *seed, unsigned favourite);
bool has_stale(unsigned cpu, unsigned first, unsigned last);
bool is_upper_stale(void);
bool is_nearly_full(void);

/* What a flush has done. */
void flushed_pcid(unsigned cpu, unsigned pcid);
void flushed_page(unsigned cpu, unsigned pcid, unsigned v, bool invlpg);
void flushed_all(unsigned cpu, bool global_too);
void switched(unsigned cpu, unsigned space, unsigned pcid, bool keep);

#endif
