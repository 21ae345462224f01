/* SPDX-License-Identifier: MIT */
/* Every kind of invalidation of the soft TLBs. SDM vol. 3, 4.10.4. */
#include "cpu/x86/engine.h"
#include "cpu/x86/mmu/mmu_space.h"

static void empty_filter(struct mmu_filter *f)
{
    for (unsigned n = 0; n < ARRAY_SIZE(f->words); n++) {
        for (uint64_t words = f->words[n]; words; words &= words - 1)
            f->bits[n * 64 + (unsigned)__builtin_ctzll(words)] = 0;
        f->words[n] = 0;
    }
}

/* Forget everything about a half. The tables in use now must be selected again afterwards. */
static void flush_space(struct x86_cpu *c, struct mmu_space *s)
{
    for (unsigned kind = 0; kind < MMU_KINDS; kind++)
        tlb_table_forget(&s->table[kind]);
    s->generation = ++c->mmu->next_generation;
    empty_filter(&s->code);
    s->has_large = s->has_1g = false;
    c->count.tlb_flushes++;
}

static void flush_upper_non_global(struct x86_cpu *c)
{
    if (!c->mmu->upper_has_non_global)
        return;
    c->mmu->upper_has_non_global = false;
    flush_space(c, &c->mmu->upper);
}

static void flush_lower_all(struct x86_cpu *c)
{
    struct mmu *m = c->mmu;

    for (uint32_t used = m->lower_used; used; used &= used - 1)
        flush_space(c, &m->lower[__builtin_ctz(used)]);
    m->lower_used = 0;
    mmu_use_space(m, m->current);
}

static void tell(struct x86_cpu *c, int kind, uint16_t pcid, uint64_t va)
{
    x86_mappings_gone(c, &(struct x86_gone){.kind = kind, .pcid = pcid, .va = va});
}

static void flush_everything(struct x86_cpu *c)
{
    tell(c, X86_GONE_ALL, 0, 0);
    flush_lower_all(c);
    flush_space(c, &c->mmu->upper);
    c->mmu->upper_has_non_global = c->mmu->unprotected = false;
}

void mmu_flush_all(struct x86_cpu *c)
{
    flush_everything(c);
    mmu_select_tables(c);
}

void mmu_flush_non_global(struct x86_cpu *c)
{
    tell(c, X86_GONE_NON_GLOBAL, 0, 0);
    flush_lower_all(c);
    flush_upper_non_global(c);
    mmu_select_tables(c);
}

void mmu_flush_pcid(struct x86_cpu *c, uint16_t pcid)
{
    struct mmu_space *s = &c->mmu->lower[pcid % MMU_ASIDS];

    tell(c, X86_GONE_PCID, pcid, 0);
    if (s->pcid == pcid)
        flush_space(c, s);
    flush_upper_non_global(c);
    mmu_select_tables(c);
}

void mmu_cr3_written(struct x86_cpu *c, uint64_t value, bool keep)
{
    struct mmu *m = c->mmu;
    uint16_t pcid = c->cr4 & X86_CR4_PCIDE ? value & X86_CR3_PCID : 0;
    struct mmu_space *s = &m->lower[pcid % MMU_ASIDS];

    if (!keep)
        tell(c, X86_GONE_PCID, pcid, 0);
    c->cr3 = value & ~X86_CR3_NOFLUSH;
    c->user_ends |= x86_has_foreign_engine(c->vm);
    if (!keep || s->pcid != pcid)
        flush_space(c, s);
    s->pcid = pcid;
    mmu_use_space(m, s);
    flush_upper_non_global(c);
    mmu_select_tables(c);
}

void mmu_privilege_changed(struct x86_cpu *c)
{
    mmu_select_tables(c);
}

/* CR0.WP was set: what may be written only without it may not any more. Clearing it needs nothing,
 * since a missing tag is only a walk. So kernels that patch their code with WP off pay for little. */
static void protect_again(struct mmu *m)
{
    for (unsigned kind = MMU_SUPER; kind < MMU_KINDS; kind++) {
        for (uint32_t used = m->lower_used; used; used &= used - 1)
            tlb_table_protect_all(&m->lower[__builtin_ctz(used)].table[kind]);
        tlb_table_protect_all(&m->upper.table[kind]);
    }
    m->unprotected = false;
}

void mmu_mode_changed(struct x86_cpu *c)
{
    struct mmu *m = c->mmu;
    uint64_t key[2] = {
        (c->cr0 & (X86_CR0_PG | X86_CR0_PE)) | (c->efer << 32),
        c->cr4 & (X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PCIDE | X86_CR4_SMEP |
                  X86_CR4_SMAP),
    };

    if (key[0] != m->mode_key[0] || key[1] != m->mode_key[1]) {
        uint16_t pcid = c->cr4 & X86_CR4_PCIDE ? c->cr3 & X86_CR3_PCID : 0;

        m->mode_key[0] = key[0];
        m->mode_key[1] = key[1];
        mmu_use_space(m, &m->lower[pcid % MMU_ASIDS]);
        flush_everything(c);
        m->current->pcid = pcid;
    } else if (m->unprotected && (c->cr0 & X86_CR0_WP)) {
        protect_again(m);
    }
    /* Blocks are looked up by offset, not by linear address: a moved CS makes all of them stale. */
    if (m->legacy_cs_base != c->seg[X86_CS].base) {
        m->legacy_cs_base = c->seg[X86_CS].base;
        m->current->generation = ++m->next_generation;
        m->upper.generation = ++m->next_generation;
    }
    mmu_select_tables(c);
}

/* ---- single pages ---- */

/* 4 MiB in 32-bit paging without PAE, else 2 */
static unsigned large_shift(const struct x86_cpu *c)
{
    return in_long_mode(c) || (c->cr4 & X86_CR4_PAE) ? 9 : 10;
}

static void drop_page(struct x86_cpu *c, struct mmu_space *s, uint64_t vpn)
{
    for (unsigned kind = 0; kind < MMU_KINDS; kind++) {
        struct tlb_table *t = &s->table[kind];

        tlb_table_drop_page(t, vpn);
        if (s->has_large)
            tlb_table_drop_large(t, vpn, s->has_1g ? 18 : large_shift(c));
    }
}

static bool may_have_code(const struct mmu_space *s, uint64_t vpn)
{
    for (unsigned level = 1; level <= (s->has_1g ? 3 : s->has_large ? 2 : 1); level++)
        if (mmu_filter_has(&s->code, mmu_filter_number(vpn, level)))
            return true;
    return false;
}

static void flush_page_of(struct x86_cpu *c, struct mmu_space *s, uint64_t va)
{
    uint64_t vpn = va >> 12;

    drop_page(c, s, vpn);
    if (may_have_code(s, vpn)) {
        s->generation = ++c->mmu->next_generation;
        if (s == c->mmu->current || s == &c->mmu->upper)
            mmu_select_tables(c);
    }
}

void mmu_flush_page(struct x86_cpu *c, uint64_t va)
{
    if (!in_long_mode(c))
        va = (uint32_t)va;
    tell(c, X86_GONE_PAGE, c->mmu->current->pcid, va);
    flush_page_of(c, mmu_space_of(c->mmu, va), va);
}

void mmu_flush_pcid_page(struct x86_cpu *c, uint16_t pcid, uint64_t va)
{
    struct mmu_space *s = va >> 63 ? &c->mmu->upper : &c->mmu->lower[pcid % MMU_ASIDS];

    tell(c, X86_GONE_PAGE, pcid, va);
    if (va >> 63 || s->pcid == pcid)
        flush_page_of(c, s, va);
}

/* Drop write tags for the page; place: of where they are at most, or -1: anywhere. */
static void protect_in(struct mmu_space *s, const uint8_t *page, int place)
{
    for (unsigned kind = 0; kind < MMU_KINDS; kind++)
        if (place < 0)
            tlb_table_protect(&s->table[kind], page);
        else
            tlb_table_protect_at(&s->table[kind], page, (unsigned)place);
}

void mmu_protect_page(struct x86_cpu *c, const uint8_t *host)
{
    const uint8_t *page = mem_page_of(host);
    uint16_t *stored = mmu_stored_at(c, host);
    bool anywhere = !stored || c->check || *stored == STORED_MANY;

    if (anywhere || *stored) {
        int place = anywhere ? -1 : *stored - 1;

        for (uint32_t used = c->mmu->lower_used; used; used &= used - 1)
            protect_in(&c->mmu->lower[__builtin_ctz(used)], page, place);
        protect_in(&c->mmu->upper, page, place);
    }
    if (stored)
        *stored = 0;
}
