/* SPDX-License-Identifier: MIT */
#include "cpu/x86/mmu/tlb_table.h"

/* Do what for each n that has its bit in the words of bits[], which are named by mask. Bits must not
 * be set meanwhile. */
#define FOR_EACH_BIT(n, bits, mask)                                                                \
    for (uint64_t words_ = (mask), word_; words_; words_ &= words_ - 1)                            \
        for (word_ = (bits)[ctz(words_)]; word_; word_ &= word_ - 1)                               \
            for (unsigned once_ = 1, n = ctz(words_) * 64 + ctz(word_); once_; once_ = 0)

static always_inline unsigned ctz(uint64_t v)
{
    return (unsigned)__builtin_ctzll(v);
}

void tlb_table_init(struct tlb_table *t, struct tlb_entry *entry)
{
    *t = (struct tlb_table){.entry = entry, .fresh = true, .stale = true};
}


void tlb_table_empty(struct tlb_table *t)
{
    if (unlikely(t->fresh))
        tlb_entries_init(t->entry);
    FOR_EACH_BIT(n, t->used, t->words)
        tlb_drop(&t->entry[n]);
    for (uint64_t words = t->words; words; words &= words - 1)
        t->used[ctz(words)] = t->large[ctz(words)] = 0;
    t->words = 0;
    t->fresh = t->stale = false;
}

void tlb_table_drop_page(struct tlb_table *t, uint64_t vpn)
{
    struct tlb_entry *e = tlb_table_entry(t, vpn);

    if (!t->stale && tlb_is_about(e, vpn, 0))
        tlb_drop(e);
}

/* The words of used[] with entries of the 2^shift pages around vpn: 512 pages are 8 words. */
static uint64_t words_around(uint64_t vpn, unsigned shift)
{
    unsigned first = (unsigned)((vpn >> shift << shift) & (TLB_ENTRIES - 1)) / 64;

    return shift >= TLB_BITS ? UINT64_MAX : (BIT(1u << (shift - 6)) - 1) << first;
}

void tlb_table_drop_large(struct tlb_table *t, uint64_t vpn, unsigned shift)
{
    if (t->stale)
        return;
    FOR_EACH_BIT(n, t->large, t->words & words_around(vpn, shift)) {
        if (!tlb_is_about(&t->entry[n], vpn, shift))
            continue;
        tlb_drop(&t->entry[n]);
        t->large[n / 64] &= ~BIT(n % 64);
    }
}

void tlb_table_protect_at(struct tlb_table *t, const uint8_t *host, unsigned place)
{
    struct tlb_entry *e = &t->entry[place];

    if (!t->stale && e->write != TLB_NO_TAG &&
        (const uint8_t *)(uintptr_t)(e->write + e->addend) == host)
        e->write = TLB_NO_TAG;
}

void tlb_table_protect(struct tlb_table *t, const uint8_t *host)
{
    if (t->stale)
        return;
    FOR_EACH_BIT(n, t->used, t->words)
        tlb_table_protect_at(t, host, n);
}

void tlb_table_protect_all(struct tlb_table *t)
{
    if (t->stale)
        return;
    FOR_EACH_BIT(n, t->used, t->words)
        t->entry[n].write = TLB_NO_TAG;
}
