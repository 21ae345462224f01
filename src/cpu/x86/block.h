/* SPDX-License-Identifier: MIT */
/* The cache of decoded blocks of one vCPU.
 *
 * A block is a run of instructions from one guest-physical page (the last may reach into the
 * next) up to a branch, a mode change or BLOCK_INSNS_MAX. Blocks are found by guest-physical
 * address (by the host's address of their first byte) and mode; a front cache maps (RIP, code_ctx) to them without translation.
 * code_ctx[half] is a number that changes whenever a mapping in that half of the address space or
 * the mode may have changed, so nothing in front of it needs to be cleared.
 *
 * A block that is invalidated stays in memory until the whole cache is emptied, but each of its
 * instructions becomes one that leaves for the main loop with rip set. So a running block whose
 * later bytes are overwritten stops exactly behind the store, and nobody needs to be unlinked. */
#ifndef VZ_CPU_X86_BLOCK_H
#define VZ_CPU_X86_BLOCK_H

#include "cpu/x86/insn.h"

#define BLOCK_INSNS_MAX 64
#define BLOCK_CACHE_BYTES (64u << 20)

/* What decoding, binding and translation depend on besides the bytes: code size, flat segments, and
 * real or virtual-8086 mode, where some instructions do not exist. 4 bits. */
static inline uint8_t block_mode(const struct x86_cpu *c)
{
    return (uint8_t)(c->code_size | (c->code_size == X86_CODE_32 && c->flat32 ? 4 : 0) |
                     (in_real_or_v86(c) ? 8 : 0));
}

/* Where other translated blocks enter a translated one: with the flags in EFLAGS, or kept in
 * x86_cpu.jit_flags (jit/translate.h). The bodies are behind the look for events. */
struct jit_entries {
    const uint8_t *flags, *flags_body, *kept, *kept_body;
    const uint8_t *stale; /* where `kept` leads once the block is dead */
};

struct block {
    const uint8_t *host;           /* of the first byte: identifies the code */
    struct block *hash_next;
    struct block *page_next[2];    /* of other blocks in the pages it has bytes of */
    const uint8_t *page[2];        /* page[1] is NULL unless the block crosses into it */
    struct block_link *incoming;   /* links to this block, chained by block_end.next[] */
    uint8_t mode;                  /* block_mode() */
    bool dead;
    bool fixed;                    /* goes on directly in another page: right at home_rip only */
    bool tried;                    /* to translate it */
    uint16_t count;                /* of insn[], without the block_end behind them */
    uint16_t runs;                 /* interpreted so often, up to jit_options.threshold */
    uint64_t home_rip;             /* where it was first decoded for */
    const uint8_t *code;           /* translated: entry.kept, where indirect branches enter */
    struct jit_entries entry;
    struct insn insn[] __attribute__((aligned(32)));
};

/* Which of its block_end's two links is this? block_end is aligned to 32 bytes and each of the
 * links takes 16. */
static inline unsigned block_link_slot(const struct block_link *link)
{
    return ((uintptr_t)link >> 4) & 1;
}

int block_cache_create(struct x86_cpu *c) must_check; /* sets c->blocks; 0 or -ENOMEM */
void block_cache_destroy(struct x86_cpu *c);

/* First instruction of the block at the current rip, decoding it if need be; NULL: a fault was
 * recorded (fetch). Fills in c->link when a branch waits for it. */
const struct insn *block_find(struct x86_cpu *c);

/* A one-instruction block for single steps and shadows, valid until the next call. */
const struct insn *block_single(struct x86_cpu *c);

/* Forget all blocks with code in the page of RAM that host lies in. */
void block_invalidate_page(struct x86_cpu *c, const uint8_t *host);

/* Forget everything. Not while a block runs. */
void block_cache_empty(struct x86_cpu *c);

#endif
