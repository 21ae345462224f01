/* SPDX-License-Identifier: MIT */
/* The shape of the soft TLB, shared by the interpreter's inline lookups and mmu.c.
 *
 * Direct mapped by virtual page number. A tag holds the address of the page for which the
 * access is allowed without a walk, or TLB_NO_TAG. Lookups index by the access's first byte and
 * compare the page of its last byte, so an access that crosses a page misses by itself. */
#ifndef VZ_CPU_X86_TLB_H
#define VZ_CPU_X86_TLB_H

#include "base/compiler.h"

#define TLB_BITS    12
#define TLB_ENTRIES (1u << TLB_BITS)
#define TLB_NO_TAG  UINT64_MAX

/* In a write tag, which matches no address then: stores are allowed, but to a page with code, which
 * must be told (smc.h). Above the bits by which translated code checks alignment. */
#define TLB_CODE    UINT64_C(0x800)

struct tlb_entry {
    uint64_t read, write, exec; /* tlb_page() of the address, or TLB_NO_TAG */
    uint64_t addend;            /* host address = virtual address + addend (wraps) */
};

/* A page that some instructions of translated code used last (jit/jit_memory.c): a copy of what a
 * table in use says of it for one kind of access. */
struct tlb_slot {
    uint64_t tag, addend;
};

/* The stack's; those of fixed offsets from FS and GS, of which one is for the first page, where compilers read a word all
 * the time; and those of loops. */
enum {
    TLB_SLOT_STACK_READ, TLB_SLOT_STACK_WRITE, TLB_SLOT_SEG_READ_FIRST, TLB_SLOT_SEG_READ, TLB_SLOT_SEG_WRITE,
    TLB_SLOT_FIRST_FREE, TLB_SLOTS = 32
};

static always_inline uint64_t tlb_page(uint64_t va)
{
    return va & ~UINT64_C(0xfff);
}

static always_inline struct tlb_entry *tlb_slot(struct tlb_entry *const tlb[2], uint64_t va)
{
    return &tlb[va >> 63][(va >> 12) & (TLB_ENTRIES - 1)];
}

#endif
