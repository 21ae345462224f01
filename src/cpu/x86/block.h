/* SPDX-License-Identifier: MIT */
/* The cache of decoded blocks of one vCPU.
 *
 * A block is a run of instructions from one guest-physical page (the last may reach into the
 * next) up to a branch, a mode change or BLOCK_INSNS_MAX. Blocks are found by guest-physical
 * address (by the host's address of their first byte) and mode; a front cache maps (RIP, code_ctx)
 * to them without translation. code_ctx[half] is a number that changes whenever a mapping in that
 * half of the address space or the mode may have changed, so nothing in front of it needs to be
 * cleared.
 *
 * A block that is invalidated stays in memory until the whole cache is emptied, but each of its
 * instructions becomes one that leaves for the main loop with rip set. So a running block whose
 * later bytes are overwritten stops exactly behind the store, and nobody needs to be unlinked. */
#ifndef VZ_CPU_X86_BLOCK_H
#define VZ_CPU_X86_BLOCK_H

#include "cpu/x86/insn.h"

#define BLOCK_INSNS_MAX 64
#define BLOCK_CACHE_BYTES (128u << 20)

/* What decoding, binding and translation depend on besides the bytes: code size, flat segments, and
 * real or virtual-8086 mode, where some instructions do not exist. 4 bits. */
static inline uint8_t block_mode(const struct x86_cpu *c)
{
    return (uint8_t)(c->code_size | (c->code_size == X86_CODE_32 && c->flat32 ? 4 : 0) |
                     (in_real_or_v86(c) ? 8 : 0));
}

/* Where in code memory other translated blocks enter a translated one: with the flags in EFLAGS, or kept in
 * x86_cpu.jit_flags (jit/translate.h). The bodies are behind the look for events. */
struct jit_entries {
    uint32_t flags, flags_body, kept, kept_body;
    uint32_t stale; /* where `kept` leads once the block is dead */
};

/* Blocks lie in the cache's arena, one right behind the other, as there are many: most of them run once or twice.
 * Others are named by 32-bit places in there, in units of 8 bytes, 0 being none. Behind the header there is struct insn
 * by struct insn, and what struct block_end says. */
struct block {
    const uint8_t *host;           /* of the first byte: identifies the code */
    uint64_t home_rip;             /* where it was first decoded for, or is translated for */
    union {
        struct insn insn[0]; /* [0] is no instruction, only what leads into the block: */
        struct {
            insn_fn *begin;        /* insn[0].fn */
            uint32_t hash_next;
            uint32_t page_next;    /* of other blocks in the page where it begins */
            uint32_t incoming;     /* links to this block, chained by block_link.next */
            uint32_t exits;        /* where the translator's struct jit_exits is (jit_priv.h); 0: never translated */
            uint16_t left;         /* which page it was moved away from last, as a hash; 0: none */
            uint16_t runs;         /* interpreted so often, up to jit_options.threshold */
            uint8_t count;         /* of insn[], without the block_end behind them */
            uint8_t mode : 4;      /* block_mode() */
            bool dead : 1;
            bool fixed : 1;        /* goes on directly in another page: right at home_rip only */
            bool tried : 1;        /* to translate it */
            bool translated : 1;   /* and not dead */
            bool crosses : 1;      /* into a second page */
            bool stays : 1;        /* it cannot be made right at another address */
            bool moving : 1;       /* it is about to be */
            bool branches : 1;     /* the last instruction may go on elsewhere than behind it */
            uint8_t spaces : 4;    /* where lower halves begin in the front cache from which it may be known */
        };
    };
};

_Static_assert(sizeof(struct block) == 48, "there are many of them");

static inline struct block_end *block_end(const struct block *b)
{
    return (struct block_end *)(uintptr_t)(b->insn + b->count);
}

/* The pages that it has bytes of; the second is NULL unless its instruction crosses into it. */
static inline const uint8_t *block_page(const struct block *b, unsigned n)
{
    if (n)
        return b->crosses ? *block_second_page(block_end(b)) : NULL;
    return mem_page_of(b->host);
}

/* The block whose first instruction is at first. */
static inline struct block *block_of(const struct insn *first)
{
    return container_of((struct insn *)(uintptr_t)first, struct block, insn[0]);
}

/* The block that link leads on from. */
static inline struct block *block_with(const struct block_link *link)
{
    const struct block_end *end = block_end_with(link);

    return block_of((const struct insn *)(const void *)end - end->count);
}

/* Try to translate b for rip. One that cannot be stays as it is. */
void block_translate(struct x86_cpu *c, struct block *b, uint64_t rip);

/* In code_ctx[], besides block_mode(): CPL is 3. */
#define CODE_CTX_USER UINT64_C(0x10)

int block_cache_create(struct x86_cpu *c) must_check; /* sets c->blocks; 0 or -ENOMEM */
void block_cache_destroy(struct x86_cpu *c);

/* The lower half of now is that of address space n (mmu.h). */
static inline void block_use_space(struct x86_cpu *c, unsigned n)
{
    if (likely(c->jumps[1]))
        c->jumps[0] = c->jumps[1] + n % BLOCK_JUMP_SPACES * BLOCK_JUMP_APART;
}

/* What the front cache says of the current rip: a block that may run there, or NULL. */
struct block *block_known(struct x86_cpu *c);

/* Is there code of the translator's for b at rip? It may also be interpreted at other addresses than its own. */
static inline bool block_translated_at(const struct block *b, uint64_t rip)
{
    return b->translated && b->home_rip == rip;
}

/* First instruction of the block at the current rip, decoding it if need be; NULL: a fault was
 * recorded (fetch). Fills in c->link when a branch waits for it. */
const struct insn *block_find(struct x86_cpu *c);

/* A one-instruction block for single steps and shadows, valid until the next call. */
const struct insn *block_single(struct x86_cpu *c);

/* Has the instruction of that block, which has just been run without a fault, branched? To the one behind it, too. */
bool block_single_branched(const struct x86_cpu *c) must_check;

/* Forget all blocks that rely on one of these granules (struct mem_code) of the page at host. */
void block_invalidate(struct x86_cpu *c, const uint8_t *host, uint64_t granules);

/* Call fn for all blocks that begin in the page at host. */
void block_each_in_page(const struct x86_cpu *c, const uint8_t *host,
                        void (*fn)(void *arg, const struct block *b), void *arg);

/* Forget all blocks. As the one before also while one runs, which ends behind its instruction then. */
void block_invalidate_all(struct x86_cpu *c);

/* Forget everything, and use the memory anew. Not while a block runs. */
void block_cache_empty(struct x86_cpu *c);
/* The same, and give the memory back to the host: it begins small again. */
void block_cache_give_back(struct x86_cpu *c);
/* Bytes of blocks that it has. */
size_t block_cache_used(const struct x86_cpu *c);

#endif
