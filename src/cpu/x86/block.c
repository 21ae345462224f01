/* SPDX-License-Identifier: MIT */
/* See block.h. Blocks lie in one arena that is only ever emptied as a whole. */
#include "cpu/x86/block.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "cpu/x86/fpu/thunk.h"
#include "cpu/x86/jit/check.h"
#include "cpu/x86/jit/jit.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/smc.h"

#define HASH_BUCKETS 65536u
#define PAGE_BUCKETS 16384u
#define BLOCK_BYTES_MAX (sizeof(struct block) + (BLOCK_INSNS_MAX + 5) * sizeof(struct insn))

struct block_cache {
    uint8_t *arena;
    size_t used;
    struct block *hash[HASH_BUCKETS];
    struct block *page[PAGE_BUCKETS];
    struct block_jump jumps[BLOCK_JUMPS];
    struct block *single; /* scratch, outside the arena */
};

static void zero(void *p, size_t len)
{
    size_t words = len / 8;

    __asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(0) : "memory");
}

int block_cache_create(struct x86_cpu *c)
{
    struct block_cache *b = calloc(1, sizeof(*b));

    if (!b)
        return -ENOMEM;
    b->single = aligned_alloc(64, align_up(BLOCK_BYTES_MAX, 64));
    b->arena = mmap(NULL, BLOCK_CACHE_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!b->single || b->arena == MAP_FAILED) {
        free(b->single);
        free(b);
        return -ENOMEM;
    }
    c->blocks = b;
    c->jumps = b->jumps;
    return 0;
}

void block_cache_destroy(struct x86_cpu *c)
{
    if (!c->blocks)
        return;
    munmap(c->blocks->arena, BLOCK_CACHE_BYTES);
    free(c->blocks->single);
    free(c->blocks);
    c->blocks = NULL;
    c->jumps = NULL;
}

void block_cache_empty(struct x86_cpu *c)
{
    struct block_cache *b = c->blocks;

    b->used = 0;
    zero(b->hash, sizeof(b->hash));
    zero(b->page, sizeof(b->page));
    zero(b->jumps, sizeof(b->jumps));
    thunk_cache_empty(c); /* nothing refers to them any more */
    jit_empty(c);
    c->link = NULL;
    c->count.cache_flushes++;
}

/* ---- instructions of our own ---- */

/* What every instruction of an invalidated block becomes. */
INSN(insn_stale)
{
    c->rip = insn_rip(c, i);
}

/* Behind the last instruction of a block that ends without a branch. */
INSN(insn_fall_through)
{
    insn_goto(c, i, 0, insn_next_rip(c, i));
}

/* May b run at rip? */
static bool serves(const struct block *b, uint64_t rip)
{
    return !b->fixed || b->home_rip == rip;
}

/* In front of a block of 64-bit code, when there is a JIT: enter its translation, or count until it
 * is worth one. */
INSN(insn_block_entry)
{
    struct block *b = container_of((struct insn *)(uintptr_t)i, struct block, insn[0]);

    if (b->code && b->home_rip == c->reg[REG_BLOCK_RIP]) {
        struct block_jump *jump = block_jump_slot(c, b->home_rip);

        if (jump->to == i && jump->rip == b->home_rip)
            jump->code = b->code;
        if (unlikely(c->check))
            jit_check_enter(c, b, 0, b->entry.flags_body);
        else
            jit_enter(c, b->entry.flags_body);
        return;
    }
    if (unlikely(!serves(b, c->reg[REG_BLOCK_RIP]))) {
        c->rip = c->reg[REG_BLOCK_RIP]; /* linked from another mapping of the same page */
        return;
    }
    if (!b->tried && ++b->runs >= c->vm->jit.threshold && b->home_rip == c->reg[REG_BLOCK_RIP]) {
        b->tried = true;
        jit_translate(c, b);
    }
    NEXT;
}

/* An instruction of more than 15 bytes. */
INSN(insn_too_long)
{
    INSN_GP0();
}

/* ---- finding ---- */

static unsigned hash_of(const uint8_t *host, unsigned mode)
{
    uint64_t v = (uint64_t)(uintptr_t)host;

    return (unsigned)((v ^ (v >> 14) ^ mode) & (HASH_BUCKETS - 1));
}

static unsigned page_bucket(const uint8_t *page)
{
    uint64_t v = (uint64_t)(uintptr_t)page >> MEM_PAGE_SHIFT;

    return (unsigned)((v ^ (v >> 12)) & (PAGE_BUCKETS - 1));
}

static uint64_t linear_rip(const struct x86_cpu *c, uint64_t rip)
{
    return in_64bit(c) ? rip : (uint32_t)(rip + c->seg[X86_CS].base);
}

/* Outside 64-bit mode instructions are fetched within the CS limit. */
static bool beyond_limit(const struct x86_cpu *c, uint64_t rip)
{
    return !in_64bit(c) && rip > c->seg[X86_CS].limit;
}

/* Host address of the code at rip, or NULL: the fault is recorded. */
static const uint8_t *fetch(struct x86_cpu *c, uint64_t *ret_lin)
{
    const uint8_t *host;

    if (unlikely(beyond_limit(c, c->rip))) {
        cpu_raise(c, X86_GP, true, 0);
        return NULL;
    }
    *ret_lin = linear_rip(c, c->rip);
    return mmu_fetch(c, *ret_lin, &host) ? host : NULL;
}

/* A block of these bytes. The same code may be mapped at several addresses, and its links serve all
 * of them as long as they stay within its page; else it is decoded once per address. One that crosses a page fits only if its second page is still the one
 * behind the first in the address space of now. */
static struct block *lookup(struct x86_cpu *c, const uint8_t *host, uint64_t lin)
{
    struct block *b = c->blocks->hash[hash_of(host, block_mode(c))];
    const uint8_t *second;

    for (; b; b = b->hash_next) {
        if (b->host != host || b->mode != block_mode(c) || !serves(b, c->rip))
            continue;
        if (!b->page[1])
            return b;
        if (!mmu_fetch(c, (lin | (MEM_PAGE_SIZE - 1)) + 1, &second))
            return NULL; /* the fault is recorded */
        if (second == b->page[1])
            return b;
    }
    return NULL;
}

static void insert(struct x86_cpu *c, struct block *b)
{
    struct block **bucket = &c->blocks->hash[hash_of(b->host, b->mode)];

    b->hash_next = *bucket;
    *bucket = b;
    for (unsigned n = 0; n < 2 && b->page[n]; n++) {
        bucket = &c->blocks->page[page_bucket(b->page[n])];
        b->page_next[n] = *bucket;
        *bucket = b;
    }
}

/* ---- links between blocks ---- */

static struct block *block_of(const struct insn *first)
{
    return container_of((struct insn *)(uintptr_t)first, struct block, insn[0]);
}

/* Where the chain of links to a block goes on behind this one. */
static struct block_link **link_next(struct block_link *link)
{
    unsigned slot = block_link_slot(link);
    struct block_end *end = container_of(link - slot, struct block_end, link[0]);

    return &end->next[slot];
}

static void unlink_from(struct block *b, struct block_link *link)
{
    struct block_link **at = &b->incoming;

    while (*at && *at != link)
        at = link_next(*at);
    if (*at)
        *at = *link_next(link);
}

/* May link lead to a block? One that runs at several addresses must not be led on from to one that
 * is right at one of them only, unless that looks itself. */
static bool may_link(struct block_link *link, const struct block *to)
{
    const struct block_end *end =
        container_of(link - block_link_slot(link), struct block_end, link[0]);

    return !to->fixed || end->fixed || to->insn[0].fn == insn_block_entry;
}

static void set_link(struct x86_cpu *c, struct block_link *link, struct block *to)
{
    if (!may_link(link, to))
        return;
    if (link->to != to->insn) {
        jit_unlink(c, link);
        if (link->to)
            unlink_from(block_of(link->to), link);
        link->to = to->insn;
        *link_next(link) = to->incoming;
        to->incoming = link;
    }
    link->ctx = c->code_ctx[c->rip >> 63];
    jit_link(c, link, to);
}

/* ---- invalidation ---- */

static void unhash(struct x86_cpu *c, struct block *b)
{
    struct block **at = &c->blocks->hash[hash_of(b->host, b->mode)];

    while (*at && *at != b)
        at = &(*at)->hash_next;
    if (*at)
        *at = b->hash_next;
}

static void kill_block(struct x86_cpu *c, struct block *b)
{
    struct block_link *link = b->incoming, *next;

    if (b->dead)
        return;
    b->dead = true;
    unhash(c, b);
    for (; link; link = next) {
        next = *link_next(link);
        jit_unlink(c, link);
        link->ctx = 0;
        link->to = NULL;
        *link_next(link) = NULL;
    }
    b->incoming = NULL;
    jit_kill(c, b);
    for (unsigned n = 0; n < b->count; n++)
        b->insn[n].fn = insn_stale;
}

void block_invalidate_page(struct x86_cpu *c, const uint8_t *host)
{
    const uint8_t *page = mem_page_of(host);
    struct block **at = &c->blocks->page[page_bucket(page)], *b;

    while ((b = *at)) {
        unsigned n = b->page[0] == page ? 0 : b->page[1] == page ? 1 : 2;
        bool chained_by_first = page_bucket(b->page[0]) == page_bucket(page);
        struct block **next = &b->page_next[chained_by_first ? 0 : 1];

        if (n < 2) {
            kill_block(c, b);
            *at = *next;
        } else {
            at = next;
        }
    }
}

/* ---- building ---- */

static bool ends_block(const struct x86_decoded *d)
{
    return d->info->attr & (X86_ATTR_BRANCH | X86_ATTR_SYSTEM);
}

/* Does a block whose last instruction is d, ending at rip, go on directly in another page? */
static bool leaves_page(const struct block *b, const struct x86_decoded *d, uint64_t rip)
{
    uint64_t home = b->home_rip >> MEM_PAGE_SHIFT;

    for (unsigned n = 0; n < d->operand_count; n++)
        if (d->operand[n].kind == X86_OPERAND_REL && (rip + d->imm) >> MEM_PAGE_SHIFT != home)
            return true;
    return rip >> MEM_PAGE_SHIFT != home;
}

/* Fetch and decode one instruction at lin, whose bytes up to the end of the page are at host.
 * bytes is where an instruction that crosses the page is put together. */
static enum x86_decode_result decode_one(struct x86_cpu *c, uint64_t lin, const uint8_t **host,
                                         uint8_t bytes[16], const uint8_t **ret_second,
                                         struct x86_decoded *d, bool *ret_fault)
{
    unsigned avail = MEM_PAGE_SIZE - (unsigned)(lin & (MEM_PAGE_SIZE - 1));
    unsigned n = MIN(avail, (unsigned)X86_INSN_MAX);
    enum x86_decode_result r;

    *ret_fault = false;
    *ret_second = NULL;
    smc_claim(c, *host, n);
    r = x86_decode(*host, n, c->code_size, d);
    if (r != X86_DECODE_MORE)
        return r;
    if (!mmu_fetch(c, align_down(lin, MEM_PAGE_SIZE) + MEM_PAGE_SIZE, ret_second)) {
        *ret_fault = true;
        return r;
    }
    smc_claim(c, *ret_second, X86_INSN_MAX - n);
    for (unsigned k = 0; k < X86_INSN_MAX; k++)
        bytes[k] = k < n ? (*host)[k] : (*ret_second)[k - n];
    *host = bytes;
    return x86_decode(bytes, X86_INSN_MAX, c->code_size, d);
}

/* Decode up to max instructions at rip into b. False: the first one could not be fetched, the
 * fault is recorded. */
static bool build(struct x86_cpu *c, struct block *b, const uint8_t *host, uint64_t lin,
                  unsigned max)
{
    struct insn *i = b->insn;
    struct x86_decoded d;
    unsigned count = 0, off = 0;
    bool ended = false, fault;
    uint8_t bytes[16];
    struct block_end *end;

    b->host = host;
    b->home_rip = c->rip;
    b->mode = block_mode(c);
    b->dead = b->tried = false;
    b->runs = 0;
    b->code = NULL;
    b->incoming = NULL;
    b->page[0] = mem_page_of(host);
    b->page[1] = NULL;
    if (c->jit && jit_can_translate(c) && max > 1)
        *i++ = (struct insn){.fn = insn_block_entry};
    while (count < max && !ended) {
        const uint8_t *at = host + off, *second;
        enum x86_decode_result r;

        if (count && (align_down(lin, MEM_PAGE_SIZE) != align_down(lin + off, MEM_PAGE_SIZE) ||
                      beyond_limit(c, c->rip + off)))
            break;
        if (count && MEM_PAGE_SIZE - ((lin + off) & (MEM_PAGE_SIZE - 1)) < X86_INSN_MAX) {
            /* The next one may cross the page: leave it to a block of its own if it does. */
            unsigned avail = MEM_PAGE_SIZE - (unsigned)((lin + off) & (MEM_PAGE_SIZE - 1));

            smc_claim(c, at, avail);
            if (x86_decode(at, avail, c->code_size, &d) == X86_DECODE_MORE)
                break;
        }
        r = decode_one(c, lin + off, &at, bytes, &second, &d, &fault);
        if (fault)
            return false;
        b->page[1] = second;
        *i = (struct insn){.off = (uint16_t)off, .len = d.len};
        if (r == X86_DECODE_LONG)
            i->fn = insn_too_long;
        else if (r != X86_DECODE_OK || !insn_bind(c, &d, at, i))
            i->fn = insn_undefined;
        ended = i->fn == insn_undefined || i->fn == insn_too_long || ends_block(&d);
        off += i->len;
        i++;
        count++;
        if (second)
            break;
    }
    if (!ended)
        *i++ = (struct insn){.fn = insn_fall_through, .off = (uint16_t)off};
    b->fixed = leaves_page(b, &d, c->rip + off);
    b->count = (uint16_t)(i - b->insn);
    end = (struct block_end *)i;
    *end = (struct block_end){.insns = count, .fixed = b->fixed};
    c->count.insns_decoded += count;
    c->count.blocks_decoded++;
    return true;
}

static size_t block_size(const struct block *b)
{
    return sizeof(*b) + b->count * sizeof(struct insn) + sizeof(struct block_end);
}

static struct block *decode_new(struct x86_cpu *c, const uint8_t *host, uint64_t lin)
{
    struct block_cache *cache = c->blocks;
    struct block *b;

    if (cache->used + BLOCK_BYTES_MAX + 64 > BLOCK_CACHE_BYTES)
        block_cache_empty(c);
    b = (struct block *)(cache->arena + cache->used);
    if (!build(c, b, host, lin, BLOCK_INSNS_MAX))
        return NULL;
    cache->used += (block_size(b) + 63) & ~(size_t)63;
    insert(c, b);
    return b;
}

const struct insn *block_find(struct x86_cpu *c)
{
    struct block_jump *jump = block_jump_slot(c, c->rip);
    const uint8_t *host;
    struct block *b;
    uint64_t lin;

    if (likely(jump->rip == c->rip && jump->ctx == c->code_ctx[c->rip >> 63] &&
               jump->to->fn != insn_stale && serves(block_of(jump->to), c->rip))) {
        b = block_of(jump->to);
    } else {
        host = fetch(c, &lin);
        if (!host)
            return NULL;
        b = lookup(c, host, lin);
        if (!b && (c->fault.pending || !(b = decode_new(c, host, lin))))
            return NULL;
        *jump = (struct block_jump){
            .rip = c->rip, .ctx = c->code_ctx[c->rip >> 63], .to = b->insn,
            .code = b->code && b->home_rip == c->rip ? b->code : jit_interpret_stub(c)};
    }
    if (c->link) {
        set_link(c, c->link, b);
        c->link = NULL;
    }
    c->reg[REG_BLOCK_RIP] = c->rip;
    return b->insn;
}

const struct insn *block_single(struct x86_cpu *c)
{
    const uint8_t *host;
    uint64_t lin;

    c->link = NULL;
    host = fetch(c, &lin);
    if (!host || !build(c, c->blocks->single, host, lin, 1))
        return NULL;
    c->reg[REG_BLOCK_RIP] = c->rip;
    return c->blocks->single->insn;
}
