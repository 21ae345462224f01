/* SPDX-License-Identifier: MIT */
/* The soft TLBs: which table serves which access, and filling. What empties them is in flush.c. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/pages.h"
#include "cpu/x86/block.h"
#include "cpu/x86/jit/check.h"
#include "cpu/x86/mmu/mmu_space.h"
#include "cpu/x86/smc.h"

#define TABLE_COUNT  ((MMU_ASIDS + 1) * MMU_KINDS + 1)
#define TABLES_BYTES (TABLE_COUNT * TLB_ENTRIES * sizeof(struct tlb_entry))
#define HUGE_BYTES   PAGES_HUGE /* the upper half's and the first address spaces' */

/* Mode bits of code_ctx: what else the same bytes at the same address depend on. */
#define CTX_MODE_BITS 5

/* NULL is no error: then all entries are looked at. */
static uint16_t *map_stored(const struct mem *mem, size_t *ret_bytes)
{
    void *p;

    if (!mem->code)
        return NULL;
    *ret_bytes = (size_t)(mem->capacity >> MEM_PAGE_SHIFT) * sizeof(uint16_t);
    p = mmap(NULL, *ret_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
             0);
    return p == MAP_FAILED ? NULL : p;
}

/* In the order in which their tables lie in memory: all programs of a guest use the first. */
static struct mmu_space *space_number(struct mmu *m, unsigned n)
{
    return n ? &m->lower[n - 1] : &m->upper;
}

/* Their memory is zeroed. */
static void init_tables(struct mmu *m)
{
    for (unsigned n = 0; n <= MMU_ASIDS; n++)
        for (unsigned kind = 0; kind < MMU_KINDS; kind++)
            tlb_table_init(&space_number(m, n)->table[kind], m->tables + (n * MMU_KINDS + kind) * TLB_ENTRIES);
}

int mmu_create(struct x86_cpu *c)
{
    struct mmu *m = calloc(1, sizeof(*m));
    struct tlb_entry *t;

    if (!m)
        return -ENOMEM;
    t = pages_reserve(TABLES_BYTES);
    if (!t) {
        free(m);
        return -ENOMEM;
    }
    m->tables = t;
    m->stored = map_stored(c->vm->mem, &m->stored_bytes);
    m->nothing = t + (TABLE_COUNT - 1) * TLB_ENTRIES;
    init_tables(m);
    for (unsigned n = 0; n <= MMU_ASIDS; n++)
        space_number(m, n)->generation = ++m->next_generation;
    mmu_use_space(m, &m->lower[0]);
    m->mode_key[0] = UINT64_MAX;
    c->mmu = m;
    c->slots_used = true;
    mmu_empty_slots(c);
    return 0;
}

void mmu_destroy(struct x86_cpu *c)
{
    if (!c->mmu)
        return;
    pages_unmap(c->mmu->tables, TABLES_BYTES);
    if (c->mmu->stored)
        munmap(c->mmu->stored, c->mmu->stored_bytes);
    free(c->mmu);
    c->mmu = NULL;
}

void mmu_use_huge_pages(struct x86_cpu *c)
{
    pages_use_huge(c->mmu->tables, HUGE_BYTES);
}

/* Nothing that anybody was told of changes, so nobody is told. */
void mmu_give_back(struct x86_cpu *c)
{
    struct mmu *m = c->mmu;

    pages_give_back(m->tables, TABLES_BYTES);
    if (m->stored)
        (void)madvise(m->stored, m->stored_bytes, MADV_DONTNEED);
    init_tables(m);
    mmu_select_tables(c);
}

enum mmu_kind mmu_kind_now(const struct x86_cpu *c, enum mmu_who who)
{
    if (who == MMU_CURRENT && c->cpl == 3)
        return MMU_USER;
    if (!(c->cr4 & X86_CR4_SMAP))
        return MMU_SUPER_USER;
    return who == MMU_CURRENT && (c->rflags & X86_FLAG_AC) ? MMU_SUPER_USER : MMU_SUPER;
}

struct tlb_table *mmu_table(struct x86_cpu *c, uint64_t va, enum mmu_kind kind)
{
    return tlb_table_ready(&mmu_space_of(c->mmu, va)->table[kind]);
}

/* Few guests ever ask for it, so it takes no memory before. */
static struct tlb_entry *empty_table(struct mmu *m)
{
    if (m->nothing->read != TLB_NO_TAG)
        tlb_entries_init(m->nothing);
    return m->nothing;
}

static always_inline void ready_tables(struct x86_cpu *c, unsigned who, enum mmu_kind kind)
{
    c->tlb_for[who][0] = tlb_table_ready(&c->mmu->current->table[kind])->entry;
    c->tlb_for[who][1] = tlb_table_ready(&c->mmu->upper.table[kind])->entry;
}

void mmu_select_tables(struct x86_cpu *c)
{
    struct mmu *m = c->mmu;
    uint64_t mode = block_mode(c) | (c->cpl == 3 ? CODE_CTX_USER : 0);
    unsigned who = c->cpl == 3                   ? TLB_FOR_USER
                   : c->rflags & X86_FLAG_AC ? TLB_FOR_KERNEL_AC
                                                 : TLB_FOR_KERNEL;

    mmu_empty_slots(c);
    block_use_space(c, (unsigned)(m->current - m->lower));
    ready_tables(c, TLB_FOR_USER, MMU_USER);
    ready_tables(c, TLB_FOR_KERNEL, c->cr4 & X86_CR4_SMAP ? MMU_SUPER : MMU_SUPER_USER);
    ready_tables(c, TLB_FOR_KERNEL_AC, MMU_SUPER_USER);
    c->tlb[0] = c->tlb_for[who][0];
    c->tlb[1] = c->tlb_for[who][1];
    if (unlikely(mmu_checks_alignment(c)))
        c->tlb[0] = c->tlb[1] = empty_table(m);
    c->code_ctx[0] = m->current->generation << CTX_MODE_BITS | mode;
    c->code_ctx[1] = m->upper.generation << CTX_MODE_BITS | mode;
}

/* ---- filling ---- */

/* Pages with an armed data breakpoint stay out of the TLB, so that every access is looked at. */
static bool page_is_watched(const struct x86_cpu *c, uint64_t va)
{
    if (likely(!(c->dr7 & 0xff)))
        return false;
    for (unsigned n = 0; n < 4; n++)
        if ((c->dr7 >> (2 * n) & 3) && (c->dr7 >> (16 + 4 * n) & 3) && c->dr[n] >> 12 == va >> 12)
            return true;
    return false;
}

/* How stores may be done. */
enum stores { STORES_NO, STORES_TELL, STORES_PLAIN };

static void set_write_tag(struct x86_cpu *c, struct tlb_entry *e, uint64_t va,
                          enum mmu_access access, uint8_t *host, enum stores stores)
{
    uint16_t place = (uint16_t)(1 + (va >> MEM_PAGE_SHIFT & (TLB_ENTRIES - 1)));
    uint16_t *stored = stores == STORES_PLAIN ? mmu_stored_at(c, host) : NULL;

    if (stored && *stored != place)
        *stored = *stored ? STORED_MANY : place;
    if (stores == STORES_TELL)
        e->write = tlb_page(va) | TLB_CODE;
    else if (stores == STORES_PLAIN && (likely(!c->check) || jit_check_tag(c, e, access, host)))
        e->write = tlb_page(va);
}

/* Write tags are given for writable dirty pages on the first read already, but never to ROM and
 * MMIO, and not before somebody has asked for the page: a read does not. */
static void fill(struct x86_cpu *c, uint64_t va, enum mmu_access access, enum mmu_kind kind,
                 const struct walk *w, uint8_t *host, enum stores stores)
{
    struct mmu_space *s = mmu_space_of(c->mmu, va);
    struct tlb_table *t = tlb_table_ready(&s->table[kind]);
    struct tlb_entry *e =
        tlb_table_take(t, va >> 12, (uint64_t)(uintptr_t)host - va, w->level > 1);

    if (access == MMU_EXEC)
        e->exec = tlb_page(va);
    else
        e->read = tlb_page(va);
    set_write_tag(c, e, va, access, host, stores);
    s->has_large |= w->level > 1;
    s->has_1g |= w->level > 2;
    if (access == MMU_EXEC && w->level > 1)
        mmu_filter_add(&s->code, mmu_filter_number(va >> 12, w->level));
    if (stores != STORES_NO && !w->writable)
        c->mmu->unprotected = true;
    if (!w->global && s == &c->mmu->upper)
        c->mmu->upper_has_non_global = true;
}

static enum stores stores_to(const struct x86_cpu *c, const uint8_t *host)
{
    return smc_allows_plain_stores(c, host) ? STORES_PLAIN : STORES_TELL;
}

static enum stores stores_after(struct x86_cpu *c, enum mmu_access access, enum mmu_kind kind,
                                const struct walk *w, const uint8_t *host, bool rom)
{
    bool writable = w->writable || (kind != MMU_USER && !(c->cr0 & X86_CR0_WP));

    if (!host || rom || !(access == MMU_WRITE || (access == MMU_READ && w->dirty && writable)))
        return STORES_NO;
    if (access == MMU_WRITE)
        mmu_own(c, host);
    else if (unlikely(!mem_may_store(c->vm->mem, host)))
        return STORES_NO;
    return stores_to(c, host);
}

/* A store to a page that had code when the tag was set: no need to walk. */
static void find_code_page(struct x86_cpu *c, struct tlb_entry *e, uint64_t va, struct xlat *ret)
{
    enum stores stores;

    ret->host = (uint8_t *)(uintptr_t)(va + e->addend);
    ret->gpa = UINT64_MAX;
    ret->rom = false;
    stores = stores_to(c, ret->host);
    ret->plain = stores == STORES_PLAIN;
    set_write_tag(c, e, va, MMU_WRITE, ret->host, stores);
}

static void raise_page_fault(struct x86_cpu *c, uint64_t va, enum mmu_access access,
                             enum mmu_kind kind, uint32_t error)
{
    c->cr2 = va;
    if (access == MMU_WRITE)
        error |= X86_PF_W;
    if (kind == MMU_USER)
        error |= X86_PF_U;
    if (access == MMU_EXEC && ((c->cr4 & X86_CR4_SMEP) ||
                               ((c->cr4 & X86_CR4_PAE) && (c->efer & X86_EFER_NXE))))
        error |= X86_PF_I;
    cpu_raise(c, X86_PF, true, error);
}

static bool tlb_has(const struct tlb_entry *e, uint64_t va, enum mmu_access access)
{
    return tlb_page(va) == (access == MMU_READ ? e->read : access == MMU_WRITE ? e->write : e->exec);
}

static bool translate(struct x86_cpu *c, uint64_t va, enum mmu_access access, enum mmu_who who,
                      bool raise, struct xlat *ret)
{
    enum mmu_kind kind = mmu_kind_now(c, who);
    struct tlb_entry *e = tlb_table_entry(mmu_table(c, va, kind), va >> 12);
    const struct mem_region *region;
    struct walk w;
    uint32_t error;
    bool rom;
    enum stores stores;

    if (likely(tlb_has(e, va, access))) {
        ret->host = (uint8_t *)(uintptr_t)(va + e->addend);
        ret->gpa = UINT64_MAX; /* nobody needs it for plain RAM */
        ret->plain = true;
        ret->rom = false;
        return true;
    }
    if (access == MMU_WRITE && e->write == (tlb_page(va) | TLB_CODE)) {
        find_code_page(c, e, va, ret);
        return true;
    }
    c->count.tlb_misses++;
    if (!mmu_walk(c, va, access, kind, &w, &error)) {
        if (raise)
            raise_page_fault(c, va, access, kind, error);
        return false;
    }
    region = mmu_region_near(c, w.gpa, w.near);
    rom = region && region->rom;
    ret->gpa = w.gpa;
    ret->host = region ? region->host + (w.gpa - region->gpa) : NULL;
    ret->rom = rom;
    if (unlikely(c->io_retry && raise && (!ret->host || (rom && access == MMU_WRITE)))) {
        c->fault.pending = c->io_step = true;
        return false;
    }
    stores = stores_after(c, access, kind, &w, ret->host, rom);
    ret->plain = stores == STORES_PLAIN;
    if (ret->host && !page_is_watched(c, va))
        fill(c, va, access, kind, &w, ret->host, stores);
    return true;
}

/* Code in MMIO space: no machine we model has it, so the guest gets an exception; whoever embeds
 * the CPU is told. */
static cold bool fetch_outside_ram(struct x86_cpu *c, gpa_t gpa)
{
    cpu_raise(c, X86_GP, true, 0);
    c->fetch_stop = c->vm->embedded;
    c->fetch_gpa = gpa;
    return false;
}

bool mmu_translate(struct x86_cpu *c, uint64_t va, enum mmu_access access, enum mmu_who who,
                   bool raise, struct xlat *ret)
{
    if (!translate(c, va, access, who, raise, ret))
        return false;
    if (unlikely(c->check))
        jit_check_redirect(c, access, ret);
    return true;
}

bool mmu_fetch(struct x86_cpu *c, uint64_t va, const uint8_t **ret_host)
{
    enum mmu_kind kind = mmu_kind_now(c, MMU_CURRENT) == MMU_USER ? MMU_USER : MMU_SUPER;
    struct mmu_space *s = mmu_space_of(c->mmu, va);
    struct tlb_entry *e = tlb_table_entry(mmu_table(c, va, kind), va >> 12);
    struct walk w;
    const struct mem_region *region;
    uint32_t error;
    uint8_t *host;

    mmu_filter_add(&s->code, mmu_filter_number(va >> 12, 1));
    if (unlikely(in_long_mode(c) && !is_canonical(va))) {
        cpu_raise(c, X86_GP, true, 0);
        return false;
    }
    if (likely(tlb_has(e, va, MMU_EXEC))) {
        host = (uint8_t *)(uintptr_t)(va + e->addend);
    } else {
        if (!mmu_walk(c, va, MMU_EXEC, kind, &w, &error)) {
            raise_page_fault(c, va, MMU_EXEC, kind, error);
            return false;
        }
        region = mmu_region_near(c, w.gpa, w.near);
        if (!region || region->no_exec)
            return fetch_outside_ram(c, w.gpa);
        host = region->host + (w.gpa - region->gpa);
        fill(c, va, MMU_EXEC, kind, &w, host, STORES_NO);
    }
    *ret_host = host;
    return true;
}
