/* SPDX-License-Identifier: MIT */
/* One table of the soft TLB (tlb.h), and which of its entries are in use, so that emptying it costs
 * what was filled and not what would fit: kernels without PCIDs do it at every switch.
 *
 * Whoever sets a tag in an entry that may have none takes it by tlb_table_take(); so the bits may say
 * too much, but never too little. */
#ifndef VZ_CPU_X86_TLB_TABLE_H
#define VZ_CPU_X86_TLB_TABLE_H

#include "cpu/x86/tlb.h"

#define TLB_WORDS (TLB_ENTRIES / 64)

struct tlb_table {
    struct tlb_entry *entry;    /* TLB_ENTRIES of them */
    bool fresh;                 /* not written yet: the host's zeros */
    bool stale;                 /* to be emptied before it is used */
    uint64_t words;             /* those of used[] that are not 0 */
    uint64_t used[TLB_WORDS];   /* entries that may have a tag */
    uint64_t large[TLB_WORDS];  /* those of them that are pieces of a page of 2 MiB or more */
};

_Static_assert(TLB_WORDS <= 64, "words has a bit for each");

static always_inline struct tlb_entry *tlb_table_entry(const struct tlb_table *t, uint64_t vpn)
{
    return &t->entry[vpn & (TLB_ENTRIES - 1)];
}

static always_inline void tlb_drop(struct tlb_entry *e)
{
    e->read = e->write = e->exec = TLB_NO_TAG;
}

/* Of zeroed memory make a table that holds nothing, and touch as little as can be: 0 is the tag of page 0, which is
 * looked for in the first entry only, or in the last by an access that runs on there from the end of the address
 * space. */
static always_inline void tlb_entries_init(struct tlb_entry *entry)
{
    tlb_drop(&entry[0]);
    tlb_drop(&entry[TLB_ENTRIES - 1]);
}

/* Is one of its tags for a page among the 2^shift pages around vpn? */
static always_inline bool tlb_is_about(const struct tlb_entry *e, uint64_t vpn, unsigned shift)
{
    return (e->read != TLB_NO_TAG && e->read >> (12 + shift) == vpn >> shift) ||
           (e->write != TLB_NO_TAG && e->write >> (12 + shift) == vpn >> shift) ||
           (e->exec != TLB_NO_TAG && e->exec >> (12 + shift) == vpn >> shift);
}

/* The entry for page vpn, for a tag to be set in it; tags that it has stay if they are for the same
 * page and addend. */
static always_inline struct tlb_entry *tlb_table_take(struct tlb_table *t, uint64_t vpn,
                                                      uint64_t addend, bool large)
{
    struct tlb_entry *e = tlb_table_entry(t, vpn);
    unsigned n = vpn & (TLB_ENTRIES - 1);

    if (!tlb_is_about(e, vpn, 0) || e->addend != addend) {
        tlb_drop(e);
        t->large[n / 64] &= ~BIT(n % 64);
    }
    e->addend = addend;
    t->used[n / 64] |= BIT(n % 64);
    t->words |= BIT(n / 64);
    if (large)
        t->large[n / 64] |= BIT(n % 64);
    return e;
}

/* entry: TLB_ENTRIES of zeroed memory. */
void tlb_table_init(struct tlb_table *t, struct tlb_entry *entry);

/* What it holds is not true any more; it is not in use before tlb_table_ready(). */
static always_inline void tlb_table_forget(struct tlb_table *t)
{
    t->stale |= t->words != 0;
}

void tlb_table_empty(struct tlb_table *t);

/* Empty it if it has to be. */
static always_inline struct tlb_table *tlb_table_ready(struct tlb_table *t)
{
    if (unlikely(t->stale))
        tlb_table_empty(t);
    return t;
}

/* Drop the entry of page vpn, if there is one. */
void tlb_table_drop_page(struct tlb_table *t, uint64_t vpn);

/* Drop all pieces of pages of 2 MiB or more in the 2^shift pages around vpn; shift is 9 at least. */
void tlb_table_drop_large(struct tlb_table *t, uint64_t vpn, unsigned shift);

/* Drop the write tags of entries whose page is at host: of all, or of the one at place. */
void tlb_table_protect(struct tlb_table *t, const uint8_t *host);
void tlb_table_protect_at(struct tlb_table *t, const uint8_t *host, unsigned place);

/* Drop all write tags. */
void tlb_table_protect_all(struct tlb_table *t);

#endif
