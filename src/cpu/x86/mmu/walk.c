/* SPDX-License-Identifier: MIT */
/* The page walker: 32-bit, PAE and 4-level paging, SDM vol. 3, 4.3 to 4.5; access rights 4.6;
 * accessed and dirty flags 4.8.
 *
 *      63 ... 48 47    39 38    30 29    21 20    12 11      0
 *      (sign)    PML4E    PDPTE    PDE      PTE      offset        4-level, 8-byte entries
 *                         31:30    29:21    20:12    11:0          PAE, 8-byte entries
 *                                  31:22    21:12    11:0          32-bit, 4-byte entries
 */
#include <string.h>

#include "cpu/x86/mmu/mmu_space.h"

#define PHYS_MASK (BIT(X86_PHYS_BITS) - 1)
#define NO_TABLE UINT64_MAX
#define RESERVED_PHYS (((BIT(52) - 1) & ~PHYS_MASK))

/* Rights accumulate from the top: writable and user only if every level says so. */
struct rights {
    bool writable, user, executable;
};

const struct mem_region *mmu_region(const struct x86_cpu *c, gpa_t gpa)
{
    return unlikely(c->smm) ? mem_find_any(c->vm->mem, gpa) : mem_find(c->vm->mem, gpa);
}

uint8_t *mmu_ram(const struct x86_cpu *c, gpa_t gpa, bool *ret_rom)
{
    const struct mem_region *r = mmu_region(c, gpa);

    if (!r)
        return NULL;
    *ret_rom = r->rom;
    return r->host + (gpa - r->gpa);
}

/* An entry's value; false when the table is not in RAM. Loads of 4 and 8 bytes are atomic. */
static bool read_entry(const uint8_t *host, unsigned size, uint64_t *ret)
{
    if (!host)
        return false;
    *ret = size == 8 ? __atomic_load_n((const uint64_t *)(uintptr_t)host, __ATOMIC_RELAXED)
                     : __atomic_load_n((const uint32_t *)(uintptr_t)host, __ATOMIC_RELAXED);
    return true;
}

/* Set bits in an entry if it still has the value that was read. False: it changed, walk again. In
 * ROM, which may be write-protected on the host too, nothing is set. */
static bool set_bits(struct x86_cpu *c, uint8_t *host, bool rom, unsigned size, uint64_t old, uint64_t bits)
{
    uint32_t old32 = (uint32_t)old;

    if (unlikely(rom))
        return true;
    mmu_own(c, host);
    if (size == 8)
        return __atomic_compare_exchange_n((uint64_t *)(uintptr_t)host, &old, old | bits, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return __atomic_compare_exchange_n((uint32_t *)(uintptr_t)host, &old32,
                                       old32 | (uint32_t)bits, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

/* Bits that must be zero in an entry; maps: it maps a page at this shift. */
static uint64_t reserved_bits(const struct x86_cpu *c, unsigned entry_size, unsigned shift,
                              bool maps)
{
    uint64_t reserved = RESERVED_PHYS;

    if (entry_size == 4) /* PSE-36: bits 20:13 are address bits 39:32, bit 21 is reserved */
        return maps && shift == 22 ? BIT(21) : 0;
    if (!(c->efer & X86_EFER_NXE))
        reserved |= X86_PTE_NX;
    if (!in_long_mode(c))
        reserved |= UINT64_C(0x7ff0000000000000);
    if (shift == 39)
        reserved |= X86_PTE_PS;
    if (maps && shift > 12)
        reserved |= (BIT(shift) - 1) & ~UINT64_C(0x1fff); /* bit 12 is PAT */
    return reserved;
}

static bool allowed(const struct x86_cpu *c, const struct rights *r, enum mmu_access access,
                    enum mmu_kind kind)
{
    if (access == MMU_EXEC) {
        if (!r->executable)
            return false;
        if (kind == MMU_USER)
            return r->user;
        return !(r->user && (c->cr4 & X86_CR4_SMEP));
    }
    if (kind == MMU_USER)
        return r->user && (access == MMU_READ || r->writable);
    if (r->user && kind == MMU_SUPER)
        return false;
    return access == MMU_READ || r->writable || !(c->cr0 & X86_CR0_WP);
}

static void no_paging(uint64_t va, struct walk *ret)
{
    *ret = (struct walk){.gpa = (uint32_t)va, .user = true, .writable = true,
                         .executable = true, .dirty = true, .global = false, .level = 1};
}

bool mmu_load_pdptes(struct x86_cpu *c, uint64_t cr3)
{
    const uint64_t reserved = ~(BIT(X86_PHYS_BITS) - 1) | 0x1e6;
    const volatile uint64_t *table;
    uint64_t pdpte[4] = {0};
    bool rom;

    fpu_park(c);
    table = (const volatile uint64_t *)(uintptr_t)mmu_ram(c, cr3 & 0xffffffe0u, &rom);
    for (unsigned n = 0; n < 4 && table; n++) {
        pdpte[n] = table[n];
        if ((pdpte[n] & X86_PTE_P) && (pdpte[n] & reserved))
            return false;
    }
    memcpy(c->pdpte, pdpte, sizeof(pdpte));
    return true;
}

/* Where the walk starts: table address (or NO_TABLE), number of levels, entry size. PAE's top level
 * is in registers and has no rights and no accessed flag. */
static unsigned walk_start(const struct x86_cpu *c, uint64_t va, gpa_t *ret_table,
                           unsigned *ret_entry_size)
{
    *ret_entry_size = 8;
    if (in_long_mode(c)) {
        *ret_table = c->cr3 & PHYS_MASK & ~UINT64_C(0xfff);
        return 4;
    }
    if (c->cr4 & X86_CR4_PAE) {
        uint64_t pdpte = c->pdpte[va >> 30 & 3];

        *ret_table = pdpte & X86_PTE_P ? pdpte & PHYS_MASK & ~UINT64_C(0xfff) : NO_TABLE;
        return 2;
    }
    *ret_table = c->cr3 & 0xfffff000u;
    *ret_entry_size = 4;
    return 2;
}

static unsigned level_shift(unsigned level, unsigned entry_size)
{
    return 12 + (level - 1) * (entry_size == 8 ? 9 : 10);
}

/* Does this entry map a page? Level 1 always; PS at levels 2 and 3 where the mode has it. */
static bool entry_maps(const struct x86_cpu *c, uint64_t entry, unsigned level,
                       unsigned entry_size)
{
    if (level == 1)
        return true;
    if (!(entry & X86_PTE_PS))
        return false;
    if (level == 2)
        return entry_size == 8 || (c->cr4 & X86_CR4_PSE);
    return level == 3;
}

static gpa_t page_address(uint64_t entry, unsigned shift, unsigned entry_size)
{
    if (entry_size == 4 && shift == 22)
        return (entry & 0xffc00000u) | ((entry >> 13) & 0xff) << 32;
    return entry & PHYS_MASK & ~(BIT(shift) - 1);
}

/* How far a walk has come: the entry that was read last, at host. */
struct position {
    gpa_t table;
    unsigned level, entry_size;
    struct rights rights; /* of all entries so far */
    uint64_t entry;
    uint8_t *host;
    const struct mem_region *region; /* that it is in, or NULL */
    bool maps;
};

enum outcome {
    FOUND,
    FAULT,   /* *ret_error says which */
    CHANGED, /* an entry, by another CPU: walk again */
};

static unsigned shift_of(const struct position *p)
{
    return level_shift(p->level, p->entry_size);
}

/* Read and check the entry for va in the table in hand. False: a fault. */
static bool read_level(struct x86_cpu *c, uint64_t va, struct position *p, uint32_t *ret_error)
{
    unsigned index = (va >> shift_of(p)) & (p->entry_size == 8 ? 511 : 1023);
    gpa_t at = p->table + index * p->entry_size;

    p->region = mmu_region_near(c, at, p->region);
    p->host = p->region ? p->region->host + (at - p->region->gpa) : NULL;
    if (!read_entry(p->host, p->entry_size, &p->entry) || !(p->entry & X86_PTE_P)) {
        *ret_error = 0;
        return false;
    }
    p->maps = entry_maps(c, p->entry, p->level, p->entry_size);
    if (p->entry & reserved_bits(c, p->entry_size, shift_of(p), p->maps)) {
        *ret_error = X86_PF_P | X86_PF_RSVD;
        return false;
    }
    p->rights.writable &= !!(p->entry & X86_PTE_W);
    p->rights.user &= !!(p->entry & X86_PTE_U);
    p->rights.executable &= p->entry_size == 4 || !(p->entry & X86_PTE_NX);
    return true;
}

/* From the top to the entry that maps the page. Those above it become accessed. */
static enum outcome descend(struct x86_cpu *c, uint64_t va, struct position *p, uint32_t *ret_error)
{
    *p = (struct position){.rights = {true, true, true}};
    p->level = walk_start(c, va, &p->table, &p->entry_size);
    *ret_error = 0;
    if (p->table == NO_TABLE)
        return FAULT;
    while (read_level(c, va, p, ret_error)) {
        if (p->maps)
            return FOUND;
        if (!(p->entry & X86_PTE_A) &&
            !set_bits(c, p->host, p->region->rom, p->entry_size, p->entry, X86_PTE_A))
            return CHANGED;
        p->table = p->entry & (p->entry_size == 4 ? 0xfffff000u : PHYS_MASK & ~UINT64_C(0xfff));
        p->level--;
    }
    return FAULT;
}

static enum outcome walk_once(struct x86_cpu *c, uint64_t va, enum mmu_access access,
                              enum mmu_kind kind, struct walk *ret, uint32_t *ret_error)
{
    uint64_t want = X86_PTE_A | (access == MMU_WRITE ? X86_PTE_D : 0);
    struct position p;
    enum outcome outcome = descend(c, va, &p, ret_error);
    unsigned shift = shift_of(&p);

    if (outcome != FOUND)
        return outcome;
    if (!allowed(c, &p.rights, access, kind)) {
        *ret_error = X86_PF_P;
        return FAULT;
    }
    if ((p.entry & want) != want && !set_bits(c, p.host, p.region->rom, p.entry_size, p.entry, want))
        return CHANGED;
    *ret = (struct walk){
        .gpa = page_address(p.entry, shift, p.entry_size) | (va & (BIT(shift) - 1)),
        .user = p.rights.user,
        .writable = p.rights.writable,
        .executable = p.rights.executable,
        .dirty = (p.entry | want) & X86_PTE_D,
        .global = (p.entry & X86_PTE_G) && (c->cr4 & X86_CR4_PGE),
        .level = (uint8_t)(shift == 12 ? 1 : shift == 30 ? 3 : 2),
        .near = p.region,
    };
    return FOUND;
}

bool mmu_walk(struct x86_cpu *c, uint64_t va, enum mmu_access access, enum mmu_kind kind,
              struct walk *ret, uint32_t *ret_error)
{
    enum outcome outcome;

    c->count.page_walks++;
    if (!(c->cr0 & X86_CR0_PG)) {
        no_paging(va, ret);
        return true;
    }
    do
        outcome = walk_once(c, va, access, kind, ret, ret_error);
    while (outcome == CHANGED);
    return outcome == FOUND;
}
