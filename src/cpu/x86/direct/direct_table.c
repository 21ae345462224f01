/* SPDX-License-Identifier: MIT */
/* The guest's page tables, 4 levels, as they are now. Nothing is set in them here: what has not been
 * accessed, or is to be written and not dirty, is left to the CPU's own walker, by way of a fault. To
 * say no is always right. */
#include "arch/x86/policy.h"
#include "base/checked.h"
#include "cpu/x86/direct/direct_priv.h"
#include "cpu/x86/mmu/mmu_space.h"

#define PHYS_MASK ((BIT(X86_PHYS_BITS) - 1) & ~UINT64_C(0xfff))
#define RESERVED  ((BIT(52) - 1) & ~(BIT(X86_PHYS_BITS) - 1))
#define LARGE_RESERVED UINT64_C(0x1fe000) /* bit 12 is PAT */
#define COMPARED  (X86_PTE_P | X86_PTE_W | X86_PTE_U | X86_PTE_PS | X86_PTE_NX | RESERVED | PHYS_MASK)

static uint64_t load(const uint64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

static const uint64_t *table_at(const struct x86_cpu *c, uint64_t entry)
{
    bool rom;

    return (const uint64_t *)(uintptr_t)mmu_ram(c, entry & PHYS_MASK, &rom);
}

/* Of an entry that lets users in, as a processor may have it in its TLB; else 0. */
static uint8_t rights_of(const struct x86_cpu *c, uint64_t entry)
{
    const uint64_t needed = X86_PTE_P | X86_PTE_U | X86_PTE_A;

    if ((entry & needed) != needed || (entry & RESERVED) ||
        ((entry & X86_PTE_NX) && !(c->efer & X86_EFER_NXE)))
        return 0;
    return (uint8_t)(MAPPED_READ | (entry & X86_PTE_W ? MAPPED_WRITE : 0) |
                     (entry & X86_PTE_NX ? 0 : MAPPED_EXEC));
}

bool direct_walk(const struct x86_cpu *c, uint64_t va, struct direct_path *ret)
{
    const uint64_t *table = table_at(c, c->cr3);
    uint8_t rights = MAPPED_READ | MAPPED_WRITE | MAPPED_EXEC;

    for (unsigned level = 0; level < 3; level++) {
        uint64_t entry;

        if (!table)
            return false;
        ret->at[level] = table + (va >> (39 - 9 * level) & 511);
        entry = load(ret->at[level]);
        rights &= rights_of(c, entry);
        if (!rights || ((entry & X86_PTE_PS) && (level < 2 || (entry & LARGE_RESERVED))))
            return false; /* pages of 1 GiB too: nobody has those */
        ret->entry[level] = entry & COMPARED;
        table = table_at(c, entry);
    }
    ret->rights = rights;
    ret->table = ret->entry[2] & X86_PTE_PS ? NULL : table;
    return ret->table || (ret->entry[2] & X86_PTE_PS);
}

bool direct_path_holds(const struct direct_path *p)
{
    for (unsigned level = 0; level < 3; level++) {
        uint64_t entry = load(p->at[level]);

        if ((entry & COMPARED) != p->entry[level] || !(entry & X86_PTE_A))
            return false;
    }
    return true;
}

/* The entry that maps page n, as it is now. */
static uint64_t last_entry(const struct direct_path *p, unsigned n)
{
    return load(p->table ? &p->table[n] : p->at[2]);
}

uint8_t direct_page(const struct x86_cpu *c, const struct direct_path *p, unsigned n,
                    uint64_t *ret_entry, const uint8_t **ret_host)
{
    uint64_t entry = last_entry(p, n);
    uint8_t rights = p->rights & rights_of(c, entry);
    gpa_t gpa = p->table ? entry & PHYS_MASK
                         : (entry & PHYS_MASK & ~(LEAF_BYTES - 1)) + n * (uint64_t)MEM_PAGE_SIZE;
    const struct mem_region *region;
    bool rom;

    if (!rights)
        return 0;
    *ret_host = mmu_ram(c, gpa, &rom);
    region = mmu_region(c, gpa);
    *ret_entry = entry & (COMPARED | X86_PTE_G);
    if (!*ret_host || !region || region->no_exec || region->window) /* a stub can be shown RAM only */
        return 0;
    if (rom || !(entry & X86_PTE_D))
        rights &= (uint8_t)~MAPPED_WRITE;
    return rights;
}

bool direct_page_holds(const struct direct_path *p, unsigned n, uint64_t entry, uint8_t rights)
{
    uint64_t now = last_entry(p, n);
    uint64_t needed = X86_PTE_A | (rights & MAPPED_WRITE ? X86_PTE_D : 0);

    return (now & (COMPARED | X86_PTE_G)) == entry && (now & needed) == needed;
}

bool direct_slot_is_empty(const struct x86_cpu *c, unsigned slot)
{
    const uint64_t *table = table_at(c, c->cr3);

    return table && !(load(&table[slot]) & X86_PTE_P);
}

uint64_t direct_next_leaf(const struct x86_cpu *c, uint64_t va)
{
    while (va < BIT(47)) {
        const uint64_t *table = table_at(c, c->cr3);
        unsigned level = 0;
        uint64_t entry = 0;

        for (; level < 3 && table; level++) {
            entry = load(&table[va >> (39 - 9 * level) & 511]);
            if (!rights_of(c, entry))
                break;
            table = entry & X86_PTE_PS ? NULL : table_at(c, entry);
        }
        if (level == 3)
            return va;
        level = MIN(level, 2u);
        va = align_down(va, BIT(39 - 9 * level)) + BIT(39 - 9 * level);
    }
    return UINT64_MAX;
}
