/* SPDX-License-Identifier: MIT */
/* Address translation: page walks, the soft TLBs, and every access that is not a plain TLB hit
 * (page crossings, MMIO, code pages, faults). SDM vol. 3, chapter 4.
 *
 * TLBs. Lower-half addresses (bit 63 clear) have one set of tables per address space (PCID, up to
 * MMU_ASIDS of them), each with a table per kind of access: user, supervisor, supervisor that may
 * touch user pages (SMAP off, or AC set). Upper-half addresses have one table per kind, shared
 * by all address spaces; entries that are not global are thrown out when CR3 changes. */
#ifndef VZ_CPU_X86_MMU_H
#define VZ_CPU_X86_MMU_H

#include "arch/x86/msrs.h"
#include "arch/x86/policy.h"
#include "cpu/x86/cpu.h"

enum mmu_access { MMU_READ = 0, MMU_WRITE = 1, MMU_EXEC = 2 };

/* How privileged an access is. IMPLICIT is a supervisor access that ignores CPL and AC: descriptor
 * tables, TSS, exception frames pushed from user mode. */
enum mmu_who { MMU_CURRENT, MMU_IMPLICIT };

struct mmu;

int mmu_create(struct x86_cpu *c) must_check; /* sets c->mmu; 0 or -ENOMEM */
void mmu_destroy(struct x86_cpu *c);
/* It will look into its TLBs often. */
void mmu_use_huge_pages(struct x86_cpu *c);
/* Forget all translations, and give the host back what the TLBs hold. No block runs. */
void mmu_give_back(struct x86_cpu *c);

/* A value and whether the access succeeded; in two registers, so that no caller needs an
 * addressable local (which would keep the compiler from jumping to the next instruction). */
struct loaded {
    uint64_t value;
    uint64_t ok;
};

/* Linear-address accesses, complete: TLB, page crossing, MMIO, self-modifying code. On a fault the
 * exception is recorded (cpu_raise(): #PF with CR2, #GP(0) or #SS(0) for a non-canonical address
 * by is_stack) and ok is false; nothing was accessed. size: 1, 2, 4, 8. c->rip is not touched. */
struct loaded mmu_load(struct x86_cpu *c, uint64_t va, unsigned size, enum mmu_who who,
                       bool is_stack);
bool mmu_store(struct x86_cpu *c, uint64_t va, unsigned size, uint64_t value, enum mmu_who who,
               bool is_stack) must_check;

/* Load with the checks of a store, for read-modify-write: a later mmu_store() to the same place
 * by the same instruction cannot fault. */
struct loaded mmu_load_for_write(struct x86_cpu *c, uint64_t va, unsigned size, enum mmu_who who,
                                 bool is_stack);

/* Host address of [va, va + len) for a direct access, when that is one page (or the pages happen
 * to be neighbours) of RAM that may be accessed so now; NULL otherwise, without raising anything:
 * the caller goes through bytes or a bounce buffer. For MMU_WRITE NULL too on code pages. */
void *mmu_direct(struct x86_cpu *c, uint64_t va, unsigned len, enum mmu_access access);

/* Check, and raise, for a whole range as one access (XSAVE, FXSAVE, ENTER, far frames). */
bool mmu_probe(struct x86_cpu *c, uint64_t va, unsigned len, enum mmu_access access,
               enum mmu_who who, bool is_stack) must_check;

/* Copy in and out with mmu_load()'s and mmu_store()'s rules; page by page: a fault on a later
 * page leaves the earlier ones written, unless mmu_probe()d. */
bool mmu_read_bytes(struct x86_cpu *c, uint64_t va, void *buf, unsigned len, enum mmu_who who,
                    bool is_stack) must_check;
bool mmu_write_bytes(struct x86_cpu *c, uint64_t va, const void *buf, unsigned len,
                     enum mmu_who who, bool is_stack) must_check;

/* Host address of the instruction bytes at linear address va, up to the page's end. False: the
 * fault is recorded (outside RAM: #GP(0)). */
bool mmu_fetch(struct x86_cpu *c, uint64_t va, const uint8_t **ret_host) must_check;

/* Registers changed that translation depends on: call after the change. */
void mmu_mode_changed(struct x86_cpu *c);      /* CR0, CR4, EFER, CS, SS, reset, load: everything */
void mmu_privilege_changed(struct x86_cpu *c); /* CPL, AC or code_size only */
/* Load the four registers that are the top level of PAE paging (SDM vol. 3, 4.4.1): whenever CR3,
 * CR0.PG, CR4.PAE and some others are written. False, and nothing changed: a reserved bit is set. */
bool mmu_load_pdptes(struct x86_cpu *c, uint64_t cr3);
void mmu_cr3_written(struct x86_cpu *c, uint64_t value, bool keep); /* sets cr3; keep: bit 63 */

/* Architectural invalidation. */
void mmu_flush_all(struct x86_cpu *c);                  /* global entries too, all PCIDs */
void mmu_flush_non_global(struct x86_cpu *c);           /* all PCIDs */
void mmu_flush_page(struct x86_cpu *c, uint64_t va);    /* INVLPG: current PCID, and globals */
void mmu_flush_pcid(struct x86_cpu *c, uint16_t pcid);  /* non-global entries of one PCID */
void mmu_flush_pcid_page(struct x86_cpu *c, uint16_t pcid, uint64_t va);

/* Forget c->slot[]: part of every invalidation, and of every change of privilege, so cheap where
 * those of loops are not in use. */
static inline void mmu_empty_slots(struct x86_cpu *c)
{
    for (unsigned n = 0; n < TLB_SLOT_FIRST_FREE; n++)
        c->slot[n].tag = TLB_NO_TAG;
    if (likely(!c->slots_used))
        return;
    for (unsigned n = TLB_SLOT_FIRST_FREE; n < TLB_SLOTS; n++)
        c->slot[n].tag = TLB_NO_TAG;
    c->slots_used = false;
}

/* Drop write tags for the page of RAM at host (its code is being cached): smc.c. */
void mmu_protect_page(struct x86_cpu *c, const uint8_t *host);

static inline bool is_canonical(uint64_t va)
{
    return x86_is_canonical(va);
}

#endif
